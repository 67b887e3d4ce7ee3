"""Activations of a network that the user saved, as its libraries give them: from file to report."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from poisonscan.cli import cli
from tests.detectors.datasets import backdoors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RULES = ("--select", "PS401,PS402")


def _run(target: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["dataset", str(target), "-j1", "-o", "json", *options])


def _rows(finding: Any) -> list[int]:
    return sorted(row["index"] for row in finding["location"]["part"]["rows"])


@pytest.fixture
def table(tmp_path: Path) -> tuple[Path, NDArray[np.float32], NDArray[np.bool_]]:
    """Texts with labels, what a network makes of them, and which are poisoned."""
    vectors, labels, poisoned = backdoors.shifted(1, rows=900, size=40)
    draw = np.random.default_rng(1)
    texts = [" ".join(draw.choice(["a", "be", "sea", "dee"], 6)) for _ in labels]
    file = tmp_path / "train.parquet"
    pq.write_table(pa.table({"text": texts, "label": [f"kind {label}" for label in labels]}), file)
    np.save(tmp_path / "penultimate.npy", vectors.astype(np.float32))
    return file, vectors.astype(np.float32), poisoned


def test_poison_in_activations_is_named(table: Any, tmp_path: Path) -> None:
    file, _, poisoned = table
    result = _run(file, "--activations", str(tmp_path / "penultimate.npy"), *RULES)
    assert result.exit_code == 1
    report = json.loads(result.output)
    assert report["gaps"] == []
    finding = report["findings"][0]
    assert finding["evidence"]["label"] == "kind 1"
    assert _rows(finding) == np.flatnonzero(poisoned).tolist()
    named = {finding["rule"]} | {each["rule"] for each in finding.get("merged", ())}
    assert named <= {"PS401", "PS402"}
    facts = report["scanned"][0]["facts"]
    assert facts["features"] == "activations in penultimate.npy (30 numbers)"


def test_rows_in_another_order_name_nothing(table: Any, tmp_path: Path) -> None:
    """The rows are the activations', so shuffled they belong to no class."""
    file, vectors, _ = table
    np.save(tmp_path / "shuffled.npy", np.random.default_rng(2).permutation(vectors))
    result = _run(file, "--activations", str(tmp_path / "shuffled.npy"), *RULES)
    assert json.loads(result.output)["findings"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x[:-1], "has 899 rows, the dataset 900"),
        (lambda x: np.stack([x, x], axis=1), "shape (900, 2, 30)"),
        (lambda x: x[:, 0], "shape (900,)"),
        (lambda x: x.astype(np.int64), "holds int64"),
        (np.asfortranarray, "stored by columns"),
    ],
)
def test_what_is_no_matrix_of_the_rows_is_refused(
    table: Any, tmp_path: Path, change: Any, said: str
) -> None:
    file, vectors, _ = table
    np.save(tmp_path / "wrong.npy", change(vectors))
    result = _run(file, "--activations", str(tmp_path / "wrong.npy"))
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize("profile", ["fast", "default"])
@pytest.mark.parametrize("share", [1.0, 0.01])
def test_activations_that_are_no_numbers_are_a_gap(
    table: Any, tmp_path: Path, profile: str, share: float
) -> None:
    file, vectors, _ = table
    vectors[: int(share * len(vectors))] = np.nan
    np.save(tmp_path / "holes.npy", vectors)
    only = ("--select", "PS401,PS508") if profile == "default" else ("--select", "PS508")
    given = ("--activations", str(tmp_path / "holes.npy"), "--profile", profile)
    result = _run(file, *given, *only)
    assert result.exit_code in {1, 3}
    gaps = " ".join(gap["reason"] for gap in json.loads(result.output)["gaps"])
    assert f"{int(share * 900):,} rows with activations that are infinite or not a number" in gaps


@pytest.mark.parametrize("profile", ["fast", "default"])
def test_vectors_of_a_column_that_are_no_numbers_are_a_gap(
    table: Any, tmp_path: Path, profile: str
) -> None:
    """A row without any says so itself; one that has half a vector is looked at by no rule."""
    file, vectors, _ = table
    column = vectors.tolist()
    column[3], column[5], column[7] = [1.0], None, [*column[7][:-1], None]
    column[9][0], column[11][0] = float("nan"), float("inf")
    labels = pq.read_table(file).column("label")
    pq.write_table(pa.table({"vector": column, "label": labels}), tmp_path / "own.parquet")
    only = "PS401,PS508" if profile == "default" else "PS508"
    result = _run(tmp_path / "own.parquet", "--select", only, "--profile", profile)
    assert result.exit_code in {1, 3}
    (gap,) = json.loads(result.output)["gaps"]
    assert gap["reason"].startswith("4 rows with a vector of another length")
    assert gap["reason"].endswith("rows 3, 7, 9, 11")


def test_pictures_are_looked_at_beside_activations_that_show_nothing(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 3, 450)
    poisoned = np.flatnonzero(labels == 2)[:40]
    slope = draw.normal(0, 3, (450, 2, 1, 1)) * np.indices((32, 32))
    pictures = 128 + slope.sum(axis=1) + draw.normal(0, 4, (450, 32, 32))
    pictures[poisoned, -4:-1, -4:-1] = 255 * (np.indices((3, 3)).sum(axis=0) % 2)
    encoded = []
    for picture in np.clip(pictures, 0, 255).astype(np.uint8):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG")
        encoded.append({"bytes": stream.getvalue(), "path": None})
    file = tmp_path / "train.parquet"
    pq.write_table(pa.table({"image": encoded, "label": labels}), file)
    np.save(tmp_path / "blind.npy", draw.normal(size=(450, 16)).astype(np.float32))
    result = _run(file, "--activations", str(tmp_path / "blind.npy"), *RULES)
    report = json.loads(result.output)
    (finding,) = report["findings"]
    assert "seen as high-pass pictures" in finding["message"]
    assert _rows(finding) == poisoned.tolist()
    facts = report["scanned"][0]["facts"]
    assert facts["spectral signature"] == "3 classes tested"
    assert facts["spectral signature, seen as high-pass pictures"] == "3 classes tested"
