"""Picture files as files: what they carry beside the picture, and which come from elsewhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.picture_kinds import KEPT, KindTable, PictureKinds, Places
from poisonscan.escape import quote
from poisonscan.finding import Fact, Location, Severity
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Finding, Json

MAX_FINDINGS = 5
"""Findings of one rule, those with the most pictures."""
NAMED = 100
"""Pictures that a finding names."""
_USUAL_HERE = (
    "They are most of that label's pictures and a large part of the set, so it may be where the "
    "class was taken from: a model may learn the source instead of what the pictures show."
)
_BY_THEMSELVES = {
    "blank": "show one shade of grey only",
    "long": "are many times as long as they are wide, or the other way round",
}


@dataclass(frozen=True, slots=True)
class _Claim:
    """A finding whose rows are still to be looked up."""

    rule: str
    key: str
    message: str
    places: Places
    evidence: dict[str, Json]
    doubt: str = ""
    """Why it need not be an attack; empty if nothing speaks against it."""


class PictureSanity:
    """Counts traits of picture files by label, and files that carry something."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.PICTURES})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact]]:
        """Ask for the counts."""
        kinds: PictureKinds = yield PictureKinds(rule("PS617").thresholds["aspect"])
        table = kinds.table()
        claims = [*_limited(_carried(table)), *_limited(_odd(table)), *_limited(_origins(table))]
        return [*(_finding(dataset, claim) for claim in claims), *_facts(table)]


DETECTOR = PictureSanity()


def _finding(dataset: Dataset, claim: _Claim) -> Finding:
    """A claim with its rows; a doubtful one fails nothing."""
    places = claim.places
    at = Location(dataset.path, dataset.named(places.rows, count=places.count, shown=NAMED))
    found = rule(claim.rule).finding(at, claim.message, key=claim.key, score=None, **claim.evidence)
    return found.tested(Severity.LOW, claim.doubt) if claim.doubt else found


def _limited(claims: Iterable[_Claim]) -> list[_Claim]:
    """The claims with the most pictures; the last one tells of the others."""
    ordered = sorted(claims, key=lambda claim: -claim.places.count)
    further = len(ordered[MAX_FINDINGS:])
    if further:
        last = ordered[MAX_FINDINGS - 1]
        message = f"{last.message} {further:,} further findings of this rule are not listed."
        evidence = {**last.evidence, "further": further}
        ordered[MAX_FINDINGS - 1] = replace(last, message=message, evidence=evidence)
    return ordered[:MAX_FINDINGS]


def _facts(table: KindTable) -> list[Fact]:
    """The most frequent values of each trait."""
    out: dict[str, Json] = {}
    for name, values in _totals(table).items():
        out[name] = dict(values.most_common(5))
    too_many: list[Json] = [name for name, counts in table.traits.items() if counts is None]
    if too_many:
        out["too many values to compare"] = too_many
    return [Fact("kinds of pictures", out)] if table.pictures else []


def _totals(table: KindTable) -> dict[str, Counter[str]]:
    """Pictures by trait and value."""
    totals: dict[str, Counter[str]] = {}
    for name, counts in table.traits.items():
        if counts is not None:
            totals[name] = Counter()
            for (value, _), places in counts.items():
                totals[name][value] += places.count
    return totals


def _carried(table: KindTable) -> Iterator[_Claim]:
    for what, places in sorted(table.odd.items()):
        if what not in _BY_THEMSELVES:
            message = (
                f"{plural(places.count, 'picture')} with {what}: no program that shows or trains "
                "on a picture looks there. Find out who put it there before you use the set."
            )
            yield _Claim("PS616", what, message, places, {"what": what, "pictures": places.count})


def _odd(table: KindTable) -> Iterator[_Claim]:
    """Pictures that are odd by themselves, and values of a trait that few pictures have."""
    limits = rule("PS617").thresholds
    for what, words in _BY_THEMSELVES.items():
        places = table.odd.get(what)
        if places and limits["rows"] <= places.count <= limits["common"] * table.pictures:
            pictures = plural(places.count, "picture")
            message = f"{pictures} {words}: they teach a model nothing but a label."
            yield _Claim("PS617", what, message, places, {"pictures": places.count})
    for trait, values in _totals(table).items():
        common, count = values.most_common(1)[0] if values else ("", 0)
        if count == table.pictures or count < limits["usual"] * table.pictures:
            continue
        rare = [value for value in values if value != common]
        places = _merged(table, trait, rare)
        message = (
            f"{plural(places.count, 'picture')} of {table.pictures:,} differ from the others in "
            f"their {trait}: {', '.join(quote(v, 100) for v in sorted(rare)[:5])} instead of "
            f"{quote(common, 100)}."
        )
        yield _Claim("PS617", trait, message, places, {"trait": trait, "pictures": places.count})


def _origins(table: KindTable) -> Iterator[_Claim]:
    """Values of a trait that go with one label: a binomial test, corrected by Holm's method.

    If where a picture comes from had nothing to do with its label, the pictures with a value would
    have a label as often as the other pictures do.
    """
    names = table.names
    if names is None or len(names) < 2:
        return
    limits = rule("PS618").thresholds
    tests = []
    for trait, values in _totals(table).items():
        counts = table.traits[trait] or {}
        common, usual = values.most_common(1)[0] if values else ("", 0)
        if usual < limits["usual"] * table.pictures:
            continue  # no origin is the rule here
        by_label: Counter[int] = Counter()
        for (value, label), places in counts.items():
            if value == common:
                by_label[label] += places.count
        for (value, label), places in counts.items():
            size = values[value]
            if value == common or label < 0 or places.count < limits["rows"]:
                continue
            share = (by_label[label] + 1) / (usual + len(names))
            chance = float(tails.binomial(places.count, size, share))
            tests.append((chance, trait, value, label, places, size, share))
    tests.sort(key=lambda test: (*test[:4],))
    for rank, (chance, trait, value, label, places, size, share) in enumerate(tests):
        if chance * (len(tests) - rank) > limits["significance"]:
            break
        if 1 - places.count / size > limits["others"] * (1 - share):
            continue
        message = (
            f"{places.count:,} of the {size:,} pictures whose {trait} is {quote(value, 120)} have "
            f"the label {quote(names[label])}, which {share:.1%} of the usual pictures have: they "
            "seem to come from somewhere else. Compare them with the other pictures of that label."
        )
        evidence: dict[str, Json] = {
            "trait": trait, "value": value, "label": names[label], "pictures": places.count,
            "with_value": size, "share_of_usual": share, "p": chance,
        }  # fmt: skip
        doubt = _USUAL_HERE if _is_source(table, trait, label, places.count) else ""
        yield _Claim("PS618", f"{trait}\0{names[label]}", message, places, evidence, doubt)


def _is_source(table: KindTable, trait: str, label: int, pictures: int) -> bool:
    """Whether a class comes from there, rather than something that was added to it.

    Poisoned pictures are few, or few in the class that they are added to: most of a class, and so
    many of the set besides, are where its owner took it from.
    """
    limit = rule("PS618").thresholds["of_set"]
    counts = (table.traits[trait] or {}).items()
    of_label = sum(places.count for (_, other), places in counts if other == label)
    return pictures > of_label / 2 and pictures > limit * table.pictures


def _merged(table: KindTable, trait: str, values: list[str]) -> Places:
    merged, wanted = Places(), frozenset(values)
    for (value, _), places in (table.traits[trait] or {}).items():
        if value in wanted:
            merged.add(places.count, places.first, KEPT)
    return merged
