"""Settings, ignores and baselines as people and build servers use them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from poisonscan.cli import cli
from poisonscan.cli.scan import scan
from poisonscan.cli.settings import _PROJECT, _all_options

EVIL = b"cos\nsystem\n(S'true'\ntR."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "evil.pkl").write_bytes(EVIL)
    (tmp_path / "in" / "good.pkl").write_bytes(pickle.dumps(1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    runner = CliRunner(env=env)
    return runner.invoke(cli, [*arguments], auto_envvar_prefix="POISONSCAN")


def settings(folder: Path, text: str) -> None:
    (folder / "poisonscan.toml").write_text(text, "utf-8")


def test_the_order_is_command_line_environment_settings(folder: Path) -> None:
    settings(folder, 'fail-on = "none"\n')
    result = run("scan", "in")
    assert result.exit_code == 0
    assert "settings from 'poisonscan.toml': fail-on" in result.stderr
    assert "settings" not in result.stdout.splitlines()[0]
    environment = {"POISONSCAN_SCAN_FAIL_ON": "high"}
    assert run("scan", "in", env=environment).exit_code == 1
    assert run("scan", "in", "--fail-on", "none", env=environment).exit_code == 0
    assert run("scan", "in", "--no-settings").exit_code == 1
    assert run("scan", "in", env={"POISONSCAN_SCAN_NO_SETTINGS": "1"}).exit_code == 1
    assert run("scan", "--help").exit_code == 0


def test_a_file_in_a_target_does_not_switch_findings_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings(folder / "in", 'fail-on = "none"\nignore = ["PS"]\n')
    assert run("scan", "in").exit_code == 1
    (folder / "in" / ".git").mkdir()
    deep = folder / "in" / "deep"
    deep.mkdir()
    monkeypatch.chdir(deep)
    result = run("scan", str(folder / "in"))
    assert result.exit_code == 1
    assert "is not used; --settings uses it" in result.stderr
    named = run("scan", "../evil.pkl", "--settings", "../poisonscan.toml")
    assert named.exit_code == 2
    assert "no rule is left" in named.stderr


def test_options_of_other_commands_are_no_error(folder: Path) -> None:
    settings(folder, 'label-column = "y"\nselect = ["PS1", "ps2,pickle-irregular"]\nseed = 3\n')
    assert run("model", "in").exit_code == 1
    settings(folder, "progress = false\nverbose = true\ncolor = 'never'\njobs = 1\n")
    assert run("scan", "in").exit_code == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fail_on = 'high'", "fail_on: is no key; did you mean 'fail-on'?"),
        ("lable-column = 'a'", "did you mean 'label-column'?"),
        ("help = true", "help: is no key"),
        ("settings = 'a'", "settings: is no key"),
        ("'\x01'= 1", "is not TOML"),
        ('"\\u001b[2J" = 1', "\\x1b[2J: is no key"),
        ("fail-on = 'sometimes'", "fail-on: 'sometimes' is not one of 'none', 'low'"),
        ("fail-on = 1", "fail-on: should be a text, not '1'"),
        ("jobs = '2'", "jobs: should be a whole number"),
        ("jobs = true", "jobs: should be a whole number"),
        ("jobs = 0", "jobs: 0 is not in the range"),
        ("jobs = 1.5", "jobs: should be a whole number"),
        ("quiet = 1", "quiet: should be true or false"),
        ("select = 'PS1'", "select: should be a list"),
        ("select = [1]", "select: should be a text"),
        ("select = ['pickle-run-code']", "did you mean 'pickle-runs-code'?"),
        ("ignore = ['PS999']", "ignore: 'PS999' matches no rule"),
        ("label-column = ['a']", "label-column: should be a text"),
        ("baseline = 'none.json'", "baseline: File"),
        ("output = ['pdf=a']", "output: 'pdf' is no format; there are text, json"),
        ("output = 'json'", "output: should be a list"),
        ("fail-on = {a = 1}", "fail-on: should be a text"),
    ],
)
def test_errors_name_the_file_the_key_and_what_may_be(
    folder: Path, text: str, message: str
) -> None:
    settings(folder, text)
    result = run("scan", "in")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "'poisonscan.toml'" in result.stderr or "poisonscan.toml' is not TOML" in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "engine = 'dask=tcp://somewhere:8786'",
        "isolation = 'off'",
        "scratch = '.'",
        "max-download = '1GB'",
        "rows-out = 'rows.jsonl'",
        "output = ['json=../out.json']",
        "output = ['json=/tmp/out.json']",
        "output = ['json=out/out.json']",
        "output = ['text=.git/config']",
        "output = ['text=notes.md']",
        "output = ['text=poisonscan.toml']",
        "baseline = '../b.json'",
        "reference = '/etc/hostname'",
        "root = '..'",
    ],
)
def test_a_file_that_was_found_cannot_reach_the_machine(folder: Path, text: str) -> None:
    (folder / "out").symlink_to(folder.parent)
    (folder / ".git").mkdir()
    (folder / "notes.md").write_text("mine", "utf-8")
    settings(folder, text)
    result = run("scan", "in")
    assert result.exit_code == 2, result.output
    assert "poisonscan.toml" in result.stderr
    assert (folder / "notes.md").read_text("utf-8") == "mine"


def test_outputs_go_beside_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".git").mkdir()
    settings(folder, 'output = ["text", "json=r.json"]\n')
    monkeypatch.chdir(folder / "in")
    for _ in range(2):
        assert run("scan", "evil.pkl").exit_code == 1
    assert json.loads((folder / "r.json").read_text("utf-8"))["totals"]["critical"] == 1
    elsewhere = folder / "in" / "own.toml"
    elsewhere.write_text('output = ["text=../out.txt"]\nisolation = "auto"\n', "utf-8")
    assert run("scan", "evil.pkl", "--settings", "own.toml").exit_code == 1
    assert (folder / "out.txt").is_file()


def test_ignores_are_counted_and_never_called_clean(folder: Path) -> None:
    settings(
        folder,
        '[[ignore]]\npath = "**"\nreason = "we made it"\n'
        '[[ignore]]\nrule = "PS101"\nreason = "for a week"\nuntil = 2020-01-31\n'
        '[[ignore]]\nrule = "PS4"\nreason = "not there"\n',
    )
    result = run("scan", "in")
    assert result.exit_code == 0
    assert "Clean" not in result.stdout
    assert "1 ignored" in " ".join(result.stdout.split())
    assert "Expired ignore  rule PS101 (until 2020-01-31): for a week" in result.stdout
    assert "not there" not in result.stdout
    verbose = run("scan", "in", "-v").stdout
    assert "Unused ignore  rule PS4: not there" in verbose
    assert "we made it" in verbose
    document = json.loads(run("scan", "in", "-o", "json").stdout)
    assert document["totals"]["ignored"] == 1
    assert document["aside"][0]["rule"] == "PS101"
    assert document["findings"] == []


def test_gaps_are_neither_ignored_nor_known(folder: Path) -> None:
    (folder / "in" / "cut.pkl").write_bytes(pickle.dumps(list(range(500)))[:-20])
    settings(folder, '[[ignore]]\npath = "**"\nreason = "all of it"\n')
    assert run("scan", "in").exit_code == 3
    settings(folder, "")
    made = run("baseline", "create", "--scan", "in")
    assert made.exit_code == 0
    assert "1 thing could not be checked" in made.stderr
    assert run("scan", "in", "--baseline", "poisonscan-baseline.json").exit_code == 3


def test_keys_of_found_files_are_options() -> None:
    assert set(_all_options()) >= _PROJECT
    assert {param.name for param in scan.params} >= {"settings", "no_settings", "baseline"}
