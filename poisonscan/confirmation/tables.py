"""Triggers of tables are put on other rows: do trees that are trained on the data follow them?"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import numpy as np
from threadpoolctl import threadpool_limits

from poisonscan.confirmation.outcome import Tests, untested
from poisonscan.confirmation.rows import NO_ROW, Suspects
from poisonscan.confirmation.trial import HELD, LEAST, STAMPED, WORKS, Shares, paired
from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.rest_of_row import LEARNT, RestOfRow, learn
from poisonscan.detectors.datasets.row_sample import row_sample
from poisonscan.finding import Severity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.row_sample import RowSample, Sample
    from poisonscan.finding import Finding

    Marks = NDArray[np.bool_]

OF_TABLES: Final = frozenset({"PS615"})


@dataclass(frozen=True, slots=True)
class TableConfirmation:
    """Tests findings about one table, and gives them back in the same order.

    What is not followed is not refuted: trees cut a column into 255 parts at most, so they may
    overlook a value that another model would learn. What is followed by those that never saw the
    named rows is: rows with the next values have the label, too. What is doubted as an accident is
    not tested, as trees would learn an accident, too.

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
        return [_tested(finding, sample, request) for finding in self.findings]


def _tested(finding: Finding, sample: Sample, request: RowSample) -> Finding:
    """A finding after its test."""
    if finding.severity < Severity.MEDIUM:
        return untested(finding, "what may be an accident would be learnt as well")
    suspects = Suspects.of(finding, request.places, 1.0)
    if not suspects.whole:
        return untested(finding, "not all rows of the finding are listed")
    label = str(finding.evidence["label"])
    named = np.isin(sample.rows, np.frombuffer(suspects.places, np.int64))
    if label not in sample.names or not named.any():
        return untested(finding, NO_ROW)
    names = [name for name, _ in sample.columns]
    columns = [names.index(name) for name in cast("list[str]", finding.evidence["columns"])]
    own = sample.labels == sample.names.index(label)
    tests = _tests(sample, own, named, columns, label)
    return untested(finding, tests) if isinstance(tests, str) else tests.applied(finding)


def _tests(sample: Sample, own: Marks, named: Marks, columns: list[int], label: str) -> Tests | str:
    """What trees say of rows that get the values of the trigger.

    Args:
        sample: labelled rows.
        own: those with the label of the finding.
        named: those that the finding names.
        columns: numbers of the columns with the trigger.
        label: of the finding.

    Returns:
        Where no model can be asked, why, for people.
    """
    table = RestOfRow(sample, sample.labels.astype(np.int64))
    first = np.flatnonzero(named)[0]
    carry = (sample.values[:, columns] == sample.values[first, columns]).all(axis=1)
    held = (sample.contents() % np.uint64(HELD) == 0) & ~carry
    asked = np.flatnonzero(held & ~own)[:STAMPED]
    learnt = np.flatnonzero(~held)[:LEARNT]
    without = learnt[~named[learnt]]
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
