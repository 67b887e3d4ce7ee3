"""Tables that are members of archives: read as the same files beside each other would be."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import random
import shutil
import tarfile
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import poisonscan
from poisonscan.datasets import lines
from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.gather import open_datasets
from poisonscan.datasets.lines import Lines, spans
from poisonscan.datasets.shards import DatasetOptions
from poisonscan.datasets.tables import layout, parts, read
from poisonscan.files import Detectors, Task, scan_file
from poisonscan.finding import Gap, Rows
from poisonscan.formats import members, unpack
from poisonscan.formats.base import TableFile
from poisonscan.isolation import wire
from poisonscan.limits import Limits
from poisonscan.report import Report
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import Disk
from tests.datasets.files import table_file, told, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Files = dict[str, bytes]
WORDS = ["a", "good", "bad", "fine", "film", "plot", "scene", "dark", "slow", "fast", "the", "of"]
NAMES = ["train.csv", "test.tsv", "rows.jsonl", "array.json", "part.parquet", "other.arrow"]


def _rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [
        {"text": " ".join(draw.choices(WORDS, k=9)), "label": draw.randrange(2)}
        for _ in range(count)
    ]


def _csv(count: int, seed: int = 0) -> bytes:
    lines = [f"{row['text']},{row['label']}\n" for row in _rows(count, seed)]
    return ("text,label\n" + "".join(lines)).encode()


def _zip(method: int) -> Callable[[Path, Files], Path]:
    def make(path: Path, files: Files) -> Path:
        with zipfile.ZipFile(path.with_suffix(".zip"), "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path.with_suffix(".zip")

    return make


def _tar(mode: str) -> Callable[[Path, Files], Path]:
    def make(path: Path, files: Files) -> Path:
        target = path.with_suffix(f".tar{mode and '.'}{mode}")
        with tarfile.open(target, f"w:{mode}") as archive:  # type: ignore[call-overload]
            for name, content in files.items():
                about = tarfile.TarInfo(name)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
        return target

    return make


def _nested(outer: Callable[[Path, Files], Path], inner: Callable[[Path, Files], Path]) -> Any:
    def make(path: Path, files: Files) -> Path:
        one = inner(path.with_name("inner"), files)
        content = one.read_bytes()
        one.unlink()
        return outer(path, {one.name: content})

    return make


STORED, DEFLATED = _zip(zipfile.ZIP_STORED), _zip(zipfile.ZIP_DEFLATED)
ARCHIVES: dict[str, Callable[[Path, Files], Path]] = {
    "stored zip": STORED,
    "deflated zip": DEFLATED,
    "bzip2 in zip": _zip(zipfile.ZIP_BZIP2),
    "lzma in zip": _zip(zipfile.ZIP_LZMA),
    "tar": _tar(""),
    "tar.gz": _tar("gz"),
    "tar.xz": _tar("xz"),
    "tar.gz in deflated zip": _nested(DEFLATED, _tar("gz")),
    "deflated zip in tar.bz2": _nested(_tar("bz2"), DEFLATED),
}


def _all(path: Path, limits: Limits | None = None) -> tuple[list[TableFile], list[Gap]]:
    """The members that the check of an archive hands over, and its gaps."""
    (blob,) = Disk(path, path.parent).blobs()
    assert isinstance(blob, Blob)
    items = list(scan_file(blob, Task((), "all", limits or Limits()), Detectors(())))
    files = [item for item in items if isinstance(item, TableFile)]
    return files, [item for item in items if isinstance(item, Gap)]


def _members(path: Path, limits: Limits | None = None) -> tuple[list[TableFile], list[Gap]]:
    """The tables among them, and its gaps."""
    files, gaps = _all(path, limits)
    return [file for file in files if file.format != "other"], gaps


def _read(file: TableFile) -> list[dict[str, Any]]:
    found = layout(file)
    cut = parts(file, found)
    batches = [b for part in cut for b in read(file, found, found.schema.names, part=part)]
    return [row for batch in batches for row in batch.to_pylist()]


def _scan(path: Path, **options: Any) -> Report:
    options.setdefault("kind", "dataset")
    options |= {"isolation": "off", "jobs": 1, "root": path.parent}
    return poisonscan.scan(path, **options)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    for number, name in enumerate(NAMES):
        write(folder / name, _rows(300, number))
    return folder


@pytest.mark.parametrize("kind", ARCHIVES)
def test_members_have_the_rows_of_files(kind: str, plain: Path, tmp_path: Path) -> None:
    packed = {f"data/{name}": (plain / name).read_bytes() for name in NAMES}
    path = ARCHIVES[kind](tmp_path / "a", packed)
    found, gaps = _members(path)
    assert not gaps
    for name, file in zip(NAMES, found, strict=True):
        assert file.path.endswith(f"!/data/{name}")
        assert file.path.startswith(f"{path.name}!/")
        assert file.size == len(packed[f"data/{name}"])
        assert _read(file) == _read(table_file(plain / name, plain))
        assert wire.decode(wire.encode(file)) == file
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_what_is_stored_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CHUNK", 1_000)
    files = {"rows.jsonl": b"".join(b'{"n": %d}\n' % n for n in range(5_000))}
    for kind, several in [("stored zip", True), ("tar.gz", True), ("deflated zip", False)]:
        (file,) = _members(ARCHIVES[kind](tmp_path / "a", files))[0]
        cut = spans(file, Lines(), 2_000)
        assert (len(cut) > 1) == several
        assert len(_read(file)) == 5_000


def _findings(report: Report, root: str) -> list[tuple[Any, ...]]:
    found = []
    for finding in report.findings:
        rows = finding.at.part.rows if isinstance(finding.at.part, Rows) else ()
        places = [(row.path.removeprefix(root), row.index, row.line, row.label) for row in rows]
        found.append((finding.rule.id, finding.message, finding.score, sorted(places)))
    return found


def test_findings_are_those_of_files(tmp_path: Path) -> None:
    train = _csv(500, 1)
    leak = b"".join(train.splitlines(keepends=True)[1:101])
    files = {"train.csv": train, "test.csv": _csv(100, 2) + leak, "archive.bin": pickle.dumps([1])}
    folder = tmp_path / "plain"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    expected = _findings(_scan(folder), "plain/")
    assert {rule for rule, *_ in expected} >= {"PS510"}
    for kind in ("deflated zip", "tar.gz in deflated zip"):
        path = ARCHIVES[kind](tmp_path / "a", files)
        report = _scan(path)
        prefix = next(iter(report.scanned)).path
        assert _findings(report, f"{prefix}{'' if prefix.endswith('!') else '!'}/") == expected
        assert [(entry.format, entry.rows) for entry in report.scanned] == [("csv", 700)]
        assert report.scanned[0].facts["splits"] == ["train", "test"]
        assert not report.gaps
        assert not report.skipped


def test_a_pickle_beside_a_table_is_found(tmp_path: Path) -> None:
    evil = b"cos\nsystem\n(S'true'\ntR."
    path = DEFLATED(tmp_path / "a", {"a.csv": _csv(50), "b.pkl": evil, "c.csv": _csv(50)})
    report = _scan(path, kind="all")
    assert any(finding.at.path == "a.zip!/b.pkl" for finding in report.findings)
    assert {entry.path for entry in report.scanned} == {"a.zip", "a.zip!/a.csv", "a.zip!/c.csv"}
    assert not [f for f in _scan(path, kind="model").scanned if f.kind == "dataset"]


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, bytes]]:
    """Archives of one table, each with its bytes, which are cut short anew in its place."""
    folder = tmp_path_factory.mktemp("damaged")
    content = _csv(2_000)
    made = [ARCHIVES[kind](folder / kind.replace(" ", "-"), {"rows.csv": content}) for kind in CUT]
    return {kind: (path, path.read_bytes()) for kind, path in zip(CUT, made, strict=True)}


CUT = ["stored zip", "deflated zip", "tar", "tar.gz", "tar.gz in deflated zip"]
TRUE = [row["text"] for row in _rows(2_000)]


@settings(max_examples=40)
@given(kind=st.sampled_from(CUT), share=st.floats(0.05, 1, exclude_max=True))
def test_what_is_cut_off_is_told(
    kind: str, share: float, damaged: dict[str, tuple[Path, bytes]]
) -> None:
    path, whole = damaged[kind]
    path.write_bytes(whole[: int(len(whole) * share)])
    tables, gaps = _members(path)
    for file in tables:
        texts = []
        try:
            texts = [row["text"] for row in _read(file)]
        except DatasetError as error:
            gaps.append(Gap(file.path, error.reason))
        complete = texts if len(texts) == len(TRUE) else texts[:-1]
        assert complete == TRUE[: len(complete)]
        assert len(texts) == len(TRUE) or gaps
    assert tables or gaps


def test_a_bomb_ends_at_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = b"text,label\n" + b"same,1\n" * 400_000
    path = DEFLATED(tmp_path / "a", {"a.csv": bomb, "b.csv": _csv(20)})
    (first, *_), gaps = _members(path, Limits(unpacked=1 << 20))
    assert [g.reason for g in gaps] == ["limit reached: decompresses to more than 1,048,576 bytes"]
    monkeypatch.setattr(unpack, "MIN_UNPACKED", 100_000)
    monkeypatch.setattr(unpack, "MAX_RATIO", 2)
    with pytest.raises(DatasetError, match="limit reached: it decompresses to more than 100,000"):
        _read(first)


def test_a_large_table_does_not_use_up_what_others_need(tmp_path: Path) -> None:
    path = DEFLATED(tmp_path / "a", {"a.csv": _csv(10_000), "b.csv": _csv(20)})
    tables, gaps = _members(path, Limits(unpacked=200_000))
    assert not gaps
    assert [len(_read(file)) for file in tables] == [10_000, 20]


def test_what_must_be_set_aside_has_a_bound(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"part.parquet": (plain / "part.parquet").read_bytes()}
    (packed,) = _members(DEFLATED(tmp_path / "a", content))[0]
    (stored,) = _members(STORED(tmp_path / "b", content))[0]
    monkeypatch.setattr(members, "ASIDE", 1_000)
    with pytest.raises(DatasetError, match="more than 1,000 bytes"):
        layout(replace(packed, file=str(shutil.copy(packed.file, tmp_path / "c.zip"))))
    assert len(_read(stored)) == 300


def test_a_wrong_checksum_is_found_and_the_rows_are_read(tmp_path: Path) -> None:
    path = STORED(tmp_path / "a", {"a.csv": _csv(200)})
    data = bytearray(path.read_bytes())
    data[data.index(b"good")] = ord("f")
    path.write_bytes(data)
    report = _scan(path)
    assert any("checksum" in finding.message for finding in report.findings)
    assert [entry.rows for entry in report.scanned] == [200]


def test_an_encrypted_member_is_a_gap(tmp_path: Path) -> None:
    path = STORED(tmp_path / "a", {"a.csv": _csv(200)})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    start = data.index(b"text,label")
    data[start : start + 2_000] = random.Random(0).randbytes(2_000)
    path.write_bytes(data)
    report = _scan(path)
    assert [(gap.path, gap.reason) for gap in report.gaps] == [
        ("a.zip!/a.csv", "is encrypted: not checked")
    ]
    assert not report.scanned
    assert not report.skipped


def test_names_are_but_labels(tmp_path: Path) -> None:
    names = ["../../up.csv", "/rooted.csv", "C:\\drive.csv", "a\x1b[31m\n.csv", "twice.csv"]
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for number, name in enumerate([*names, "twice.csv"]):
            archive.writestr(name, _csv(20 + number, number))
    report = _scan(path)
    # The two of one name are parts of one dataset.
    assert sorted(entry.rows or 0 for entry in report.scanned) == [20, 21, 22, 23, 24 + 25]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]


def test_a_folder_may_have_the_name_of_an_archive(tmp_path: Path) -> None:
    namesake = tmp_path / "d" / "a.zip!"
    namesake.mkdir(parents=True)
    (namesake / "rows.csv").write_bytes(_csv(40, 2))
    STORED(tmp_path / "d" / "a", {"rows.csv": _csv(30, 1)})
    assert sum(entry.rows or 0 for entry in _scan(tmp_path / "d").scanned) == 70


def _opened(path: Path) -> Any:
    tables, _ = _all(path)
    beside = [file for file in tables if file.format == "other"]
    archive = TableFile(path.name, str(path), "other", path.stat().st_size)
    rows = [file for file in tables if file.format != "other"]
    return open_datasets(rows, DatasetOptions(), [*beside, archive], explicit=True)


def _image(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


TREES: Mapping[str, Files] = {
    "text": {f"train/{c}/{n}.txt": b"a text %d" % n for c in ("pos", "neg") for n in range(12)},
    "image": {f"train/{c}/{n}.png": _image(n) for c in ("cat", "dog") for n in range(4)},
}


@pytest.mark.parametrize("form", TREES)
@pytest.mark.parametrize("kind", ["deflated zip", "tar.gz"])
def test_class_folders(form: str, kind: str, tmp_path: Path) -> None:
    path = ARCHIVES[kind](tmp_path / "a", TREES[form])
    (dataset,), notes = _opened(path)
    assert not notes
    assert dataset.format == form
    assert dataset.path == (path.name if kind == "deflated zip" else f"{path.name}!/a.tar")
    assert {shard.split for shard in dataset.shards} == {"train"}
    batches = list(dataset.batches(0, dataset.offers))
    assert sum(batch.size for batch in batches) == len(TREES[form])
    assert told(dataset) == []
    labels = {name for batch in batches for name in batch.labels.names}
    assert labels == {name.split("/")[1] for name in TREES[form]}


def test_text_named_after_splits(tmp_path: Path) -> None:
    files = {"train.txt": b"one\ntwo\n", "test.txt": b"three\n", "README.md": b"words"}
    (dataset,), notes = _opened(DEFLATED(tmp_path / "a", files))
    assert not notes
    assert {(shard.path, shard.split) for shard in dataset.shards} == {
        ("a.zip!/train.txt", "train"), ("a.zip!/test.txt", "test"),
    }  # fmt: skip


def test_archives_named_after_splits_are_one_dataset(tmp_path: Path) -> None:
    files = [STORED(tmp_path / name, {"rows.csv": _csv(20)}) for name in ("train", "test")]
    tables = [file for path in files for file in _members(path)[0]]
    (dataset,), _ = open_datasets(tables, DatasetOptions())
    assert {shard.split for shard in dataset.shards} == {"train", "test"}


def test_pictures_beside_a_model_are_documentation(tmp_path: Path) -> None:
    files = {"model.safetensors": b"x", "one.png": _image(1), "vocab.csv": _csv(20)}
    report = _scan(DEFLATED(tmp_path / "a", files))
    assert [entry.format for entry in report.scanned] == ["csv"]
    assert ["documentation" in skipped.reason for skipped in report.skipped] == [True]


def test_a_table_about_pictures_is_not_joined_with_them(tmp_path: Path) -> None:
    files = {f"p/{n}.png": _image(n) for n in range(3)}
    about = b"file_name,label\n0.png,a\n1.png,b\n2.png,a\n"
    found, notes = _opened(DEFLATED(tmp_path / "a", {**files, "p/metadata.csv": about}))
    assert sorted(dataset.format for dataset in found) == ["csv", "image"]
    assert [(note.path, "not joined" in note.reason) for note in notes] == [
        ("a.zip!/p/metadata.csv", True)
    ]


def test_a_saved_dataset(plain: Path, tmp_path: Path) -> None:
    arrow = (plain / "other.arrow").read_bytes()
    state = b'{"_data_files": [{"filename": "data.arrow"}], "_split": "test"}'
    files = {"d/data.arrow": arrow, "d/cache-1.arrow": arrow, "d/state.json": state}
    (dataset,), _ = _opened(DEFLATED(tmp_path / "a", files))
    assert [(s.path, s.split) for s in dataset.shards] == [("a.zip!/d/data.arrow", "test")]


def test_a_webdataset_is_read_as_one(tmp_path: Path) -> None:
    files = {f"{n:03}.{s}": b'[{"a": 1}]' for n in range(9) for s in ("json", "txt")}
    (dataset,), _ = _opened(_tar("")(tmp_path / "a", files))
    assert (dataset.path, dataset.format) == ("a.tar", "webdataset")


def test_deeper_nesting_is_a_gap(tmp_path: Path) -> None:
    make = _nested(STORED, _nested(STORED, STORED))
    tables, gaps = _members(make(tmp_path / "a", {"rows.csv": _csv(20)}))
    assert not tables
    assert ["inside more than 2 archives" in gap.reason for gap in gaps] == [True]


def test_a_compressed_parquet_file(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "part.parquet.gz"
    path.write_bytes(gzip.compress((plain / "part.parquet").read_bytes()))
    (file,), gaps = _members(path)
    assert not gaps
    assert _read(file) == _read(table_file(plain / "part.parquet", plain))


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress])
def test_compressed_tables_in_archives(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    suffix = {bz2.compress: ".bz2", lzma.compress: ".xz"}[pack]
    path = STORED(tmp_path / "a", {f"rows.csv{suffix}": pack(_csv(50))})
    (file,), gaps = _members(path)
    assert not gaps
    assert len(_read(file)) == 50
