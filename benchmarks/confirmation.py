"""Whether confirmation tells attacks from what only looks like one.

``python -m benchmarks.confirmation DATA [--plant FOLDER] [--seen] [--seeds N] [--rate SHARE ...]
[--only pictures|texts] [--rows N] [--controls]`` prints a row for each kind of data and attack.
Every row is of whole scans of files, as a user runs them.

*Attacks*: pictures of CIFAR-10 with the triggers of ``benchmarks/picture_attacks.py``, texts with
those of ``benchmarks/text_triggers.py``. Counted are findings of rules that are tested whose rows
are mostly poisoned: confirmed, not confirmed (one severity lower), undecided, and not tested.

*Controls*: clean texts, and findings that are made up in them, as a rule that is wrong would make
them, of the words most tied to a label (PS627), which decide it honestly. Little of this should be
confirmed. (False findings about classes of pictures do not come so far: false discovery rates take
them out before.)

DATA is a folder of public sets, see ``benchmarks/backdoors.py`` and
``benchmarks/text_triggers.py``. What decides was set on the first half of CIFAR-10, SST-2 and AG
News, which ``--seen`` shows; else it is the second half of CIFAR-10 and every ``NAME.csv`` with
columns ``text`` and ``label`` in the folder of ``--plant``.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from benchmarks.backdoors import cifar
from benchmarks.picture_attacks import ATTACKS, Labels, Pictures, poisoned
from benchmarks.text_triggers import TRIGGERS, comma_separated, planted, tab_separated
from poisonscan.confirmation.confirm import OF_PICTURES, OF_TEXTS
from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.base import DatasetDetector
from poisonscan.finding import Fact, Finding, Gap, Location, Rows
from poisonscan.report import Report
from poisonscan.rules import rule
from poisonscan.scan import scan

VERDICTS = ("confirmed", "not confirmed", "undecided", "not tested")
SAID = "Made up."
WORDS = 8
"""Words most tied to a label that are made findings of, for each label."""


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Names rows as a detector would; ``found``: rule, class, rows and evidence."""

    found: tuple[tuple[str, str, NDArray[np.int64], dict[str, Any]], ...]
    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, list[Finding | Fact | Gap]]:
        """Ask for nothing."""
        yield from ()
        out: list[Finding | Fact | Gap] = []
        for number, (rule_id, label, rows, evidence) in enumerate(self.found):
            places = np.stack([np.zeros_like(rows), rows], axis=1)
            at = Location(dataset.path, dataset.named(places))
            made = rule(rule_id).finding(at, SAID, key=f"made up {number}", **evidence, label=label)
            out.append(made)
        return out


def scanned(table: pa.Table, rules: Iterable[str], made_up: MadeUp | None = None) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.parquet"
        pq.write_table(table, path, row_group_size=len(table))
        measures: dict[str, DatasetDetector] = {} if made_up is None else {"made up": made_up}
        return scan(
            path,
            kind="dataset",
            select=[*rules],
            measures=measures,
            jobs=1,
            label_column="label",
        )


def verdicts(
    report: Report, rows: NDArray[np.bool_] | None = None, *, made_up: bool = False
) -> Counter[str]:
    """Verdicts of findings: of those that name mostly the rows given, or that are made up."""
    out: Counter[str] = Counter()
    for finding in report.each():
        told: Any = finding.evidence.get("confirmation")
        if made_up and not finding.message.startswith(SAID):
            continue
        if told is not None and (rows is None or _true(finding, rows)):
            out[told["verdict"]] += 1
    return out


def _true(finding: Finding, rows: NDArray[np.bool_]) -> bool:
    part = finding.at.part
    if not isinstance(part, Rows) or part.every is None:
        return False
    return bool(rows[[row.index for row in part.every.rows()]].mean() > 1 / 2)


class Line:
    """Adds up what came of some scans."""

    def __init__(self, name: str) -> None:
        self.name, self.counts, self.runs, self.clean = name, Counter[str](), 0, 0
        self.seconds = time.process_time()

    def add(
        self, report: Report, rows: NDArray[np.bool_] | None = None, *, made_up: bool = False
    ) -> None:
        """Take in a scan, see ``verdicts``."""
        mine = verdicts(report, rows, made_up=made_up)
        self.counts += mine
        self.runs += 1
        self.clean += bool(mine["confirmed"])

    def show(self) -> None:
        """Print what it adds up to."""
        seconds = (time.process_time() - self.seconds) / max(self.runs, 1)
        counts = "".join(f"{self.counts[name]:>15}" for name in VERDICTS)
        print(f"{self.name:<44}{self.runs:>5}{self.clean:>7}{counts}{seconds:>8.1f}", flush=True)


