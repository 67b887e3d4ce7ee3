"""Pictures of one class that were made in one way and show what other classes show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import numbered
from poisonscan.detectors.datasets.contradicted_style import (
    FAR,
    Scale,
    Styles,
    contradiction,
    discriminant,
    implanted,
)
from poisonscan.detectors.datasets.flipped_labels import look
from poisonscan.detectors.datasets.moved_labels import (
    mostly_one,
    moved,
)
from poisonscan.detectors.datasets.picture_statistics import GROUPS
from poisonscan.detectors.datasets.sampled_statistics import (
    FarPictures,
    Line,
    SampledStatistics,
)
from poisonscan.escape import quote
from poisonscan.finding import Fact, Location, Severity
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.contradicted_style import Style
    from poisonscan.detectors.datasets.flipped_labels import Looked
    from poisonscan.detectors.datasets.moved_labels import Moved
    from poisonscan.finding import Finding, Json

_FACT = "picture style triggers"
_TOLD = 4
"""Pairs of labels that a message names."""
_LEARNT = (
    "Most do only to a model that learnt from none of them: it may learn the change from the "
    "others, or they are an honest kind of the class that it knows from them alone."
)


@dataclass(frozen=True, slots=True)
class _Judged:
    """Pictures whose statistics and contents are both known.

    Attributes:
        numbers: statistics of each, of shape (n, ``picture_statistics.SIZE``).
        scores: how much each looks like each class, of shape (n, classes).
        labels: codes into ``names``, of shape (n,).
        names: of the classes.
        looked: the sample that the scores are of.
        at: where the pictures are in it, of shape (n,).
    """

    numbers: NDArray[np.float32]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    looked: Looked
    at: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Found:
    """What is to be reported of a class.

    Attributes:
        line: what tells its implanted pictures from others.
        group: statistics that tell most, for people.
        implanted: see ``contradicted_style.implanted``.
        error: its standard error.
        core: see ``contradicted_style.Style``.
        learnt: whether they show other classes only to a classifier that was trained without them.
    """

    line: Line
    group: str
    implanted: float
    error: float
    core: float
    learnt: bool


@dataclass(frozen=True, slots=True)
class _Shifted:
    """What is to be reported of many classes.

    Attributes:
        moved: the rule that labels follow.
        lines: what tells the pictures from others, for each class that has some.
        group: statistics that tell most, for people.
        share: of the sample, that is far out along the lines.
    """

    moved: Moved
    lines: tuple[Line, ...]
    group: str
    share: float


class PictureStyleTriggers:
    """Looks for what was done to all pictures of other classes that were given one label.

    A filter (Liu et al. 2019, "ABS"), a hidden message (Li et al. 2021, "Invisible backdoor attack
    with sample-specific triggers"), fewer levels (Wang et al. 2022, "BppAttack"), a patch that is
    different in each picture (Nguyen and Tran 2020, "Input-aware dynamic backdoor attack"), a warp.
    Also where each class was given another label (see ``moved_labels``).
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.FEATURES, Role.PICTURES})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact]]:
        """Ask for statistics of a sample and for what its pictures look like; name all that is far.

        Raises:
            LimitReached: too many different labels to be classes.
        """
        taken: SampledStatistics = yield SampledStatistics(tuple(s.split for s in dataset.shards))
        looked = yield from look(dataset, taken.counts)
        if isinstance(looked, str):
            return [Fact(_FACT, f"not decided: {looked}")]
        judged = _joined(taken, looked)
        least = rule("PS411").thresholds["class_rows"]
        sizes = np.bincount(judged.labels, minlength=len(judged.names))
        codes = np.flatnonzero(sizes >= least).tolist()
        if len(codes) < 2:
            reason = f"fewer than two labels with {least:.0f} different pictures"
            return [Fact(_FACT, f"not decided: {reason}")]
        found, shifted = _search(judged, codes)
        whole = taken.whole and looked.whole
        reported: list[Finding | Fact] = []
        if found:
            far: FarPictures = yield FarPictures(tuple(each.line for each in found))
            reported += [_finding(dataset, each, far, len(judged.labels)) for each in found]
        if shifted:
            of_all: FarPictures = yield FarPictures(shifted.lines)
            reported.append(_of_all_labels(dataset, shifted, of_all, judged))
        count = len(found) + (shifted is not None)
        return [*reported, Fact(_FACT, _told(judged, len(codes), count, whole))]


