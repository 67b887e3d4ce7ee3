"""Poisoned rows: what a whole scan finds of them, beside published detectors on the same rows.

``python -m benchmarks.detection DATA [--more FOLDER] [--others FOLDER] [--records FILE]`` prints
Markdown: a summary with what is asked for, then every set and attack. ``detection_cases.py`` says
what lies in the folders. Every case is written to a file and given to ``poisonscan.scan`` with all
rules, and as vectors and labels (high-passed pictures, hashed words, scaled cells, as the scan's
own detectors of vectors see them) to the detectors of ``published.py``, texts to the z-score
defence too; of clean sets only the first half, to save time.

*Recall* is the share of poisoned rows that are named, *false* the share of other rows. For the scan
rows count that findings of ``POISON`` name, of any severity; *default* are those of at least medium
severity, which end the command line with 1, and *precision* is theirs. For others it is what they
flag as they are by default, and behind it, where they rank rows, the recall that the best
threshold would have at the false alarms that are allowed: a threshold that only the truth tells.
A cell is the mean over seeds, and *runs* counts those in which the scan kept to the bar alone.

Clean sets are scanned in random halves: *loud* are scans with a finding of ``POISON`` of at least
medium severity, *any* those with one of any severity; *besides* are findings of all other rules.

Every case goes to FILE as a line of JSON; cases that are there already are not run again, so that
long runs can be broken off and go on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq

import poisonscan
from benchmarks import detection_cases as cases
from benchmarks.detection_cases import Bar, Case, Mask
from benchmarks.detection_tables import Z_SCORE, Record, show
from benchmarks.published import DETECTORS, Answer, Told, answer, missing
from benchmarks.text_triggers import Case as Texts
from benchmarks.text_triggers import z_defence
from poisonscan.finding import Finding, Report, Rows, Severity
from poisonscan.planting.bed import Bed
from poisonscan.planting.errors import PlantError

POISON = (
    "PS306", "PS309", "PS4", "PS601", "PS602", "PS603", "PS610", "PS611", "PS615", "PS618", "PS621",
    "PS622", "PS623", "PS624", "PS627", "PS630",
)  # fmt: skip
"""Rules that say that rows were poisoned, by the beginning of their ids. Copies, wrong labels all
over (PS308), odd values, links and the like are true of clean data too: no row counts for them."""
FEW_CLASSES = 60
"""Labels up to which sets are given to the published detectors, which look at one after another."""

IDENTITY = ("bar", "data", "attack", "rate", "seed")


# One case


def measured(case: Case, *, others: bool) -> Record:
    """What everybody says of a case."""
    bed, poisoned = case.make()
    started = time.process_time()
    report = scanned(bed)
    spent = time.process_time() - started
    findings = list(report.each())
    told = [finding for finding in findings if finding.rule.id.startswith(POISON)]
    grave = [finding for finding in told if finding.severity >= Severity.MEDIUM]
    every, default = named(told, bed.rows), named(grave, bed.rows)
    record: Record = {
        **identity(case),
        "rows": bed.rows,
        "poisoned": int(poisoned.sum()),
        "ours": rates(Answer(every), poisoned, case.bar),
        "default": rates(Answer(default), poisoned, case.bar),
        "any": bool(told),
        "loud": bool(grave),
        "rules": {
            finding.rule.id: int(named([finding], bed.rows)[poisoned].sum()) for finding in told
        },
        "besides": sorted({finding.rule.id for finding in findings if finding not in told}),
        "named": None if case.names is None else any(map(case.names, told)),
        "gaps": len(report.gaps),
        "seconds": round(spent, 2),
        "peers": {},
    }
    if others and (case.attack or not case.seed):
        for name, said in published(bed, poisoned):
            record["peers"][name] = rates(said, poisoned, case.bar)
    return record


def identity(case: Case) -> Record:
    values = (case.bar.name, case.data, case.attack, case.rate, case.seed)
    return dict(zip(IDENTITY, values, strict=True))


def scanned(bed: Bed) -> Report:
    """The report of a scan of the rows in a file of their own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv" if bed.delimited else "rows.parquet")
        if bed.delimited:
            pc.write_csv(bed.table, path)
        else:
            pq.write_table(bed.table, path)
        return poisonscan.scan(
            path,
            kind="dataset",
            root=folder,
            label_column=bed.label,
            header=True if bed.delimited else None,
            jobs=1,  # so that CPU seconds are those of this process
            isolation="off",
        )


