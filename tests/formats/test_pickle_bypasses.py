"""Ways around a scanner through opcodes and harmless names: each would load, so each is found.

Nothing here is ever loaded. Protocol 0 and 1 text stands for what any protocol can say.
"""

from __future__ import annotations

import functools
import io
import logging
import pickle
import re
import struct
from pathlib import Path

import joblib
import numpy as np
import pytest

import poisonscan
from fixtures import containers as box
from fixtures import opcodes as op
from poisonscan.finding import Severity
from poisonscan.pickles.names import JUDGED_CALLED

# No header, no GLOBAL: only a reading from the right place on sees what it does.
HIDDEN = op.stack_global("os", "system") + op.short_text("true") + op.TUPLE1 + op.REDUCE
NESTED = op.binary(op.pickle_of(op.system(), 2))
LOAD = op.glob("torch.storage", "_load_from_bytes")
NAMESPACE = op.glob("argparse", "Namespace") + op.EMPTY_TUPLE + op.NEWOBJ


def found(tmp_path: Path, data: bytes, name: str = "model.pkl") -> set[str]:
    path = tmp_path / name
    path.write_bytes(data)
    report = poisonscan.scan(path, isolation="off")
    return {f.rule.id for f in report.findings if f.severity >= Severity.MEDIUM}


def with_state(target: bytes, **values: bytes) -> bytes:
    items = b"".join(op.text(key) + value for key, value in values.items())
    return target + op.EMPTY_DICT + op.MARK + items + op.SETITEMS + op.BUILD


# Harmless names put together.


@pytest.mark.parametrize("method", ["append", "extend"])
def test_an_attribute_that_is_called_as_the_method_of_a_list(tmp_path: Path, method: str) -> None:
    # APPEND looks up `extend` and `append` on what it fills, and calls what it finds.
    data = op.pickle_of(with_state(NAMESPACE, **{method: LOAD}) + NESTED + op.APPEND, 3)
    assert {"PS103", "PS105"} <= found(tmp_path, data)


def test_an_attribute_that_is_called_as_setstate(tmp_path: Path) -> None:
    data = op.pickle_of(with_state(NAMESPACE, __setstate__=LOAD) + NESTED + op.BUILD, 3)
    assert {"PS103", "PS105"} <= found(tmp_path, data)


def test_an_attribute_that_is_called_as_the_method_of_a_set(tmp_path: Path) -> None:
    target = with_state(NAMESPACE, add=op.glob("sklearn.utils", "Bunch"))
    data = op.pickle_of(target + op.MARK + op.integer(1) + op.ADDITEMS, 4)
    assert "PS105" in found(tmp_path, data)


def test_items_set_before_items_appended(tmp_path: Path) -> None:
    # Attributes of these are their items, so `append` is what was put in.
    made = op.call("scipy.optimize._optimize", "OptimizeResult")
    entry = op.text("append") + op.glob("builtins", "list") + op.SETITEM
    data = op.pickle_of(made + entry + op.integer(1) + op.APPEND, 2)
    assert "PS105" in found(tmp_path, data)


@pytest.mark.parametrize("name", sorted(JUDGED_CALLED, key=str), ids=lambda name: name.dotted)
def test_a_name_judged_by_its_calls_is_not_handed_on(tmp_path: Path, name: object) -> None:
    value = f"c{name.module}\n{name.name}\n".encode()  # type: ignore[attr-defined]
    assert found(tmp_path, op.pickle_of(value + op.TUPLE1, 2)) == {"PS103"}
    kept = value + op.put(0) + op.POP
    ballast = op.MARK + (op.text("x") + op.integer(7)) * 20_000
    assert found(tmp_path, op.pickle_of(kept + ballast + op.get(0) + op.LIST, 2)) == {"PS103"}


def test_a_partial_call_that_is_given_another_function(tmp_path: Path) -> None:
    made = op.call("functools", "partial", op.glob("numpy", "add"))
    honest = op.tuple_of(op.glob("numpy", "add"), op.EMPTY_TUPLE, op.EMPTY_DICT, op.NONE)
    other = op.tuple_of(op.glob("numpy", "sin"), op.EMPTY_TUPLE, op.EMPTY_DICT, op.NONE)
    many = (made + honest + op.BUILD + op.POP) * 9
    assert found(tmp_path, op.pickle_of(many + op.NONE, 2)) == set()
    assert found(tmp_path, op.pickle_of(many + made + other + op.BUILD, 2)) == {"PS103"}


