"""CPU seconds, seconds and memory of whole scans of 50,000 pictures and of 100,000 texts.

    python -m benchmarks.time_and_memory DATA FOLDER [--only WORD] [--jobs 2] [--profile NAME]

The data are made from those in DATA (see ``backdoors``) and kept in FOLDER for the next run:

* pictures: 50,000 of 32×32 in colour in ten classes, as PNG and as JPEG: those of CIFAR-10 that
  are in DATA, once as they are and then mirrored, moved by up to four pixels and a little darker or
  brighter, in parquet files of 10,000 rows as the Hub has them;
* short texts: 100,000 in four classes, about 40 words each: what a Markov chain of the second order
  says that has read the AG News of one class;
* documents: 100,000 of about 2 kB, see ``dataset_scale``, whose labels mean nothing.

Each line is one call of the command in processes of its own, with all rules of the profile. CPU
seconds are those of all processes; memory is the sum of what each of them held without mapped files
(Linux) at the worst moment seen, so what a forked process shares with its parent counts twice.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from benchmarks import dataset_scale
from poisonscan.rules import PROFILES

PICTURES, TEXTS, FILE = 50_000, 100_000, 10_000
WORDS = 40


def pictures(data: Path, folder: Path, form: str) -> list[Path]:
    """Files of pictures, written where they are not there yet."""
    paths = [folder / f"{form.lower()}-{n}.parquet" for n in range(PICTURES // FILE)]
    if all(path.exists() for path in paths):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted((data / "images" / "cifar10_part").glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(path) for path in files])
    known = [
        np.asarray(Image.open(io.BytesIO(value)).convert("RGB"))
        for value in table["image"].combine_chunks().field("bytes").to_pylist()
    ]
    labels = table["label"].to_numpy()
    draw = np.random.default_rng(0)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for number, path in enumerate(paths):
        rows = range(number * FILE, (number + 1) * FILE)
        shown = [saved(varied(known[row % len(known)], row // len(known), draw), form)
                 for row in rows]  # fmt: skip
        image = pa.array([{"bytes": value, "path": None} for value in shown], kind)
        chosen = pa.array(labels[np.array(rows) % len(known)])
        pq.write_table(pa.table({"image": image, "label": chosen}), path)
    return paths


def varied(picture: NDArray[np.uint8], turn: int, draw: np.random.Generator) -> NDArray[np.uint8]:
    """A picture as it is the first time, after that what a mirror and a moved frame show of it."""
    if not turn:
        return picture
    down, across = draw.integers(0, 9, 2)
    wide = np.pad(picture, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    moved = wide[down : down + 32, across : across + 32]
    moved = moved[:, ::-1] if turn % 2 else moved
    return (moved * draw.uniform(0.8, 1.0) + draw.uniform(0, 40)).astype(np.uint8)


def saved(picture: NDArray[np.uint8], form: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(out, form)
    return out.getvalue()


def short_texts(data: Path, folder: Path) -> list[Path]:
    """A file of short texts, written where it is not there yet."""
    path = folder / "texts.parquet"
    if path.exists():
        return [path]
    folder.mkdir(parents=True, exist_ok=True)
    with (data / "text" / "ag_news_test" / "test.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    draw = np.random.default_rng(0)
    chains: dict[str, dict[tuple[str, str], list[str]]] = {}
    for text, label in ((row[0], row[-1].strip()) for row in rows):
        words = ["", "", *text.split(), ""]
        chain = chains.setdefault(label, defaultdict(list))
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            chain[first, second].append(third)
    names = sorted(chains)
    labels = draw.integers(0, len(names), TEXTS)
    texts = [said(chains[names[label]], draw) for label in labels.tolist()]
    pq.write_table(pa.table({"text": texts, "label": labels}), path)
    return [path]


def said(chain: dict[tuple[str, str], list[str]], draw: np.random.Generator) -> str:
    """Some ``WORDS`` words of a Markov chain; where it comes to an end it starts again."""
    out = ["", ""]
    chance = draw.random(2 * WORDS)
    for number in range(2 * WORDS):
        follow = chain.get((out[-2], out[-1])) or chain["", ""]
        word = follow[int(chance[number] * len(follow))]
        if word:
            out.append(word)
        elif number < WORDS:
            out += ["", ""]
        else:
            break
    return " ".join(word for word in out if word)


def documents(_: Path, folder: Path) -> list[Path]:
    """A file of longer texts, written where it is not there yet."""
    path = folder / "documents.parquet"
    if not path.exists():
        source = dataset_scale.write(folder / "lines", dataset_scale.FILE / (1 << 30))[0]
        first = next(pq.ParquetFile(source).iter_batches(TEXTS))
        pq.write_table(pa.table(first), path, row_group_size=FILE)
    return [path]


CASES: dict[str, Callable[[Path, Path], list[Path]]] = {
    "50,000 pictures, PNG": lambda data, folder: pictures(data, folder, "PNG"),
    "50,000 pictures, JPEG": lambda data, folder: pictures(data, folder, "JPEG"),
    "100,000 short texts": short_texts,
    "100,000 documents of 2 kB": documents,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="cases that hold this word")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--profile", choices=PROFILES, default=PROFILES[0])
    options = parser.parse_args()
    print(f"{'':32}{'CPU s':>9}{'s':>8}{'MB':>8}")
    for name, make in CASES.items():
        if options.only in name:
            paths = make(options.data, options.folder)
            command = [sys.executable, "-m", "poisonscan", "dataset", *map(str, paths), "-q"]
            command += [f"--jobs={options.jobs}", f"--profile={options.profile}"]
            cost = dataset_scale.measured(command)
            numbers = f"{cost.cpu:9.1f}{cost.clock:8.1f}{cost.memory / 1e6:8.0f}"
            print(f"{name:32}{numbers}  exit {cost.code}: {cost.last}", flush=True)


if __name__ == "__main__":
    main()
