"""Text that speaks to a model instead of to its readers (prompt injection).

The families of phrases are those of Greshake et al. 2023, "Not what you've signed up for", Perez
and Ribeiro 2022, "Ignore previous prompt", and of garak's and OWASP's (LLM01) lists.
"""

from __future__ import annotations

import html
import re
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.few_findings import few
from poisonscan.detectors.datasets.hit_findings import finding, having
from poisonscan.detectors.datasets.label_ties import ties
from poisonscan.detectors.datasets.text_hits import Hits, TextHits
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.text_scan import Screen
    from poisonscan.finding import Finding, Json

_RULES = r"(?:instructions?|prompts?|directions|guidelines|commands?|system messages?)\b"
_EARLIER = r"(?:previous|prior|above|preceding|earlier|foregoing|existing|original|initial|system)"
_OVERRIDE = (
    rf"(?:ignore|ignoring|disregard|forget|override|bypass)\s+"
    rf"(?:(?:all|any|every|the|your|my|of|these|those|what|other)\s+){{0,4}}{_EARLIER}\s+"
    rf"(?:(?:and|or|system|user|{_EARLIER})\s+){{0,3}}{_RULES}"
    rf"|(?:ignoriere|vergiss)\s+(?:alle\s+)?(?:vorherigen|bisherigen)\s+Anweisungen"
    rf"|ignora\s+(?:todas\s+)?(?:las\s+)?instrucciones\s+anteriores"
    rf"|ignore[zr]?\s+(?:toutes\s+)?(?:les\s+)?instructions\s+précédentes"
    rf"|игнорируй(?:те)?\s+(?:все\s+)?предыдущие\s+инструкции"
    rf"|忽略(?:之前|以上|前面|先前|上述|所有).{{0,6}}(?:指令|指示|提示)"
)
_MARKS = "marks of a chat template"
_FORMAT = 0.5
"""Share of a column's texts with such marks from which they are how its texts are written."""
FAMILIES = {
    "orders to ignore instructions": _OVERRIDE,
    "orders to show the system prompt": (
        r"\b(?:reveal|print|repeat|show|output|leak|display|tell me)\s+(?:me\s+)?(?:your|the)\s+"
        r"(?:full\s+|entire\s+|hidden\s+|secret\s+)?"
        r"(?:system|initial|hidden|original)\s+(?:prompt|instructions)"
    ),
    "orders to drop restrictions": (
        r"\byou are now (?:DAN\b|in (?:developer|god|unrestricted|jailbreak) mode|"
        r"an? (?:unrestricted|unfiltered|evil|jailbroken) )|\bdo anything now\b|"
        r"\b(?:enable|enter|activate)\s+developer mode\b"
    ),
    "orders to a reading model": (
        r"\bif you are an? (?:AI|LLM|language model|artificial intelligence)\b[^.]{0,80}"
        r"\b(?:must|please|should|do not|say|ignore|give|write|recommend)\b"
        r"|\b(?:instructions?|note|message|attention|important) (?:for|to) (?:the |all |any )?"
        r"(?:AI|LLM|language model)s?\b(?: reviewers?| assistants?| models?)?\s*[:!]"
        r"|\bgive (?:only )?a positive review\b[^.]{0,40}\b(?:only|do not|negatives?)\b"
    ),
    _MARKS: (
        r"<\|(?:im_start|im_end|system|user|assistant|start_header_id|end_header_id|eot_id|"
        r"begin_of_text|endoftext|endofprompt)\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
    ),
}
_FAMILY = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in FAMILIES.items()}
_ABOUT = re.compile(
    r"prompt[- ]inject|jailbreak(?:ing| prompt| attempt| attack)|injection attack|"
    r"adversarial prompt|chat[- _]template|special tokens?|tokenizer|red[- ]team",
    re.IGNORECASE,
)
_HIDDEN = re.compile(
    r"<!--|display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?![.\d])|"
    r"color\s*:\s*(?:#fff(?:fff)?|white)\b|\{/\*",
    re.IGNORECASE,
)
_SPEECH = re.compile(r"[\"'`“”‘’«»]\s*\Z")
_MODELS = re.compile(
    r"\b(?:AI|LLMs?|GPT(?:-?\d)?|chat ?bots?|language models?|prompts?|assistants?)\b",
    re.IGNORECASE,
)
_QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"), ("「", "」"))
_CLOSED = 300
"""Letters behind a phrase in which a quotation of it ends."""
HIDDEN = "hidden "
_MENTIONS = "text about prompts and templates"
_CLASS_ROWS = 20
"""Rows of a class from which it may be about such text."""
_NEAR = 300
"""Letters before a phrase that may hide it."""
_BEFORE, _BEHIND = 1_200, 1_100
"""Bytes around the end of what was seen."""