def test_a_partial_call_of_what_calls_its_argument(tmp_path: Path) -> None:
    # Whatever calls this later loads the bytes.
    rebuild = op.glob("torch._tensor", "_rebuild_from_type_v2")
    call = op.call("functools", "partial", rebuild, LOAD, op.glob("torch", "Tensor"), NESTED)
    assert "PS103" in found(tmp_path, op.pickle_of(call, 3))


@pytest.mark.parametrize("name", ["load", "tofile", "unlink"])
def test_a_method_is_no_member_of_an_enumeration(tmp_path: Path, name: str) -> None:
    owner = op.glob("gensim.models.keyedvectors", "KeyedVectors")
    assert "PS103" in found(
        tmp_path, op.pickle_of(op.call("builtins", "getattr", owner, op.text(name)), 2)
    )


def test_a_constant_of_a_class_is_changed(tmp_path: Path) -> None:
    owner = op.glob("transformers.trainer_utils", "SchedulerType")
    member = op.call("builtins", "getattr", owner, op.text("LINEAR"))
    assert found(tmp_path, op.pickle_of(member, 2)) == set()
    assert found(tmp_path, op.pickle_of(with_state(member, _value_=op.integer(1)), 2)) == {"PS104"}


def test_one_changed_class_behind_many_alike(tmp_path: Path) -> None:
    def given_back(value: bytes) -> bytes:
        for _ in range(5):
            value = op.glob("torch.jit._pickle", "build_intlist") + value + op.TUPLE1 + op.REDUCE
        return value

    state = op.NONE + op.EMPTY_DICT + op.TUPLE2 + op.BUILD + op.POP
    alike = b"".join(given_back(op.EMPTY_LIST) + state for _ in range(9))
    linear = given_back(op.glob("torch.nn.modules.linear", "Linear"))
    assert "PS104" not in found(tmp_path, op.pickle_of(alike + op.NONE, 2))
    assert "PS104" in found(tmp_path, op.pickle_of(alike + linear + state + op.NONE, 2))


def test_one_called_class_of_a_persistent_id_behind_many_alike(tmp_path: Path) -> None:
    def called(module: str, name: str) -> bytes:
        where = op.tuple_of(op.text("module"), op.glob(module, name), op.text("f"), op.text("s"))
        return where + op.BINPERSID + op.tuple_of(op.text("x")) + op.REDUCE + op.POP

    alike = called("collections", "OrderedDict") * 9
    other = called("transformers.training_args", "TrainingArguments")
    assert found(tmp_path, op.pickle_of(alike + op.NONE, 2)) == set()
    assert "PS102" in found(tmp_path, op.pickle_of(alike + other + op.NONE, 2))


def test_a_torchscript_name_outside_of_an_archive(tmp_path: Path) -> None:
    # Python would look for a module of that name, such as one beside the file.
    assert found(tmp_path, op.pickle_of(op.call("__torch__.model", "Net"), 2)) == {"PS102"}


# What the unpicklers accept.


@pytest.mark.parametrize(
    "before",
    [
        b"I1\0junk\n",  # the number ends at NUL
        b"I\0\n",
        b"L7\0x\n",
        b"F1.5\0x\n",
        b"Np010\ng010\n0",  # a memo index is decimal
        b"Np%s1\ng1\n0" % (b"0" * 100),
        b"S'x" + b"-" * 4000 + b"y'\n",
        b"S'x'" + b"-" * 4000 + b"'y'\n",
        b"S'" + b"(" * 3000 + b"'\n",
    ],
)
def test_text_that_c_reads_otherwise_than_python(tmp_path: Path, before: bytes) -> None:
    assert found(tmp_path, before + op.POP + HIDDEN + op.STOP, "model.bin") == {"PS101"}


@pytest.mark.parametrize(
    "magic",
    [
        b"\x8a\xff" + box.TORCH_MAGIC.to_bytes(255, "little"),
        b"\x8b" + struct.pack("<i", 9_000) + box.TORCH_MAGIC.to_bytes(9_000, "little"),
        b"L0x" + b"0" * 5_000 + f"{box.TORCH_MAGIC:x}L\n".encode(),
        op.call("builtins", "int", op.text(np.base_repr(box.TORCH_MAGIC, 36)), op.integer(36)),
        op.call("decimal", "Decimal", op.tuple_of(op.integer(0), op.tuple_of(op.integer(1)))),
    ],
    ids=["LONG1", "LONG4", "LONG", "int", "Decimal"],
)
def test_a_torch_checkpoint_whose_magic_number_is_hidden(tmp_path: Path, magic: bytes) -> None:
    # The fourth stream has no header, and a persistent id before anything else.
    fourth = box.legacy_storage_id("0", 4) + op.POP + HIDDEN + op.STOP
    data = box.torch_legacy({1: magic + op.STOP, 4: fourth})
    assert {"PS101"} <= found(tmp_path, data, "model.pt")


