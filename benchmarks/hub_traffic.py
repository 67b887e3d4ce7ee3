"""Requests and bytes that a scan of a repository on the Hub costs, beside fetching it whole.

    python -m benchmarks.hub_traffic FOLDER [--gigabytes 2] [--peers PEERS]

Four repositories are made in FOLDER and kept there: a safetensors model of 2 GB in one file (zeros
on disk that take no room), a torch checkpoint of 1 GB with 256 tensors, a text dataset in parquet
(``dataset_scale``) and one in JSON lines. A Hub on this machine serves them: that of the tests,
which the real client libraries accept as well. It counts connections, requests and what it sends.
Lines: this scanner as it is, with ``--download``, and ``huggingface_hub.snapshot_download``.

PEERS is what ``python -m benchmarks.peers install`` made. Of these, modelaudit is called as users
do: ``HF_ENDPOINT`` says where the Hub is. picklescan knows one address of the Hub only; its own
function that scans a repository runs, with what fetches an address replaced by the same of another
host. Both are for models.
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
from collections.abc import Iterator
from pathlib import Path

from benchmarks import dataset_scale
from tests.sources.hub.fake import FakeHub, serving

LAYERS = 290
TENSORS = 256
TENSOR = 4 << 20
ROWS = 10_000
SNAPSHOT = """
import sys, huggingface_hub
huggingface_hub.snapshot_download(
    "org/name", repo_type=sys.argv[1], endpoint=sys.argv[2], token=False
)
"""
PICKLESCAN = """
import sys, urllib.request, picklescan.scanner as scanner
def fetch(url):
    with urllib.request.urlopen(url.replace("https://huggingface.co", sys.argv[1])) as answer:
        return answer.read()
scanner._http_get = fetch
scanner.scan_huggingface_model("org/name")
"""
SECONDS = 900


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


def json_lines(file: Path, gigabytes: float) -> None:
    """Texts of many words."""
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefgh", k=6)) for _ in range(3_000)]
    with file.open("w", encoding="utf-8") as stream:
        while stream.tell() < gigabytes * 1e9:
            texts = [" ".join(chance.choices(words, k=40)) for _ in range(1_000)]
            rows = [json.dumps({"text": text, "label": n % 2}) for n, text in enumerate(texts)]
            stream.write("".join(f"{row}\n" for row in rows * 100))


def repositories(
    folder: Path, gigabytes: float
) -> dict[str, tuple[str, list[Path], list[list[str]]]]:
    """Name, type, files and options of each."""
    model, checkpoint, lines = (
        folder / name for name in ("model.safetensors", "pytorch_model.bin", "train.jsonl")
    )
    if not model.exists():
        safetensors_model(model)
    if not checkpoint.exists():
        torch_model(checkpoint)
    if not lines.exists():
        json_lines(lines, gigabytes / 2)
    rows = folder / "rows"
    rows.mkdir(exist_ok=True)
    shards = dataset_scale.write(rows, gigabytes)
    rules = ["--select", "PS3,PS501"]
    first, sample = [*rules, "--max-rows", str(ROWS)], [*rules, "--sample", str(ROWS)]
    return {
        "safetensors": ("model", [model], [[]]),
        "torch": ("model", [checkpoint], [[]]),
        "parquet": ("dataset", shards, [first, sample]),
        "JSON lines": ("dataset", [lines], [first]),
    }


def measured(hub: FakeHub, command: list[str], kind: str) -> str:
    """Run a command with a cache of its own: what it asked for and got."""
    for log in (hub.log, hub.elsewhere, hub.ranges):
        log.clear()
    hub.sent = hub.connections = 0
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": home, "HF_HUB_DISABLE_XET": "1",
        }  # fmt: skip
        if kind == "peer":
            # Nothing that is for this interpreter is for another one.
            environment = {n: v for n, v in environment.items() if not n.startswith("PYTHON")}
            environment |= {"HOME": home, "NO_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
        began = time.monotonic()
        done = subprocess.run(
            ["timeout", str(SECONDS), *command], env=environment, cwd=home, capture_output=True,
            check=False,
        )  # fmt: skip
        seconds = time.monotonic() - began
    requests = len(hub.log) + len(hub.elsewhere)
    return (
        f"{hub.connections:>8,} {requests:>8,} {hub.sent / 1e6:>12,.2f} {seconds:>8.1f} "
        f"{done.returncode:>5}"
    )


def commands(
    hub: FakeHub, kind: str, options: list[list[str]], peers: Path | None
) -> Iterator[tuple[str, list[str], str]]:
    """What is measured: its name, the command, and whose it is."""
    address = "hf://org/name" if kind == "model" else "hf://datasets/org/name"
    scan = [sys.executable, "-m", "poisonscan", "scan", address, "-q"]
    for given in options:
        said = " ".join(given[-2:])
        yield f"poisonscan scan {said}", [*scan, *given], "own"
    yield "poisonscan scan --download", [*scan, *options[0], "--download"], "own"
    fetch = [sys.executable, "-c", SNAPSHOT, kind, hub.url]
    yield "huggingface_hub.snapshot_download", fetch, "own"
    if peers is not None and kind == "model":
        audit = [str(peers / "modelaudit" / "bin" / "modelaudit"), "scan", address]
        yield "modelaudit scan", audit, "peer"
        python = str(peers / "picklescan" / "bin" / "python")
        yield "picklescan --huggingface", [python, "-c", PICKLESCAN, hub.url], "peer"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--only", help="measure only this repository")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    peers = arguments.peers.resolve() if arguments.peers else None
    print(f"{'':<46} {'connect.':>8} {'requests':>8} {'MB':>12} {'seconds':>8} {'exit':>5}")
    for name, (kind, files, options) in repositories(arguments.folder, arguments.gigabytes).items():
        if arguments.only not in (None, name):
            continue
        hub = FakeHub()
        hub.files = {file.name: mapped(file) for file in files}  # type: ignore[misc]
        hub.lfs = set(hub.files)
        size = sum(map(len, hub.files.values())) / 1e6
        print(f"{name}: {len(files)} files, {size:,.0f} MB")
        with serving(hub):
            for title, command, whose in commands(hub, kind, options, peers):
                print(f"  {title:<44} {measured(hub, command, whose)}", flush=True)


if __name__ == "__main__":
    main()
