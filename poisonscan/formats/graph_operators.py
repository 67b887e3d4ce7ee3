"""Operators of computation graphs: counted as a format's reader meets them, and what is known.

``rules/operators/`` has a file for each kind of graph: which operators act on files, processes or
the network, which do so if the graph itself says where, and which are nothing unusual.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from poisonscan.formats.base import Operator
from poisonscan.rules import folder, read_yaml

_KINDS_KEPT: Final = 10_000
_TEXTS_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class PathUse:
    """Where an operator takes a path from.

    Attributes:
        why: what it does with it.
        inputs: positions of its inputs that are paths.
        attributes: names of its attributes that are.
    """

    why: str
    inputs: tuple[int, ...] = ()
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownOperators:
    """What is known about the operators of one kind of graph; names are ``domain:name``.

    Attributes:
        acts: operators that act whatever they are given, and how.
        paths: operators that act on the place they are given, where the graph fixes it.
        names: operators that are nothing unusual; ``*`` stands for all of a domain.
    """

    acts: Mapping[str, str]
    paths: Mapping[str, PathUse]
    names: frozenset[str]

    def knows(self, domain: str, name: str) -> bool:
        """Whether an operator is nothing unusual. ``org.pytorch.*`` stands for every domain so."""
        parents = domain.split(".")
        above = [".".join(parents[:length]) for length in range(1, len(parents) + 1)]
        return (
            f"{domain}:{name}" in self.names
            or f"{domain}:*" in self.names
            or any(f"{parent}.*:*" in self.names for parent in above)
        )


@functools.cache
def known_operators(kind: str) -> KnownOperators:
    """The list for one kind of graph, such as ``tensorflow``; empty if there is none."""
    path = folder() / "operators" / f"{kind}.yaml"
    content = read_yaml(path) if path.is_file() else {}
    return KnownOperators(
        {_full(name): why for name, why in content.get("acts", {}).items()},
        {
            _full(name): PathUse(
                use["why"], tuple(use.get("inputs", ())), tuple(use.get("attributes", ()))
            )
            for name, use in content.get("paths", {}).items()
        },
        frozenset(_full(name) for name in content.get("known", "").split()),
    )


def _full(name: str) -> str:
    return name if ":" in name else f":{name}"


@dataclass(slots=True)
class _Seen:
    node: str
    count: int = 0
    texts: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class OperatorCounts:
    """Each kind of operator once, with bounded memory.

    Attributes:
        left_out: why some of it is not kept; empty if all is.
    """

    left_out: str = ""
    _seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)

    def add(self, domain: str, name: str, node: str, texts: Iterable[str] = ()) -> None:
        """Count a node."""
        seen = self._seen.get((domain, name))
        if seen is None:
            if len(self._seen) >= _KINDS_KEPT:
                self.left_out = f"more than {_KINDS_KEPT:,} kinds of operators"
                return
            seen = self._seen[domain, name] = _Seen(node)
        seen.count += 1
        self._keep_texts(seen, name, texts)

    def add_texts(self, domain: str, name: str, node: str, texts: Iterable[str]) -> None:
        """Texts that a node is given, found out after it was counted."""
        seen = self._seen.get((domain, name))
        if seen is not None:
            if not seen.texts:
                seen.node = node
            self._keep_texts(seen, name, texts)

    def _keep_texts(self, seen: _Seen, name: str, texts: Iterable[str]) -> None:
        for text in texts:
            if text in seen.texts:
                continue
            if len(seen.texts) >= _TEXTS_KEPT:
                self.left_out = f"more than {_TEXTS_KEPT:,} texts are given to {name[:80]!r} nodes"
                return
            seen.texts[text] = None

    def operators(self, *, without: frozenset[tuple[str, str]] = frozenset()) -> list[Operator]:
        """All of them, less those that the graph defines itself (``without``)."""
        return [
            Operator(domain, name, seen.node, seen.count, tuple(seen.texts))
            for (domain, name), seen in self._seen.items()
            if (domain, name) not in without
        ]