def test_a_second_pickle_without_a_header(tmp_path: Path) -> None:
    first = op.pickle_of(op.EMPTY_DICT, 2)
    second = (op.NONE + op.POP) * 5_000 + HIDDEN + op.STOP
    assert found(tmp_path, first + second + b"\xff" * 9) == {"PS101"}


def test_a_payload_behind_a_broken_second_pickle(tmp_path: Path) -> None:
    broken = b"\x80\x04\xff"
    data = op.pickle_of(op.EMPTY_DICT, 2) + broken + bytes(90) + HIDDEN + op.STOP
    assert found(tmp_path, data) == {"PS101"}


def test_a_payload_behind_more_values_than_are_held(tmp_path: Path) -> None:
    data = op.NONE * 1_100_000 + op.POP + HIDDEN + op.STOP
    assert found(tmp_path, data) == {"PS101"}


# Arrays that joblib takes out of the stream, and nothing else does.

WRAPPER = op.glob("joblib.numpy_pickle", "NumpyArrayWrapper") + op.EMPTY_TUPLE + op.NEWOBJ


def array_header(size: int, *, made: bytes = WRAPPER, aligned: bool = False) -> bytes:
    dtype = op.call("numpy", "dtype", op.text("u1"), op.NEWFALSE, op.NEWTRUE)
    values = {
        "subclass": op.glob("numpy", "ndarray"),
        "shape": op.tuple_of(op.integer(size)),
        "order": op.text("C"),
        "dtype": dtype,
        "allow_mmap": op.NEWFALSE,
    }
    if aligned:
        values["numpy_array_alignment_bytes"] = op.integer(16)
    return with_state(made, **values)


@pytest.mark.parametrize("ballast", [0, 9_000])
def test_opcodes_in_an_array(tmp_path: Path, ballast: int) -> None:
    hidden = (op.NONE + op.POP) * ballast + HIDDEN + op.STOP
    data = b"\x80\x03" + array_header(len(hidden)) + hidden + op.STOP
    assert found(tmp_path, data) == {"PS101"}


def test_opcodes_in_the_last_of_many_arrays(tmp_path: Path) -> None:
    hidden = HIDDEN + op.STOP
    many = (array_header(3) + b"\0\1\2" + op.POP) * 2_100
    data = b"\x80\x03" + many + array_header(len(hidden)) + hidden + op.STOP
    assert found(tmp_path, data) == {"PS101"}


def test_opcodes_in_the_padding_of_an_array(tmp_path: Path) -> None:
    hidden = HIDDEN + op.STOP  # its length is POP
    assert len(hidden) < 48
    data = b"\x80\x03" + array_header(4, aligned=True) + b"0" + hidden.ljust(48) + b"1234" + b"."
    assert "PS101" in found(tmp_path, data)


def test_opcodes_in_an_array_whose_names_stand_before_it(tmp_path: Path) -> None:
    names = op.short_text("os") + b"\x94" + op.short_text("system") + b"\x94" + op.POP + op.POP
    hidden = op.get(0) + op.get(1) + op.STACK_GLOBAL + op.short_text("true") + b"\x85R."
    data = b"\x80\x04" + names + array_header(len(hidden)) + hidden + op.STOP
    assert found(tmp_path, data) == {"PS101"}


def test_opcodes_that_reach_out_of_an_array(tmp_path: Path) -> None:
    # The last byte of the array takes the first one behind it for its length.
    hidden = HIDDEN + op.STOP
    text = bytes(ord("U") - 1) + hidden
    data = b"\x80\x03" + array_header(1) + b"C" + b"U" + bytes([len(text)]) + text + op.STOP
    assert found(tmp_path, data) == {"PS101"}


def test_an_array_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    body = array_header(30) + op.EMPTY_DICT + HIDDEN + op.STOP
    data = b"\x80\x04" + op.frame(body) + bytes(30) + op.STOP
    assert "PS105" in found(tmp_path, data)


