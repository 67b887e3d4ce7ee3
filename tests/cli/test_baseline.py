"""``poisonscan baseline``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poisonscan.baseline import Baseline
from poisonscan.report import Report
from tests.cli.test_settings import EVIL, folder, run, settings
from tests.test_agreement import finding, merged

__all__ = ["folder"]

UNKNOWN = b"cmycompany\nNet\n(tR."


def test_new_findings_show_and_known_ones_do_not(folder: Path) -> None:
    assert run("scan", "in", "-o", "json=r.json").exit_code == 1
    made = run("baseline", "create", "r.json")
    assert made.output.startswith("Known: 1 finding (1 critical).")
    settings(folder, 'baseline = "poisonscan-baseline.json"\n')
    result = run("scan", "in")
    assert result.exit_code == 0
    assert "PS101" not in result.stdout
    assert "1 in the baseline" in " ".join(result.stdout.split())
    assert "PS101" in run("scan", "in", "--show-baselined").stdout
    (folder / "in" / "unknown.pkl").write_bytes(UNKNOWN)
    result = run("scan", "in")
    assert result.exit_code == 1
    assert "PS102" in result.stdout
    assert "PS101" not in result.stdout


def test_update_and_prune(folder: Path) -> None:
    assert run("baseline", "create", "--scan", "in", "-o", "b.json").exit_code == 0
    before = (folder / "b.json").read_text("utf-8")
    assert run("baseline", "create", "--scan", "in", "-o", "b.json").exit_code == 2
    (folder / "in" / "evil.pkl").rename(folder / "in" / "renamed.pkl")
    added = run("baseline", "update", "--scan", "in", "-o", "b.json")
    assert added.output == "Added: 1 finding (1 critical). The baseline holds 2.\n"
    gone = run("baseline", "prune", "--scan", "in", "-o", "b.json")
    assert gone.output == "Taken out: 1 finding (1 critical). The baseline holds 1.\n"
    assert (folder / "b.json").read_text("utf-8") != before
    assert run("scan", "in", "--baseline", "b.json").exit_code == 0


def test_severities_are_those_of_findings_and_not_of_their_rules(folder: Path) -> None:
    assert run("scan", "in", "-o", "json=r.json").exit_code == 1
    document = json.loads((folder / "r.json").read_text("utf-8"))
    assert document["findings"][0]["severity"] == "critical"
    document["findings"][0]["severity"] = "low"
    document["totals"] |= {"critical": 0, "low": 1}
    (folder / "r.json").write_text(json.dumps(document), "utf-8")
    made = run("baseline", "create", "r.json", "-o", "b.json")
    assert made.output == "Known: 1 finding (1 low). The baseline holds 1.\n"
    older = json.loads((folder / "b.json").read_text("utf-8"))
    del older["findings"][0]["severity"]  # as versions wrote it that knew rules only
    (folder / "b.json").write_text(json.dumps(older), "utf-8")
    (folder / "in" / "evil.pkl").unlink()
    gone = run("baseline", "prune", "--scan", "in", "-o", "b.json")
    assert gone.output.startswith("Taken out: 1 finding (1 of unknown severity).")


def test_update_from_a_report_that_had_the_baseline_keeps_it(folder: Path) -> None:
    assert run("baseline", "create", "--scan", "in", "-o", "b.json").exit_code == 0
    assert run("scan", "in", "--baseline", "b.json", "-o", "json=r.json").exit_code == 0
    pruned = run("baseline", "prune", "r.json", "-o", "b.json")
    assert pruned.output == "Taken out: 0 findings. The baseline holds 1.\n"


def test_a_report_says_the_same_once_more(folder: Path) -> None:
    assert run("baseline", "create", "--scan", "in", "-o", "b.json").exit_code == 0
    assert run("scan", "in", "--baseline", "b.json", "-o", "json=r.json").exit_code == 0
    again = run("report", "r.json", "-o", "json")
    assert again.exit_code == 0
    assert json.loads(again.output) == json.loads((folder / "r.json").read_text("utf-8"))


@pytest.mark.parametrize("command", ["create", "update", "prune"])
def test_what_is_no_report_is_refused(folder: Path, command: str) -> None:
    if command != "create":
        assert run("baseline", "create", "--scan", "in").exit_code == 0
    (folder / "x.json").write_bytes(EVIL)
    for source in ("x.json", "in", "missing.json"):
        result = run("baseline", command, source)
        assert result.exit_code == 2
        assert "--scan scans files and folders" in result.stderr
    assert run("baseline", command).exit_code == 2
    assert run("baseline", command, "--scan", "missing").exit_code == 2


def test_a_broken_baseline_stops_the_scan(folder: Path) -> None:
    (folder / "b.json").write_text("{}", "utf-8")
    result = run("scan", "in", "--baseline", "b.json")
    assert result.exit_code == 2
    assert "the baseline 'b.json' cannot be used" in result.stderr
    assert run("baseline", "update", "--scan", "in", "-o", "b.json").exit_code == 2


def test_a_link_is_not_written_over(folder: Path) -> None:
    (folder / "b.json").symlink_to(folder / "elsewhere.json")
    assert run("baseline", "create", "--scan", "in", "-o", "b.json").exit_code == 2
    assert not (folder / "elsewhere.json").exists()


def test_who_decided_about_a_finding_has_not_decided_about_those_told_with_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scan(*_: object, **__: object) -> Report:
        return merged(finding("PS404", range(50)), finding("PS401", range(50)))

    monkeypatch.setattr("poisonscan.cli.scan.run_scan", scan)
    assert run("baseline", "create", "--scan", "in", "-o", "b.json").exit_code == 0
    assert len(Baseline.read(folder / "b.json").known) == 2
    assert run("scan", "in", "--baseline", "b.json").exit_code == 0
    settings(folder, '[[ignore]]\nrule = "PS404"\nreason = "a watermark"\n')
    result = run("scan", "in", "-o", "json=r.json")
    assert result.exit_code == 1
    assert "PS401" in (folder / "r.json").read_text("utf-8")
    assert run("baseline", "create", "--scan", "in", "-o", "one.json").exit_code == 0
    (folder / "poisonscan.toml").unlink()
    assert run("scan", "in", "--baseline", "one.json").exit_code == 1
    settings(folder, '[[ignore]]\npath = "nowhere"\nreason = "gone"\nuntil = 2020-01-01\n')
    expired = run("scan", "in", "--baseline", "one.json", "-o", "json")
    assert json.loads(expired.stdout)["expired_ignores"] != []
