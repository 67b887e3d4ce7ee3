"""Findings of backdoors are put to a test by small models that are trained on the data."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import numpy as np

from poisonscan.confirmation.outcome import (
    CONFIRMED,
    FOLLOWED,
    NOT_CONFIRMED,
    SURELY,
    Tests,
    untested,
)
from poisonscan.confirmation.rows import NO_ROW, Learnt, Suspects, learnt
from poisonscan.confirmation.sample import ROWS, SuspectSample
from poisonscan.confirmation.stamps import CONTROL_PATCH, CONTROL_WORD, inserted, overlaid, patched
from poisonscan.confirmation.tables import OF_TABLES, TableConfirmation, set_aside
from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.places import places
from poisonscan.finding import Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.confirmation.trial import Stamp
    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.base import DatasetDetector
    from poisonscan.report import Report

PATCH: Final = frozenset({"PS404"})
OVERLAY: Final = frozenset({"PS401", "PS402", "PS406"})
"""Nothing is known of the trigger but what suspects have more of on average."""
MAY_BE_HONEST: Final = "PS627"
PHRASE: Final = frozenset({"PS601", MAY_BE_HONEST})
OF_PICTURES: Final = PATCH | OVERLAY | {"PS405", "PS407", "PS411", "PS618"}
OF_TEXTS: Final = PHRASE | {"PS611", "PS630"}
"""Where the trigger cannot be put on anything, half of the suspects are learnt from."""

MOST: Final = 6
"""Findings of a dataset that are tested, the gravest."""
NAME: Final = "confirmation"


def confirm(
    report: Report, dataset: Dataset, run: Callable[[dict[str, DatasetDetector]], Report]
) -> None:
    """Test findings about a dataset, where there are some that can be tested.

    Args:
        report: on the dataset. Its findings get a severity, a sentence and evidence; one that other
            rows explain becomes a fact.
        dataset: what it is about.
        run: passes over the dataset, for what asks for aggregates as detectors do.
    """
    rows = sum(entry.rows or 0 for entry in report.scanned if entry.path == dataset.path)
    tests: tuple[tuple[frozenset[str], Role, Callable[..., DatasetDetector]], ...] = (
        (OF_PICTURES, Role.ENCODED, partial(Confirmation, rows=rows, pictures=True)),
        (OF_TEXTS, Role.TEXT, partial(Confirmation, rows=rows, pictures=False)),
        (OF_TABLES, Role.CELLS, TableConfirmation),
    )
    for rules, role, test in tests:
        found = [at for at, each in enumerate(report.findings) if each.rule.id in rules]
        if not found or not {role, Role.LABEL} <= dataset.offers:
            continue
        chosen = sorted(found, key=lambda at: -report.findings[at].severity)
        for at in chosen[MOST:]:
            reason = f"there are more than {MOST} findings of its kind"
            report.findings[at] = untested(report.findings[at], reason)
        asked = tuple(report.findings[at] for at in chosen[:MOST])
        part = run({NAME: test(asked)})
        report.gaps += [gap for gap in part.gaps if gap not in report.gaps]
        for at, tested in zip(chosen[:MOST], part.findings, strict=False):
            report.findings[at] = tested
    set_aside(report, dataset.path)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Tests findings about one dataset, and gives them back in the same order.

    Attributes:
        findings: of rules in ``OF_PICTURES`` if ``pictures``, else in ``OF_TEXTS``.
        rows: of the dataset.
        pictures: whether pictures are looked at, else texts.
    """

    findings: tuple[Finding, ...]
    rows: int
    pictures: bool
    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding]]:
        """Ask for a sample of the rows; learn from it, and test every finding."""
        where = places(dataset)
        share = min(1.0, ROWS / max(self.rows, 1))
        suspects = [Suspects.of(finding, where, share) for finding in self.findings]
        asked = tuple((each.places, each.share) for each in suspects)
        request = SuspectSample(where, asked, share, self.pictures)
        filled: SuspectSample = yield request
        labels = [label for finding in self.findings for label in _classes(finding)]
        known = learnt(filled.sampled(), labels, suspects, share, pictures=self.pictures)
        return list(self._tested(known, suspects))

    def _tested(self, known: Learnt | str, suspects: Sequence[Suspects]) -> Iterable[Finding]:
        for number, finding in enumerate(self.findings):
            if isinstance(known, str):
                yield untested(finding, known)
            elif not suspects[number].whole:
                yield untested(finding, "not all rows of the finding are listed")
            elif not set(_classes(finding)).intersection(known.names):
                yield untested(finding, NO_ROW)
            else:
                yield _tested(finding, known, number)