def test_a_wrapper_made_in_another_way(tmp_path: Path) -> None:
    wrapper = op.glob("joblib.numpy_pickle", "NumpyArrayWrapper")
    made = op.call("copyreg", "_reconstructor", wrapper, op.glob("builtins", "object"), op.NONE)
    data = b"\x80\x03" + array_header(2, made=made) + b"N." + HIDDEN + op.STOP
    assert found(tmp_path, data) == {"PS101"}
    changed = with_state(NAMESPACE, __class__=wrapper)
    assert "PS103" in found(tmp_path, op.pickle_of(changed, 3))


def test_an_array_whose_size_cannot_be_told(tmp_path: Path) -> None:
    filler = {f"key{n}": op.NONE for n in range(40)}
    data = b"\x80\x03" + with_state(WRAPPER, **filler) + bytes(20) + HIDDEN + op.STOP
    assert "PS105" in found(tmp_path, data)


def test_an_object_array_is_read_by_another_loader(tmp_path: Path) -> None:
    # Within the inner pickle nothing is taken out of the stream.
    objects = op.call("numpy", "dtype", op.text("O8"))
    outer = with_state(WRAPPER, shape=op.tuple_of(op.integer(1)), dtype=objects)
    inner = b"\x80\x03" + array_header(60) + HIDDEN + op.STOP
    assert "PS101" in found(tmp_path, b"\x80\x03" + outer + inner + bytes(60) + op.STOP)


# What honest writers do stays quiet.


def test_honest_partial_calls_and_arrays_are_quiet(tmp_path: Path) -> None:
    values = {
        "partial": functools.partial(np.add, 1),
        "pattern": re.compile("x"),
        "record": np.zeros(3, np.dtype((np.record, [("a", "f4"), ("b", "S3")]))),
        "arrays": [np.arange(n) for n in range(30)],
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        out = io.BytesIO()
        joblib.dump(values, out, protocol=protocol)
        assert found(tmp_path, out.getvalue(), "a.joblib") == set()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert found(tmp_path, pickle.dumps(values, protocol)) == set()


def _doubled(depth: int) -> bytes:
    """A list of two references to a list of two references to …: each level stored in the memo."""
    stream = b"]q\x00"
    for level in range(depth):
        stream += b"0]q%c(h%ch%ce" % (level + 1, level, level)
    return b"\x80\x02" + stream + b"."


def test_references_that_multiply(tmp_path: Path) -> None:
    """Billion laughs: coldwaterq/pickle_injector, and Klein's XML bomb of 2002 before it."""
    bomb, shared = tmp_path / "bomb.pkl", tmp_path / "shared.pkl"
    bomb.write_bytes(_doubled(64))
    row = list(range(1_000))
    shared.write_bytes(pickle.dumps([[row, row, {"rows": row}] for _ in range(1_000)]))
    assert "PS105" in {finding.rule.id for finding in poisonscan.scan(bomb).findings}
    assert poisonscan.scan(shared).findings == []


def test_a_value_that_is_doubled(tmp_path: Path) -> None:
    path = tmp_path / "dup.pkl"
    path.write_bytes(b"\x80\x02]" + b"2" * 40 + b"0" * 40 + b".")
    assert "PS105" in {finding.rule.id for finding in poisonscan.scan(path).findings}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "value",
    [logging.getLogger("m"), str.split, {}.get, type(None), type(...)],
    ids=["logger", "method", "bound method", "NoneType", "ellipsis"],
)
def test_what_plain_pickling_writes_is_quiet(tmp_path: Path, value: object, protocol: int) -> None:
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps({"value": value}, protocol))
    assert poisonscan.scan(path).findings == []


@pytest.mark.parametrize(
    "stream",
    [
        op.call("builtins", "type", op.text("X"), op.EMPTY_TUPLE, op.EMPTY_DICT),
        op.call("builtins", "getattr", op.glob("builtins", "str"), op.text("__class__")),
        op.call("logging", "getLogger", op.glob("os", "system")),
        op.glob("builtins", "type") + op.TUPLE1,
    ],
)
def test_what_looks_like_it_is_not(tmp_path: Path, stream: bytes) -> None:
    path = tmp_path / "made.pkl"
    path.write_bytes(op.pickle_of(stream, 2))
    assert poisonscan.scan(path).exit_code() == 1
