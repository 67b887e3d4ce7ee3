"""Every committed sample: the bad ones are found by their rule, the good ones are quiet.

The files of a folder are scanned together, which takes a tenth of the time; where that does not
tell, a file is scanned alone.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import poisonscan
from poisonscan.files import Kind
from poisonscan.finding import Severity
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options

SAMPLES = Path(__file__).parents[1] / "fixtures" / "samples"
SCHEMA = Path(__file__).parent / "schemas" / "sarif-schema-2.1.0.json"
VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
# The first half of these is a whole and harmless file by itself.
WHOLE_BY_HALF = {"after-junk.pkl", "after-zeros.pkl", "second-of-three.pkl", "train.csv"}

Told = Mapping[str, list[str]]
"""Rules that found something, or reasons of gaps, by the name of the file."""


def samples(quality: str) -> list[Path]:
    found = sorted(path for path in SAMPLES.glob(f"PS[12]*/{quality}/**/*") if path.is_file())
    assert found, f"no {quality} samples below {SAMPLES}: run fixtures/build.py"
    return found


def name(path: Path) -> str:
    return path.relative_to(SAMPLES).as_posix()


BAD, GOOD = samples("bad"), samples("good")
FIRST = [path for at, path in enumerate(BAD) if not at or path.parent != BAD[at - 1].parent]


def rule_of(path: Path) -> str:
    return path.relative_to(SAMPLES).parts[0][:5]


def told(report: Report) -> tuple[Told, Told]:
    """Rules that found something, and reasons of gaps, by file."""
    rules, gaps = defaultdict(list), defaultdict(list)
    for finding in report.findings:
        rules[finding.at.path.partition("!/")[0]].append(finding.rule.id)
    for gap in report.gaps:
        gaps[gap.path.partition("!/")[0]].append(gap.reason)
    return rules, gaps


@functools.cache
def together(folder: Path, kind: Kind) -> tuple[Told, Told]:
    files = [path for path in folder.iterdir() if path.is_file()]
    return told(poisonscan.scan(files, kind=kind, root=folder))


@functools.cache
def halves(folder: Path) -> tuple[Told, Told]:
    with tempfile.TemporaryDirectory() as made:
        for path in folder.iterdir():
            if path.is_file():
                write_half(path, Path(made) / path.name)
        return told(poisonscan.scan(list(Path(made).iterdir()), root=made))


def write_half(path: Path, cut: Path) -> None:
    data = path.read_bytes()
    cut.write_bytes(data[: max(len(data) // 2, 1)])


@pytest.mark.parametrize("path", BAD, ids=name)
def test_an_attack_is_found_by_its_rule(path: Path) -> None:
    rules, _ = together(path.parent, "all")
    assert rule_of(path) in rules[path.name]


@pytest.mark.parametrize("path", FIRST, ids=name)
def test_an_attack_by_itself_is_found_by_its_rule(path: Path) -> None:
    report = poisonscan.scan(path)
    assert rule_of(path) in {finding.rule.id for finding in report.findings}
    assert report.exit_code(Severity.LOW) == 1


@pytest.mark.parametrize("path", GOOD, ids=name)
def test_a_benign_file_is_quiet(path: Path) -> None:
    rules, gaps = together(path.parent, "model")
    assert (rules[path.name], gaps[path.name]) == ([], [])


@pytest.mark.parametrize("path", [p for p in BAD if p.name not in WHOLE_BY_HALF], ids=name)
def test_half_of_an_attack_is_never_clean(path: Path, tmp_path: Path) -> None:
    rules, gaps = halves(path.parent)
    if not rules[path.name] and not gaps[path.name]:
        write_half(path, tmp_path / path.name)
        assert poisonscan.scan(tmp_path / path.name).exit_code(Severity.LOW) != 0


@pytest.mark.parametrize("folder", {rule_of(p): p.parent for p in BAD}.values(), ids=name)
def test_what_is_found_is_valid_sarif(folder: Path) -> None:
    """A result of each rule and form of place; more of them take the validator seconds."""
    report = poisonscan.scan([p for p in folder.iterdir() if p.is_file()], root=folder)
    forms = {(f.rule.id, type(f.at.part), "!/" in f.at.path): f for f in report.findings}
    report.findings, report.rules = list(forms.values()), ()
    assert report.findings
    VALIDATOR.validate(json.loads(REPORTERS["sarif"](report, Options())))
