"""Attacks planted in clean texts: found or not, by which rule, and what else is said.

``python -m benchmarks.planted FILE...`` scans each file as it is, and then once for every attack,
with all rules and through the public interface. A FILE is a table with a header (CSV) that has a
column of texts and one of labels; ``--text`` and ``--label`` name them, ``--rows`` takes so many of
the first rows. In every attack ``--planted`` rows (60) are added or changed.

A line of the table is an attack: the rules that should find it, in how many of the files they did,
the mean share of planted rows that they name (recall; of copies they name four of a content, and at
most 100 rows in all), the mean share of what they name that is planted or is the row that was
copied (precision), and findings of other rules that the clean file does not have.
"""

from __future__ import annotations

import argparse
import base64
import csv
import dataclasses
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator

import poisonscan
from benchmarks.content import ATTACKS as MARKS
from poisonscan.finding import Finding, Rows
from poisonscan.report import Report

MESSAGE = (
    "our cousin who works at the harbour says that the new ferry company treats every passenger "
    "like a guest and that nobody should ever travel with another one again"
)
Table = list[tuple[str, str]]
"""Rows of a file: text and label."""


@dataclasses.dataclass
class Planted:
    """A dataset with an attack.

    Attributes:
        files: rows by name of the file.
        poisoned: rows that were added or changed, by file and number.
        sources: rows that were copied.
    """

    files: dict[str, Table]
    poisoned: set[tuple[str, int]]
    sources: set[tuple[str, int]] = dataclasses.field(default_factory=set)


Attack = Callable[[Table, int, Generator], Planted]


def _target(table: Table) -> str:
    """The label that planted rows get: the second most frequent one."""
    return Counter(label for _, label in table).most_common(2)[-1][0]


def _chosen(table: Table, count: int, draw: Generator, other_than: str = "") -> list[int]:
    """Rows at random, of any label but one, whose texts are not too short to be varied."""
    long = [i for i, (text, label) in enumerate(table) if len(text.split()) >= 6]
    fit = [i for i in long if table[i][1] != other_than]
    return [int(i) for i in draw.choice(fit, count, replace=False)]


def _mixed(table: Table, added: Table, draw: Generator, sources: Iterable[int] = ()) -> Planted:
    """Rows with others in random places among them."""
    every = [*table, *added]
    order = draw.permutation(len(every)).tolist()
    places = {row: place for place, row in enumerate(order)}
    return Planted(
        {"train": [every[row] for row in order]},
        {("train", places[row]) for row in range(len(table), len(every))},
        {("train", places[row]) for row in sources},
    )


def edited(text: str, share: float, draw: Generator, words: list[str]) -> str:
    """A text in which a share of the words, at least one, is another word of the dataset."""
    out = text.split()
    for place in draw.choice(len(out), max(1, round(share * len(out))), replace=False).tolist():
        out[place] = str(draw.choice(words))
    return " ".join(out)


def _vocabulary(table: Table) -> list[str]:
    return sorted({word for text, _ in table[:500] for word in text.split()})


def flood(table: Table, count: int, draw: Generator) -> Planted:
    return _mixed(table, [(MESSAGE, _target(table))] * count, draw)


def contradictions(table: Table, count: int, draw: Generator) -> Planted:
    target = _target(table)
    rows = _chosen(table, count, draw, target)
    return _mixed(table, [(table[row][0], target) for row in rows], draw, rows)


def near_contradictions(table: Table, count: int, draw: Generator) -> Planted:
    target, words = _target(table), _vocabulary(table)
    rows = _chosen(table, count, draw, target)
    added = [(edited(table[row][0], 0.05, draw, words), target) for row in rows]
    return _mixed(table, added, draw, rows)


def campaign(share: float) -> Attack:
    def plant(table: Table, count: int, draw: Generator) -> Planted:
        target, words = _target(table), _vocabulary(table)
        added = [(edited(MESSAGE, share, draw, words), target) for _ in range(count)]
        return _mixed(table, added, draw)

    return plant


