"""Rows of a split for evaluation that the training split holds as well."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poisonscan.escape import quote
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from poisonscan.finding import Finding, Location

    Ints = NDArray[np.int64]

PAIRED: Final = 100
"""Rows that a finding names, two of each content."""
_BY_NATURE: Final = 2
"""So many times what splits drawn at random have in common is no leak: few are drawn so."""
_WORDS: Final = re.compile(r"[a-z]+")
_TRAINING: Final = frozenset({"train", "training"})
_EVALUATION: Final = frozenset(
    {"test", "testing", "eval", "evaluation", "validation", "valid", "val", "dev"}
)


@dataclass(frozen=True, slots=True)
class Leak:
    """Contents of a split for evaluation that a training split holds as well.

    Attributes:
        split: the one for evaluation.
        source: the training split.
        groups: the contents, ascending.
        rows: positions of the rows of ``split`` that have one, ``int64``.
        sources: positions of the rows of ``source`` that have one, ``int64``.
        pairs: of each content a row of ``source`` and one of ``split``, one after the other.
        size: rows of ``split``.
        contents: different contents of ``split``.
        expected: how many would be in both had the splits been drawn at random.
    """

    split: str
    source: str
    groups: Ints
    rows: Ints
    sources: Ints
    pairs: Ints
    size: int
    contents: int
    expected: float

    def matters(self, which: str) -> bool:
        """Whether these are more than a handful, and many more than repeat by nature."""
        limits = rule(which).thresholds
        least = max(limits["rows"], limits["share"] * self.contents)
        return len(self.groups) - _BY_NATURE * self.expected > least

    def finding(self, which: str, at: Location, how: str) -> Finding:
        """The finding.

        Args:
            which: identifier of the rule.
            at: the rows.
            how: in what way the rows are in the training split, such as ``as well``.
        """
        rows, share = len(self.rows), len(self.rows) / self.size
        return rule(which).finding(
            at,
            f"{rows:,} of {self.size:,} rows of {quote(self.split)} ({share:.1%}) are in "
            f"{quote(self.source)} {how}, {plural(len(self.groups), 'content')} in all; that "
            f"rows repeat by nature explains {self.expected:,.0f}. They are named in pairs: "
            f"a row of {quote(self.source)}, then the one of {quote(self.split)}.",
            key=f"{self.split}\0{self.source}",
            score=share,
            split=self.split,
            in_split=self.source,
            contents=len(self.groups),
            rows=rows,
            share=share,
            expected=round(self.expected, 1),
        )


def leaks(
    splits: Sequence[str],
    split_of: Ints,
    groups: Ints,
    sizes: Ints,
    versions: Ints | None = None,
) -> Iterator[Leak]:
    """What training splits and splits for evaluation have in common, however little.

    Args:
        splits: their names.
        split_of: number of the split of each copied row, of shape (n,).
        groups: content of each copied row, from 0, of shape (n,).
        sizes: rows of each split, copied or not.
        versions: rows of a content that have the same number are equal, and no matter here across
            splits, of shape (n,); None: rows of a content count, however equal.
    """
    keys = np.arange(len(groups))
    if versions is not None and len(groups):
        keys = groups * (int(versions.max()) + 1) + versions
    for source, split in _compared(splits):
        there, mine = (np.flatnonzero(split_of == number) for number in (source, split))
        known, first = np.unique(keys[there], return_index=True)
        own = np.unique(keys[mine], return_index=True)[1]
        asked = mine[~np.isin(keys[mine], known)]
        shared = np.intersect1d(groups[there], groups[asked])
        repeats, alike = (np.bincount(groups[part]) for part in (there[first], mine[own]))
        rows, sources = (part[np.isin(groups[part], shared)] for part in (asked, there))
        pairs = [part[np.unique(groups[part], return_index=True)[1]] for part in (sources, rows)]
        size, origin = int(sizes[split]), int(sizes[source])
        yield Leak(
            split=splits[split],
            source=splits[source],
            groups=shared,
            rows=rows,
            sources=sources,
            pairs=np.stack(pairs, axis=1).reshape(-1),
            size=size,
            contents=size - len(mine) + len(np.unique(groups[mine])),
            expected=_by_nature(repeats, alike, size / origin) if origin and size else 0.0,
        )


def _compared(splits: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Numbers of a training split and one for evaluation, as far as their names tell."""
    words = [frozenset(_WORDS.findall(split.lower())) for split in splits]
    evaluation = [number for number, known in enumerate(words) if known & _EVALUATION]
    training = [number for number, known in enumerate(words) if known & _TRAINING]
    for source in training:
        yield from ((source, split) for split in evaluation if split not in training)


def _by_nature(repeats: Ints, own: Ints, part: float) -> float:
    """Contents that two splits have in common had they been drawn at random.

    Rows that repeat by nature do so in both splits. Those that somebody wrote several times into
    the training split, as is done with rare classes, say nothing of the other split.

    Args:
        repeats: rows of each content in the training split.
        own: the same in the split for evaluation.
        part: rows of the latter by rows of the former.
    """
    several = int((own > 1).sum())
    # Two standard errors of a count above it. One that comes twice comes once more in as many rows.
    most = 2 * (several + 2 * np.sqrt(several) + 4) * max(1 / part, 1.0)
    return min(_in_common(repeats, part), float(most))


def _in_common(repeats: Ints, part: float) -> float:
    """Contents that a random sample has in common with another one that it is a part as large as.

    By I. J. Good and G. H. Toulmin (1956): those of the sample, less those that are new in it. A
    sample that is larger than the other one counts as several as large.

    Args:
        repeats: rows of each content in the other sample.
        part: rows of the sample by rows of the other one.
    """
    times, share = max(part, 1.0), min(part, 1.0)
    often = np.bincount(repeats)[2:].astype(np.float64)
    count = np.arange(2, 2 + len(often))
    return times * float(often @ (1 - (1 - share) ** count + (-share) ** count))
