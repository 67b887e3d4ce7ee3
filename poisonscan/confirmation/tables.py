"""Triggers of tables are put on other rows: do trees that are trained on the data follow them?"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import numpy as np
from threadpoolctl import threadpool_limits

from poisonscan.confirmation.outcome import EXPLAINED, Tests, untested
from poisonscan.confirmation.rows import NO_ROW, Suspects
from poisonscan.confirmation.trial import HELD, LEAST, STAMPED, WORKS, Shares, paired
from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.rest_of_row import LEARNT, RestOfRow, learn
from poisonscan.detectors.datasets.row_sample import row_sample
from poisonscan.escape import quote
from poisonscan.finding import Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.row_sample import RowSample, Sample
    from poisonscan.finding import Finding
    from poisonscan.report import Report

    Marks = NDArray[np.bool_]

OF_TABLES: Final = frozenset({"PS615"})
ASIDE: Final = "values that other rows explain"
"""The fact that findings become that are none."""


@dataclass(frozen=True, slots=True)
class TableConfirmation:
    """Tests findings about one table, and gives them back in the same order.

    What is not followed is not refuted: trees cut a column into 255 parts at most, so they may
    overlook a value that another model would learn. What is followed by those that never saw the
    named rows is: rows with the next values have the label, too. These trees see no row that any of
    the findings names, so that no half of what was planted speaks for the other half. What is
    doubted as an accident is not tested, as trees would learn an accident, too.

    Attributes:
        findings: of rules in ``OF_TABLES``.
    """

    findings: tuple[Finding, ...]
    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS, Role.LABEL})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding]]:
        """Ask for the sample that the rule saw; learn from it, and test every finding."""
        request = row_sample(dataset)
        filled: RowSample = yield request
        sample = filled.sample()
        sample = sample.at(np.flatnonzero(sample.labels >= 0))
        # In an order that does not depend on how the rows were cut into files.
        sample = sample.at(np.argsort(sample.contents(), kind="stable"))
        suspects = [Suspects.of(finding, request.places, 1.0) for finding in self.findings]
        marks = [_named(each, sample) for each in suspects]
        suspected = np.logical_or.reduce(marks)
        return [
            _tested(finding, sample, named, suspected)
            if each.whole
            else untested(finding, "not all rows of the finding are listed")
            for finding, each, named in zip(self.findings, suspects, marks, strict=True)
        ]


def set_aside(report: Report, path: str) -> None:
    """Make a fact of findings whose values say the label without the named rows as well.

    Args:
        report: its findings have been tested.
        path: of the dataset that they are about.
    """
    told = [finding for finding in report.findings if _is_explained(finding)]
    if not told:
        return
    report.findings = [finding for finding in report.findings if not _is_explained(finding)]
    fact = {ASIDE: "; ".join(map(_in_short, told))}
    report.scanned = [
        replace(entry, facts={**entry.facts, **fact}) if entry.path == path else entry
        for entry in report.scanned
    ]


def _is_explained(finding: Finding) -> bool:
    tested = finding.evidence.get("confirmation")
    return (
        finding.rule.id in OF_TABLES
        and isinstance(tested, dict)
        and tested.get("verdict") == EXPLAINED
    )


def _in_short(finding: Finding) -> str:
    values, columns = (cast("list[str]", finding.evidence[name]) for name in ("values", "columns"))
    named = " with ".join(
        f"{quote(value)} in column {quote(column)}"
        for value, column in zip(values, columns, strict=True)
    )
    return f"{named} (label {quote(str(finding.evidence['label']))})"


def _named(suspects: Suspects, sample: Sample) -> Marks:
    return np.isin(sample.rows, np.frombuffer(suspects.places, np.int64))


def _tested(finding: Finding, sample: Sample, named: Marks, suspected: Marks) -> Finding:
    """A finding after its test."""
    if finding.severity < Severity.MEDIUM:
        return untested(finding, "what may be an accident would be learnt as well")
    label = str(finding.evidence["label"])
    if label not in sample.names or not named.any():
        return untested(finding, NO_ROW)
    names = [name for name, _ in sample.columns]
    columns = [names.index(name) for name in cast("list[str]", finding.evidence["columns"])]
    tests = _tests(sample, named, suspected, columns, label)
    return untested(finding, tests) if isinstance(tests, str) else tests.applied(finding)


def _tests(
    sample: Sample, named: Marks, suspected: Marks, columns: list[int], label: str
) -> Tests | str:
    """What trees say of rows that get the values of the trigger.

    Args:
        sample: labelled rows.
        named: those that the finding names.
        suspected: those that any finding names.
        columns: numbers of the columns with the trigger.
        label: of the finding.

    Returns:
        Where no model can be asked, why, for people.
    """
    table = RestOfRow(sample, sample.labels.astype(np.int64))
    own = sample.labels == sample.names.index(label)
    first = np.flatnonzero(named)[0]
    carry = (sample.values[:, columns] == sample.values[first, columns]).all(axis=1)
    held = (sample.contents() % np.uint64(HELD) == 0) & ~carry
    asked = np.flatnonzero(held & ~own)[:STAMPED]
    learnt = np.flatnonzero(~held)[:LEARNT]
    without = learnt[~suspected[learnt]]
    if min(len(asked), int((held & own).sum())) < LEAST or not own[without].any():
        return "there are too few other rows to test it on"
    stamped = table.cells[asked]
    stamped[:, columns] = table.cells[first, columns]
    with threadpool_limits(1):  # so that sums are in one order
        full = learn(table.cells[learnt], own[learnt], table.words, balanced=True)
        left = learn(table.cells[without], own[without], table.words, balanced=True)
        follow, still = full.predict(stamped), left.predict(stamped)
        guess = full.predict(table.cells[held])
    recalls, error = _recalls(guess == own[held], own[held])
    if recalls - 2 * error < 0.5 + WORKS / 2:
        return (
            f"trees tell rows of its class from others in {recalls:.0%} of rows that they have not"
            " seen, which is too few to ask them"
        )
    plain = int(full.predict(table.cells[asked]).sum())
    counts = len(asked), int(follow.sum()), int(still.sum()), plain
    shares = Shares(*counts, paired(follow, still))
    return Tests(label, recalls, shares, None, known=False, alone=True)


def _recalls(right: Marks, own: Marks) -> tuple[float, float]:
    """The mean share that is recognised, of rows of the class and of others, and its error."""
    shares = [(right[rows].sum() + 1) / (rows.sum() + 2) for rows in (own, ~own)]
    errors = [s * (1 - s) / (rows.sum() + 2) for s, rows in zip(shares, (own, ~own), strict=True)]
    return float(np.mean(shares)), float(np.sqrt(np.sum(errors)) / 2)
