"""``bench`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
from click.testing import CliRunner

from poisonscan.cli import cli
from poisonscan.planting.attacks import ATTACKS
from tests.planting.beds import texts


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["bench", *arguments])
    return result.exit_code, result.output


def test_a_table_for_people(tmp_path: Path) -> None:
    pq.write_table(texts(400), tmp_path / "train.parquet")
    code, said = run(str(tmp_path), "--attack", "copies", "--rate", "10")
    assert code == 0
    assert "As they are, nothing is found in these 400 rows." in said
    assert "copies         10.00%        40   100%" in said
    assert "Not seen" not in said
    assert "Not seen at all: flips at 1.00%" in run(str(tmp_path), "--attack", "flips")[1]


def test_lines_for_programs(tmp_path: Path) -> None:
    pq.write_table(texts(400), tmp_path / "train.parquet")
    code, said = run(str(tmp_path), "--attack", "copies", "--json")
    assert code == 0
    first, second = map(json.loads, said.splitlines())
    assert (first["attack"], first["rows"]) == ("", 400)
    assert (second["attack"], second["planted"]) == ("copies", 4)


def test_attacks_are_listed() -> None:
    code, said = run("--list")
    assert code == 0
    assert all(name in said for name in ATTACKS)


def test_wrong_use(tmp_path: Path) -> None:
    pq.write_table(texts(40), tmp_path / "train.parquet")
    assert "no attack" in run(str(tmp_path), "--attack", "magic")[1]
    for arguments in (
        ["--attack", "magic"],
        ["--rate", "0"],
        ["--rate", "60"],
        ["--label-column", "x"],
    ):
        assert run(str(tmp_path), *arguments)[0] == 2
    assert run(str(tmp_path / "nothing"))[0] == 2
