"""Texts of one label in a style of their own that say what other labels say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.documents import MAX_CLASSES
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.style_features import views
from poisonscan.detectors.datasets.style_model import styled
from poisonscan.detectors.datasets.styled_texts import StyledTexts
from poisonscan.detectors.datasets.variations_of_texts import sources
from poisonscan.escape import quote
from poisonscan.finding import Fact, Location
from poisonscan.json_form import as_json
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.style_features import Views
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

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | ClassTest]]:
        """Ask for a sample of the texts, then look at every label that is not rare."""
        taken: StyledTexts = yield StyledTexts()
        sample = _sources(taken.sample(dataset.label_names))
        reason = _undecided(sample)
        if sample is None or reason:
            return [Fact(_FACT, f"not decided: {reason}")]
        limits = rule("PS630").thresholds
        shares = np.bincount(sample.labels, minlength=len(sample.names)) / len(sample.labels)
        looked = np.flatnonzero(shares >= limits["share"]).tolist()
        size = min(len(sample.labels), max(_WORK // max(len(looked), 1), int(limits["texts"])))
        seen = views(sample.texts[:size])
        found: list[Finding] = []
        tested: list[str] = []
        chances: dict[str, float] = {}
        for code in looked:
            mine = sample.labels[:size] == code
            if min(mine.sum(), (~mine).sum()) < limits["rows"]:
                continue
            tested.append(sample.names[code])
            style = styled(seen, mine, limits["others"], limits["evidence"])
            if style and _decided(style, int(mine.sum()), limits):
                chances[sample.names[code]] = style.chance
                found.append(_finding(dataset, sample, taken.rows, size, code, style, seen))
        fact = Fact(_FACT, _told(sample, taken.rows, size, len(looked), len(found)))
        return [*found, fact, *ClassTest.of_classes(["PS630"], tested, chances)]


DETECTOR = StyleTriggers()


def _sources(sample: StyledSample | None) -> StyledSample | None:
    """A sample in which no text of a label is a variation of another one."""
    if sample is None:
        return None
    kept = sources(sample.texts, sample.labels)
    texts = [sample.texts[place] for place in kept.tolist()]
    whole = sample.whole and len(kept) == len(sample.texts)
    return replace(
        sample, texts=texts, labels=sample.labels[kept], rows=sample.rows[kept], whole=whole
    )


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


def _decided(style: Styled, own: int, limits: Mapping[str, float]) -> bool:
    """Whether the texts in a style are implanted.

    Both halves of the evidence, that the style is hardly other labels' and that its texts say what
    these say, are shares, and their product counts: an agency's line before its news has some of
    both.
    """
    count = len(style.suspects)
    implanted = max(style.implanted - limits["errors"] * style.error, 0.0)
    return (
        limits["suspects"] <= count <= limits["most"] * own
        and style.core >= limits["core"]
        and style.core * implanted >= limits["evidence"]
    )


def _told(sample: StyledSample, rows: int, size: int, labels: int, found: int) -> str:
    part = "" if sample.whole and size == len(sample.labels) else ", a sample"
    return (
        f"{found:,} found in {labels:,} of {len(sample.names):,} labels; {size:,} distinct texts "
        f"of {rows:,} rows{part}"
    )


def _finding(
    dataset: Dataset,
    sample: StyledSample,
    rows: int,
    size: int,
    code: int,
    style: Styled,
    seen: Views,
) -> Finding:
    label, count = sample.names[code], len(style.named)
    marks = [seen.name(feature) for feature in style.features.tolist()]
    shown = ", ".join(quote(mark, 40) for mark in marks[:_SHOWN])
    partial = not sample.whole or size < len(sample.labels)
    where = f"{size:,} sampled texts" if partial else f"{size:,} distinct texts"
    named = dataset.named(sample.rows[style.named], style.scores, count=count, partial=partial)
    return rule("PS630").finding(
        Location(dataset.path, named),
        f"{count:,} of {where} share a style ({shown}) and the label {quote(label)}, but "
        f"say what texts of other labels say.",
        key=label,
        score=style.implanted,
        label=label,
        style=as_json(marks),
        rows=count,
        looked_at=size,
        labelled_rows=rows,
        share_of_class=count / int((sample.labels[:size] == code).sum()),
        share_of_dataset=count / size,
        implanted=style.implanted,
        standard_error=style.error,
        core=style.core,
    )
