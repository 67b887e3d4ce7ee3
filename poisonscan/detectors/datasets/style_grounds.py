"""Whether a style would be found in a label as well without texts that something else explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from poisonscan.detectors.datasets.style_features import views
from poisonscan.detectors.datasets.style_model import styled

if TYPE_CHECKING:
    from poisonscan.detectors.datasets.style_suspects import Suspects


@dataclass(frozen=True, slots=True, eq=False)
class StyleGrounds:
    """What a style was found in, see ``poisonscan.places.Grounds``.

    Attributes:
        suspects: texts in the style.
        texts: all that were looked at, in an order that chance might have given.
        mine: which have the label, of shape (texts,).
        rows: number of the first row with each, ``int64`` of shape (texts,).
        limits: thresholds of the rule.
    """

    suspects: Suspects
    texts: Sequence[str]
    mine: NDArray[np.bool_]
    rows: NDArray[np.int64]
    limits: Mapping[str, float]

    def hold_without(self, rows: Any) -> bool:
        """Whether the other texts in the style were implanted, too.

        They must be so for the models that found them, and texts of the label must be so for models
        that never saw the texts of these rows: the first were learnt without all suspects, so that
        what honest ones of them say is a little less of the label than it should be.
        """
        kept = ~np.isin(self.rows, rows)
        if not self.suspects.without(~kept[self.suspects.texts]).decided(self.limits):
            return False
        mine = self.mine[kept]
        if min(mine.sum(), (~mine).sum()) < self.limits["rows"]:
            return False
        seen = views(list(compress(self.texts, kept)))
        style = styled(seen, mine, self.limits["others"], self.limits["evidence"])
        return style is not None and style.suspects.decided(self.limits)
