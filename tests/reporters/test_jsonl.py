from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from jsonschema import Draft202012Validator

from poisonscan.report import Report
from poisonscan.reporters.base import Options
from poisonscan.reporters.json import render as render_json
from poisonscan.reporters.jsonl import render
from tests.reporters.samples import full, reports
from tests.reporters.test_json import SCHEMA

TYPES = ("finding", "gap", "scanned", "skipped")
VALIDATORS = {
    kind: Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": SCHEMA["$defs"]})
    for kind in (*TYPES, "totals")
}


def objects(report: Report) -> list[dict[str, Any]]:
    text = render(report, Options())
    assert text.isascii()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_full() -> None:
    written = objects(full())
    kinds = [each["type"] for each in written]
    assert kinds == ["finding"] * 12 + ["gap"] * 2 + ["scanned"] * 4 + ["skipped", "totals"]
    assert written[0]["rule"] == "PS901"
    assert written[0]["rule_name"] == "runs-code"
    assert written[-1]["complete"] is False
    assert {each["schema_version"] for each in written} == {1}


@given(reports)
@settings(max_examples=40)
def test_lines_hold_what_the_json_report_holds(report: Report) -> None:
    whole = json.loads(render_json(report, Options()))
    written = objects(report)
    names = ("findings", "gaps", "scanned", "skipped")
    for kind, name in zip(TYPES, names, strict=True):
        lines = [each for each in written if each["type"] == kind]
        for each, listed in zip(lines, whole[name], strict=True):
            assert {key: each[key] for key in listed} == listed
            VALIDATORS[kind].validate(each)
    assert written[-1]["type"] == "totals"
    assert written[-1]["totals"] == whole["totals"]
    VALIDATORS["totals"].validate(written[-1]["totals"])
    assert "##" not in render(report, Options())
