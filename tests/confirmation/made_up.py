"""Texts and pictures of two and more classes, and findings that name rows of them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.finding import Fact, Finding, Gap, Json, Location
from poisonscan.report import Report
from poisonscan.rules import rule
from poisonscan.scan import scan
from poisonscan.verdict import ClassTest
from tests.datasets.files import encoded

Rows = NDArray[np.int64]
Found = Finding | Fact | Gap | ClassTest


@dataclass(frozen=True)
class Named:
    """A finding that a detector would make of rows."""

    rule_id: str
    label: str
    rows: Rows
    evidence: dict[str, Json]
    left_out: int = 0


@dataclass(frozen=True)
class MadeUp:
    """Reports what it is told to, as a detector would."""

    findings: tuple[Named, ...]
    shard_rows: int
    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, list[Found]]:
        """Ask for nothing."""
        yield from ()
        out: list[Found] = []
        for number, named in enumerate(self.findings):
            places = np.stack(np.divmod(named.rows, self.shard_rows), axis=1)
            count = len(places) + named.left_out
            at = Location(dataset.path, dataset.named(places, count=count))
            found = rule(named.rule_id).finding(at, "Made up.", key=f"made up {number}")
            evidence = {**named.evidence, "label": named.label}
            out.append(replace(found, evidence=evidence))
            out.append(ClassTest((named.rule_id,), named.label, 0.0))
        return out


def scanned(path: Path, *findings: Named, shard_rows: int = 1 << 30) -> Report:
    """A scan of a file that finds these and no others."""
    measures = {"made up": MadeUp(findings, shard_rows)}
    rules = sorted({each.rule_id for each in findings})
    report = scan(
        path,
        kind="dataset",
        select=rules,
        measures=measures,
        jobs=1,
        root=path.parent,
    )
    report.findings = [each for each in report.each() if each.message.startswith("Made up.")]
    report.findings.sort(key=lambda finding: finding.key)
    return report


def verdicts(report: Report) -> list[str]:
    return [_told(finding)["verdict"] for finding in report.findings]


def _told(finding: Finding) -> Any:
    return finding.evidence["confirmation"]


def write_texts(path: Path, texts: list[str], labels: Rows) -> Path:
    pq.write_table(pa.table({"text": texts, "label": labels}), path)
    return path


def pictures(rows: int, classes: int = 4, seed: int = 1) -> tuple[NDArray[np.uint8], Rows]:
    """Smooth shades, and on them a soft blob at a place of the picture's class."""
    draw = np.random.default_rng(seed)
    small = draw.integers(64, 192, (rows, 8, 8), dtype=np.uint8)
    smooth = [Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC) for one in small]
    planes = np.stack([np.asarray(one, np.float32) for one in smooth])
    labels = draw.integers(classes, size=rows)
    down, across = np.indices((32, 32))
    for label in range(classes):
        top, left = 8 + 16 * (label // 2), 8 + 16 * (label % 2)
        blob = 60 * np.exp(-((down - top) ** 2 + (across - left) ** 2) / 30)
        planes[labels == label] += blob
    return np.clip(planes, 0, 255).astype(np.uint8), labels


def write_pictures(path: Path, planes: NDArray[np.uint8], labels: Rows) -> Path:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": encoded(Image.fromarray(p)), "path": None} for p in planes]
    names = [f"class {label}" for label in labels.tolist()]
    pq.write_table(pa.table({"image": pa.array(cells, kind), "label": names}), path)
    return path
