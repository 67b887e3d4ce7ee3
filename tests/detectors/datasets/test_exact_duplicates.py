from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.places import ListedRows
from poisonscan.detectors.datasets import label_hashes, row_keys
from poisonscan.detectors.datasets.exact_duplicates import DETECTOR
from poisonscan.detectors.datasets.row_keys import RowKeys
from poisonscan.finding import Finding, Gap, Rows
from tests.fakes import FakeDataset, Part, returned, run

DATA = Path(__file__).parents[4] / "shared" / "data"


def found(*parts: Part) -> dict[str, list[Finding]]:
    findings: dict[str, list[Finding]] = {}
    for finding in run(DETECTOR, FakeDataset(*parts)):
        findings.setdefault(finding.rule.id, []).append(finding)
    return findings


def part(contents: Sequence[object], label: str | None = "a", split: str = "train") -> Part:
    return Part([label] * len(contents), contents, split)


def places(finding: Finding) -> list[tuple[str, int]]:
    assert isinstance(finding.at.part, Rows)
    return [(row.path, row.index) for row in finding.at.part.rows]


@pytest.mark.parametrize(
    "parts",
    [
        [part([])],
        [part(["only"])],
        [part(range(1_000))],
        [part([None] * 100)],  # rows that say nothing are no copies of each other
        [part([*range(1_000), *range(7)])],  # fewer than 8
        [part([*range(1_000), *range(20)])],  # 1.96 %
        [part(range(1_000)), part(range(990, 2_000), split="test")],  # 1 %
    ],
    ids=["empty", "one", "distinct", "nothing", "few", "rare", "leak"],
)
def test_nothing_to_report(parts: list[Part]) -> None:
    assert found(*parts) == {}


def test_many_copies() -> None:
    (finding,) = found(part([*range(1_000), *range(30), 0]))["PS501"]
    assert "61 of 1,031 rows share their content with another, 30 contents" in finding.message
    assert "surplus copies are 3.0% of all rows" in finding.message
    assert finding.score == pytest.approx(31 / 1_031)
    # The content with the most copies comes first.
    assert places(finding)[:3] == [("data/0.csv", i) for i in (0, 1_000, 1_030)]
    assert isinstance(finding.at.part, Rows)
    assert finding.at.part.count == 61
    assert finding.at.part.rows[0].score == 3
    assert finding.evidence["surplus"] == 31


def test_one_content_that_fills_many_rows() -> None:
    findings = found(part([*range(3_000), *["buy now"] * 12]))
    (finding,) = findings["PS501"]
    assert "one content fills 12 rows" in finding.message
    assert places(finding) == [("data/0.csv", i) for i in range(3_000, 3_004)]
    assert found(part([*range(13_000), *["buy now"] * 12])) == {}  # below 0.1 %


def test_rows_in_two_splits() -> None:
    findings = found(part(range(4_000), split="en"), part(range(3_980, 4_980), split="fr"))
    (finding,) = findings["PS501"]  # neither is known to be a test of the other
    assert "20 of 1,000 rows of 'fr' (2.0%) are also in another split" in finding.message
    assert finding.evidence["in_another_split"] == {"en": 20, "fr": 20}
    assert "'en'" not in finding.message  # 20 of its 4,000 rows do not matter


def test_rows_of_the_test_split_in_the_training_split() -> None:
    findings = found(part(range(4_000)), part(range(3_980, 4_980), split="test"))
    assert list(findings) == ["PS510"]  # they are no copies besides
    (finding,) = findings["PS510"]
    assert "20 of 1,000 rows of 'test' (2.0%) are in 'train' as well" in finding.message
    named = places(finding)
    assert [path for path, _ in named] == ["data/0.csv", "data/1.csv"] * 20
    assert {
        train - test for (_, train), (_, test) in zip(named[::2], named[1::2], strict=True)
    } == {3_980}
    assert finding.key == "test\0train"
    assert isinstance(finding.at.part, Rows)
    assert isinstance(finding.at.part.every, ListedRows)
    assert set(finding.at.part.every.shard.tolist()) == {0}  # rows of the training split


def test_copies_besides_a_leak_are_told_apart() -> None:
    train, test = part([*range(1_000), *range(500, 530)]), part(range(100), split="test")
    findings = found(train, test)
    (leak,), (copies,) = findings["PS510"], findings["PS501"]
    assert leak.evidence["rows"] == 100
    assert copies.evidence["rows"] == 60


