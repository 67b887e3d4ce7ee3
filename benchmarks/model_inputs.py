"""Large model files to measure scanners with, one per call: what they cost to write stays apart.

``python -m benchmarks.model_inputs NAME PATH SCALE`` writes one; a SCALE of 1 is the full size.
Zeros of the torch zip and of the safetensors file are holes, so that they take no disk.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fixtures import opcodes as op

OPCODES = 10_000_000
STORAGES = 16
STORAGE = 128 << 20
"""Bytes: sixteen of them are 2 GiB."""
ALIGNMENT = 64
"""Of storages in a torch zip (torch/csrc, ``kFieldAlignment``)."""
FILES = 5_000


def strings(opcodes: int) -> list[str]:
    """Two opcodes each: the string and its memo; as long as makes 181 MB of protocol 4."""
    return [f"model.layers.{i:08}.weight" + "x" * 4 for i in range(opcodes // 2)]


def floats(opcodes: int) -> list[float]:
    """One opcode each."""
    return [i / 7 for i in range(opcodes)]


def integers(opcodes: int) -> list[int]:
    """One opcode each, of four bytes."""
    return [100_000 + i for i in range(opcodes)]


def vocabulary(opcodes: int) -> dict[str, int]:
    """Three opcodes each: a new string, its memo, a number."""
    return {f"token-{i:08}": i for i in range(opcodes // 3)}


def records(opcodes: int) -> list[dict[str, Any]]:
    """Eleven opcodes each: a dict, its memo, a mark, three keys and values, and the end."""
    return [
        {"epoch": i, "loss": i / 7, "name": f"run-{i:08}"} for i in range(max(opcodes // 11, 1))
    ]


def dates(opcodes: int) -> list[dt.date]:
    """Seven opcodes each: class, state and its memo, tuple and its memo, call and its memo."""
    start = dt.date(1, 1, 1).toordinal()
    return [dt.date.fromordinal(start + i % 3_000_000) for i in range(opcodes // 7)]


PICKLES: dict[str, tuple[Callable[[int], Any], int]] = {
    "strings, protocol 2": (strings, 2),
    "strings, protocol 4": (strings, 4),
    "floats": (floats, 4),
    "integers": (integers, 4),
    "dict of string: int": (vocabulary, 4),
    "dicts of 3": (records, 4),
    "dates": (dates, 4),
}


def write_pickle(make: Callable[[int], Any], protocol: int, path: Path, scale: float) -> None:
    with path.open("wb") as file:
        pickle.dump(make(int(OPCODES * scale)), file, protocol)


class _Holes(io.FileIO):
    """Skips over zeros rather than write them."""

    def write(self, data: Any, /) -> int:
        if len(data) > ALIGNMENT and bytes(data).count(0) == len(data):
            self.seek(len(data), io.SEEK_CUR)
            return len(data)
        return super().write(data)


def torch_zip(path: Path, scale: float) -> None:
    """The layout of ``torch.save``: stored members, storages aligned, format marks after them."""
    size = int(STORAGE * scale) // 4 * 4
    with _Holes(path, "w") as file, zipfile.ZipFile(file, "w") as box:
        box.writestr("archive/data.pkl", state_dict(size // 4))
        box.writestr("archive/byteorder", b"little")
        for key in range(STORAGES):
            info = zipfile.ZipInfo(f"archive/data/{key}")
            # Local header of 30 bytes, the name, and the extra field "FB" that torch pads with.
            padding = -(file.tell() + 30 + len(info.filename) + 4) % ALIGNMENT
            info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
            box.writestr(info, bytes(size))
        box.writestr("archive/version", b"3\n")
        box.writestr("archive/.data/serialization_id", b"0" * 40)


def state_dict(count: int) -> bytes:
    """The pickle of a state dict with one tensor per storage."""
    items = b"".join(tensor(str(key), count) for key in range(STORAGES))
    return op.pickle_of(op.call("collections", "OrderedDict") + op.MARK + items + op.SETITEMS, 2)


def tensor(key: str, count: int) -> bytes:
    length = b"J" + struct.pack("<i", count)
    storage = op.text("storage") + op.glob("torch", "FloatStorage") + op.text(key)
    storage = op.MARK + storage + op.text("cpu") + length + op.TUPLE + op.BINPERSID
    shape = op.integer(0) + op.tuple_of(length) + op.tuple_of(op.integer(1))
    hooks = op.NEWFALSE + op.call("collections", "OrderedDict")
    rebuild = op.glob("torch._utils", "_rebuild_tensor_v2") + op.MARK + storage + shape + hooks
    return op.text(f"layers.{key}.weight") + rebuild + op.TUPLE + op.REDUCE


def safetensors(path: Path, scale: float) -> None:
    size = int(STORAGE * scale) // 4 * 4
    header = {
        f"layers.{key}.weight": {
            "dtype": "F32",
            "shape": [size // 4],
            "data_offsets": [key * size, (key + 1) * size],
        }
        for key in range(STORAGES)
    }
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(file.tell() + size * STORAGES)


def joblib_arrays(path: Path, scale: float) -> None:
    """1 GiB of noise in eight arrays, whose bytes stand between the opcodes."""
    import joblib
    import numpy as np

    noise = np.random.default_rng(0).standard_normal(int(STORAGE * scale) // 4, np.float32)
    joblib.dump({f"layer{i}": noise + np.float32(i) for i in range(8)}, path)


def small_pickles(path: Path, scale: float) -> None:
    path.mkdir()
    for i in range(max(int(FILES * scale), 1)):
        state = {"epoch": i, "loss": i / 7, "names": [f"layer{k}" for k in range(20)]}
        (path / f"state-{i:05}.pkl").write_bytes(pickle.dumps(state, 4))


def tiny_pickle(path: Path, scale: float) -> None:  # noqa: ARG001 - as the others
    path.write_bytes(pickle.dumps({"weights": list(range(100))}))


INPUTS: dict[str, tuple[str, Callable[[Path, float], None]]] = {
    **{
        f"10 M opcodes: {name}": ("input.pkl", partial(write_pickle, make, protocol))
        for name, (make, protocol) in PICKLES.items()
    },
    "2 GiB torch zip": ("input.pt", torch_zip),
    "2 GiB safetensors": ("input.safetensors", safetensors),
    "1 GiB joblib, raw arrays": ("input.joblib", joblib_arrays),
    "5,000 small pickles": ("input", small_pickles),
    "one tiny pickle": ("input.pkl", tiny_pickle),
}
"""Name → file name and writer."""


if __name__ == "__main__":
    INPUTS[sys.argv[1]][1](Path(sys.argv[2]), float(sys.argv[3]))
