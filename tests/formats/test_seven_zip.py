"""7z archives: what comes out, and headers that lie."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest

from fixtures import archives as ar
from poisonscan.finding import Gap
from poisonscan.formats.base import Archive
from poisonscan.formats.seven_zip import SevenZip
from poisonscan.limits import Budget, Limits
from poisonscan.sources.base import Blob


def opened(data: bytes, **limits: int) -> list[Any]:
    blob = Blob("a.7z", len(data), lambda: memoryview(data))
    return list(SevenZip().open(blob, blob.open(), Budget(Limits(**limits))))


def members(items: list[Any]) -> dict[str, bytes]:
    return {i.path.partition("!/")[2]: bytes(i.open()) for i in items if isinstance(i, Blob)}


def gaps(items: list[Any]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Gap)]


def test_files_of_a_block_come_out_by_name() -> None:
    files = {"a.txt": b"one", "d/ä": b"two"}
    items = opened(ar.stored_7z(files))
    assert members(items) == files
    assert not gaps(items)
    (archive,) = [item for item in items if isinstance(item, Archive)]
    assert (archive.members, archive.anomalies) == (2, ())


def test_files_without_content_do_not_shift_the_names() -> None:
    folder = ar.SevenZipFolder(b"one", (ar.COPY,), {"a": b"one"})
    assert members(opened(ar.seven_zip([folder], ["empty", "e2"]))) == {"a": b"one"}


@pytest.mark.parametrize(
    ("method", "what"),
    [
        (b"\x03\x04\x01", "PPMd"),
        (b"\x06\xf1\x07\x01", "AES"),
        (b"\x03\x03\x01\x1b", "BCJ2"),
        (b"\x04\x01\x09", "Deflate64"),
        (b"\x7f", "method 7f"),
    ],
)
def test_methods_that_are_not_read_are_named(method: bytes, what: str) -> None:
    folder = ar.SevenZipFolder(b"one", ((method, b""),), {"a": b"one"})
    (reason,) = gaps(opened(ar.seven_zip([folder])))
    assert what in reason


def around(header: bytes) -> bytes:
    return ar.seven_zip_around(b"", header)


@pytest.mark.parametrize(
    "header",
    [
        b"\x01\x05\xff" + b"\xff" * 8,  # 2^64 files
        b"\x01\x04\x06\x00\xff" + b"\xff" * 7 + b"\x7f",  # packed streams
        b"\x01\x04\x07\x0b\xfe" + b"\xff" * 7 + b"\0",  # folders
        b"\x01\x04\x07\x0b\x01\x00\x7f",  # coders
        b"\x01\x04\x07\x0b\x01\x00\x01\x11\x00\x7f\x7f",  # inputs
        b"\x17\x06\x00\x01\x09\x05\x00\x00",  # packed, without a folder
        b"\x01",
        b"\x02",
        b"\x01\x02\xff",
    ],
)
def test_lying_counts_are_gaps(header: bytes) -> None:
    assert gaps(opened(around(header)))


def test_offsets_behind_the_end_are_gaps() -> None:
    start = struct.pack("<QQI", 1 << 62, 1 << 62, 0)
    data = b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", zlib.crc32(start)) + start
    assert gaps(opened(data))
    for end in range(len(data)):
        assert gaps(opened(data[:end]))


def test_every_cut_is_a_gap() -> None:
    data = ar.stored_7z({"a": b"one" * 50, "b": b"two"})
    for end in range(32, len(data)):
        assert gaps(opened(data[:end])), end


def test_a_header_that_is_packed_forever_ends() -> None:
    header = b"\x17\x06\x00\x01\x09\x14\x00\x07\x0b\x01\x00\x01\x01\x00\x0c\x14\x00\x00"
    packed = header.ljust(20, b"\0")
    assert gaps(opened(ar.seven_zip_around(packed, header)))


def test_wrong_checksums_are_anomalies_and_hide_nothing() -> None:
    items = opened(ar.stored_7z({"a": b"one"}, crc=1))
    assert members(items) == {"a": b"one"}
    (archive,) = [item for item in items if isinstance(item, Archive)]
    assert [anomaly.kind for anomaly in archive.anomalies] == ["wrong-checksum"]