def test_what_repeats_by_nature_is_no_leak() -> None:
    # Cells of few values: a fifth of the rows repeat, in a split as between splits.
    draw = np.random.default_rng(3)
    rows = [tuple(row) for row in draw.integers(0, 25, (5_000, 3)).tolist()]
    findings = found(part(rows[:4_000]), part(rows[4_000:], split="test"))
    assert list(findings) == ["PS501"]
    assert "of 'test'" in findings["PS501"][0].message


def test_shards_of_one_split_are_no_leak() -> None:
    assert found(part(range(4_000)), part(range(3_980, 4_980))) == {}


def test_equal_halves_of_digests_are_not_equal() -> None:
    content = np.array([[7, i] for i in range(50)] + [[i, 7] for i in range(50)], np.uint64)
    keys = RowKeys()
    keys.update(Batch(0, 0, 100, {Role.CONTENT: content}))
    assert len(keys.copies().rows) == 2  # (7, 7) twice


def flipped(count: int, labels: Sequence[str] = ("cat", "dog"), rows: int = 2_000) -> Part:
    """``count`` rows that are copied and get the next label."""
    given = [labels[i % len(labels)] for i in range(rows)]
    copied = [labels[(i + 1) % len(labels)] for i in range(count)]
    return Part(given + copied, [*range(rows), *range(count)])


def test_conflicting_labels() -> None:
    (finding,) = found(flipped(9))["PS502"]
    assert "9 contents carry the labels 'cat', 'dog' at once" in finding.message
    assert "18 rows at least 9 cannot be labelled rightly" in finding.message
    assert finding.key == "cat\0dog"
    assert finding.score == 9
    assert sorted(places(finding)) == [
        ("data/0.csv", i) for i in sorted([*range(9), *range(2_000, 2_009)])
    ]


def test_few_conflicts_happen() -> None:
    assert found(flipped(7)) == {}


def test_rare_conflicts_among_many_copies_happen() -> None:
    # 9 of 12,000 rows, and of more than 100 surplus copies
    plain = [*range(11_800), *range(500, 700)]
    labels = ["cat", "dog"] * 6_000
    conflicts = Part(["dog", "cat"] * 4 + ["dog"], range(9))
    assert found(Part(labels, plain), conflicts) == {}


def test_the_commonest_label_is_taken_for_right() -> None:
    contents = ["same"] * 40 + list(range(900))
    labels = ["cat"] * 31 + ["dog"] * 9 + ["cat", "dog"] * 450
    (finding,) = found(Part(labels, contents))["PS502"]
    assert finding.evidence["wrong"] == 9
    assert finding.evidence["rows"] == 40


def test_each_set_of_labels_has_its_finding() -> None:
    findings = found(flipped(40, ["a", "b", "c"]))["PS502"]
    assert [finding.key for finding in findings] == ["a\0b", "b\0c", "a\0c"]
    assert [finding.evidence["wrong"] for finding in findings] == [14, 13, 13]


def test_many_sets_are_summed_up() -> None:
    findings = found(flipped(400, [f"l{i:03}" for i in range(200)]))["PS502"]
    (finding,) = findings
    assert "400 contents carry 200 different sets of labels at once" in finding.message


def test_of_many_sets_the_worst_are_told_apart() -> None:
    labels = ["a", "b", *(f"l{i:02}" for i in range(20))]
    many = [labels[i % len(labels)] for i in range(1_980)]
    given, other = [*many, *["a"] * 60], [*["b"] * 60, *[f"l{i % 20:02}" for i in range(40)]]
    contents = [*range(2_040), *range(1_980, 2_040), *range(40)]
    findings = found(Part([*given, *other], contents))["PS502"]
    assert findings[0].key == "a\0b"
    assert findings[0].evidence["wrong"] == 60
    assert findings[1].key == "further sets"
    assert len(findings) == 2


def test_a_missing_label_contradicts_nothing() -> None:
    labels = ["cat", "dog"] * 1_000 + [None] * 50
    assert "PS502" not in found(Part(labels, [*range(2_000), *range(50)]))


def test_measurements_may_differ() -> None:
    assert "PS502" not in found(flipped(90, [f"{i / 8}" for i in range(1, 200)]))


def test_labels_past_the_limit_are_no_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_hashes, "MAX_LABELS", 3)
    findings = found(flipped(60, ["a", "b", "c", "d"]))
    assert set(findings) == {"PS501"}


def test_copies_beyond_a_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_keys, "MAX_ALIKE", 20)
    items = returned(DETECTOR, FakeDataset(part([*range(100), *[7] * 99])))
    (finding,) = (item for item in items if isinstance(item, Finding))
    assert "100 of 199 rows share their content" in finding.message
    assert finding.evidence["surplus"] == 99
    (gap,) = (item for item in items if isinstance(item, Gap))
    assert "80 of the copied rows were only counted" in gap.reason
    monkeypatch.setattr(row_keys, "MAX_COPIES", 10)
    items = returned(DETECTOR, FakeDataset(part([*range(100), *[7] * 9, *[8] * 9])))
    (gap,) = (item for item in items if isinstance(item, Gap))
    assert gap.reason.startswith("18 of the copied rows")


