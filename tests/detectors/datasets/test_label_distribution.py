from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.detectors.datasets import label_counts
from poisonscan.detectors.datasets.label_counts import LabelCounts, is_continuous, is_number
from poisonscan.detectors.datasets.label_distribution import DETECTOR, fold, wilson_interval
from poisonscan.finding import Finding, Rows
from poisonscan.limits import LimitReached
from tests.fakes import FakeDataset, Part, run

DATA = Path(__file__).parents[4] / "shared" / "data"


def found(*parts: Part, declared: Sequence[str] | None = None) -> list[Finding]:
    return run(DETECTOR, FakeDataset(*parts, declared=declared))


def by_rule(*parts: Part, declared: Sequence[str] | None = None) -> dict[str, list[Finding]]:
    findings: dict[str, list[Finding]] = {}
    for finding in found(*parts, declared=declared):
        findings.setdefault(finding.rule.id, []).append(finding)
    return findings


def only(*parts: Part, declared: Sequence[str] | None = None) -> Finding:
    (finding,) = found(*parts, declared=declared)
    return finding


def places(finding: Finding) -> list[tuple[str, int]]:
    assert isinstance(finding.at.part, Rows)
    return [(row.path, row.index) for row in finding.at.part.rows]


PLAIN = ["cat"] * 50 + ["dog"] * 40


@pytest.mark.parametrize(
    "parts",
    [
        [Part(PLAIN)],
        [Part(PLAIN), Part(PLAIN, split="test")],
        [Part(PLAIN), Part([None] * 20, split="test")],
        [Part([None] * 20)],
        [Part([])],
        [Part(["one"] * 9)],
        [Part([str(i) for i in range(10)] * 20)],
        [Part(["Ant", "bee", "CRAB"] * 9)],
        [Part(["a", "A", "b", "B"] * 9)],
        [Part(["B-LOC", "I-LOC", "O"] * 9)],
    ],
)
def test_nothing_to_report(parts: list[Part]) -> None:
    assert found(*parts) == []


def test_a_rare_class() -> None:
    finding = only(Part(["cat"] * 700 + ["dog"] * 290 + ["emu"] * 10))
    assert finding.rule.id == "PS301"
    assert finding.key == "emu"
    assert places(finding) == [("data/0.csv", i) for i in range(990, 1_000)]
    assert "10 of 1,000" in finding.message
    assert finding.evidence["interval"] == list(wilson_interval(10, 1_000))


def test_an_even_share_decides() -> None:
    assert found(Part(["a1"] * 950 + ["b1"] * 50)) == []  # exactly a tenth of one half
    assert only(Part(["a1"] * 951 + ["b1"] * 49)).rule.id == "PS301"


def test_balance_is_not_asked_of_many_classes_or_of_measurements() -> None:
    many = [f"class {i}" for i in range(101) for _ in range(20)] + ["rare"]
    assert found(Part(many)) == []
    assert found(Part(["1.5"] * 500 + ["2.5"] * 500 + ["3.25"])) == []
    assert found(Part([str(i * i) for i in range(40) for _ in range(100)] + ["77"])) == []
    counted = [str(i) for i in range(40) for _ in range(100)] + ["40"]
    assert only(Part(counted)).rule.id == "PS301"


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval(counts: tuple[int, int]) -> None:
    count, total = counts
    low, high = wilson_interval(count, total)
    assert 0 <= low <= count / total + 1e-12
    assert count / total - 1e-12 <= high <= 1


def test_wilson_interval_as_published() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_missing_labels() -> None:
    finding = only(Part([*PLAIN, None, None]), Part([None] * 9, split="test"), Part([None, "cat"]))
    assert finding.rule.id == "PS302"
    assert places(finding) == [("data/0.csv", 90), ("data/0.csv", 91), ("data/2.csv", 0)]
    assert "3 of 94 rows of 'train'" in finding.message


def test_minus_one_is_a_missing_label_where_names_are_declared() -> None:
    finding = only(Part([*PLAIN, "-1"]), declared=["cat", "dog"])
    assert finding.rule.id == "PS302"
    assert places(finding) == [("data/0.csv", 90)]
    hidden = Part(["-1"] * 9, split="test")
    assert found(Part(PLAIN), hidden, declared=["cat", "dog"]) == []
    assert found(Part(["1"] * 9 + ["-1"] * 9)) == []


