"""Rows per CPU-second of reading, digests and vectors, next to what is the least it could cost.

The floor is the bare library: pyarrow handing out every column, Pillow decoding every picture.
Also the ``datasets`` library in streaming mode, and scikit-learn's hashed n-grams, where installed.

    OMP_NUM_THREADS=1 python benchmarks/reading.py [ROWS]
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.json
import pyarrow.parquet as pq
from PIL import Image

from poisonscan.datasets.batch import Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.gather import open_datasets
from poisonscan.datasets.shards import DatasetOptions
from poisonscan.formats.base import TableFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORMATS = {".parquet": "parquet", ".arrow": "arrow", ".csv": "csv", ".jsonl": "json"}
ROLES = {
    "labels": frozenset({Role.LABEL}),
    "digests": frozenset({Role.CONTENT}),
    "vectors": frozenset({Role.FEATURES}),
    "all": frozenset(Role),
}


def texts(rows: int) -> pa.Table:
    """Documents of 40 words from a vocabulary of 5,000, four labels and a number."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"w{i}" for i in range(5_000)])
    words = vocabulary[rng.zipf(1.3, (rows, 40)) % 5_000]
    return pa.table({
        "text": [" ".join(row) for row in words],
        "label": rng.integers(0, 4, rows),
        "weight": rng.normal(size=rows),
    })  # fmt: skip


def pictures(rows: int) -> pa.Table:
    """Pictures of 32×32 as JPEG."""
    rng = np.random.default_rng(0)
    files = []
    for small in rng.integers(0, 256, (rows, 8, 8, 3), dtype=np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(small).resize((32, 32)).save(buffer, "JPEG", quality=75)
        files.append({"bytes": buffer.getvalue(), "path": None})
    return pa.table({"image": files, "label": rng.integers(0, 10, rows)})


def write(table: pa.Table, path: Path) -> None:
    """Write rows in the format of the file's suffix."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=20_000)
    elif path.suffix == ".arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=1_000)
    elif path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        table.to_pandas().to_json(path, orient="records", lines=True)


def floor(path: Path) -> int:
    """Every row by the bare library, on one thread."""
    if path.suffix == ".parquet":
        batches: Iterator[Any] = pq.ParquetFile(path).iter_batches(1_024, use_threads=False)
        return sum(batch.num_rows for batch in batches)
    if path.suffix == ".arrow":
        return sum(batch.num_rows for batch in pa.ipc.open_stream(pa.OSFile(str(path))))
    if path.suffix == ".csv":
        options = pa.csv.ReadOptions(use_threads=False)
        return sum(batch.num_rows for batch in pa.csv.open_csv(path, read_options=options))
    options = pa.json.ReadOptions(use_threads=False, block_size=1 << 20)
    return int(pa.json.read_json(path, read_options=options).num_rows)


def decoded(path: Path) -> int:
    """Every picture by Pillow alone."""
    files = [row["bytes"] for row in pq.read_table(path)["image"].to_pylist()]
    for file in files:
        np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    return len(files)


def streamed(path: Path) -> int:
    """Every row by the ``datasets`` library, as Arrow batches."""
    import datasets

    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    with tempfile.TemporaryDirectory() as cache:
        rows = datasets.load_dataset(
            FORMATS[path.suffix],
            data_files=str(path),
            split="train",
            streaming=True,
            cache_dir=cache,
        )
        return sum(batch.num_rows for batch in rows.with_format("arrow").iter(1_024))


def vectorised(path: Path) -> int:
    """Every text by scikit-learn's hashed words and word pairs."""
    from sklearn.feature_extraction.text import HashingVectorizer

    documents = pq.read_table(path)["text"].to_pylist()
    HashingVectorizer(ngram_range=(1, 2), n_features=1 << 18).transform(documents)
    return len(documents)


def opened(path: Path) -> Dataset:
    """The dataset in a file."""
    file = TableFile(path.name, str(path), FORMATS[path.suffix], path.stat().st_size)
    (dataset,), _ = open_datasets([file], DatasetOptions())
    return dataset


def ours(dataset: Dataset, roles: frozenset[Role]) -> int:
    """Every row with these roles."""
    shards = range(len(dataset.shards))
    return sum(batch.size for shard in shards for batch in dataset.batches(shard, roles))


def by_role(dataset: Dataset) -> dict[str, Callable[[], int]]:
    """A reading of the dataset for each set of roles."""
    return {name: partial(ours, dataset, roles) for name, roles in ROLES.items()}


def speed(task: Callable[[], int]) -> str:
    """Rows per CPU-second, the best of three."""
    best = 0.0
    for _ in range(3):
        start = time.process_time()
        rows = task()
        best = max(best, rows / max(time.process_time() - start, 1e-6))
    return f"{best:>12,.0f}"


def report(name: str, columns: dict[str, Callable[[], int]]) -> None:
    """Print one line of the table."""
    cells = []
    for column, task in columns.items():
        try:
            cells.append(f"{column} {speed(task)}")
        except ImportError:
            cells.append(f"{column} {'—':>12}")
    print(f"{name:9}", " | ".join(cells), flush=True)


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    pa.set_cpu_count(1)
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        print(f"rows per CPU-second, {rows:,} texts and {rows // 10:,} pictures")
        table = texts(rows)
        for suffix, kind in FORMATS.items():
            path = Path(folder, f"texts{suffix}")
            write(table, path)
            bare: dict[str, Callable[[], int]] = {
                "floor": partial(floor, path),
                "datasets": partial(streamed, path),
            }
            report(kind, bare | by_role(opened(path)))
        texts_path = Path(folder, "texts.parquet")
        report("n-grams", {"scikit-learn": partial(vectorised, texts_path)})
        path = Path(folder, "pictures.parquet")
        write(pictures(rows // 10), path)
        pillow: dict[str, Callable[[], int]] = {"Pillow": partial(decoded, path)}
        report("pictures", pillow | by_role(opened(path)))


if __name__ == "__main__":
    main()
