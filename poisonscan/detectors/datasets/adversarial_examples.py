"""Adversarial examples among the pictures of a dataset."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.detectors.datasets.noise_table import NoiseTable
from poisonscan.detectors.datasets.picture_noise import DIGITS
from poisonscan.detectors.datasets.tails import binomial
from poisonscan.finding import Fact, Location
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.noise_table import Noise
    from poisonscan.detectors.datasets.picture_noise import Floats
    from poisonscan.finding import Finding

_FACT = "adversarial examples"


@dataclass(frozen=True, slots=True)
class Tail:
    """The upper end of scores.

    Attributes:
        limit: where it begins.
        beyond: how many lie beyond.
        before: how many lie less than ``shoulder`` before it.
        p: how likely so many of the two lie beyond if either place is as likely, after Bonferroni
            over the limits that were tried.
    """

    limit: float
    beyond: int
    before: int
    p: float


def tails(scores: Floats, limits: Mapping[str, float]) -> list[Tail]:
    """The upper end from one place after the other on.

    Args:
        scores: of shape (n,).
        limits: ``score``, the lowest place, ``highest`` and ``shoulder``, their distance.
    """
    shoulder = limits["shoulder"]
    starts = np.arange(limits["score"], limits["highest"] + shoulder / 2, shoulder)
    found = []
    for start in starts.tolist():
        beyond = int((scores > start).sum())
        before = int((scores > start - shoulder).sum()) - beyond
        p = min(1.0, len(starts) * float(binomial(beyond, beyond + before, 0.5)))
        found.append(Tail(start, beyond, before, p))
    return found


def apart(found: Iterable[Tail], total: int, limits: Mapping[str, float]) -> Tail | None:
    """The tail that is a group of its own the most clearly, and neither few nor most."""
    fitting = [
        tail
        for tail in found
        if limits["least"] * total <= tail.beyond <= limits["most"] * total
        and tail.p <= limits["p_value"]
    ]
    return min(fitting, key=lambda tail: tail.p) if fitting else None


class AdversarialExamples:
    """Looks for a part of the pictures with noise like that of FGSM and PGD, apart from the rest.

    No picture is judged by itself: honest pictures of fine texture reach the limit too, but then
    more of them stop short of it.
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.PICTURES})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact]]:
        """Ask for scores.

        Raises:
            LimitReached: too many pictures.
        """
        table: NoiseTable = yield NoiseTable()
        noise = table.noise()
        scores, limits = noise.scores[noise.first], rule("PS410").thresholds
        found = tails(scores, limits)
        tail = apart(found, len(scores), limits)
        crowded = found[0].beyond > limits["most"] * len(scores)
        said: list[Finding | Fact] = [Fact(_FACT, _said(noise, crowded=crowded))]
        return said if tail is None else [_finding(dataset, noise, tail), *said]


DETECTOR = AdversarialExamples()


def _said(noise: Noise, *, crowded: bool) -> str:
    """How many pictures were looked at, for people."""
    unseen = plural(noise.unseen, "picture")
    left = f"; {unseen} without colours or too small to tell" if noise.unseen else ""
    if crowded:
        return f"not decided: most pictures are noisy, with nothing to compare them with{left}"
    return f"{plural(len(noise.scores), 'picture')} looked at{left}"


def _finding(dataset: Dataset, noise: Noise, tail: Tail) -> Finding:
    """Report the pictures beyond the limit."""
    beyond: NDArray[np.int64] = np.flatnonzero(noise.scores > tail.limit)
    worst = beyond[np.argsort(-noise.scores[beyond], kind="stable")]
    usual = float(np.median(noise.scores))
    share = len(beyond) / len(noise.scores)
    message = (
        f"{len(beyond):,} of {len(noise.scores):,} pictures with colours have noise all over like"
        " that of adversarial examples, in which red, green and blue change by themselves; between"
        f" them and the rest there are few ({tail.before:,} just below the limit). Train without"
        " them, and find out where they come from."
    )
    scores = noise.scores[worst].astype(np.float64).round(DIGITS)
    at = Location(dataset.path, dataset.named(noise.rows(worst), scores))
    return rule("PS410").finding(
        at,
        message,
        key="noise",
        score=float(np.median(scores)) - usual,
        pictures=len(beyond),
        share=share,
        looked_at=len(noise.scores),
        not_looked_at=noise.unseen,
        score_needed=tail.limit,
        median_score=usual,
        just_below=tail.before,
        log10_p=float(np.log10(max(tail.p, 1e-300))),
    )
