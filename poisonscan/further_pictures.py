"""Columns of pictures beside the first: each is looked at as if it were a dataset of its own.

Masks beside photos, the left and the right picture: whoever plants a trigger may choose either.
What is asked of rows as a whole (whether they are copies, whether labels fit) is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from poisonscan.datasets.batch import Role
from poisonscan.datasets.pictures import Pictures
from poisonscan.escape import escape, quote
from poisonscan.json_form import as_json
from poisonscan.masking import mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.base import DatasetDetector
    from poisonscan.finding import Finding, Gap, Rule
    from poisonscan.passes import Passes
    from poisonscan.report import Report

OF_ROWS: Final = frozenset({
    "detectors.datasets.flipped_labels", "detectors.datasets.similar_pictures",
})  # fmt: skip
"""Detectors that need pictures but judge rows: a row with another first picture is no copy."""


@dataclass(frozen=True, slots=True)
class Looks:
    """How datasets are looked at.

    Attributes:
        detectors: by module.
        rules: whose findings are wanted.
        passes: what reads a dataset.
        confirms: whether findings are put to a test.
    """

    detectors: Mapping[str, DatasetDetector]
    rules: tuple[Rule, ...]
    passes: Callable[[Dataset], Passes]
    confirms: bool

    def rows(self, dataset: Dataset, detectors: Mapping[str, DatasetDetector]) -> Report:
        """Look at the rows of a dataset, and test what is found."""
        found = self.passes(dataset).run(detectors)
        found.findings = [f for f in found.findings if f.rule in self.rules]
        if self.confirms and found.findings:
            from poisonscan.confirmation.confirm import confirm

            confirm(found, dataset, self.passes(dataset).run)
        return found


def looked_at(dataset: Dataset, looks: Looks) -> Report:
    """What is found in a dataset, in its first column of pictures and in further ones.

    Findings in further columns, and what could not be read of these, tell their column.
    """
    report = looks.rows(dataset, looks.detectors)
    asked = {
        name: each
        for name, each in looks.detectors.items()
        if name not in OF_ROWS and _looks_at_pictures(each)
    }
    for column, view in _views(dataset) if asked else ():
        part = looks.rows(view, asked)
        report.findings += [_named(finding, column) for finding in part.findings]
        known = set(report.gaps)
        report.gaps += [_gap(gap, column) for gap in part.gaps if gap not in known]
        seen = {name: fact for each in part.scanned for name, fact in each.facts.items()}
        own = {name: fact for name, fact in seen.items() if name not in view.facts}
        about = {f"pictures of column {quote(column)}": as_json(own)} if own else {}
        report.scanned = [replace(e, facts={**e.facts, **about}) for e in report.scanned]
    return report


def _looks_at_pictures(detector: DatasetDetector) -> bool:
    """Whether a detector looks at pictures themselves, or at labelled vectors of them."""
    return Role.PICTURES in detector.needs or {Role.FEATURES, Role.LABEL} <= detector.needs


def _views(dataset: Dataset) -> Iterator[tuple[str, Dataset]]:
    """Each further column, with a dataset of its pictures and the labels."""
    label = dataset.roles.get("label", ())[:1]
    for column in dataset.roles.get("image", ())[1:]:
        roles = {"image": (column,), **({"label": label} if label else {})}
        kinds = {name: dataset.columns[name] for name in (column, *label)}
        yield (
            column,
            replace(
                dataset, columns=kinds, roles=roles, vectors=Pictures((column,)), reference=None
            ),
        )


def _named(finding: Finding, column: str) -> Finding:
    """A finding that says which column it is about; it is none of the same class of the first."""
    return replace(
        finding,
        key=f"column\0{column}\0{finding.key}",
        message=f"in column {escape(mask(quote(column)))}: {finding.message}",
        evidence={**finding.evidence, "column": column},
    )


def _gap(gap: Gap, column: str) -> Gap:
    return replace(gap, reason=f"column {quote(column)}: {gap.reason}")
