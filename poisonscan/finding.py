"""The vocabulary of a scan: what was found, where, by which rule, and what could not be checked."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from poisonscan.escape import escape
from poisonscan.json_form import as_json
from poisonscan.masking import mask
from poisonscan.origin import lasting
from poisonscan.places import Grounds, Places

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

MAX_ROWS = 1_000
"""Rows that one finding names; ``Rows.count`` says how many there are."""


class Severity(enum.IntEnum):
    """How bad it would be to go on: of a rule, and of its findings unless a test told more."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file or of an archive member.

    Attributes:
        offset: first byte, counted from the start of the innermost file.
        length: number of bytes.
        outer: offset of the same bytes in the outermost file, or None if they are not stored there
            as they are (compressed members).
    """

    offset: int
    length: int = 1
    outer: int | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor of a checkpoint; ``offset`` and ``length`` are its bytes in the file."""

    name: str
    offset: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a dataset.

    Attributes:
        path: the file that holds the row.
        index: position in that file, from 0 (a header line does not count).
        split: the split it belongs to.
        line: first and last line of the record, from 1, for text files; None for others.
        label: the row's label as text.
        score: how suspicious it is, in the units of the rule.
        excerpt: a short piece of its content.
        thumbnail: its picture as a PNG file of at most 64 by 64 pixels in base64.
        whole: whether the file is the row, as a picture is; its index is 0 then.
        mark: where in the excerpt what the finding is about begins, and how long it is there.
    """

    path: str
    index: int
    split: str = "train"
    line: tuple[int, int] | None = None
    label: str | None = None
    score: float | None = None
    excerpt: str | None = None
    thumbnail: str | None = None
    whole: bool = False
    mark: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Detectors count with numpy; every report can write Python's own numbers."""
        object.__setattr__(self, "index", int(self.index))
        object.__setattr__(self, "score", None if self.score is None else float(self.score))


