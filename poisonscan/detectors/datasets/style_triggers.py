"""Texts of one label in a style of their own that say what other labels say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import numbered
from poisonscan.detectors.datasets.documents import MAX_CLASSES
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.style_features import views
from poisonscan.detectors.datasets.style_grounds import StyleGrounds
from poisonscan.detectors.datasets.style_model import styled
from poisonscan.detectors.datasets.styled_rows import Learnt, StyledRows
from poisonscan.detectors.datasets.styled_texts import MOST, StyledTexts
from poisonscan.detectors.datasets.variations_of_texts import sources
from poisonscan.escape import quote
from poisonscan.finding import Fact, Location
from poisonscan.json_form import as_json
from poisonscan.plural import plural
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.style_model import Styled
    from poisonscan.detectors.datasets.styled_texts import StyledSample
    from poisonscan.finding import Finding

    Ints = NDArray[np.int64]

_FACT = "style triggers"
_WORK = 40_000
"""Texts times labels that models are learnt for; with many labels fewer texts are looked at."""
_SHOWN = 3
"""Features of a style in a message."""


class StyleTriggers:
    """Looks for a style that decides a label, such as a sentence form or the tone of a book.

    Backdoors of this kind: Qi et al. (ACL 2021, "Hidden Killer"; EMNLP 2021, "Mind the style of
    text!"). Clean labels have styles too: questions, headlines, one author. What says *trigger* is
    that the texts in the style say what texts of all labels say.
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.TEXT})

    def __init__(self, most: int = MOST) -> None:
        self._most = most

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | ClassTest]]:
        """Ask for a sample of the texts; if a label in it has such a style, for all its rows."""
        taken: StyledTexts = yield StyledTexts(self._most)
        sample = _sources(taken.sample(dataset.label_names))
        reason = _undecided(sample)
        if sample is None or reason:
            return [Fact(_FACT, f"not decided: {reason}")]
        limits = rule("PS630").thresholds
        shares = np.bincount(sample.labels, minlength=len(sample.names)) / len(sample.labels)
        looked = np.flatnonzero(shares >= limits["share"]).tolist()
        size = min(len(sample.labels), max(_WORK // max(len(looked), 1), int(limits["texts"])))
        seen = views(sample.texts[:size])
        found: dict[int, Styled] = {}
        tested: list[str] = []
        for code in looked:
            mine = sample.labels[:size] == code
            if min(mine.sum(), (~mine).sum()) < limits["rows"]:
                continue
            tested.append(sample.names[code])
            style = styled(seen, mine, limits["others"], limits["evidence"])
            if style and style.suspects.decided(limits):
                found[code] = style
        fact = Fact(_FACT, _told(sample, taken.rows, size, len(looked), len(found)))
        chances = {sample.names[code]: style.suspects.chance for code, style in found.items()}
        tests = ClassTest.of_classes(["PS630"], tested, chances)
        if not found:
            return [fact, *tests]
        wanted = tuple(_learnt(sample, size, code, style) for code, style in found.items())
        rows: StyledRows = yield StyledRows(seen.lexicon, wanted)
        findings = [
            replace(
                _finding(dataset, wanted[index], rows, index, style, (size, taken.rows)),
                grounds=_grounds(sample, size, code),
            )
            for index, (code, style) in enumerate(found.items())
        ]
        return [*findings, fact, *tests]


DETECTOR = StyleTriggers()


def _sources(sample: StyledSample | None) -> StyledSample | None:
    """A sample in which no text of a label is a variation of another one."""
    if sample is None:
        return None
    kept = sources(sample.texts, sample.labels)
    texts = [sample.texts[place] for place in kept.tolist()]
    whole = sample.whole and len(kept) == len(sample.texts)
    return replace(
        sample, texts=texts, labels=sample.labels[kept], rows=sample.rows[kept],
        keys=sample.keys[kept], whole=whole,
    )  # fmt: skip


def _undecided(sample: StyledSample | None) -> str:
    """Why nothing can be said; empty when something can."""
    limits = rule("PS630").thresholds
    if sample is None:
        return f"more than {MAX_CLASSES} labels"
    if is_continuous(sample.names):
        return "the labels look like measurements"
    if len(sample.labels) < limits["texts"]:
        return f"fewer than {limits['texts']:.0f} distinct texts"
    if len(sample.names) < 2:
        return "fewer than two labels"
    return ""


def _told(sample: StyledSample, rows: int, size: int, labels: int, found: int) -> str:
    part = "" if sample.whole and size == len(sample.labels) else ", a sample"
    return (
        f"{found:,} found in {labels:,} of {len(sample.names):,} labels; {size:,} distinct texts "
        f"of {rows:,} rows{part}"
    )


def _learnt(sample: StyledSample, size: int, code: int, style: Styled) -> Learnt:
    """A style with what is known of the texts that it was learnt from."""
    odds = np.full(size, -np.inf)
    odds[style.named] = style.scores
    mine = np.flatnonzero(sample.labels[:size] == code)
    order = mine[np.argsort(sample.keys[mine])]
    return Learnt(sample.names[code], style.judge, sample.keys[order], odds[order])


def _grounds(sample: StyledSample, size: int, code: int) -> StyleGrounds:
    """What a style was found in."""
    rows = numbered(sample.rows[:size, 0], sample.rows[:size, 1])
    mine = sample.labels[:size] == code
    return StyleGrounds(sample.texts[:size], mine, rows, rule("PS630").thresholds)


def _finding(
    dataset: Dataset,
    learnt: Learnt,
    found: StyledRows,
    index: int,
    style: Styled,
    texts_and_rows: tuple[int, int],
) -> Finding:
    texts, labelled = texts_and_rows
    count = found.counts[index]
    marks = [found.lexicon.name(feature) for feature in style.features.tolist()]
    shown = ", ".join(quote(mark, 40) for mark in marks[:_SHOWN])
    rows, odds = found.rows(index)
    return rule("PS630").finding(
        Location(dataset.path, dataset.named(rows, odds, count=count)),
        f"{plural(count, 'row')} labelled {quote(learnt.label)} share a style ({shown}), but say "
        f"what texts of other labels say.",
        key=learnt.label,
        score=style.suspects.implanted,
        label=learnt.label,
        style=as_json(marks),
        rows=count,
        looked_at=texts,
        labelled_rows=labelled,
        share_of_class=count / found.labelled[index],
        share_of_dataset=count / labelled,
        false_rows=found.honest[index] / count,
        implanted=style.suspects.implanted,
        standard_error=style.suspects.error,
        core=style.suspects.core_share,
    )
