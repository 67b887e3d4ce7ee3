"""The beginnings of text files."""

from __future__ import annotations

import bz2
import gzip
import lzma
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.datasets.first_records import Beginning, Found, cut, may_be_cut
from poisonscan.datasets.lines import Lines
from poisonscan.datasets.tables import layout, read
from poisonscan.formats.base import TableFile
from tests.datasets.files import write

if TYPE_CHECKING:
    from pathlib import Path

PACK: dict[str, Any] = {
    "": lambda data: data, ".gz": gzip.compress, ".bz2": lambda data: bz2.compress(data, 1),
    ".xz": lambda data: lzma.compress(data, preset=0),
    ".zst": zstandard.compress,
}  # fmt: skip
CODEC = {"": "", ".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstandard"}
ROWS = [{"text": f'number {i * 7919}, "so"\nto speak', "label": i % 2} for i in range(20_000)]


def _cut(folder: Path, name: str, data: bytes, end: int, wanted: int) -> Found:
    (folder / "packed").write_bytes(data)
    return cut(Beginning(name, str(folder / "packed"), end, wanted, str(folder / "out")))


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_is_cut_off_are_whole_records(tmp_path: Path, suffix: str, packed: str) -> None:
    write(tmp_path / f"t{suffix}", ROWS)
    plain = (tmp_path / f"t{suffix}").read_bytes()
    data = PACK[packed](plain)
    found = _cut(tmp_path, f"a/t{suffix}{packed}", data, len(data) * 3 // 4, 50)
    assert found.enough
    out = tmp_path / "out"
    kind = suffix[1:].removesuffix("l")
    file = TableFile(f"t{suffix}{packed}", str(out), kind, out.stat().st_size, CODEC[packed])
    rows = [row for batch in read(file, layout(file), ["text"]) for row in batch.to_pylist()]
    assert rows == [{"text": row["text"]} for row in ROWS[: found.rows]]
    assert 50 < found.rows < len(ROWS)
    few = _cut(tmp_path, f"a/t{suffix}{packed}", data, len(data) * 3 // 4, found.rows)
    assert few == Found(found.rows)
    assert out.exists() is few.enough


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.jsonl", b""),
        ("t.jsonl", b"x" * 1_000),
        ("t.json", b'[{"a": 1},\n{"a": 2}]\n'),
        ("t.json", b'{"a": 1,\n "b": [\n1,\n2]}\n'),
        ("t.csv", b"\x80\x04\x95" + bytes(300)),
        ("t.csv", b"PK\x03\x04" + bytes(300)),
        ("t.csv.gz", b"a,b\n1,2\n" * 50),
        ("t.csv.gz", gzip.compress(b"\x80\x04\x95" + bytes(3_000), mtime=0)),
    ],
)
def test_what_is_no_file_of_rows_is_left_alone(tmp_path: Path, name: str, data: bytes) -> None:
    assert not _cut(tmp_path, name, data, len(data), 1).enough


def test_names() -> None:
    good = ["a.csv", "x/b.JSONL", "c.csv.gz", "d.tsv.zst", "e.json"]
    bad = ["a.txt", "b.parquet", "metadata.csv", "x/metadata.jsonl", "c.gz", "d.csv.zip", "csv"]
    assert [may_be_cut(name) for name in good + bad] == [True] * len(good) + [False] * len(bad)


def test_what_unpacks_to_too_much_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poisonscan.datasets.first_records.MOST", 100_000)
    data = gzip.compress(b'{"a": 1}\n' * 100_000)
    assert not _cut(tmp_path, "t.jsonl.gz", data, len(data), 1).enough
    assert not _cut(tmp_path, "t.jsonl", b'{"a": 1}\n' * 20_000, 100_001, 1).enough
    assert _cut(tmp_path, "t.jsonl", b'{"a": 1}\n' * 20_000, 100_000, 1).enough


@settings(max_examples=60)
@given(st.integers(0, 600), st.binary(max_size=40))
def test_no_cut_makes_other_rows(
    tmp_path_factory: pytest.TempPathFactory, end: int, odd: bytes
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    rows = b"".join(b'{"text": "number %d"}\n' % n for n in range(30))
    data = rows[:200] + odd + rows[200:]
    found = _cut(folder, "t.jsonl", data, end, 3)
    if found.enough:
        assert data[:end].startswith((folder / "out").read_bytes())
        assert Lines().ends(data[:end], first=False)[1] == (folder / "out").stat().st_size
