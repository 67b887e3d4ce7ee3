from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, References, ShardIndex, Structure
from poisonscan.formats.registry import identify
from poisonscan.formats.shard_index import Index
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.sources.base import Blob


def opened(data: bytes, name: str = "model.safetensors.index.json") -> list[Blob | Artifact | Gap]:
    source = Blob(name, len(data), lambda: memoryview(data))
    assert [format_.name for format_ in identify(source, memoryview(data))] == ["shard index"]
    return list(Index().open(source, memoryview(data), Budget()))


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors.index.json",
        "pytorch_model.bin.index.json",
        "diffusion_pytorch_model.safetensors.index.fp16.json",
        "tf_model.h5.index.json",
        "flax_model.msgpack.index.json",
        "model.weights.json",
    ],
)
def test_indexes_of_every_library_are_read(name: str) -> None:
    text = json.dumps({"metadata": {"total_size": 4}, "weight_map": {"a": "x-1.bin"}}, indent=2)
    index, references = opened(text.encode(), name)
    assert isinstance(index, ShardIndex)
    assert index.weight_map == {"a": "x-1.bin"}
    assert isinstance(references, References)
    assert [reference.target for reference in references.references] == ["x-1.bin"]


def test_lists_of_files_as_keras_writes_them() -> None:
    text = b'{"weight_map": {"/layers/dense/vars": ["a.weights.h5", "../b.weights.h5"]}}'
    index, references = opened(text, "model.weights.json")
    assert isinstance(index, ShardIndex)
    assert set(index.weight_map.values()) == {"a.weights.h5", "../b.weights.h5"}
    assert isinstance(references, References)
    assert len(references.references) == 2


def test_a_key_that_stands_twice_is_told() -> None:
    text = b'{"weight_map": {"a": "x.bin", "a": "y.bin"}, "weight_map": {"a": "z.bin"}}'
    _, structure, _ = opened(text)
    assert isinstance(structure, Structure)
    assert [anomaly.name for anomaly in structure.anomalies] == ["a", "weight_map"]


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b'{"weight_map": 5}',
        b'{"weight_map": {"a": 5}}',
        b'{"weight_map": {"a": [5]}}',
        b"{}",
        b'{"weight_map": {"a": NaN}}',
        b'{"weight_map": ' + b"[" * 5000,
    ],
)
def test_what_is_not_understood_is_a_gap(text: bytes) -> None:
    assert any(isinstance(item, Gap) for item in opened(text))


def test_a_flood_is_refused_before_it_is_parsed() -> None:
    data = b'{"weight_map": {"a": [' + b"[]," * 10_000 + b"[]]}}"
    source = Blob("a.index.json", len(data), lambda: memoryview(data))
    with pytest.raises(LimitReached):
        list(Index().open(source, memoryview(data), Budget(Limits(members=100))))


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@example({"weight_map": {"\x7f": None}}, 22)
@given(st.fixed_dictionaries({"weight_map": JSON}), st.integers(0, 400))
def test_any_json_cut_anywhere_gives_results_or_gaps(content: Any, end: int) -> None:
    data = json.dumps(content).encode()[: max(end, 1)]
    assert opened(data)
