"""What the two backdoor detectors share: when they apply, and how they report a part of a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.datasets.bimodality import Floats
from poisonscan.detectors.datasets.moments import MAX_CLASSES, ClassMoments, ClassProjections
from poisonscan.escape import quote
from poisonscan.finding import MAX_ROWS, Finding, Json, Location, Rows, Rule
from poisonscan.limits import LimitReached


def testable(moments: ClassMoments) -> bool:
    """Whether there are at least two classes of row vectors to compare.

    Raises:
        LimitReached: there are more label values than classes can be told apart.
    """
    if moments.overflow:
        message = f"more than {MAX_CLASSES:,} different labels: classes were not compared"
        raise LimitReached(message)
    return len(moments.classes) > 1


@dataclass(frozen=True, slots=True)
class Suspects:
    """Makes findings about parts of classes."""

    dataset: Dataset
    sample: ClassProjections

    def finding(
        self, rule: Rule, code: int, excess: Floats, what: str, **evidence: Json
    ) -> Finding:
        """Report the rows of a class that lie beyond a threshold.

        Args:
            rule: the rule that was broken.
            code: the class.
            excess: how far each kept row of the class lies beyond the threshold, in order of
                ``sample.own.of(code)``.
            what: what the rows have in common, for the message.
            **evidence: further values.
        """
        contrast = self.sample.contrast
        name, size = contrast.names[code], int(contrast.counts[code])
        ids = self.sample.own.of(code).rows
        beyond = np.flatnonzero(excess > 0)
        worst = beyond[np.argsort(-excess[beyond], kind="stable")][:MAX_ROWS]
        count, kept = len(beyond), len(excess)
        rows = self.dataset.describe(ids[worst], excess[worst])
        about = "" if kept == size else f", estimated from {kept:,} of them"
        return rule.finding(
            Location(self.dataset.path, Rows(rows, count)),
            f"{round(count * size / max(kept, 1)):,} of {size:,} rows of class {quote(name)}{about}, "
            f"{what}.",
            key=name,
            score=evidence["separation"] if isinstance(evidence["separation"], float) else None,
            label=name,
            class_rows=size,
            rows_examined=kept,
            share_of_class=count / max(kept, 1),
            share_of_dataset=count / max(kept, 1) * size / max(int(contrast.counts.sum()), 1),
            **evidence,
        )
