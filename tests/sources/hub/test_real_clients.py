"""The libraries that people use, against the Hub of these tests: it answers as they expect."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import poisonscan
from tests.sources.hub.fake import COMMIT, FakeHub, send

huggingface_hub = pytest.importorskip("huggingface_hub")
pytest.importorskip("huggingface_hub.constants")  # read from the environment, which tests change
NUMBERS = random.Random(0).randbytes(300_000)


@pytest.fixture
def cache(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache in a home of its own."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return tmp_path / "home" / "hub"


@pytest.fixture
def api(hub: FakeHub) -> Any:
    hub.files = {
        "config.json": b'{"a": 1}',
        "weights/model.bin": NUMBERS,
        "README.md": b"# It\n",
    }
    hub.lfs = {"weights/model.bin"}
    return huggingface_hub.HfApi(endpoint=hub.url, token=False)


def test_listing_and_information(hub: FakeHub, api: Any) -> None:
    assert api.model_info("org/name").sha == COMMIT
    assert api.model_info("org/name", revision="main").sha == COMMIT
    entries = {
        entry.path: entry
        for entry in api.list_repo_tree("org/name", recursive=True, revision=COMMIT)
        if hasattr(entry, "size")
    }
    assert set(entries) == set(hub.files)
    assert entries["weights/model.bin"].lfs.size == len(NUMBERS)
    scans = {"avScan": {"status": "safe"}, "pickleImportScan": {"status": "safe"}}
    hub.security = {"config.json": {"status": "safe", **scans}}
    expanded = api.list_repo_tree("org/name", recursive=True, expand=True)
    security = {e.path: e.security for e in expanded if hasattr(e, "size")}
    assert security["config.json"].status == "safe"
    assert security["README.md"] is None
    (found,) = api.get_paths_info("org/name", ["config.json"])
    assert found.size == len(hub.files["config.json"])


def test_downloads_are_what_it_holds_and_what_is_scanned(
    hub: FakeHub, api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "home" / "hub"
    folder = huggingface_hub.snapshot_download(
        "org/name", endpoint=hub.url, cache_dir=cache, token=False
    )
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }
    assert found == hub.files
    # What it has left in its cache is verified and scanned without asking anybody.
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    asked = len(hub.log) + len(hub.elsewhere)
    report = poisonscan.scan("hf://org/name", isolation="off")
    assert len(hub.log) + len(hub.elsewhere) == asked
    assert {file.path: file.verified for file in report.origins[0].files} == dict.fromkeys(
        hub.files, True
    )
    assert "were not asked: HF_HUB_OFFLINE is set" in report.origins[0].scanners


def test_what_is_downloaded_is_found_without_the_hub(hub: FakeHub, api: Any, cache: Path) -> None:
    report = poisonscan.scan("hf://org/name", isolation="off", download=True)
    assert all("not fetched" not in gap.reason for gap in report.gaps)
    assert all(file.verified and file.fetched == file.size for file in report.origins[0].files)
    asked = len(hub.log) + len(hub.elsewhere)
    for revision in ("main", COMMIT):
        folder = huggingface_hub.snapshot_download(
            "org/name", revision=revision, cache_dir=cache, local_files_only=True
        )
        assert {path: Path(folder, path).read_bytes() for path in hub.files} == hub.files
    file = huggingface_hub.hf_hub_download(
        "org/name", "weights/model.bin", cache_dir=cache, local_files_only=True
    )
    assert Path(file).read_bytes() == NUMBERS
    about = huggingface_hub.scan_cache_dir(cache)
    assert (about.warnings, len(about.repos)) == ([], 1)
    assert {f.file_name for r in about.repos for v in r.revisions for f in v.files} == {
        Path(path).name for path in hub.files
    }
    assert len(hub.log) + len(hub.elsewhere) == asked
    # Nor does the client fetch it again, nor a second scan.
    resolved = sum("/resolve/" in path for path, _ in (*hub.log, *hub.elsewhere))
    huggingface_hub.snapshot_download("org/name", endpoint=hub.url, cache_dir=cache, token=False)
    again = poisonscan.scan("hf://org/name", isolation="off", download=True)
    assert [(file.verified, file.fetched) for file in again.origins[0].files] == [(True, 0)] * 3
    assert sum("/resolve/" in path for path, _ in (*hub.log, *hub.elsewhere)) == resolved


def test_a_file_that_is_not_what_it_must_be_is_missing_for_the_client(
    hub: FakeHub, api: Any, cache: Path
) -> None:
    hub.behaviours["elsewhere/weights/model.bin"] = lambda request, body: send(
        request, 200, body[::-1]
    )
    report = poisonscan.scan("hf://org/name", isolation="off", download=True)
    assert [gap.path.rpartition("/")[2] for gap in report.gaps] == ["model.bin"]
    config = huggingface_hub.hf_hub_download(
        "org/name", "config.json", cache_dir=cache, local_files_only=True
    )
    assert Path(config).read_bytes() == hub.files["config.json"]
    with pytest.raises(FileNotFoundError):
        huggingface_hub.hf_hub_download(
            "org/name", "weights/model.bin", cache_dir=cache, local_files_only=True
        )
    with pytest.raises(FileNotFoundError, match=r"weights/model\.bin"):
        huggingface_hub.snapshot_download("org/name", cache_dir=cache, local_files_only=True)


def test_parts_of_a_file(hub: FakeHub, api: Any) -> None:
    system = huggingface_hub.HfFileSystem(endpoint=hub.url, token=False)
    with system.open(f"hf://org/name@{COMMIT}/weights/model.bin", block_size=1_000) as stream:
        stream.seek(200_000)
        assert stream.read(22) == NUMBERS[200_000:200_022]
    assert any(asked.startswith("bytes=200000-") for asked in hub.ranges)


def test_rows_are_those_that_datasets_loads(hub: FakeHub, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    out = io.BytesIO()
    pq.write_table(pa.table({"text": [f"row {i}" for i in range(50)], "label": [0, 1] * 25}), out)
    hub.files, hub.lfs = {"data/train.parquet": out.getvalue(), "README.md": b"# It\n"}, set()
    code = (
        "import datasets; d = datasets.load_dataset('org/name', split='train');"
        "print(len(d), d.column_names, d[3]['text'])"
    )
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_CACHE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.stdout.strip().endswith("50 ['text', 'label'] row 3"), done.stderr[-2000:]
