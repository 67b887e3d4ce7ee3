"""What a file does and says, apart from its tensors and rows: imports, calls, settings, code."""

from __future__ import annotations

import ast
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from poisonscan.differences.found import Difference
from poisonscan.escape import clip, escape, quote
from poisonscan.files import Task, scan_file
from poisonscan.finding import Finding, Gap, Json
from poisonscan.formats.base import Artifact, PickleStream, Script, Settings
from poisonscan.formats.strict_json import parse_bounded
from poisonscan.limits import Limits
from poisonscan.pickles import events
from poisonscan.pickles.values import Global
from poisonscan.sources.base import Blob

_MOST: Final = 100_000
_LARGEST: Final = 8 << 20
"""Bytes of a document or a program that is compared part by part."""
_SHOWN: Final = 60
_NESTED: Final = 32


@dataclass(slots=True)
class Parts:
    """What a file, with all that is nested in it, does and says.

    Attributes:
        imports: names that loading its pickles imports.
        calls: names that it calls.
        settings: values by key, as text.
        code: lines of programs, and the modules that these import.
        gaps: what could not be read.
    """

    imports: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    settings: dict[str, str] = field(default_factory=dict)
    lines: Counter[str] = field(default_factory=Counter)
    modules: set[str] = field(default_factory=set)
    gaps: list[Gap] = field(default_factory=list)


class _Collector:
    """In place of detectors: keeps what a comparison needs of each artifact."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.parts = Parts()

    def check(self, artifact: Artifact) -> Iterator[Finding | Gap]:
        """Take in an artifact; finds nothing."""
        if isinstance(artifact, PickleStream):
            self._pickle(artifact)
        elif isinstance(artifact, Settings):
            place = artifact.path[len(self.path) :].removeprefix("!/")
            _flatten(artifact.document, place, self.parts.settings)
        elif isinstance(artifact, Script) and len(artifact.text) <= _LARGEST:
            self.parts.lines.update(line.strip() for line in artifact.text.splitlines())
            self.parts.modules |= _modules(artifact.text)
        return iter(())

    def _pickle(self, artifact: PickleStream) -> None:
        for event in artifact.events:
            if isinstance(event, events.Import):
                self.parts.imports.add(event.target.dotted)
            elif isinstance(event, events.ComputedImport):
                self.parts.imports.add("a name that is computed")
            elif isinstance(event, events.Call):
                known = isinstance(event.callee, Global)
                name = event.callee.dotted if isinstance(event.callee, Global) else ""
                self.parts.calls.add(name if known else "something that is computed")


def parts_of(blob: Blob) -> Parts:
    """Read a file as a scan does, in whatever process."""
    collector = _Collector(blob.path)
    task = Task((), "all", Limits())
    gaps = [i for i in scan_file(blob, task, collector) if isinstance(i, Gap)]  # type: ignore[arg-type]
    parts = collector.parts
    parts.gaps = gaps
    if not parts.settings and blob.suffix == ".json" and blob.size <= _LARGEST:
        try:
            document = parse_bounded(bytes(blob.open()), _MOST).content
        except (ValueError, OSError):
            return parts
        if isinstance(document, dict):
            _flatten(document, "", parts.settings)
    return parts


def differences(path: str, old: Parts, new: Parts) -> Iterator[Difference]:
    """What the new version of a file does and says that the old one did not, and the reverse."""
    for kind, before, now in (
        ("import", old.imports, new.imports), ("call", old.calls, new.calls),
    ):  # fmt: skip
        for name in sorted(now - before):
            yield Difference(kind, path, f"new {kind}: {quote(name)}", {"new": escape(name)})
        for name in sorted(before - now):
            yield Difference(kind, path, f"{kind} that is gone: {quote(name)}",
                             {"gone": escape(name)})  # fmt: skip
    yield from _settings(path, old.settings, new.settings)
    yield from _code(path, old, new)


def _settings(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for key in sorted({*old, *new}):
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        name = quote(key or ".", _SHOWN)
        if before is None:
            what = f"new key {name}: {_value(now)}"
        elif now is None:
            what = f"key that is gone: {name}, was {_value(before)}"
        else:
            what = f"key {name}: {_value(before)}, now {_value(now)}"
        about: dict[str, Json] = {"key": _value(key), "old": _value(before), "new": _value(now)}
        yield Difference("config", path, what, about)


def _value(value: str | None) -> str | None:
    return None if value is None else clip(escape(clip(value, _SHOWN)), _SHOWN)


def _code(path: str, old: Parts, new: Parts) -> Iterator[Difference]:
    added, removed = (new.lines - old.lines).total(), (old.lines - new.lines).total()
    modules = sorted(new.modules - old.modules)
    if not added and not removed:
        return
    what = f"{added:,} lines added, {removed:,} removed"
    if modules:
        what += f"; now imports {', '.join(quote(m, _SHOWN) for m in modules[:10])}"
    about: dict[str, Json] = {"added": added, "removed": removed}
    yield Difference("code", path, what, {**about, "imports": [escape(m) for m in modules[:100]]})


def _modules(text: str) -> set[str]:
    """Modules that a program imports; none of what does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def _flatten(document: Any, place: str, out: dict[str, str]) -> None:
    """Values by their keys, joined by dots; lists of plain values are one value."""
    pending: list[tuple[str, Any, int]] = [(place, document, 0)]
    while pending and len(out) < _MOST:
        key, value, depth = pending.pop()
        inner = value.items() if isinstance(value, dict) else None
        if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            inner = enumerate(value)  # type: ignore[assignment]
        if inner is None or depth == _NESTED:
            out[key] = json.dumps(value, default=str, sort_keys=True)
            continue
        front = key + "." if key else ""
        pending += [(f"{front}{name}", item, depth + 1) for name, item in inner]
