"""Poisoned rows: what a whole scan finds of them, beside published detectors on the same rows.

``python -m benchmarks.detection DATA [--more FOLDER] [--others FOLDER] [--fashion FILE] [--records
FILE]`` prints Markdown: a summary with what is asked for, then every set and attack.
``detection_cases.py`` says what lies in the folders. Every case is written to a file and given to
``poisonscan.scan`` with all rules, and as vectors and labels (high-passed pictures, hashed words,
scaled cells, as the scan's own detectors of vectors see them) to the detectors of ``published``,
with the texts where there are any. They get the first draw of each attack and the first half of
each clean set, unless ``--peer-seeds`` gives them more.

*Recall* is the share of poisoned rows that are named, *false* the share of other rows. For the scan
rows count that findings of ``POISON`` name, of any severity; *default* are those of at least medium
severity, which end the command line with 1, and *precision* is theirs. For others it is what they
flag as they are by default, and behind it, where they rank rows, the recall that the best
threshold would have at the false alarms that are allowed: a threshold that only the truth tells.
A cell is the mean over seeds, and *runs* counts those in which the scan kept to the bar alone.

Clean sets are scanned in random halves: *loud* are scans with a finding of ``POISON`` of at least
medium severity, *any* those with one of any severity; *besides* are findings of all other rules.

What is measured goes to FILE at once, and is not measured again by the same code, so that long runs
can be broken off and go on, and published detectors wait for no change of the scanner:
``--no-scan`` asks them alone, beforehand. ``--bar`` and ``--cases`` choose some; two runs may share
a FILE. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

import poisonscan
from benchmarks import detection_cases as cases
from benchmarks.detection_cases import BARS, Bar, Case, Mask
from benchmarks.detection_records import Record, Records, digest, identity
from benchmarks.detection_tables import show, shown
from benchmarks.published import DETECTORS, Answer, Told, answer, missing, rates
from poisonscan.finding import Finding, Rows, Severity
from poisonscan.planting.bed import Bed
from poisonscan.planting.errors import PlantError
from poisonscan.report import Report

POISON = (
    "PS306", "PS309", "PS4", "PS601", "PS602", "PS603", "PS610", "PS611", "PS615", "PS618", "PS621",
    "PS622", "PS623", "PS624", "PS627", "PS630",
)  # fmt: skip
"""Rules that say that rows were poisoned, by the beginning of their ids. Copies, wrong labels all
over (PS308), odd values, links and the like are true of clean data too: no row counts for them."""
FEW_CLASSES = 60
"""Labels up to which sets are given to the published detectors, which look at one after another."""

Part = tuple[tuple[Bar, ...], Callable[[], Iterator[Case]]]


# One case


def complete(case: Case, records: Records, names: Sequence[str]) -> Record:
    """What everybody says of a case; what is not recorded yet is measured.

    Args:
        case: the rows.
        records: what was measured before.
        names: of the published detectors that are asked.
    """
    ours = records.scan(case)
    if ours is None or any(records.peer(n, ours["given"], case.bar.false) is None for n in names):
        bed, poisoned = case.make()
        given = ask(names, bed, poisoned, case.bar.false, records)
        if ours is None or ours["given"] != given:
            ours = records.add_scan({**measured(case, bed, poisoned), "given": given})
    return with_peers(ours, records)


def ask(names: Sequence[str], bed: Bed, poisoned: Mask, allowed: float, records: Records) -> str:
    """Record what published detectors say of rows, unless that was done; the rows' digest."""
    told, kept = told_of(bed, poisoned)
    given = digest(told)
    for name in names:
        if records.peer(name, given, allowed) is None:
            started = time.process_time()
            said = answer(name, told) if told else None
            rated = rates(spread(said, kept), poisoned, allowed) if said else None
            records.add_peer(name, given, allowed, rated, time.process_time() - started)
    return given


def with_peers(ours: Record, records: Records) -> Record:
    """A scan's record with what published detectors said of the same rows."""
    allowed = BARS[ours["bar"]].false
    said = {name: records.peer(name, ours["given"], allowed) for name in DETECTORS}
    return {
        **ours,
        "peers": {name: each["said"] for name, each in said.items() if each and each["said"]},
    }


def measured(case: Case, bed: Bed, poisoned: Mask) -> Record:
    """What a scan says of a case."""
    started = time.process_time()
    report = scanned(bed)
    spent = time.process_time() - started
    findings = list(report.each())
    told = [finding for finding in findings if finding.rule.id.startswith(POISON)]
    grave = [finding for finding in told if finding.severity >= Severity.MEDIUM]
    every, default = named(told, bed.rows), named(grave, bed.rows)
    return {
        **identity(case),
        "rows": bed.rows,
        "poisoned": int(poisoned.sum()),
        "ours": rates(Answer(every), poisoned, case.bar.false),
        "default": rates(Answer(default), poisoned, case.bar.false),
        "any": bool(told),
        "loud": bool(grave),
        "rules": {
            finding.rule.id: int(named([finding], bed.rows)[poisoned].sum()) for finding in told
        },
        "besides": sorted({finding.rule.id for finding in findings if finding not in told}),
        "named": None if case.names is None else any(map(case.names, told)),
        "gaps": len(report.gaps),
        "seconds": round(spent, 2),
    }


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


