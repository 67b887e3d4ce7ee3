"""What the labels alone show: classes too rare, labels missing, misspelt or out of place."""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.label_counts import (
    KEPT_ROWS,
    FirstRows,
    LabelCounts,
    is_continuous,
    is_number,
)
from poisonscan.escape import quote
from poisonscan.finding import Fact, Location
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.label_counts import LabelTable, Pair
    from poisonscan.finding import Finding, Json

MAX_FINDINGS = 4
"""Findings of one rule; the rest is summed up in one more."""
SPELLINGS = 50
"""Spellings of a label that are evidence."""
_SHOWN = 10
"""Labels that one message names."""
_COUNTED = 100
"""Labels of a split whose counts the report holds."""


class LabelDistribution:
    """Counts the labels of every split, and looks up the first rows of those that stand out."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact]]:
        """Ask for counts; if they show something, for rows that show it.

        Raises:
            LimitReached: too many different labels to be classes.
        """
        splits = tuple(shard.split for shard in dataset.shards)
        counts: LabelCounts = yield LabelCounts(splits)
        table = counts.table(dataset.label_names)
        claims = list(_claims(table, frozenset(dataset.label_names or ())))
        if not claims:
            return _facts(table)
        wanted = frozenset(pair for claim in claims for pair in claim.pairs[:KEPT_ROWS])
        first: FirstRows = yield FirstRows(splits, wanted)
        return [*_findings(dataset, claims, first), *_facts(table)]


DETECTOR = LabelDistribution()


def _facts(table: LabelTable) -> list[Fact]:
    """The most frequent labels of each split, for people to look at."""
    facts = []
    for split, counts in zip(table.splits, table.counts.tolist(), strict=True):
        top = sorted(zip(table.names, counts, strict=True), key=lambda item: -item[1])
        shown: Json = {name: count for name, count in top[:_COUNTED] if count}
        facts.append(Fact(f"labels of {split}" if len(table.splits) > 1 else "labels", shown))
    return facts


@dataclass(frozen=True, slots=True)
class _Claim:
    """A finding whose rows are still to be looked up.

    Attributes:
        rule: identifier.
        key: structural key.
        message: what was seen.
        pairs: the splits and labels of its rows.
        count: how many rows these are.
        evidence: values for programs.
    """

    rule: str
    key: str
    message: str
    pairs: tuple[Pair, ...]
    count: int
    evidence: Mapping[str, Json] = field(default_factory=dict)


def _claims(table: LabelTable, declared: frozenset[str]) -> Iterator[_Claim]:
    """All that is wrong with the labels."""
    if not table.names:
        return
    yield from _missing(table)
    spelling = list(_spellings(table, declared))
    strange = list(_unexpected(table, declared))
    yield from _limited(spelling)
    yield from _limited(strange)
    yield from _imbalance(table, {name for claim in spelling + strange for _, name in claim.pairs})


def _findings(dataset: Dataset, claims: list[_Claim], first: FirstRows) -> list[Finding]:
    """Claims with their first rows."""
    return [
        rule(claim.rule).finding(
            Location(dataset.path, dataset.named(_first(first, claim.pairs), count=claim.count)),
            claim.message,
            key=claim.key,
            score=None,
            **claim.evidence,
        )
        for claim in claims
    ]


def _first(first: FirstRows, pairs: tuple[Pair, ...]) -> NDArray[np.int64]:
    """The first rows of some splits and labels together."""
    ids = np.concatenate(
        [np.empty((0, 2), np.int64), *(first.rows[pair] for pair in pairs if pair in first.rows)]
    )
    return ids[np.lexsort((ids[:, 1], ids[:, 0]))][:KEPT_ROWS]


def _pairs(table: LabelTable, names: Iterable[str]) -> tuple[Pair, ...]:
    """Splits and labels that have rows, for labels in the order given."""
    columns = [table.names.index(name) for name in names]
    return tuple(
        (split, table.names[column])
        for column in columns
        for row, split in enumerate(table.splits)
        if table.counts[row, column]
    )


def _rows(table: LabelTable) -> dict[str, int]:
    """Rows of each label, over all splits."""
    return dict(zip(table.names, table.counts.sum(axis=0).tolist(), strict=True))


def _limited(claims: list[_Claim]) -> Iterator[_Claim]:
    """The claims with the most rows, and one that sums up the others."""
    ordered = sorted(claims, key=lambda claim: -claim.count)
    yield from ordered[:MAX_FINDINGS]
    rest = ordered[MAX_FINDINGS:]
    if rest:
        pairs = tuple(pair for claim in rest for pair in claim.pairs)
        message = f"{len(rest):,} more labels are like the {MAX_FINDINGS} reported one by one."
        count = sum(claim.count for claim in rest)
        yield _Claim(rest[0].rule, "further labels", message, pairs, count, {"labels": len(rest)})


def _missing(table: LabelTable) -> Iterator[_Claim]:
    """Rows without a label, in splits where other rows have one."""
    labelled = table.counts.sum(axis=1)
    where = [
        (split, int(table.missing[row]), int(table.missing[row] + labelled[row]))
        for row, split in enumerate(table.splits)
        if labelled[row] and table.missing[row]
    ]
    if where:
        parts = [f"{count:,} of {size:,} rows of {quote(split)}" for split, count, size in where]
        evidence: dict[str, Json] = {split: count for split, count, _ in where}
        # The number -1 means a missing label unless it is counted as a label.
        written = (None,) if "-1" in table.names else (None, "-1")
        pairs = tuple((split, name) for split, _, _ in where for name in written)
        message = f"{' and '.join(parts)} have no label; the others have one."
        yield _Claim("PS302", "", message, pairs, sum(w[1] for w in where), {"missing": evidence})


def _imbalance(table: LabelTable, strange: set[str | None]) -> Iterator[_Claim]:
    """The rarest class, if it has less than a tenth of an even share.

    The rule is that of the *class imbalance* issue of cleanlab's Datalab; the interval is E. B.
    Wilson's (1927). Labels that are claimed to be wrong are no classes.
    """
    rows = {name: count for name, count in _rows(table).items() if name not in strange}
    limits = rule("PS301").thresholds
    if not 1 < len(rows) <= limits["classes"] or is_continuous(tuple(rows)):
        return
    total = sum(rows.values())
    name, count = min(rows.items(), key=lambda item: (item[1], item[0]))
    share, even = count / total, 1 / len(rows)
    if share >= limits["share_of_even"] * even:
        return
    low, high = wilson_interval(count, total)
    message = (
        f"label {quote(name)} has {count:,} of {total:,} labelled rows ({share:.2%}, 95 % interval "
        f"{low:.2%} to {high:.2%}); an even share of {len(rows)} labels would be {even:.1%}."
    )
    evidence: dict[str, Json] = {
        "label": name,
        "rows": count,
        "labelled": total,
        "share": share,
        "interval": [low, high],
        "even_share": even,
    }
    yield _Claim("PS301", name, message, _pairs(table, [name]), count, evidence)


def wilson_interval(count: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval for a share: lower and upper end, within 0 to 1."""
    share, spread = count / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def _spellings(table: LabelTable, declared: frozenset[str]) -> Iterator[_Claim]:
    """Labels that are one label once case, white space, form and invisible characters are gone."""
    rows = _rows(table)
    variants: dict[str, list[str]] = defaultdict(list)
    for name in sorted({*rows, *declared}):
        variants[fold(name)].append(name)
    variants.pop("", None)  # blank labels are not spellings of anything
    for names in variants.values():
        # A declared spelling is the right one; else the most frequent.
        ordered = sorted(names, key=lambda n: (n not in declared, -rows.get(n, 0), n))
        wrong = [name for name in ordered[1:] if name in rows and name not in declared]
        if not wrong:
            continue
        alike = len({unicodedata.normalize("NFC", name) for name in names}) < len(names)
        shown = [f"{_spelt(n, alike)} ({_count(rows.get(n, 0))})" for n in ordered[:_SHOWN]]
        more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
        yield _Claim(
            "PS303",
            "\0".join(sorted(names)),
            f"{len(names)} spellings of one label: {', '.join(shown)}{more}.",
            _pairs(table, wrong),
            sum(rows[name] for name in wrong),
            {"spellings": {name: rows.get(name, 0) for name in ordered[:SPELLINGS]}},
        )


