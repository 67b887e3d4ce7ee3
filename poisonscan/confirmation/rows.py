"""Suspects and sampled rows, and what a small model makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from poisonscan.confirmation.sample import SUSPECTS, Sampled, luck
from poisonscan.confirmation.trial import HELD, LEAST, MOST_WEIGHT, Trial
from poisonscan.detectors.datasets.places import starts
from poisonscan.finding import Rows

if TYPE_CHECKING:
    from poisonscan.datasets.places import ListedRows
    from poisonscan.detectors.datasets.places import Places
    from poisonscan.finding import Finding

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Marks = NDArray[np.bool_]

LISTED: Final = 250_000
"""Rows of a finding that are followed, 8 bytes each for every worker; one with more is not
tested."""
CLASSES: Final = 32
"""Classes that are told apart: those of findings, and the largest others."""
NO_ROW: Final = "no row with its label could be looked at"
USUAL: Final = 2_000
"""Pictures that filters and scales are learnt from."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """Rows of a finding.

    Attributes:
        places: packed, ``int64``, as bytes.
        count: how many they are.
        share: of them that is looked at.
        whole: whether all rows of the finding are known.
    """

    places: bytes
    count: int
    share: float
    whole: bool

    @classmethod
    def of(cls, finding: Finding, where: Places, share: float) -> Suspects:
        """The rows that a finding lists.

        Args:
            finding: about rows.
            where: file and first row of each shard.
            share: of all rows that is looked at.
        """
        part = finding.at.part
        listed = cast("ListedRows | None", part.every if isinstance(part, Rows) else None)
        if listed is None or listed.left_out or not 0 < len(listed) <= LISTED:
            return cls(b"", 0, 1.0, whole=False)
        every = np.unique(starts(where)[listed.shard] + listed.position)
        part_of = max(share, min(1.0, SUSPECTS / len(every)))
        return cls(every.tobytes(), len(every), part_of, whole=True)


@dataclass(frozen=True, slots=True)
class Learnt:
    """A sample, and a model of it that works.

    Attributes:
        trial: the model.
        values: what the rows show or say.
        see: makes vectors of such values.
        held: rows that were not learnt from and that no finding names.
        suspects: rows that each finding names.
        names: classes in order.
    """

    trial: Trial
    values: Any
    see: Callable[[Any], Any]
    held: Marks
    suspects: tuple[Marks, ...]
    names: tuple[str, ...]


def learnt(
    sample: Sampled | None,
    labels: Sequence[str],
    suspects: Sequence[Suspects],
    share: float,
    *,
    pictures: bool,
) -> Learnt | str:
    """Learn what tells the classes of a sample apart.

    Args:
        sample: the rows.
        labels: classes that findings are about; some may have no row in the sample.
        suspects: rows that they name.
        share: of all rows that were sampled.
        pictures: whether the rows are pictures, else texts.

    Returns:
        Where no model can be asked, why, for people.
    """
    if sample is None or sample.names is None:
        return "the labels are too many to be classes"
    asked = [sample.names.index(label) for label in labels if label in sample.names]
    if not asked:
        return NO_ROW
    sizes = np.bincount(sample.labels[sample.labels >= 0], minlength=len(sample.names))
    sizes[asked] = len(sample.contents) + 1
    taken = np.sort(np.argsort(-sizes, kind="stable")[:CLASSES])
    taken = taken[sizes[taken] > 0]
    codes = np.full(len(sample.names) + 1, -1, np.int64)  # the last entry serves code -1
    codes[taken] = np.arange(len(taken))
    kept = np.flatnonzero(codes[sample.labels] >= 0)
    contents, own = sample.contents[kept], codes[sample.labels[kept]]
    values = sample.values[kept] if pictures else sample.values.take(kept)
    named = _with_copies(contents, own, sample.marks[kept])
    weights = np.full(len(kept), 1 / share)
    for each, mark in zip(suspects, named.T, strict=True):
        stands_for = each.count / max(int(sample.counts[kept][mark].sum()), 1)
        weights[mark] = np.minimum(weights[mark], max(stands_for, 1.0))
    weights = sample.counts[kept] * np.minimum(weights, MOST_WEIGHT)
    apart = named.any(axis=1)
    held = (contents % np.uint64(HELD) == 0) & ~apart
    if held.sum() < LEAST or len(taken) < 2:
        return "there are too few other rows to test it on"
    see, vectors = _sight(contents, values, held | apart, pictures=pictures)
    trial = Trial.of(contents, vectors, own, weights, held)
    if not trial.works:
        return (
            f"a small model tells the {len(taken)} classes apart in {trial.accuracy:.0%} of rows"
            " that it has not seen, which is too few to ask it"
        )
    names = tuple(sample.names[code] for code in taken.tolist())
    return Learnt(trial, values, see, held, tuple(named.T), names)


def _with_copies(contents: Hashes, labels: Ints, marks: Marks) -> Marks:
    """Which findings name rows or copies of them: a model would learn from these as well.

    Args:
        contents: ascending.
        labels: ascending where contents are equal.
        marks: of shape (n, findings).
    """
    new = np.ones(len(contents), bool)
    new[1:] = (contents[1:] != contents[:-1]) | (labels[1:] != labels[:-1])
    groups = np.cumsum(new) - 1
    return np.asarray(np.logical_or.reduceat(marks, np.flatnonzero(new), axis=0)[groups], bool)


def _sight(
    contents: Hashes, values: Any, apart: Marks, *, pictures: bool
) -> tuple[Callable[[Any], Any], Any]:
    """What makes vectors of values, and theirs; pictures ``apart`` are not learnt from."""
    if not pictures:
        from poisonscan.confirmation.texts import Reader

        reader, vectors = Reader.of(values)
        return reader.see, vectors
    from poisonscan.confirmation.pictures import Eye

    usual = np.flatnonzero(~apart)
    usual = usual[np.argsort(luck(contents[usual]), kind="stable")[:USUAL]]
    eye = Eye.of(values[usual].astype(np.float32))

    def see(planes: Any) -> Any:
        return eye.see(planes.astype(np.float32))

    return see, see(values)
