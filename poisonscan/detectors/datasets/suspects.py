"""The classes of a dataset as vectors: whether they can be compared, and a part of one reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from poisonscan.datasets.activations import Activations
from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.network import Network
from poisonscan.datasets.numbers import Numbers
from poisonscan.datasets.words import Words
from poisonscan.detectors.datasets.bimodality import MIN_ROWS, Floats, Split, distinct_rows
from poisonscan.detectors.datasets.contrast import Contrast
from poisonscan.detectors.datasets.moments import LARGEST, MAX_CLASSES, ClassMoments
from poisonscan.detectors.datasets.picture_views import Seen, View
from poisonscan.detectors.datasets.plots import parts_of_a_class
from poisonscan.detectors.datasets.projections import ClassProjections, Projected
from poisonscan.detectors.datasets.together import Together
from poisonscan.escape import quote
from poisonscan.finding import Finding, Gap, Json, Location, Rule
from poisonscan.limits import LimitReached
from poisonscan.plural import plural
from poisonscan.verdict import ClassTest

MAX_TOO_LARGE = 0.01
"""Share of the labelled rows that may hold numbers too large to compute with. Left out without
limit, they would be a place to hide."""
_NAMED = 5


def comparable(moments: ClassMoments) -> bool:
    """Whether there are two classes or more, one of them large enough to be tested.

    Raises:
        LimitReached: there are more label values than classes can be told apart, more than
            ``MAX_TOO_LARGE`` of the labelled rows hold numbers too large to compute with, or more
            than half of them have no vector at all.
    """
    if moments.overflow:
        message = f"more than {MAX_CLASSES:,} different labels: classes were not compared"
        raise LimitReached(message)
    sizes = [m.rows for m in moments.classes.values()]
    labelled = sum(sizes) + moments.left_out
    if moments.too_large > MAX_TOO_LARGE * labelled:
        message = (
            f"{moments.too_large:,} of {labelled:,} labelled rows hold numbers beyond"
            f" {LARGEST:,.0f}: classes were not compared"
        )
        raise LimitReached(message)
    if moments.left_out > labelled / 2:
        message = (
            f"{moments.left_out:,} of {labelled:,} labelled rows have no usable vector:"
            " classes were not compared"
        )
        raise LimitReached(message)
    return len(sizes) > 1 and max(sizes) >= MIN_ROWS


UNDECIDED = (
    f"not decided: it takes two classes or more, and {MIN_ROWS} rows with vectors in one of them"
)
"""What reports say of a dataset that is too small to tell."""


UNFIT = {
    Words: "not applied: which words a text holds says what it is about; triggers in texts are"
    " looked for by rules of their own",
    Numbers: "not applied: the columns are measures of different things, of which honest rows form"
    " groups; triggers in tables are looked for by a rule of their own",
}
"""Vectors in which a part of a class that lies apart is no sign, and what reports say of them."""


def unfit(vectors: object) -> str:
    """Why parts of a class say nothing in such vectors, for people; empty where they do."""
    if isinstance(vectors, Numbers) and vectors.is_vector:
        return ""
    return UNFIT.get(type(vectors), "")


def _left_out(rows: int) -> str:
    """How many rows could not be looked at, for people; empty for none."""
    return f"; left out: {plural(rows, 'labelled row')} without a usable vector" if rows else ""


def _honest(outside: float, others: int, rows: int) -> float:
    """How many honest rows of a class lie in a part of it if they do so as rows of others.

    One row more than there is, so that a few other rows without any there are no proof of none.

    Args:
        outside: share of the rows of other classes that lie there.
        others: how many of these were looked at.
        rows: of the class.
    """
    return (1 + outside * others) / (1 + others) * rows


def _seen(inner: Any, view: View | None) -> Aggregate:
    """An aggregate of vectors: of a dataset's own, or of those that pictures are seen as."""
    return cast("Aggregate", inner) if view is None else Seen(inner, view)


def _onto_directions(moments: ClassMoments) -> ClassProjections:
    return ClassProjections(moments.contrast(), moments.source_dimension)


def _inner(asked: Together) -> Iterator[Any]:
    """The aggregates of vectors that were asked for together, whatever was looked at."""
    return (part.inner if isinstance(part, Seen) else part for part in asked.parts)


def views(dataset: Dataset) -> tuple[View | None, ...]:
    """The ways in which shifts and clusters are looked for: vectors, None, and pictures.

    Vectors that the user brings stand in place of what rows of pictures are seen as without them.
    They show what a network makes of a picture, not everything that was put on it, so both count.
    """
    brought = isinstance(dataset.vectors, Activations | Network)
    return (None, View.DETAIL) if brought and Role.PICTURES in dataset.offers else (None,)


