"""PMML: models as XML, of Java and of R; what makes its readers run or fetch something.

Layout: https://dmg.org/pmml/v4-4-1/. Readers built on JPMML call a function whose name is that of a
Java class (https://github.com/jpmml/jpmml-evaluator), others have run scripts in extensions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats import xml_stream
from poisonscan.formats.base import Anomaly, Artifact, Graph, Reference, References, Structure
from poisonscan.formats.graph_operators import OperatorCounts
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_CLASS: Final = re.compile(r"(?:[A-Za-z_]\w*\.)+[A-Za-z_$][\w$]*")
_HREF: Final = re.compile(r"href\s*=\s*[\"']([^\"']*)[\"']")
_ANOMALIES_KEPT: Final = 100
_REFERENCES_KEPT: Final = 1_000
_SCRIPTS: Final = ("script", "stylesheet", "transform")


class Pmml:
    """A PMML document."""

    name = "PMML"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its outermost element, or by its name."""
        if b"<" not in head:
            return False
        return blob.suffix == ".pmml" or (
            b"PMML" in head.replace(b"\0", b"") and xml_stream.root_name(blob.open()) == "PMML"
        )

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Functions, scripts and other files that the document names."""
        document = _Document()
        failure = ""
        try:
            xml_stream.read(view, budget, document.element, document.instruction)
        except xml_stream.XmlRefused as error:
            failure = str(error)
            if error.kind == "doctype":
                document.note(error.kind, failure, error.offset)
        except LimitReached as error:
            failure = f"limit reached: {error}"
        yield Graph(blob.path, self.name, tuple(document.counts.operators()))
        if document.references:
            yield References(blob.path, self.name, tuple(document.references))
        if document.anomalies:
            yield Structure(blob.path, self.name, tuple(document.anomalies), blob.base)
        for what in filter(None, (failure, document.counts.left_out, document.left_out)):
            yield Gap(blob.path, f"not read to its end: {what}")


@dataclass(slots=True)
class _Document:
    counts: OperatorCounts = field(default_factory=OperatorCounts)
    references: list[Reference] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)
    left_out: str = ""

    def note(self, kind: str, what: str, offset: int) -> None:
        """Keep an anomaly, if there are not too many."""
        if len(self.anomalies) < _ANOMALIES_KEPT:
            self.anomalies.append(Anomaly(kind, what, offset))
        else:
            self.left_out = "more problems of the structure"

    def element(self, name: str, attributes: Mapping[str, str], offset: int) -> None:
        """An element; only few of them can do anything."""
        if name == "Apply":
            function = attributes.get("function", "")[:200]
            self.counts.add("java" if _CLASS.fullmatch(function) else "", function, function)
        elif name.lower() in _SCRIPTS:
            self.note(
                "script", f"it has an element {name[:40]!r}, which PMML does not have", offset
            )
        elif name == "include" and "href" in attributes:
            self._refer(attributes["href"], "an included file", offset)

    def instruction(self, target: str, data: str, offset: int) -> None:
        """A processing instruction: one that names a style sheet runs it in some readers."""
        found = _HREF.search(data[:4096])
        if target == "xml-stylesheet" and found:
            self._refer(found.group(1), "a style sheet", offset)

    def _refer(self, target: str, what: str, offset: int) -> None:
        if len(self.references) < _REFERENCES_KEPT:
            self.references.append(Reference(target, what, offset))
        else:
            self.left_out = "more names of other files"