@pytest.mark.parametrize(
    "variant",
    [
        "Cat",
        "CAT",
        "cat ",
        " cat",
        "cat\u200b",
        "c\u00adat",
        "ｃat",
        "cat\x00",
        "ca\ufe0ft",
        "\tcat",
    ],
)
def test_spellings(variant: str) -> None:
    finding = only(Part([*PLAIN, *[variant] * 9]))
    assert finding.rule.id == "PS303"
    assert places(finding) == [("data/0.csv", i) for i in range(90, 99)]
    assert "2 spellings" in finding.message
    assert finding.message.isprintable()
    assert finding.key == "\0".join(sorted(["cat", variant]))


def test_spellings_that_look_the_same_are_shown_by_code_points() -> None:
    finding = only(Part(["caf\u00e9"] * 40 + ["cafe\u0301"] * 9 + ["bar"] * 40))
    assert "caf\\xe9" in finding.message
    assert "cafe\\u0301" in finding.message


def test_inner_white_space_counts_as_spelling() -> None:
    assert only(Part(["new york"] * 9 + ["new  york"] * 9 + ["rome"] * 9)).rule.id == "PS303"


def test_a_declared_spelling_is_the_right_one() -> None:
    finding = only(Part(["Cat"] * 40 + ["dog"] * 40), declared=["cat", "dog"])
    assert finding.rule.id == "PS303"
    assert len(places(finding)) == 40
    assert found(Part(["Cat", "cat"] * 40), declared=["cat", "Cat"]) == []


@given(st.text(max_size=8))
def test_folding_twice_is_folding_once(name: str) -> None:
    folded = fold(name)
    assert fold(f"  {folded}\u200b ") == folded


def test_undeclared_labels() -> None:
    finding = only(Part([*PLAIN, "emu", "emu"]), declared=["cat", "dog", "cow"])
    assert finding.rule.id == "PS304"
    assert "none of the 3 declared" in finding.message
    assert places(finding) == [("data/0.csv", 90), ("data/0.csv", 91)]


def test_a_number_among_words_and_a_word_among_numbers() -> None:
    assert "is a number" in only(Part([*PLAIN, *["1"] * 9])).message
    finding = only(Part(["0"] * 40 + ["1"] * 40 + ["one"] * 9))
    assert finding.rule.id == "PS304"
    assert "is a word" in finding.message
    assert found(Part(["0"] * 40 + ["1"] * 40 + ["one", "two"] * 9)) == []


def test_a_label_that_shows_nothing() -> None:
    finding = only(Part([*PLAIN, *["\u200b"] * 9]))
    assert finding.rule.id == "PS304"
    assert "shows nothing" in finding.message
    assert "'\\u200b'" in finding.message


def test_a_label_of_one_split() -> None:
    train = Part(PLAIN * 10 + ["emu"] * 60)
    findings = by_rule(train, Part(PLAIN * 2, split="test"), Part(PLAIN, split="validation"))
    (finding,) = findings["PS304"]
    assert "'train' only" in finding.message
    assert finding.key == "emu"
    few = Part(PLAIN * 10 + ["emu"] * 6)
    assert "PS304" not in by_rule(few, Part(PLAIN * 2, split="test"))  # chance explains it
    small = Part([*PLAIN, *["emu"] * 6], split="test")
    assert "PS304" in by_rule(Part(PLAIN * 10), small)  # but hardly so in the smaller split


def test_splits_with_labels_of_their_own_are_left_alone() -> None:
    other = Part(["ant", "bee"] * 200, split="test")
    assert found(Part(PLAIN * 3), other) == []
    assert found(Part(["cat"] * 90 + ["emu"] * 60), Part(["cat"] * 50, split="test")) == []


def test_wrong_labels_are_not_called_rare_classes() -> None:
    assert set(by_rule(Part([*PLAIN * 9, "Cat", "7"]))) == {"PS303", "PS304"}


