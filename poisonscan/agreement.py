"""Findings that name the same rows: one is shown, and says which rules agree with it.

What somebody plants shows in several ways: a patch on pictures is a shift of their class, a cluster
in it, and came from another program. Such findings are one thing to look at. The gravest keeps its
place and holds the others whole: nothing is lost, and ``apart`` brings them back.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from poisonscan.finding import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from poisonscan.finding import Finding
    from poisonscan.report import Report

    Numbers = NDArray[np.int64]

LEAST: Final = 8
"""Rows in common from which two findings are about one thing; fewer are so by accident."""
OF_OTHER: Final = 0.8
"""Share of the rows of a finding that the one which takes it in has too."""
OF_HEAD: Final = 0.5
"""Share of the rows of the one that takes another in which the other has too."""
MOST: Final = 0.5
"""Share of a dataset's rows up to which findings are compared: any two of more have many in
common."""
OF_THEIR_OWN: Final = frozenset({"PS510", "PS511", "PS608"})
"""Rules that ask for something else than a look at the rows: a test split to be drawn again, a key
to be revoked. What asks for that is told by itself, as is what such a rule would take in."""
BY_SIGHT: Final = frozenset({"PS601", "PS602", "PS603", "PS604", "PS610", "PS611"})
"""Rules that say by the character what rows share. A finding with ``grounds`` may have learned just
that, and then also names honest rows that are a little like those: it is told with their rows only,
if it would not be there without them."""
LEARNT: Final = 0.5
"""Share of the rows of a finding ``BY_SIGHT`` that one which may have learned it has too."""
_PRECISION: Final = ("very-high", "high", "medium", "low")


def merge(report: Report) -> None:
    """Let findings of a dataset that name nearly the same rows be one.

    Which ones are depends neither on the order of the findings nor on how the rows were read.

    Args:
        report: is changed; its findings hold no others yet, and list all their rows.
    """
    sizes = {entry.path: entry.rows or 0 for entry in report.scanned if entry.kind == "dataset"}
    by_dataset: dict[str, list[tuple[int, Numbers]]] = defaultdict(list)
    for position, finding in enumerate(report.findings):
        numbers = _numbers(finding, sizes.get(finding.at.path, 0))
        if numbers is not None:
            by_dataset[finding.at.path].append((position, numbers))
    taken: set[int] = set()
    for found in by_dataset.values():
        _narrow(report.findings, found)
        for head, others in _groups(report.findings, found):
            agreeing = tuple(replace(report.findings[other], grounds=None) for other in others)
            report.findings[head] = replace(report.findings[head], agreeing=agreeing)
            taken.update(others)
    # Grounds hold texts, which are no part of a report.
    report.findings = [
        replace(each, grounds=None) for at, each in enumerate(report.findings) if at not in taken
    ]


def apart(report: Report) -> None:
    """Undo ``merge``: every finding stands for itself."""
    report.findings = list(report.each())


def _numbers(finding: Finding, rows: int) -> Numbers | None:
    """The rows of a finding in order; None where they are too few, too many or not all known.

    Also where its rule is one ``OF_THEIR_OWN``.
    """
    part = finding.at.part if finding.rule.id not in OF_THEIR_OWN else None
    every = part.every if isinstance(part, Rows) else None
    if every is None or every.left_out or not LEAST <= len(every) <= MOST * rows:
        return None
    import numpy as np

    return np.unique(every.numbers())


def _narrow(findings: list[Finding], found: list[tuple[int, Numbers]]) -> None:
    """Give findings that only learned what others see the rows of the largest of these."""
    import numpy as np

    by_sight = [(at, rows) for at, rows in found if findings[at].rule.id in BY_SIGHT]
    by_sight.sort(key=lambda one: (-len(one[1]), findings[one[0]].rule.id, findings[one[0]].key))
    for place, (learned, rows) in enumerate(found):
        grounds = findings[learned].grounds
        if grounds is None:
            continue
        inside = [
            (at, seen)
            for at, seen in by_sight
            if len(np.intersect1d(rows, seen, assume_unique=True)) >= max(LEAST, LEARNT * len(seen))
        ]
        if inside and not grounds.hold_without(np.concatenate([seen for _, seen in inside])):
            at, seen = inside[0]
            findings[learned] = replace(findings[learned], at=findings[at].at)
            found[place] = (learned, seen)


def _groups(
    findings: list[Finding], found: list[tuple[int, Numbers]]
) -> list[tuple[int, list[int]]]:
    """Positions of findings that take others in, and of these."""
    groups: list[tuple[int, Numbers, list[int]]] = []
    for position, numbers in sorted(found, key=lambda one: _rank(findings[one[0]], len(one[1]))):
        for _, rows, others in groups:
            if _agree(rows, numbers):
                others.append(position)
                break
        else:
            groups.append((position, numbers, []))
    return [(head, others) for head, _, others in groups if others]


def _rank(finding: Finding, rows: int) -> tuple[int, int, int, int, str]:
    """The gravest and surest first; of equal ones that of the later rule, which is more special."""
    rule = finding.rule
    number = int("".join(filter(str.isdigit, rule.id)) or 0)
    return -finding.severity, _PRECISION.index(rule.precision), -number, -rows, finding.key


def _agree(head: Numbers, other: Numbers) -> bool:
    import numpy as np

    if len(other) < OF_HEAD * len(head) or len(head) < OF_OTHER * len(other):
        return False
    common = len(np.intersect1d(head, other, assume_unique=True))
    return common >= max(LEAST, OF_OTHER * len(other), OF_HEAD * len(head))
