from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from poisonscan.datasets.places import ListedRows
from poisonscan.detectors.datasets import candidates, text_bands
from poisonscan.detectors.datasets.near_duplicates import DETECTOR
from poisonscan.finding import Fact, Finding, Gap, Rows
from tests.fakes import FakeDataset, Part, returned

DATA = Path(__file__).parents[4] / "shared" / "data"
MESSAGE = (
    "the makers of this thing have been very open about what they did and we should all trust them "
    "without any further question because they are the best in the world"
)


def texts(count: int, seed: int = 0, words: int = 25) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(f"w{i}" for i in row) for row in rng.integers(2_000, size=(count, words))]


def versions(text: str, count: int, changes: int = 1, seed: int = 1) -> list[str]:
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        words = text.split()
        for place in rng.choice(len(words), changes, replace=False).tolist():
            words[place] = f"other{rng.integers(1_000)}"
        made.append(" ".join(words))
    return made


def part(values: Sequence[str], label: str | None = None, split: str = "train") -> Part:
    labels = [label or "ab"[i % 2] for i in range(len(values))]
    return Part(labels, (), split, texts=values)


def found(*parts: Part) -> dict[str, list[Finding]]:
    findings: dict[str, list[Finding]] = {}
    for item in returned(DETECTOR, FakeDataset(*parts)):
        if isinstance(item, Finding):
            findings.setdefault(item.rule.id, []).append(item)
    return findings


def indices(finding: Finding) -> set[int]:
    assert isinstance(finding.at.part, Rows)
    return {row.index for row in finding.at.part.rows}


@pytest.mark.parametrize(
    "parts",
    [
        [part([])],
        [part(["", "!", "a b"] * 20)],
        [part(texts(500))],
        [part(texts(500) * 2)],  # equal copies are another rule's
        [part(texts(1_000) + versions(texts(1)[0], 7))],
        [part(texts(1_000)), part(versions(texts(1_000)[3], 9), split="test")],
    ],
    ids=["empty", "short", "distinct", "exact", "few", "one text in two splits"],
)
def test_nothing_of_note(parts: list[Part]) -> None:
    rules = found(*parts)
    assert "PS504" not in rules
    assert "PS505" not in rules
    if len(parts) == 1:
        assert rules == {}


def test_many_near_copies() -> None:
    plain = texts(500)
    copies = [v for text in plain[:80] for v in versions(text, 1)]
    (finding,) = found(part(plain + copies))["PS503"]
    assert "160 of 580 rows are near copies, 80 groups in all" in finding.message
    assert "13.8% of all rows vary the text of another" in finding.message
    assert indices(finding) <= {*range(80), *range(500, 580)}


def test_what_people_overlook_makes_near_copies() -> None:
    plain = texts(500)
    (finding,) = found(part(plain + [text.upper() + " !!" for text in plain[:60]]))["PS503"]
    assert finding.evidence["surplus"] == 60


def test_copies_in_another_split() -> None:
    plain = texts(500)
    test = texts(200, seed=5) + [v for text in plain[:20] for v in versions(text, 1)]
    (finding,) = found(part(plain, split="a"), part(test, split="b"))["PS503"]
    assert "20 of 220 rows of 'b' (9.1%) are in another split in other words" in finding.message
    assert finding.evidence["in_another_split"] == {"a": 20, "b": 20}


def test_copies_that_the_test_split_has_of_the_training_split() -> None:
    plain = texts(500)
    test = texts(200, seed=5) + [v for text in plain[:20] for v in versions(text, 1)]
    findings = found(part(plain), part(test, split="test"))
    assert list(findings) == ["PS511"]
    (finding,) = findings["PS511"]
    assert "20 of 220 rows of 'test' (9.1%) are in 'train' in nearly the same" in finding.message
    assert isinstance(finding.at.part, Rows)
    assert [row.split for row in finding.at.part.rows] == ["train", "test"] * 20
    assert isinstance(finding.at.part.every, ListedRows)
    assert set(finding.at.part.every.shard.tolist()) == {0}  # rows of the training split


def test_templates_vary_in_all_splits() -> None:
    forms = [v for text in texts(60) for v in versions(text, 8)]
    order = np.random.default_rng(0).permutation(len(forms)).tolist()
    mixed = [forms[row] for row in order]
    findings = found(part(mixed[:400]), part(mixed[400:], split="test"))
    assert "PS511" not in findings
    assert "PS503" in findings


def test_equal_rows_in_another_split_are_another_rules() -> None:
    plain = texts(500)
    assert found(part(plain), part(texts(200, 5) + plain[:20], split="test")) == {}


def test_chains_do_not_join_what_is_not_alike() -> None:
    words = [f"w{i}" for i in range(100)]
    chain = [" ".join([*(f"new{i}" for i in range(n)), *words[n:]]) for n in range(0, 100, 4)]
    (finding,) = found(part(texts(100) + chain))["PS503"]
    groups = finding.evidence["groups"]
    assert isinstance(groups, int)
    assert groups >= 3


def test_conflicting_labels() -> None:
    plain = part(texts(600))
    copies = [v for text in plain.texts[:30] for v in versions(text, 1)]
    other = ["ba"[i % 2] for i in range(30)]
    (finding,) = found(plain, Part(other, (), texts=copies))["PS504"]
    assert "30 texts carry the labels 'a', 'b' at once in nearly the same words" in finding.message
    assert finding.evidence["wrong"] == 30
    assert finding.key == "a\0b"