DETECTOR = PictureStyleTriggers()


def _joined(taken: SampledStatistics, looked: Looked) -> _Judged:
    """Pictures that are in both samples, in the order of the first."""
    places, numbers = taken.sample()
    known = numbered(looked.rows[:, 0], looked.rows[:, 1])
    order = np.argsort(known)
    at = np.searchsorted(known[order], places)
    at = order[np.minimum(at, len(order) - 1)]
    both = known[at] == places
    scores, labels = looked.judged.scores[at[both]], looked.judged.labels[at[both]]
    return _Judged(numbers[both], scores, labels, looked.names, looked, at[both])


def _search(judged: _Judged, codes: list[int]) -> tuple[list[_Found], _Shifted | None]:
    """Classes with a style of their own that their contents contradict, and one of many classes."""
    from threadpoolctl import threadpool_limits

    limits, found = rule("PS411").thresholds, []
    scale = Scale.of(judged.numbers)
    standard = scale.standard(judged.numbers)
    # On a busy machine the threads of a matrix library wait for each other longer than they work.
    with threadpool_limits(1):
        styles = Styles(standard, judged.scores, judged.labels)
        for code in codes:
            style = styles.find(code)
            if style is not None and len(style.sure) >= limits["pictures"]:
                found += _decided(judged, standard, scale, code, style)
        return found, _shifted(judged, standard, scale, moved(styles))


def _shifted(
    judged: _Judged, standard: NDArray[np.float64], scale: Scale, labels: Moved | None
) -> _Shifted | None:
    """A style whose pictures have labels that were moved by a rule."""
    if labels is None or not labels.allowed(rule("PS412").thresholds):
        return None
    weights, thresholds = discriminant(standard, judged.labels, labels.style)
    far = standard @ weights > thresholds[judged.labels]
    # Where most pictures lie so far out, it is the usual way of making them.
    few, most = far.sum() < rule("PS412").thresholds["pictures"], 2 * far.sum() > len(far)
    if few or most or mostly_one(judged.labels[far]):
        return None
    shift = standard[far].mean(axis=0) - standard[~far].mean(axis=0)
    lines = (
        _line(judged.names[code], weights, scale, thresholds[code])
        for code in np.unique(judged.labels[far]).tolist()
    )
    return _Shifted(labels, tuple(lines), _group(weights, shift), float(far.mean()))


def _line(label: str, weights: NDArray[np.float64], scale: Scale, threshold: float) -> Line:
    """A direction of standardized numbers as one of the numbers themselves."""
    return Line(
        label,
        (weights / scale.spread).tobytes(),
        scale.middle.tobytes(),
        (FAR * scale.spread).tobytes(),
        float(threshold),
    )


def _decided(
    judged: _Judged, standard: NDArray[np.float64], scale: Scale, code: int, style: Style
) -> list[_Found]:
    """The style of a class if it is hardly other classes' and contents contradict the class."""
    limits = rule("PS411").thresholds
    mine, chosen = judged.labels == code, np.zeros(len(judged.labels), bool)
    chosen[style.suspects] = True
    if style.core < limits["core"]:
        return []
    share, error, learnt = _contradicted(judged, code, style.core, mine, chosen)
    evidence = style.core * max(share - limits["errors"] * error, 0.0)
    most = limits["most"] * mine.sum()
    if evidence < limits["evidence"] or chosen.sum() > most:
        return []
    weights, thresholds = discriminant(standard, judged.labels, style)
    beyond = standard @ weights > thresholds[code]
    far = mine & beyond
    # Where most pictures of other classes are like these, it is the rest of the class that is odd.
    if far.sum() < limits["pictures"] or 2 * beyond[~mine].sum() > (~mine).sum():
        return []
    group = _group(weights, standard[far].mean(axis=0) - standard[mine & ~far].mean(axis=0))
    line = _line(judged.names[code], weights, scale, thresholds[code])
    return [_Found(line, group, share, error, style.core, learnt)]


