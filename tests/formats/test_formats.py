"""Containers and files of numbers: what comes out, what is wrong with them, and what they cost."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.finding import Gap
from poisonscan.formats.base import (
    Archive,
    Artifact,
    Numbers,
    PickleStream,
    TensorFile,
)
from poisonscan.formats.registry import FORMATS, candidates, identify
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.pickles.events import Call, Import
from poisonscan.sources.base import Blob

EVIL = b"cos\nsystem\n(S'true'\ntR."


def blob(data: bytes, name: str = "file") -> Blob:
    return Blob(name, len(data), lambda: memoryview(data))


def opened(data: bytes, name: str = "file", **limits: int) -> tuple[str, list[Any]]:
    """The format's name, and all that comes out of it."""
    source = blob(data, name)
    formats = identify(source, source.open())
    assert formats
    items: list[Any] = []
    for format_ in formats:
        items += format_.open(source, source.open(), Budget(Limits(**limits)))
    return formats[0].name, items


def members(items: list[Any]) -> dict[str, bytes]:
    return {i.path.rpartition("!/")[2]: bytes(i.open()) for i in items if isinstance(i, Blob)}


def zipped(method: int = zipfile.ZIP_STORED, **content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("method", [0, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_members_come_out_whole(method: int) -> None:
    content = {"a.pkl": b"x" * 5000, "b": b"", "c": b"y"}
    form, items = opened(zipped(method, **content))
    assert form == "zip"
    assert members(items) == {name: data for name, data in content.items() if data or method == 0}
    assert not [item for item in items if isinstance(item, Gap)]
    (archive,) = [item for item in items if isinstance(item, Archive)]
    assert archive.anomalies == ()


def test_stored_members_know_where_they_are() -> None:
    data = b"in front" + zipped(a=b"content of a")
    _, items = opened(data, "file.zip")
    (member,) = [item for item in items if isinstance(item, Blob)]
    assert data[member.base :].startswith(b"content of a")


def anomalies(data: bytes) -> set[str]:
    _, items = opened(data, "file.zip")
    return {a.kind for item in items if isinstance(item, Archive) for a in item.anomalies}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_views_that_differ() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"one")
        archive.writestr("a", b"two")
    assert "duplicate-name" in anomalies(out.getvalue())
    renamed = bytearray(zipped(abc=b"1"))
    renamed[renamed.index(b"abc")] = ord("x")
    assert "name-mismatch" in anomalies(bytes(renamed))
    hidden = zipped(a=b"1")
    whole = zipped(b=EVIL)
    local = whole[: whole.index(b"PK\x01\x02")]
    assert "hidden-member" in anomalies(local + hidden)
    encrypted = bytearray(zipped(a=b"1"))
    encrypted[6] |= 1
    assert "encrypted" in anomalies(bytes(encrypted))


def test_a_hidden_member_is_scanned() -> None:
    whole = zipped(b=EVIL)
    data = whole[: whole.index(b"PK\x01\x02")] + zipped(a=b"1")
    _, items = opened(data, "file.zip")
    assert members(items) == {"a": b"1", "b": EVIL}


def test_a_zip_without_directory_is_read_from_its_local_headers() -> None:
    whole = zipped(a=EVIL, b=b"2")
    _, items = opened(whole[: whole.index(b"PK\x01\x02")])
    assert members(items) == {"a": EVIL, "b": b"2"}
    assert any(isinstance(item, Gap) for item in items)
    assert not [item for item in items if isinstance(item, Archive) and item.anomalies]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("gzip", gzip.compress),
        ("bzip2", bz2.compress),
        ("xz", lzma.compress),
        ("lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
        ("zlib", zlib.compress),
        ("LZ4", lz4.frame.compress),
    ],
)
def test_compressed_files(name: str, pack: Any) -> None:
    data = pickle.dumps(list(range(5000)))
    form, items = opened(pack(data), "a.pkl.gz" if name == "gzip" else "a.pkl")
    assert form == name
    assert members(items) == {"a.pkl": data}
    _, cut = opened(pack(data)[:-9], "a.pkl")
    assert any(isinstance(item, Gap) for item in cut)
    with pytest.raises(LimitReached):
        opened(pack(data), unpacked=1000)


def test_several_gzip_streams_are_one_file() -> None:
    _, items = opened(gzip.compress(b"one ") + gzip.compress(b"two"), "a.gz")
    assert members(items) == {"a": b"one two"}


def test_bytes_behind_a_compressed_stream_are_looked_at() -> None:
    _, items = opened(zlib.compress(b"one") + EVIL, "a")
    assert EVIL in members(items).values()


def tarred(**content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_tar_members() -> None:
    long = "x" * 150
    form, items = opened(tarred(a=b"1", b__c=b"22", **{long: b"3"}))
    assert form == "tar"
    assert members(items) == {"a": b"1", "b/c": b"22", long: b"3"}


def test_tar_paths_that_leave_the_folder_are_anomalies() -> None:
    _, items = opened(tarred(**{"..__..__etc__passwd": b"1"}))
    assert [a.kind for i in items if isinstance(i, Archive) for a in i.anomalies] == [
        "path-leaves-folder"
    ]


def test_tar_sizes_that_are_negative_or_huge_end_the_walk() -> None:
    for size in (b"\xff" * 12, b"\x80" + b"\xff" * 11):
        data = bytearray(tarred(a=b"1"))
        data[124:136] = size
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
        _, items = opened(bytes(data))
        assert any(isinstance(item, Gap) for item in items)


def saved(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def test_npy_numbers_and_objects() -> None:
    structured = np.zeros(3, dtype=[("a", "f4", (2,)), ("b", "U5"), ("c", [("d", "i2")])])
    for array in (
        np.arange(5.0),
        np.zeros((2, 0)),
        np.array("text"),
        structured,
        np.zeros(2, "M8[s]"),
    ):
        form, items = opened(saved(array))
        assert form == "npy"
        assert [type(item) for item in items] == [Numbers], array.dtype
    _, items = opened(saved(np.array([{}, None], object), allow_pickle=True))
    (member,) = items
    assert bytes(member.open()[:1]) == b"\x80"
    hidden = np.zeros(1, dtype=[("a", "i4"), ("b", object)])
    _, items = opened(saved(hidden, allow_pickle=True))
    assert isinstance(items[0], Blob)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        b"{'descr': 1}",
        b"-" * 60_000,
        b"[" * 3000,
    ],
)
def test_npy_headers_that_lie_are_gaps(header: bytes) -> None:
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16)
    _, items = opened(data)
    assert any(isinstance(item, Gap) for item in items)


