"""Put aside what somebody decided about before: what a scan found, less ignores and baseline."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from poisonscan.agreement import apart, merge
from poisonscan.baseline import Baseline
from poisonscan.ignores import Ignore, apply

if TYPE_CHECKING:
    import datetime as dt

    from poisonscan.report import Report


def set_aside(
    report: Report,
    *,
    ignores: Iterable[Ignore] = (),
    baseline: Baseline | str | Path | None = None,
    today: dt.date | None = None,
) -> Report:
    """Move findings that were decided about from ``report.findings`` to ``report.aside``.

    Gaps are never put aside: an incomplete report stays incomplete.

    Args:
        report: what a scan returned; it is changed.
        ignores: what is to be ignored, and why.
        baseline: what is known, or the file that holds it.
        today: the day that ends of ignores are compared with; by default the present one.

    Returns:
        The same report.

    Raises:
        poisonscan.baseline.BaselineError: the file is no baseline.
        OSError: the file cannot be read.
    """
    if isinstance(baseline, str | Path):
        baseline = Baseline.read(Path(baseline))
    found, before = report.findings, len(report.aside)
    apart(report)  # who decided about a finding has not decided about those that agree with it
    if ignores := tuple(ignores):  # none say nothing of those that were given before
        apply(report, ignores, today)
    if baseline is not None:
        baseline.apply(report)
    if len(report.aside) == before:
        report.findings = found
    else:
        merge(report)
        report.sort()  # what agreed with a finding that is aside stood where that was
    return report
