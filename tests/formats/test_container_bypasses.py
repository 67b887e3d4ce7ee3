"""Ways around the readers of archives, graphs and arrays: none of these may come out clean."""

from __future__ import annotations

import io
import pickle
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

import poisonscan
from fixtures.graphs import field
from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Graph, Numbers, Structure
from poisonscan.formats.registry import identify
from poisonscan.formats.serialized import Serialized
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.sources.base import Blob

EVIL = b"cos\nsystem\n(S'true'\ntR."
BENIGN = pickle.dumps({"a": 1}, 2)


def zipped(members: dict[str, bytes], links: tuple[str, ...] = (), method: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            kind = stat.S_IFLNK | 0o777 if name in links else stat.S_IFREG | 0o644
            info.external_attr = kind << 16
            archive.writestr(info, data, method)
    return out.getvalue()


def scanned(tmp_path: Path, name: str, data: bytes) -> poisonscan.Report:
    path = tmp_path / name
    path.write_bytes(data)
    return poisonscan.scan(path, isolation="off")


def rules(report: poisonscan.Report) -> set[str]:
    return {finding.rule.id for finding in report.findings}


def read(data: bytes, name: str, **limits: int) -> tuple[list[Any], str]:
    """All that the format of a file yields, and the limit that stopped it."""
    blob, items = Blob(name, len(data), lambda: memoryview(data)), []
    try:
        for format_ in identify(blob, blob.open()):
            for item in format_.open(blob, blob.open(), Budget(Limits(**limits))):
                assert isinstance(item, Blob | Artifact | Gap)
                items.append(item)
    except LimitReached as error:
        return items, str(error)
    return items, ""


def test_a_pickle_marked_as_link_to_a_member_of_that_name(tmp_path: Path) -> None:
    target = "cos\nsystem\n(S'id'\ntR."
    data = zipped({"data.pkl": target.encode(), target: b"text"}, links=("data.pkl",))
    assert "PS101" in rules(scanned(tmp_path, "a.zip", data))


def test_a_link_to_another_member_is_no_noise(tmp_path: Path) -> None:
    data = zipped({"v1/model.pkl": BENIGN, "model.pkl": b"v1/model.pkl"}, links=("model.pkl",))
    report = scanned(tmp_path, "a.zip", data)
    assert not report.findings
    assert not report.gaps


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["evil.pt", "0", "7"])
def test_an_archive_among_the_storages(tmp_path: Path, name: str, method: int) -> None:
    inner = zipped({"n/data.pkl": EVIL, "n/version": b"3\n"})
    data = zipped({"m/data.pkl": BENIGN, f"m/data/{name}": inner}, method=method)
    assert "PS101" in rules(scanned(tmp_path, "a.pt", data))


def test_a_script_among_the_storages(tmp_path: Path) -> None:
    setup = b"import base64\nexec(base64.b64decode('cGFzcw=='))\n"
    for folder in ("m/data", "m/.data", "m/constants"):
        data = zipped({"m/data.pkl": BENIGN, f"{folder}/setup.py": setup})
        assert rules(scanned(tmp_path, "a.pt", data)), folder


def test_storages_are_stepped_over(tmp_path: Path) -> None:
    numbers = struct.pack("<4f", 1, 2, 3, 4)
    data = zipped(
        {"m/data.pkl": BENIGN, "m/data/0": numbers, "m/.data/serialization_id": b"0" * 40}
    )
    report = scanned(tmp_path, "a.pt", data)
    assert not report.findings
    assert not report.gaps
    items, _ = read(data, "a.pt")
    assert [item.path for item in items if isinstance(item, Numbers)] == ["a.pt!/m/data/0"]


# TensorFlow and its neighbours

READ_FILE = field(1, "n") + field(2, "ReadFile")
META_GRAPH = field(2, field(1, READ_FILE))
PIECE = field(1, field(1, "a") + b"\x15" + struct.pack("<f", -1.5))


@pytest.mark.parametrize("name", ["saved_model.pb", "tokenizer.model", "x"])
def test_a_saved_model_behind_sentencepiece_pieces(tmp_path: Path, name: str) -> None:
    report = scanned(tmp_path, name, 3 * PIECE + field(2, META_GRAPH))
    assert "PS110" in rules(report)


def test_a_graph_where_sentencepiece_tells_how_it_was_trained() -> None:
    data = 3 * PIECE + field(2, field(1, READ_FILE))
    assert [one.name for one in identify(_blob(data, "x"), memoryview(data))] != [
        "SentencePiece model"
    ]


def _blob(data: bytes, name: str) -> Blob:
    return Blob(name, len(data), lambda: memoryview(data))