def fold(name: str) -> str:
    """A label without what people overlook.

    White space is collapsed, invisible characters (Unicode categories Cc and Cf, variation
    selectors) go, and what is left is compared in form NFKC without case. The case and form of a
    single character are kept: they may be what is to be recognised.
    """
    visible = "".join(c for c in " ".join(name.split()) if not _invisible(c)).strip()
    if len(visible) <= 1:
        return visible
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    return " ".join(folded.split())


def _invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f"


def _spelt(name: str, alike: bool) -> str:
    """A label as it stands in a message; by code points where two would look the same."""
    return quote(name.encode("ascii", "backslashreplace").decode() if alike else name)


def _unexpected(table: LabelTable, declared: frozenset[str]) -> Iterator[_Claim]:
    """Labels that should not be there, each with the first reason that holds."""
    rows = _rows(table)
    if declared:
        spelt = {fold(name) for name in declared}  # other spellings are another rule's
        reasons = {
            name: f"is none of the {len(declared)} declared names"
            for name in table.names
            if name not in declared and fold(name) not in spelt
        }
    else:
        reasons = _lone_type(table.names)
    blank = {name: "shows nothing" for name in table.names if not fold(name)}
    reasons = _split_only(table) | reasons | blank
    for name, reason in reasons.items():
        yield _Claim(
            "PS304",
            name,
            f"label {quote(name)} ({_count(rows[name])}) {reason}.",
            _pairs(table, [name]),
            rows[name],
            {"label": name, "rows": rows[name], "reason": reason},
        )


