"""Spectral signatures: a class that falls apart along its own strongest direction."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.datasets.bimodality import (
    MIN_ROWS,
    Split,
    Thresholds,
    distinct_rows,
    foreign_parts,
    split_along,
)
from poisonscan.detectors.datasets.moments import ClassMoments, ClassProjections
from poisonscan.detectors.datasets.suspects import Suspects, testable
from poisonscan.finding import Finding
from poisonscan.rules import rule


class SpectralSignature:
    """Looks for rows of one class that share a shift which no other class has.

    After Tran, Li and Madry, *Spectral Signatures in Backdoor Attacks* (NeurIPS 2018), with
    leave-one-class-out whitening (see ``contrast``) and, instead of a fixed share of every class to
    remove, a decision whether there is anything to remove (see ``bimodality``).
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.FEATURES})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding]]:
        """Ask for class moments, then for projections, then report classes that fall apart."""
        moments: ClassMoments = yield ClassMoments()
        if not testable(moments):
            return []
        contrast = moments.contrast()
        sample: ClassProjections = yield ClassProjections(contrast, moments.source_dimension)
        own, others = sample.own, sample.others
        tested = [code for code, rows in enumerate(contrast.counts) if rows >= MIN_ROWS]
        looks = 2 * contrast.eigenvalues.shape[1] * max(len(tested), 1)
        splits: dict[int, list[Split]] = {}
        for code in tested:
            rows = distinct_rows(own.of(code).coordinates.astype(np.float64))
            outside = others.of(code).coordinates.astype(np.float64)
            if len(rows) >= MIN_ROWS:
                along = (
                    split_along(
                        axis,
                        rows,
                        outside,
                        looks,
                        float(eigenvalue),
                        contrast.participation(code, unit),
                    )
                    for axis, (eigenvalue, unit) in enumerate(
                        zip(contrast.eigenvalues[code], np.eye(rows.shape[1]), strict=True)
                    )
                )
                splits[code] = [split for split in along if split is not None]
        found, needed = foreign_parts(splits, Thresholds.of(rule("PS401").thresholds))
        suspects = Suspects(dataset, sample)
        return [
            suspects.finding(
                rule("PS401"),
                code,
                split.excess(own.of(code).coordinates.astype(np.float64)),
                f"share a shift along one direction that no other class has ({split.separation:.1f} "
                f"spreads from the rest of the class, at least {needed[code]:.1f} are needed)",
                eigenvalue=split.eigenvalue,
                eigenvalue_z=contrast.z_score(code),
                separation=split.separation,
                separation_needed=needed[code],
                log10_p=split.log_p,
                other_classes_beyond=split.outside,
            )
            for code, split in found.items()
        ]


DETECTOR = SpectralSignature()
