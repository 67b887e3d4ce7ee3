"""Columns that are searched together are found to hold what each holds by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from poisonscan.datasets import joined_columns
from poisonscan.datasets.batch import Batch, Labels, Role, Texts
from poisonscan.datasets.joined_columns import joined
from poisonscan.datasets.lines import block_size
from poisonscan.detectors.datasets.host_counts import HostCounts
from poisonscan.detectors.datasets.text_hits import TextHits
from poisonscan.detectors.datasets.unusual_characters import look
from poisonscan.detectors.datasets.url_lists import CellForms
from tests.datasets.files import only

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {
    "plain": ["one", "two", "three", "four"],
    "numbers": ["1.5", "2", None, "3"],
    "hidden": ["a", "zero\u200bwidth", "a", "zero\u200bwidth"],
    "addresses": ["https://u:p@a.example/x.png", "see https://b.example", "", None],
    "both": ["https://a.example/y.png", "\x1b[2J", "no", "https://b.example/\u200b"],
    "digests": ["0" * 32, "f" * 64, "0" * 31, "g" * 32],
}


def batch() -> Batch:
    cells = {name: pa.array(values, pa.string()) for name, values in COLUMNS.items()}
    labels = Labels(np.array([0, 1, 0, 1], np.int32), ("cat", "dog"))
    return Batch(0, 8, 4, {Role.CELLS: cells, Role.LABEL: labels})


def found() -> tuple[object, ...]:
    hits, hosts, forms = TextHits(look), HostCounts(), CellForms()
    for aggregate in (hits, hosts, forms):
        aggregate.update(batch())
    seen = {key: (h.rows, h.labels, h.first, h.every.tolist()) for key, h in hits.hits.items()}
    named = {host: (h.rows, h.labels, h.first) for host, h in hosts.hosts.items()}
    return seen, hits.texts, named, forms


def test_together_and_apart_the_same_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    together = found()
    assert len(batch().searched) == 1
    monkeypatch.setattr(joined_columns, "SMALL", 0)
    assert len(batch().searched) == len(COLUMNS)
    assert together == found()
    seen, _, named, forms = together
    assert {column for _, column in seen} == {"hidden", "both"}  # type: ignore[attr-defined]
    assert set(named) == {"a.example", "b.example"}  # type: ignore[call-overload]
    assert forms.media == {"addresses": 1, "both": 1}  # type: ignore[attr-defined]
    assert forms.digests == {"digests": 2}  # type: ignore[attr-defined]


def test_what_is_put_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined_columns, "TOGETHER", 100)
    texts = {
        f"c{i}": Texts(np.arange(3), pa.array(["some words", "more", f"{i}"])) for i in range(30)
    }
    parts = list(joined(texts))
    assert 5 < len(parts) < 30
    assert [name for part in parts for name in part.columns] == list(texts)
    for part in parts:
        for column, which, within in part.by_column(np.arange(len(part.screen.values))[::-1]):
            assert sorted(within.tolist()) == [0, 1, 2]
            shown = part.screen.values.take(pa.array(part.starts[-1] - 1 - which)).to_pylist()
            assert shown == texts[column].values.take(pa.array(within)).to_pylist()


def test_blocks_of_wide_files_are_larger_and_hold_the_same_rows(tmp_path: Path) -> None:
    assert block_size(10) < block_size(1_500) < block_size(100_000) == block_size(200_000)
    names = [f"column {i}" for i in range(1_500)]
    lines = [",".join(f"{row}.{i}" for i in range(1_500)) for row in range(300)]
    (tmp_path / "wide.csv").write_text("\n".join([",".join(names), *lines]), "utf-8")
    rows = [
        values
        for part in only(tmp_path).batches(0, frozenset({Role.VALUES}))
        for values in part.values["column 7"].to_pylist()
    ]
    assert rows == [f"{row}.7" for row in range(300)]
