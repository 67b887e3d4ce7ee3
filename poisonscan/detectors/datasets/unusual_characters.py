"""Characters that are not what readers see: hidden, disguised, or acting on terminals."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets import hidden_marks, script_marks
from poisonscan.detectors.datasets.few_findings import few
from poisonscan.detectors.datasets.hit_findings import finding, having
from poisonscan.detectors.datasets.label_ties import PURITY, SUPPORT, Tie, tests, ties
from poisonscan.detectors.datasets.text_hits import TextHits
from poisonscan.detectors.datasets.writings import parted, parts, writings
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Severity
from poisonscan.plural import plural
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.text_scan import Screen
    from poisonscan.detectors.datasets.text_hits import Hits, Sighting
    from poisonscan.finding import Finding, Json

MESSAGES = ("tag characters", "variation selectors", "zero-width code", "reordered text")
"""What hides a message or shows another one than is there."""
INVISIBLE = ("zero-width run", "forbidden format characters", "split words")
CONTROLS = ("terminal sequences", "text behind a NUL")
_MIXED = "mixed scripts"
_TYPED = (*INVISIBLE, _MIXED)
"""What a keyboard, a copied page or a play with letters leaves behind now and then."""
_FEW = "So few of so many texts have it that it is rather an accident of typing or copying."
_MISREAD = frozenset({*range(0x82, 0x85), *range(0x91, 0x98), 0x8B, 0x9B})
"""Quotation marks, dashes and dots of Windows-1252, where its bytes were read as Latin-1."""
_KINDS = 3
"""Different ones from which on they are punctuation."""
_SOURCE = (
    "Texts of Windows-1252 that were read as Latin-1 have such characters: they are of one source."
)
_STRANGE = (*MESSAGES, *INVISIBLE, *CONTROLS, _MIXED, "words of look-alikes")
_OTHER_CONTROLS = "other control characters"
_USUAL = (*hidden_marks.SORTS, _OTHER_CONTROLS)
_SORTS = frozenset((*_STRANGE, *_USUAL))
# Colours (SGR, ending in m) do no harm; cursor movements, erasing, titles, clipboards may.
_TERMINAL = "\\x1b(?:\\[[0-9;?<=>!]*[A-Za-ln-z@`]|[\\]PX^_]|[c78DEHMNOZ=>])"
_NUL = "\\x00[^\\x00]"
_MAX_NAMED = 3
_NAME = re.compile(r"U\+[0-9A-F]{4,6} [A-Z0-9 -]*[A-Z0-9]|U\+[0-9A-F]{4,6}")
_CHARACTERS = 20
"""Characters that evidence names."""


def look(screen: Screen) -> Iterator[Sighting]:
    """Everything unusual about the characters of some strings."""
    places = hidden_marks.candidates(screen)
    odd = np.unique(screen.strings_of(places))
    for index, text in screen.texts(screen.whole(screen.among(odd, hidden_marks.PATTERN))):
        for sort, detail in hidden_marks.look(text):
            yield sort, index, detail
    yield from script_marks.scripts(screen)
    known = writings(screen)
    for writing, strings in known.items():
        yield writing, strings, ""
    for sort, strings, held in hidden_marks.unusual(screen, places):
        for part, its in parted(sort, strings, known):
            yield part, its, held
    seen = np.empty(0, np.int64)
    for sort, pattern in zip(CONTROLS, (_TERMINAL, _NUL), strict=True):
        found = screen.among(screen.controls, pattern)
        seen = np.union1d(seen, found)
        for index, text in screen.texts(screen.whole(found)):
            near = re.search(pattern, text)
            at = near.start() if near else 0
            yield sort, index, f"near {quote(text[max(0, at - 20) : at + 40])}"
    yield _OTHER_CONTROLS, np.setdiff1d(screen.controls, seen), ""


class UnusualCharacters:
    """Looks for invisible, disguised and control characters, alone and together with a label."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap | ClassTest]]:
        """Ask for hits; report those that honest text does not have, or that go with a label."""
        found: TextHits = yield TextHits(look)
        strange = ties(found, _STRANGE)
        findings: list[Finding | Fact | Gap] = [
            *found.gaps(dataset.path),
            *_triggers(dataset, found, strange),
            *_strange(dataset, found, strange),
            *_merely_unusual(dataset, found),
        ]
        asked = tests("PS611", found, _STRANGE, strange)
        counts = Counter[str]()
        for (sort, column), hits in found.hits.items():
            name, _ = parts(sort)
            if name in _SORTS:
                counts[f"{name} in {column}"] += hits.rows
        if not counts:
            return few(findings)
        fact = Fact("unusual characters", dict(sorted(counts.items())))
        return [*few(findings), fact, *asked]


