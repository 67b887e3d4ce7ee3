from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from poisonscan.cleaning.clean import clean
from poisonscan.cleaning.errors import CleanError
from poisonscan.finding import Severity
from tests.cleaning.lists import listed

CSV = "text,label\n" + "".join(f"row {i},{i % 2}\n" for i in range(20))


def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "train").mkdir(parents=True)
    (data / "train" / "a.csv").write_text(CSV)
    (data / "train" / "b.csv").write_text(CSV)
    (data / "README.md").write_text("num_examples: 40")
    return data


def names(place: Path) -> list[str]:
    return sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())


def test_a_folder_loses_rows_and_nothing_else(tmp_path: Path) -> None:
    data, out = folder(tmp_path), tmp_path / "out"
    rows = listed(tmp_path / "rows.jsonl", data, {"train/a.csv": [3, 4, 3]})
    before = {name: (data / name).read_bytes() for name in names(data)}
    done = clean(data, rows, out)
    assert {name: (data / name).read_bytes() for name in names(data)} == before
    assert names(out) == names(data)
    assert (out / "train" / "b.csv").read_text() == CSV
    assert (out / "train" / "a.csv").read_text() == CSV.replace("row 3,1\nrow 4,0\n", "")
    assert (done.taken, done.by_rule, done.copied) == (2, {"PS601": 3}, 2)
    assert done.changed == {"train/a.csv": 18}
    assert done.counts == ["README.md"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "out", "rows.jsonl"]


