"""What somebody sees who looks for bad rows in data: poisonscan and cleanlab, side by side.

``python -m benchmarks.experience_data DATA --cleanlab PYTHON`` makes data sets in a folder of its
own and gives each to both: to poisonscan with no option but the path, to cleanlab by
``benchmarks/cleanlab_look.py``, as there is no command. DATA is a folder with
``text/sst2/train.tsv`` and ``tabular/banknote_authentication.csv``; digits come with the
repository. PYTHON has cleanlab.

The table shows what one writes to get there, the exit code, the first line with a word in it, which
of the rows that were changed are named and how many others, and lines, bytes and CPU seconds. "All
is well" is *false* of data that are bad, and of those that nobody could judge. cleanlab does not
claim to find backdoors; that it says nothing of them is what its user sees all the same. What it
marks are rows with a label issue, outliers and near duplicates, each by its own rule; all of them
count as named, without what it says of the whole set.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers import Answer, run
from poisonscan.planting.attacks import ATTACKS, plant
from poisonscan.planting.bed import Bed

ROOT = Path(__file__).parents[1]
LOOK = Path(__file__).with_name("cleanlab_look.py")
ROWS = 1_797
SECONDS = 240.0
RATE = 0.05
WELL = {"poisonscan": r"^Clean\b", "cleanlab": r"^No issues found in the data"}
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_WIDTH = 58


@dataclass(frozen=True, slots=True)
class Input:
    """A data set.

    Attributes:
        what: it is, for people.
        truth: ``bad``, ``good`` or ``nothing``, if there is nothing that could be judged.
        path: its file.
        changed: rows that were changed.
    """

    what: str
    truth: str
    path: Path
    changed: frozenset[int] = frozenset()


def beds(data: Path) -> Iterator[tuple[str, Bed, tuple[str, ...]]]:
    """Clean data, and which attacks to plant in them."""
    digits = pq.read_table(ROOT / "fixtures" / "demo" / "digits-clean.parquet")
    yield "pictures", Bed(digits, picture="image", label="label"), ("patch", "flips")
    lines = (data / "text" / "sst2" / "train.tsv").read_text("utf-8").splitlines()[1 : ROWS + 1]
    texts, labels = zip(*(line.rsplit("\t", 1) for line in lines), strict=True)
    sst2 = pa.table({"text": list(texts), "label": list(labels)})
    yield "texts", Bed(sst2, text="text", label="label"), ("word", "flips")
    notes = np.loadtxt(data / "tabular" / "banknote_authentication.csv", delimiter=",")
    columns = {f"wavelet_{i}": notes[:, i] for i in range(4)}
    table = pa.table({**columns, "label": notes[:, 4].astype(np.int64)})
    yield "a table", Bed(table, label="label", numbers=tuple(columns)), ("values", "flips")


def inputs(data: Path, folder: Path) -> Iterator[Input]:
    """Make the files."""

    def file(table: pa.Table) -> Path:
        path = folder / str(len(list(folder.iterdir()))) / "train.parquet"
        path.parent.mkdir()
        pq.write_table(table, path)
        return path

    for what, bed, attacks in beds(data):
        yield Input(f"{what}, clean", "good", file(bed.table))
        for name in attacks:
            planted = plant(bed, ATTACKS[name], RATE, seed=1)
            rows = frozenset(planted.rows.tolist())
            yield Input(f"{what}, {name} in 5 %", "bad", file(planted.bed.table), rows)
    texts = pa.table({"text": ["one", "two", "three"], "label": ["a", "b", "a"]})
    yield Input("three rows", "nothing", file(texts))
    yield Input("no rows", "nothing", file(texts.slice(0, 0)))


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look showed: the answer, the rows that were named, and how many lines one writes."""

    tool: str
    answer: Answer
    named: frozenset[int]
    written: str

    @property
    def text(self) -> str:
        """What is printed, without colours."""
        return _CODES.sub("", self.answer.out + self.answer.err)

    def false(self, item: Input) -> bool:
        """Whether it says that all is well where that is not so, or nobody can know."""
        well = re.search(WELL[self.tool], self.text, re.MULTILINE) is not None
        return well and item.truth != "good"

    def row(self, item: Input) -> str:
        """A row of the table."""
        lines = self.text.splitlines()
        first = next((line.strip() for line in lines if re.search(r"\w{2}", line)), "")
        first = first.replace(str(item.path), item.path.name).replace("|", "\\|")[:_WIDTH]
        shown = f"{first} … **all is well, falsely**" if self.false(item) else first
        hits, others = len(self.named & item.changed), len(self.named - item.changed)
        found = f"{hits} of {len(item.changed)}, {others} others"
        return (
            f"| {item.what} | {item.truth} | {self.tool} | {self.written} | {self.answer.code} "
            f"| {shown} | {found} | {len(lines)} | {len(self.text.encode()):,} "
            f"| {self.answer.cpu:.1f} |"
        )


def poisonscan(item: Input, home: Path) -> Seen:
    """Type the command."""
    rows = home / "rows.jsonl"
    command = [sys.executable, "-m", "poisonscan", "scan", str(item.path), "--rows-out", str(rows)]
    answer = run(command, home, {**os.environ, "COLUMNS": "100"}, SECONDS)
    found = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
    named = frozenset(line["index"] for line in found if line["type"] == "row")
    return Seen("poisonscan", answer, named, "1 command")


def cleanlab(item: Input, home: Path, python: Path) -> Seen:
    """Run what one writes."""
    rows = home / "rows.json"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    answer = run([str(python), str(LOOK), str(item.path), str(rows)], home, plain, SECONDS)
    marked = json.loads(rows.read_text("utf-8")) if rows.is_file() else {}
    wrote = LOOK.read_text("utf-8").partition("# begin\n")[2].partition("# end")[0]
    size = len([line for line in wrote.splitlines() if line.strip()])
    named = frozenset(row for found in marked.values() for row in found)
    return Seen("cleanlab", answer, named, f"{size} lines of Python")


def main() -> None:
    """Print the table, and how often each says falsely that all is well."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--cleanlab", type=Path, metavar="PYTHON")
    options = parser.parse_args()
    false = {"poisonscan": 0, "cleanlab": 0}
    print(
        "| data | truth | tool | one writes | exit | seen first | rows named | lines | bytes | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for item in inputs(options.data, Path(folder)):
            home = item.path.parent
            looks = [poisonscan(item, home)]
            looks += [cleanlab(item, home, options.cleanlab)] if options.cleanlab else []
            for seen in looks:
                false[seen.tool] += seen.false(item)
                print(seen.row(item), flush=True)
    print("\nsays falsely that all is well:", false)


if __name__ == "__main__":
    main()
