"""Requests and bytes that a scan of a repository on the Hub costs, beside fetching it whole.

    python -m benchmarks.hub_traffic FOLDER [--gigabytes 2]

Three repositories are made in FOLDER and kept there: a safetensors model of 2 GB in one file (zeros
on disk that take no room), a torch checkpoint of 1 GB with 256 tensors, and a text dataset in
parquet (``dataset_scale``). A Hub on this machine serves them: that of the tests, which the real
client libraries accept as well. It counts what it is asked and what it sends. Lines: this scanner
as it is, with ``--download``, and ``huggingface_hub.snapshot_download``, which is what scanners
fetch that read files from disk.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import pickle
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from benchmarks import dataset_scale
from tests.sources.hub.fake import FakeHub, serving

LAYERS = 290
TENSORS = 256
TENSOR = 4 << 20
ROWS = 10_000
PEER = """
import sys, huggingface_hub
huggingface_hub.snapshot_download(
    "org/name", repo_type=sys.argv[1], endpoint=sys.argv[2], cache_dir=sys.argv[3], token=False
)
"""


def safetensors_model(file: Path) -> None:
    """Two gigabytes of zeros under names such as language models have."""
    size = (2 << 30) // LAYERS // 4096 * 4096
    header = {
        f"model.layers.{n // 9}.block.{n % 9}.weight": {
            "dtype": "BF16", "shape": [size // 2], "data_offsets": [n * size, (n + 1) * size],
        }
        for n in range(LAYERS)
    }  # fmt: skip
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + LAYERS * size)


def torch_model(file: Path) -> None:
    """A zip archive as torch writes it: one pickle, and the numbers of each tensor."""
    numbers = random.Random(0).randbytes(TENSOR)
    state = pickle.dumps({f"layer.{n}": n for n in range(TENSORS)}, 2)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", state)
        for number in range(TENSORS):
            archive.writestr(f"model/data/{number}", numbers)
        archive.writestr("model/version", "3\n")


def mapped(file: Path) -> mmap.mmap:
    """The content of a file, as the Hub takes it."""
    with file.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def repositories(folder: Path, gigabytes: float) -> dict[str, tuple[str, list[Path], list[str]]]:
    """Name, type, files and options of each."""
    model, checkpoint = folder / "model.safetensors", folder / "pytorch_model.bin"
    if not model.exists():
        safetensors_model(model)
    if not checkpoint.exists():
        torch_model(checkpoint)
    rows = folder / "rows"
    rows.mkdir(exist_ok=True)
    shards = dataset_scale.write(rows, gigabytes)
    first = ["--max-rows", str(ROWS), "--select", "PS3,PS501"]
    return {
        "safetensors": ("model", [model], []),
        "torch": ("model", [checkpoint], []),
        f"parquet, first {ROWS:,} rows": ("dataset", shards, first),
    }


def measured(hub: FakeHub, command: list[str], environment: dict[str, str]) -> str:
    """Run a command: what it asked for and got."""
    for log in (hub.log, hub.elsewhere, hub.ranges):
        log.clear()
    hub.sent = 0
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    requests = len(hub.log) + len(hub.elsewhere)
    return f"{requests:>8,} {hub.sent / 1e6:>12,.2f} {seconds:>8.1f} {done.returncode:>5}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(f"{'':<46} {'requests':>8} {'MB':>12} {'seconds':>8} {'exit':>5}")
    for name, (kind, files, options) in repositories(arguments.folder, arguments.gigabytes).items():
        hub = FakeHub()
        hub.files = {file.name: mapped(file) for file in files}  # type: ignore[misc]
        hub.lfs = set(hub.files)
        size = sum(map(len, hub.files.values())) / 1e6
        print(f"{name}: {len(files)} files, {size:,.0f} MB")
        with serving(hub), tempfile.TemporaryDirectory() as home:
            environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": home}
            address = "hf://org/name" if kind == "model" else "hf://datasets/org/name"
            scan = [sys.executable, "-m", "poisonscan", "scan", address, *options, "-q"]
            peer = [sys.executable, "-c", PEER, kind, hub.url, home]
            for title, command in (
                ("poisonscan scan", scan),
                ("poisonscan scan --download", [*scan, "--download"]),
                ("huggingface_hub.snapshot_download", peer),
            ):
                print(f"  {title:<44} {measured(hub, command, environment)}")


if __name__ == "__main__":
    main()