@dataclass(frozen=True, slots=True)
class Rows:
    """A group of rows: at most ``MAX_ROWS`` of them, the most suspicious first, and how many.

    Attributes:
        rows: those that reports show.
        count: how many there are.
        every: all that one would take out, of copies all but one; None: no more than ``rows``.
    """

    rows: tuple[Row, ...]
    count: int
    every: Places | None = field(default=None, compare=False, repr=False, metadata={"shown": False})

    def __post_init__(self) -> None:
        """Take a count of numpy as a number, see ``Row``."""
        object.__setattr__(self, "count", int(self.count))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a dataset."""

    name: str


@dataclass(frozen=True, slots=True)
class Location:
    """Where a finding is: a file, written ``outer!/member`` inside archives, and a part of it."""

    path: str
    part: Span | Tensor | Rows | Column | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What is looked for. Read from ``rules/``; the only thing that makes findings.

    Attributes:
        id: stable identifier, such as ``PS101``.
        name: the same in words, such as ``pickle-runs-code``.
        title: one line for people.
        severity: of findings of this rule that nothing more is known about.
        precision: ``very-high``, ``high``, ``medium`` or ``low``: how often a finding is right.
        detector: module below ``poisonscan`` that applies the rule.
        reads: kinds of artifacts that the detector looks at; none for detectors of datasets.
        help: Markdown: what it means, why it matters, what to do.
        cwe: weakness numbers, such as ``CWE-502``.
        atlas: MITRE ATLAS techniques.
        owasp: OWASP ML top-ten entries.
        thresholds: the numbers that the detector decides by.
        fast: whether the profile ``fast`` applies it; not if it trains models on the data.
    """

    id: str
    name: str
    title: str
    severity: Severity
    precision: str
    detector: str
    help: str
    reads: tuple[str, ...] = ()
    cwe: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    fast: bool = True

    @property
    def of_datasets(self) -> bool:
        """Whether it is applied to the rows of datasets, and not to files."""
        return self.detector.startswith("detectors.datasets.")

    def finding(
        self,
        at: Location,
        message: str,
        *,
        key: str = "",
        score: float | None = None,
        **evidence: Json,
    ) -> Finding:
        """Make a finding.

        Args:
            at: where it is.
            message: what was seen, one sentence that ends with a period. Untrusted parts go
                through ``poisonscan.escape.quote`` first.
            key: what stays the same when the same thing is found again (the imported name, the
                tensor, the class, the row's content); with the rule and the path it makes the
                fingerprint. Never wording, a score or an offset.
            score: strength of the evidence in the units that the rule's help states.
            **evidence: values for programs, kept as they are in JSON and SARIF properties.
        """
        return Finding(self, at, escape(mask(message)), key, score, evidence)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a rule found. Made by ``Rule.finding`` only."""

    rule: Rule
    at: Location
    message: str
    key: str
    score: float | None
    evidence: Mapping[str, Json]
    agreeing: tuple[Finding, ...] = ()
    """Findings that name the same rows and are told with this one; none is graver."""
    judged: Severity | None = None
    """Its severity where a test of its own told more than the rule knows."""
    grounds: Grounds | None = field(
        default=None, compare=False, repr=False, metadata={"shown": False}
    )
    """What it rests on, until findings are merged, where it may be what another one says."""

    def __post_init__(self) -> None:
        """Take numbers of numpy as numbers, see ``Row``."""
        object.__setattr__(self, "evidence", as_json(self.evidence))
        object.__setattr__(self, "score", None if self.score is None else float(self.score))

    def each(self) -> Iterator[Finding]:
        """This finding and those that agree with it, each by itself."""
        return iter((replace(self, agreeing=()), *self.agreeing))

    def tested(self, severity: Severity, said: str, **evidence: Json) -> Finding:
        """This finding after a test of what it says.

        Args:
            severity: in the light of the test.
            said: what came of it, one sentence that ends with a period; as ``message`` is made.
            **evidence: values for programs.
        """
        message = f"{self.message} {escape(mask(said))}"
        judged = None if severity is self.rule.severity else severity
        known = {**self.evidence, **evidence}
        return replace(self, message=message, evidence=known, judged=judged)

    @property
    def severity(self) -> Severity:
        """The rule's severity, unless a test told more."""
        return self.rule.severity if self.judged is None else self.judged

    @property
    def fingerprint(self) -> str:
        """32 hex digits that stay the same over runs, machines and reworded messages."""
        parts = "\0".join((self.rule.id, lasting(self.at.path), self.key))
        return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Aside:
    """A finding that somebody decided about before: counted, but it fails nothing.

    Attributes:
        finding: as it was found.
        by: ``ignore`` or ``baseline``.
        reason: in the words of whoever decided.
    """

    finding: Finding
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fact:
    """What was measured of a dataset and is no finding: clean results need it to be trusted."""

    name: str
    value: Json


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was to be checked and was not, or not whole. A report with gaps is not clean.

    Attributes:
        path: the file, or the target itself.
        reason: what happened and where, for people.
        detector: the detector that did not run or finish; None when the file could not be read.
    """

    path: str
    reason: str
    detector: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is neither a model nor a dataset, such as a README. Listed, but no gap.

    Attributes:
        path: the file.
        reason: what it is instead.
        named: whether it is a target itself: who names a file wants to know what became of it.
    """

    path: str
    reason: str
    named: bool = False


@dataclass(frozen=True, slots=True)
class Scanned:
    """Something that was checked.

    Attributes:
        path: the file; for a dataset of many files their folder.
        kind: ``model``, ``dataset``, or ``settings``: configuration or code beside a model.
        format: such as ``pickle``, ``torch zip`` or ``parquet``.
        size: bytes read of it.
        rows: rows of a dataset.
        facts: what was seen and inferred: columns and roles, label counts, features used.
    """

    path: str
    kind: str
    format: str
    size: int
    rows: int | None = None
    facts: Mapping[str, Json] = field(default_factory=dict)
