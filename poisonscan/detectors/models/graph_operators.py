"""Graphs with operators that act on files, processes or the network when the model is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.detectors.models.references import leaves_folder
from poisonscan.escape import clip, quote
from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact, Graph, Operator
from poisonscan.formats.graph_operators import known_operators
from poisonscan.rules import rule

KINDS: Final = {
    "ONNX": "onnx",
    "TensorFlow": "tensorflow",
    "TensorFlow Lite": "tflite",
    "PaddlePaddle": "paddle",
    "Core ML": "coreml",
    "OpenVINO": "openvino",
    "PMML": "pmml",
}
"""The list in ``rules/operators/`` for each format of graphs."""
_TEXTS_SHOWN: Final = 3


class GraphOperators:
    """Rule PS110."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Graph,)

    def check(self, artifact: Graph) -> Iterator[Finding]:
        """One finding for each operator that acts."""
        for operator in artifact.operators:
            why, texts = _acts(operator, KINDS.get(artifact.format, ""))
            if not why:
                continue
            given = ", ".join(quote(text, 80) for text in texts[:_TEXTS_SHOWN])
            times = f"{operator.count:,} nodes" if operator.count > 1 else "node"
            yield rule("PS110").finding(
                Location(artifact.path),
                f"The graph has the operator {quote(operator.name)} ({times} "
                f"{quote(operator.node, 80)}), which {why}{': ' + given if given else ''}.",
                key=f"{operator.domain}:{operator.name}",
                operator=clip(operator.name),
                texts=[clip(text) for text in texts[:_TEXTS_SHOWN]],
            )


def _acts(operator: Operator, kind: str) -> tuple[str, tuple[str, ...]]:
    """What an operator does and where; nothing if that is not up to the graph."""
    domain = operator.domain
    if domain == "flex":  # TensorFlow's own operators inside TensorFlow Lite
        kind, domain = "tensorflow", ""
    known = known_operators(kind)
    name = f"{domain}:{operator.name}"
    if name in known.acts:
        return known.acts[name], operator.constants
    use = known.paths.get(name)
    outside = tuple(text for text in operator.constants if leaves_folder(text))
    if use is None or not outside:
        return "", ()
    return f"{use.why} at a place that the graph fixes", outside


DETECTOR: Final = GraphOperators()