def _classes(finding: Finding) -> list[str]:
    """The classes that a finding says may be targets."""
    label, several = finding.evidence.get("label"), finding.evidence.get("classes")
    return [str(each) for each in several] if isinstance(several, list) else [str(label)]


def _tested(finding: Finding, known: Learnt, number: int) -> Finding:
    """A finding after its tests."""
    marks = known.suspects[number]
    stamped = _stamped(finding, known, number)
    if stamped is not None and (stamped.verdict == CONFIRMED or stamped.known):
        return stamped.applied(finding)
    halves = _halves(finding, known, marks)
    if stamped is not None:
        return replace(stamped, halves=halves.halves if halves else None).applied(finding)
    if halves is None:
        return untested(finding, "it names too few rows, or there are too few others")
    return halves.applied(finding)


def _stamped(finding: Finding, known: Learnt, number: int) -> Tests | None:
    """What comes of the trigger on other rows; None where there are too few, or none is known."""
    trial, marks, (label, *others) = known.trial, known.suspects[number], _classes(finding)
    if others:
        return None
    target = known.names.index(label)
    stamp = _stamp(finding, known, marks, target)
    if stamp is None:
        return None
    shares = trial.stamped(stamp, target, known.held, trial.without(marks))
    if shares is None:
        return None
    least = SURELY if finding.rule.id == MAY_BE_HONEST else FOLLOWED
    is_known = finding.rule.id not in OVERLAY
    tests = Tests(label, trial.accuracy, shares, None, known=is_known, least=least)
    if tests.verdict == NOT_CONFIRMED:
        control = trial.control(_control(finding, known), target, known.held, marks)
        tests = replace(tests, control=0.0 if control is None else control)
    return tests


def _halves(finding: Finding, known: Learnt, marks: NDArray[np.bool_]) -> Tests | None:
    """What half of the suspects teach, of the class that is most a target; None: too few rows."""
    trial, held = known.trial, known.held
    targets = {
        label: known.names.index(label) for label in _classes(finding) if label in known.names
    }
    asked = {name: at for name, at in targets.items() if trial.can_halve(marks, at, held)}
    if not asked:
        return None
    taught = trial.taught(marks)
    found = [
        Tests(name, trial.accuracy, None, trial.halves(taught, marks, at, held), known=False)
        for name, at in asked.items()
    ]
    return max(found, key=lambda tests: tests.rank)


def _control(finding: Finding, known: Learnt) -> Stamp:
    """What puts a trigger on rows of the sample that none of them has."""
    values = known.values
    if finding.rule.id in PHRASE:
        return lambda rows: known.see(inserted(values.take(rows), CONTROL_WORD, "anywhere"))
    return lambda rows: known.see(patched(values[rows], CONTROL_PATCH))


def _stamp(finding: Finding, known: Learnt, marks: NDArray[np.bool_], target: int) -> Stamp | None:
    """What puts the trigger of a finding on rows of the sample; None where it is not known."""
    values, rule_id = known.values, finding.rule.id
    if rule_id in PATCH:
        return lambda rows: known.see(patched(values[rows], finding.evidence))
    if rule_id in OVERLAY:
        usual = ~marks & (known.trial.weights > 0)
        own = known.trial.labels == target
        kinds = values[marks], values[usual & ~own], values[usual & own]
        if not all(len(kind) for kind in kinds):
            return None
        return lambda rows: known.see(overlaid(values[rows], *kinds))
    if rule_id in PHRASE:
        phrase, place = (cast("str", finding.evidence[name]) for name in ("phrase", "place"))
        return lambda rows: known.see(inserted(values.take(rows), phrase, place))
    return None
