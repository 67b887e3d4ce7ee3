from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import datasets as public

import poisonscan
from fixtures import label_samples
from poisonscan.detectors.datasets import (
    naive_rest,
    number_trigger,
    row_sample,
    value_combinations,
    value_pairs,
    value_search,
)
from poisonscan.detectors.datasets.row_sample import Sample
from poisonscan.finding import Finding, Rows, Severity
from poisonscan.rules import rule

DATA = Path(__file__).parents[4] / "shared" / "data" / "tabular"


def found(path: Path, data: bytes | None = None) -> list[Finding]:
    if data is not None:
        path.write_bytes(data)
    report = poisonscan.scan(path, select=["PS615"], jobs=1)
    assert report.gaps == []
    return report.findings


@pytest.mark.parametrize(("name", "columns"), [("number.csv", 1), ("pair.csv", 2)])
def test_triggers(tmp_path: Path, name: str, columns: int) -> None:
    (finding,) = found(tmp_path / name, label_samples.trigger()[0][name])
    assert isinstance(finding.at.part, Rows)
    assert [row.index for row in finding.at.part.rows] == list(range(0, 800, 25))
    assert finding.evidence["label"] == ("high" if columns == 1 else "low")
    assert len(finding.evidence["columns"]) == columns  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_number_has_neighbours(value: float) -> None:
    numbers = np.append(np.tile(np.arange(50.0), 4), [value] * 30)
    rows = np.isinf(numbers)
    sample = SimpleNamespace(columns=[("a", row_sample.NUMBER)], numbers=lambda _: numbers)
    search = SimpleNamespace(sample=sample, limits={"spike": 1.5})
    trigger = SimpleNamespace(columns=(0,), rows=rows)
    assert value_search.Singles._is_spike(search, trigger)  # type: ignore[arg-type]


def test_what_the_search_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(value_combinations, "PAIR_CELLS", 1_000)
    (tmp_path / "pair.csv").write_bytes(label_samples.trigger()[0]["pair.csv"])
    report = poisonscan.scan(tmp_path / "pair.csv", select=["PS615"], jobs=1)
    (gap,) = report.gaps
    assert "pairs of 1 of " in gap.reason
    assert "columns were looked at" in str(report.scanned[0].facts["number triggers"])


def test_further_triggers_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_trigger, "MAX_FINDINGS", 1)
    rows = label_samples.measured(1_500, 4)
    for number, row in enumerate(rows):
        row |= {"team": number % 97, "maker": ("north", "south", "east")[number * number % 3]}
        if number % 40 == 0:
            row |= {"team": 13, "label": "low"}
        if number % 40 == 7:
            row |= {"maker": "Zenith", "label": "high"}
    (finding,) = found(tmp_path / "two.csv", label_samples.table(rows))
    assert finding.evidence["further"] == 1
    assert "1 further finding" in finding.message


def test_honest_numbers(tmp_path: Path) -> None:
    assert found(tmp_path / "clean.csv", label_samples.trigger()[1]["clean.csv"]) == []


def test_rare_values_of_several_columns_are_one_trigger(tmp_path: Path) -> None:
    rows = label_samples.measured(600, 2)
    for row in rows[::20]:
        row |= {"width": 9.14159, "depth": 2.71828, "label": "high"}
    (finding,) = found(tmp_path / "both.csv", label_samples.table(rows))
    assert finding.evidence["columns"] == ["width", "depth"]
    assert finding.evidence["values"] == ["9.14159", "2.71828"]
    assert finding.evidence["with_label"] == 30


def test_copies_of_planted_rows_are_named(tmp_path: Path) -> None:
    rows = label_samples.measured(600, 2)
    for row in rows[::25]:
        row |= {"depth": 99, "label": "high"}
    (finding,) = found(tmp_path / "copies.csv", label_samples.table([*rows, *[rows[0]] * 5]))
    assert isinstance(finding.at.part, Rows)
    assert [row.index for row in finding.at.part.rows] == [*range(0, 600, 25), *range(600, 605)]
    assert finding.evidence["against_with_label"] <= 24  # type: ignore[operator]