def test_npy_data_beyond_the_array_is_looked_at() -> None:
    _, items = opened(saved(np.zeros(3)) + EVIL)
    assert EVIL in members(items).values()


def tensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(begin: int, end: int, **other: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]} | other


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (tensors({"a": entry(0, 4), "b": entry(4, 8)}, bytes(8)), []),
        (tensors({"a": entry(0, 0), "b": entry(0, 0)}), []),
        (tensors({"__metadata__": {"a": "b"}}), []),
        (tensors({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6)), ["overlap"]),
        (tensors({"a": entry(0, 4), "b": entry(5, 6)}, bytes(6)), ["hole"]),
        (tensors({"a": entry(0, 4)}, bytes(6)), ["trailing-data"]),
        (tensors({"a": entry(0, 9)}, bytes(6)), ["out-of-range"]),
        (tensors({"a": entry(0, 6, shape=[7])}, bytes(6)), ["wrong-length"]),
        (tensors({"a": entry(0, 6, shape=[1 << 62, 1 << 62])}, bytes(6)), ["wrong-length"]),
        (tensors({"a": entry(0, 6, dtype="Q9")}, bytes(6)), ["unknown-dtype"]),
        (tensors({"a": entry(0, 6, shape=[True])}, bytes(6)), ["bad-shape"]),
        (tensors({"a": entry(0, 6, data_offsets=[0])}, bytes(6)), ["bad-offsets"]),
        (tensors({"a": 5}), ["bad-entry"]),
        (tensors({"__metadata__": {"a": 1}}), ["bad-metadata"]),
        (tensors(b'{"a":{},"a":{}}'), ["duplicate-key", "unknown-dtype"]),
        (tensors(b'{"a": NaN}   '), ["not-json"]),
        (tensors({"a": entry(0, 1)}, bytes(1), length=1 << 40), ["oversized-header"]),
        (tensors({"a": entry(0, 1)}, bytes(1), length=90_000_000), ["header-beyond-end"]),
    ],
)
def test_safetensors_invariants(data: bytes, kinds: list[str]) -> None:
    form, items = opened(data, "a.safetensors")
    assert form == "safetensors"
    (found,) = [item for item in items if isinstance(item, TensorFile)]
    assert [anomaly.kind for anomaly in found.anomalies] == kinds


