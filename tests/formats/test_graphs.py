"""Readers of computation graphs, on graphs written byte by byte."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fixtures import graphs as make
from poisonscan.finding import Gap
from poisonscan.formats.base import (
    Artifact,
    Graph,
    Identified,
    Numbers,
    References,
    Settings,
    Structure,
)
from poisonscan.formats.registry import identify
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.sources.base import Blob

KEPT = {
    "m.onnx": make.onnx_model(make.onnx_graph(make.onnx_node("Relu"))),
    "m.pb": make.saved_model(make.graph_def(make.tf_node("ReadFile", "r"))),
    "m.meta": make.meta_graph(make.graph_def(make.tf_node("ReadFile", "r"))),
    "frozen.pb": make.graph_def(make.tf_node("ReadFile", "r")),
    "m.tflite": make.tflite([(0, ""), (32, "FlexReadFile")]),
    "m.mlmodel": make.core_ml(555, make.field(10, "Example")),
    "m.pdmodel": make.paddle(("py_func", {})),
    "m.xml": make.openvino('<layer id="0" name="x" type="Relu" version="opset1"/>'),
    "m.pmml": make.pmml('<Apply function="ln"/>'),
}
FORMATS = {
    "m.onnx": "ONNX", "m.pb": "TensorFlow", "m.meta": "TensorFlow", "frozen.pb": "TensorFlow",
    "m.tflite": "TensorFlow Lite", "m.mlmodel": "Core ML", "m.pdmodel": "PaddlePaddle",
    "m.xml": "OpenVINO", "m.pmml": "PMML",
}  # fmt: skip


def read(name: str, data: bytes, limits: Limits | None = None) -> list[Blob | Artifact | Gap]:
    """What a file holds, as the scan would see it; a limit that is reached is a gap."""
    blob = Blob(name, len(data), lambda: memoryview(data))
    found: list[Blob | Artifact | Gap] = []
    formats = identify(blob, memoryview(data))
    if formats:
        found.append(Identified(name, formats[0].name, blob.suffix))
    try:
        for format_ in formats:
            found += format_.open(blob, memoryview(data), Budget(limits or Limits()))
    except LimitReached as error:
        found.append(Gap(name, str(error)))
    return found


def operators(name: str, data: bytes) -> dict[str, int]:
    graphs = [item for item in read(name, data) if isinstance(item, Graph)]
    return {f"{o.domain}:{o.name}": o.count for graph in graphs for o in graph.operators}


def gaps(found: list[Blob | Artifact | Gap]) -> list[str]:
    return [item.reason for item in found if isinstance(item, Gap)]


@pytest.mark.parametrize("name", KEPT)
def test_each_format_is_known_by_its_content(name: str) -> None:
    other = name if name.endswith(".xml") else "no-suffix"  # OpenVINO goes by the name as well
    first = read(other, KEPT[name])[0]
    assert isinstance(first, Identified)
    assert first.format == FORMATS[name]


@pytest.mark.parametrize("name", KEPT)
def test_a_cut_file_is_never_silent(name: str) -> None:
    data = KEPT[name]
    for end in range(1, len(data)):
        found = read(name, data[:end])
        told = gaps(found) or any(isinstance(item, Structure) for item in found)
        formats = [item.format for item in found if isinstance(item, Identified)]
        whole = any(isinstance(item, Graph) and item.operators for item in found)
        assert told or whole or formats in ([], ["text"]), f"cut at {end}: {found}"


@settings(max_examples=60)
@given(st.sampled_from(sorted(KEPT)), st.integers(0, 2**32), st.integers(1, 8))
def test_damaged_bytes_raise_nothing(name: str, seed: int, changes: int) -> None:
    chance = random.Random(seed)
    data = bytearray(KEPT[name])
    for _ in range(changes):
        data[chance.randrange(len(data))] = chance.randrange(256)
    read(name, bytes(data))


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_random_bytes_are_no_graph(data: bytes) -> None:
    assume(data[4:8] != b"TFL3")  # the mark of one format, which sources are searched for
    first = next(iter(read("no-suffix", data)), None)
    assert not isinstance(first, Identified) or first.format not in set(FORMATS.values())


@pytest.mark.parametrize("name", ["m.onnx", "m.pb", "m.mlmodel"])
def test_random_bytes_with_a_promising_name_are_a_gap(name: str) -> None:
    assert gaps(read(name, b"\xf0" + random.Random(1).randbytes(200)))


def test_text_called_onnx_is_a_gap() -> None:
    assert gaps(read("m.onnx", b"not a model"))


@pytest.mark.parametrize("name", sorted(set(KEPT) - {"m.tflite"}))
def test_a_flood_of_fields_ends(name: str) -> None:
    assert any(
        "limit" in gap or "more than" in gap
        for gap in gaps(read(name, KEPT[name], Limits(fields=1)))
    )


def test_nested_graphs_end_at_a_depth_without_recursion() -> None:
    graph = make.onnx_graph(make.onnx_node("PyOp", "ai.onnx.contrib"))
    for _ in range(200):
        attribute = make.field(5, make.field(1, "body") + make.field(6, graph))
        graph = make.onnx_graph(make.onnx_node("If", attributes=attribute))
    assert any("nested more than" in gap for gap in gaps(read("m.onnx", make.onnx_model(graph))))


def test_onnx_counts_operators_in_branches_and_functions() -> None:
    inner = make.onnx_graph(make.onnx_node("Mul"))
    branch = make.field(5, make.field(1, "body") + make.field(6, inner))
    model = make.onnx_model(
        make.onnx_graph(make.onnx_node("Loop", attributes=branch), make.onnx_node("Mul"))
    )
    assert operators("m.onnx", model) == {":Loop": 1, ":Mul": 2}


def test_onnx_tells_metadata_and_references() -> None:
    tensor = make.onnx_tensor("w", external=make.external("w.bin", offset="0"))
    more = make.field(14, make.onnx_entry("author", "me"))
    model = make.onnx_model(make.onnx_graph(make.onnx_node("Relu"), tensors=[tensor]), more)
    found = read("m.onnx", model)
    (references,) = [item for item in found if isinstance(item, References)]
    (properties,) = [item for item in found if isinstance(item, Settings)]
    assert [r.target for r in references.references] == ["w.bin"]
    assert references.references[0].offset == model.index(b"w.bin")
    assert properties.document == {"author": "me"}
    assert not any(isinstance(item, Structure) for item in found)


def test_the_last_of_repeated_operators_counts_and_is_told() -> None:
    node = make.onnx_node("Relu") + make.field(4, "PyOp") + make.field(7, "ai.onnx.contrib")
    found = read("m.onnx", make.onnx_model(make.onnx_graph(make.onnx_node("Relu"), node)))
    assert any(isinstance(item, Structure) for item in found)
    assert "ai.onnx.contrib:PyOp" in operators(
        "m.onnx", make.onnx_model(make.onnx_graph(make.onnx_node("Relu"), node))
    )


def test_functions_that_a_graph_defines_are_no_operators_of_it() -> None:
    graph = make.graph_def(
        make.tf_node("mine", "n"), functions=[make.tf_function("mine", make.tf_node("NoOp", "i"))]
    )
    assert operators("m.pb", make.saved_model(graph)) == {":NoOp": 1}


def test_a_path_is_followed_through_calls_by_argument() -> None:
    saver = make.tf_function(
        "saver",
        make.tf_node("Identity", "same", ["prefix"]),
        make.tf_node("SaveV2", "save", ["same:output:0", "names"]),
        arguments=("other", "prefix"),
    )
    outer = make.tf_function("outer", make.tf_call("saver", "b", "a"), arguments=("a", "b"))
    graph = make.graph_def(
        make.tf_text("fixed", "/fixed"),
        make.tf_text("harmless", "/harmless"),
        make.tf_call("outer", "fixed", "harmless"),
        functions=[saver, outer],
    )
    (found,) = [i for i in read("m.pb", make.saved_model(graph)) if isinstance(i, Graph)]
    (save,) = [o for o in found.operators if o.name == "SaveV2"]
    assert save.constants == ("/fixed",)


def test_a_loop_of_nodes_ends() -> None:
    graph = make.graph_def(
        make.tf_node("Identity", "a", ["b"]),
        make.tf_node("Identity", "b", ["a"]),
        make.tf_node("SaveV2", "save", ["a", "names"]),
    )
    assert operators("m.pb", make.saved_model(graph)) == {":Identity": 2, ":SaveV2": 1}


def test_keras_descriptions_in_a_saved_model_are_settings() -> None:
    document = '{"class_name": "Sequential", "config": {"name": "s", "layers": []}}'
    node = make.field(4, "_tf_keras_sequential") + make.field(5, document)
    found = read("keras_metadata.pb", make.field(1, node))
    (setting,) = [item for item in found if isinstance(item, Settings)]
    assert setting.kind == "keras"
    user = make.field(4, make.field(1, "_tf_keras_sequential") + make.field(3, document))
    model = make.saved_model(
        make.graph_def(make.tf_node("NoOp", "n")), make.field(7, make.field(1, user))
    )
    assert any(isinstance(item, Settings) for item in read("m.pb", model))


def test_a_tflite_file_may_have_an_archive_behind_it() -> None:
    from fixtures.containers import Member, zip_file

    data = make.tflite([(0, "")]) + zip_file([Member("labels.txt", b"a\n")])
    assert any(isinstance(item, Blob) for item in read("m.tflite", data))


@pytest.mark.parametrize("count", [2**31, 2**32 - 1])
def test_tflite_counts_that_lie_are_told(count: int) -> None:
    data = bytearray(make.tflite([(0, "")]))
    for at in range(8, len(data) - 4, 4):
        changed = bytearray(data)
        struct.pack_into("<I", changed, at, count)
        read("m.tflite", bytes(changed))


def test_xml_with_entities_is_read_no_further() -> None:
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 9))
    data = make.pmml("&a8;", f'<!DOCTYPE PMML [<!ENTITY a0 "ha">{laughs}]>')
    found = read("m.pmml", data)
    assert any("document type" in gap for gap in gaps(found))
    assert any(isinstance(item, Structure) for item in found)


def test_deep_xml_ends() -> None:
    assert any("nested" in gap for gap in gaps(read("m.pmml", make.pmml("<a>" * 5000))))


def test_openvino_in_utf_16_is_known() -> None:
    data = make.openvino('<layer type="X" version="mine"/>', "").decode().encode("utf-16")
    assert operators("m.xml", data) == {"mine:X": 1}


def test_constants_outside_of_the_file_beside_are_told(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"\0" * 8)
    data = make.openvino('<layer name="c" type="Const"><data offset="0" size="9"/></layer>')
    blob = Blob("m.xml", len(data), lambda: memoryview(data), file=str(tmp_path / "m.xml"))
    (format_,) = identify(blob, memoryview(data))
    found = list(format_.open(blob, memoryview(data), Budget()))
    assert any(isinstance(item, Structure) for item in found)


@pytest.mark.parametrize("name", ["variables.data-00000-of-00001", "m.index"])
def test_checkpoints_of_tensorflow_are_numbers(name: str) -> None:
    data = b"\x01" * 60 + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
    assert any(isinstance(item, Numbers) for item in read(name, data))


def test_a_pickle_called_a_checkpoint_is_one() -> None:
    from fixtures import opcodes

    data = opcodes.pickle_of(opcodes.system(), 4)
    found = read("variables.data-00000-of-00001", data)
    assert any(type(item).__name__ == "PickleStream" for item in found)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("m.engine", b"ptrt\0\0\0\0"),
        ("m.pte", b"\0\0\0\0ET12"),
        ("m.ort", b"\0\0\0\0ORTM"),
        ("m.rknn", b"RKNN\0\0"),
        ("m.param", b"7767517\n3 3\n"),
        ("m.params", b"\x12\x01" + bytes(14)),
        ("m.pdiparams", b"\0" * 24),
        ("saved_model.pbtxt", b"meta_graphs {\n}\n"),
    ],
)
def test_what_is_not_read_is_named(name: str, data: bytes) -> None:
    (reason,) = gaps(read(name, data))
    assert "not read" in reason or "not checked" in reason


def test_a_graph_of_very_many_nodes_is_known() -> None:
    graph = make.graph_def(*[make.tf_node("NoOp", "n")] * 101_000, make.tf_node("ReadFile", "r"))
    assert operators("no-suffix", graph) == {":NoOp": 101_000, ":ReadFile": 1}