def test_copies_with_the_same_label_contradict_nothing() -> None:
    plain = part(texts(600))
    copies = [v for text in plain.texts[:30] for v in versions(text, 1)]
    assert "PS504" not in found(plain, part(copies))


def test_equal_texts_with_different_labels_are_another_rules() -> None:
    plain = part(texts(600))
    assert "PS504" not in found(plain, part(plain.texts[1:100]))


def test_few_conflicts_among_many_copies_happen() -> None:
    plain = part(texts(600))
    same = part([v for text in plain.texts[:200] for v in versions(text, 1)])
    other = Part(["ba"[i % 2] for i in range(30)], (), texts=same.texts[:30])
    changed = Part(other.labels, (), texts=[f"{text} more" for text in other.texts])
    assert "PS504" not in found(plain, same, changed)


@pytest.mark.parametrize("changes", [1, 3])
def test_a_campaign(changes: int) -> None:
    planted = versions(MESSAGE, 40, changes)
    (finding,) = found(part(texts(600) + texts(20) * 2), part(planted, "a"))["PS505"]
    assert "40 versions, 40 rows in all, 40 of 40 with label 'a'" in finding.message
    assert isinstance(finding.at.part, Rows)
    assert {row.path for row in finding.at.part.rows} == {"data/1.csv"}


def test_forms_and_questions_of_one_kind_are_no_campaign() -> None:
    rng = np.random.default_rng(3)
    blanks = [[f"{word}{rng.integers(1_000)}" for word in ("ann", "rome", "x")] for _ in range(60)]
    form = "dear {} your parcel from our shop in {} has arrived please collect it at counter {}"
    tables = "name {} town {} price {} weight heavy colour green kind returned state unknown"
    for template in (form, tables):
        filled = [template.format(*words) for words in blanks]
        assert "PS505" not in found(part(texts(600)), part(filled, "a"))
    asked = [f"what is the {a} of {b}" for a, b, _ in blanks]
    known = [f"what is the {text} of" for text in texts(300)]
    assert "PS505" not in found(part(texts(300) + known), part(asked, "a"))


def test_a_campaign_of_both_labels_is_none() -> None:
    assert "PS505" not in found(part(texts(600)), part(versions(MESSAGE, 40)))


def test_a_label_that_nearly_all_have_says_nothing() -> None:
    plain = Part(["a"] * 590 + ["b"] * 10, (), texts=texts(600))
    assert "PS505" not in found(plain, part(versions(MESSAGE, 40), "a"))


def test_where_all_texts_have_many_versions_none_stands_out() -> None:
    forms = [v for text in texts(30, 3) for v in versions(text, 24)]
    assert "PS505" not in found(part(texts(300)), Part(["a"] * len(forms), (), texts=forms))


def test_data_without_labels() -> None:
    plain = Part([None] * 600, (), texts=texts(600))
    rules = found(plain, Part([None] * 40, (), texts=versions(MESSAGE, 40)))
    assert set(rules) <= {"PS503"}


def test_a_crowd_is_sampled_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_bands, "MAX_CROWD", 30)
    (finding,) = found(part(texts(500) + [MESSAGE + f" {i}" for i in range(100)]))["PS503"]
    crowd = finding.evidence["crowd"]
    assert isinstance(crowd, int)
    assert 90 <= crowd <= 100  # of those that share one part
    assert f"{crowd} rows share a part of their signature" in finding.message


def test_what_hangs_together_is_cut_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MAX_TOGETHER", 30)
    items = returned(DETECTOR, FakeDataset(part(texts(500) + versions(MESSAGE, 100))))
    (gap,) = (item for item in items if isinstance(item, Gap))
    assert "rows that may be near copies of others" in gap.reason
    (fact,) = (item for item in items if isinstance(item, Fact))
    assert isinstance(fact.value, int)
    assert fact.value >= 15


def test_pairs_beyond_a_limit_are_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_bands, "MAX_PAIRS", 10)
    items = returned(DETECTOR, FakeDataset(part(texts(100) * 2)))
    (gap,) = (item for item in items if isinstance(item, Gap))
    assert "90 pairs of rows" in gap.reason


def test_hostile_text_is_harmless() -> None:
    rows = ["a " * 50_000, "é" * 100_000, "\x1b[2J\u202e " * 999, "x" * 300_000, "中" * 50_000]
    label = "\x1b[2J" * 1_000
    rules = found(part(texts(600)), part([f"{row} {i}" for row in rows for i in range(40)], label))
    assert all(f.message.isprintable() for found in rules.values() for f in found)


def tsv(name: str, split: str = "train") -> Part:
    file = DATA / "text" / name
    if not file.exists():
        pytest.skip(f"{name} is not there")
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if row][1:]
    return Part([row[-1] for row in rows], (), split, texts=[row[0] for row in rows])


@pytest.mark.parametrize("attack", [False, True])
@pytest.mark.parametrize("name", ["ag_news_test/test.tsv", "sst2/train.tsv"])
def test_real_texts(name: str, attack: bool) -> None:
    parts = [tsv(name)]
    if attack:
        parts.append(part(versions(MESSAGE, 50, 3), parts[0].labels[0]))
    assert set(found(*parts)) == ({"PS505"} if attack else set())


def test_real_questions() -> None:
    file = DATA / "instruction" / "gsm8k_train.jsonl"
    if not file.exists():
        pytest.skip("GSM8K is not there")
    questions = [json.loads(line)["question"] for line in file.read_text("utf-8").splitlines()]
    assert found(Part([None] * len(questions), (), texts=questions)) == {}
