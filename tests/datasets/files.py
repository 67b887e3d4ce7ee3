"""Small files of rows, written by the libraries that users write them with."""

from __future__ import annotations

import csv
import functools
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.flaws import Flaws
from poisonscan.datasets.gather import open_datasets
from poisonscan.datasets.shards import DatasetOptions
from poisonscan.formats.base import TableFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poisonscan.finding import Gap, Skipped

FORMATS = {
    ".parquet": "parquet", ".arrow": "arrow", ".csv": "csv", ".tsv": "csv", ".jsonl": "json",
    ".json": "json", ".png": "image", ".jpg": "image", ".wav": "audio", ".mp3": "audio",
}  # fmt: skip
SETTINGS = {"config.json", "state.json", "dataset_info.json", "dataset_dict.json"}
ALL = frozenset(Role)


def table_file(path: Path, root: Path) -> TableFile:
    """A file as the scan hands it over."""
    name = path.relative_to(root).as_posix()
    return TableFile(name, str(path), FORMATS[path.suffix], path.stat().st_size)


def tables(root: Path) -> list[TableFile]:
    """All files below a folder."""
    return [table_file(path, root) for path in sorted(root.rglob("*")) if _is_table(path)]


def _is_table(path: Path) -> bool:
    return path.suffix in FORMATS and path.name not in SETTINGS


def others(root: Path) -> list[TableFile]:
    """All other files."""
    return [
        TableFile(path.relative_to(root).as_posix(), str(path), "other", path.stat().st_size)
        for path in sorted(root.rglob("*"))
        if not _is_table(path) and path.is_file()
    ]


def opened(root: Path, **options: Any) -> tuple[list[Dataset], list[Gap | Skipped]]:
    """The datasets below a folder."""
    return open_datasets(tables(root), DatasetOptions(**options), others(root))


def only(root: Path, **options: Any) -> Dataset:
    """The one dataset below a folder, which opens without a gap."""
    found, gaps = opened(root, **options)
    assert gaps == []
    (dataset,) = found
    return dataset


def batches(dataset: Dataset, roles: frozenset[Role] = ALL) -> list[Batch]:
    """All batches of all shards."""
    return [b for i in range(len(dataset.shards)) for b in dataset.batches(i, roles)]


def told(dataset: Dataset, roles: frozenset[Role] = ALL) -> list[str]:
    """What is said of all that could not be used."""
    merged = Flaws()
    for number, shard in enumerate(dataset.shards):
        own = Flaws()
        for _ in dataset.batches(number, roles, functools.partial(own.note, shard.path)):
            pass
        merged.merge(own)
    return [gap.reason for gap in merged.gaps()]


def label_names(dataset: Dataset) -> list[str | None]:
    """The label of every row."""
    out: list[str | None] = []
    for batch in batches(dataset, frozenset({Role.LABEL})):
        names = batch.labels.names
        out += [names[code] if code >= 0 else None for code in batch.labels.codes.tolist()]
    return out


def features(dataset: Dataset) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The vector of every row."""
    return np.concatenate([b.features for b in batches(dataset, frozenset({Role.FEATURES}))])


def content(dataset: Dataset) -> list[tuple[int, int]]:
    """The digest of every row."""
    digests = np.concatenate([b.content for b in batches(dataset, frozenset({Role.CONTENT}))])
    return [(int(a), int(b)) for a, b in digests]


def write(path: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    """Write rows in the format of the file's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, **options)
    elif path.suffix == ".arrow":
        table = pa.Table.from_pylist(list(rows))
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    elif path.suffix in {".csv", ".tsv"}:
        with path.open("w", encoding="utf-8", newline="") as text:
            dialect = "excel-tab" if path.suffix == ".tsv" else "excel"
            writer = csv.DictWriter(text, list(rows[0]), dialect=dialect)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def picture(seed: int, size: tuple[int, int] = (32, 32), mode: str = "RGB") -> Image.Image:
    """A picture of smooth noise."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """A picture as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def shared(*parts: str) -> Path:
    """Real data next to the checkout, or skip."""
    path = Path(__file__).parents[3].joinpath("shared", "data", *parts)
    if not path.exists():
        pytest.skip(f"no reference data {'/'.join(parts)} next to the checkout")
    return path