def test_many_findings_are_summed_up() -> None:
    labels = [f"label {i}" for i in range(80) for _ in range(2)]
    findings = found(Part(["cat"] * 9 + labels), declared=["cat"])
    assert len(findings) == 5
    assert "76 more labels" in findings[-1].message
    assert len({finding.fingerprint for finding in findings}) == 5


def test_what_a_message_says_of_hostile_labels_is_harmless() -> None:
    hostile = "\x1b[2J\u202e::error::" + "x" * 5_000
    for finding in found(Part([*PLAIN, hostile]), declared=["cat", "dog"]):
        assert finding.message.isprintable()
        assert len(finding.message) < 500


def test_findings_do_not_depend_on_how_rows_are_read() -> None:
    labels = [*PLAIN, None, "Cat", "7", "emu"]
    one = found(Part(labels))
    again = found(Part(list(reversed(labels))))
    assert [f.fingerprint for f in one] == [f.fingerprint for f in again]


@pytest.mark.parametrize("limit", ["MAX_LABELS", "MAX_CHARACTERS"])
def test_too_many_labels_are_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_counts, limit, 10)
    with pytest.raises(LimitReached, match="not checked as classes"):
        found(Part([f"label {i}" for i in range(6)]), Part([f"label {i + 6}" for i in range(6)]))


def test_memory_stays_bounded() -> None:
    counts = LabelCounts(("train",))
    dataset = FakeDataset(Part([str(i) for i in range(12_000)]))
    for batch in dataset.batches():
        counts.update(batch)
    assert counts.overflow
    assert not counts.rows
    other = LabelCounts(("train",))
    other.merge(counts)
    assert other.overflow


@pytest.mark.parametrize("text", ["1", "-1", "1.5", ".5", "1e5", "+3.", "10"])
def test_numbers(text: str) -> None:
    assert is_number(text)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1a", "0x1", "1,5", "--1", ".", "١"])
def test_words(text: str) -> None:
    assert not is_number(text)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0", "1"], False),
        (["0.5", "1.5"], False),
        (["0.5", "1.5", "2.25"], True),
        ([str(i) for i in range(100)], False),
        ([str(i) for i in range(1, 101)], False),
        ([str(i) for i in range(17, 91)], True),
        ([str(i) for i in range(3, 10)], False),
        (["1", "x"], False),
        ([], False),
    ],
)
def test_measurements(names: list[str], expected: bool) -> None:
    assert is_continuous(names) is expected


class Tabs(csv.excel_tab):
    quoting = csv.QUOTE_NONE


def column(path: str, delimiter: str, at: int, header: bool) -> list[str]:
    file = DATA / path
    if not file.exists():
        pytest.skip(f"{path} is not there")
    with file.open(encoding="utf-8", newline="") as lines:
        dialect = Tabs if delimiter == "\t" else csv.excel
        rows = [row for row in csv.reader(lines, dialect) if row]
    return [row[at].strip() for row in rows[header:]]


@pytest.mark.parametrize(
    ("path", "delimiter", "at", "header", "rules"),
    [
        ("text/ag_news_test/test.tsv", "\t", -1, True, []),
        ("tabular/adult-train.csv", ",", -1, False, []),
        ("tabular/banknote_authentication.csv", ",", -1, False, []),
        ("tabular/diamonds.csv", ",", 1, True, []),
        ("tabular/diamonds.csv", ",", 2, True, []),
        ("tabular/winequality-white.csv", ",", -1, False, ["PS301"]),  # 5 wines of quality 9
    ],
)
def test_clean_data(path: str, delimiter: str, at: int, header: bool, rules: list[str]) -> None:
    findings = found(Part(column(path, delimiter, at, header)))
    assert [finding.rule.id for finding in findings] == rules


def test_clean_splits() -> None:
    parts = [
        Part(column(f"text/sst2/{name}.tsv", "\t", -1, header=True), split=split)
        for name, split in (("train", "train"), ("dev", "validation"), ("test", "test"))
    ]
    assert found(*parts) == []
    assert np.sum([len(part.labels) for part in parts]) == 6_920 + 872 + 1_821
