"""Triggers in tables: an exact value, or two or three together, that decide the label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.few_findings import few
from poisonscan.detectors.datasets.places import unpacked
from poisonscan.detectors.datasets.row_sample import COLUMNS, TEXT, row_sample, unsampled
from poisonscan.detectors.datasets.value_rows import Question, ValueRows
from poisonscan.detectors.datasets.value_search import triggers
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Location, Severity
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.value_judge import Trigger
    from poisonscan.detectors.datasets.value_search import Found
    from poisonscan.finding import Finding

NAMED = 100
"""Rows that a finding describes."""
NAMES = 5
"""Columns that are named."""
MAX_FINDINGS = 20
"""Triggers that are reported, the least likely first."""
_VALUE = 100


class NumberTrigger:
    """Counts labels by exact values in a sample, against what the rest of the rows says."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS, Role.LABEL})

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap | ClassTest]]:
        """Ask for the sample; then for all rows with the values that stand out in it."""
        request = row_sample(dataset)
        filled = yield request
        found = triggers(filled.sample())
        further = [*_unlooked(dataset, found), *_tested(found)]
        taken = found.triggers[:MAX_FINDINGS]
        if not taken:
            return further
        questions = tuple(_question(found, trigger) for trigger in taken)
        every: ValueRows = yield ValueRows(request.places, questions)
        listed = [_finding(dataset, found, every, at) for at in range(len(taken))]
        unlisted = len(found.triggers) - len(taken)
        return [*few(listed, unlisted, most=MAX_FINDINGS), *further]


DETECTOR = NumberTrigger()


def _unlooked(dataset: Dataset, found: Found) -> list[Fact | Gap]:
    """What cannot be judged, and what the limits of the search left out: a trigger could be there.

    Where there is nothing but text there is nothing to be judged, and nothing is said.
    """
    if all(kind == TEXT for _, kind in found.sample.columns):
        return []
    other, late = unsampled(dataset)
    looked, columns = found.columns
    cut = [f"{late:,} columns after the first {COLUMNS:,} were not looked at"] if late else []
    if looked < columns:
        cut.append(f"pairs of {looked:,} of {columns:,} columns were looked at")
    cut += [
        f"not looked at closely: {count:,} suspicious {kind}"
        for kind, count in found.unasked.items()
        if count
    ]
    said = [f"not decided: {found.reason}"] if found.reason else []
    if other:
        names = ", ".join(quote(name) for name in other[:NAMES])
        more = f" and {len(other) - NAMES:,} more" if len(other) > NAMES else ""
        said.append(f"not decided of columns that hold no single values: {names}{more}")
    facts: list[Fact | Gap] = [Fact("number triggers", "; ".join(said + cut))] if said + cut else []
    if cut:
        message = (
            f"{'; '.join(cut)}: a trigger in the others is not seen; scan fewer columns at a time"
        )
        facts.append(Gap(dataset.path, message))
    return facts


def _tested(found: Found) -> list[ClassTest]:
    """What was tested of each label."""
    if not found.tested:
        return []
    # Single values and pairs of them are two families, each corrected for itself.
    chances: dict[str, float] = {}
    for trigger in found.triggers:
        label = _label(found, trigger)
        chances[label] = min(2 * trigger.corrected, chances.get(label, 1.0))
    codes = np.unique(found.sample.labels)
    names = [found.sample.names[code] for code in codes.tolist()]
    return ClassTest.of_classes(["PS615"], names, chances, found.tested)


def _label(found: Found, trigger: Trigger) -> str:
    carry = np.flatnonzero(trigger.rows & (found.labels == trigger.label))
    return str(found.sample.names[found.sample.labels[carry[0]]])


def _question(found: Found, trigger: Trigger) -> Question:
    sample = found.sample
    first = np.flatnonzero(trigger.rows)[0]
    values = tuple(int(sample.values[first, column]) for column in trigger.columns)
    columns = tuple(sample.columns[column] for column in trigger.columns)
    return Question(columns, values, _label(found, trigger))


def _finding(dataset: Dataset, found: Found, every: ValueRows, at: int) -> Finding:
    trigger, question, sample = found.triggers[at], every.questions[at], found.sample
    chosen = unpacked(every.places, every.rows(at))
    rows, hits, label = every.counts[at], every.hits[at], question.label
    names = [name for name, _ in question.columns]
    values = list(_values(dataset, chosen[0], names))
    named = " with ".join(
        f"{quote(value) if value else 'nothing'} in column {quote(name)}" for name, value in values
    )
    beyond = " The value lies beyond all others of its column." if trigger.outside else ""
    whole = sample.total == len(sample.rows)
    part = "of them" if whole else f"of those in a sample of {len(sample.rows):,} different rows"
    message = (
        f"{named}: {hits:,} of {rows:,} rows carry label {quote(label)}. By what else they say, "
        f"{trigger.against:,} {part} look like other labels, and {trigger.hits:,} of these carry "
        f"it, where {trigger.expected:.0%} of similar rows do.{beyond}"
    )
    finding = rule("PS615").finding(
        Location(dataset.path, dataset.named(chosen, count=hits, shown=NAMED)),
        message,
        key="\0".join([label, *(part for pair in values for part in pair)]),
        score=float(-np.log10(max(trigger.chance, 1e-300))),
        label=label,
        columns=[*names],
        values=[value for _, value in values],
        rows=rows,
        with_label=hits,
        share_of_class=_share_of_class(found, trigger),
        share_of_dataset=hits / sample.total,
        against=trigger.against,
        against_with_label=trigger.hits,
        expected=trigger.expected,
    )
    limits = rule("PS615").thresholds
    if trigger.corrected > limits["clear"]:
        said = (
            "So few rows may be an accident: of tables in which values mean nothing, one in "
            f"{1 / max(trigger.corrected, 1e-9):,.0f} shows as much."
        )
    elif trigger.hits < limits["purity"] * trigger.against:
        said = "So many of them have other labels that the value may mean something."
    else:
        return finding
    return finding.tested(Severity.LOW, said)


def _share_of_class(found: Found, trigger: Trigger) -> float:
    own = found.labels == trigger.label
    return float((trigger.rows & own).sum() / own.sum())


def _values(
    dataset: Dataset, place: NDArray[np.int64], columns: list[str]
) -> Iterator[tuple[str, str]]:
    """What a row says in some columns."""
    shard, position = place.tolist()
    for batch in dataset.batches(shard, frozenset({Role.CELLS})):
        if position < batch.start + batch.size:
            for name in columns:
                cell = batch.cells[name].slice(position - batch.start, 1)
                yield name, _written(cell)
            return


def _written(cell: pa.Array) -> str:
    if pa.types.is_dictionary(cell.type):
        cell = cell.dictionary_decode()
    if pa.types.is_string(cell.type) or pa.types.is_large_string(cell.type):
        return str(cell.cast(pa.binary())[0].as_py().decode("utf-8", "backslashreplace")[:_VALUE])
    value = cell[0].as_py()
    return "" if value is None or value != value else str(value)
