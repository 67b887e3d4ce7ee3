"""Whether rows with something unusual go with one label: what makes it a trigger."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.escape import quote
from poisonscan.verdict import ClassTest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from poisonscan.detectors.datasets.text_hits import Hits, Key, TextHits

SUPPORT = 8
"""Rows, and different texts among them, below which nothing is said."""
PURITY = 0.9
"""Share of the rows that must have one label."""
CHANCE = 1e-3
"""Family-wise error of all that is tested together."""
MAX_CLASSES = 1_000
"""Labels beyond which they are names of things rather than classes."""


_SHOWN = 6
"""Labels of a set that a message lists."""


MAX_SETS = 4
"""Sets of labels that have a finding of their own."""
LEAST_SHARE = 0.1
"""Part of all errors that such a set has."""


def worst(errors: Sequence[int]) -> int:
    """How many sets of labels have a finding of their own; the rest have one together.

    Args:
        errors: wrong labels of the rows with each set, the most first.
    """
    least = LEAST_SHARE * sum(errors)
    many = sum(count >= least for count in errors[:MAX_SETS])
    return many + 1 if len(errors) == many + 1 else many


def carried(contents: int, labels: Sequence[str], sets: int = 1) -> str:
    """Says that equal or similar rows have different labels, for a message.

    Args:
        contents: how many different ones there are.
        labels: in order; empty for several sets of labels together.
        sets: how many sets these are.
    """
    verb = "carries" if contents == 1 else "carry"
    if not labels:
        return f"{verb} {sets:,} different sets of labels at once"
    more = f" and {len(labels) - _SHOWN:,} more" if len(labels) > _SHOWN else ""
    shown = ", ".join(quote(label) for label in labels[:_SHOWN]) + more
    return f"{verb} the labels {shown} at once"


@dataclass(frozen=True, slots=True)
class Tie:
    """Something that goes with a label.

    Attributes:
        label: the label.
        rows: rows with both.
        purity: which part of its rows have the label.
        usual: which part of all rows that it is compared with have the label.
        chance: probability of so many by chance, corrected for all that was tested.
        others: what these rows are, for people.
    """

    label: str
    rows: int
    purity: float
    usual: float
    chance: float
    others: str = "all rows"

    @property
    def words(self) -> str:
        """For a message."""
        return (
            f"{self.purity:.0%} of these rows are labelled {quote(self.label)}, of {self.others} "
            f"{self.usual:.0%}"
        )


def ties(
    found: TextHits,
    sorts: Iterable[str] | None = None,
    among: Mapping[Key, Mapping[str | None, int]] | None = None,
) -> dict[Key, Tie]:
    """Hits that go with one label more than chance allows, by sort and column.

    A one-sided binomial test for each label against its share of all rows, corrected by Holm (1979)
    for all sorts, columns and labels.

    Args:
        found: what was found.
        sorts: which sorts of hits to test; all if None.
        among: rows of each label that could have some of the hits; all rows for the others.
    """
    wanted = None if sorts is None else frozenset(sorts)
    tested = {key: hits for key, hits in found.hits.items() if wanted is None or key[0] in wanted}
    chosen = {key: hits for key, hits in tested.items() if _enough(hits)}
    return tied(chosen, found.labels, among or {})


def tests(
    rule: str, found: TextHits, sorts: Iterable[str], strange: Mapping[Key, Tie]
) -> list[ClassTest]:
    """What was tested of each label; nothing where no hits are enough to be tested.

    Args:
        rule: that names hits which go with a label.
        found: what was found.
        sorts: which sorts of hits were tested.
        strange: those that go with a label.
    """
    wanted = frozenset(sorts)
    looks = sum(key[0] in wanted and _enough(hits) for key, hits in found.hits.items())
    if not looks or not _are_classes(found.labels):
        return []
    names = sorted(name for name in found.labels if name is not None)
    chances: dict[str, float] = {}
    for tie in strange.values():
        # ``Tie.chance`` is corrected for all labels: here each is a test of its own.
        chances[tie.label] = min(tie.chance / len(names), chances.get(tie.label, 1.0))
    return ClassTest.of_classes([rule], names, chances, looks)


def _are_classes(labels: Mapping[str | None, int]) -> bool:
    names = [name for name in labels if name is not None]
    return 2 <= len(names) <= MAX_CLASSES and not is_continuous(sorted(names))


def _enough(hits: Hits) -> bool:
    return hits.rows >= SUPPORT and hits.distinct >= SUPPORT


def tied(
    tested: Mapping[Key, Hits],
    labels: Mapping[str | None, int],
    among: Mapping[Key, Mapping[str | None, int]] = MappingProxyType({}),
) -> dict[Key, Tie]:
    """See ``ties``; for hits that were chosen, and rows of each label."""
    from scipy.special import betainc

    if not _are_classes(labels):
        return {}
    names = [name for name in labels if name is not None]
    tests = []
    for key, hits in tested.items():
        rows = among.get(key, labels)
        total = sum(count for name, count in rows.items() if name is not None)
        labelled = sum(count for name, count in hits.labels.items() if name is not None)
        for name in names:
            count = hits.labels[name]
            if count < SUPPORT or count < PURITY * labelled:
                continue
            share = rows.get(name, 0) / total
            # P(X >= k) of a binomial distribution (Abramowitz and Stegun 26.5.24)
            chance = float(betainc(count, labelled - count + 1, share))
            tests.append((chance, key, name, count, count / labelled, share))
    out: dict[Key, Tie] = {}
    size = max(len(tested) * len(names), 1)
    for rank, (chance, key, name, count, purity, share) in enumerate(sorted(tests)):
        corrected = min(1.0, chance * max(size - rank, 1))
        if corrected >= CHANCE:
            break
        others = "all such rows" if key in among else "all rows"
        out.setdefault(key, Tie(name, count, purity, share, corrected, others))
    return out
