"""Tree models, R, Torch7, MessagePack, skops and torch's code in hostile bytes."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import r_files, torch_code_files, tree_files
from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Format, Graph, Numbers, Script, Settings, Structure
from poisonscan.formats.json_tokens import DEPTH, json_tokens
from poisonscan.formats.model_archive import ArchiveManifest
from poisonscan.formats.msgpack import MsgPack
from poisonscan.formats.r_data import RData
from poisonscan.formats.registry import identify
from poisonscan.formats.serialized import Serialized
from poisonscan.formats.skops import Skops
from poisonscan.formats.torch7 import Torch7
from poisonscan.formats.torch_archive import (
    EXPORTED,
    MOBILE,
    ByteCode,
    CompiledCode,
    ExportedProgram,
)
from poisonscan.formats.trees import CatBoost, LightGBM
from poisonscan.formats.ubjson import ubjson_tokens
from poisonscan.formats.xgboost_model import XGBoost
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

FLAX = b"\x81\xa1w\xc7\x16\x01\x93\x92\x01\x02\xa7float32\xc4\x08" + bytes(8)
SOUND: list[tuple[Format, str, bytes]] = [
    (XGBoost(), "m.json", tree_files.text(tree_files.xgboost())),
    (XGBoost(), "m.ubj", tree_files.ubjson({"learner": tree_files.xgboost()["learner"]})),
    (XGBoost(), "m.model", tree_files.xgboost_binary()),
    (LightGBM(), "m.txt", tree_files.lightgbm()),
    (CatBoost(), "m.json", b'{"features_info":{"a":[1]},"oblivious_trees":[{"x":1.5}]}'),
    (RData(), "m.rds", r_files.runs_code()[1]["lm.rds"]),
    (RData(), "m.rds", r_files.runs_code()[1]["byte-code.rds"]),
    (RData(), "m.rds", r_files.runs_code()[1]["numbers-ascii.rds"]),
    (Torch7(), "m.t7", torch_code_files.torch7()[1]["table.t7"]),
    (Torch7(), "m.t7", torch_code_files.torch7()[1]["ascii.t7"]),
    (MsgPack(), "m.msgpack", FLAX),
    (Skops(), "m.skops!/schema.json", b'{"__loader__":"ObjectNode","content":[{},{}]}'),
    (ArchiveManifest(), "m.mar!/MAR-INF/MANIFEST.json", b'{"model":{"handler":"h.py"}}'),
    (ExportedProgram(), "m.pt2!/m/models/a.json", tree_files.text(torch_code_files.program())),
]
CASES = pytest.mark.parametrize(("form", "name", "data"), SOUND)


def items(form: Format, name: str, data: bytes) -> Iterator[Blob | Artifact | Gap]:
    view = memoryview(data)
    return form.open(Blob(name, len(data), lambda: view), view, Budget())


def matches(form: Format, name: str, data: bytes) -> bool:
    return form.matches(Blob(name, len(data), lambda: memoryview(data)), data[:4096])


def complains(found: list[Blob | Artifact | Gap]) -> bool:
    return any(isinstance(item, Gap | Structure) for item in found)


@CASES
def test_a_sound_file_is_known_and_quiet(form: Format, name: str, data: bytes) -> None:
    assert matches(form, name, data)
    assert not complains(list(items(form, name, data)))


@CASES
def test_a_file_that_is_cut_is_never_quiet(form: Format, name: str, data: bytes) -> None:
    # Behind the last tree of LightGBM stand notes that nothing depends on.
    end = data.find(b"end of trees") if isinstance(form, LightGBM) else len(data.rstrip())
    for length in range(end):
        cut = data[:length]
        if matches(form, name, cut):
            assert complains(list(items(form, name, cut))), length


@CASES
@settings(max_examples=60)
@given(change=st.data())
def test_changed_bytes_raise_nothing_but_limits(
    form: Format, name: str, data: bytes, change: st.DataObject
) -> None:
    damaged = bytearray(data)
    for _ in range(change.draw(st.integers(1, 6))):
        place = change.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + 1] = change.draw(
            st.sampled_from([b"", b"\xff\xff\xff\x7f", b"\0", b"\xff" * 8, b"[", b"{", b'"', b"\6"])
            | st.binary(max_size=8)
        )
        damaged = damaged or bytearray(b"\0")
    started = time.monotonic()
    if matches(form, name, bytes(damaged)):
        with contextlib.suppress(LimitReached):
            list(items(form, name, bytes(damaged)))
    assert time.monotonic() - started < 5


@CASES
@settings(max_examples=25)
@given(noise=st.binary(max_size=300))
def test_random_bytes_raise_nothing(form: Format, name: str, data: bytes, noise: bytes) -> None:
    for begin in (b"", data[:4], data[:16]):
        if matches(form, name, begin + noise):
            with contextlib.suppress(LimitReached):
                list(items(form, name, begin + noise))


@pytest.mark.parametrize("tokens", [json_tokens, ubjson_tokens])
def test_deep_nesting_is_a_limit(tokens: object) -> None:
    with pytest.raises(LimitReached):
        list(tokens(memoryview(b"[[" * DEPTH)))  # type: ignore[operator]


@pytest.mark.parametrize("count", [2**31 - 1, 2**32, 2**62])
def test_a_count_beyond_the_end_costs_nothing(count: int) -> None:
    document = b"{L" + struct.pack(">q", 7) + b"learner{i\1a[$L#L" + struct.pack(">q", count)
    started = time.monotonic()
    assert complains(list(items(XGBoost(), "m.ubj", document)))
    assert time.monotonic() - started < 1


def test_deep_r_objects_do_not_recurse() -> None:
    deep: r_files.Tokens = [19, 1] * 100_000
    found = list(items(RData(), "m.rds", r_files.stream([*deep, *r_files.NIL])))
    assert [type(item) for item in found] == [Serialized]


def test_deep_torch7_tables_do_not_recurse() -> None:
    data = b"".join(
        struct.pack("<3i", 3, index, 1) + struct.pack("<id", 1, 1.0) for index in range(1, 50_000)
    )
    found = list(items(Torch7(), "m.t7", data + struct.pack("<i", 0)))
    assert [type(item) for item in found] == [Serialized]


@pytest.mark.parametrize(
    ("form", "name", "data"), [one for one in SOUND if isinstance(one[0], RData | Torch7)]
)
def test_bytes_behind_objects_are_a_gap_however_much_padding_hides_them(
    form: Format, name: str, data: bytes
) -> None:
    assert not any(isinstance(item, Gap) for item in items(form, name, data + b"\0\n" * 500))
    *_, gap = items(form, name, data + bytes(1_000) + b"more")
    assert isinstance(gap, Gap)
    assert f"bytes behind the object, from {len(data):,}" in gap.reason


def test_escapes_in_keys_are_resolved() -> None:
    (_, token, _) = json_tokens(memoryview(b'{"\\u0061\\n": "x"}'))
    assert (token.key, token.text) == ("a\n", "x")


def test_a_schema_of_something_else_is_text() -> None:
    (item,) = items(Skops(), "a.zip!/schema.json", b'{"type": "object"}')
    assert not isinstance(item, Settings)


def test_python_in_the_place_of_torchscript_is_python() -> None:
    place = "m.pt!/m/code/__torch__.py"
    assert matches(CompiledCode(), place, b"class M(Module):\n  pass\n")
    assert not matches(CompiledCode(), place, b"class M:\n  import os\n")
    assert not matches(CompiledCode(), "m/code/model.py", b"x = 1\n")
    (script,) = items(CompiledCode(), place, b"x")
    assert isinstance(script, Script)
    assert script.language == "torchscript"


def test_operators_of_mobile_models_are_named() -> None:
    data = b"\x80\x02X\x0f\0\0\0aten::from_fileq\1X\0\0\0\0q\2\x86."
    graph = next(iter(items(ByteCode(), "m.ptl!/m/bytecode.pkl", data)))
    assert isinstance(graph, Graph)
    assert graph.format == MOBILE
    assert [(o.domain, o.name) for o in graph.operators] == [("aten", "from_file")]


def test_expressions_and_targets_of_a_program() -> None:
    data = tree_files.text(torch_code_files.program("s0*2", "torch.ops.x.y", ["a", "b"]))
    (graph,) = items(ExportedProgram(), "m.pt2!/models/m.json", data)
    assert isinstance(graph, Graph)
    assert graph.format == EXPORTED
    assert {(o.domain, o.name) for o in graph.operators} == {
        ("", "torch.ops.x.y"), ("expression", "s0*2"), ("guard", "a"), ("guard", "b"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (FLAX.replace(b"\x02\xa7", b"\x09\xa7"), "array-length"),
        (FLAX.replace(b"float32", b"object_"), "dtype"),
        (b"\x81\xa1w\xd4\x09\0", "extension"),
        (FLAX + b"\0", "unreadable"),
        (b"\xdf\xff\xff\xff\xff\xa1w", "unreadable"),
    ],
)
def test_lies_in_messagepack(data: bytes, kind: str) -> None:
    (broken,) = [i for i in items(MsgPack(), "m.msgpack", data) if isinstance(i, Structure)]
    assert [anomaly.kind for anomaly in broken.anomalies] == [kind]


def test_a_pickle_in_messagepack_is_read() -> None:
    pickled = b"\x80\x02cposix\nsystem\nX\4\0\0\0true\x85R."
    data = b"\x81\xa4data\xc4" + bytes([len(pickled)]) + pickled
    assert [type(i).__name__ for i in items(MsgPack(), "m.msgpack", data)] == [
        "Numbers", "PickleStream",
    ]  # fmt: skip


def test_numbers_come_first_so_that_reports_name_the_model() -> None:
    for form, name, data in SOUND[:5]:
        first = next(iter(items(form, name, data)))
        assert isinstance(first, Numbers)
        assert first.format.endswith("model")


def test_a_byte_order_mark_does_not_hide_a_skops_schema() -> None:
    data = b'\xef\xbb\xbf{"__loader__":"ObjectNode"}'
    source = Blob("m.skops!/schema.json", len(data), lambda: memoryview(data))
    (form, *_) = identify(source, source.open())
    (item,) = items(form, source.path, data)
    assert isinstance(item, Settings)
    assert item.kind == "skops"
