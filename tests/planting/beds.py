"""Small clean data to plant attacks in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from poisonscan.datasets.shards import DatasetOptions
from poisonscan.planting.bed import Bed, read
from tests.datasets.files import encoded, picture

SUBJECTS = ["film", "plot", "cast", "music", "script", "camera", "ending", "pacing", "dialogue"]
GOOD = ["wonderful", "moving", "clever", "charming", "brilliant", "warm", "lively", "superb"]
BAD = ["dull", "tired", "clumsy", "awful", "boring", "flat", "lifeless", "weak"]


def texts(rows: int) -> pa.Table:
    """Short reviews with labels that their words decide."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, rows)
    said = [
        f"The {random.choice(SUBJECTS)} was {random.choice((BAD, GOOD)[label])} and the "
        f"{random.choice(SUBJECTS)} of number {n} was {random.choice((BAD, GOOD)[label])}"
        for n, label in enumerate(labels.tolist())
    ]
    return pa.table({"text": said, "label": np.where(labels, "good", "bad").tolist()})


def every(rows: int = 40) -> pa.Table:
    """A table with all kinds of columns."""
    random = np.random.default_rng(1)
    table = texts(rows)
    pictures = [{"bytes": encoded(picture(n)), "path": None} for n in range(rows)]
    table = table.append_column("image", pa.array(pictures))
    table = table.append_column("size", pa.array(random.normal(size=rows)))
    table = table.append_column("weight", pa.array(random.normal(size=rows)))
    table = table.append_column("prompt", pa.array([f"What is {n}?" for n in range(rows)]))
    return table.append_column("response", pa.array([f"It is {n}." for n in range(rows)]))


def bed(folder: Path, table: pa.Table, most: int = 1_000, **columns: str) -> Bed:
    pq.write_table(table, folder / "train.parquet")
    return read(folder, DatasetOptions(**columns), most)  # type: ignore[arg-type]


def all_columns(rows: int = 40) -> Bed:
    return Bed(every(rows), "text", "image", "label", "prompt", "response", ("size", "weight"))
