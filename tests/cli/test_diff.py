"""What is different between two versions, from files to the last line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from fixtures import containers as box
from fixtures import opcodes as op
from poisonscan.cli import cli
from tests.datasets.files import encoded, picture, write
from tests.sources.hub.conftest import hub as hub  # noqa: PLC0414 - a fixture
from tests.sources.hub.fake import COMMIT, FakeHub

ROWS: list[dict[str, Any]] = [
    {"id": i, "text": f"text number {i * 7919}", "label": ("pos", "neg")[i % 2]} for i in range(60)
]


def diff(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["diff", "--isolation", "off", *map(str, arguments)])
    assert "\x1b" not in result.output
    return result


def found(*arguments: object) -> Any:
    result = diff(*arguments, "--json")
    document = json.loads(result.stdout)
    expected = 1 if document["counts"] else 3 if document["gaps"] else 0
    assert result.exit_code == expected
    return document


def test_rows(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write(old / "train.csv", ROWS[:50])
    write(old / "test.csv", ROWS[50:])
    changed = [dict(row) for row in ROWS]
    changed[3]["label"], changed[8]["label"] = "pos", "neg"
    changed[20]["text"] = "\x1b[31mother"
    train = [*changed[1:50], {"id": 99, "text": "one more", "label": "pos"}]
    write(new / "train.csv", [*train[:10], *train[11:]][::-1])  # row 11 moves
    write(new / "test.csv", [*changed[50:], train[10]])
    document = found(old, new)
    assert document["counts"] == {
        "relabelled": 2, "moved": 1, "added row": 2, "removed row": 2, "file": 2,
    }  # fmt: skip
    (about,) = document["rows"].values()
    assert about["label pairs"] == [
        {"old": "'neg'", "new": "'pos'", "rows": 1}, {"old": "'pos'", "new": "'neg'", "rows": 1},
    ]  # fmt: skip
    rows = document["differences"]["relabelled"]
    assert [(row["old"]["row"], row["old"]["label"], row["label"]) for row in rows] == [
        (8, "pos", "neg"), (3, "neg", "pos"),
    ]  # fmt: skip
    (moved,) = document["differences"]["moved"]
    assert (moved["path"], moved["row"], moved["old"]["row"]) == ("test.csv", 10, 11)
    assert {row["row"] for row in document["differences"]["removed row"]} == {0, 20}
    told = diff(old, new)
    assert "'neg' → 'pos': 1 row" in told.output
    assert "now 'neg': text number 63352" in told.output


def test_two_tables_of_other_names(tmp_path: Path) -> None:
    write(tmp_path / "old.csv", ROWS)
    write(tmp_path / "new.csv", [{**ROWS[0], "label": "other"}, *ROWS[1:]])
    document = found(tmp_path / "old.csv", tmp_path / "new.csv")
    assert document["counts"] == {"relabelled": 1, "file": 1}


def test_more_labels_than_are_named(tmp_path: Path) -> None:
    rows = [{"text": f"text number {i * 7919}", "label": f"l{i}"} for i in range(10_050)]
    write(tmp_path / "old" / "a.csv", rows)
    changed = [*rows[:10_040], *({**row, "label": "other"} for row in rows[10_040:])]
    write(tmp_path / "new" / "a.csv", changed[::-1])
    document = found(tmp_path / "old", tmp_path / "new", "--label-column", "label")
    assert document["counts"] == {"relabelled": 10, "file": 1}
    (about,) = document["rows"].values()
    assert {pair["old"] for pair in about["label pairs"]} == {"one of too many to name"}


def test_the_same_rows_in_another_format(tmp_path: Path) -> None:
    write(tmp_path / "old" / "train.csv", ROWS)
    write(tmp_path / "new" / "train.parquet", ROWS[::-1])
    assert found(tmp_path / "old", tmp_path / "new")["counts"] == {"file": 2}
    write(tmp_path / "new" / "train.parquet", [{**row, "extra": 1} for row in ROWS])
    assert found(tmp_path / "old", tmp_path / "new")["counts"]["columns"] == 1


def test_a_relabelled_picture(tmp_path: Path) -> None:
    for folder in ("old", "new"):
        for number in range(6):
            label = "ab"[number % 2] if (folder, number) != ("new", 3) else "a"
            path = tmp_path / folder / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(picture(number)))
    document = found(tmp_path / "old", tmp_path / "new")
    assert document["counts"] == {"relabelled": 1, "file": 1}
    (row,) = document["differences"]["relabelled"]
    assert (row["path"], row["old"]["path"]) == ("a/3.png", "b/3.png")
    # The files keep their order, so that only their classes tell.
    (tmp_path / "old" / "b").rename(tmp_path / "old" / "c")
    (tmp_path / "new" / "b" / "3.png").unlink(missing_ok=True)
    (tmp_path / "new" / "a" / "3.png").rename(tmp_path / "new" / "b" / "3.png")
    (about,) = found(tmp_path / "old", tmp_path / "new")["rows"].values()
    assert about["label pairs"] == [{"old": "'c'", "new": "'b'", "rows": 3}]


def test_a_model(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "same.bin").write_bytes(b"\x01 of no known format")
    (old / "pytorch_model.bin").write_bytes(box.torch_zip(box.state_dict(), {"0": box.floats(4)}))
    values = np.array([[0, 1], [2, 3.5]], "<f4")
    save_file({"weight": values, "more": values[0]}, new / "model.safetensors")
    (old / "config.json").write_text('{"model_type": "bert", "a": {"b": [1, 2]}, "gone": 1}')
    (new / "config.json").write_text(
        '{"model_type": "bert", "a": {"b": [1, 3]}, "auto_map": {"AutoModel": "x\\u001b.Y"}}'
    )
    (old / "modeling.py").write_text("import json\nx = 1\n")
    (new / "modeling.py").write_text("import json\nimport subprocess\nx = 2\n")
    (new / "extra.pkl").write_bytes(op.pickle_of(op.system(), protocol=2))
    document = found(old, new)
    tensors = document["differences"]["tensor"]
    assert [(one["tensor"], one["became"]) for one in tensors] == [
        ("more", "added"), ("weight", "changed"),
    ]  # fmt: skip
    assert (tensors[1]["values"], tensors[1]["share"], tensors[1]["largest"]) == (1, 0.25, 0.5)
    assert [one["new"] for one in document["differences"]["import"]] == ["os.system"]
    assert [one["new"] for one in document["differences"]["call"]] == ["os.system"]
    assert [(one["key"], one["old"], one["new"]) for one in document["differences"]["config"]] == [
        ("a.b", "[1, 2]", "[1, 3]"), ("auto_map.AutoModel", None, '"x\\u001b.Y"'),
        ("gone", "1", None),
    ]  # fmt: skip
    (code,) = document["differences"]["code"]
    assert (code["added"], code["removed"], code["imports"]) == (2, 1, ["subprocess"])
    assert document["gaps"] == []
    assert (
        "tensor 'weight', F32 [2, 2]: 1 of 4 values changed (25.00%), by up to 0.5"
        in diff(old, new).output
    )


def test_two_files_of_other_names(tmp_path: Path) -> None:
    torch, safe = tmp_path / "a.pt", tmp_path / "b.safetensors"
    torch.write_bytes(box.torch_zip(box.state_dict(), {"0": box.floats(4)}))
    save_file({"weight": np.arange(4, dtype="<f4").reshape(2, 2)}, safe)
    document = found(torch, safe)
    assert "tensor" not in document["counts"]
    assert document["same tensors"] == 1
    assert "tensors that are the same: 1" in diff(torch, safe).output


@pytest.mark.parametrize(
    ("dtype", "old", "new", "largest"),
    [
        ("<f8", [1.0, np.nan], [1.25, np.nan], 0.25), ("<i8", [1, 2], [1, -5], 7.0),
        ("<f4", [0.0, 1.0], [-0.0, 1.0], 0.0), ("u1", [255, 1], [0, 1], 255.0),
        ("<f2", [1.0, np.inf], [1.0, -np.inf], None),
    ],
)  # fmt: skip
def test_how_far_values_are_apart(
    tmp_path: Path, dtype: str, old: list[float], new: list[float], largest: float | None
) -> None:
    for name, values in (("old", old), ("new", new)):
        save_file({"w": np.array(values, dtype)}, tmp_path / name)
    (one,) = found(tmp_path / "old", tmp_path / "new")["differences"]["tensor"]
    assert (one["values"], one["largest"]) == (1, largest)


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    for name, end in (("old", b"a"), ("new", b"b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "\x1b[31m.bin").write_bytes(b"\x01\x02nothing known" + end)
    document = found(tmp_path / "old", tmp_path / "new")
    assert document["counts"] == {"file": 1}
    assert [gap["path"] for gap in document["gaps"]] == ["\\x1b[31m.bin"]
    (tmp_path / "new" / "\x1b[31m.bin").write_bytes(b"\x01\x02nothing knowna")
    (tmp_path / "new" / "link").symlink_to("/etc/hostname")
    assert diff(tmp_path / "old", tmp_path / "new").exit_code == 3


def test_datasets_in_files_of_other_names_and_formats(tmp_path: Path) -> None:
    write(tmp_path / "old" / "one.csv", ROWS)
    write(tmp_path / "new" / "two.parquet", [{**ROWS[0], "label": "neg"}, *ROWS[1:]])
    document = found(tmp_path / "old" / "one.csv", tmp_path / "new" / "two.parquet")
    assert document["counts"] == {"file": 1, "relabelled": 1}
    (tmp_path / "new" / "notes.txt").write_text("no rows of it are here\n")
    other = found(tmp_path / "old" / "one.csv", tmp_path / "new" / "notes.txt")
    assert other["counts"]["dataset"] == 1


def test_nothing_is_different(tmp_path: Path) -> None:
    write(tmp_path / "old" / "train.csv", ROWS)
    write(tmp_path / "new" / "train.csv", ROWS)
    result = diff(tmp_path / "old", tmp_path / "new")
    assert (result.exit_code, result.output) == (0, "1 file compared: nothing is different.\n")
    assert diff(tmp_path / "old", tmp_path / "nowhere").exit_code == 2
    write(tmp_path / "new" / "train.csv", ROWS[1:])
    wrong = diff(tmp_path / "old", tmp_path / "new", "--label-column", "nowhere")
    assert (wrong.exit_code, "'nowhere'" in wrong.output) == (2, True)


def test_revisions_of_a_repository(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    hub.files = {"config.json": b'{"a": 1}'}
    hub.revisions["v1"] = COMMIT
    Path("here").mkdir()
    Path("here/config.json").write_bytes(b'{"a": 2}')
    assert found("hf://org/name@v1", "hf://org/name")["counts"] == {}
    document = found("hf://org/name@v1", "here")
    (one,) = document["differences"]["config"]
    assert (one["key"], one["old"], one["new"]) == ("a", "1", "2")
    missing = diff("hf://org/name@v9", "here")
    assert missing.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
