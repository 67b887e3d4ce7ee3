"""Real scans as the services that take SARIF read it; each check was written from its rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import poisonscan
from poisonscan.report import Report
from poisonscan.reporters.base import Options
from poisonscan.reporters.sarif import render
from poisonscan.rules import all_rules
from tests.reporters.samples import full

SAMPLES = Path(__file__).parents[2] / "fixtures" / "samples"
SAMPLE_FILES = (
    "PS101-pickle-runs-code/bad/after-junk.pkl",
    "PS203-archive-ambiguous/bad/zip-two-sizes.pt",
    "datasets/label-variants.csv",
    "datasets/duplicates.jsonl",
    "datasets/truncated.parquet",
)

Object = dict[str, Any]


def scanned(root: Path = SAMPLES) -> Report:
    files = [path for name in SAMPLE_FILES if (path := root / name).is_file()]
    assert len(files) == len(SAMPLE_FILES)
    return poisonscan.scan(files, root=root, isolation="off", jobs=1)


@pytest.fixture(scope="module")
def log() -> Object:
    report = scanned()
    assert {finding.rule.id for finding in report.findings} >= {"PS101", "PS203", "PS303", "PS502"}
    assert report.gaps
    document: Object = json.loads(render(report, Options()))
    return document


@pytest.fixture(params=["scan", "every place"])
def any_log(request: pytest.FixtureRequest, log: Object) -> Object:
    if request.param == "scan":
        return log
    document: Object = json.loads(render(full(), Options()))
    return document


# As src/upload-lib.ts and src/fingerprints.ts of github/codeql-action read it


def hashed_file(location: Object, root: Path) -> Path | None:
    """The file that the upload would read to hash the lines of a result."""
    name = unquote(location["uri"], errors="strict").removeprefix("file://")
    if "://" in name or name.startswith("/"):
        return None
    path = root / name
    return path if path.is_file() else None


def test_github_upload_takes_it(any_log: Object) -> None:
    keys = set()
    for run in any_log["runs"]:
        keys.add((run["tool"]["driver"]["name"], run["automationDetails"]["id"]))
        for rule in run["tool"]["driver"]["rules"]:
            score = rule["properties"]["security-severity"]
            assert isinstance(score, str)
            assert 0 < float(score) <= 10
        for result in run["results"]:
            assert result["message"]["text"].strip()
            assert result["locations"]
            place = result["locations"][0]["physicalLocation"]
            assert place["region"]["startLine"] >= 1
            assert not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", place["artifactLocation"]["uri"])
            # The hash is kept where it is given; a missing one would be computed from lines.
            assert result["partialFingerprints"]["primaryLocationLineHash"]
        assert all(call["executionSuccessful"] for call in run["invocations"])
    assert len(keys) == len(any_log["runs"])


def test_an_upload_beside_an_empty_folder_hashes_nothing(log: Object, tmp_path: Path) -> None:
    places = [r["locations"][0]["physicalLocation"] for r in log["runs"][0]["results"]]
    assert any(hashed_file(place["artifactLocation"], SAMPLES) for place in places)
    assert not any(hashed_file(place["artifactLocation"], tmp_path) for place in places)


# As dojo/tools/sarif/parser.py of DefectDojo reads it


def dojo(result: Object, rules: dict[str, Object]) -> Object:
    """What DefectDojo makes of a result; a KeyError would be its failure to import the file."""
    place = result["locations"][0]["physicalLocation"]
    rule = rules[result["ruleId"]]
    related = [relation["target"]["id"] for relation in rule.get("relationships", [])]
    cwe = [int(m[1]) for name in related if (m := re.search(r"cwe-(\d+)", name, re.IGNORECASE))]
    score = float(rule["properties"]["security-severity"])
    bounds = ((9, "Critical"), (7, "High"), (4, "Medium"), (0, "Low"))
    return {
        "title": result["message"]["text"][:150],
        "severity": next(name for least, name in bounds if score >= least),
        "cwe": cwe[-1] if cwe else None,
        "file": place["artifactLocation"]["uri"],
        "line": place["region"]["startLine"],
        "id": result["partialFingerprints"]["primaryLocationLineHash"],
        "counts": result.get("kind", "fail") == "fail" and not result.get("suppressions"),
    }


def test_defectdojo_has_a_finding_for_each_result(any_log: Object) -> None:
    (run,) = any_log["runs"]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    found = [dojo(result, rules) for result in run["results"]]
    assert len({entry["id"] for entry in found}) == len(found) == len(run["results"])
    assert all(entry["counts"] and entry["title"] and entry["line"] for entry in found)
    level = {"Critical": "error", "High": "error", "Medium": "warning", "Low": "note"}
    assert [level[entry["severity"]] for entry in found] == [r["level"] for r in run["results"]]


def test_defectdojo_reads_a_weakness_of_each_rule_of_ours(log: Object) -> None:
    (run,) = log["runs"]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    for result in run["results"]:
        assert dojo(result, rules)["cwe"], result["ruleId"]


# GitLab: severity from the rank; results without rule or place are dropped


def test_gitlab_drops_nothing_and_sees_the_severity(any_log: Object) -> None:
    for run in any_log["runs"]:
        rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
        for result in run["results"]:
            assert result["ruleId"]
            assert result["locations"][0]["physicalLocation"]
            score = rules[result["ruleId"]]["properties"]["security-severity"]
            assert result["rank"] == float(score) * 10


@pytest.mark.parametrize("rule", sorted(all_rules()))
def test_every_rule_names_a_weakness_and_a_technique(rule: str) -> None:
    found = all_rules()[rule]
    if rule == "PS001":
        return  # says that something was not checked; it is never a result
    assert all(re.fullmatch(r"CWE-\d+", name) for name in found.cwe)
    assert all(re.fullmatch(r"AML\.T\d{4}(\.\d{3})?", name) for name in found.atlas)
    assert all(re.fullmatch(r"ML(0[1-9]|10)", name) for name in found.owasp)
    assert found.cwe


# sarif-tools


def test_sarif_tools_reads_it(log: Object, tmp_path: Path) -> None:
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    program = os.environ.get("SARIF_TOOLS") or shutil.which("sarif", path=beside)
    if program is None:
        pytest.skip("sarif-tools is not installed, and SARIF_TOOLS names no program")
    (tmp_path / "log.sarif").write_text(json.dumps(log), "utf-8")
    for command, name in (("csv", "out.csv"), ("codeclimate", "out.json")):
        out = tmp_path / name
        subprocess.run(
            [program, command, "-o", out, tmp_path / "log.sarif"],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    results = log["runs"][0]["results"]
    assert len((tmp_path / "out.csv").read_text("utf-8").splitlines()) == len(results) + 1
    quality = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert len(quality) == len(results)


# Fingerprints


def fingerprints(report: Report) -> dict[str, str]:
    (run,) = json.loads(render(report, Options()))["runs"]
    return {
        result["partialFingerprints"]["primaryLocationLineHash"]: result["ruleId"]
        for result in run["results"]
    }


def test_fingerprints_survive_another_machine(log: Object, tmp_path: Path) -> None:
    for name in SAMPLE_FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / name, tmp_path / name)
    results = log["runs"][0]["results"]
    here = {r["partialFingerprints"]["primaryLocationLineHash"]: r["ruleId"] for r in results}
    assert fingerprints(scanned(tmp_path)) == here


@pytest.mark.parametrize("name", ["label-variants.csv", "missing-labels.csv", "duplicates.csv"])
def test_fingerprints_survive_a_moved_line(tmp_path: Path, name: str) -> None:
    lines = (SAMPLES / "datasets" / name).read_bytes().splitlines(keepends=True)
    made = []
    for number, more in enumerate((b"", b"A row that was not there before.,positive\r\n")):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        path.write_bytes(b"".join([lines[0], more, *lines[1:]]))
        made.append(poisonscan.scan(path, root=path.parent, isolation="off", jobs=1))
    first, second = (
        [f.at.part.rows[0].line for f in report.findings if isinstance(f.at.part, poisonscan.Rows)]
        for report in made
    )
    assert first != second
    assert fingerprints(made[0]) == fingerprints(made[1]) != {}


def test_fingerprints_survive_a_moved_opcode(tmp_path: Path) -> None:
    made = []
    for number, before in enumerate((b"", b"I1\n0")):
        path = tmp_path / str(number) / "a.pkl"
        path.parent.mkdir()
        path.write_bytes(before + b"cos\nsystem\n(S'true'\ntR.")
        made.append(poisonscan.scan(path, root=path.parent, isolation="off"))
    offsets = [[getattr(f.at.part, "offset", None) for f in report.findings] for report in made]
    assert offsets[0] != offsets[1]
    assert fingerprints(made[0]) == fingerprints(made[1]) != {}