def test_a_single_file_that_was_moved(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(CSV)
    rows = listed(tmp_path / "rows.jsonl", path, {".": [0]})
    moved = path.rename(tmp_path / "moved.csv")
    clean(moved, rows, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == CSV.replace("row 0,0\n", "")


def test_pictures_go_with_their_line_in_the_table(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for number in range(4):
        path = data / "train" / "cat" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    about = "file_name,note\n" + "".join(f"cat/{i}.png,n{i}\n" for i in range(4))
    (data / "train" / "metadata.csv").write_text(about)
    rows = listed(tmp_path / "rows.jsonl", data, {"train/cat/2.png": [0]})
    done = clean(data, rows, out)
    assert done.dropped == ["train/cat/2.png"]
    assert names(out) == [name for name in names(data) if "2.png" not in name]
    left = (out / "train" / "metadata.csv").read_text()
    assert left == about.replace("cat/2.png,n2\n", "")
    assert not (out / "train" / "cat" / "1.png").samefile(data / "train" / "cat" / "1.png")


def test_a_saved_folder_gets_another_fingerprint(tmp_path: Path) -> None:
    import pyarrow as pa

    data, out = tmp_path / "saved", tmp_path / "out"
    data.mkdir()
    table = pa.table({"text": [f"row {i}" for i in range(9)]})
    with pa.ipc.new_stream(data / "data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)
    files = [{"filename": "data-00000-of-00001.arrow"}]
    (data / "state.json").write_text(json.dumps({"_data_files": files, "_fingerprint": "abc"}))
    rows = listed(tmp_path / "rows.jsonl", data, {"data-00000-of-00001.arrow": [8]})
    clean(data, rows, out)
    state = json.loads((out / "state.json").read_text())
    assert state["_data_files"] == files
    assert len(state["_fingerprint"]) == 16
    read = pa.ipc.open_stream((out / "data-00000-of-00001.arrow").read_bytes()).read_all()
    assert read.equals(table.slice(0, 8))


@pytest.mark.parametrize("name", ["z.npz", "z-idx3-ubyte", "z.csv.gz"])
def test_what_no_rows_are_taken_out_of_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    data = folder(tmp_path)
    contents = {
        "z.npz": b"PK\3\4",
        "z-idx3-ubyte": b"\0\0\x08\1" + bytes(8),
        "z.csv.gz": gzip.compress(b"text,label\n" + b"a b,1\n" * 30),
    }
    (data / name).write_bytes(contents[name])
    rows = listed(tmp_path / "rows.jsonl", data, {"train/a.csv": [1], name: [0]})
    monkeypatch.setattr("shutil.copyfile", pytest.fail)
    with pytest.raises(CleanError, match=f"{name}': rows cannot be taken out of files of this"):
        clean(data, rows, tmp_path / "out")


def test_rules_and_severities_choose(tmp_path: Path) -> None:
    data = folder(tmp_path)
    rows = listed(tmp_path / "rows.jsonl", data, {"train/a.csv": [1]}, "PS501")
    for wanted in ({"rules": ("PS6",)}, {"min_severity": Severity.CRITICAL}):
        with pytest.raises(CleanError, match="no row"):
            clean(data, rows, tmp_path / "out", **wanted)
    assert clean(data, rows, tmp_path / "out", rules=("PS5",)).taken == 1


def test_files_that_changed_are_refused(tmp_path: Path) -> None:
    data = folder(tmp_path)
    rows = listed(tmp_path / "rows.jsonl", data, {"train/a.csv": [1]})
    (data / "train" / "a.csv").write_text(CSV.replace("row 7", "row X"))
    with pytest.raises(CleanError, match="changed since"):
        clean(data, rows, tmp_path / "out")
    (data / "train" / "a.csv").unlink()
    with pytest.raises(CleanError, match="not in the dataset"):
        clean(data, rows, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over_or_into_the_dataset(tmp_path: Path) -> None:
    data = folder(tmp_path)
    rows = listed(tmp_path / "rows.jsonl", data, {"train/a.csv": [1]})
    link = tmp_path / "link"
    link.symlink_to(data)
    for out in (data, data / "out", data / "train" / "out", link / "out", tmp_path / "no" / "out"):
        with pytest.raises(CleanError):
            clean(data, rows, out)
    assert names(data) == ["README.md", "train/a.csv", "train/b.csv"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    data = folder(tmp_path)
    (data / "train" / "z.json").write_text('[{"a": 1}, {"a": 2}]')
    rows = listed(tmp_path / "rows.jsonl", data, {"train/a.csv": [1], "train/z.json": [0]})
    with pytest.raises(CleanError):
        clean(data, rows, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "rows.jsonl"]


def test_links_that_leave_the_folder_are_not_followed(tmp_path: Path) -> None:
    data = folder(tmp_path)
    secret = tmp_path / "secret.csv"
    secret.write_text(CSV)
    (data / "linked.csv").symlink_to(secret)
    rows = listed(tmp_path / "rows.jsonl", data, {"train/a.csv": [1]})
    done = clean(data, rows, tmp_path / "out")
    assert list(done.left) == ["linked.csv"]
    assert "linked.csv" not in names(tmp_path / "out")
    rows = listed(tmp_path / "more.jsonl", data, {"linked.csv": [1]})
    with pytest.raises(CleanError, match="not in the dataset"):
        clean(data, rows, tmp_path / "other")


def test_rows_in_archives_are_refused(tmp_path: Path) -> None:
    data = folder(tmp_path)
    with zipfile.ZipFile(data / "more.zip", "w") as archive:
        archive.writestr("c.csv", CSV)
    rows = listed(tmp_path / "rows.jsonl", data, {"more.zip!/c.csv": [1]})
    with pytest.raises(CleanError, match="archive"):
        clean(data, rows, tmp_path / "out")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"tool": "poisonscan rows"', '"tool": "other"'),
        ('"schema_version": 1', '"schema_version": 2'),
        ('"index": 1', '"index": -1'),
        ('"index": 1', '"index": true'),
        ('"severity": ', '"severity": "worse", "other": '),
        ('"type": "end"', '"type": "row"'),
        ('"within": "train/a.csv"', '"within": "../data/train/a.csv"'),
        ('{"type": "end"', "["),
    ],
)
def test_other_lists_are_refused(tmp_path: Path, old: str, new: str) -> None:
    data = folder(tmp_path)
    rows = listed(tmp_path / "rows.jsonl", data, {"train/a.csv": [1]})
    text = rows.read_text()
    assert old in text
    rows.write_text(text.replace(old, new))
    with pytest.raises(CleanError):
        clean(data, rows, tmp_path / "out")
    rows.write_text(text[: text.rindex('{"type": "end"')])
    with pytest.raises(CleanError, match="ends early"):
        clean(data, rows, tmp_path / "out")


def test_a_file_or_folder_of_what_was_scanned(tmp_path: Path) -> None:
    """Also copied elsewhere, where its content tells which it is."""
    data = folder(tmp_path)
    other = CSV.replace("row 1,", "row one,")
    (data / "train" / "b.csv").write_text(other)
    rows = listed(tmp_path / "r.jsonl", data, {"train/a.csv": [3], "train/b.csv": [0, 1]})
    done = clean(data / "train" / "b.csv", rows, tmp_path / "b.csv")
    left = other.replace("row 0,0\nrow one,1\n", "")
    assert (tmp_path / "b.csv").read_text() == left
    assert (done.taken, done.by_rule, done.copied) == (2, {"PS601": 2}, 0)
    done = clean(data / "train", rows, tmp_path / "part")
    assert (done.taken, names(tmp_path / "part")) == (3, ["a.csv", "b.csv"])
    assert (tmp_path / "part" / "b.csv").read_text() == left
    moved = tmp_path / "somewhere.csv"
    moved.write_text(other)
    clean(moved, rows, tmp_path / "moved.csv")
    assert (tmp_path / "moved.csv").read_text() == left
    moved.write_text(CSV + "one more,0\n")
    with pytest.raises(CleanError, match="is not one file of those that the list is of"):
        clean(moved, rows, tmp_path / "no.csv")
    with pytest.raises(CleanError, match="no row of it is listed"):
        clean(data / "README.md", rows, tmp_path / "no.md")