DETECTOR = UnusualCharacters()


def _shown(hits: Hits) -> str:
    details = [detail for detail in hits.details if detail]
    more = f" and {plural(len(details) - _MAX_NAMED, 'other')}" if len(details) > _MAX_NAMED else ""
    return f" ({'; '.join(details[:_MAX_NAMED])}{more})" if details else ""


def _triggers(dataset: Dataset, found: TextHits, strange: dict[Any, Tie]) -> Iterator[Finding]:
    for (sort, column), tie in sorted(strange.items()):
        hits = found.hits[sort, column]
        if column in dataset.roles.get("label", ()):
            continue
        message = f"{having(hits.rows, column)} {sort}{_shown(hits)}"
        shares: dict[str, Json] = {
            "share_of_class": tie.rows / found.labels[tie.label],
            "share_of_dataset": tie.rows / found.labels.total(),
        }
        yield _finding("PS611", dataset, hits, column, message, sort, tie, **shares)


def _strange(dataset: Dataset, found: TextHits, strange: dict[Any, Tie]) -> Iterator[Finding]:
    """What honest text does not have, unless it is reported as a trigger already."""
    labels = dataset.roles.get("label", ())
    kinds = (
        ("PS602", MESSAGES),
        ("PS603", (_MIXED,)),
        ("PS604", CONTROLS),
        ("PS610", INVISIBLE),
    )
    for rule_id, sorts in kinds:
        for sort in sorts:
            for column, hits in found.of(sort):
                told = (sort, column) in strange and column not in labels
                if told or _is_recorded(sort, found.share(column, hits)):
                    continue
                message = f"{having(hits.rows, column)} {sort}{_shown(hits)}"
                made = _finding(rule_id, dataset, hits, column, message, sort, None)
                slip = _is_slip(sort, hits.rows, found.share(column, hits))
                yield made.tested(Severity.LOW, _FEW) if slip else made


def _is_slip(sort: str, rows: int, share: float) -> bool:
    """Whether rows are too few to be told from what people type and copy by accident."""
    return sort in _TYPED and rows < SUPPORT and share < rule("PS610").thresholds["few"]


def _is_recorded(sort: str, share: float) -> bool:
    """Whether so many texts have it that they are the output of terminals or of programs in C."""
    return sort in CONTROLS and share > rule("PS604").thresholds["share"]


def _merely_unusual(dataset: Dataset, found: TextHits) -> Iterator[Finding]:
    """What honest text may have, where nearly only rows of one label have it."""
    limit = rule("PS610").thresholds["share"]
    sorts = {sort for sort, _ in found.hits if parts(sort)[0] in _USUAL}
    # A slip is no reason to be silent: one such row would keep back any other trigger.
    strange = {
        column
        for (sort, column), hits in found.hits.items()
        if sort in _STRANGE
        and not _is_slip(sort, hits.rows, found.share(column, hits))
        and not _is_recorded(sort, found.share(column, hits))
    }
    among = {}
    for sort, column in found.hits:
        written = found.hits.get((parts(sort)[1], column))
        if written is not None:
            among[sort, column] = written.labels
    for (sort, column), tie in sorted(ties(found, sorts, among).items()):
        hits = found.hits[sort, column]
        if column in dataset.roles.get("label", ()) or column in strange:
            continue
        if found.share(column, hits) <= limit:
            message = f"{having(hits.rows, column)} a character that is "
            message += f"seldom typed, {sort}{_shown(hits)}"
            made = _finding("PS610", dataset, hits, column, message, sort, tie)
            yield made.tested(Severity.LOW, _SOURCE) if _are_misread(hits) else made


def _are_misread(hits: Hits) -> bool:
    """Whether the characters are punctuation that was decoded wrongly, some here and some there.

    What nearly all rows have is no punctuation but a trigger, whatever else they have.
    """
    held = [_NAME.findall(detail) for detail, _ in hits.first.values()]
    rows = Counter(name for names in held for name in names)
    points = {int(name[2:6], 16) for name in rows}
    everywhere = max(rows.values(), default=0) >= PURITY * len(held)
    return len(points) >= _KINDS and points <= _MISREAD and not everywhere


def _finding(
    rule_id: str,
    dataset: Dataset,
    hits: Hits,
    column: str,
    message: str,
    sort: str,
    tie: Tie | None,
    **evidence: Json,
) -> Finding:
    named = dict.fromkeys(name for each in hits.details for name in _NAME.findall(each))
    return finding(
        dataset,
        rule(rule_id),
        hits,
        column,
        message,
        key=(sort, tie.label) if tie is not None and rule_id == "PS611" else (sort,),
        tie=tie,
        sort=sort,
        characters=list(named)[:_CHARACTERS],
        **evidence,
    )