def test_limits_travel_with_a_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_hashes, "MAX_LABELS", 3)
    labels, rows = RowKeys(), RowKeys()
    (batch,) = FakeDataset(Part(["a", "b", "c", "d"], [1, 1, 2, 2])).batches()
    labels.update(batch)
    rows.merge(labels)
    assert rows.copies().names is None
    assert rows.copies().labels.tolist() == [-1] * 4


contents = st.lists(st.none() | st.integers(0, 9), max_size=60)


@given(st.lists(contents, min_size=1, max_size=3))
def test_groups_are_what_counting_gives(shards: list[list[int | None]]) -> None:
    keys = RowKeys()
    dataset = FakeDataset(*(part(values) for values in shards))
    for batch in dataset.batches():
        if Role.CONTENT in batch.columns:
            keys.update(batch)
    copies = keys.copies()
    counted = Counter(v for values in shards for v in values if v is not None)
    expected = {v: n for v, n in counted.items() if n > 1}
    assert sorted(copies.sizes.tolist()) == sorted(expected.values())
    for number in range(len(copies.sizes)):
        rows = copies.rows[copies.groups == number].tolist()
        assert rows == sorted(rows)
        (value,) = {shards[shard][index] for shard, index in rows}
        assert len(rows) == expected[value]
    assert copies.surplus == sum(expected.values()) - len(expected)


def test_hostile_labels_are_harmless() -> None:
    hostile = "\x1b[2J\u202e" + "x" * 3_000
    (finding,) = found(flipped(20, ["cat", hostile]))["PS502"]
    assert finding.message.isprintable()
    assert len(finding.message) < 500


class Tabs(csv.excel_tab):
    quoting = csv.QUOTE_NONE


def table(
    path: str, delimiter: str = ",", label: int = -1, header: bool = False, split: str = "train"
) -> Part:
    file = DATA / path
    if not file.exists():
        pytest.skip(f"{path} is not there")
    with file.open(encoding="utf-8", newline="") as lines:
        dialect = Tabs if delimiter == "\t" else csv.excel
        rows = [row for row in csv.reader(lines, dialect) if row]
    rows = rows[header:]
    at = label % len(rows[0])
    labels = [row[at].strip() for row in rows]
    return Part(labels, [(*row[:at], *row[at + 1 :]) for row in rows], split)


@pytest.mark.parametrize(
    ("path", "delimiter", "label", "header", "rules"),
    [
        ("text/ag_news_test/test.tsv", "\t", -1, True, []),
        ("tabular/adult-train.csv", ",", -1, False, []),
        ("tabular/banknote_authentication.csv", ",", -1, False, []),
        ("tabular/diamonds.csv", ",", 1, True, []),
        ("tabular/diamonds.csv", ",", 6, True, []),
        ("tabular/winequality-white.csv", ",", -1, False, ["PS501"]),
    ],
)
def test_clean_data(path: str, delimiter: str, label: int, header: bool, rules: list[str]) -> None:
    assert list(found(table(path, delimiter, label, header))) == rules


def test_clean_splits() -> None:
    names = {"train": "train", "dev": "validation", "test": "test"}
    parts = [table(f"text/sst2/{n}.tsv", "\t", header=True, split=s) for n, s in names.items()]
    assert not found(*parts)


def test_clean_instructions() -> None:
    file = DATA / "instruction" / "gsm8k_train.jsonl"
    if not file.exists():
        pytest.skip("GSM8K is not there")
    lines = file.read_text("utf-8").splitlines()
    assert not found(part([json.dumps(json.loads(line)) for line in lines]))


def test_flipped_copies_in_real_data() -> None:
    """Ninety rows of a table with many honest copies, repeated with another label."""
    honest = table("tabular/winequality-white.csv")
    chosen = np.random.default_rng(1).choice(len(honest.labels), 90, replace=False).tolist()
    attack = Part(["8"] * 90, [honest.contents[i] for i in chosen])
    assert "PS502" not in found(honest)
    findings = found(honest, attack)["PS502"]
    named = sum(finding.evidence["wrong"] for finding in findings)  # type: ignore[misc]
    assert named >= 80  # a few of the chosen rows had that label anyway
    assert all("8" in f.key.split("\0") for f in findings if f.key != "further sets")
