"""What stands in torch's own archives beside pickles and numbers: code and graphs.

* TorchScript: ``code/**.py`` is in TorchScript's language, which only libtorch compiles;
  ``bytecode.pkl`` of mobile models names its operators.
* torch.package: tensors in ``.data/*.storage``; its ``*.py`` are Python and read as such.
* torch.export (``.pt2``): ``models/*.json`` is a graph; its targets are looked up by name, and its
  size expressions are evaluated by sympy's ``sympify``, that is, by ``eval``. Before 2.7 it was
  ``serialized_exported_program.json``.

Layout: ``torch/csrc/jit/serialization/export_module.cpp``, ``torch/package/package_exporter.py``,
``torch/export/pt2_archive/constants.py``, ``torch/_export/serde/serialize.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Graph, Numbers, Operator, Script
from poisonscan.formats.json_tokens import Token, json_tokens
from poisonscan.formats.pickle_stream import (
    Pickle,
    begins_pickle,
    runs_as_pickle,
    stored_pickle,
)
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

TORCHSCRIPT: Final = "torchscript"
"""Language of a ``Script`` that libtorch compiles and Python never sees."""

MOBILE: Final = "torch mobile"
EXPORTED: Final = "torch export"
"""Formats of a ``Graph``."""

EXPRESSION: Final = "expression"
"""Domain of an ``Operator`` whose name is text that sympy evaluates."""

GUARD: Final = "guard"
"""Domain of an ``Operator`` whose name is Python that is run as a guard."""

_CODE: Final = re.compile(r"!/(?:.*/)?code/__torch__(?:/.+)?\.py\Z")
_IMPORT: Final = re.compile(rb"^[ \t]*(?:import|from)[ \t]", re.MULTILINE)
_STORAGE: Final = re.compile(r"!/(?:.*/)?\.data/[0-9]+\.storage\Z")
_PROGRAM: Final = re.compile(r"!/(?:.*/)?(?:models/[^/]+|serialized_exported_program)\.json\Z")
_NAMED: Final = re.compile(rb"X([\x04-\xff])\0\0\0(?=[A-Za-z_][A-Za-z_0-9]*+::)")
_DOMAINS: Final = {"expr_str": EXPRESSION, "target": ""}
"""Domains of texts in an exported program, by their key."""
_LONGEST_CODE: Final = 64 << 20
_OPERATORS: Final = 100_000


class CompiledCode:
    """TorchScript source. What imports something is Python in its place."""

    name = "TorchScript code"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By its place in the archive."""
        return _CODE.search(blob.path) is not None and _IMPORT.search(blob.open()) is None

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """The source."""
        if len(view) > _LONGEST_CODE:
            yield Gap(blob.path, f"code of {len(view):,} bytes is not read")
            return
        yield Script(blob.path, TORCHSCRIPT, bytes(view).decode("utf-8", "replace"))


class ByteCode:
    """``bytecode.pkl`` of a mobile model: a pickle of plain values that names its operators."""

    name = "pickle"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By its name in the archive."""
        return blob.path.endswith("/bytecode.pkl")

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The operators, then the pickle."""
        # Strings of a pickle whose text is like that of an operator.
        found = sorted({bytes(view[m.end() : m.end() + m[1][0]]) for m in _NAMED.finditer(view)})
        yield Graph(blob.path, MOBILE, tuple(map(_mobile, found[:_OPERATORS])))
        if len(found) > _OPERATORS:
            yield Gap(blob.path, f"{len(found):,} operators; {_OPERATORS:,} were looked at")
        if not runs_as_pickle(view):  # else it is read as a pickle anyhow
            yield from Pickle().open(blob, view, budget)


class PackageStorage:
    """Numbers of a tensor in a torch.package archive."""

    name = "torch storage"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By its place in the archive."""
        return _STORAGE.search(blob.path) is not None and not begins_pickle(blob.open())

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Numbers, unless they begin as a pickle."""
        yield stored_pickle(blob, view, budget) or Numbers(blob.path, self.name)


class ExportedProgram:
    """The graph of an exported program."""

    name = "torch export graph"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its place in the archive, or its first key."""
        begins = head.lstrip().startswith(b"{")
        return begins and (_PROGRAM.search(blob.path) is not None or b'"graph_module"' in head[:64])

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Targets and expressions, each once.

        Raises:
            LimitReached: nested too deep.
        """
        yield from _exported(blob.path, view)


def _mobile(name: bytes) -> Operator:
    domain, _, rest = name.decode("utf-8", "replace").partition("::")
    return Operator(domain, rest)


def _exported(path: str, view: memoryview) -> Iterator[Artifact | Gap]:
    """Targets and expressions of a serialized program, each once."""
    found: dict[tuple[str, str], None] = {}
    guards = 0
    stopped: LimitReached | None = None
    try:
        for depth, token in _with_depth(view):
            if token.kind == "open" and token.key == "guards_code":
                guards = depth
            elif depth < guards:
                guards = 0
            domain = GUARD if guards else _DOMAINS.get(token.key)
            if token.kind == "text" and domain is not None:
                found[domain, token.text] = None
            if len(found) > _OPERATORS:
                yield Gap(path, f"more than {_OPERATORS:,} operators and expressions")
                break
    except EOFError:
        yield Gap(path, "the graph is cut short")
    except ValueError as error:
        yield Gap(path, f"the graph cannot be read: {error}")
    except LimitReached as error:
        stopped = error
    yield Graph(path, EXPORTED, tuple(Operator(domain, name) for domain, name in found))
    if stopped is not None:
        raise stopped


def _with_depth(view: memoryview) -> Iterator[tuple[int, Token]]:
    depth = 0
    for token in json_tokens(view):
        depth += (token.kind == "open") - (token.kind == "close")
        yield depth, token