def look(screen: Screen) -> Iterator[tuple[str, int, str]]:
    """Phrases by family; those that quote or discuss them are told apart."""
    spots = screen.around(screen.signs["orders"], _BEFORE, _BEHIND)
    told: set[tuple[int, str]] = set()
    about: dict[int, bool] = {}
    for index, text in screen.texts(spots):
        for name, sort, shown in phrases(text):
            if (index, name) in told:
                continue
            told.add((index, name))
            if index not in about:
                about[index] = _is_about(screen, index)
            mention = about[index] and not sort.startswith(HIDDEN)
            yield _MENTIONS if mention else sort, index, shown


def _is_about(screen: Screen, index: int) -> bool:
    ((_, text),) = screen.texts(screen.whole(np.array([index])))
    return _ABOUT.search(text) is not None


def phrases(text: str) -> Iterator[tuple[str, str, str]]:
    """Families of phrases in a text, with the sort of hit, and the phrase and what follows it."""
    for name, pattern in _FAMILY.items():
        match = pattern.search(text)
        if match is not None:
            before = text[max(0, match.start() - _NEAR) : match.start()]
            shown = quote(
                " ".join(html.unescape(text[match.start() : match.end() + 80]).split()), 120
            )
            if _HIDDEN.search(before):
                yield name, HIDDEN + name, shown
            elif _SPEECH.search(before[-3:]) or _quoted(text, match.start(), match.end()):
                yield name, _MENTIONS, shown
            else:
                yield name, name, shown


def _quoted(text: str, start: int, end: int) -> bool:
    """Whether a phrase is in code, or in a quotation within a text that speaks of models."""
    before, after = text[:start], text[end:]
    if before.count("```") % 2 and "```" in after:
        return True
    line, rest = before.rpartition("\n")[2], after[:_CLOSED].partition("\n")[0]
    for opening, closing in _QUOTES:
        inside = line.count(opening) % 2 if opening == closing else line.rfind(opening)
        opened = inside == 1 if opening == closing else inside > line.rfind(closing)
        if opened and closing in rest:
            told = line[: line.rfind(opening)] + rest[rest.find(closing) :]
            return _MODELS.search(told) is not None
    return False


class InjectedInstructions:
    """Looks for rare texts that give orders to a model, or fake the turns of a chat."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for hits; report hidden ones, orders to ignore, and what repeats but is rare.

        What is quoted, or is what the data is about, makes one lesser finding of each column.
        """
        found: TextHits = yield TextHits(look)
        limits, tied = rule("PS606").thresholds, ties(found)
        out: list[Finding | Fact | Gap] = [*found.gaps(dataset.path)]
        lesser: dict[str, dict[str, Hits]] = defaultdict(dict)
        for (sort, column), hits in sorted(found.hits.items()):
            if sort == _MENTIONS:
                lesser[column][sort] = hits
                continue
            strict = sort.startswith((HIDDEN, "orders to ignore"))
            if hits.rows < (1 if strict else limits["rows"]):
                continue
            if self._is_subject(found, column, hits, limits):
                if sort != _MARKS or found.share(column, hits) <= _FORMAT:
                    lesser[column][sort] = hits
                continue
            message = f"{having(hits.rows, column)} {sort}, such as "
            out.append(
                finding(
                    dataset,
                    rule("PS606"),
                    hits,
                    column,
                    message + hits.details[0],
                    key=(sort,),
                    tie=tied.get((sort, column)),
                    sort=sort,
                )
            )
        out += [_lesser(dataset, column, sorts) for column, sorts in sorted(lesser.items())]
        if found.hits:
            rows = {f"{sort} in {column}": h.rows for (sort, column), h in found.hits.items()}
            out.append(Fact("phrases that speak to a model", dict(sorted(rows.items()))))
        return few(out)

    def _is_subject(self, found: TextHits, column: str, hits: Hits, limits: Any) -> bool:
        """Whether such text is what the column, or a class, is about: then it is no injection."""
        mentions = sum(hits.rows for name, hits in found.of(_MENTIONS) if name == column)
        of_class = any(
            name is not None
            and rows >= max(limits["class_share"] * found.labels[name], _CLASS_ROWS)
            for name, rows in hits.labels.items()
        )
        many = hits.rows > max(limits["share"] * found.texts[column], limits["rows"])
        return bool(many or of_class or mentions >= hits.rows > 0)


def _lesser(dataset: Dataset, column: str, sorts: dict[str, Hits]) -> Finding:
    """One finding of all that is quoted in a column, or is its subject or that of a class."""
    hits = Hits()
    for each in sorts.values():
        hits.add(replace(each, labels=Counter()))
    # Rows may have several sorts: so many have one at least.
    hits.rows = max([len(hits.first), *(each.rows for each in sorts.values())])
    counts: dict[str, Json] = {sort: each.rows for sort, each in sorts.items()}
    listed = ", ".join(f"{sort} ({each.rows:,})" for sort, each in sorts.items())
    message = (
        f"{having(hits.rows, column)} phrases that speak to a model, quoted or in such numbers "
        f"that the column or a class is about them: {listed}; such as {hits.details[0]}"
    )
    return finding(dataset, rule("PS620"), hits, column, message, sorts=counts)


DETECTOR = InjectedInstructions()
