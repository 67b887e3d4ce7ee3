from __future__ import annotations

import json

import pytest

from poisonscan.finding import Gap, Location
from poisonscan.origin import Origin, OriginFile, Verdict
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.origins import SHOWN, about, counted, opinion, provenance
from poisonscan.rules import rule

PLACE = "hf://org/name@" + "c" * 40


def file(path: str, *verdicts: tuple[str, str], size: int = 10, fetched: int = 10) -> OriginFile:
    said = tuple(Verdict(*each) for each in verdicts)
    return OriginFile(path, size, "sha256:" + "0" * 64, fetched == size, fetched, said)


def report(*files: OriginFile, scanners: str = "", found: str = "", gap: str = "") -> Report:
    origin = Origin(PLACE, "hf://org/name", "https://hub", "main", "c" * 40, files, scanners)
    made = Report(("hf://org/name",), origins=[origin])
    if found:
        made.findings.append(rule("PS101").finding(Location(f"{PLACE}/{found}"), "Runs code."))
    if gap:
        made.gaps.append(Gap(f"{PLACE}/{gap}", "not read"))
    return made


@pytest.mark.parametrize(
    ("verdicts", "alarm", "safe", "word"),
    [
        ([], False, False, "not scanned"),
        ([("status", "unscanned"), ("avScan", "safe")], False, False, "not scanned"),
        ([("status", "queued")], False, False, "not scanned"),
        ([("avScan", "error")], False, False, "not scanned"),
        ([("avScan", "flagged")], False, False, "not scanned"),
        ([("avScan", "safe"), ("jFrogScan", "unscanned")], False, False, "not scanned"),
        ([("status", "safe"), ("avScan", "safe")], False, True, "safe"),
        ([("status", "safe"), ("jFrogScan", "unsafe")], True, False, "unsafe (jFrogScan)"),
        ([("status", "suspicious")], True, False, "suspicious (status)"),
    ],
)
def test_what_the_hub_says_of_a_file(
    verdicts: list[tuple[str, str]], alarm: bool, safe: bool, word: str
) -> None:
    said = opinion(file("a", *verdicts))
    assert (said.alarm, said.safe, said.word) == (alarm, safe, word)


def test_how_much_was_fetched_and_verified() -> None:
    whole, part = file("a", size=1_000, fetched=1_000), file("b", size=2_000_000, fetched=4_000)
    (origin,) = report(whole, part, file("c", fetched=0)).origins
    text = provenance(origin)
    assert "5 kB of 2 MB fetched" in text
    assert "1 file compared with the hashes that the Hub lists" in text
    assert "1 file not verified: read in part" in text
    (origin,) = report(whole).origins
    assert "not verified" not in provenance(origin)


def test_disagreement_both_ways_and_no_result_is_no_pass() -> None:
    made = report(
        file("evil.pt", ("status", "safe"), ("avScan", "safe")),
        file("odd.pt", ("status", "unsafe"), ("jFrogScan", "unsafe")),
        file("new.pt", ("status", "unscanned")),
        file("lost.pt", ("status", "suspicious")),
        found="evil.pt!/data.pkl", gap="lost.pt",
    )  # fmt: skip
    text = "\n".join(about(made))
    assert "(avScan, jFrogScan): 2 reported, 1 safe, 1 not scanned yet" in text
    assert "which is no pass" in text
    assert "'evil.pt': PS101 (critical) here, and the Hub says safe." in text
    assert "'odd.pt': the Hub says unsafe (jFrogScan), and nothing was found here." in text
    assert "'lost.pt': the Hub says suspicious (status), and it was not checked whole here." in text
    assert "new.pt" not in text
    assert counted(made.origins[0]) == {"reported": 2, "safe": 1, "unscanned": 1}


def test_a_finding_in_what_the_hub_has_not_scanned() -> None:
    made = report(file("new.pt", ("status", "queued")), found="new.pt")
    assert "'new.pt': PS101 (critical) here, and the Hub has no result for it." in list(about(made))


def test_a_hub_without_verdicts() -> None:
    text = "\n".join(about(report(file("a"), scanners="could not be asked: status 500")))
    assert "say nothing of its files: they could not be asked: status 500. That is no pass" in text


def test_many_differences_are_counted() -> None:
    files = [file(f"{i}.pt", ("status", "unsafe")) for i in range(SHOWN + 5)]
    assert list(about(report(*files)))[-1] == "… and 5 more files on which the Hub differs."


@pytest.mark.parametrize("name", sorted(set(REPORTERS) - {"github", "jsonl"}))
def test_every_report_for_people_and_tools_says_it(name: str) -> None:
    made = report(file("a\x1b[31m<b>.pt", ("status", "unsafe"), ("xScan", "unsafe")))
    text = REPORTERS[name](made, Options())
    assert "c" * 40 in text
    assert "xScan" in text
    assert "\x1b[31m" not in text
    assert "[31m<b>.pt" not in text or name in ("json", "sarif", "text", "markdown")


@pytest.mark.parametrize("name", ["html", "junit"])
def test_sizes_and_hashes_of_files(name: str) -> None:
    made = report(file("a.pt", size=2_000_000, fetched=4_000), file("b"), file("c", fetched=0))
    text = REPORTERS[name](made, Options())
    assert "2 MB, not verified: 4 kB of it read" in text
    assert "10 bytes, verified" in text
    assert "10 bytes, not fetched" in text
    assert "sha256:" + "0" * 64 in text


def test_programs_get_all_of_it() -> None:
    made = report(file("a", ("status", "unsafe"), ("xScan", "unsafe")), found="a")
    (origin,) = json.loads(REPORTERS["json"](made, Options()))["origins"]
    assert origin["files"][0]["verdicts"] == [
        {"engine": "status", "status": "unsafe"}, {"engine": "xScan", "status": "unsafe"},
    ]  # fmt: skip
    (run,) = json.loads(REPORTERS["sarif"](made, Options()))["runs"]
    (origin,) = run["properties"]["origins"]
    assert origin["hubScanners"]["files"] == {"a": {"status": "unsafe", "xScan": "unsafe"}}
    assert origin["commit"] == "c" * 40
