"""From a scan to the dataset without what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import poisonscan
from poisonscan.cli import cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), auto_envvar_prefix="POISONSCAN")


def test_copies_go_but_for_one_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than a finding names."""
    monkeypatch.chdir(tmp_path)
    own = [f"text number {i * 7919} of its own,{i % 2}\n" for i in range(800)]
    copies = [f"copied {i // 3} text,0\n" for i in range(1_800)]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\n" + "".join(own + copies))
    scan = ["dataset", "data", "--rows-out", "rows.jsonl", "--select", "PS501", "--fail-on", "low"]
    assert run(*scan, "-o", "json=report.json").exit_code == 1
    (finding,) = json.loads(Path("report.json").read_bytes())["findings"]
    assert len(finding["location"]["part"]["rows"]) < 1_000
    assert "every" not in finding["location"]["part"]
    head, *_, end = map(json.loads, Path("rows.jsonl").read_text().splitlines())
    assert head["complete"]
    assert end == {"type": "end", "rows": 1_200}
    done = run("clean", "data", "--rows", "rows.jsonl", "-o", "cleaned")
    assert done.exit_code == 0
    assert "1,200 rows taken out" in done.output
    assert "PS501: 1,200 rows" in done.output
    assert "train.csv: 1,400 rows left" in done.output
    left = (tmp_path / "cleaned" / "train.csv").read_text()
    assert left == "text,label\n" + "".join(own + copies[::3])
    again = run("clean", "data", "--rows", "rows.jsonl", "-o", "cleaned")
    assert again.exit_code == 2
    assert "exists already" in again.output


def test_rules_are_those_that_there_are(tmp_path: Path) -> None:
    """A misspelt one says so, and not that there is nothing to take out."""
    data, rows, out = (str(tmp_path / name) for name in ("train.csv", "rows.jsonl", "out.csv"))
    Path(data).write_text("text,label\n" + "one text,0\n" * 9)
    run("dataset", data, "--rows-out", rows, "--select", "PS501")
    command = ("clean", data, "--rows", rows, "-o", out, "--select")
    wrong = run(*command, "PS999")
    assert "did you mean" not in wrong.output
    assert (wrong.exit_code, "'PS999' matches no rule" in wrong.output) == (2, True)
    assert "nothing to take out" in run(*command, "ps101").output
    assert run(*command, "duplicate-rows").exit_code == 0
    assert Path(out).read_text() == "text,label\none text,0\n"


def test_a_list_does_not_replace_what_is_scanned(tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    data.write_text('{"text": "a"}\n' * 9)
    for place in (data, tmp_path / "no" / "rows.jsonl", tmp_path):
        result = run("dataset", str(data), "--rows-out", str(place))
        assert result.exit_code == 2
        assert "--rows-out" in result.output
    assert data.read_text() == '{"text": "a"}\n' * 9


def test_models_have_no_rows(tmp_path: Path) -> None:
    assert run("model", str(tmp_path), "--rows-out", "rows.jsonl").exit_code == 2


def test_a_list_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    rows, out = str(tmp_path / "rows.jsonl"), str(tmp_path / "out.csv")
    result = run("clean", str(tmp_path / "a.csv"), "--rows", rows, "-o", out)
    assert result.exit_code == 2
    assert "no list of rows" in result.output


def test_a_named_column_makes_the_first_line_a_header_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That line looks like those below it."""
    monkeypatch.chdir(tmp_path)
    data = Path("train.csv")
    kinds, labels = ["kind", "cruel", "odd"], ["ham", "spam"]
    lines = [f"{kinds[i % 3]},{labels[i % 2]},text number {i * 7919} of its own" for i in range(40)]
    lines[30:] = [lines[4]] * 10
    data.write_text("\n".join(["kind,spam,what", *lines, ""]))
    scan = ["dataset", str(data), "--select", "PS501", "--fail-on", "none", "--rows-out"]
    for number, (option, header, first) in enumerate(
        [
            ([], False, 31),
            (["--label-column", "spam"], True, 30),
            (["--header"], True, 30),
            (["--no-header", "--label-column", "col_1"], False, 31),
        ]
    ):
        rows = f"{number}.jsonl"
        assert run(*scan, rows, *option).exit_code == 0
        listed = [json.loads(line) for line in Path(rows).read_text().splitlines()]
        assert [x["header"] for x in listed if x["type"] == "file"] == [header]
        assert [x["index"] for x in listed if x["type"] == "row"] == list(range(first, first + 10))
        assert run("clean", str(data), "--rows", rows, "-o", f"{number}.csv").exit_code == 0
        cleaned = Path(f"{number}.csv").read_text().splitlines()
        assert cleaned == ["kind,spam,what", *lines[:30]]
    refused = run(*scan, "no.jsonl", "--no-header", "--label-column", "spam")
    assert refused.exit_code == 2
    assert "there is no column 'spam'" in refused.output


@pytest.mark.parametrize("name", ["a.npz", "train-images-idx3-ubyte", "t.csv.gz"])
def test_that_rows_can_be_listed_only_is_said_before_the_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data", name).write_bytes(b"")

    def scan(*_: object, **__: object) -> None:
        raise poisonscan.TargetError("the scan begins")

    monkeypatch.setattr("poisonscan.cli.scan.run_scan", scan)
    for target in ("data", f"data/{name}"):
        output = run("dataset", target, "--rows-out", "rows.jsonl").output
        said = f"and none out of 'data/{name}', by its name; --rows-out lists its rows"
        assert said in output
        assert output.index("and none out of") < output.index("the scan begins")
        assert "none out of" not in run("dataset", target).output
    for folder in ("z", "a"):
        Path("data", folder).mkdir()
        Path("data", folder, name).write_bytes(b"")
    Path("data", name).rename(Path("data", "t.csv"))
    output = run("dataset", "data", "--rows-out", "rows.jsonl").output
    assert f"none out of 'data/a/{name}' and 1 other file, by their names; --rows-out" in output
    for folder in ("z", "a"):
        Path("data", folder, name).unlink()
    assert "none out of" not in run("dataset", "data", "--rows-out", "rows.jsonl").output
