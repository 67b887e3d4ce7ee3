"""Pictures of one class that are blurred in the same places, as by one warp."""

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


class SharedWarp:
    """Looks for pictures of one class that are sharp and blurred in the same places.

    A warp (Nguyen and Tran 2021, *WaNet: Imperceptible Warping-based Backdoor Attack*) moves pixels
    by parts of a pixel, which averages neighbours; see ``picture_views.sharpness``.
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.PICTURES})

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap | ClassTest]]:
        """See ``shared_pattern``."""
        what = "are sharp and blurred in the same places, as pictures of other classes are not"
        return (yield from shared_pattern(dataset, View.SHARPNESS, rule("PS407"), what))


DETECTOR = SharedWarp()