def told_of(bed: Bed, poisoned: Mask) -> tuple[Told | None, Mask]:
    """What the published detectors get, and of which rows: those of labels that three rows have.

    They get nothing where there are too many labels, or one alone.
    """
    codes = bed.codes()
    sizes = np.bincount(codes[codes >= 0], minlength=1)
    kept = (codes >= 0) & (sizes[codes] >= 3)
    labels = np.unique(codes[kept], return_inverse=True)[1].astype(np.int64)
    few = len(np.unique(labels)) > 1 and np.count_nonzero(sizes) <= FEW_CLASSES
    vectors = cases.vectors(bed) if few else None
    if vectors is None:
        return None, kept
    texts = None
    if bed.text is not None:
        column = bed.table.column(bed.text).filter(pa.array(kept))
        texts = tuple(str(text or "") for text in column.to_pylist())
    return Told(vectors[kept], labels, poisoned[kept], texts), kept


def spread(said: Answer, kept: Mask) -> Answer:
    """An answer of some rows as one of all: the others are not flagged, and least suspicious."""
    flagged = np.zeros(len(kept), bool)
    flagged[kept] = said.flagged
    if said.scores is None:
        return Answer(flagged)
    scores = np.full(len(kept), -np.inf)
    scores[kept] = said.scores
    return Answer(flagged, scores)


# The command


def chosen(given: argparse.Namespace) -> Iterator[Case]:
    """The cases that are asked for; sets of no bar that is are not read."""
    parts: list[Part] = [
        (
            (cases.CLEAN,),
            lambda: cases.clean(given.data, given.more, given.fashion, given.clean_seeds),
        ),
        ((cases.PHRASES,), lambda: cases.phrases(given.data, given.more, given.seeds)),
        ((cases.STYLES,), lambda: cases.styles(given.data, given.others, given.seeds)),
        ((cases.VALUES,), lambda: cases.values(given.data, given.more, given.seeds)),
        (
            (cases.PATCHES, cases.MOVED, cases.SUBTLE),
            lambda: cases.pictures(given.data, given.fashion, given.seeds),
        ),
    ]
    wanted = tuple(given.bar)
    for bars, make in parts:
        if any(bar.name.startswith(wanted) for bar in bars):
            for case in make():
                if case.bar.name.startswith(wanted) and any(w in called(case) for w in given.cases):
                    yield case


def called(case: Case) -> str:
    """A case in words."""
    return f"{case.data}, {case.attack or 'clean'} {case.rate:.1%}, seed {case.seed}"


def run(given: argparse.Namespace, records: Records) -> Iterator[Record]:
    """Everything that is asked for, one case after another; nothing where no scan is."""
    every = [] if given.no_peers else [name for name in DETECTORS if not missing(name)]
    for number, case in enumerate(chosen(given), 1):
        started = time.process_time()
        names = every if case.seed < given.peer_seeds else []
        said = ""
        try:
            if given.no_scan:
                ask(names, *case.make(), case.bar.false, records)
            else:
                record = complete(case, records, names)
                said = f" recall {shown(record['ours']['recall'])}"
                said += f", false {record['ours']['false']:.2%};"
                yield record
        except PlantError as error:
            print(f"{case.data} is left out: {error}", file=sys.stderr)
            continue
        now = time.process_time()
        spent = f"{now - started:.1f} CPU s, {now / 60:.1f} min in all"
        print(f"{number:>4} {called(case)}:{said} {spent}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--more", type=Path, help="folder with a folder for each further set")
    parser.add_argument("--others", type=Path, help="folder with HiddenKiller and StyleAttack")
    parser.add_argument("--fashion", type=Path, help="table of Fashion-MNIST pictures and labels")
    parser.add_argument("--bar", nargs="*", default=[""], help="only bars that begin so")
    parser.add_argument(
        "--cases", nargs="*", default=[""], help="only those of which 'SET, ATTACK RATE' has one"
    )
    parser.add_argument("--seeds", type=int, default=3, help="how often each attack is made")
    parser.add_argument("--clean-seeds", type=int, default=5, help="halves of each clean set")
    parser.add_argument("--peer-seeds", type=int, default=1, help="of these, what others get")
    parser.add_argument("--no-peers", action="store_true", help="without the published detectors")
    parser.add_argument("--no-scan", action="store_true", help="only record what those say")
    parser.add_argument("--records", type=Path, help="file of what was measured and will be")
    parser.add_argument("--tables-only", action="store_true", help="run nothing; print records")
    given = parser.parse_args()
    for name in DETECTORS:
        if not given.no_peers and missing(name):
            print(f"{name} is left out: {missing(name)} is not installed", file=sys.stderr)
    records = Records(given.records)
    if records.stale:
        print(f"{records.stale} records are of other code and do not count", file=sys.stderr)
    if given.tables_only:
        show([with_peers(record, records) for record in records.scans()])
    else:
        found = list(run(given, records))
        if not given.no_scan:
            show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
