"""Similar pictures: how many planted copies are found, what is found in clean sets, and the cost.

``python -m benchmarks.pictures [DATA] [ROWS]`` prints two tables. DATA is a folder with CIFAR-10
as parquet and MNIST as IDX files; what is absent is skipped. 1 % of copies is planted in each set,
encoded anew, scaled, cut, brightened, in equal parts. *Precision*
counts every pair that was not planted as wrong; CIFAR-10 holds near copies of its own, so that its
precision is a lower bound. (Its pictures are JPEG 75 there: to encode them so again changes none.)

The cost is CPU seconds for ROWS (100,000) PNG pictures of 32×32 in parquet: Pillow alone, decoding
each to RGB; and the passes of ``similar_pictures``, with everything that reading does.
"""

from __future__ import annotations

import argparse
import gzip
import io
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageEnhance

from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.gather import open_datasets
from poisonscan.datasets.shards import DatasetOptions
from poisonscan.detectors.datasets import similar_pictures
from poisonscan.detectors.datasets.alike import Alike
from poisonscan.detectors.datasets.near_pairs import Pairs
from poisonscan.formats.base import TableFile

Change = Callable[[Image.Image], Image.Image]


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def scaled(image: Image.Image, by: float) -> Image.Image:
    return image.resize(
        (round(image.width * by), round(image.height * by)), Image.Resampling.BICUBIC
    )