def _lone_type(names: tuple[str, ...]) -> dict[str, str]:
    """The one number among words, or the one word among numbers."""
    numbers = [name for name in names if is_number(name)]
    words = [name for name in names if not is_number(name)]
    if len(numbers) == 1 and len(words) > 1:
        return {numbers[0]: f"is a number; the other {len(words)} labels are words"}
    if len(words) == 1 and len(numbers) > 1:
        return {words[0]: f"is a word; the other {len(numbers)} labels are numbers"}
    return {}


def _split_only(table: LabelTable) -> dict[str, str]:
    """Labels of one split only, where the splits share the others and chance is no explanation.

    Were rows dealt to splits at random, all ``c`` rows of a label would fall into a split with the
    share ``q`` of the rows with probability ``q ** c``; this times the number of labels
    (Bonferroni) is compared with the threshold.
    """
    limits = rule("PS304").thresholds
    labelled = np.flatnonzero(table.counts.sum(axis=1))
    counts = table.counts[labelled]
    present = (counts > 0).sum(axis=0)
    alone = np.flatnonzero(present == 1)
    shared, total = int((present == len(labelled)).sum()), len(table.names)
    too_many = len(alone) > max(1, limits["share_of_labels"] * total)
    if len(labelled) < 2 or too_many or shared < max(2, 0.9 * (total - len(alone))):
        return {}
    shares = counts.sum(axis=1) / counts.sum()
    reasons = {}
    for column in alone.tolist():
        split = int(counts[:, column].argmax())
        if counts[split, column] * math.log(shares[split]) + math.log(total) < math.log(
            limits["chance"]
        ):
            where = quote(table.splits[labelled[split]])
            reasons[table.names[column]] = f"occurs in {where} only; the splits share the others"
    return reasons


def _count(rows: int) -> str:
    return plural(rows, "row")
