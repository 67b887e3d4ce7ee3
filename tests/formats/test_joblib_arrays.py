"""How far joblib steps over an array: a wrong step would hide what stands behind it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

import poisonscan
from poisonscan.formats.joblib_arrays import array_bytes
from poisonscan.pickles.values import Collection, Global, Result

DTYPE = Global("numpy", "dtype")


def tuple_of(*items: object) -> Collection:
    return Collection("tuple", items, len(items))


def wrapper(*pairs: object) -> Collection:
    return Collection("dict", pairs, len(pairs))


def dtype(code: str, state: object = None, callee: object = DTYPE) -> Result:
    return Result(callee, tuple_of(code, 0, 1), state)


def state_of(size: int) -> Collection:
    return tuple_of(3, "|", None, None, None, size, 1, 0)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (wrapper("dtype", dtype("f8"), "shape", tuple_of(2, 3)), (48, False)),
        (wrapper("dtype", dtype("U5"), "shape", tuple_of(2)), (40, False)),
        (wrapper("dtype", dtype("O8"), "shape", tuple_of(2)), (None, True)),
        # of two entries of one key, Python keeps the last
        (wrapper("shape", tuple_of(9), "dtype", dtype("i4"), "shape", tuple_of(1)), (4, False)),
        # types of any length take it from their state
        (wrapper("dtype", dtype("S5", state_of(100)), "shape", tuple_of(2)), (200, False)),
        (wrapper("dtype", dtype("V8", state_of(16)), "shape", tuple_of(2)), (32, False)),
        (wrapper("dtype", dtype("S5", state_of(-1)), "shape", tuple_of(2)), (None, False)),
        # what is no plain type, or cannot be seen whole, is not stepped over
        (
            wrapper("dtype", dtype("f8", None, Global("a", "b")), "shape", tuple_of()),
            (None, False),
        ),
        (wrapper("dtype", Result(DTYPE, tuple_of()), "shape", tuple_of(2)), (None, False)),
        (wrapper("dtype", dtype("f8"), "shape", tuple_of(2, "3")), (None, False)),
        (wrapper("dtype", dtype("f8"), "shape", tuple_of(-1)), (None, False)),
        (Collection("dict", ("dtype", dtype("f8"), "shape", tuple_of(2)), 40), (None, False)),
        (None, (None, False)),
    ],
)
def test_the_size_is_what_joblib_reads(state: object, expected: tuple[int | None, bool]) -> None:
    assert array_bytes(state) == expected


@pytest.mark.parametrize(
    "array",
    [
        np.arange(1000.0),
        np.array(["a", "bcd"]),
        np.array([b"abc", b"d"]),
        np.zeros(7, dtype=[("a", "f4"), ("b", "S3")]),
        np.zeros((3, 4), "M8[s]"),
        np.array([{}, None], object),
        np.zeros((2, 0)),
        np.asfortranarray(np.ones((3, 5), "complex64")),
    ],
    ids=str,
)
def test_what_stands_behind_a_real_array_is_seen(tmp_path: Path, array: Any) -> None:
    out = io.BytesIO()
    joblib.dump([array, array[:1], "end"], out)
    path = tmp_path / "a.joblib"
    path.write_bytes(out.getvalue())
    assert poisonscan.scan(path).exit_code() == 0
    # "end" becomes an import of as many bytes: it is seen only if every step was right.
    assert out.getvalue().count(b"\x8c\x03end") == 1
    path.write_bytes(out.getvalue().replace(b"\x8c\x03end", b"ca\nb\n"))
    assert [f.evidence["imports"] for f in poisonscan.scan(path).findings] == ["a.b"]