def cut(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Cut off a share of each side, split at random, and scaled to the old size."""
    width, height = image.size
    x, y = rng.uniform(0, share, 2) * image.size
    box = (x, y, x + width * (1 - share), y + height * (1 - share))
    return image.transform(
        image.size, Image.Transform.EXTENT, box, resample=Image.Resampling.BILINEAR
    )


def brighter(image: Image.Image, by: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(by)


def changes(rng: np.random.Generator) -> dict[str, Change]:
    return {
        "JPEG 50": partial(jpeg, quality=50),
        "JPEG 85": partial(jpeg, quality=85),
        "JPEG 95": partial(jpeg, quality=95),
        "half the size": partial(scaled, by=0.5),
        "1.5 times the size": partial(scaled, by=1.5),
        "cut by 3 %": partial(cut, share=0.03, rng=rng),
        "cut by 5 %": partial(cut, share=0.05, rng=rng),
        "0.8 times as bright": partial(brighter, by=0.8),
        "1.2 times as bright": partial(brighter, by=1.2),
    }


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def written(files: list[bytes], labels: list[int], path: Path) -> Dataset:
    """Pictures as a parquet file, opened."""
    cells = pa.array([{"bytes": file, "path": None} for file in files])
    pq.write_table(pa.table({"image": cells, "label": labels}), path, row_group_size=5_000)
    file = TableFile(path.name, str(path), "parquet", path.stat().st_size)
    (dataset,), _ = open_datasets([file], DatasetOptions())
    return dataset


def drained(dataset: Dataset) -> None:
    """The detector over all shards, one after another."""
    steps = similar_pictures.DETECTOR.detect(dataset)
    try:
        request = next(steps)
        while True:
            for shard in range(len(dataset.shards)):
                for batch in dataset.batches(shard, request.needs):
                    request.update(batch)
            request = steps.send(request)
    except StopIteration:
        return


def pairs_of(dataset: Dataset) -> tuple[set[tuple[int, int]], float]:
    """Rows of the pairs that the detector accepts, and the CPU seconds."""
    seen: set[tuple[int, int]] = set()
    starts = np.array([shard.start for shard in dataset.shards])
    real = Alike.of

    def watched(pairs: Pairs, rows: Any, *rest: Any) -> Any:
        numbers = starts[rows[:, 0]] + rows[:, 1]
        seen.update(zip(numbers[pairs.first].tolist(), numbers[pairs.second].tolist(), strict=True))
        return real(pairs, rows, *rest)

    Alike.of = watched  # type: ignore[method-assign,assignment]
    start = time.process_time()
    try:
        drained(dataset)
    finally:
        Alike.of = real  # type: ignore[method-assign]
    return seen, time.process_time() - start


def planted(name: str, images: list[Image.Image], labels: list[int], folder: Path) -> None:
    """One set, clean and with copies."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(images), max(len(images) // 100, 9), replace=False).tolist()
    kinds = changes(rng)
    names = [list(kinds)[i % len(kinds)] for i in range(len(chosen))]
    copies = [png(kinds[kind](images[row])) for kind, row in zip(names, chosen, strict=True)]
    files = [png(image) for image in images]
    clean, _ = pairs_of(written(files, labels, folder / "clean.parquet"))
    both = written(files + copies, labels + [labels[i] for i in chosen], folder / "planted.parquet")
    found, _ = pairs_of(both)
    hits = [(row, len(files) + i) in found for i, row in enumerate(chosen)]
    print(
        f"| {name} | {len(files):,} | {len(clean)} | {len(copies)} | {np.mean(hits):.3f} | "
        f"{sum(hits) / max(len(found), 1):.3f} |"
    )
    by_kind = {
        kind: f"{np.mean([h for h, k in zip(hits, names, strict=True) if k == kind]):.2f}"
        for kind in kinds
    }
    print("  ", ", ".join(f"{kind} {share}" for kind, share in by_kind.items()))


def sets(data: Path | None) -> dict[str, tuple[list[Image.Image], list[int]]]:
    from sklearn.datasets import load_digits

    out = {}
    if data is not None and (data / "cifar10_part").is_dir():
        for part in ("test", "train"):
            table = pq.read_table(data / "cifar10_part" / f"{part}.parquet")
            images = [
                Image.open(io.BytesIO(row["bytes"])).convert("RGB")
                for row in table["image"].to_pylist()
            ]
            out[f"CIFAR-10, part of {part}"] = (images, table["label"].to_pylist())
    if data is not None and (data / "mnist_10k").is_dir():
        packed, marks = (
            gzip.decompress((data / "mnist_10k" / f"t10k-{what}-ubyte.gz").read_bytes())
            for what in ("images-idx3", "labels-idx1")
        )
        pixels = np.frombuffer(packed, np.uint8, offset=16).reshape(-1, 28, 28)
        out["MNIST, test"] = ([Image.fromarray(p) for p in pixels], list(marks[8:]))
    digits = load_digits()
    grey = np.clip(digits.images * 16, 0, 255).astype(np.uint8)
    out["digits of scikit-learn"] = ([Image.fromarray(p) for p in grey], digits.target.tolist())
    return out


def cost(rows: int, folder: Path) -> None:
    """CPU seconds beside Pillow."""
    rng = np.random.default_rng(0)
    files = [
        png(Image.fromarray(small).resize((32, 32), Image.Resampling.BICUBIC))
        for small in rng.integers(0, 256, (rows, 12, 12, 3), dtype=np.uint8)
    ]
    for i in range(0, rows, 100):  # and 1 % of copies
        files[i + 1] = png(jpeg(Image.open(io.BytesIO(files[i])), 75))
    dataset = written(files, rng.integers(0, 10, rows).tolist(), folder / "cost.parquet")
    del files
    start = time.process_time()
    for batch in pq.ParquetFile(folder / "cost.parquet").iter_batches(1_024, columns=["image"]):
        for row in batch.column(0).to_pylist():
            np.asarray(Image.open(io.BytesIO(row["bytes"])).convert("RGB"))
    bare = time.process_time() - start
    found, ours = pairs_of(dataset)
    print(f"| {rows:,} | {bare:.1f} s | {ours:.1f} s | {ours / bare:.2f} | {len(found):,} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("rows", nargs="?", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("| set | pictures | pairs when clean | planted | recall | precision |")
        print("|---|---|---|---|---|---|")
        for name, (images, labels) in sets(arguments.data).items():
            planted(name, images, labels, Path(folder))
        print("\n| pictures | Pillow | similar pictures | ratio | pairs |\n|---|---|---|---|---|")
        cost(arguments.rows, Path(folder))


if __name__ == "__main__":
    main()
