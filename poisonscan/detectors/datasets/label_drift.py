"""Labels that are distributed differently: between splits, and against a reference."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.few_findings import few
from poisonscan.detectors.datasets.label_counts import LabelCounts, is_continuous
from poisonscan.escape import quote
from poisonscan.finding import Gap, Location
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.reference import Reference
    from poisonscan.detectors.datasets.label_counts import LabelTable
    from poisonscan.finding import Finding, Json

EXPECTED = 5
"""Rows that a label must be expected to have on either side; rarer ones count together."""
_SHOWN = 5
_LISTED = 100


class LabelDrift:
    """Compares label counts."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Gap]]:
        """Ask for label counts.

        Raises:
            LimitReached: too many different labels to be classes.
        """
        reference = dataset.reference
        counts: LabelCounts = yield LabelCounts(tuple(shard.split for shard in dataset.shards))
        table = counts.table(dataset.label_names)
        found: list[Finding | Gap] = []
        if not is_continuous(table.names):
            found += _splits(dataset, table)
            found += _reference(dataset, table, reference)
        if reference is not None:
            found += _columns(dataset, reference)
        return few(found)


DETECTOR = LabelDrift()


@dataclass(frozen=True, slots=True)
class Drift:
    """How two samples of labels differ.

    Attributes:
        effect: Cohen's w of two samples of equal size, without what chance adds; 0 or more.
        chance: of a difference like this between samples of one distribution.
        differences: change of the share of each label, from the first to the second.
        statistic: of the G-test.
        degrees: its degrees of freedom.
    """

    effect: float
    chance: float
    differences: NDArray[np.float64]
    statistic: float = 0.0
    degrees: int = 0


def drift(first: NDArray[np.int64], second: NDArray[np.int64]) -> Drift:
    """Compare label counts.

    The test is the G-test (R. R. Sokal and F. J. Rohlf 1981); the effect is J. Cohen's w (1988)
    with his names for it: 0.1 small, 0.3 medium, 0.5 large. It does not grow with the number of
    rows as the test does. Labels that hardly occur are counted together.

    Args:
        first: rows of each label, ``int64`` of shape (labels,), at least one row.
        second: the same labels in the other sample.
    """
    sizes = np.array([first.sum(), second.sum()], np.float64)
    differences = second / sizes[1] - first / sizes[0]
    pooled = (first + second) / sizes.sum()
    rare = pooled * sizes.min() < EXPECTED
    table = np.stack([first, second]).astype(np.float64)
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    degrees = table.shape[1] - 1
    if degrees < 1:
        return Drift(0.0, 1.0, differences)
    expected = sizes[:, None] * table.sum(axis=0) / sizes.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(table > 0, table * np.log(table / expected), 0.0)
    statistic = 2 * float(terms.sum())
    chance = tails.chi_squared(statistic, degrees)
    chi2 = float(((table - expected) ** 2 / expected).sum())
    shares = table / sizes[:, None]
    middle = shares.mean(axis=0)
    squared = float(((shares[1] - shares[0]) ** 2 / middle).sum())
    effect = math.sqrt(squared * max(0.0, 1 - degrees / chi2)) if chi2 else 0.0
    return Drift(effect, chance, differences, statistic, degrees)


def _splits(dataset: Dataset, table: LabelTable) -> Iterator[Finding]:
    labelled = np.flatnonzero(table.counts.sum(axis=1)).tolist()
    labelled.sort(key=lambda row: (table.splits[row] != "train", row))
    pairs = list(itertools.combinations(labelled, 2))
    limits = rule("PS305").thresholds
    for one, other in pairs:
        found = drift(table.counts[one], table.counts[other])
        if found.effect >= limits["effect_of_splits"]:
            if found.chance * len(pairs) > limits["chance"]:
                continue
            names = (quote(table.splits[one]), quote(table.splits[other]))
            key = f"{table.splits[one]}\0{table.splits[other]}"
            yield _finding(dataset, table.names, found, names, key)


def _finding(
    dataset: Dataset, labels: tuple[str, ...], found: Drift, names: tuple[str, str], key: str
) -> Finding:
    order = np.argsort(-np.abs(found.differences), kind="stable")
    parts = [f"{quote(labels[i])} {found.differences[i] * 100:+.1f} points" for i in order[:_SHOWN]]
    message = (
        f"labels of {names[1]} are distributed otherwise than those of {names[0]}: "
        f"{', '.join(parts)} (effect w {found.effect:.2f})."
    )
    changes: dict[str, Json] = {
        labels[i]: float(found.differences[i]) for i in order[:_LISTED].tolist()
    }
    return rule("PS305").finding(
        Location(dataset.path),
        message,
        key=key,
        score=found.effect,
        effect=found.effect,
        chance=found.chance,
        changes=changes,
    )


def _reference(
    dataset: Dataset, table: LabelTable, reference: Reference | None
) -> Iterator[Finding | Gap]:
    if reference is None:
        return
    if not reference.labels or not table.names:
        side = "the reference" if not reference.labels else "the dataset"
        yield Gap(dataset.path, f"not compared with the reference by labels: {side} has none")
        return
    limits = rule("PS305").thresholds
    mine = dict(zip(table.names, table.counts.sum(axis=0).tolist(), strict=True))
    labels = tuple(sorted({*mine, *reference.labels}))
    name = f"the reference {quote(reference.path)}"
    for one, other, what in (
        (mine, reference.labels, f"that {name} lacks"),
        (reference.labels, mine, f"fewer than {name}"),
    ):
        only = sorted(set(one) - set(other), key=lambda label: (-one[label], label))
        if only:
            shown = ", ".join(
                f"{quote(label)} ({plural(one[label], 'row')})" for label in only[:_SHOWN]
            )
            more = f" and {len(only) - _SHOWN:,} more" if len(only) > _SHOWN else ""
            yield rule("PS305").finding(
                Location(dataset.path),
                f"{plural(len(only), 'label')} {what}: {shown}{more}.",
                key="\0".join([what[:4], *only[:_LISTED]]),
                labels=list(only[:_LISTED]),
            )
    counts = [np.array([rows.get(n, 0) for n in labels]) for rows in (reference.labels, mine)]
    if not (counts[0].sum() and counts[1].sum()):
        return
    found = drift(counts[0], counts[1])
    if found.effect >= limits["effect_of_reference"] and found.chance <= limits["chance"]:
        yield _finding(dataset, labels, found, (name, "the dataset"), "reference")


def _columns(dataset: Dataset, reference: Reference) -> Iterator[Finding]:
    new = sorted(set(dataset.columns) - set(reference.columns))
    lost = sorted(set(reference.columns) - set(dataset.columns))
    parts = [
        f"{what} {', '.join(quote(name) for name in names[:_SHOWN])}"
        + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
        for what, names in (("it adds", new), ("it lacks", lost))
        if names
    ]
    if parts:
        yield rule("PS305").finding(
            Location(dataset.path),
            f"the columns are not those of the reference {quote(reference.path)}: "
            f"{' and '.join(parts)}.",
            key="\0".join(["columns", *new[:_LISTED], *lost[:_LISTED]]),
            added=list(new[:_LISTED]),
            missing=list(lost[:_LISTED]),
        )
