"""What a detector is: one idea, applied to one kind of artifact, yielding findings from its rules.

A module below ``detectors`` offers one object named ``DETECTOR``. The rule file that names the
module registers it; nothing else does.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from poisonscan.finding import Fact, Finding, Gap
from poisonscan.formats.base import Artifact
from poisonscan.verdict import ClassTest

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Aggregate, Role
    from poisonscan.datasets.dataset import Dataset

A_contra = TypeVar("A_contra", bound=Artifact, contravariant=True)


class FileDetector(Protocol[A_contra]):
    """Checks one artifact of a model file."""

    reads: ClassVar[tuple[type[Artifact], ...]]

    def check(self, artifact: A_contra) -> Iterator[Finding | Gap]:
        """What is wrong with this artifact, and what of it could not be checked."""


class DatasetDetector(Protocol):
    """Checks a dataset in passes.

    ``detect`` is a generator: it yields the aggregate that it needs next and is sent the finished
    one; what it returns are its findings, facts to show with the dataset, gaps for what it could
    not look at, and what it tested of each class. The scan fuses the requests of all detectors into
    one pass per round.
    """

    needs: ClassVar[frozenset[Role]]

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap | ClassTest]]:
        """Ask for aggregates, then say what was found."""