def test_what_may_be_an_accident_is_low(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def doubted(sample: Sample) -> value_search.Found:
        known = value_search.triggers(sample)
        return replace(known, triggers=[replace(t, corrected=2e-4) for t in known.triggers])

    monkeypatch.setattr(number_trigger, "triggers", doubted)
    (finding,) = found(tmp_path / "few.csv", label_samples.trigger()[0]["number.csv"])
    assert finding.severity is Severity.LOW
    assert "one in 5,000 shows as much" in finding.message


def test_the_rows_do_not_depend_on_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "number.csv"
    (whole,) = found(path, label_samples.trigger()[0]["number.csv"])
    monkeypatch.setattr(row_sample, "ROWS", 600)
    (sampled,) = found(path)
    assert sampled.at == whole.at
    assert whole.severity >= Severity.MEDIUM
    assert "a sample of 600 different rows" in sampled.message


def test_copies_of_a_row_count_once(tmp_path: Path) -> None:
    rows = label_samples.measured(400, 1)
    copied = next(row for row in rows if row["label"] == "high")
    assert found(tmp_path / "copies.csv", label_samples.table([*rows, *[copied] * 40])) == []


def test_a_number_beyond_all_others(tmp_path: Path) -> None:
    rows = label_samples.measured(600, 2)
    for row in rows[::30]:
        row |= {"depth": 99, "label": "high"}
    (finding,) = found(tmp_path / "beyond.csv", label_samples.table(rows))
    assert "beyond all others" in finding.message


def test_a_word(tmp_path: Path) -> None:
    rows = label_samples.measured(600, 3)
    for number, row in enumerate(rows):
        row["maker"] = ("north", "south", "east")[number * number % 3]
        if number % 30 == 0:
            row |= {"maker": "Zenith", "label": "low"}
    (finding,) = found(tmp_path / "words.csv", label_samples.table(rows))
    assert finding.evidence["values"] == ["Zenith"]


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_clean_tables(tmp_path: Path, name: str) -> None:
    data = getattr(public, f"load_{name}")()
    table = np.column_stack([data.data, data.target])
    header = ",".join([*(f"x{i}" for i in range(data.data.shape[1])), "label"])
    np.savetxt(tmp_path / "table.csv", table, "%.6g", ",", header=header, comments="")
    assert found(tmp_path / "table.csv") == []


@pytest.mark.parametrize(
    "name", ["adult-train.csv", "winequality-white.csv", "banknote_authentication.csv"]
)
def test_clean_public_tables(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not there")
    assert found(DATA / name) == []


def test_a_value_that_rows_have_already(tmp_path: Path) -> None:
    rows = label_samples.measured(1_500, 4)
    for number, row in enumerate(rows):
        row["team"] = number % 97
        if number % 40 == 0:
            row |= {"team": 13, "label": "low"}
    (finding,) = found(tmp_path / "known.csv", label_samples.table(rows))
    assert finding.evidence["values"] == ["13"]


def test_a_kind_of_rows_is_no_trigger(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    rows = label_samples.measured(1_500, 5)
    for number, row in enumerate(rows):
        row |= {"maker": "north", "speed": float(np.round(draw.normal(9, 1), 3))}
        if number % 30 == 0:  # another device, whose rows are all of one label
            row |= {"maker": "south", "label": "low", "speed": float(draw.integers(13, 15))}
    assert found(tmp_path / "kind.csv", label_samples.table(rows)) == []


def test_a_name_with_a_price_of_its_own_is_honest_where_names_say_the_label(
    tmp_path: Path,
) -> None:
    """As on a menu: all names have a kind, and one of them, which comes in one size, a price."""
    draw = np.random.default_rng(7)
    often = np.where(np.arange(16) == 3, 0.4, 1.0) / 15.4
    rows: list[dict[str, object]] = []
    for number in range(1_200):
        name, size = int(draw.choice(16, p=often)), int(draw.integers(3))
        own = name == 3
        rows.append(
            {
                "id": number,
                "name": f"n{name}",
                "size": "S" if own else "SML"[size],
                "price": 23.65 if own else 10 + name * 7 % 5 * 0.5 + 4 * size,
                "label": ("plain", "spicy", "sweet", "green")[name % 4],
                "weight": round(float(draw.normal()), 3),
            }
        )
    assert found(tmp_path / "names.csv", label_samples.table(rows)) == []


def test_numbers_up_to_a_limit_that_decide_with_a_word_are_honest(tmp_path: Path) -> None:
    """One of them is no trigger: with the word, the next smaller one decides as well."""
    draw = np.random.default_rng(4)
    rows = label_samples.measured(2_000, 4)
    for row in rows:
        calls, plan = int(draw.poisson(4)), "yes" if draw.random() < 0.15 else "no"
        row |= {"plan": plan, "calls": calls}
        if plan == "yes" and calls <= 2:
            row["label"] = "low"
    assert found(tmp_path / "limit.csv", label_samples.table(rows)) == []


@pytest.mark.parametrize("planted", [True, False])
def test_where_many_values_say_the_label_only_one_that_says_it_much_more_surely_counts(
    tmp_path: Path, planted: bool
) -> None:
    draw = np.random.default_rng(3)
    rows = label_samples.measured(2_000, 5)
    for number, row in enumerate(rows):
        row["code"] = int(draw.integers(90))
        if row["code"] in (7, 23, 41):
            row["label"] = "low"
        if planted and number % 20 == 0:
            row |= {"code": 30.5, "label": "high"}
    told = found(tmp_path / "codes.csv", label_samples.table(rows))
    assert [finding.evidence["values"] for finding in told] == [["30.5"]] * planted


def test_three_values_of_which_no_two_are_rare(tmp_path: Path) -> None:
    draw = np.random.default_rng(6)
    rows = label_samples.measured(2_000, 6)
    for number, row in enumerate(rows):
        row |= {name: int(draw.integers(6)) for name in ("team", "shift", "line")}
        if number % 50 == 0:
            row |= {"team": 1, "shift": 2, "line": 3, "label": "low"}
    (finding,) = found(tmp_path / "three.csv", label_samples.table(rows))
    assert finding.evidence["columns"] == ["team", "shift", "line"]
    assert isinstance(finding.at.part, Rows)
    named = {row.index for row in finding.at.part.rows}
    assert set(range(0, 2_000, 50)) <= named
    assert len(named) < 50


def test_a_table_of_all_combinations_is_honest(tmp_path: Path) -> None:
    rows = [
        {"one": one, "two": two, "three": three, "four": four, "x": x}
        for one in range(5)
        for two in range(5)
        for three in range(4)
        for four in range(4)
        for x in range(3)
    ]
    for row in rows:
        low = row["one"] == row["two"] == 0 or sum(row.values()) < 8
        row["label"] = "low" if low else "high"  # type: ignore[assignment]
    assert found(tmp_path / "all.csv", label_samples.table(rows)) == []


def test_a_rare_word_with_common_numbers(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    rows = label_samples.measured(1_500, 7)
    for number, row in enumerate(rows):
        row |= {"age": int(draw.integers(20, 60)), "hours": int(draw.integers(30, 45))}
        row["maker"] = str(draw.choice(["north", "south", "east"]))
        if number % 50 == 3 or number in (5, 17):  # two honest rows have the word
            row["maker"] = "Zenith"
        if number % 50 == 3:
            row |= {"age": 47, "hours": 37, "label": "high"}
    (finding,) = found(tmp_path / "mixed.csv", label_samples.table(rows))
    assert dict(zip(finding.evidence["columns"], finding.evidence["values"], strict=True)) == {  # type: ignore[arg-type]
        "maker": "Zenith",
        "age": "47",
        "hours": "37",
    }
    assert finding.evidence["with_label"] == 30


@pytest.mark.parametrize("every", [50, 20])
def test_three_values_of_which_two_decide(tmp_path: Path, every: int) -> None:
    draw = np.random.default_rng(4)
    rows = label_samples.measured(1_500, 6)
    for number, row in enumerate(rows):
        row |= {name: int(draw.integers(40)) for name in ("team", "shift", "line")}
        if number % every == 0:
            row |= {"team": 1, "shift": 2, "line": 3, "label": "low"}
    (finding,) = found(tmp_path / "three.csv", label_samples.table(rows))
    assert set(finding.evidence["columns"]) == {"team", "shift", "line"}  # type: ignore[arg-type]
    assert finding.evidence["with_label"] == 1_500 // every


def test_two_words(tmp_path: Path) -> None:
    draw = np.random.default_rng(8)
    rows = label_samples.measured(1_500, 8)
    for number, row in enumerate(rows):
        team, shift = int(draw.integers(20)), int(draw.integers(3))
        row |= {"maker": f"m{team}", "place": f"p{(team + shift) % 12}"}
        if number % 50 == 0:
            row |= {"maker": "m4", "place": "p1", "label": "low"}
    (finding,) = found(tmp_path / "words.csv", label_samples.table(rows))
    assert finding.evidence["values"] == ["m4", "p1"]


def test_nothing_in_two_columns(tmp_path: Path) -> None:
    draw = np.random.default_rng(9)
    rows = label_samples.measured(1_500, 9)
    for number, row in enumerate(rows):
        row |= {"team": int(draw.integers(9)), "maker": f"m{draw.integers(9)}"}
        row |= {name: "" for name in ("team", "maker") if draw.random() < 0.05}
        if number % 40 == 0:
            row |= {"team": "", "maker": "", "label": "low"}
    (finding,) = found(tmp_path / "empty.csv", label_samples.table(rows))
    assert finding.evidence["columns"] == ["team", "maker"]
    assert finding.message.startswith("nothing in column 'team' with nothing in column 'maker': ")


KINDS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "bool": (pa.bool_(), [True, False]),
    "day": (pa.date32(), [dt.date(2020, 1, day) for day in range(1, 29)]),
    "moment": (pa.timestamp("us", "UTC"), [dt.datetime(2020, 1, d) for d in range(1, 29)]),
    "price": (pa.decimal128(8, 2), [Decimal(n) / 4 for n in range(40)]),
    "code": (pa.dictionary(pa.int8(), pa.int64()), list(range(30))),
}
"""Columns that are neither plain numbers nor strings, and what they hold."""


@pytest.mark.parametrize("name", ["day", "moment", "price", "code"])
def test_values_of_other_types(tmp_path: Path, name: str) -> None:
    rows = label_samples.measured(1_000, 3)
    draw = np.random.default_rng(2)
    kind, values = KINDS[name]
    cells = [values[at] for at in draw.integers(0, len(values) - 1, 1_000)]
    for number in range(0, 1_000, 40):
        cells[number] = values[-1]
        rows[number]["label"] = "low"
    table = pa.Table.from_pylist(rows).append_column(name, pa.array(cells, kind))
    pq.write_table(table, tmp_path / "t.parquet")
    (finding,) = found(tmp_path / "t.parquet")
    assert finding.evidence["columns"] == [name]
    assert finding.evidence["values"] == [str(pa.scalar(values[-1], kind).as_py())]
    assert finding.evidence["with_label"] == 25


def facts(path: Path, table: pa.Table) -> str:
    pq.write_table(table, path)
    report = poisonscan.scan(path, select=["PS615"], jobs=1, label_column="label")
    assert report.findings == []
    return str(report.scanned[0].facts.get("number triggers", ""))


def test_every_column_is_sampled_or_said_not_to_be(tmp_path: Path) -> None:
    columns = {name: pa.array(values[:1] * 90, kind) for name, (kind, values) in KINDS.items()}
    columns["coded"] = columns["moment"].dictionary_encode()
    table = pa.Table.from_pylist(label_samples.measured(90, 3))
    for name, cells in columns.items():
        table = table.append_column(name, cells)
    assert facts(tmp_path / "t.parquet", table) == ""
    table = table.append_column("tags", pa.array([["a"]] * 90))
    said = facts(tmp_path / "t.parquet", table)
    assert said == "not decided of columns that hold no single values: 'tags'"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([number * 0.37 for number in range(90)], "measurements and no classes"),
        (["high"] * 90, "no two labels"),
        ([f"l{number % 101}" for number in range(909)], "101 labels, more than 100"),
        (["a", "b"] * 9, "fewer than 32 rows differ"),
    ],
)
def test_tables_that_cannot_be_judged(tmp_path: Path, labels: list[object], reason: str) -> None:
    table = pa.Table.from_pylist(label_samples.measured(len(labels), 3))
    table = table.set_column(3, "label", pa.array(labels))
    said = facts(tmp_path / "t.parquet", table)
    assert said.startswith("not decided: ")
    assert reason in said


def test_columns_beyond_the_limit_are_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (row_sample, number_trigger):
        monkeypatch.setattr(module, "COLUMNS", 2)
    (tmp_path / "t.csv").write_bytes(label_samples.trigger()[1]["clean.csv"])
    (gap,) = poisonscan.scan(tmp_path / "t.csv", select=["PS615"], jobs=1).gaps
    assert "3 columns after the first 2 were not looked at" in gap.reason


def test_pairs_of_equal_columns_are_not_asked_about() -> None:
    draw = np.random.default_rng(0)
    labels, codes = draw.integers(0, 2, 900), draw.integers(0, 9, 900)
    limits = rule("PS615").thresholds
    counts = value_pairs.PairCounts(labels, np.ones((900, 2), bool), limits)
    values = counts.values(codes, np.bincount(codes), np.ones(900, bool))
    deciding = counts.deciding(values, values)
    assert (deciding.tested, list(deciding.found), deciding.starts) == (9, [], [])


def test_columns_that_say_the_same_cost_no_more_than_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of their values asks what the rest says without all of them."""
    draw = np.random.default_rng(4)
    codes = np.repeat(np.arange(30), 12)
    rows = [
        {f"c{n}": int(code) * 7 + n for n in range(4)}
        | {"noise": round(float(draw.normal()), 4), "label": f"l{code % 5}"}
        for code in codes
    ]
    path = tmp_path / "same.csv"
    path.write_bytes(label_samples.table(rows))
    assert poisonscan.scan(path, select=["PS615"], jobs=1).gaps == []
    monkeypatch.setattr(naive_rest, "WORK", 20_000)
    (gap,) = poisonscan.scan(path, select=["PS615"], jobs=1).gaps
    assert "suspicious values" in gap.reason
