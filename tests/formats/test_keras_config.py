"""Keras documents: what is one, in every form, and what it names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.finding import Gap
from poisonscan.formats import keras_config
from poisonscan.formats.base import Graph, References, Settings, Structure
from poisonscan.formats.keras_config import KerasConfig, walk
from poisonscan.formats.registry import identify
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

MODEL = {"class_name": "Sequential", "config": {"layers": []}}


def blob(data: bytes, name: str = "config.json") -> Blob:
    return Blob(name, len(data), lambda: memoryview(data))


def is_keras(data: bytes, name: str = "config.json") -> bool:
    found = identify(blob(data, name), memoryview(data))
    return any(isinstance(item, KerasConfig) for item in found)


def read(data: bytes, name: str = "config.json") -> list[Any]:
    return list(KerasConfig().open(blob(data, name), memoryview(data), Budget()))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_document_is_known_in_every_encoding_that_keras_reads(encoding: str) -> None:
    data = json.dumps(MODEL).encode(encoding)
    assert is_keras(data)
    assert read(data)[0] == Settings("config.json", "keras", MODEL)  # type: ignore[arg-type]


def test_other_json_is_left_to_others() -> None:
    assert not is_keras(b'{"class_name": "x"}\n{"class_name": "y", "config": 1}\n', "rows.jsonl")
    assert not is_keras(b'{"model_type": "bert", "architectures": ["class_name"]}')
    assert not is_keras(b'[{"class_name": "a", "config": {}}]')
    assert not is_keras(b"class_name: a\nother: b\n", "settings.yaml")
    assert is_keras(b'{"name": "x", "layers": [{"class_name": "Dense", "config": {}}]}')
    assert is_keras(b'{"keras_version": "3.0", "date_saved": ""}', "metadata.json")


def test_a_broken_document_is_a_gap() -> None:
    for data in (b'{"class_name": "Sequential", "config": {', b'{"class_name": ' + b"[" * 99_999):
        assert is_keras(data)
        assert isinstance(read(data)[0], Gap)


def test_a_name_that_stands_twice_is_told() -> None:
    items = read(b'{"class_name": "A", "config": {}, "class_name": "B"}')
    assert [a.name for item in items if isinstance(item, Structure) for a in item.anomalies] == [
        "class_name"
    ]


def test_files_that_layers_read_are_references() -> None:
    layer = {"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}
    items = read(json.dumps({**MODEL, "config": {"layers": [layer]}}).encode())
    (references,) = [item for item in items if isinstance(item, References)]
    assert [r.target for r in references.references] == ["/etc/passwd"]
    assert "config.layers[0].config" in references.references[0].what


def test_a_tensorflow_js_graph_gives_its_operations() -> None:
    nodes = [{"name": "a", "op": "Const"}, {"name": "b", "op": "Add"}, {"name": "c", "op": "Add"}]
    items = read(json.dumps({"modelTopology": {"node": nodes}}).encode())
    (graph,) = [item for item in items if isinstance(item, Graph)]
    assert [(o.name, o.count) for o in graph.operators] == [("Const", 1), ("Add", 2)]


@pytest.mark.parametrize(
    "text",
    [
        "class_name: A\nconfig: !!python/object/apply:os.system [x]\n",
        "class_name: A\nconfig: !!python/name:os.system ''\n",
        "class_name: A\nconfig: {a: !!python/object/new:os.system {state: 1}}\n",
        "{class_name: A, config: [!!python/object:os.system {}]}\n",
    ],
)
def test_names_in_yaml_tags_are_kept(text: str) -> None:
    assert is_keras(text.encode(), "model.yaml")
    (settings,) = read(text.encode(), "model.yaml")
    found = [value for _, value in walk(settings.document) if isinstance(value, dict)]
    assert any(v.get("module") == "os" and v.get("config") == "system" for v in found)


def test_yaml_that_refers_to_itself_or_repeats_without_end_is_walked_once() -> None:
    lines = ["class_name: A", "config:", "  a0: &a0 [x]"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    lines += ["  m0: &m0 {a: 1}"]
    lines += [f"  m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, 30)]
    lines += ["  loop: &loop [*loop]"]
    (settings,) = read("\n".join(lines).encode(), "model.yaml")
    assert len(list(walk(settings.document))) < 500


def test_deep_documents_are_walked_without_recursion() -> None:
    document: Any = "x"
    for _ in range(50_000):
        document = [document]
    assert sum(1 for _ in walk(document)) == 50_000


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_a_gap(data: bytes) -> None:
    assert list(keras_config.artifacts("x", data))
    for name in ("config.json", "model.yaml"):
        KerasConfig().matches(blob(data, name), data)
        assert read(data, name)


@pytest.mark.parametrize("name", ["k5.json", "k5"])
@pytest.mark.parametrize("key", [b"class_name", b"cl\\u0061ss_name"])
def test_padding_in_front_hides_no_document_that_is_too_long(
    monkeypatch: pytest.MonkeyPatch, name: str, key: bytes
) -> None:
    monkeypatch.setattr(keras_config, "LONGEST", 10_000)
    data = b'{"pad": "' + b"x" * 5_000 + b'", "' + key + b'": "Lambda", "config": {}, "p": "'
    data += b"x" * 10_000 + b'"}'
    assert is_keras(data, name)
    assert [type(item) for item in read(data, name)] == [Gap]


def test_rows_with_a_column_of_that_name_are_no_document() -> None:
    assert not is_keras(b'{"class_name": "cat"}\n' * 3, "train.json")
    assert not is_keras(b'{"a": "' + b"x" * 5_000 + b'", "class_name": 1}\n{}', "train.json")