def test_a_frozen_graph_called_keras_metadata(tmp_path: Path) -> None:
    assert "PS110" in rules(scanned(tmp_path, "keras_metadata.pb", field(1, READ_FILE)))
    on_device = field(1, READ_FILE + field(4, "_tf_keras_layer"))
    assert "PS110" in rules(scanned(tmp_path, "keras_metadata.pb", on_device))
    layer = field(1, field(2, 1) + field(3, "root") + field(4, "_tf_keras_model") + field(5, "{}"))
    assert "PS110" in rules(scanned(tmp_path, "keras_metadata.pb", field(1, READ_FILE) + layer))
    report = scanned(tmp_path, "keras_metadata.pb", layer + field(1, READ_FILE))
    assert any("not Keras" in gap.reason for gap in report.gaps)


def test_keras_metadata_of_something_else_is_a_gap(tmp_path: Path) -> None:
    assert scanned(tmp_path, "keras_metadata.pb", field(1, field(4, "other") + field(5, "{}"))).gaps


# Operators, arrays, weights


def test_mobile_operators_beyond_the_bound_are_a_gap() -> None:
    names = [f"aten::o{number:06}".encode() for number in range(100_001)]
    data = b"\x80\x02(" + b"".join(b"X" + bytes([len(n)]) + b"\0\0\0" + n for n in names) + b"t."
    items, _ = read(data, "a.ptl!/m/bytecode.pkl")
    assert any(isinstance(item, Gap) and "100,001 operators" in item.reason for item in items)


def hdf5(path: Path, user_block: int, chunk: int = 0) -> bytes:
    import h5py
    import numpy as np

    with h5py.File(path, "w", userblock_size=user_block) as file:
        if chunk:
            file.create_dataset("x", (chunk,), dtype="S1024", chunks=(chunk,), compression=1)
            file["x"][0] = pickle.dumps(1, 2)
        file["evil"] = np.void(EVIL)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["notes.txt", "README", "model.bin", "a.md"])
@pytest.mark.parametrize("user_block", [512, 8192, 1 << 20])
def test_hdf5_behind_text_under_any_name(tmp_path: Path, name: str, user_block: int) -> None:
    data = bytearray(hdf5(tmp_path / "w.h5", user_block))
    data[:user_block] = b"All is well.\n".ljust(user_block, b" ")
    assert "PS101" in rules(scanned(tmp_path, name, bytes(data)))


def test_text_that_goes_on_as_something_else_is_a_gap(tmp_path: Path) -> None:
    data = b"All is well.\n" * 1000
    assert not scanned(tmp_path, "README", data).gaps
    assert any("begins as text" in g.reason for g in scanned(tmp_path, "README", data + b"\0").gaps)
    assert not scanned(tmp_path, "notes.txt", data + b"\0").gaps


def test_texts_in_chunks_that_are_too_large_are_a_gap(tmp_path: Path) -> None:
    data = hdf5(tmp_path / "w.h5", 0, chunk=(64 << 10) + 1)
    assert any("a chunk of more than" in gap.reason for gap in scanned(tmp_path, "a.h5", data).gaps)


def test_the_mark_of_core_ml_alone_makes_no_weights(tmp_path: Path) -> None:
    data = (b"\1\0\0\0\2\0\0\0".ljust(64, b"\0") + b"\xef\xbe\xad\xde").ljust(200, b"\0")
    assert scanned(tmp_path, "model.any", data).gaps
    assert not scanned(tmp_path, "weight.bin", data).gaps


def test_a_script_beside_an_openvino_graph_is_no_weights(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"<net/>")
    assert scanned(tmp_path, "a.bin", b"text").gaps
    assert not scanned(tmp_path, "a.bin", bytes(64)).gaps


# What was found before a limit stays


def test_a_lua_function_before_too_many_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poisonscan.formats.torch7._OBJECTS", 2)
    function = struct.pack("<ii", 6, 5) + b"\x1bLua\0"
    data = function + struct.pack("<iii", 3, 1, 2) + struct.pack("<i", 0) * 8
    items, stopped = read(data, "a.t7")
    assert stopped
    assert any(item.acts for item in items if isinstance(item, Serialized))


def test_an_r_promise_before_too_many_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poisonscan.formats.r_data._ITEMS", 3)
    promise = struct.pack(">i", 5) + struct.pack(">i", 254) * 3
    data = b"X\n" + struct.pack(">iii", 2, 0x40000, 0x20300) + struct.pack(">ii", 19, 9) + promise
    items, stopped = read(data + struct.pack(">i", 254) * 9, "a.rds")
    assert stopped
    assert any(item.acts for item in items if isinstance(item, Serialized))


def test_expressions_before_too_deep_nesting() -> None:
    data = b'{"graph_module":{"expr_str":"evil()","x":' + b"[" * 100_000
    items, stopped = read(data, "a.pt2!/m/models/model.json")
    assert stopped
    assert any(o.name == "evil()" for i in items if isinstance(i, Graph) for o in i.operators)


def test_an_odd_array_before_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poisonscan.formats.msgpack._ITEMS", 3)
    items, stopped = read(b"\x99\xd4\x63\x00" + b"\x01" * 8, "a.msgpack")
    assert stopped
    assert any(isinstance(item, Structure) for item in items)
