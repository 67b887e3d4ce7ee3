"""One digest for one tensor, whichever container holds it. No torch: files are written by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from fixtures import containers as box
from fixtures import opcodes as op
from poisonscan.limits import Limits
from poisonscan.locking.checkpoints import checkpoint, may_be_checkpoint
from poisonscan.locking.tensors import Tensor, TensorDigest, digest_of

TYPES = {"F32": "FloatStorage", "F64": "DoubleStorage", "I64": "LongStorage", "U8": "ByteStorage"}
NUMPY = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "U8": "u1"}


def sizes(numbers: Sequence[int]) -> bytes:
    return op.MARK + b"".join(map(op.long1, numbers)) + op.TUPLE


def tensor(
    key: str, count: int, shape: Sequence[int], strides: Sequence[int], offset: int = 0,
    dtype: str = "F32", legacy: bool = False,
) -> bytes:  # fmt: skip
    """Opcodes of a tensor as torch writes it."""
    storage = op.MARK + op.text("storage") + op.glob("torch", TYPES[dtype]) + op.text(key)
    storage += op.text("cpu") + op.integer(count) + (op.NONE if legacy else b"") + op.TUPLE
    arguments = storage + op.BINPERSID + op.integer(offset)
    arguments += sizes(shape) + sizes(strides)
    arguments += op.NEWFALSE + op.call("collections", "OrderedDict")
    rebuild = op.glob("torch._utils", "_rebuild_tensor_v2")
    return rebuild + op.MARK + arguments + op.TUPLE + op.REDUCE


def state(tensors: dict[str, bytes], *, ordered: bool = True) -> bytes:
    items = b"".join(op.text(name) + made for name, made in tensors.items())
    start = op.call("collections", "OrderedDict") if ordered else b"}"
    return start + op.MARK + items + op.SETITEMS


def of(data: bytes) -> tuple[TensorDigest, ...]:
    found = checkpoint(memoryview(data), Limits())
    assert found is not None
    assert found.notes == ()
    return found.tensors


def refused(data: bytes) -> str:
    found = checkpoint(memoryview(data), Limits())
    assert found is not None
    assert found.tensors == ()
    (note,) = found.notes
    return note


VALUES = np.arange(12, dtype="<f4").reshape(3, 4)


@pytest.mark.parametrize(
    ("array", "shape", "strides", "offset"),
    [
        (VALUES, (3, 4), (4, 1), 0),
        (VALUES.T, (4, 3), (1, 4), 0),
        (VALUES[1:, ::2], (2, 2), (4, 2), 4),
        (np.broadcast_to(VALUES[0, 1], (2, 5)), (2, 5), (0, 0), 1),
        (VALUES[2, 3], (), (), 11),
        (VALUES[:, 4:], (3, 0), (4, 1), 0),
        (VALUES[1:2], (1, 4), (99, 1), 4),
    ],
)
def test_views_of_a_storage(
    array: np.ndarray[tuple[int, ...], np.dtype[np.float32]], shape: tuple[int, ...],
    strides: tuple[int, ...], offset: int,
) -> None:  # fmt: skip
    """Transposed, sliced, expanded: as `save_file` of the contiguous tensor writes them."""
    pickle = op.pickle_of(state({"w": tensor("0", 12, shape, strides, offset)}), protocol=2)
    torch = box.torch_zip(pickle, {"0": VALUES.tobytes()})
    assert of(torch) == of(save({"w": np.ascontiguousarray(array).reshape(shape)}))


@given(
    st.dictionaries(
        st.text("abc.", min_size=1, max_size=4),
        st.tuples(st.sampled_from(sorted(TYPES)), st.lists(st.integers(0, 4), max_size=3)),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_containers_agree_tensor_by_tensor(table: dict[str, tuple[str, list[int]]]) -> None:
    rng = np.random.default_rng(7)
    arrays, made, storages, legacy = {}, {}, {}, {}
    for number, (name, (dtype, shape)) in enumerate(table.items()):
        array = rng.integers(0, 250, shape).astype(NUMPY[dtype])
        arrays[name], storages[str(number)] = array, array.tobytes()
        strides = [int(np.prod([max(n, 1) for n in shape[i + 1 :]])) for i in range(len(shape))]
        made[name] = tensor(str(number), array.size, shape, strides, dtype=dtype)
        legacy[name] = tensor(str(number), array.size, shape, strides, dtype=dtype, legacy=True)
    plain = of(save(arrays))
    assert {t.name for t in plain} == set(table)
    assert of(box.torch_zip(op.pickle_of(state(made), protocol=2), storages)) == plain
    assert (
        of(box.torch_zip(op.pickle_of(state(made, ordered=False), protocol=2), storages)) == plain
    )
    wrapped = state({"state_dict": state(made), "epoch": op.integer(3)}, ordered=False)
    assert of(box.torch_zip(op.pickle_of(wrapped, protocol=2), storages)) == plain
    old = box.torch_legacy({
        4: op.pickle_of(state(legacy), protocol=2),
        5: op.pickle_of(op.MARK + b"".join(map(op.text, storages)) + op.LIST, protocol=2),
    })  # fmt: skip
    # The storages of the sample are replaced by these.
    old = old[: -8 - 16] + b"".join(
        struct.pack("<q", array.size) + array.tobytes() for array in arrays.values()
    )
    assert of(old) == plain


def test_one_flipped_bit_shows_in_its_tensor_only() -> None:
    arrays = {"a": VALUES, "b": VALUES + 1}
    data = bytearray(save(arrays))
    data[-1] ^= 1
    before, after = of(save(arrays)), of(bytes(data))
    assert [x.name for x, y in zip(before, after, strict=True) if x != y] == ["b"]
    assert digest_of(before) != digest_of(after)
    assert digest_of(before) == digest_of(before[::-1])


def test_names_of_a_pickled_module() -> None:
    """``torch.save(model)``: names are those of its state dict."""
    layer = (
        op.glob("torch.nn", "Linear")
        + op.EMPTY_TUPLE
        + op.NEWOBJ
        + state({"_parameters": state({"weight": tensor("0", 12, (3, 4), (4, 1))})}, ordered=False)
        + op.BUILD
    )
    model = (
        op.glob("torch.nn", "Sequential")
        + op.EMPTY_TUPLE
        + op.NEWOBJ
        + state({"_modules": state({"0": layer}), "training": op.NEWTRUE}, ordered=False)
        + op.BUILD
    )
    data = box.torch_zip(op.pickle_of(model, protocol=2), {"0": VALUES.tobytes()})
    assert [found.name for found in of(data)] == ["0.weight"]


@pytest.mark.parametrize(
    ("made", "storages", "why"),
    [
        (tensor("0", 12, (3, 4), (4, 1), 1), {"0": VALUES.tobytes()}, "outside"),
        (tensor("0", 12, (3, 4), (4, 1)), {"0": VALUES.tobytes()[:-1]}, "outside"),
        (tensor("1", 12, (3, 4), (4, 1)), {"0": VALUES.tobytes()}, "not there"),
        (tensor("../x", 12, (3, 4), (4, 1)), {"0": VALUES.tobytes()}, "not there"),
        (tensor("0", 12, (9**9, 9**9), (0, 0)), {"0": VALUES.tobytes()}, "far larger"),
        (tensor("0", 12, (3, 4), (4,)), {"0": VALUES.tobytes()}, "not known"),
    ],
)  # fmt: skip
def test_hostile_tensors_are_refused(made: bytes, storages: dict[str, bytes], why: str) -> None:
    data = box.torch_zip(op.pickle_of(state({"w": made}), protocol=2), storages)
    assert why in refused(data)


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,999]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}}',
        b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}',
        b'{"a":[1]}',
        b'{"a":',
    ],
)
def test_hostile_headers_are_refused(header: bytes) -> None:
    assert "not told apart" in refused(struct.pack("<Q", len(header)) + header + b"\0" * 4)


def test_archives_that_loaders_read_differently_have_no_tensors() -> None:
    """Two members of one name: which one counts is not for us to guess."""
    pickle = op.pickle_of(state({"w": tensor("0", 12, (3, 4), (4, 1))}), protocol=2)
    members = box.torch_members(pickle, {"0": VALUES.tobytes()})
    data = box.zip_file([*members, members[0]])
    assert "loaders differ" in refused(data)


def test_what_no_key_leads_to_is_said() -> None:
    hidden = op.glob("thing", "Box") + op.MARK + tensor("0", 12, (3, 4), (4, 1)) + op.TUPLE
    pickle = op.pickle_of(state({"w": hidden + op.REDUCE}), protocol=2)
    found = checkpoint(memoryview(box.torch_zip(pickle, {"0": VALUES.tobytes()})), Limits())
    assert found is not None
    assert found.notes == ("tensors that no key leads to are not among them: 1",)


def test_other_files(tmp_path: Path) -> None:
    file = tmp_path / "a"
    for data in (b"", b"PK", b"text", b"\x80\x04N.", b"PK\x03\x04", box.zip_file([])):
        file.write_bytes(data)
        assert checkpoint(memoryview(data), Limits()) is None or not may_be_checkpoint(str(file))
    assert not may_be_checkpoint(str(tmp_path))


@pytest.mark.parametrize("most", [1, 7, 100, 10_000])
def test_pieces_of_what_is_large(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than is copied at once, and not in C order."""
    monkeypatch.setattr("poisonscan.locking.tensors._COPIED", most)
    data = np.arange(5 * 30 * 7, dtype="<u4").astype("u1").reshape(7, 30, 5)
    strided = Tensor("w", "U8", (5, 30, 7), memoryview(data.tobytes()), 0, (1, 5, 150))
    assert b"".join(strided.pieces()) == data.T.tobytes()
