"""A baseline: the findings that were there when somebody began to look, so that new ones show.

It holds fingerprints: rule, path and subject. A finding that is in it is counted and fails nothing;
the same finding once more often than it holds is new, and so is one that is graver than it was: one
that was accepted as low may be confirmed since. What a file's bytes are is not part of it.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from poisonscan.escape import clip, escape, quote
from poisonscan.finding import Aside, Finding, Severity
from poisonscan.formats.strict_json import parse_bounded
from poisonscan.report import Report

if TYPE_CHECKING:
    from pathlib import Path

VERSION: Final = 1
"""Of the format. Goes up when older versions of poisonscan would misread it."""
MAX_BYTES: Final = 64 << 20
"""The largest baseline that is read."""
REASON: Final = "It is in the baseline."

_MAX_ENTRIES: Final = 2_000_000
_MAX_COUNT: Final = 10**9
_SHOWN: Final = 200
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{32}")


class BaselineError(ValueError):
    """A file that is no baseline; the message says where in it, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Known:
    """A finding that a baseline holds.

    Attributes:
        fingerprint: of the finding.
        rule: its id, for whoever reads the file, as are
        path: the place and
        message: what was seen.
        severity: how grave it was, the gravest of several; a graver one is not known. Empty if an
            older version wrote the file: then any is.
        count: how many findings have the fingerprint, 1 or more.
    """

    fingerprint: str
    rule: str = ""
    path: str = ""
    message: str = ""
    severity: str = ""
    count: int = 1

    @property
    def grave(self) -> Severity:
        """The gravest finding that it covers."""
        return Severity[self.severity.upper()] if self.severity else max(Severity)


@dataclass(slots=True)
class Baseline:
    """Findings that are known, by fingerprint."""

    known: dict[str, Known] = field(default_factory=dict)

    @classmethod
    def of(cls, reports: Iterable[Report]) -> Baseline:
        """What reports show and what a baseline kept out of them; not what ignores cover."""
        baseline = cls()
        for report in reports:
            baseline.add(cls._of_one(report))
        return baseline

    @classmethod
    def _of_one(cls, report: Report) -> Baseline:
        before = [aside.finding.each() for aside in report.aside if aside.by == "baseline"]
        findings = [*report.each(), *chain.from_iterable(before)]
        alike: defaultdict[str, list[Finding]] = defaultdict(list)
        for finding in findings:
            alike[finding.fingerprint].append(finding)
        known = {mark: _known(_gravest(same), len(same)) for mark, same in alike.items()}
        return cls(known)

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read a file.

        Args:
            path: a file of at most ``MAX_BYTES``.

        Raises:
            BaselineError: it is not a baseline, or one of a later format.
            OSError: it cannot be read.
        """
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            message = f"it is larger than the {MAX_BYTES >> 20} MiB that a baseline may have"
            raise BaselineError(message)
        document = _parsed(content)
        version = document.get("poisonscan_baseline")
        if isinstance(version, bool) or version != VERSION:
            message = (
                "it is no baseline of this version of poisonscan: `poisonscan baseline create` "
                "makes one"
            )
            raise BaselineError(message)
        entries = document.get("findings")
        if not isinstance(entries, list):
            message = "findings should be a list"
            raise BaselineError(message)
        baseline = cls()
        for number, entry in enumerate(entries):
            baseline.add(cls(dict([_entry(entry, f"findings[{number}]")])))
        return baseline

    def text(self) -> str:
        """The file, one line for each finding, so that a review shows what was added."""
        ordered = sorted(
            self.known.values(), key=lambda known: (known.path, known.rule, known.fingerprint)
        )
        lines = ",\n".join(
            "  " + json.dumps({name: getattr(known, name) for name in Known.__slots__})
            for known in ordered
        )
        middle = f"\n{lines}\n " if lines else ""
        return f'{{"poisonscan_baseline": {VERSION},\n "findings": [{middle}]}}\n'

    def add(self, other: Baseline) -> list[Known]:
        """Take over what is not known, not as often, or as less grave; returns it."""
        added = []
        for fingerprint, entry in other.known.items():
            before = self.known.get(fingerprint, replace(entry, count=0))
            graver = entry.grave > before.grave
            if graver or before.count < entry.count:
                added.append(entry)
                grave = entry.severity if graver else before.severity
                count = max(entry.count, before.count)
                self.known[fingerprint] = replace(entry, severity=grave, count=count)
        return added

    def prune(self, found: Baseline) -> list[Known]:
        """Forget what is not found any more, or not as often; returns what it was before."""
        forgotten = []
        for fingerprint, entry in list(self.known.items()):
            now = found.known.get(fingerprint)
            if now is None:
                forgotten.append(self.known.pop(fingerprint))
            elif now.count < entry.count:
                forgotten.append(entry)
                self.known[fingerprint] = replace(entry, count=now.count)
        return forgotten

    def apply(self, report: Report) -> None:
        """Put known findings aside. Gaps stay: what was not checked is not known."""
        left = Counter({known.fingerprint: known.count for known in self.known.values()})
        kept: list[Finding] = []
        for finding in report.findings:
            fingerprint = finding.fingerprint
            if left[fingerprint] > 0 and finding.severity <= self.known[fingerprint].grave:
                left[fingerprint] -= 1
                report.aside.append(Aside(finding, "baseline", REASON))
            else:
                kept.append(finding)
        report.findings = kept


def _gravest(findings: Iterable[Finding]) -> Finding:
    return max(findings, key=lambda finding: finding.severity)


def _known(finding: Finding, count: int) -> Known:
    return Known(
        finding.fingerprint,
        finding.rule.id,
        clip(escape(finding.at.path), _SHOWN),
        clip(escape(finding.message), _SHOWN),
        str(finding.severity),
        count,
    )


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        parsed = parse_bounded(content, _MAX_ENTRIES)
    except ValueError as error:
        raise BaselineError(str(error)) from error
    if parsed.duplicates or not isinstance(parsed.content, dict):
        message = "it is not one JSON object with each key once"
        raise BaselineError(message)
    return parsed.content


def _entry(value: object, at: str) -> tuple[str, Known]:
    if not isinstance(value, dict):
        message = f"{at} should be an object"
        raise BaselineError(message)
    fingerprint, count = value.get("fingerprint"), value.get("count", 1)
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        message = f"{at}.fingerprint should be 32 hexadecimal digits"
        raise BaselineError(message)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MAX_COUNT:
        message = f"{at}.count is {quote(count, 40)}; it should be 1 or more"
        raise BaselineError(message)
    about = {name: value.get(name, "") for name in ("rule", "path", "message", "severity")}
    for name, text in about.items():
        if not isinstance(text, str):
            message = f"{at}.{name} should be a text"
            raise BaselineError(message)
    if about["severity"] and about["severity"] not in map(str, Severity):
        message = f"{at}.severity is {quote(about['severity'], 40)}; it should be that of a finding"
        raise BaselineError(message)
    shown = {name: clip(escape(text), _SHOWN) for name, text in about.items()}
    return fingerprint, Known(fingerprint, count=count, **shown)