@dataclass(frozen=True, slots=True)
class Lineup:
    """The classes of a dataset, each with its rows and some of others along its directions.

    Attributes:
        dataset: where the rows are.
        contrast: the classes and their directions.
        own: rows on the directions of their own class.
        others: rows on the directions of one other class.
        left_out: labelled rows without a usable vector, which are in no class.
        view: how pictures are looked at; None: the rows are the dataset's vectors.
    """

    dataset: Dataset
    contrast: Contrast
    own: Projected
    others: Projected
    left_out: int
    view: View | None = None

    @classmethod
    def every(
        cls, dataset: Dataset, *looked_at: View | None
    ) -> Generator[Aggregate, Any, list[Lineup] | str]:
        """Ask for class moments, then for projections, of all that is looked at in the same passes.

        Args:
            dataset: labelled rows.
            looked_at: ways to look at its pictures, None for its vectors.

        Returns:
            The lineups, less those of which there are too few rows; where there is none, why, for
            people.

        Raises:
            LimitReached: too many different labels to be classes, or too many rows with numbers too
                large to compute with.
        """
        if None in looked_at and (reason := unfit(dataset.vectors)):
            return reason
        first: Together = yield Together(tuple(_seen(ClassMoments(), view) for view in looked_at))
        moments = dict(zip(looked_at, _inner(first), strict=True))
        large = {view: found for view, found in moments.items() if comparable(found)}
        if not large:
            return UNDECIDED + _left_out(max(found.left_out for found in moments.values()))
        left_out = [found.left_out for found in large.values()]
        asked = tuple(_seen(_onto_directions(found), view) for view, found in large.items())
        kept = tuple(large)
        del first, moments, large  # large, and of no use any more
        second: Together = yield Together(asked)
        return [
            cls(dataset, sample.contrast, sample.own, sample.others, missing, view)
            for sample, missing, view in zip(_inner(second), left_out, kept, strict=True)
        ]

    @property
    def aspect(self) -> str:
        """For people, how rows are looked at beside the dataset's vectors; empty for these."""
        return ", seen as high-pass pictures" if self.view is View.DETAIL else ""

    def coordinates(self, code: int) -> Floats:
        """All kept rows of a class, of shape (rows, k)."""
        return self.own.of(code).coordinates.astype(np.float64)

    def outside(self, code: int) -> Floats:
        """Rows of other classes along the directions of a class, of shape (rows, k)."""
        return self.others.of(code).coordinates.astype(np.float64)

    def testable(self) -> dict[int, Floats]:
        """The distinct rows of every class that has enough of them."""
        large = np.flatnonzero(self.contrast.counts >= MIN_ROWS)
        rows = {int(code): distinct_rows(self.coordinates(int(code))) for code in large}
        return {code: distinct for code, distinct in rows.items() if len(distinct) >= MIN_ROWS}

    def tested(self, classes: Iterable[int]) -> Json:
        """How many classes were tested, and which classes and rows were not, for people."""
        left = sorted(set(range(len(self.contrast.names))).difference(classes))
        shown = ", ".join(quote(self.contrast.names[code], 40) for code in left[:_NAMED])
        more = f" and {len(left) - _NAMED:,} more" if len(left) > _NAMED else ""
        untested = f"; too few different rows in {shown}{more}" if left else ""
        rows, kept = int(self.contrast.counts.sum()), len(self.own.classes)
        sample = f"; a sample of {kept:,} of {rows:,} rows" if kept < rows else ""
        return (
            f"{plural(len(self.contrast.names) - len(left), 'class', 'classes')} tested{untested}"
            f"{_left_out(self.left_out)}{sample}"
        )

    def tests(
        self, rule: Rule, classes: Iterable[int], found: Mapping[int, Split], looks: int
    ) -> list[ClassTest]:
        """What was tested of each class.

        Args:
            rule: whose findings say that there is something.
            classes: those that were tested.
            found: the reported part of each class that has one; its chance is corrected for all
                classes.
            looks: directions that a part of a class was looked for along.
        """
        tested = list(classes)
        # ``Split.log_p`` is corrected for all classes: here each is a test of its own.
        chances = {
            self.contrast.names[code]: 10 ** (split.log_p - math.log10(len(tested)))
            for code, split in found.items()
        }
        names = [self.contrast.names[code] for code in tested]
        return ClassTest.of_classes([rule.id], names, chances, looks)

    def gaps(self) -> list[Gap]:
        """What was not tested, where that is more than a few rows."""
        labelled = int(self.contrast.counts.sum()) + self.left_out
        if self.left_out <= MAX_TOO_LARGE * labelled:
            return []
        what = f"{self.left_out:,} of {labelled:,} labelled rows have no usable vector: not tested"
        return [Gap(self.dataset.path, what)]

    def finding(
        self,
        rule: Rule,
        code: int,
        score: Callable[[Floats], Floats],
        what: str,
        separation: float,
        *,
        other_classes_beyond: float,
        **evidence: Json,
    ) -> Finding:
        """Report the rows of a class that lie beyond a threshold.

        Args:
            rule: the rule that was broken.
            code: the class.
            score: how far rows on the directions of the class, of shape (rows, k), lie beyond the
                threshold.
            what: what the rows have in common, for the message.
            separation: how far they are from the rest, the finding's score.
            other_classes_beyond: share of the rows of other classes that lie where they do.
            **evidence: further values.
        """
        name, size = self.contrast.names[code], int(self.contrast.counts[code])
        coordinates = self.coordinates(code)
        excess = score(coordinates)
        beyond = np.flatnonzero(excess > 0)
        worst = beyond[np.argsort(-excess[beyond], kind="stable")]
        share = len(beyond) / max(len(excess), 1)
        outside = score(self.outside(code))
        honest = _honest(other_classes_beyond, len(outside), len(excess))
        rows = self.dataset.named(
            self.own.of(code).rows[worst], excess[worst], partial=len(excess) < size
        )
        kept = "" if len(excess) == size else f" (estimated from {len(excess):,} of them)"
        return rule.finding(
            Location(self.dataset.path, rows),
            f"{round(share * size):,} of the {size:,} rows of class {quote(name)}{kept}"
            f" {what}{self.aspect}.",
            key=f"{name}{self.aspect}",
            score=separation,
            label=name,
            class_rows=size,
            rows_examined=len(excess),
            share_of_class=share,
            share_of_dataset=share * size / max(int(self.contrast.counts.sum()), 1),
            separation=separation,
            false_rows=honest / max(len(beyond), 1),
            other_classes_beyond=other_classes_beyond,
            **evidence,
            plot=parts_of_a_class(excess, coordinates, outside),
        )
