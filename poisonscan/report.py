"""The result of a scan: findings, gaps, and what was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from poisonscan.finding import Aside, Finding, Gap, Rule, Scanned, Severity, Skipped, Span
from poisonscan.origin import Origin


@dataclass(slots=True)
class Report:
    """The result of a scan.

    Attributes:
        targets: what was asked for.
        findings: most severe first once ``sort`` was called.
        gaps: what could not be checked.
        scanned: what was checked.
        skipped: files that are neither model nor dataset.
        rules: every rule that took part.
        root: folder that paths in the report are relative to.
        seconds: wall time.
        version: of poisonscan.
        interrupted: the user stopped the scan; what is here was found before.
        hidden: findings that were taken out because they are less severe than asked for.
        isolation: what the processes that read model files had given up before.
        aside: findings that were taken out because somebody decided about them before.
        expired: ignores whose last day is over, in words.
        unused: ignores that no finding was there for, in words.
        origins: the repositories that targets were fetched from.
    """

    targets: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    scanned: list[Scanned] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    rules: tuple[Rule, ...] = ()
    root: str = "."
    seconds: float = 0.0
    version: str = ""
    interrupted: bool = False
    hidden: int = 0
    isolation: tuple[str, ...] = ()
    aside: list[Aside] = field(default_factory=list)
    expired: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    origins: list[Origin] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether something was scanned and nothing was left out."""
        return bool(self.scanned) and not self.gaps and not self.interrupted

    def each(self) -> Iterator[Finding]:
        """Every finding by itself, also those that are told with another one."""
        return (each for told in self.findings for each in told.each())

    def count(self, severity: Severity) -> int:
        """Number of findings of exactly this severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def exit_code(self, fail_on: Severity | None = Severity.MEDIUM) -> int:
        """What a command ends with.

        Args:
            fail_on: the lowest severity that fails; None: findings never fail.

        Returns:
            130 when interrupted; else 1 with a finding at or above ``fail_on``; else 3 when
            nothing was scanned or something was not scanned whole; else 0.
        """
        if self.interrupted:
            return 130
        if fail_on is not None and any(f.severity >= fail_on for f in self.findings):
            return 1
        return 0 if self.complete else 3

    def hide_below(self, lowest: Severity) -> None:
        """Take out findings that are less severe, and count them; also those told with others."""
        kept = [finding for finding in self.findings if finding.severity >= lowest]
        told = [tuple(e for e in finding.agreeing if e.severity >= lowest) for finding in kept]
        self.hidden += len(self.findings) - len(kept)
        self.hidden += sum(map(len, (f.agreeing for f in kept))) - sum(map(len, told))
        self.findings = [replace(f, agreeing=e) for f, e in zip(kept, told, strict=True)]

    def add(self, item: Finding | Gap | Scanned | Skipped) -> None:
        """Take over one result."""
        if isinstance(item, Finding):
            self.findings.append(item)
        elif isinstance(item, Gap):
            self.gaps.append(item)
        elif isinstance(item, Scanned):
            self.scanned.append(item)
        else:
            self.skipped.append(item)

    def extend(self, other: Report) -> None:
        """Take over what ``other`` found, left out and scanned."""
        self.findings += other.findings
        self.gaps += other.gaps
        self.scanned += other.scanned
        self.skipped += other.skipped

    def sort(self) -> None:
        """Order everything: findings by severity, rule and place; the rest by path."""
        self.findings.sort(key=_order)
        self.gaps.sort(key=lambda gap: (gap.path, gap.detector or "", gap.reason))
        self.scanned.sort(key=lambda entry: (entry.path, entry.kind))
        self.skipped.sort(key=lambda entry: entry.path)


def _order(finding: Finding) -> tuple[int, str, str, int, str]:
    part = finding.at.part
    offset = part.offset if isinstance(part, Span) else 0
    return (-finding.severity, finding.rule.id, finding.at.path, offset, finding.key)