def named(findings: Iterable[Finding], rows: int) -> Mask:
    """All rows that findings name."""
    mask = np.zeros(rows, bool)
    for finding in findings:
        part = finding.at.part
        if isinstance(part, Rows):
            every = part.rows if part.every is None else (*part.every.rows(), *part.rows)
            mask[[row.index for row in every]] = True
    return mask


def published(bed: Bed, poisoned: Mask) -> Iterator[tuple[str, Answer]]:
    """What the published detectors say of the rows that have a label."""
    codes = bed.codes()
    if len(np.unique(codes[codes >= 0])) > FEW_CLASSES:
        return
    vectors = cases.vectors(bed)
    sizes = np.bincount(codes[codes >= 0])
    kept = (codes >= 0) & (sizes[codes] >= 3)
    labels = np.unique(codes[kept], return_inverse=True)[1].astype(np.int64)
    if vectors is not None and len(np.unique(labels)) > 1:
        told = Told(vectors[kept], labels, poisoned[kept])
        for name in DETECTORS:
            said = answer(name, told)
            if said is not None:
                scores = None if said.scores is None else spread(said.scores, kept, -np.inf)
                yield name, Answer(spread(said.flagged, kept, False), scores)  # noqa: FBT003
    if bed.text is not None:
        texts = [text or "" for text in bed.table.column(bed.text).to_pylist()]
        given = np.where(codes < 0, codes.max() + 1, codes).astype(np.int64)
        yield Z_SCORE, Answer(z_defence(Texts(texts, given, poisoned)))


def spread(values: Any, rows: Mask, rest: Any) -> Any:
    """Values of some rows among all."""
    out = np.full(len(rows), rest, values.dtype)
    out[rows] = values
    return out


def rates(said: Answer, poisoned: Mask, bar: Bar) -> Record:
    """Recall, false alarms, precision, and the recall at the false alarms that are allowed."""
    bad, good = said.flagged[poisoned], said.flagged[~poisoned]
    out: Record = {
        "recall": float(bad.mean()) if len(bad) else None,
        "false": float(good.mean()) if len(good) else 0.0,
        "precision": float(bad.sum() / said.flagged.sum()) if said.flagged.any() else None,
    }
    if said.scores is not None and len(bad):
        threshold = np.quantile(said.scores[~poisoned], 1 - bar.false, method="higher")
        out["best"] = float((said.scores[poisoned] > threshold).mean())
    return out


# The command


def chosen(given: argparse.Namespace) -> Iterator[Case]:
    parts = {
        "clean": lambda: cases.clean(given.data, given.more, given.clean_seeds),
        "phrases": lambda: cases.phrases(given.data, given.more, given.seeds),
        "styles": lambda: cases.styles(given.data, given.others, given.seeds),
        "tables": lambda: cases.tables(given.data, given.more, given.seeds),
        "pictures": lambda: cases.pictures(given.data, given.seeds),
    }
    for name in given.only or parts:
        for case in parts[name]():
            if not given.data_named or any(word in case.data for word in given.data_named):
                yield case


def run(given: argparse.Namespace) -> list[Record]:
    """The records of all cases, of those that were run before too."""
    records: list[Record] = []
    if given.records and given.records.exists():
        records = [json.loads(line) for line in given.records.read_text("utf-8").splitlines()]
    done = {json.dumps({key: record[key] for key in IDENTITY}) for record in records}
    for case in () if given.tables_only else chosen(given):
        if json.dumps(identity(case)) in done:
            continue
        try:
            record = measured(case, others=not given.alone)
        except PlantError as error:
            print(f"{case.data} is left out: {error}", file=sys.stderr)
            continue
        records.append(record)
        if given.records:
            with given.records.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
    return records


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--more", type=Path, help="folder with a folder for each further set")
    parser.add_argument("--others", type=Path, help="folder with HiddenKiller and StyleAttack")
    parser.add_argument("--only", nargs="*", help="clean, phrases, styles, tables, pictures")
    parser.add_argument("--data-named", nargs="*", help="only sets with one of these in their name")
    parser.add_argument("--seeds", type=int, default=3, help="how often each attack is made")
    parser.add_argument("--clean-seeds", type=int, default=5, help="halves of each clean set")
    parser.add_argument("--records", type=Path, help="file of cases that were run and will be")
    parser.add_argument("--alone", action="store_true", help="without the published detectors")
    parser.add_argument("--tables-only", action="store_true", help="run nothing; print records")
    given = parser.parse_args()
    for name in DETECTORS:
        if not given.alone and missing(name):
            print(f"{name} is left out: {missing(name)} is not installed", file=sys.stderr)
    records = run(given)
    show(records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
