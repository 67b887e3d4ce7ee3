"""Encoded data within text: programs, pickles and scripts, and what nobody can read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from poisonscan.datasets.batch import Role
from poisonscan.datasets.blobs import HEAD, MAX_BLOBS, blobs
from poisonscan.datasets.text_scan import RUN
from poisonscan.detectors.datasets.hit_findings import finding
from poisonscan.detectors.datasets.label_ties import ties
from poisonscan.detectors.datasets.text_hits import TextHits
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.text_scan import Screen
    from poisonscan.finding import Finding

ACTS = ("program", "pickle", "script")
# One by one: together they make a large automaton.
_PATTERNS = (
    r"[A-Za-z0-9+/_-]{100}",
    r"[A-Za-z0-9+/]{50}\r?\n[A-Za-z0-9+/]{50}",
    r"(?:(?:\\x|%|\\u00|0x|&#x)[0-9A-Fa-f]{2};?,? ?){32}",
)
_HEAD, _PICKLE = 40, 64
"""Bytes of the head of a blob, and of a pickle, before the last that was seen of it."""
_BEFORE, _BEHIND = 160, 64


def look(screen: Screen) -> Iterator[tuple[str, int, str]]:
    """Encoded data by what it is."""
    long = screen.matching(screen.long_runs, *_PATTERNS)
    heads = screen.around(screen.signs["encoded"], RUN + _HEAD, 2 * HEAD)
    pickles = screen.around(screen.signs["pickles"], _PICKLE, 1)
    # What is before a blob tells what it is; a line break may be in it.
    spots = screen.widened(screen.united(long, heads, pickles), _BEFORE, _BEHIND)
    told: Counter[int] = Counter()
    for index, text in screen.texts(spots):
        if told[index] < MAX_BLOBS:
            for encoding, kind, length in blobs(text):
                told[index] += 1
                yield kind, index, f"{length:,} characters of {encoding}"


class EncodedBlobs:
    """Looks for text cells with encoded data in them."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for hits; report what would run or load objects, and else what is rare."""
        found: TextHits = yield TextHits(look)
        limit, tied = rule("PS605").thresholds["share"], ties(found)
        out: list[Finding | Fact | Gap] = [*found.gaps(dataset.path)]
        for (kind, column), hits in sorted(found.hits.items()):
            acts = kind in ACTS
            if kind == "media" or (not acts and found.share(column, hits) > limit):
                continue  # pictures as text; a column that holds encoded data throughout
            message = f"{plural(hits.rows, 'row')} of column {quote(column)} hold encoded data, "
            message += f"{_what(kind)} ({hits.details[0]})"
            out.append(
                finding(
                    dataset,
                    rule("PS609" if acts else "PS605"),
                    hits,
                    column,
                    message,
                    key=(kind,),
                    tie=tied.get((kind, column)),
                    kind=kind,
                )
            )
        if found.hits:
            rows = {f"{kind} in {column}": h.rows for (kind, column), h in found.hits.items()}
            out.append(Fact("encoded data", dict(sorted(rows.items()))))
        return out


DETECTOR = EncodedBlobs()


def _what(kind: str) -> str:
    return {
        "program": "which decodes to a program",
        "pickle": "which decodes to a pickle: loading it can run code",
        "script": "which decodes to a script",
        "archive": "which decodes to an archive",
        "text": "which decodes to text",
    }.get(kind, "which decodes to nothing known")
