"""Safetensors headers that break the format's invariants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Location, Span, Tensor
from poisonscan.formats.base import Artifact, TensorFile
from poisonscan.rules import rule


class SafetensorsHeader:
    """Rule PS201."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (TensorFile,)

    def check(self, artifact: TensorFile) -> Iterator[Finding]:
        """One finding for each broken invariant and tensor."""
        for anomaly in artifact.anomalies:
            outer = None if artifact.base is None else artifact.base + anomaly.offset
            if anomaly.name:
                part: Span | Tensor = Tensor(anomaly.name, anomaly.offset)
                message = f"Tensor {quote(anomaly.name)} {anomaly.what}."
            else:
                part = Span(anomaly.offset, 1, outer)
                message = f"The safetensors header is not valid: {anomaly.what}."
            yield rule("PS201").finding(
                Location(artifact.path, part),
                message,
                key=f"{anomaly.kind} {anomaly.name}",
                problem=anomaly.kind,
            )


DETECTOR: Final = SafetensorsHeader()
