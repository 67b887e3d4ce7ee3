"""Public tables with labels, as the benchmarks of tables take them.

Those of ``known`` and ``SEEN`` are such as thresholds were chosen on, and none was on those in
``HELD_OUT``. What is absent is skipped; of the largest tables ``MOST`` rows are taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray
from sklearn import datasets as public

MOST = 20_000
SEEN = {
    "Churn_Modelling/Churn_Modelling.csv": "Exited",
    "LetterRecognition/LetterRecognition.csv": "lettr",
    "har_validate/har_validate.csv": "classe",
    "abalone/abalone.csv": "col_8",
    "mushroom/mushrooms.csv": "class",
    "phoneme/phoneme.csv": "col_5",
    "german/german.csv": "col_20",
    "oil-spill/oil-spill.csv": "col_49",
    "bank_marketing_test/bank_marketing_test.csv": "y",
    "universalbank/universalbankdataset.csv": "Personal Loan",
    "r_HI/HI.csv": "education",
    "taxis/taxis.csv": "payment",
}
HELD_OUT = {
    "car_evaluation/car_evaluation.csv": "class",
    "mammography/mammography.csv": "col_6",
    "musk/musk.csv": "",
    "r_InstEval/InstEval.csv": "y",
    "r_Vocab/Vocab.csv": "sex",
    "pollution/pollution.csv": "cbwd",
    "bikeshare/bikeshare.csv": "season",
    "california/housing.csv": "ocean_proximity",
    "planets/planets.csv": "method",
    "davidson/labeled_data.csv": "class",
}
"""Tables and the column of their label; ``col_7`` is the last of a table without a header."""

Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name, and the label."""

    name: str
    columns: dict[str, Column]
    labels: Column

    def rows(self, chosen: NDArray[np.intp]) -> Table:
        """Some of the rows."""
        parts = {name: column[chosen] for name, column in self.columns.items()}
        return Table(self.name, parts, self.labels[chosen])

    def write(self, path: Path) -> Path:
        """As CSV."""
        columns = {**self.columns, "label": self.labels}
        cells = {name: pa.array(column, from_pandas=True) for name, column in columns.items()}
        pa.csv.write_csv(pa.table(cells), path)
        return path


def read(path: Path, label: str | None, *, header: bool = True) -> Table:
    """A table of a file; the last column is its label where none is named."""
    table = pa.csv.read_csv(path, pa.csv.ReadOptions(autogenerate_column_names=not header))
    label = label or table.column_names[-1]
    columns = {}
    for name in table.column_names:
        values = table.column(name).combine_chunks()
        if name != label:
            text = pa.types.is_string(values.type)
            columns[name or "x"] = (
                np.asarray(values.fill_null("").to_pylist(), object)
                if text
                else np.asarray(values.cast(pa.float64(), safe=False).fill_null(np.nan))
                if pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
                else np.asarray([str(v) for v in values.to_pylist()], object)
            )
    labels = np.asarray([str(v) for v in table.column(label).to_pylist()], object)
    found = Table(path.stem, columns, labels)
    order = np.random.default_rng(0).permutation(len(labels))[:MOST]
    return found.rows(np.sort(order)) if len(labels) > MOST else found


def known(folder: Path) -> Iterator[Table]:
    """The tables that thresholds were chosen on."""
    for name in ("iris", "wine", "breast_cancer", "digits", "diabetes"):
        data = getattr(public, f"load_{name}")()
        columns = {f"x{i}": column for i, column in enumerate(data.data.T)}
        yield Table(name, columns, data.target.astype(str).astype(object))
    for name in ("adult-train", "banknote_authentication", "winequality-white"):
        path = folder / "tabular" / f"{name}.csv"
        if path.exists():
            yield read(path, None, header=False)
    path = folder / "tabular" / "diamonds.csv"
    if path.exists():
        yield read(path, "cut")


def more(folder: Path, names: dict[str, str]) -> Iterator[Table]:
    """Tables of a folder by name."""
    for name, label in names.items():
        path = folder / name
        if path.exists():
            last = label.startswith("col_")
            yield read(path, None if last else label, header=not last)
