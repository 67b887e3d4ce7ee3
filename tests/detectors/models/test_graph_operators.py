from __future__ import annotations

import pytest

from poisonscan.detectors.models.graph_custom_operators import DETECTOR as CUSTOM
from poisonscan.detectors.models.graph_operators import DETECTOR, KINDS
from poisonscan.formats.base import Graph, Operator
from poisonscan.formats.graph_operators import OperatorCounts, known_operators


def test_an_operator_that_acts_is_one_finding() -> None:
    graph = Graph("m.pb", "TensorFlow", (Operator("", "ReadFile", "a\x1b", 2, ("/etc/x",)),))
    (finding,) = DETECTOR.check(graph)
    assert finding.rule.id == "PS110"
    assert "2 nodes" in finding.message
    assert "/etc/x" in finding.message
    assert "\x1b" not in finding.message


@pytest.mark.parametrize("text", ["/etc/passwd", "../up", "gs://bucket/x", "C:\\x"])
def test_saving_at_a_fixed_place_is_found(text: str) -> None:
    graph = Graph("m.pb", "TensorFlow", (Operator("", "SaveV2", "s", 1, ("part", text)),))
    assert [f.rule.id for f in DETECTOR.check(graph)] == ["PS110"]


@pytest.mark.parametrize("texts", [(), ("_temp/part",), ("model",)])
def test_saving_where_the_loader_says_is_quiet(texts: tuple[str, ...]) -> None:
    graph = Graph("m.pb", "TensorFlow", (Operator("", "SaveV2", "s", 1, texts),))
    assert list(DETECTOR.check(graph)) == []


def test_flex_operators_are_those_of_tensorflow() -> None:
    graph = Graph(
        "m.tflite", "TensorFlow Lite", (Operator("flex", "WriteFile"), Operator("flex", "AddV2"))
    )
    assert [f.evidence["operator"] for f in DETECTOR.check(graph)] == ["WriteFile"]
    assert list(CUSTOM.check(graph)) == []


def test_unknown_operators_are_one_finding_for_each_domain() -> None:
    graph = Graph(
        "m.onnx",
        "ONNX",
        (
            Operator("", "Conv"),
            Operator("com.microsoft", "FusedConv"),
            Operator("org.pytorch._caffe2", "X"),
            Operator("mine", "A"),
            Operator("mine", "B"),
            Operator("org.pytorchish", "C"),
        ),
    )
    findings = list(CUSTOM.check(graph))
    assert [f.evidence["domain"] for f in findings] == ["mine", "org.pytorchish"]
    assert "'A', 'B'" in findings[0].message


def test_graphs_of_an_unlisted_format_are_quiet() -> None:
    graph = Graph("m", "Something", (Operator("mine", "A"),))
    assert list(CUSTOM.check(graph)) == list(DETECTOR.check(graph)) == []


@pytest.mark.parametrize("kind", KINDS.values())
def test_every_kind_of_graph_has_a_list(kind: str) -> None:
    known = known_operators(kind)
    assert known.names
    assert not set(known.acts) & known.names
    assert not set(known.paths) & known.names


def test_operators_and_texts_are_bounded() -> None:
    counts = OperatorCounts()
    for index in range(10_001):
        counts.add("", f"op{index}", "")
    assert len(counts.operators()) == 10_000
    assert "kinds of operators" in counts.left_out
    counts = OperatorCounts()
    counts.add("", "SaveV2", "", (f"{index}" for index in range(1_001)))
    assert "texts" in counts.left_out
