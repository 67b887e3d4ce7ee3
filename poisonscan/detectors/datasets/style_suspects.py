"""Texts of a label in one style, and whether they were implanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_HONEST = 0.1
"""Share of honest texts that are contradicted as much as those that are counted."""
_LEAST_VARIANCE = 0.05
"""Of one text's being counted, at least: a few alike texts are no certainty."""
_LEAST_UNIT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """Texts of a label in the style that hardly any text of other labels has.

    Attributes:
        texts: which, of shape (n,).
        core: which of them are in the style where a tenth of the other labels' texts in it is, of
            shape (n,): most, if the style is hardly theirs.
        contradicted: which of them say more of what other labels say than nine in ten of the
            label's other texts; those that say nothing do not.
        unit: by how much the share of contradicted ones would be larger than that of honest texts,
            were all suspects drawn from texts of all labels; more than 0.
        own: texts of the label.
    """

    texts: Ints
    core: Mask
    contradicted: Mask
    unit: float
    own: int

    @classmethod
    def of(
        cls, style: Floats, against: Floats, mine: Mask, limits: tuple[float, float]
    ) -> Suspects:
        """The texts of a label that are more in a style than others.

        Args:
            style: how much each text is in it, of shape (texts,).
            against: how much each text's content speaks against the label, of shape (texts,).
            mine: which have the label; not all of them are suspects.
            limits: of ``style``, beyond which texts are suspects and of the core.
        """
        chosen = mine & (style > limits[0])
        texts = np.flatnonzero(chosen)
        usual = np.quantile(against[mine & ~chosen], 1 - _HONEST)
        others = float((against[~mine] > usual).mean())
        unit = max(others - _HONEST, _LEAST_UNIT) * (1 - float(mine.mean()))
        core, contradicted = style[texts] > limits[1], against[texts] > usual
        return cls(texts, core, contradicted, unit, int(mine.sum()))

    @property
    def core_share(self) -> float:
        """Share of the suspects that are of the core."""
        return float(self.core.mean())

    @property
    def implanted(self) -> float:
        """Share of the suspects that say what other labels say.

        Of what would be were all drawn from texts of all labels: 0 for honest texts, whatever their
        style, 1 for implanted ones and more for those from other labels only.
        """
        return (float(self.contradicted.mean()) - _HONEST) / self.unit

    @property
    def error(self) -> float:
        """Standard error of ``implanted``."""
        share = float(self.contradicted.mean())
        variance = max(share * (1 - share), _LEAST_VARIANCE)
        return float(np.sqrt(variance / len(self.texts))) / self.unit

    @property
    def chance(self) -> float:
        """Probability that as many say what other labels say, were the texts honest.

        By the normal approximation, where style and content are independent within the label.
        """
        from scipy.special import ndtr

        return float(ndtr(-self.implanted / self.error))

    def decided(self, limits: Mapping[str, float]) -> bool:
        """Whether they were implanted.

        Both halves of the evidence, that the style is hardly other labels' and that its texts say
        what these say, are shares, and their product counts: an agency's line before its news has
        some of both.

        Args:
            limits: thresholds of the rule.
        """
        if not limits["suspects"] <= len(self.texts) <= limits["most"] * self.own:
            return False
        implanted = max(self.implanted - limits["errors"] * self.error, 0.0)
        core = self.core_share
        return core >= limits["core"] and core * implanted >= limits["evidence"]
