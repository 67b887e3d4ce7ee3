from __future__ import annotations

import gzip
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from poisonscan.escape import escape
from poisonscan.finding import Gap, Location, Row, Rows, Scanned, Severity, Span, Tensor
from poisonscan.report import Report
from poisonscan.reporters.base import Options
from poisonscan.reporters.sarif import MAX_RESULTS, SHOWN, render
from poisonscan.reporters.sarif_places import LARGEST, RELATED, uri
from tests.reporters.samples import (
    CRITICAL,
    HIGH,
    LOW,
    MEDIUM,
    RULES,
    csv_rows,
    full,
    reports,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.finding import Json

Object = dict[str, Any]
SCHEMA = json.loads((Path(__file__).parents[1] / "schemas" / "sarif-schema-2.1.0.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
# Of the standard; Microsoft's copy of the schema allows a few more.
ROLES = {"analysisTarget"}


def load(report: Report, options: Options | None = None) -> Object:
    text = render(report, options or Options())
    assert text.isascii()
    assert "##" not in text
    log: Object = json.loads(text)
    VALIDATOR.validate(log)
    return log


def run_of(report: Report) -> Object:
    run: Object = load(report)["runs"][0]
    return run


def result_at(location: Location) -> Object:
    run = run_of(Report(("x",), findings=[HIGH.finding(location, "Bad.", key="k")]))
    result: Object
    (result,) = run["results"]
    return result


def region(result: Object) -> Object:
    area: Object = result["locations"][0]["physicalLocation"]["region"]
    return area


def nodes(value: object, name: str) -> Iterator[Any]:
    """Every value under a property of this name, but not inside property bags."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == name:
                yield item
            if key != "properties":
                yield from nodes(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from nodes(item, name)


def check_github(log: Object) -> None:
    """What GitHub documents for code scanning uploads: required properties and hard limits."""
    assert log["version"] == "2.1.0"
    assert log["$schema"]
    assert len(log["runs"]) <= 20
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        assert driver["name"]
        assert len(driver["rules"]) <= 25_000
        assert len(run["results"]) <= 25_000
        category, slash, _ = run["automationDetails"]["id"].rpartition("/")
        assert category
        assert slash
        assert all(call["executionSuccessful"] for call in run["invocations"])
        for rule in driver["rules"]:
            check_github_rule(rule)
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(set(ids)) == len(ids)
        hashes = [check_github_result(result, ids) for result in run["results"]]
        assert len(set(hashes)) == len(hashes)


def check_github_rule(rule: Object) -> None:
    assert rule["id"]
    assert 0 < len(rule["name"]) <= 255
    assert 0 < len(rule["shortDescription"]["text"]) <= 1024
    assert 0 < len(rule["fullDescription"]["text"]) <= 1024
    assert rule["help"]["text"]
    assert rule["help"]["markdown"]
    assert rule["defaultConfiguration"]["level"] in {"note", "warning", "error"}
    properties = rule["properties"]
    assert isinstance(properties["security-severity"], str)
    assert 0 < float(properties["security-severity"]) <= 10
    assert properties["precision"] in {"very-high", "high", "medium", "low"}
    assert len(properties["tags"]) <= 10


def check_github_result(result: Object, ids: list[str]) -> str:
    assert ids[result["ruleIndex"]] == result["ruleId"]
    assert result["message"]["text"]
    assert len(result["locations"]) == 1
    assert len(result.get("relatedLocations", ())) <= 1000
    physical = result["locations"][0]["physicalLocation"]
    check_uri(physical["artifactLocation"]["uri"])
    assert physical["region"]["startLine"] >= 1
    hashed = result["partialFingerprints"]["primaryLocationLineHash"]
    assert re.fullmatch(r"[0-9a-f]{32}:\d+", hashed)
    return str(hashed)


def check_uri(value: str) -> None:
    assert value
    assert value.isascii()
    assert not value.startswith("/")
    parts = urlsplit(value)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    assert ".." not in {unquote(name) for name in value.split("/")}
    assert re.fullmatch(r"(?:[A-Za-z0-9._~@+,=/-]|%[0-9A-F]{2})+", value)


def check_places(run: Object) -> None:
    """Indexes point at what they name, and no region mixes text with bytes wrongly."""
    artifacts, logical = run.get("artifacts", []), run.get("logicalLocations", [])
    for artifact in artifacts:
        assert set(artifact.get("roles", ())) <= ROLES
        assert ("uriBaseId" in artifact["location"]) == ("parentIndex" not in artifact)
    for index, entry in enumerate((*artifacts, *logical)):
        assert entry.get("parentIndex", -1) < index
    for location in nodes(run["results"], "artifactLocation"):
        assert artifacts[location["index"]]["location"]["uri"] == location["uri"]
    for reference in (
        item for group in nodes(run["results"], "logicalLocations") for item in group
    ):
        named = logical[reference["index"]]["fullyQualifiedName"]
        assert named == reference["fullyQualifiedName"]
    for area in nodes(run["results"], "region"):
        assert "startLine" in area or "byteOffset" in area
        assert not ("byteOffset" in area and {"startColumn", "endLine"} & area.keys())
    for name in ("byteOffset", "byteLength", "startLine", "endLine", "occurrenceCount", "id"):
        for number in nodes(run["results"], name):
            assert 0 <= number <= LARGEST


def test_full_report() -> None:
    log = load(full())
    check_github(log)
    run = log["runs"][0]
    check_places(run)
    assert run["automationDetails"]["id"] == "poisonscan/"
    assert "/home/someone" not in json.dumps(log)
    assert run["originalUriBaseIds"]["SRCROOT"].keys() == {"description"}
    assert len(run["results"]) == 12


def test_empty_report_has_results_and_says_nothing_was_scanned() -> None:
    log = load(Report(("x",)))
    check_github(log)
    assert log["runs"][0]["results"] == []
    (note,) = log["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"] == "Nothing was scanned."


def test_clean_report_has_no_notification() -> None:
    report = replace(full(), findings=[], gaps=[])
    assert "toolExecutionNotifications" not in run_of(report)["invocations"][0]


@pytest.mark.parametrize(
    ("severity", "level", "number", "rank"),
    [
        (Severity.CRITICAL, "error", "9.5", 95),
        (Severity.HIGH, "error", "8.0", 80),
        (Severity.MEDIUM, "warning", "5.5", 55),
        (Severity.LOW, "note", "2.0", 20),
    ],
)
def test_severity(severity: Severity, level: str, number: str, rank: float) -> None:
    by = replace(HIGH, severity=severity)
    run = run_of(Report(("x",), findings=[by.finding(Location("a"), "Bad.")]))
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["properties"]["security-severity"] == number
    assert rule["defaultConfiguration"] == {"level": level, "rank": rank}
    assert (run["results"][0]["level"], run["results"][0]["rank"]) == (level, rank)
    assert "kind" not in run["results"][0]


def test_rule_text_is_the_same_whatever_was_found() -> None:
    with_findings = run_of(full())["tool"]["driver"]["rules"]
    without = run_of(Report(("x",), rules=RULES))["tool"]["driver"]["rules"]
    assert with_findings == without
    assert with_findings[0]["name"] == "RunsCode"
    assert with_findings[0]["fullDescription"]["text"] == "Loading the file runs code."
    assert CRITICAL.help in with_findings[0]["help"]["markdown"]


def test_taxonomies_and_tags() -> None:
    run = run_of(full())
    rule = run["tool"]["driver"]["rules"][0]
    assert rule["properties"]["tags"] == [
        "security",
        "external/cwe/cwe-502",
        "atlas/AML.T0011.000",
        "owasp-ml/ML06",
    ]
    targets = [relation["target"] for relation in rule["relationships"]]
    assert [target["id"] for target in targets] == ["CWE-502", "AML.T0011.000", "ML06"]
    for target in targets:
        taxonomy = run["taxonomies"][target["toolComponent"]["index"]]
        assert taxonomy["name"] == target["toolComponent"]["name"]
        assert taxonomy["taxa"][target["index"]]["id"] == target["id"]


def test_many_references_keep_to_the_limit_of_tags() -> None:
    by = replace(HIGH, cwe=tuple(f"CWE-{n}" for n in range(30)))
    check_github(load(Report(("x",), rules=(by,))))


def test_opcode_in_a_plain_file() -> None:
    (result,) = (r for r in run_of(full())["results"] if "posix" in r["message"]["text"])
    assert region(result) == {
        "startLine": 1,
        "byteOffset": 55,
        "byteLength": 12,
        "snippet": {"text": "55: R REDUCE"},
    }
    (logical,) = result["locations"][0]["logicalLocations"]
    assert logical["kind"] == "opcode"
    assert logical["fullyQualifiedName"] == "models/plain.pkl@55"
    assert "relatedLocations" not in result
    assert result["properties"] == {
        "evidence": {"imports": "posix.system", "grammar": "pickle", "snippet": "55: R REDUCE"}
    }


def test_opcode_in_a_stored_member() -> None:
    run = run_of(full())
    (result,) = (r for r in run["results"] if "os.system'" in r["message"]["text"])
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "models/evil.pt"
    assert physical["artifactLocation"]["uriBaseId"] == "SRCROOT"
    assert physical["region"] == {"startLine": 1, "byteOffset": 1096, "byteLength": 1}
    (related,) = result["relatedLocations"]
    inside = related["physicalLocation"]
    assert related["id"] == 1
    assert inside["region"] == {"byteOffset": 48, "byteLength": 1}
    assert inside["artifactLocation"]["uri"] == "archive/data.pkl"
    assert "uriBaseId" not in inside["artifactLocation"]
    nested = run["artifacts"][inside["artifactLocation"]["index"]]
    assert run["artifacts"][nested["parentIndex"]]["location"]["uri"] == "models/evil.pt"


def test_opcode_in_a_compressed_member_of_a_member() -> None:
    run = run_of(full())
    (result,) = (r for r in run["results"] if "nt.system" in r["message"]["text"])
    assert region(result) == {"startLine": 1}
    (reference,) = result["locations"][0]["logicalLocations"]
    chain = []
    index: int | None = reference["index"]
    while index is not None:
        entry = run["logicalLocations"][index]
        chain.append((entry["kind"], entry["fullyQualifiedName"]))
        index = entry.get("parentIndex")
    assert chain == [
        ("opcode", "models/deep.tar.gz!/deep.tar!/a b.pkl@3"),
        ("member", "models/deep.tar.gz!/deep.tar!/a b.pkl"),
        ("member", "models/deep.tar.gz!/deep.tar"),
    ]
    location = result["relatedLocations"][0]["physicalLocation"]["artifactLocation"]
    assert location["uri"] == "a%20b.pkl"


def test_tensor() -> None:
    result = result_at(Location("a/m.safetensors", Tensor("w", 1024, 64)))
    assert region(result) == {"startLine": 1, "byteOffset": 1024, "byteLength": 64}
    (logical,) = result["locations"][0]["logicalLocations"]
    assert (logical["kind"], logical["fullyQualifiedName"]) == ("tensor", "a/m.safetensors#w")
    assert region(result_at(Location("m", Tensor("w")))) == {"startLine": 1}
    nested = result_at(Location("z.zip!/m", Tensor("w", 5)))
    assert region(nested) == {"startLine": 1}
    assert nested["relatedLocations"][0]["physicalLocation"]["region"] == {"byteOffset": 5}


def test_rows_of_a_text_file() -> None:
    (result,) = (r for r in run_of(full())["results"] if "Class" in r["message"]["text"])
    assert region(result) == {
        "startLine": 2,
        "startColumn": 1,
        "endLine": 2,
        "snippet": {"text": "text 0"},
    }
    (logical,) = result["locations"][0]["logicalLocations"]
    assert (logical["kind"], logical["fullyQualifiedName"]) == ("row", "data/train.csv#row=0")
    assert result["occurrenceCount"] == 8
    assert len(result["relatedLocations"]) == 8
    assert result["relatedLocations"][1]["message"]["text"] == (
        "Row 1 of split 'train' of class '7', score 0.99."
    )
    links = re.findall(r"\[(\d+)\]\((\d+)\)", result["message"]["text"])
    assert links == [("0", "1"), ("1", "2"), ("2", "3"), ("3", "4"), ("4", "5")]
    assert result["properties"]["score"] == 4.25


def test_rows_of_a_binary_file() -> None:
    rows = Rows(tuple(Row("data/a.parquet", i) for i in range(60)), 70)
    result = result_at(Location("data", rows))
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "data/a.parquet"
    assert physical["region"] == {"startLine": 1}
    assert len(result["relatedLocations"]) == RELATED
    assert result["occurrenceCount"] == 70
    assert "](" not in result["message"]["text"]


def test_one_row_needs_no_related_location() -> None:
    assert "relatedLocations" not in result_at(Location("d", csv_rows(1)))


def test_row_in_an_archive_has_no_line_of_the_archive() -> None:
    result = result_at(Location("d.zip", csv_rows(1, "d.zip!/train.csv")))
    assert region(result) == {"startLine": 1}
    (logical,) = result["locations"][0]["logicalLocations"]
    assert logical["fullyQualifiedName"] == "d.zip!/train.csv#row=0"


def test_offsets_that_do_not_fit_are_left_out() -> None:
    assert region(result_at(Location("a", Span(LARGEST + 1, 4)))) == {"startLine": 1}
    assert region(result_at(Location("a", Span(LARGEST, LARGEST + 1)))) == {
        "startLine": 1,
        "byteOffset": LARGEST,
    }
    assert region(result_at(Location("a", Span(-5)))) == {"startLine": 1}


def test_a_dataset_without_labels_is_a_note() -> None:
    facts: dict[str, Json] = {"not applicable": {"no label": ["a", "b"]}, "may be labels": ["y"]}
    report = Report(("d",), scanned=[Scanned("d.csv", "dataset", "csv", 1, 1, facts)])
    (invocation,) = run_of(report)["invocations"]
    (note,) = invocation["toolExecutionNotifications"]
    assert note["level"] == "note"
    assert (
        "2 detectors did not run; --label-column names one, perhaps 'y'" in note["message"]["text"]
    )


def test_gaps_are_notifications_of_a_successful_run() -> None:
    run = run_of(full())
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is True
    first, second = invocation["toolExecutionNotifications"]
    assert first["level"] == "error"
    assert first["message"]["text"] == (
        "'data/a.parquet' was not fully scanned by 'spectral_signature': the detector failed."
    )
    descriptor = run["tool"]["driver"]["notifications"][first["descriptor"]["index"]]
    assert descriptor["id"] == first["descriptor"]["id"] == "PS001"
    place = second["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == "models/broken.bin"


def test_interrupt_is_said() -> None:
    report = replace(full(), interrupted=True)
    notes = run_of(report)["invocations"][0]["toolExecutionNotifications"]
    assert "The scan was interrupted." in {note["message"]["text"] for note in notes}


def test_least_severe_results_go_first_when_there_are_too_many() -> None:
    minor = [LOW.finding(Location("a", Span(n)), "Odd.", key=str(n)) for n in range(MAX_RESULTS)]
    major = [CRITICAL.finding(Location("z"), "Bad.")]
    run = json.loads(render(Report(("x",), findings=minor + major), Options()))["runs"][0]
    assert len(run["results"]) == MAX_RESULTS
    assert run["results"][0]["ruleId"] == CRITICAL.id
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert "1 less severe findings are in the JSON report only." in {
        note["message"]["text"] for note in notes
    }


def test_more_than_github_shows_is_said() -> None:
    findings = [LOW.finding(Location("a"), "Odd.", key=str(n)) for n in range(SHOWN + 1)]
    for few, said in ((findings[:SHOWN], False), (findings, True)):
        run = json.loads(render(Report(("x",), findings=few), Options()))["runs"][0]
        notes = run["invocations"][0]["toolExecutionNotifications"]
        assert len(run["results"]) == len(few)
        assert any("shows the 5,000 most severe" in n["message"]["text"] for n in notes) == said


def test_a_log_that_is_too_large_to_upload_loses_its_least_severe_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("poisonscan.reporters.sarif.MAX_COMPRESSED", 20_000)
    numbers = random.Random(0)
    minor = [
        LOW.finding(Location("a"), f"Odd {numbers.randbytes(300).hex()}.", key=str(n))
        for n in range(200)
    ]
    major = [CRITICAL.finding(Location("z"), "Bad.")]
    log = load(Report(("x",), findings=minor + major))
    run = log["runs"][0]
    assert len(gzip.compress(json.dumps(log).encode())) <= 20_000
    assert 2 <= len(run["results"]) <= 100
    assert run["results"][0]["ruleId"] == CRITICAL.id
    left = 201 - len(run["results"])
    assert f"{left} less severe findings are in the JSON report only." in {
        note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]
    }


def test_too_many_gaps_are_counted() -> None:
    report = Report(("x",), gaps=[Gap(f"f{n}", "no") for n in range(MAX_RESULTS + 3)])
    run = json.loads(render(report, Options()))["runs"][0]
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert "3 more gaps are in the JSON report only." in {note["message"]["text"] for note in notes}


def test_equal_findings_get_distinct_hashes() -> None:
    finding = MEDIUM.finding(Location("a"), "Bad.")
    results = run_of(Report(("x",), findings=[finding, finding]))["results"]
    hashes = [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]
    assert hashes == [f"{finding.fingerprint}:1", f"{finding.fingerprint}:2"]


def test_hash_depends_on_rule_place_and_key_only() -> None:
    one = result_at(Location("a", Span(5)))
    other = result_at(Location("a", Span(99)))
    assert one["partialFingerprints"] == other["partialFingerprints"]


def test_messages_hold_no_placeholder_and_no_link() -> None:
    finding = HIGH.finding(Location("a"), "See [this](https://example.org) and {0}")
    (result,) = run_of(Report(("x",), findings=[finding]))["results"]
    assert result["message"]["text"] == "See [this] (https://example.org) and { 0 }."


def test_category() -> None:
    log = load(full(), Options(category="models/"))
    assert log["runs"][0]["automationDetails"]["id"] == "models/"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data/train.csv", "data/train.csv"),
        ("a b/ü.pkl", "a%20b/%C3%BC.pkl"),
        ("/etc/passwd", "etc/passwd"),
        ("../../x", "__/__/x"),
        ("a/./b//c", "a/b/c"),
        (".", "."),
        ("", "."),
        ("hf://org/name", "hf-hub/org/name"),
        ("hf://datasets/org/name@" + "a" * 40 + "/x y", "hf-hub/datasets/org/name/x%20y"),
        ("C:\\x", "C%3A%5Cx"),
        ("%2e%2e/x", "%252e%252e/x"),
        ("a?b#c", "a%3Fb%23c"),
        ("bad\udcff\ud800", "bad%ED%B3%BF%ED%A0%80"),
        ("bad\udcff", "bad%FF"),
    ],
)
def test_uri(path: str, expected: str) -> None:
    assert uri(path) == expected


@given(st.one_of(text, st.text("./\\!%:a ")))
def test_every_uri_is_relative_and_stays_inside(path: str) -> None:
    check_uri(uri(path))


@given(reports)
@settings(max_examples=150)
def test_hostile_reports_are_valid_and_inert(report: Report) -> None:
    log = load(report)
    check_github(log)
    run = log["runs"][0]
    check_places(run)
    for location in nodes(run, "uri"):
        check_uri(location)
    for name in ("text", "fullyQualifiedName"):
        for string in (*nodes(run["results"], name), *nodes(run["invocations"], name)):
            assert string == escape(string)
            assert len(string) <= 5_000
    for message in nodes(run["results"], "message"):
        assert set(message) == {"text"}
        assert not re.search(r"\{\d+\}|\]\((?!\d+\))", message["text"])
        assert message["text"][-1] in ".!?"