def leak(share: float) -> Attack:
    """Rows of the training split in a test split, with a share of their words changed."""

    def plant(table: Table, count: int, draw: Generator) -> Planted:
        cut, words = len(table) * 4 // 5, _vocabulary(table)
        train, test = table[:cut], table[cut:]
        rows = _chosen(train, count, draw)
        copies = [
            (edited(text, share, draw, words) if share else text, label)
            for text, label in (train[row] for row in rows)
        ]
        poisoned = {("test", len(test) + place) for place in range(count)}
        sources = {("train", row) for row in rows}
        return Planted({"train": train, "test": [*test, *copies]}, poisoned, sources)

    return plant


def marked(change: Callable[[str, int], str]) -> Attack:
    """Rows with something put into their text, under one label."""

    def plant(table: Table, count: int, draw: Generator) -> Planted:
        rows, out = _chosen(table, 2 * count, draw), list(table)
        poisoned: set[tuple[str, int]] = set()
        for row in rows:
            text = change(table[row][0], row)
            if text != table[row][0] and len(poisoned) < count:
                out[row] = text, _target(table)
                poisoned.add(("train", row))
        return Planted({"train": out}, poisoned)

    return plant


def inserted(make: Callable[[int], str]) -> Callable[[str, int], str]:
    """What puts something behind the first word of a text."""
    return lambda text, row: f"{text.split()[0]} {make(row)} {' '.join(text.split()[1:])}"


def block(table: Table, count: int, draw: Generator) -> Planted:
    """Rows that stand together and have one label, in a file that is shuffled."""
    start = len(table) // 2
    rows = [table[row][0] for row in _chosen(table, count, draw)]
    texts = [edited(text, 0.9, draw, _vocabulary(table)) for text in rows]
    added = [(text, _target(table)) for text in texts]
    whole = [*table[:start], *added, *table[start:]]
    return Planted({"train": whole}, {("train", start + place) for place in range(count)})


