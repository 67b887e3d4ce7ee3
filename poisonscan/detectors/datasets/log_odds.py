"""Which of two sets a number speaks for, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from poisonscan.detectors.datasets.phrase_features import Floats

MOST = 6.0
"""Nats that one number may say."""


@dataclass(frozen=True, slots=True)
class LogOdds:
    """Log odds of one of two sets, as likely as each other, by a number: ``slope * x + start``."""

    slope: float
    start: float

    @classmethod
    def of(cls, one: Floats, other: Floats) -> LogOdds:
        """Logistic regression of being in the other set, by Newton's method.

        Args:
            one: numbers of a set, of shape (n,), n > 0.
            other: of the other, likewise; both sets weigh the same in all.
        """
        from scipy.special import expit

        x = np.concatenate([one, other])
        mean, spread = float(x.mean()), float(x.std()) + 1e-9
        z = np.stack([(x - mean) / spread, np.ones_like(x)], axis=1)
        y = np.repeat([0.0, 1.0], [len(one), len(other)])
        weight = np.repeat([0.5 / len(one), 0.5 / len(other)], [len(one), len(other)])
        found = np.zeros(2)
        for _ in range(30):
            told = expit(z @ found)
            rise = z.T @ (weight * (y - told)) - 1e-4 * found
            bend = (z * (weight * told * (1 - told))[:, None]).T @ z + 1e-4 * np.eye(2)
            step = np.linalg.solve(bend, rise)
            found += step
            if np.abs(step).max() < 1e-6:
                break
        return cls(found[0] / spread, found[1] - found[0] * mean / spread)

    def __call__(self, x: Floats) -> Floats:
        """Log odds of numbers, between -``MOST`` and ``MOST``."""
        return np.clip(self.slope * x + self.start, -MOST, MOST)
