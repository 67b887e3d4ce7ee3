"""Where a finding is, in the words of SARIF: artifacts, regions and logical locations.

GitHub reads the first location alone and wants a file of the repository and a line. So a finding
inside an archive is placed at the archive, and one in a binary file at line 1. Editors take a
region with a byte offset for binary, so rows of text files have true lines and never an offset.
The member, its bytes, the row and the tensor stand in related and logical locations. The
specification (section 3.30) allows no line in a binary region; that deviation is deliberate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote as percent

from poisonscan.escape import clip, escape, quote
from poisonscan.finding import Column, Finding, Json, Location, Row, Rows, Span, Tensor
from poisonscan.origin import lasting
from poisonscan.reporters.sarif_text import sentence

if TYPE_CHECKING:
    from poisonscan.reporters.anchors import Anchor

RELATED: Final = 50
"""Rows of a finding that are given as related locations; the JSON report has them all."""

_NAME: Final = 500
_PARENT: Final = "__"
_BASE: Final = "SRCROOT"
_HUB: Final = ("hf://", "hf-hub/")
# Microsoft's SARIF library keeps numbers in 32 bits and drops a log with larger ones.
LARGEST: Final = 2**31 - 1
"""The largest number that stands in a log; offsets beyond it are left out."""

Object = dict[str, Json]


def uri(path: str) -> str:
    """A relative URI for a path: no scheme, no leading slash, no way up, percent-encoded.

    Bytes of a file name that are not UTF-8 stay as they are; ``..`` becomes ``__``. What is on the
    Hub gets a path without the commit, which no service takes for a scheme that it does not know.
    """
    path = lasting(path)
    if path.startswith(_HUB[0]):
        path = _HUB[1] + path.removeprefix(_HUB[0])
    segments = [
        _PARENT if name == ".." else name for name in path.split("/") if name not in {"", "."}
    ]
    return "/".join(percent(_raw(clip(name, _NAME)), safe="@+,=") for name in segments) or "."


def _raw(name: str) -> bytes:
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")


class Places:
    """The artifacts and logical locations of a run; locations refer to them by index."""

    def __init__(self) -> None:
        self.artifacts: list[Json] = []
        self.logical: list[Json] = []
        self._artifacts: dict[tuple[int | None, str], int] = {}
        self._logical: dict[str, int] = {}

    def anchored(self, finding: Finding, anchor: Anchor) -> Object:
        """The line that names the repository, with the place in it as logical location."""
        region: Object = {
            "startLine": anchor.line,
            "startColumn": anchor.columns[0],
            "endLine": anchor.line,
            "endColumn": anchor.columns[1],
            "snippet": {"text": anchor.text},
        }
        return {**self.primary(finding), "physicalLocation": self.file(anchor.path, **region)}

    def primary(self, finding: Finding) -> Object:
        """The location that every consumer reads: a file on disk and a line."""
        part = finding.at.part
        if isinstance(part, Rows) and part.rows:
            return self._row(part.rows[0])
        region: Object = {"startLine": 1}
        start, length = _bytes(part, outer="!/" in finding.at.path)
        region.update(_extent(start, length))
        snippet = finding.evidence.get("snippet")
        if isinstance(snippet, str):
            region["snippet"] = {"text": clip(escape(snippet), _NAME)}
        physical = self.file(finding.at.path, **region)
        return {"physicalLocation": physical, **self._logically(finding.at, _kind(finding))}

    def related(self, finding: Finding) -> list[Json]:
        """Numbered from 1: the rows of a group, or the place inside an archive."""
        at, part = finding.at, finding.at.part
        if isinstance(part, Rows):
            rows = part.rows[:RELATED] if len(part.rows) > 1 else ()
            return [{"id": n, **self._row(row), **_about(row)} for n, row in enumerate(rows, 1)]
        if "!/" not in at.path:
            return []
        start, length = _bytes(part, outer=False)
        member = at.path.rpartition("!/")[2]
        inside: Object = {"uri": uri(member), "index": self._artifact(at.path)}
        physical: Object = {"artifactLocation": inside}
        if extent := _extent(start, length):
            physical["region"] = extent
        return [
            {
                "id": 1,
                "physicalLocation": physical,
                "message": {"text": sentence(f"Archive member {quote(member)}")},
            }
        ]

    def file(self, path: str, **region: Json) -> Object:
        """The physical location of a path: its outermost file, and a region of it if given."""
        outermost = path.partition("!/")[0]
        inside: Object = {
            "uri": uri(outermost),
            "uriBaseId": _BASE,
            "index": self._artifact(outermost),
        }
        return {"artifactLocation": inside, **({"region": region} if region else {})}

    def _row(self, row: Row) -> Object:
        region: Object = {"startLine": 1}
        if row.line and "!/" not in row.path:
            first, last = (min(max(line, 1), LARGEST) for line in row.line)
            region = {"startLine": first, "startColumn": 1, "endLine": max(first, last)}
            if row.excerpt is not None:
                region["snippet"] = {"text": clip(escape(row.excerpt), _NAME)}
        name = f"{_shown(row.path)}#row={row.index}"
        reference = self._named(name, "row", self._member(row.path))
        return {"physicalLocation": self.file(row.path, **region), "logicalLocations": [reference]}

    def _logically(self, at: Location, kind: str) -> Object:
        member = self._member(at.path)
        shown = _shown(at.path)
        if isinstance(at.part, Span):
            return {"logicalLocations": [self._named(f"{shown}@{at.part.offset}", kind, member)]}
        if isinstance(at.part, Tensor | Column):
            name = clip(escape(at.part.name), _NAME)
            separator = "#column=" if isinstance(at.part, Column) else "#"
            return {"logicalLocations": [self._named(shown + separator + name, kind, member)]}
        if member is not None:
            return {"logicalLocations": [self._named(shown, "member", None)]}
        return {}

    def _member(self, path: str) -> int | None:
        """Index of the logical location of an archive member, None for a file that is none."""
        parent: int | None = None
        containers = path.split("!/")
        for depth in range(2, len(containers) + 1):
            place = _shown("!/".join(containers[:depth]))
            self._named(place, "member", parent)
            parent = self._logical[place]
        return parent

    def _named(self, name: str, kind: str, parent: int | None) -> Object:
        if name not in self._logical:
            entry: Object = {"fullyQualifiedName": name, "kind": kind}
            if parent is not None:
                entry["parentIndex"] = parent
            self._logical[name] = len(self.logical)
            self.logical.append(entry)
        return {"fullyQualifiedName": name, "kind": kind, "index": self._logical[name]}

    def _artifact(self, path: str) -> int:
        """Index of a file or of a member, whose containers are listed before it."""
        outermost, *members = path.split("!/")
        index = self._inside(None, uri(outermost))
        for name in members:
            index = self._inside(index, uri(name))
        return index

    def _inside(self, parent: int | None, name: str) -> int:
        if (parent, name) not in self._artifacts:
            entry: Object = {"location": {"uri": name}, "parentIndex": parent}
            if parent is None:
                location: Object = {"uri": name, "uriBaseId": _BASE}
                entry = {"location": location, "roles": ["analysisTarget"]}
            self._artifacts[parent, name] = len(self.artifacts)
            self.artifacts.append(entry)
        return self._artifacts[parent, name]


def _shown(path: str) -> str:
    names = [_PARENT if name == ".." else name for name in path.split("/") if name not in {"", "."}]
    return clip(escape("/".join(names)), _NAME) or "."


def _kind(finding: Finding) -> str:
    if isinstance(finding.at.part, Tensor):
        return "tensor"
    if isinstance(finding.at.part, Column):
        return "column"
    return "opcode" if finding.evidence.keys() & {"opcode", "grammar"} else "bytes"


def _bytes(part: object, *, outer: bool) -> tuple[int | None, int | None]:
    """Offset and length of a part in the innermost file, or in the outermost one."""
    if isinstance(part, Span):
        return (part.outer if outer else part.offset), part.length
    if isinstance(part, Tensor) and not outer:
        return part.offset, part.length
    return None, None


def _extent(start: int | None, length: int | None) -> Object:
    if start is None or not 0 <= start <= LARGEST:
        return {}
    if length is None or not 0 <= length <= LARGEST:
        return {"byteOffset": start}
    return {"byteOffset": start, "byteLength": length}


def _about(row: Row) -> Object:
    """What is said about a row of a group."""
    label = "" if row.label is None else f" of class {quote(row.label)}"
    score = "" if row.score is None else f", score {row.score:.4g}"
    what = "File" if row.whole else f"Row {row.index}"
    text = f"{what} of split {quote(row.split)}{label}{score}"
    return {"message": {"text": sentence(text)}}
