"""A faint pattern or picture that is blended into pictures of one class."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, ClassVar

from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.datasets.picture_views import View
from poisonscan.detectors.datasets.shared_patterns import shared_pattern
from poisonscan.finding import Fact, Finding, Gap
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest


class FaintOverlay:
    """Looks for pictures of one class whose detail has the same signs in the same places.

    That of blended triggers (Chen et al. 2017, *Targeted Backdoor Attacks on Deep Learning Systems
    Using Data Poisoning*); see ``picture_views.relief`` and ``shared_patterns``.
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.PICTURES})

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap | ClassTest]]:
        """See ``shared_pattern``."""
        what = "share faint detail all over the picture that other classes do not have"
        return (yield from shared_pattern(dataset, View.RELIEF, rule("PS406"), what))


DETECTOR = FaintOverlay()
