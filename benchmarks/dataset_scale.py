"""CPU seconds and memory of a text dataset of several gigabytes, beside the least it could cost.

    python -m benchmarks.dataset_scale FOLDER [--gigabytes 5] [--jobs 2]

The text is made of lines of the Python files and documents that are installed on the machine, put
together at random into documents of about 2 kB, with a label, a source and some exact copies; it is
written to FOLDER as parquet (zstd) files of 500 MB of text, and kept there for the next run. The
floor is pyarrow handing out the same columns, on one thread. Each line of the table is one call of
the command in processes of its own; CPU seconds are those of all of them, memory is the most that
all of them held together, without mapped files (Linux). The selection of rules is named in the
line; the same on a quarter and half of the files shows what grows with the rows.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass
from pathlib import Path

FILE = 500 << 20
DOCUMENT = 2_000
SELECTIONS = {
    "labels": ["PS3"],
    "exact duplicates": ["PS501", "PS502"],
    "labels, duplicates, content": ["PS3", "PS501", "PS502", "PS602", "PS603", "PS604", "PS605",
                                    "PS606", "PS607", "PS608", "PS70"],
    "near duplicates": ["PS503", "PS504", "PS505"],
    "everything": [],
}  # fmt: skip

_READ = """
import sys
import pyarrow.parquet as pq
for path in sys.argv[1:]:
    for batch in pq.ParquetFile(path).iter_batches(1_024, use_threads=False):
        pass
"""


def lines() -> list[str]:
    """Some 20 MB of lines of installed Python files and documents, each once."""
    found: dict[str, None] = {}
    size = 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.[pmr][yds]*")):
        if path.suffix not in (".py", ".md", ".rst") or not path.is_file():
            continue
        for line in path.read_text("utf-8", "ignore").splitlines():
            text = line.strip()
            if len(text) > 20 and text not in found:
                found[text] = None
                size += len(text)
        if size > 20 << 20:
            break
    return list(found)


def write(folder: Path, gigabytes: float) -> list[Path]:
    """The files of the dataset, made where they are not there yet."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = pa.schema([("text", pa.string()), ("label", pa.int64()), ("source", pa.string())])
    folder.mkdir(parents=True, exist_ok=True)
    count = max(1, round(gigabytes * (1 << 30) / FILE))
    paths = [folder / f"train-{number:05}-of-{count:05}.parquet" for number in range(count)]
    if all(path.exists() for path in paths):
        return paths
    known = lines()
    material = pa.array(known)
    each = max(1, round(DOCUMENT / (sum(map(len, known)) / len(known))))
    rows = FILE // DOCUMENT
    for number, path in enumerate(paths):
        random = np.random.default_rng(number)
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for start in range(0, rows, 25_000):
                size = min(25_000, rows - start)
                picked = material.take(pa.array(random.integers(0, len(known), size * each)))
                ends = pa.array(np.arange(size + 1, dtype=np.int32) * each)
                text = pc.binary_join(pa.ListArray.from_arrays(ends, picked), "\n")
                copies = random.random(size) < 0.01
                text = text.take(pa.array(np.where(copies, 0, np.arange(size))))
                label = pa.array(random.integers(0, 4, size))
                source = pa.array([f"site{n}" for n in random.integers(0, 50, size).tolist()])
                writer.write_table(pa.table([text, label, source], schema=schema))
    return paths


@dataclass(frozen=True)
class Cost:
    """What a call took.

    Attributes:
        cpu: seconds of all its processes.
        clock: seconds until it ended.
        memory: bytes that all of them together held at the worst moment seen.
        code: how it ended.
        last: the last line that it printed.
    """

    cpu: float
    clock: float
    memory: int
    code: int
    last: str


def measured(command: list[str]) -> Cost:
    """One call in processes of its own."""
    before, started = os.times(), os.times().elapsed
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        text=True,
    )
    held = [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            held.append(memory(child.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = child.communicate()
    ended.set()
    watcher.join()
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    last = next((line for line in reversed(out.splitlines()) if line.strip()), "")
    return Cost(cpu, after.elapsed - started, max(held), child.returncode, last)


def memory(session: int) -> int:
    """Bytes that the processes of a session hold apart from mapped files."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # it may have just ended
            if os.getsid(int(entry.name)) == session:
                status = (entry / "status").read_text("ascii", "replace")
                total += int(status.partition("RssAnon:")[2].split()[0]) << 10
    return total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="selections that hold this word")
    options = parser.parse_args()
    paths = write(options.folder, options.gigabytes)
    print(f"{'':46}{'CPU s':>9}{'ratio':>8}{'s':>8}{'MB':>8}")
    for part in (4, 2, 1):
        some = [str(path) for path in paths[: max(1, len(paths) // part)]]
        floor = measured([sys.executable, "-c", _READ, *some])
        size = f"{len(some) * FILE / 1e9:.1f} GB"
        show(f"pyarrow, {size}", floor, floor)
        for name, rules in SELECTIONS.items():
            if options.only in name:
                command = [sys.executable, "-m", "poisonscan", "dataset", *some, "-q"]
                command += [f"--select={rule}" for rule in rules] + [f"--jobs={options.jobs}"]
                cost = measured(command)
                show(f"{name}, {size}", cost, floor)


def show(name: str, cost: Cost, floor: Cost) -> None:
    """One line of the table."""
    times = cost.cpu / floor.cpu
    said = "" if cost is floor else f"  exit {cost.code}: {cost.last}"
    numbers = f"{cost.cpu:9.1f}{times:8.2f}{cost.clock:8.1f}{cost.memory / 1e6:8.0f}"
    print(f"{name:46}{numbers}{said}", flush=True)


if __name__ == "__main__":
    main()
