from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from poisonscan.escape import escape
from poisonscan.finding import Location, Row, Rows, Severity
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.json import SCHEMA_VERSION, render
from poisonscan.rules import rule
from tests.reporters.samples import HIGH, LOW, full, reports

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text())


def closed(schema: Any) -> Any:
    """The schema without leave for properties that it does not describe."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    end = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return {**end, **{name: closed(item) for name, item in schema.items()}}


OPEN = Draft202012Validator(SCHEMA)
VALIDATOR = Draft202012Validator(closed(SCHEMA))


def load(report: Report) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    document: dict[str, Any] = json.loads(render(report, Options()), parse_constant=refuse)
    return document


def test_schema_is_a_schema_of_this_version() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_readers_by_the_schema_take_what_later_versions_add() -> None:
    document = load(full())
    document["later"] = document["findings"][0]["later"] = document["totals"]["later"] = 1
    OPEN.validate(document)
    assert not VALIDATOR.is_valid(document)


def test_full_report() -> None:
    report = full()
    document = load(report)
    VALIDATOR.validate(document)
    assert [f["fingerprint"] for f in document["findings"]] == [
        f.fingerprint for f in report.findings
    ]
    parts = {(f["location"]["part"] or {"kind": None})["kind"] for f in document["findings"]}
    assert parts == {None, "span", "tensor", "rows", "column"}
    assert document["totals"] == {
        "findings": 12,
        "critical": 3,
        "high": 4,
        "medium": 4,
        "low": 1,
        "models": 2,
        "settings": 0,
        "datasets": 1,
        "rows": 4000,
        "bytes": 12_140_312,
        "gaps": 2,
        "skipped": 1,
        "ignored": 0,
        "baselined": 0,
        "seconds": 0.84,
    }
    assert [rule["id"] for rule in document["rules"]] == ["PS901", "PS902", "PS903", "PS904"]
    assert document["rules"][0]["help"] == report.rules[0].help
    assert not document["complete"]
    assert document["gaps"][0]["detector"] == "spectral_signature"
    assert "/home/someone" not in render(report, Options())


def test_rows_keep_what_is_known_of_them() -> None:
    (part,) = (
        f["location"]["part"]
        for f in load(full())["findings"]
        if f["location"]["path"] == "data/train.csv" and f["location"]["part"]["kind"] == "rows"
    )
    assert part["count"] == 8
    assert part["rows"][1] == {
        "path": "data/train.csv",
        "index": 1,
        "split": "train",
        "line": [3, 3],
        "label": "7",
        "score": 0.99,
        "excerpt": "text 1",
        "thumbnail": None,
        "whole": False,
        "mark": None,
    }


def test_numbers_that_json_lacks_are_null() -> None:
    finding = LOW.finding(
        Location("a"), "x.", score=float("nan"), ratio=float("-inf"), nested=[{"a": float("inf")}]
    )
    (written,) = load(Report(("a",), findings=[finding]))["findings"]
    assert written["score"] is None
    assert written["evidence"] == {"ratio": None, "nested": [{"a": None}]}


def test_build_commands_in_printed_json_are_broken_without_loss() -> None:
    report = Report(("###[error]x",), rules=(LOW,))
    assert "##" not in render(report, Options())
    assert load(report)["targets"] == ["###[error]x"]


def test_rule_of_a_finding_is_listed_even_if_not_announced() -> None:
    document = load(Report(("a",), findings=[HIGH.finding(Location("a"), "x.")], rules=(LOW,)))
    assert [rule["id"] for rule in document["rules"]] == ["PS902", "PS904"]


def strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [s for key, item in value.items() for s in (key, *strings(item))]
    return [s for item in value for s in strings(item)] if isinstance(value, list) else []


@given(reports)
@settings(max_examples=150)
def test_hostile_strings_stay_inside(report: Report) -> None:
    text = render(report, Options())
    assert text.isascii()
    assert "##" not in text
    document = load(report)
    VALIDATOR.validate(document)
    del document["rules"]
    for string in strings(document):
        assert string == escape(string)


def test_no_reporter_loads_a_heavy_library() -> None:
    code = (
        "import sys; from poisonscan.reporters.base import REPORTERS, Options;"
        "from poisonscan.report import Report;"
        "[r(Report(('x',)), Options()) for r in REPORTERS.values()];"
        "heavy = {'numpy', 'pyarrow', 'datasets', 'sklearn', 'joblib', 'PIL'} & set(sys.modules);"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_numbers_of_numpy_are_numbers_in_every_format() -> None:
    """Detectors count with numpy, and hand over what they counted."""
    # Typed as what the libraries return in the detectors, where mypy sees no more of it.
    counts: Any = np.array([3, 1, 12])
    shares: Any = np.array([0.25, 0.5], np.float32)
    rows = Rows((Row("a.csv", counts[0], score=shares[1]),), counts[1])
    evidence: Any = {"found": np.True_, "counted": {"rows": counts[2], "rates": shares}}
    finding = rule("PS404").finding(Location("a.csv", rows), "m.", score=shares[1], **evidence)
    wanted = {"found": True, "counted": {"rows": 12, "rates": [0.25, 0.5]}}
    assert json.loads(json.dumps(finding.evidence)) == wanted
    again = finding.tested(Severity.LOW, "s.", n=counts[2])
    assert json.loads(json.dumps(again.evidence)) == {**wanted, "n": 12}
    assert (type(finding.score), finding.score) == (float, 0.5)
    report = Report(("a.csv",), findings=[finding])
    (told,) = load(report)["findings"]
    (row,) = told["location"]["part"]["rows"]
    assert (told["evidence"], told["location"]["part"]["count"]) == (wanted, 1)
    assert (row["index"], row["score"]) == (3, 0.5)
    for format_name, write in REPORTERS.items():
        assert write(report, Options()), format_name
