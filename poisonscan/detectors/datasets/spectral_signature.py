"""Spectral signatures: a class that falls apart along one of its own strongest directions."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.datasets.bimodality import Floats, Split, split_along
from poisonscan.detectors.datasets.foreign_parts import (
    ForeignPart,
    Judged,
    every_view,
    parts_told,
)
from poisonscan.detectors.datasets.suspects import Lineup
from poisonscan.finding import Fact, Finding, Gap
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest


def splits_along_directions(lineup: Lineup, code: int, rows: Floats, looks: int) -> list[Split]:
    """The splits of a class along each of its directions.

    Args:
        lineup: all classes.
        code: the class.
        rows: its distinct rows, of shape (n, k).
        looks: tests made over all classes.
    """
    others, contrast = lineup.outside(code), lineup.contrast
    along = (
        split_along(
            axis,
            rows,
            others,
            looks,
            float(contrast.eigenvalues[code, axis]),
            contrast.participation(code, direction),
        )
        for axis, direction in enumerate(np.eye(rows.shape[1]))
    )
    return [split for split in along if split is not None]


class SpectralSignature:
    """Looks for rows of one class that share a shift which no other class has.

    After Tran, Li and Madry, *Spectral Signatures in Backdoor Attacks* (NeurIPS 2018), with
    leave-one-class-out whitening (see ``contrast``) and, instead of a fixed share of every class to
    remove, a decision whether there is anything to remove (see ``bimodality``).
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.FEATURES})

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap | ClassTest]]:
        """Ask for class moments, then for projections, then report classes that fall apart.

        Raises:
            LimitReached: too many different labels to be classes, or too many rows with numbers too
                large to compute with.
        """
        return (yield from every_view(dataset, "spectral signature", _judged))


def _judged(lineup: Lineup) -> Judged:
    """What the rows show, looked at one way, and the test of each class."""
    tested = lineup.testable()
    looks = 2 * lineup.contrast.eigenvalues.shape[1]
    splits = {
        code: splits_along_directions(lineup, code, rows, looks * len(tested))
        for code, rows in tested.items()
    }

    def told(code: int, split: Split) -> ForeignPart:
        z_score = lineup.contrast.z_score(code)
        evidence = {"eigenvalue": split.eigenvalue, "eigenvalue_z": z_score}
        return ForeignPart(split.excess, "share a shift that other classes do not have", evidence)

    return parts_told(lineup, rule("PS401"), splits, looks, told)


DETECTOR = SpectralSignature()
