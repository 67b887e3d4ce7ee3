"""Markup that acts when text is shown, in columns that are otherwise plain text."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.few_findings import few
from poisonscan.detectors.datasets.hit_findings import finding, having
from poisonscan.detectors.datasets.label_ties import ties
from poisonscan.detectors.datasets.text_hits import TextHits
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.text_scan import Indices, Screen
    from poisonscan.detectors.datasets.text_hits import Hits, Sighting
    from poisonscan.finding import Finding

FAMILIES = {
    "script elements": r"<script[\s>/]",
    "frames and embedded objects": r"<(?:iframe|object|embed)\s[^<>]{0,500}(?:src|data|srcdoc)\s*=",
    "event handlers": (
        r"<[a-z][a-z0-9]{0,15}[\s/][^<>]{0,500}\bon(?:error|load|click|mouseover|focus|toggle|"
        r"begin|animationstart|pointerenter)\s*="
    ),
    "script addresses": (
        r"(?:href|src|action)\s*=\s*(?:[\"']\s*)?(?:javascript|vbscript|data:text/html)|"
        r"\]\(javascript:"
    ),
    "redirections": r"<meta\s[^<>]{0,200}http-equiv\s*=\s*[\"']?refresh|<base\s[^<>]{0,200}href=",
    "pictures that send data away": (
        r"!\[[^\]\n]{0,100}\]\(\s*https?://[^\s)]{0,500}"
        r"(?:\{\{?\s*\w|<[\w ]|%7B|\[[A-Z_ ]|\$\{)"
    ),
}
_FAMILY = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in FAMILIES.items()}
_LETTERS = 26
_BEFORE, _BEHIND = 2_700, 2_000
"""Bytes around the end of what was seen that the families look at; it may be 700 bytes long."""
_CODE = re.compile(
    r"```|~~~|<!doctype|</?(?:html|head|body|div|table|form)\b|\bfunction ?\w*\(|<\?php|"
    r"\b(?:html5?|css|javascript|jquery|ajax|php|jsp|aspx?|xss|web ?pages?|node\.?js)\b",
    re.IGNORECASE,
)
"""What shows, outside of the markup itself, that a text is code or about code."""
_ALONE = re.compile(r"\s*<[^<>]{1,1000}>\s*(?:[^<>]{0,1000}</[a-z]{1,10}\s*>)?\s*", re.IGNORECASE)
_FENCE = re.compile(r"```|~~~")
_SOURCE = re.compile(
    r"<(?:script|iframe)\s[^<>]{0,500}?\bsrc\s*=\s*[\"']?\s*(?:https?:)?//", re.IGNORECASE
)
"""What loads something from elsewhere, whatever is said around it."""
_EACH = 50
"""Occurrences of a family in a stretch of text that are looked at."""
IN_CODE = "markup in code"
_ONLY = "only "
"""Before families of markup that is all of its text."""
_TAGS = "tags"
_TAG = (
    r"</?(?:p|a|div|span|br|b|i|li|ul|ol|table|tr|td|h[1-6]|html|head|body|code|pre|strong|em)"
    r"[\s/>]"
)


def look(screen: Screen) -> Iterator[Sighting]:
    """Active markup by family, and texts with any common tag, for comparison."""
    spots = screen.around(screen.signs["markup"], _BEFORE, _BEHIND)
    told: set[tuple[int, str]] = set()
    for index, text in screen.texts(spots):
        for name, pattern in _FAMILY.items():
            for match in islice(pattern.finditer(text), _EACH):
                sort = _sort(name, text, match)
                if (index, sort) not in told:
                    told.add((index, sort))
                    yield sort, index, quote(text[match.start() : match.end() + 60], 120)
    yield _TAGS, _tagged(screen), ""


def _sort(name: str, text: str, match: re.Match[str]) -> str:
    """What markup is, by what is around it."""
    element = text[match.start() :].find("</script")
    end = match.start() + element if element >= 0 else max(match.end(), text.find(">", match.end()))
    before, after = text[: match.start()], text[end:]
    if _SOURCE.match(text, match.start()):
        fenced = len(_FENCE.findall(before)) % 2 and _FENCE.search(after)
        return IN_CODE if fenced else name
    if before.count("`") % 2 or _CODE.search(before) or _CODE.search(after):
        return IN_CODE
    return _ONLY + name if _ALONE.fullmatch(text) else name


def _tagged(screen: Screen) -> Indices:
    """Strings with a common tag."""
    at = screen.angles[screen.angles < len(screen.data) - 2]
    after = screen.data[at + 1] | np.uint8(0x20)
    letters = after - np.uint8(ord("a")) < _LETTERS
    tags = screen.around(at[letters | (after == ord("/"))], 0, 8)
    return np.unique(screen.matching(tags, _TAG).strings)


class ActiveMarkup:
    """Looks for scripts, frames, handlers and the like where the rest has no markup."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for hits; report what is rare in a column without other markup."""
        found: TextHits = yield TextHits(look)
        limits, tied = rule("PS607").thresholds, ties(found)
        tags = dict(found.of(_TAGS))
        answers = dataset.roles.get("response", ())
        out: list[Finding | Fact | Gap] = [*found.gaps(dataset.path)]
        for (sort, column), hits in sorted(found.hits.items()):
            if sort == _TAGS or (sort.startswith(_ONLY) and column in answers):
                continue
            marked = tags[column].rows if column in tags else 0
            texts = max(found.texts[column], 1)
            if marked > limits["markup"] * texts + hits.rows:
                continue
            if sort == IN_CODE:
                out.append(_in_code(dataset, hits, column))
                continue
            many = hits.rows > max(limits["share"] * texts, limits["rows"])
            if many and (sort, column) not in tied:
                continue
            out.append(
                finding(
                    dataset,
                    rule("PS607"),
                    hits,
                    column,
                    f"{having(hits.rows, column)} {sort}, such as "
                    f"{hits.details[0]}, in text that is otherwise plain",
                    key=(sort,),
                    tie=tied.get((sort, column)),
                    sort=sort,
                )
            )
        if found.hits:
            rows = {f"{sort} in {column}": h.rows for (sort, column), h in found.hits.items()}
            out.append(Fact("markup that acts", dict(sorted(rows.items()))))
        return few(out)


def _in_code(dataset: Dataset, hits: Hits, column: str) -> Finding:
    message = (
        f"{having(hits.rows, column)} markup that acts, in code or in text about code, such as"
    )
    return finding(dataset, rule("PS619"), hits, column, f"{message} {hits.details[0]}")


DETECTOR = ActiveMarkup()
