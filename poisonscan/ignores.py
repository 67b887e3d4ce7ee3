"""Ignores: findings that somebody looked at and answers for, with a reason and an end."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from poisonscan.datasets.globs import fits, leaves
from poisonscan.escape import clip, escape, quote
from poisonscan.finding import Aside, Finding
from poisonscan.origin import lasting
from poisonscan.report import Report
from poisonscan.rules import RuleError, select

MAX_REASON: Final = 1_000
"""Characters of a reason."""

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{32}")
_SHOWN: Final = 80


class IgnoreError(ValueError):
    """An ignore that says too little, or something wrong."""


@dataclass(frozen=True, slots=True)
class Ignore:
    """Takes findings out of a report. All that is given must fit; one of the three must be.

    Attributes:
        reason: why these findings are no problem; never empty.
        rule: id, start of an id, or name of the rule.
        path: a pattern of paths as reports write them: ``*`` stays in a folder, ``**`` does not. A
            pattern that fits an archive takes what is in it, too.
        fingerprint: of one finding, as the JSON report has it.
        until: the last day on which it holds; None: no end.

    Raises:
        IgnoreError: no reason, none of rule, path and fingerprint, or one that nothing can fit.
    """

    reason: str
    rule: str | None = None
    path: str | None = None
    fingerprint: str | None = None
    until: dt.date | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            expected = dt.date if each.name == "until" else str
            if value is not None and not isinstance(value, expected):
                what = "a date such as 2027-01-31" if each.name == "until" else "a text"
                message = f"{each.name} should be {what}, not {quote(value, _SHOWN)}"
                raise IgnoreError(message)
        if not isinstance(self.reason, str) or not self.reason.strip():
            message = "reason is missing: say why these findings are no problem"
            raise IgnoreError(message)
        if len(self.reason) > MAX_REASON:
            message = f"reason has more than {MAX_REASON:,} characters"
            raise IgnoreError(message)
        if self.rule is None and self.path is None and self.fingerprint is None:
            message = "one of rule, path and fingerprint must say which findings are meant"
            raise IgnoreError(message)
        if self.rule is not None:
            check_rule(self.rule)
        if self.fingerprint is not None and not _FINGERPRINT.fullmatch(self.fingerprint):
            message = "fingerprint should be 32 hexadecimal digits, as in the JSON report"
            raise IgnoreError(message)
        self._check_path()

    def _check_path(self) -> None:
        if self.path is None:
            return
        if not self.path or (leaves(self.path) and not self.path.startswith("hf://")):
            message = f"path is {quote(self.path, _SHOWN)}; it should be as reports write paths"
            raise IgnoreError(message)
        try:
            fits(escape(self.path), "")
        except ValueError as error:
            message = f"path is {error}"
            raise IgnoreError(message) from error

    def __str__(self) -> str:
        """One inert line: what it is for, its end, and its reason."""
        parts = [
            f"{name} {clip(escape(value), _SHOWN)}"
            for name in ("rule", "path", "fingerprint")
            if (value := getattr(self, name)) is not None
        ]
        end = f" (until {self.until})" if self.until else ""
        return f"{', '.join(parts)}{end}: {clip(escape(self.reason), 200)}"

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is meant, whatever the day."""
        if self.fingerprint is not None and finding.fingerprint != self.fingerprint:
            return False
        if self.rule is not None and not _is_of(finding, self.rule):
            return False
        return self.path is None or _lies_in(finding.at.path, self.path)

    def is_over(self, today: dt.date) -> bool:
        """Whether its last day is before ``today``."""
        return self.until is not None and self.until < today


def from_table(table: Mapping[str, object]) -> Ignore:
    """An ignore as a settings file writes it.

    Raises:
        IgnoreError: a key is unknown, or see ``Ignore``.
    """
    names = [each.name for each in fields(Ignore)]
    for key in table:
        if key not in names:
            message = f"{quote(key, _SHOWN)} is no key of an ignore; there are {', '.join(names)}"
            raise IgnoreError(message)
    values = dict(table)
    until = values.get("until")
    if isinstance(until, dt.datetime):
        message = "until should be a day such as 2027-01-31, without a time"
        raise IgnoreError(message)
    if isinstance(until, str):
        try:
            values["until"] = dt.date.fromisoformat(until)
        except ValueError:
            message = f"until is {quote(until, _SHOWN)}; it should be a day such as 2027-01-31"
            raise IgnoreError(message) from None
    return Ignore(**{"reason": "", **values})  # type: ignore[arg-type]


def check_rule(selector: str) -> None:
    """See that a rule is named by id, start of an id, or name.

    Raises:
        IgnoreError: no rule is; the message names one that is written alike.
    """
    try:
        select((selector,))
    except RuleError as error:
        raise IgnoreError(str(error)) from None


def apply(report: Report, ignores: Iterable[Ignore], today: dt.date | None = None) -> None:
    """Put aside what ignores cover. Gaps stay: what was not checked cannot be ignored.

    Args:
        report: is changed; says afterwards which ignores were over and which not needed.
        ignores: the first one that covers a finding gives the reason.
        today: the day that ends are compared with; by default the present one.
    """
    day = today or dt.date.today()  # the day where people are
    all_of_them = list(dict.fromkeys(ignores))
    holding = [ignore for ignore in all_of_them if not ignore.is_over(day)]
    used: set[Ignore] = set()
    kept: list[Finding] = []
    for finding in report.findings:
        covering = [ignore for ignore in holding if ignore.covers(finding)]
        used.update(covering)
        if covering:
            report.aside.append(Aside(finding, "ignore", escape(covering[0].reason)))
        else:
            kept.append(finding)
    report.findings = kept
    report.expired = tuple(str(ignore) for ignore in all_of_them if ignore.is_over(day))
    report.unused = tuple(str(ignore) for ignore in holding if ignore not in used)


def _is_of(finding: Finding, selector: str) -> bool:
    return finding.rule.name == selector.lower() or finding.rule.id.startswith(selector.upper())


@functools.lru_cache(maxsize=100_000)
def _lies_in(path: str, pattern: str) -> bool:
    """Whether the pattern fits the path or an archive around it, written as reports write it."""
    return any(fits(escape(pattern), name) for name in _names(path))


@functools.lru_cache(maxsize=1_000)
def _names(path: str) -> frozenset[str]:
    names = {path, lasting(path)}
    for name in tuple(names):
        members = name.split("!/")
        names.update("!/".join(members[:depth]) for depth in range(1, len(members)))
    return frozenset(map(escape, names))