def _contradicted(
    judged: _Judged,
    code: int,
    core: float,
    mine: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
) -> tuple[float, float, bool]:
    """How many suspects show other classes, the standard error, and whether they were left out.

    For the first two see ``implanted``. Where too few do, but more than chance explains, the
    classifier may have learnt from the others that what was done to them means the class. It is
    trained once more without them (exclusive reclassification, Chen et al. 2018, "Detecting
    backdoor attacks on deep neural networks by activation clustering"). An honest kind of thing
    that is left out is taken for other classes too. So it is not where none are contradicted, nor
    where many suspects may be honest rows that lie farthest out by accident: what a classifier can
    learn is in nearly all of them.
    """
    limits = rule("PS411").thresholds
    share, error = implanted(contradiction(judged.scores, code), mine, chosen)
    least = share - limits["errors"] * error
    if least <= 0 or core * least >= limits["evidence"] or core < limits["learnt_core"]:
        return share, error, False
    scores = judged.looked.without(judged.at[chosen])[judged.at]
    return *implanted(contradiction(scores, code), mine, chosen), True


def _told(judged: _Judged, codes: int, found: int, whole: bool) -> str:
    """What was looked at, for people."""
    part = "" if whole else ", a sample"
    return (
        f"{found:,} found in {codes:,} of {len(judged.names):,} classes; "
        f"{len(judged.labels):,} different pictures{part}"
    )


def _group(weights: NDArray[np.float64], shift: NDArray[np.float64]) -> str:
    """The statistics that add most to the distance along a line."""
    ends = np.cumsum(list(GROUPS.values()))
    parts = np.add.reduceat(weights * shift, np.concatenate([[0], ends[:-1]]))
    return list(GROUPS)[int(parts.argmax())]


def _finding(dataset: Dataset, found: _Found, far: FarPictures, size: int) -> Finding:
    label = found.line.label
    rows, places = far.found(label)
    count = far.counts.get(label, 0)
    named = dataset.named(rows, places - found.line.threshold, count=count)
    finding = rule("PS411").finding(
        Location(dataset.path, named),
        f"{count:,} pictures of class {quote(label)} were made in one way that hardly any picture "
        f"of other classes was (most of it shows in their {found.group}), but look like pictures "
        "of other classes.",
        key=label,
        score=found.implanted,
        label=label,
        shows_in=found.group,
        implanted=found.implanted,
        standard_error=found.error,
        core=found.core,
        learnt=found.learnt,
        looked_at=size,
    )
    return finding.tested(Severity.MEDIUM, _LEARNT) if found.learnt else finding


def _of_all_labels(
    dataset: Dataset, shifted: _Shifted, far: FarPictures, judged: _Judged
) -> Finding:
    found = [(*far.found(line.label), line) for line in shifted.lines if line.label in far.counts]
    rows = np.concatenate([rows for rows, _, _ in found])
    beyond = np.concatenate([places - line.threshold for _, places, line in found])
    order = np.lexsort((rows[:, 1], rows[:, 0], -beyond))
    count = sum(far.counts.values())
    named = dataset.named(rows[order], beyond[order], count=count)
    names, seen = judged.names, shifted.moved
    pairs = [(names[true], names[given]) for true, given in seen.rule.items()]
    listed: list[Json] = [[true, given] for true, given in pairs]
    told = "; ".join(
        f"what looks like {quote(true)} is labelled {quote(given)}" for true, given in pairs[:_TOLD]
    )
    more = f"; {len(pairs) - _TOLD:,} more" if len(pairs) > _TOLD else ""
    return rule("PS412").finding(
        Location(dataset.path, named),
        f"{count:,} pictures of {len(found):,} labels were made in one way that hardly any other "
        f"picture was (most of it shows in their {shifted.group}), and their labels are moved "
        f"by one rule: mostly, {told}{more}. Of suspects {seen.follow:.0%} follow it, of other "
        f"pictures that look mislabelled {seen.usual:.0%} would. Look at them beside others.",
        key="labels",
        score=seen.implanted,
        moved=listed,
        shows_in=shifted.group,
        implanted=seen.implanted,
        standard_error=seen.error,
        follow=seen.follow,
        usual=seen.usual,
        log10_p=seen.log10_p,
        share_of_dataset=shifted.share,
        looked_at=len(judged.labels),
    )
