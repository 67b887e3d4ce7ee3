"""Plant attacks in clean data one by one, scan, and count what was found."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow.csv as pc
import pyarrow.parquet as pq

from poisonscan.datasets.shards import DatasetOptions
from poisonscan.finding import Finding, Rows
from poisonscan.planting.attacks import ATTACKS, Attack, Planted, plant
from poisonscan.planting.bed import Bed, read
from poisonscan.planting.errors import PlantError
from poisonscan.rules import Profile
from poisonscan.scan import scan

ROWS: Final = 10_000
"""Rows that are looked at if not asked otherwise."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scan found of an attack.

    Attributes:
        attack: its name; empty for the data as they are.
        rate: poisoned rows as a share of all.
        seed: of the draw.
        rows: that were scanned.
        planted: poisoned rows.
        found: those of them that a finding names which was not there before.
        wrong: other rows that such findings name.
        rules: those that name poisoned rows, the one that names most first.
        message: of that finding.
        gaps: what could not be checked.
        seconds: the scan took.
    """

    attack: str
    rate: float
    seed: int
    rows: int
    planted: int
    found: int
    wrong: int
    rules: tuple[str, ...]
    message: str
    gaps: int
    seconds: float


Told = tuple[Finding, frozenset[int]]
"""A finding, and all rows that it names."""


class _Scan(NamedTuple):
    told: list[Told]
    gaps: int
    seconds: float


def bench(
    target: str | Path,
    *,
    attacks: Sequence[str] = (),
    rates: Sequence[float] = (0.01,),
    seeds: Sequence[int] = (0,),
    all_labels: bool = False,
    max_rows: int = ROWS,
    progress: Progress | None = None,
    profile: Profile = "default",
    **columns: Any,
) -> Iterator[Outcome]:
    """Plant attacks in a copy of clean data and report what a scan finds.

    Args:
        target: a file or folder with clean data; nothing in it is changed.
        attacks: names of ``ATTACKS``; none: all that fit the data.
        rates: shares of the rows to poison, above 0 and up to 0.5.
        seeds: for each a draw of target class, rows and trigger.
        all_labels: poison rows of all classes, and not only of others than the target.
        max_rows: rows to read.
        progress: told what is done.
        profile: of rules, as ``poisonscan.scan`` takes it.
        **columns: as ``poisonscan.scan`` takes them: ``label_column`` and its like.

    Yields:
        First the data as they are; ``found`` and ``planted`` are 0, and ``wrong`` counts rows that
        findings name. Then an outcome for each attack, rate and seed.

    Raises:
        PlantError: nothing can be planted, or an attack is not known or does not fit.
        poisonscan.datasets.errors.OptionError: an option names what is not there.
        poisonscan.scan.TargetError: the target does not exist.
    """
    bed = read(Path(target), DatasetOptions(**columns), max_rows)
    chosen = _chosen(attacks, bed)
    told = progress or (lambda *_: None)
    steps = 1 + len(chosen) * len(rates) * len(seeds)
    known: dict[str, Any] = {
        name: value
        for name, value in columns.items()
        if value is not None and name not in ("split", "config")
    }
    known["profile"] = profile
    if bed.label is not None:
        known["label_column"] = bed.label
    if bed.picture is not None:  # pixels of arrays become files that no scan takes for pictures
        known["image_column"] = bed.picture
    with tempfile.TemporaryDirectory(prefix="poisonscan-", ignore_cleanup_errors=True) as folder:
        told("the data as they are", 0, steps)
        before = _scanned(bed, Path(folder), known)
        usual, rules = len(_named(before.told)), _rules(before.told)
        yield Outcome("", 0, 0, bed.rows, 0, 0, usual, rules, "", before.gaps, before.seconds)
        done = 1
        for attack in chosen:
            for rate in rates:
                for seed in seeds:
                    told(f"{attack.name}, {rate:.2%}", done, steps)
                    planted = plant(bed, attack, rate, seed, all_labels=all_labels)
                    yield _outcome(planted, attack, seed, Path(folder), known, before.told)
                    done += 1
        told("done", done, steps)


def _chosen(names: Sequence[str], bed: Bed) -> list[Attack]:
    fitting = [attack for attack in ATTACKS.values() if attack.fits(bed)]
    if not names:
        return fitting
    fit = ", ".join(attack.name for attack in fitting)
    for name in names:
        if name not in ATTACKS:
            message = f"{name!r} is no attack; those that fit these data: {fit}"
            raise PlantError(message)
        if not ATTACKS[name].fits(bed):
            needs = " and ".join(ATTACKS[name].needs)
            message = f"{name} needs columns of {needs}; those that fit these data: {fit}"
            raise PlantError(message)
    return [ATTACKS[name] for name in names]


def _outcome(
    planted: Planted,
    attack: Attack,
    seed: int,
    folder: Path,
    columns: Mapping[str, Any],
    before: Sequence[Told],
) -> Outcome:
    after = _scanned(planted.bed, folder, columns)
    poisoned = set(planted.rows.tolist())
    usual = {(finding.fingerprint, rows) for finding, rows in before}
    new = [each for each in after.told if (each[0].fingerprint, each[1]) not in usual]
    hits = [each for each in new if poisoned & each[1]]
    hits.sort(key=lambda each: -len(poisoned & each[1]))
    flagged = _named(new) - (_named(before) - poisoned)
    return Outcome(
        attack.name,
        len(poisoned) / planted.bed.rows,
        seed,
        planted.bed.rows,
        len(poisoned),
        len(poisoned & flagged),
        len(flagged - poisoned),
        _rules(hits),
        hits[0][0].message if hits else "",
        after.gaps,
        after.seconds,
    )


def _scanned(bed: Bed, folder: Path, columns: Mapping[str, Any]) -> _Scan:
    """A scan of the rows alone in a file."""
    path = folder / ("rows.csv" if bed.delimited else "rows.parquet")
    if bed.delimited:
        pc.write_csv(bed.table, path)
    else:
        pq.write_table(bed.table, path)
    started = time.monotonic()
    header = {"header": True} if bed.delimited else {}
    report = scan(path, kind="dataset", root=folder, **{**columns, **header})
    path.unlink()
    if report.interrupted:  # rows that were not looked at would count as missed
        raise KeyboardInterrupt
    seconds = time.monotonic() - started
    told = [(finding, _rows(finding)) for finding in report.each()]
    return _Scan(told, len(report.gaps), seconds)


def _rows(finding: Finding) -> frozenset[int]:
    """All rows that a finding names."""
    part = finding.at.part
    if not isinstance(part, Rows):
        return frozenset()
    every = part.rows if part.every is None else tuple(part.every.rows())
    return frozenset(row.index for row in (*every, *part.rows))


def _named(told: Sequence[Told]) -> set[int]:
    return set().union(*(rows for _, rows in told))


def _rules(told: Sequence[Told]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(finding.rule.id for finding, _ in told))
