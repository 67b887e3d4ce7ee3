"""Matrices that users bring."""

from __future__ import annotations

import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from poisonscan.datasets.activations import Activations
from poisonscan.datasets.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3) / 4


def _safetensors(path: Path, tensors: dict[str, tuple[str, Any]]) -> str:
    header, data = {}, b""
    for name, (kind, values) in tensors.items():
        piece = values.tobytes()
        header[name] = {
            "dtype": kind,
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(piece)],
        }
        data += piece
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return str(path)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
def test_npy(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", MATRIX.astype(dtype))
    found = Activations.open(str(tmp_path / "a.npy"))
    assert (found.rows, found.dimension) == (4, 3)
    assert np.array_equal(found.read(1, 2), MATRIX[1:3])


@pytest.mark.parametrize("kind", ["F16", "F32", "F64", "BF16"])
def test_safetensors(tmp_path: Path, kind: str) -> None:
    values: Any = {
        "F16": MATRIX.astype("<f2"),
        "F32": MATRIX,
        "F64": MATRIX.astype("<f8"),
        "BF16": (MATRIX.view(np.uint32) >> 16).astype("<u2"),
    }[kind]
    others = {"labels": ("I64", np.zeros(4, np.int64)), "x": (kind, values)}
    found = Activations.open(_safetensors(tmp_path / "a.safetensors", others))
    assert np.array_equal(found.read(0, 4), MATRIX)


def test_one_of_several_matrices_by_name(tmp_path: Path) -> None:
    two = {"other": ("F32", MATRIX), "activations": ("F32", MATRIX[::-1].copy())}
    found = Activations.open(_safetensors(tmp_path / "a.safetensors", two))
    assert np.array_equal(found.read(0, 4), MATRIX[::-1])
    two = {"b": ("F32", MATRIX), "a": ("F32", MATRIX)}
    with pytest.raises(OptionError, match="matrices in it: 'b', 'a'"):
        Activations.open(_safetensors(tmp_path / "b.safetensors", two))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
def test_npz(tmp_path: Path, dtype: str) -> None:
    """Labels beside it are no matrix; an archive may stand behind other bytes."""
    np.savez(tmp_path / "a.npz", labels=np.zeros(4, np.int64), x=MATRIX.astype(dtype))
    found = Activations.open(str(tmp_path / "a.npz"))
    assert (found.rows, found.dimension) == (4, 3)
    assert np.array_equal(found.read(1, 2), MATRIX[1:3])


def test_one_of_several_matrices_of_an_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=MATRIX, embeddings=MATRIX[::-1])
    found = Activations.open(str(tmp_path / "a.npz"))
    assert np.array_equal(found.read(0, 4), MATRIX[::-1])
    np.savez(tmp_path / "b.npz", b=MATRIX, a=MATRIX)
    with pytest.raises(OptionError, match="matrices in it: 'b', 'a'"):
        Activations.open(str(tmp_path / "b.npz"))


def test_an_npz_that_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez_compressed(file, x=MATRIX)
    with pytest.raises(OptionError, match=r"compressed; save with numpy\.savez"):
        Activations.open(str(file))
    np.savez(file, x=np.zeros((3, 2), np.int64))
    with pytest.raises(OptionError, match="holds int64"):
        Activations.open(str(file))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "none")
    with pytest.raises(OptionError, match="matrices in it: none"):
        Activations.open(str(file))
    np.savez(file, x=MATRIX)
    whole = file.read_bytes()
    header = whole.index(b"(4, 3)")
    for bad in [
        whole[:header] + b"(9, 3)" + whole[header + 6 :],  # more rows than its member has
        whole[: len(whole) // 2],
        whole[:4],
        whole[:50] + whole[200:],
    ]:
        file.write_bytes(bad)
        with pytest.raises(OptionError):
            Activations.open(str(file))


def test_what_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    for bad, reason in [
        (np.array([[{}]], dtype=object), "holds object"),
        (np.zeros(3, np.float32), r"of shape \(3,\)"),
        (np.zeros((3, 2), np.int64), "holds int64"),
        (np.asfortranarray(MATRIX), "stored by columns"),
        (np.zeros((0, 3), np.float32), r"of shape \(0, 3\)"),
    ]:
        np.save(file, bad, allow_pickle=True)
        with pytest.raises(OptionError, match=reason):
            Activations.open(str(file))


def test_lies_and_cuts(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    np.save(file, MATRIX)
    whole = file.read_bytes()
    for bad in [whole[:-1], whole[:60], whole[:8], b"", b"\x93NUMPY\x02\x00\xff\xff\xff\xff"]:
        file.write_bytes(bad)
        with pytest.raises(OptionError):
            Activations.open(str(file))
    for header in [b'{"a": 1}', b"[" * 100_000, b'{"a": {"dtype": "F32", "shape": [4, 3]}}']:
        file.write_bytes(struct.pack("<Q", len(header)) + header)
        with pytest.raises(OptionError):
            Activations.open(str(file))
    with pytest.raises(OptionError, match="no readable"):
        Activations.open(str(tmp_path / "none.npy"))
    entry = {"dtype": "F32", "shape": [4, 3], "data_offsets": [-8, 40]}
    header = json.dumps({"a": entry}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header + bytes(48))
    with pytest.raises(OptionError, match="does not fit its shape"):
        Activations.open(str(file))


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MATRIX)
    found = Activations.open(str(tmp_path / "a.npy"))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-4])
    with pytest.raises(OSError, match="shorter"):
        found.read(0, 4)
