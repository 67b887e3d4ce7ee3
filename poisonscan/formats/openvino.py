"""OpenVINO models: ``.xml`` with the layers, whose constants are in a ``.bin`` beside it.

Layout: https://docs.openvino.ai/2025/documentation/openvino-ir-format.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats import xml_stream
from poisonscan.formats.base import Anomaly, Artifact, Graph, Structure
from poisonscan.formats.graph_operators import OperatorCounts
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_ANOMALIES_KEPT: Final = 100


class OpenVino:
    """The layers of an OpenVINO model."""

    name = "OpenVINO"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its outermost element and its name, which the library goes by."""
        return blob.suffix == ".xml" and b"<" in head and xml_stream.root_name(blob.open()) == "net"

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The layers, and constants that are not in the file beside it."""
        net = _Net(_weights(blob))
        failure = ""
        try:
            xml_stream.read(view, budget, net.element, lambda *_: None)
        except xml_stream.XmlRefused as error:
            failure = str(error)
            if error.kind == "doctype":
                net.anomalies.append(Anomaly(error.kind, failure, error.offset))
        except LimitReached as error:
            failure = f"limit reached: {error}"
        yield Graph(blob.path, self.name, tuple(net.counts.operators()))
        if net.anomalies:
            kept = tuple(net.anomalies[:_ANOMALIES_KEPT])
            yield Structure(blob.path, self.name, kept, blob.base)
        for what in filter(None, (failure, net.counts.left_out)):
            yield Gap(blob.path, f"not read to its end: {what}")


def _weights(blob: Blob) -> int | None:
    """Bytes of the file with the constants; None if it is not there."""
    if blob.file is None:
        return None
    weights = Path(blob.file).with_suffix(".bin")
    return weights.stat().st_size if weights.is_file() else None


@dataclass(slots=True)
class _Net:
    weights: int | None
    counts: OperatorCounts = field(default_factory=OperatorCounts)
    anomalies: list[Anomaly] = field(default_factory=list)
    layer: str = ""

    def element(self, name: str, attributes: Mapping[str, str], offset: int) -> None:
        """A layer, or the data of one."""
        if name == "layer":
            self.layer = attributes.get("name", "")[:200]
            self.counts.add(
                attributes.get("version", "")[:200], attributes.get("type", "")[:200], self.layer
            )
        elif name == "data" and "offset" in attributes and len(self.anomalies) <= _ANOMALIES_KEPT:
            self._constant(attributes, offset)

    def _constant(self, attributes: Mapping[str, str], offset: int) -> None:
        start, size = attributes["offset"], attributes.get("size", "0")
        if not (_is_count(start) and _is_count(size)):
            what = "has its constant at a place that is no number"
            self.anomalies.append(Anomaly("bad-offset", what, offset, self.layer))
        elif self.weights is not None and int(start) + int(size) > self.weights:
            what = f"has its constant at {start} to {int(start) + int(size)}, outside of the .bin"
            self.anomalies.append(Anomaly("out-of-range", what, offset, self.layer))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
