"""What was measured of poisoned rows, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.detection_cases import BARS, CLEAN, Bar
from benchmarks.published import DETECTORS

Record = dict[str, Any]
PEERS = tuple(DETECTORS)


def show(records: list[Record]) -> None:
    """Print a summary, then every set and attack."""
    summary(records)
    for (name,), part in grouped(records, "bar").items():
        print(f"\n{name}{asked(BARS[name])}\n")
        (unpoisoned if name == CLEAN.name else attacked)(part)


def meets(record: Record, who: str) -> bool:
    """Whether an answer keeps to the bar."""
    bar = BARS[record["bar"]]
    said = record["peers"].get(who) if who in PEERS else record[who]
    if said is None:
        return False
    precision = (record["default"] if who == "ours" else said)["precision"]
    return bool(
        (said["recall"] is None or said["recall"] >= bar.recall)
        and said["false"] <= bar.false
        and (said["recall"] is None or (precision or 0.0) >= bar.precision)
    )


def grouped(records: Iterable[Record], *by: str) -> dict[tuple[Any, ...], list[Record]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in by), []).append(record)
    return groups


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def shown(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def cell(records: list[Record], who: str) -> str:
    """Recall, false alarms and recall at the best threshold of a published detector."""
    said = [record["peers"][who] for record in records if who in record["peers"]]
    if not said:
        return "-"
    best = mean(each.get("best") for each in said)
    text = f"{shown(mean(each['recall'] for each in said))} {mean(e['false'] for e in said):.1%}"
    return text + (f" ({best:.2f})" if best is not None else "")


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |")


def heading(*cells: str) -> None:
    row(*cells)
    print("|---" * len(cells) + "|")


def summary(records: list[Record]) -> None:
    """For each bar: sets and attacks whose means keep to it, and with the best threshold."""
    heading("asked for", "poisonscan", *PEERS)
    for (name,), part in grouped(records, "bar").items():
        cells = [averaged(cell) for cell in grouped(part, "data", "attack", "rate").values()]
        row(name + asked(BARS[name]), *(kept(cells, who) for who in ("ours", *PEERS)))


def kept(cells: list[Record], who: str) -> str:
    """How many of the means keep to the bar, by default and with the best threshold."""
    told = [cell for cell in cells if who == "ours" or who in cell["peers"]]
    if not told:
        return "-"
    text = f"{sum(meets(cell, who) for cell in told)}/{len(told)}"
    best = [cell["peers"][who]["best"] for cell in told if who != "ours"]
    if all(value is None for value in best):
        return text
    enough = sum(
        value is not None and value >= BARS[cell["bar"]].recall
        for value, cell in zip(best, told, strict=True)
    )
    return f"{text} ({enough})"


def asked(bar: Bar) -> str:
    if bar == CLEAN:
        return f": rows flagged ≤ {bar.false:.1%}"
    precise = f", precision ≥ {bar.precision:.1f}" if bar.precision else ""
    return f": recall ≥ {bar.recall:.2f}, false ≤ {bar.false:.1%}{precise}"


def averaged(records: list[Record]) -> Record:
    """One record with the means of several."""
    out = dict(records[0], peers={})
    for who in ("ours", "default"):
        out[who] = _mean_rates([record[who] for record in records])
    for who in PEERS:
        said = [record["peers"][who] for record in records if who in record["peers"]]
        if said:
            out["peers"][who] = _mean_rates(said)
    return out


def _mean_rates(said: list[Record]) -> Record:
    keys = ("recall", "false", "precision", "best")
    return {key: mean(each.get(key) for each in said) for key in keys}


def attacked(records: list[Record]) -> None:
    heading(
        "data", "attack", "rate", "recall", "false", "default", "precision", "runs", "named",
        "rules", *PEERS, "CPU s",
    )  # fmt: skip
    for (data, attack, rate), part in grouped(records, "data", "attack", "rate").items():
        ours, default = averaged(part)["ours"], averaged(part)["default"]
        rules = Counter[str]()
        for record in part:
            rules.update(rule for rule, hits in record["rules"].items() if hits)
        named = f"{sum(bool(each['named']) for each in part)}/{len(part)}"
        seconds = mean(each["seconds"] for each in part)
        row(
            data, attack, f"{rate:.1%}", shown(ours["recall"]), shown(ours["false"], ".2%"),
            shown(default["recall"]), shown(default["precision"]),
            f"{sum(meets(each, 'ours') for each in part)}/{len(part)}",
            named if part[0]["named"] is not None else "-", " ".join(sorted(rules)) or "-",
            *(cell(part, who) for who in PEERS), shown(seconds, ".1f"),
        )  # fmt: skip


def unpoisoned(records: list[Record]) -> None:
    heading(
        "clean data", "rows", "loud", "any", "rows flagged", "default", "rules", "besides", *PEERS
    )
    sets = grouped(records, "data")
    for (data,), part in sets.items():
        _clean_row(data, part, int(np.mean([each["rows"] for each in part])))
    _clean_row("all", records, sum(each["rows"] for each in records))


def counted(rules: Counter[str]) -> str:
    return " ".join(f"{rule}×{count}" for rule, count in sorted(rules.items())) or "-"


def _clean_row(name: str, part: list[Record], rows: int) -> None:
    rules = Counter(rule for each in part for rule in each["rules"])
    besides = Counter(rule for each in part for rule in each["besides"])
    found = averaged(part)
    row(
        name, f"{rows:,}", f"{sum(each['loud'] for each in part)}/{len(part)}",
        f"{sum(each['any'] for each in part)}/{len(part)}", shown(found["ours"]["false"], ".3%"),
        shown(found["default"]["false"], ".3%"),
        counted(rules), counted(besides),
        *(shown(found["peers"].get(who, {}).get("false"), ".1%") for who in PEERS),
    )  # fmt: skip
