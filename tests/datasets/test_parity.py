"""The rows that are scanned are the rows that the ``datasets`` library would train on."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from poisonscan.datasets.tables import layout, read
from tests.datasets.files import FORMATS, table_file, write

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    {"text": t, "label": i % 3, "weight": i / 4}
    for i, t in enumerate(
        ["plain", 'a "quote"', "two\nlines", "tab\there", "comma, here", "é界"] * 9
    )
]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".tsv", ".jsonl"])
def test_same_rows(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / f"t{suffix}", ROWS)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        options: dict[str, Any] = {"sep": "\t"} if suffix == ".tsv" else {}
        rows = datasets.load_dataset(
            FORMATS[suffix], data_files=str(path), split="train", streaming=True,
            cache_dir=str(tmp_path / "cache"), **options,
        )  # fmt: skip
        expected = list(rows)
    file = table_file(path, tmp_path)
    found = layout(file)
    seen = [row for batch in read(file, found, found.schema.names) for row in batch.to_pylist()]
    assert len(seen) == len(expected)
    for one, other in zip(seen, expected, strict=True):
        assert one["text"] == other["text"]
        assert int(one["label"]) == other["label"]
        assert np.isclose(float(one["weight"]), other["weight"])
