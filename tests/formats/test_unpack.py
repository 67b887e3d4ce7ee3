"""Compressed files of rows."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import TYPE_CHECKING

import lz4.frame
import numpy as np
import pytest
import zstandard

import poisonscan
from poisonscan.formats import unpack
from poisonscan.formats.unpack import Unpacked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACK: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": (".gz", gzip.compress),
    "bzip2": (".bz2", bz2.compress),
    "xz": (".xz", lzma.compress),
    "zstandard": (".zst", zstandard.ZstdCompressor().compress),
    "LZ4": (".lz4", lz4.frame.compress),
}
ROWS = [f'"some, text {i}\nwith lines",{i % 2}\n' for i in range(3_000)]
CSV = ("text,label\n" + "".join(ROWS)).encode()


def _all(packed: bytes, codec: str, most: int = 1 << 30, size: int = 100_000) -> bytes:
    out = bytearray()
    with Unpacked(io.BytesIO(packed), codec, most) as source:
        while piece := source.read(size):
            out += piece
    return bytes(out)


@pytest.mark.parametrize("codec", PACK)
@pytest.mark.parametrize("size", [7_777, 1 << 20])
def test_streams_one_after_another(codec: str, size: int) -> None:
    _, pack = PACK[codec]
    parts = [CSV, b"", b"x" * 3_000_000, CSV[:5]]
    assert _all(b"".join(map(pack, parts)), codec, size=size) == b"".join(parts)


@pytest.mark.parametrize("codec", ["zstandard", "LZ4"])
def test_skippable_frames_are_stepped_over(codec: str) -> None:
    _, pack = PACK[codec]
    skipped = b"\x51\x2a\x4d\x18" + (300_000).to_bytes(4, "little") + b"\x28" * 300_000
    assert _all(skipped + pack(b"abc") + skipped + pack(b"def") + skipped, codec) == b"abcdef"


@pytest.mark.parametrize("codec", PACK)
def test_what_is_cut_short_or_damaged_is_told_after_what_comes_before(codec: str) -> None:
    _, pack = PACK[codec]
    data = np.random.default_rng(0).bytes(3_000_000)
    packed = pack(data)
    source = Unpacked(io.BytesIO(packed[:-7]), codec, 1 << 30)
    got = b""
    with pytest.raises(ValueError, match="cannot be read on"):
        while piece := source.read(1 << 16):
            got += piece
    assert data.startswith(got)
    assert len(got) > 1_000_000 or codec == "xz"  # which holds much back
    if codec in {"gzip", "bzip2", "xz"}:  # the others have no checksum unless one is asked for
        with pytest.raises(ValueError, match="cannot be read on"):
            _all(packed[:2_000_000] + b"\0" * 50 + packed[2_000_050:], codec)


@pytest.mark.parametrize("codec", PACK)
def test_garbage_behind_the_last_stream_is_told(codec: str) -> None:
    _, pack = PACK[codec]
    assert _all(pack(CSV) + b"\0" * 100_000, codec) == CSV
    with pytest.raises(ValueError, match="cannot be read on"):
        _all(pack(CSV) + b"garbage behind the end", codec)


@pytest.mark.parametrize("codec", PACK)
def test_a_bomb_ends_at_the_bound(codec: str) -> None:
    _, pack = PACK[codec]
    packed = pack(b"\0" * 50_000_000)
    source = Unpacked(io.BytesIO(packed), codec, 10_000_000)
    seen = 0
    with pytest.raises(ValueError, match="limit reached: it decompresses to more than 10,000,000"):
        while piece := source.read(1 << 20):
            seen += len(piece)
    assert 10_000_000 <= seen <= 50_000_000


@pytest.mark.parametrize("codec", PACK)
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_compressed_rows_are_scanned(tmp_path: Path, codec: str, name: str) -> None:
    suffix, pack = PACK[codec]
    lines = "".join(f'{{"text": "some text {i}", "label": {i % 2}}}\n' for i in range(3_000))
    data = CSV if name == "t.csv" else lines.encode()
    (tmp_path / (name + suffix)).write_bytes(pack(data[:70_001]) + pack(data[70_001:]))
    report = poisonscan.scan(tmp_path, root=tmp_path)
    assert report.gaps == []
    (entry,) = (entry for entry in report.scanned if entry.kind == "dataset")
    assert (entry.rows, entry.format) == (3_000, "csv" if name == "t.csv" else "json")


def test_a_compressed_bomb_of_rows_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MIN_UNPACKED", 10_000_000)
    monkeypatch.setattr(unpack, "MAX_RATIO", 2)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(CSV + b'"the same",1\n' * 2_000_000))
    report = poisonscan.scan(tmp_path, root=tmp_path)
    assert any("decompresses to more than 10,000,000 bytes" in gap.reason for gap in report.gaps)
    assert any((entry.rows or 0) > 100_000 for entry in report.scanned)


def test_what_is_no_table_is_unpacked_as_before(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"cos\nsystem\n(S'true'\ntR."))
    report = poisonscan.scan(tmp_path, root=tmp_path)
    assert "PS101" in {finding.rule.id for finding in report.findings}
