"""What of many findings fits on a screen: the worst, of each rule one before a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from poisonscan.finding import Severity
from poisonscan.plural import plural
from poisonscan.reporters.base import outermost
from poisonscan.reporters.terminal import Terminal, safe

if TYPE_CHECKING:
    from poisonscan.finding import Finding, Rule

Cost = Callable[["Finding", bool], int]
"""Lines of a finding, and whether it is the first of its rule."""

_FILE_LINES = 2
"""The name of a file above its findings, and the blank line below them."""


def fitting(findings: Sequence[Finding], lines: int | None, cost: Cost) -> list[Finding]:
    """The findings to show, at least one if there is any.

    Args:
        findings: the worst first.
        lines: how many there are for findings; None: as many as it takes.
        cost: lines that a finding takes.

    Returns:
        All in the given order, or those that leave room for an ``overview`` of the rest.
    """
    if lines is None or not findings:
        return list(findings)
    every = _taken(findings, lines, cost)
    if len(every) == len(findings):
        return list(findings)
    rules = len({finding.rule.id for finding in findings})
    chosen = {id(finding) for finding in _taken(findings, lines - room(rules, lines), cost)}
    return [finding for finding in findings if id(finding) in chosen]


def room(rules: int, lines: int) -> int:
    """Lines of an overview of what is left out, with its heading and the blank line below."""
    return min(rules, _rules_listed(lines) + 1) + 2


def _rules_listed(lines: int) -> int:
    return max(3, lines // 4)


def _taken(findings: Sequence[Finding], lines: int, cost: Cost) -> list[Finding]:
    seen: Counter[str] = Counter()
    ordered: list[tuple[int, int, int]] = []
    for index, finding in enumerate(findings):
        ordered.append((-finding.severity, seen[finding.rule.id], index))
        seen[finding.rule.id] += 1
    files: set[str] = set()
    taken: list[Finding] = []
    used = 0
    for _, nth, index in sorted(ordered):
        finding = findings[index]
        file = outermost(finding.at.path)
        used += cost(finding, nth == 0) + (0 if file in files else _FILE_LINES)
        if used > lines and taken:
            break
        files.add(file)
        taken.append(finding)
    return taken


def overview(left: Iterable[Finding], lines: int, terminal: Terminal) -> Iterator[str]:
    """Lines that count by rule the findings that are left out, the worst rule first."""
    rules: dict[str, Rule] = {}
    worst: dict[str, Severity] = {}
    counts: Counter[str] = Counter()
    files: dict[str, set[str]] = {}
    for finding in left:
        rules[finding.rule.id] = finding.rule
        worst[finding.rule.id] = max(worst.get(finding.rule.id, Severity.LOW), finding.severity)
        counts[finding.rule.id] += 1
        files.setdefault(finding.rule.id, set()).add(outermost(finding.at.path))
    if not rules:
        return
    heading = terminal.bold(plural(counts.total(), "more finding"))
    yield f"{heading}  {terminal.dim('(-v shows all)')}"
    worst_first = sorted(rules.values(), key=lambda rule: (-worst[rule.id], rule.id))
    listed = worst_first[: _rules_listed(lines)]
    width = max(len(safe(rule.name)) for rule in listed)
    for rule in listed:
        names = files[rule.id]
        where = f"in {len(names):,} files" if len(names) > 1 else f"in {safe(next(iter(names)))}"
        name = f"{terminal.bold(safe(rule.id))} {safe(rule.name):{width}}"
        yield f"  {terminal.severity(worst[rule.id])}  {name}  {counts[rule.id]:>5,} {where}"
    if rest := worst_first[len(listed) :]:
        others = plural(sum(counts[rule.id] for rule in rest), "more finding")
        yield terminal.dim(f"  … and {others} of {plural(len(rest), 'more rule')}")
    yield ""


def leading(blocks: Sequence[Sequence[str]], lines: int | None) -> int:
    """How many blocks of lines fit, at least one if there is any."""
    if lines is None:
        return len(blocks)
    used = 0
    for number, block in enumerate(blocks):
        used += len(block)
        if used > lines and number:
            return number
    return len(blocks)
