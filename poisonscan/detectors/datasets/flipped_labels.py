"""Labels that contradict their rows more often than honest overlap of classes explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.pictures import Pictures
from poisonscan.datasets.words import Words
from poisonscan.detectors.datasets.label_counts import LabelCounts, is_continuous
from poisonscan.detectors.datasets.label_flips import Judged, crowded
from poisonscan.detectors.datasets.label_model import FOLDS, NO_FOLD, expanded, scores, shapes
from poisonscan.detectors.datasets.labelled_sample import LabelledRows, LabelledSample
from poisonscan.detectors.datasets.plots import confusion
from poisonscan.detectors.datasets.sampled_texts import learnt, sample_of, sampled_texts
from poisonscan.escape import quote
from poisonscan.finding import Fact, Location, Severity
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.documents import Documents, Sample
    from poisonscan.detectors.datasets.label_flips import Crowded, Flips
    from poisonscan.finding import Finding, Json

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

_FACT = "flipped labels"
ESTIMATE = "labels that look wrong"
"""Fact that every report shows: more labels look wrong than ``rate``, but too few for a finding."""
_UNKNOWN = (
    "They are more rows than have the second label and look like it: the model does not know "
    "that class, and it may be one that people, too, tell apart by little."
)
_OVERLAP = (
    "The model contradicts rows of other labels about as often, or as many rows the other way: the "
    "two labels may overlap, or be noisy."
)
_NAMED = 100
"""Rows that one finding names."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A sample of different rows with held-out scores.

    Attributes:
        judged: scores and labels.
        names: of the labels.
        rows: shard and position of each, ``int64`` of shape (rows, 2).
        seen: rows that it was drawn from.
        whole: no different row was left out.
        taken: what the rows are in; None for texts.
    """

    judged: Judged
    names: tuple[str, ...]
    rows: Ints
    seen: int
    whole: bool
    taken: LabelledSample | None = None

    def without(self, rows: Ints) -> Floats:
        """Scores by classifiers that learn from none of some rows either.

        Args:
            rows: indices into ``rows``.

        Returns:
            Of shape (rows, classes), as those of ``judged``; these themselves for texts.
        """
        if self.taken is None:
            return self.judged.scores
        left_out = np.zeros(len(self.rows), bool)
        left_out[rows] = True
        return _scores(self.taken, left_out)


class FlippedLabels:
    """Asks a light classifier, for every row without that row, and believes it where it is sure."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.FEATURES})

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | ClassTest]]:
        """Ask for label counts and for a sample of rows, then report labels that it contradicts.

        Raises:
            LimitReached: too many different labels to be classes.
        """
        looked = yield from look(dataset)
        if isinstance(looked, str):
            return [Fact(_FACT, f"not decided: {looked}")]
        return _judge(dataset, looked)


DETECTOR = FlippedLabels()


def look(
    dataset: Dataset, counts: LabelCounts | None = None
) -> Generator[Aggregate, Any, Looked | str]:
    """Ask for label counts and for a sample of rows, and have each judged without itself.

    Args:
        dataset: labelled rows.
        counts: of labels, where they are known; else they are asked for.

    Returns:
        The judged rows; where there are none, why, for people.

    Raises:
        LimitReached: too many different labels to be classes.
    """
    limits = rule("PS308").thresholds
    documents: Documents | None = None
    taken: LabelledSample | None
    if isinstance(dataset.vectors, Words):  # first: in the same pass as others that ask for it
        documents = yield from sampled_texts()
    if counts is None:
        counts = yield LabelCounts(tuple(shard.split for shard in dataset.shards))
    table = counts.table(dataset.label_names)
    sizes = dict(zip(table.names, table.counts.sum(axis=0).tolist(), strict=True))
    names = tuple(name for name in table.names if sizes[name] >= limits["class_rows"])
    reason = _unsuited(table.names, names)
    if reason:
        return reason
    if documents is not None:
        sample = sample_of(documents, dataset.label_names)
        if sample is None:
            return "too many labels"
        rows, labels, names, guess = _of_texts(documents, sample, names)
        seen, whole = documents.rows, sample.whole
        taken = None
    else:
        taken = yield LabelledSample(names, isinstance(dataset.vectors, Pictures))
        rows, labels, guess = _of_vectors(taken)
        seen, whole = taken.seen, taken.whole
    if len(labels) < limits["rows"] or len(np.unique(labels)) < 2:
        return f"fewer than {limits['rows']:.0f} different rows"
    return Looked(Judged(guess, labels, limits), names, rows, seen, whole, taken)


