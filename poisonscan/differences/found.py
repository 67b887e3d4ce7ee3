"""What a comparison found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from poisonscan.escape import escape
from poisonscan.finding import Gap, Json

KEPT: Final = 1_000
"""Differences of each kind that are kept; the rest is counted."""
KINDS: Final = {
    "call": "calls in pickles", "import": "imports in pickles", "code": "code",
    "config": "settings", "tensor": "tensors", "classes": "class names", "columns": "columns",
    "dataset": "datasets", "relabelled": "relabelled rows", "moved": "rows moved between splits",
    "added row": "added rows", "removed row": "removed rows", "file": "files",
}  # fmt: skip
"""Kinds of differences in the order in which they matter, and what people call them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same.

    Attributes:
        kind: one of ``KINDS``.
        path: where in the new version, or in the old one for what is gone; not escaped.
        what: a phrase for people, escaped.
        about: the same for programs.
    """

    kind: str
    path: str
    what: str
    about: dict[str, Json] = field(default_factory=dict)

    def as_json(self) -> Json:
        """For programs."""
        return {"path": escape(self.path), "what": self.what, **self.about}


@dataclass(slots=True)
class Differences:
    """Everything that a comparison found.

    Attributes:
        found: differences by kind, at most ``KEPT`` of each.
        counts: how many there are of each kind.
        gaps: what was not compared.
        rows: what became of the rows of each dataset, with counts of pairs of labels.
        same_tensors: tensors that are the same in files that are not.
        files: how many files were compared.
    """

    found: dict[str, list[Difference]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    gaps: list[Gap] = field(default_factory=list)
    rows: dict[str, Json] = field(default_factory=dict)
    same_tensors: int = 0
    files: int = 0

    @property
    def exit_code(self) -> int:
        """1 with a difference, else 3 with a gap, else 0."""
        return 1 if self.counts.total() else 3 if self.gaps else 0

    def add(self, difference: Difference, count: int = 1) -> None:
        """Take in a difference, which stands for ``count``."""
        kept = self.found.setdefault(difference.kind, [])
        if len(kept) < KEPT:
            kept.append(difference)
        self.counts[difference.kind] += count

    def as_json(self) -> Json:
        """For programs."""
        return {
            "same": self.exit_code == 0,
            "files": self.files,
            "counts": {kind: self.counts[kind] for kind in KINDS if self.counts[kind]},
            "rows": self.rows,
            "same tensors": self.same_tensors,
            "differences": {
                kind: [one.as_json() for one in self.found[kind]]
                for kind in KINDS
                if kind in self.found
            },
            "gaps": [{"path": escape(g.path), "reason": escape(g.reason)} for g in self.gaps],
        }
