"""Whether a style would be found in a label as well without texts that something else explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poisonscan.detectors.datasets.style_features import views
from poisonscan.detectors.datasets.style_model import styled


@dataclass(frozen=True, slots=True, eq=False)
class StyleGrounds:
    """What a style was found in, see ``poisonscan.places.Grounds``.

    Attributes:
        texts: all that were looked at, in an order that chance might have given.
        mine: which have the label, of shape (texts,).
        rows: number of the first row with each, ``int64`` of shape (texts,).
        limits: thresholds of the rule.
    """

    texts: Sequence[str]
    mine: NDArray[np.bool_]
    rows: NDArray[np.int64]
    limits: Mapping[str, float]

    def hold_without(self, rows: Any) -> bool:
        """Whether a style would be found by models that never saw the texts of these rows.

        It need not be the same: without the rows with one word of a template, that with the others
        is left.
        """
        kept = ~np.isin(self.rows, rows)
        mine = self.mine[kept]
        if min(mine.sum(), (~mine).sum()) < self.limits["rows"]:
            return False
        seen = views(list(compress(self.texts, kept)))
        style = styled(seen, mine, self.limits["others"], self.limits["evidence"])
        return style is not None and style.suspects.decided(self.limits)
