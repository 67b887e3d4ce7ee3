"""A model that the user wants to be run is scanned first, as any other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from poisonscan.escape import quote
from poisonscan.finding import Report
from poisonscan.sources.base import Blob
from poisonscan.targets import TargetError, files_of, root_of


def vet(file: str, scan: Callable[[list[Blob], Report], object]) -> None:
    """Refuse a model in which anything is found, or that could not be checked whole.

    Args:
        file: the model.
        scan: scans files into a report, by every rule.

    Raises:
        TargetError: it is refused, does not exist or is no file.
    """
    if not Path(file).is_file():
        message = f"the model {os.fspath(file)!r} is no file"
        raise TargetError(message)
    blobs, report = files_of([file], root_of([file], None))
    scan(blobs, report)
    if report.findings:
        worst = max(report.findings, key=lambda finding: finding.severity)
        message = (
            f"the model {quote(file)} is not used: {worst.rule.id} {worst.rule.name}:"
            f" {worst.message} (poisonscan model {quote(file)} says more)"
        )
        raise TargetError(message)
    if report.gaps or not report.scanned:
        why = report.gaps[0].reason if report.gaps else "it is no model of a known format"
        message = f"the model {quote(file)} is not used, as it could not be checked: {why}"
        raise TargetError(message)