def as_table(pictures: Pictures, labels: Labels) -> pa.Table:
    encoded = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
        encoded.append({"bytes": buffer.getvalue(), "path": None})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({"image": pa.array(encoded, kind), "label": labels.astype(np.int64)})


def picture_attacks(
    pictures: Pictures, labels: Labels, rows: int, rates: list[float], seeds: int
) -> None:
    for attack in ATTACKS:
        for rate in rates:
            line = Line(f"CIFAR-10, {attack.name}, {rate:.1%}")
            for seed in range(seeds):
                some = np.random.default_rng(seed).permutation(len(labels))[:rows]
                shown, given, mask = poisoned(pictures[some], labels[some], attack, rate, seed)
                line.add(scanned(as_table(shown, given), OF_PICTURES), mask)
            line.show()


def text_table(texts: list[str], labels: NDArray[np.int64]) -> pa.Table:
    return pa.table({"text": texts, "label": labels})


def text_attacks(
    name: str, texts: list[str], labels: NDArray[np.int64], rates: list[float], seeds: int
) -> None:
    for kind, phrase, where in TRIGGERS:
        for rate in rates:
            line = Line(f"{name}, {kind}, {rate:.1%}")
            for seed in range(seeds):
                case = planted(texts, labels, phrase, where, rate, seed)
                report = scanned(text_table(case.texts, case.labels), OF_TEXTS)
                line.add(report, case.poisoned)
            line.show()


def text_controls(name: str, texts: list[str], labels: NDArray[np.int64]) -> None:
    line = Line(f"{name}, clean")
    line.add(scanned(text_table(texts, labels), OF_TEXTS))
    line.show()
    line = Line(f"{name}, words most tied to a label")
    found: list[tuple[str, str, NDArray[np.int64], dict[str, Any]]] = []
    holders: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        for word in set(text.lower().split()):
            holders.setdefault(word, []).append(row)
    share = np.bincount(labels) / len(labels)
    scored = []
    for word, rows in holders.items():
        if len(rows) < 20 or not word.isalpha():
            continue
        counts = np.bincount(labels[rows], minlength=len(share))
        scores = (counts / len(rows) - share) / np.sqrt(share * (1 - share) / len(rows))
        scored += [(float(z), word, code) for code, z in enumerate(scores)]
    for code in np.argsort(-share)[:5].tolist():
        best = sorted((each for each in scored if each[2] == code), reverse=True)[:WORDS]
        for _, word, _ in best:
            own = np.array([row for row in holders[word] if labels[row] == code], np.int64)
            evidence = {"phrase": word, "place": "anywhere"}
            found.append(("PS627", str(code), own, evidence))
    for start in range(0, len(found), 8):
        line.add(
            scanned(text_table(texts, labels), OF_TEXTS, MadeUp(tuple(found[start : start + 8]))),
            made_up=True,
        )
    line.show()


def corpora(folder: Path, plant: Path | None, *, seen: bool) -> Iterator[tuple[str, Any, Any]]:
    if seen:
        for name, path in (("SST-2", "sst2/train.tsv"), ("AG News", "ag_news_test/test.tsv")):
            yield name, *tab_separated(folder / "text" / path)
    for file in sorted(plant.glob("*.csv")) if plant else ():
        yield file.stem, *comma_separated(file)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--plant", type=Path)
    parser.add_argument("--seen", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rate", type=float, action="append")
    parser.add_argument("--rows", type=int, default=6_000, help="pictures of a scan")
    parser.add_argument("--only", choices=["pictures", "texts"])
    parser.add_argument("--controls", action="store_true", help="controls alone")
    options = parser.parse_args(arguments)
    rates = options.rate or [0.01]
    head = "".join(f"{name:>15}" for name in VERDICTS)
    print(f"{'data, attack':<44}{'runs':>5}{'conf.':>7}{head}{'CPU s':>8}")
    if options.only != "texts":
        _, pictures, labels = cifar(options.data)
        half = len(labels) // 2
        part = slice(0, half) if options.seen else slice(half, None)
        chosen = pictures[part], labels[part], options.rows
        if not options.controls:
            picture_attacks(*chosen, rates, options.seeds)
    if options.only != "pictures":
        for name, texts, codes in corpora(options.data, options.plant, seen=options.seen):
            if not options.controls:
                text_attacks(name, texts, codes, rates, options.seeds)
            text_controls(name, texts, codes)


if __name__ == "__main__":
    main(sys.argv[1:])