def _unsuited(every: tuple[str, ...], names: tuple[str, ...]) -> str:
    """Why the labels cannot be judged; empty when they can."""
    limits = rule("PS308").thresholds
    if is_continuous(every):
        return "the labels look like measurements"
    if len(every) > limits["classes"]:
        return f"more than {limits['classes']:.0f} labels"
    if len(names) < 2:
        return f"fewer than two labels with {limits['class_rows']:.0f} rows"
    return ""


def _of_texts(
    documents: Documents, sample: Sample, names: tuple[str, ...]
) -> tuple[Ints, Ints, tuple[str, ...], Floats]:
    """Rows, labels, their names and held-out scores of texts."""
    if not sample.size:
        return sample.rows, sample.labels, names, np.zeros((0, 1))
    model = learnt(documents, sample)
    wanted = np.array([code for code, name in enumerate(sample.names) if name in names], np.int64)
    renamed = np.full(len(sample.names), -1, np.int64)
    renamed[wanted] = np.arange(len(wanted))
    kept = np.flatnonzero(renamed[sample.labels] >= 0)
    labels = renamed[sample.labels[kept]]
    chosen = tuple(sample.names[code] for code in wanted.tolist())
    # Naive Bayes adds up what words say as if each said it alone: a long text would be the surest.
    held = np.sqrt(np.maximum(np.diff(model.features.matrix.indptr)[kept], 1))
    guess = model.scores(kept.astype(np.int64))[:, wanted] / held[:, None]
    return sample.rows[kept], labels, chosen, guess


def _of_vectors(taken: LabelledSample) -> tuple[Ints, Ints, Floats]:
    """Rows, labels and held-out scores of vectors and pictures; these are made once."""
    sample = taken.sample()
    if not len(sample.vectors):
        return sample.rows, sample.labels, np.zeros((0, len(sample.names)))
    if "scores" not in taken.memo:
        taken.memo["scores"] = _scores(taken, np.zeros(len(sample.labels), bool))
    return sample.rows, sample.labels, taken.memo["scores"]


def _scores(taken: LabelledSample, left_out: NDArray[np.bool_]) -> Floats:
    """Of each row, by a classifier that saw neither it nor those that are left out."""
    sample = taken.sample()
    folds = np.where(left_out, NO_FOLD, (sample.contents % np.uint64(FOLDS)).astype(np.int64))
    return scores(expanded(_seen(sample, taken)), sample.labels, folds, len(sample.names))


def _seen(sample: LabelledRows, taken: LabelledSample) -> NDArray[np.float32]:
    """What the classifier sees of the rows."""
    if taken.pictures:
        return shapes(sample.vectors.reshape(-1, 32, 32))
    return sample.vectors.astype(np.float32, copy=False)


def _judge(dataset: Dataset, sample: Looked) -> list[Finding | Fact | ClassTest]:
    """Findings, tests, and what the classifier is worth."""
    judged, names, rows = sample.judged, sample.names, sample.rows
    limits = judged.limits
    right, skill = judged.skill()
    looked = f"{len(judged.labels):,} different rows of {sample.seen:,}"
    if not sample.whole:
        looked += ", a sample; the others were not judged"
    worth = f"held-out accuracy {right:.0%} on {looked}"
    # Of several classes, a model can be far better than chance and wrong about as often as right:
    # its contradictions are rather its own mistakes.
    if skill < limits["skill"] or right <= limits["right"]:
        return [Fact(_FACT, f"not decided: the model is too weak to judge labels ({worth})")]
    report = _Report(dataset, sample, worth)
    report.partial = len(rows) < sample.seen
    report.plot = confusion(judged.labels, judged.predicted, names)
    pairs = judged.targeted()
    every = judged.fit(np.arange(len(judged.labels)))
    findings = [report.targeted(flips) for flips in pairs]
    files = np.unique([shard.path for shard in dataset.shards], return_inverse=True)
    places: list[str] = files[0].tolist()
    parts = files[1].reshape(-1)[rows[:, 0]]
    # Any of these may turn out to be an accident once all tests are in: none keeps another back.
    odd = crowded(judged, parts)
    findings += [report.in_file(part, places[part.part]) for part in odd]
    scattered = judged.anywhere(pairs, np.isin(parts, [part.part for part in odd]))
    if scattered is not None:
        findings.append(report.scattered(scattered))
    tests = _tests(names, pairs, scattered, odd, len(places))
    share = f"; about {every.rate:.1%} of labels look wrong" if every is not None else ""
    interval = f" ({every.low:.1%} to {every.high:.1%})" if every is not None else ""
    facts = [Fact(_FACT, worth + share + interval)]
    if every is not None and every.low > limits["rate"] and not findings:
        own = "no finding: the model's own errors, or classes that overlap, could explain it"
        facts.append(Fact(ESTIMATE, f"about {every.rate:.1%}{interval}; {worth}; {own}"))
    return [*findings, *facts, *tests]


