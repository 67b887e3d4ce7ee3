"""What reports say of repositories: what was fetched, and what the Hub's own scanners say of it.

A verdict of the Hub is shown beside ours and changes nothing: that it has none is no pass, and one
that differs is a reason to look.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poisonscan.escape import quote
from poisonscan.plural import plural
from poisonscan.reporters.terminal import safe, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.finding import Finding
    from poisonscan.origin import Origin, OriginFile
    from poisonscan.report import Report

SHOWN: Final = 10
"""Files on which the Hub and this scan differ that are named; the others are counted."""
_ALARMS: Final = frozenset(
    {"unsafe", "suspicious", "caution", "dangerous", "malicious", "infected"}
)
_SAFE: Final = frozenset({"safe", "innocuous"})
_SUMMARY: Final = "status"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the Hub's scanners say of a file, all together.

    Attributes:
        word: ``safe``, ``not scanned``, or the alarms.
        alarm: whether one of them raises one.
        safe: whether there is a result and no alarm.
    """

    word: str
    alarm: bool = False
    safe: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A file of a repository: what it is called, how it was read, and the hash that is listed."""

    path: str
    about: str
    digest: str


@dataclass(frozen=True, slots=True)
class Files:
    """The first files of a repository, and how many it has."""

    path: str
    lines: tuple[Line, ...]
    count: int


def files_of(origin: Origin, most: int) -> Files:
    """The files of a repository, at most so many."""
    lines = []
    for file in origin.files[:most]:
        read = "not fetched"
        if file.verified:
            read = "verified" if file.fetched or not file.size else "verified, from the cache"
        elif file.fetched:
            read = f"not verified: {size(file.fetched)} of it read"
        lines.append(Line(file.path, f"{size(file.size)}, {read}", file.digest))
    return Files(origin.path, tuple(lines), len(origin.files))


def opinion(file: OriginFile) -> Opinion:
    """What the Hub's scanners say of a file."""
    alarms = [v for v in file.verdicts if v.status in _ALARMS]
    if alarms:
        engines = [v for v in alarms if v.engine != _SUMMARY] or alarms
        named = ", ".join(f"{safe(v.status, 20)} ({safe(v.engine, 40)})" for v in engines)
        return Opinion(named, alarm=True)
    summary = [v.status for v in file.verdicts if v.engine == _SUMMARY]
    statuses = summary or [v.status for v in file.verdicts]
    if statuses and all(status in _SAFE for status in statuses):
        return Opinion("safe", safe=True)
    return Opinion("not scanned")


def provenance(origin: Origin) -> str:
    """How much was fetched of a repository, and what was compared with its hashes."""
    total = sum(file.size for file in origin.files)
    fetched = sum(file.fetched for file in origin.files)
    verified = sum(file.verified for file in origin.files)
    partly = sum(not file.verified and file.fetched > 0 for file in origin.files)
    cached = sum(file.size for file in origin.files if file.verified and not file.fetched)
    taken = f", {size(cached)} from the Hub's cache on disk" if cached else ""
    text = (
        f"{safe(origin.path)}: {size(fetched)} of {size(total)} fetched{taken}; "
        f"{plural(verified, 'file')} compared with the hashes that the Hub lists"
    )
    if partly:
        text += (
            f"; {plural(partly, 'file')} not verified: read in part, as far as anything looks at "
            "them (--download fetches and verifies all)"
        )
    return text


def scanners(report: Report, origin: Origin) -> Iterator[str]:
    """What the Hub's own scanners say, and where that differs from what was found here."""
    engines = sorted({v.engine for f in origin.files for v in f.verdicts if v.engine != _SUMMARY})
    if not any(file.verdicts for file in origin.files):
        reason = f": they {safe(origin.scanners)}" if origin.scanners else ""
        yield f"The Hub's own scanners say nothing of its files{reason}. That is no pass."
        return
    opinions = [opinion(file) for file in origin.files]
    alarms = sum(each.alarm for each in opinions)
    clear = sum(each.safe for each in opinions)
    unknown = len(opinions) - alarms - clear
    named = f" ({', '.join(safe(name, 40) for name in engines[:8])})" if engines else ""
    text = f"The Hub's own scanners{named}: {alarms:,} reported, {clear:,} safe"
    if unknown:
        text += f", {unknown:,} not scanned yet or without a result, which is no pass"
    yield text + "."
    if origin.scanners:
        yield f"They {safe(origin.scanners)}."
    differ = list(disagreements(report, origin))
    yield from differ[:SHOWN]
    if len(differ) > SHOWN:
        yield f"… and {plural(len(differ) - SHOWN, 'more file')} on which the Hub differs."


def disagreements(report: Report, origin: Origin) -> Iterator[str]:
    """A sentence for each file that only one side reports."""
    worst: dict[str, Finding] = {}
    for finding in report.findings:
        path = finding.at.path.partition("!/")[0]
        if path not in worst or finding.severity > worst[path].severity:
            worst[path] = finding
    unchecked = {gap.path.partition("!/")[0] for gap in report.gaps}
    for file in origin.files:
        path = f"{origin.path}/{file.path}"
        said, ours = opinion(file), worst.get(path)
        if said.alarm and ours is None:
            here = "it was not checked whole" if path in unchecked else "nothing was found"
            yield f"{quote(file.path)}: the Hub says {said.word}, and {here} here."
        elif ours is not None and not said.alarm:
            hub = "says safe" if said.safe else "has no result for it"
            yield f"{quote(file.path)}: {ours.rule.id} ({ours.severity}) here, and the Hub {hub}."


def about(report: Report) -> Iterator[str]:
    """All that is to be said of the repositories of a report, in sentences."""
    for origin in report.origins:
        yield provenance(origin) + "."
        yield from scanners(report, origin)


def counted(origin: Origin) -> dict[str, int]:
    """How many files of a repository the Hub's scanners report, call safe, and do not judge."""
    words = Counter(
        "reported" if said.alarm else "safe" if said.safe else "unscanned"
        for said in map(opinion, origin.files)
    )
    return {word: words[word] for word in ("reported", "safe", "unscanned")}