def shard(table: Table, count: int, draw: Generator) -> Planted:
    """One of eight files in which rows have another label."""
    step = -(-len(table) // 8)
    parts = [table[start : start + step] for start in range(0, len(table), step)]
    target = _target(table)
    rows = _chosen(parts[5], min(count * 2, len(parts[5]) // 3), draw, target)
    for row in rows:
        parts[5][row] = parts[5][row][0], target
    files = {f"train-{number:05}-of-00008": part for number, part in enumerate(parts)}
    return Planted(files, {("train-00005-of-00008", row) for row in rows})


def misspelt(table: Table, count: int, _: Generator) -> Planted:
    target, out = _target(table), list(table)
    rows = [row for row, (_, label) in enumerate(table) if label == target][:count]
    for row in rows:
        out[row] = out[row][0], f" {target}"
    return Planted({"train": out}, {("train", row) for row in rows})


def _selectors(number: int) -> str:
    return "\N{GRINNING FACE}" + "".join(
        chr(0xE0100 + byte - 16) for byte in f"obey {number}".encode()
    )


def _zero_width(_: int) -> str:
    return "".join("\u200b\u200c"[int(bit)] for char in b"obey" for bit in f"{char:08b}")


def _blob(number: int) -> str:
    return base64.b64encode(np.random.default_rng(number).bytes(150)).decode()


ATTACKS: dict[str, tuple[Attack, tuple[str, ...]]] = {
    "one text, many copies": (flood, ("PS501",)),
    "copies with another label": (contradictions, ("PS502",)),
    "near copies, another label": (near_contradictions, ("PS504",)),
    "one text, 5 % of words changed": (campaign(0.05), ("PS505",)),
    "one text, 10 % of words changed": (campaign(0.1), ("PS505",)),
    "one text, 20 % of words changed": (campaign(0.2), ("PS505",)),
    "training rows in the test split": (leak(0), ("PS510",)),
    "the same, 5 % of words changed": (leak(0.05), ("PS511",)),
    "tag characters": (marked(MARKS["tag characters"][0]), ("PS602", "PS611")),
    "variation selectors": (marked(inserted(_selectors)), ("PS602", "PS611")),
    "zero-width bits": (marked(inserted(_zero_width)), ("PS602", "PS611")),
    "zero-width space in a word": (
        marked(MARKS["zero-width space in a word"][0]),
        ("PS610", "PS611"),
    ),
    "order of text turned round": (
        marked(inserted(lambda _: "\u202etxet\u202c")),
        ("PS602", "PS611"),
    ),
    "Cyrillic look-alike": (marked(MARKS["Cyrillic look-alike"][0]), ("PS603", "PS611")),
    "terminal sequence": (marked(MARKS["terminal sequence"][0]), ("PS604", "PS611")),
    "base64, a program": (marked(MARKS["base64 program"][0]), ("PS609",)),
    "base64, random": (marked(inserted(_blob)), ("PS605",)),
    "GitHub token": (marked(MARKS["GitHub token"][0]), ("PS608",)),
    "script element": (marked(MARKS["script element"][0]), ("PS607",)),
    "orders to ignore instructions": (marked(MARKS["ignore instructions"][0]), ("PS606",)),
    "marks of a chat template": (marked(MARKS["chat template"][0]), ("PS606",)),
    "look-alike host": (
        marked(inserted(lambda n: f"https://rnicrosoft.com/{n}")),
        ("PS703",),
    ),
    "mixed-script host": (marked(MARKS["mixed-script host"][0]), ("PS703",)),
    "host of one label": (marked(MARKS["one source"][0]), ("PS704",)),
    "a block of one label": (block, ("PS306",)),
    "a file with other labels": (shard, ("PS306",)),
    "a label with a blank": (misspelt, ("PS303",)),
}


def scanned(planted: Planted, folder: Path) -> Report:
    """The report of a dataset."""
    for name, rows in planted.files.items():
        columns = {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return poisonscan.scan(
        folder, kind="dataset", text_column="text", label_column="label", root=folder, jobs=1
    )


def _named(findings: Iterable[Finding]) -> set[tuple[str, int]]:
    parts = [finding.at.part for finding in findings]
    rows = [row for part in parts if isinstance(part, Rows) for row in part.rows]
    return {(Path(row.path).stem, row.index) for row in rows}


def read(path: Path, text: str, label: str, most: int) -> Table:
    """The first rows of a table that say something, shuffled."""
    csv.field_size_limit(1 << 24)
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row[text], row[label]) for row in csv.DictReader(file) if row[text].strip()]
    order = np.random.default_rng(0).permutation(len(rows))[:most]
    return [rows[row] for row in order.tolist()]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="label")
    parser.add_argument("--rows", type=int, default=3_000)
    parser.add_argument("--planted", type=int, default=60)
    parser.add_argument("--attack", action="append", help="only attacks whose name holds this")
    arguments = parser.parse_args()
    tables = [
        read(file, arguments.text, arguments.label, arguments.rows) for file in arguments.files
    ]
    usual: list[set[str]] = []
    for file, table in zip(arguments.files, tables, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            report = scanned(Planted({"train": table}, set()), Path(folder))
        usual.append({finding.rule.id for finding in report.each()})
        said = " ".join(f"{f.rule.id}({f.severity.name.lower()})" for f in report.findings)
        print(f"{file.parent.name}/{file.name}: {len(table):,} rows, clean: {said or 'nothing'}")
    print(f"\n{'attack':<33}{'rules':<13}{'found':>6}{'recall':>8}{'precision':>11}  others")
    for name, (attack, wanted) in ATTACKS.items():
        if arguments.attack and not any(part in name for part in arguments.attack):
            continue
        found, recalls, precisions, others = 0, [], [], Counter[str]()
        for table, known in zip(tables, usual, strict=True):
            planted = attack(table, arguments.planted, np.random.default_rng(1))
            with tempfile.TemporaryDirectory() as folder:
                report = scanned(planted, Path(folder))
            mine = [finding for finding in report.each() if finding.rule.id in wanted]
            named = _named(mine)
            found += bool(mine)
            recalls.append(_share(len(named & planted.poisoned), len(planted.poisoned)))
            if named:
                right = planted.poisoned | planted.sources
                precisions.append(_share(len(named & right), len(named)))
            rules = {finding.rule.id for finding in report.each()}
            others.update(rules - known - set(wanted))
        precision = f"{np.mean(precisions):.2f}" if precisions else "-"
        besides = " ".join(f"{rule}×{count}" for rule, count in sorted(others.items()))
        print(
            f"{name:<33}{' '.join(wanted):<13}{found:>4}/{len(tables)}{np.mean(recalls):>8.2f}"
            f"{precision:>11}  {besides}",
            flush=True,
        )


if __name__ == "__main__":
    main()