def _tests(
    names: tuple[str, ...],
    pairs: list[Flips],
    scattered: Flips | None,
    odd: list[Crowded],
    files: int,
) -> list[ClassTest]:
    """What was tested of each label, of all labels together, and of the files."""
    chances: dict[str, float] = {}
    others = len(names) - 1
    for flips in pairs:
        given = names[flips.given or 0]
        chances[given] = min(others * flips.chance, chances.get(given, 1.0))
    tests = ClassTest.of_classes(["PS309"], names, chances, others)
    tests.append(ClassTest(("PS308",), None, 1.0 if scattered is None else scattered.chance))
    if files > 1:
        least = min((part.chance for part in odd), default=1.0)
        tests.append(ClassTest(("PS309",), None, least, files))
    return tests


class _Report:
    """Writes findings about one dataset."""

    def __init__(self, dataset: Dataset, sample: Looked, worth: str) -> None:
        self.dataset = dataset
        self.judged = sample.judged
        self.names = sample.names
        self.rows = sample.rows
        self.partial = False
        self.plot: Json = None
        self.worth = worth

    def scattered(self, flips: Flips) -> Finding:
        """Labels of any class that were flipped."""
        fit = flips.floor
        message = (
            f"about {fit.rate:.1%} of the labels seem to be wrong (99 % interval {fit.low:.1%} to "
            f"{fit.high:.1%}), beyond what the model's own errors explain; {len(flips.rows):,} "
            f"rows are more likely flipped than misjudged ({self.worth})."
        )
        return self._finding(
            "PS308", "", message, flips.rows, flips.scores.tolist(), **_fit(flips, self.judged)
        )

    def targeted(self, flips: Flips) -> Finding:
        """Labels of one class that were given to another."""
        true, given = self.names[flips.true or 0], self.names[flips.given or 0]
        fit = flips.floor
        message = (
            f"about {fit.rate:.1%} (99 % interval {fit.low:.1%} to {fit.high:.1%}) of what looks "
            f"like {quote(true)} is labelled {quote(given)}, far more than other labels are mixed "
            f"up; {len(flips.rows):,} rows are more likely flipped than misjudged ({self.worth})."
        )
        key = f"{true}\0{given}"
        found = self._finding(
            "PS309", key, message, flips.rows, flips.scores.tolist(),
            looks_like=true, label=given, **_fit(flips, self.judged),
        )  # fmt: skip
        if flips.unknown:
            return found.tested(Severity.LOW, _UNKNOWN)
        return found.tested(Severity.LOW, _OVERLAP) if flips.overlap else found

    def in_file(self, part: Crowded, path: str) -> Finding:
        """Labels that were flipped in one file."""
        message = (
            f"in {quote(path)} {part.wrong:,} of {part.sure:,} labels "
            f"({part.wrong / part.sure:.1%}) contradict rows that the model is sure "
            f"of, in the other files {part.elsewhere:.1%} ({self.worth})."
        )
        return self._finding(
            "PS309", f"file\0{path}", message, part.rows, None,
            file=path, contradicted=part.wrong, confident=part.sure, elsewhere=part.elsewhere,
        )  # fmt: skip

    def _finding(
        self,
        identifier: str,
        key: str,
        message: str,
        which: Ints,
        chances: list[float] | None,
        **evidence: Json,
    ) -> Finding:
        rows = self.dataset.named(self.rows[which], chances, shown=_NAMED, partial=self.partial)
        where = Location(self.dataset.path, rows)
        return rule(identifier).finding(
            where, message, key=key, score=None, **evidence, plot=self.plot
        )


def _fit(flips: Flips, judged: Judged) -> dict[str, Json]:
    fit = flips.floor
    wrong = fit.rate * flips.looked
    given = len(judged.labels) if flips.given is None else int((judged.labels == flips.given).sum())
    return {
        "share_of_class": min(wrong / max(given, 1), 1.0),
        "share_of_dataset": wrong / len(judged.labels),
        "false_rows": float(1 - flips.scores.mean()) if len(flips.scores) else 1.0,
        "rate": fit.rate,
        "interval": [fit.low, fit.high],
        "own_errors": fit.honest,
        "rows_examined": flips.looked,
    }