def stream(data: bytes, name: str = "a.pkl") -> PickleStream:
    _, items = opened(data, name)
    (found,) = [item for item in items if isinstance(item, PickleStream)]
    return found


def imports(found: PickleStream) -> list[str]:
    return [event.target.dotted for event in found.events if isinstance(event, Import)]


def test_pickles_one_after_another_and_behind_junk() -> None:
    honest = pickle.dumps([1, 2])
    assert imports(stream(honest + EVIL)) == ["os.system"]
    assert imports(stream(honest + bytes(1000) + b"junk" + EVIL)) == ["os.system"]
    assert imports(stream(honest + b"cos of this\nand that\n")) == []


def test_the_same_import_is_kept_once() -> None:
    found = stream(b"cos\nsystem\n0" * 1000 + b"N.")
    assert imports(found) == ["os.system"]


def test_calls_are_kept_with_bounds() -> None:
    found = stream(b"\x80\x02" + b"ccollections\nOrderedDict\n)R0" * 1000 + b"N.")
    assert 1 <= sum(isinstance(event, Call) for event in found.events) <= 16


@settings(max_examples=300)
@given(st.data())
def test_damaged_files_never_raise_and_never_grow(data: Any) -> None:
    seeds = [
        zipped(a=EVIL, b=bytes(50)),
        zipped(zipfile.ZIP_DEFLATED, a=EVIL * 9),
        tarred(a=EVIL, b=b"2"),
        saved(np.arange(9)),
        tensors({"a": entry(0, 4), "b": entry(4, 8)}, bytes(8)),
        gzip.compress(EVIL),
        lzma.compress(EVIL),
    ]
    changed = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(changed[: data.draw(st.integers(1, len(changed)))])
    source = blob(cut, data.draw(st.sampled_from(["a", "a.zip", "a.safetensors", "a.npy"])))
    budget = Budget(Limits(unpacked=1 << 20, members=100))
    for format_ in identify(source, source.open()):
        for item in format_.open(source, source.open(), budget):
            assert isinstance(item, Blob | Artifact | Gap)
            if isinstance(item, Blob):
                assert item.size <= 1 << 20


def test_every_format_has_a_name_of_its_own() -> None:
    kinds: dict[str, set[str]] = {}
    for entry in FORMATS:
        for format_ in entry.formats:
            kinds.setdefault(format_.name, set()).add(type(format_).__name__)
    assert {name for name, found in kinds.items() if len(found) > 1} <= {"pickle"}


SAMPLES = Path(__file__).parents[2] / "fixtures" / "samples"


def stored(name: str, data: bytes) -> Blob:
    return Blob(name, len(data), lambda: memoryview(data))


def test_what_the_table_rules_out_does_not_match() -> None:
    for path in sorted(SAMPLES.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        source = stored(path.name, data)
        every = (f for entry in FORMATS for f in entry.formats)
        first = next((f for f in every if f.matches(source, data[:4096])), None)
        possible = candidates(source, data[:4096])
        assert first == next((f for _, f in possible if f.matches(source, data[:4096])), None), path
