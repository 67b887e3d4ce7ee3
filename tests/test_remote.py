from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import poisonscan
from poisonscan.cli import cli
from poisonscan.finding import Finding
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.sources.partial import can_watch
from tests.sources.hub.conftest import hub as hub  # noqa: PLC0414 - a fixture
from tests.sources.hub.fake import COMMIT, FakeHub, send, send_part

SCHEMA = Path(__file__).parents[1] / "docs" / "report.schema.json"
MODEL = f"hf://org/name@{COMMIT}"


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, ("true",)


@pytest.fixture
def here(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub that the environment names, with a model and a table."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    hub.files = {"model.pkl": pickle.dumps(Evil()), "config.json": b"{}"}
    hub.lfs = {"model.pkl"}
    yield hub
    assert list(temporary.iterdir()) == []


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["scan", "--isolation", "off", *arguments])


def test_a_model(here: FakeHub) -> None:
    result = command("hf://org/name", "-o", "json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    jsonschema.validate(document, json.loads(SCHEMA.read_text("utf-8")))
    (finding,) = document["findings"]
    assert finding["rule"] == "PS101"
    assert finding["location"]["path"] == f"{MODEL}/model.pkl"
    assert {entry["path"] for entry in document["scanned"]} == {
        f"{MODEL}/model.pkl", f"{MODEL}/config.json",
    }  # fmt: skip
    (origin,) = document["origins"]
    assert (origin["commit"], origin["revision"], origin["endpoint"]) == (COMMIT, "main", here.url)
    assert {file["path"]: file["verified"] for file in origin["files"]} == {
        "model.pkl": True, "config.json": True,
    }  # fmt: skip
    assert "hidden" in command(f"{here.url}/org/name/blob/main/model.pkl", "--min-severity",
                               "critical", "-o", "json").stdout  # fmt: skip


def test_fingerprints_do_not_change_with_the_commit(here: FakeHub) -> None:
    def finding() -> Finding:
        (found,) = poisonscan.scan("hf://org/name", isolation="off").findings
        return found

    first = finding()
    here.files["more.json"] = b"{}"
    moved = first.at.path.replace(COMMIT, "d" * 40)
    other = poisonscan.Finding(
        first.rule, poisonscan.Location(moved), first.message, first.key, None, {}
    )
    assert first.fingerprint == finding().fingerprint == other.fingerprint


def test_a_dataset_is_read_as_if_it_were_here(here: FakeHub, tmp_path: Path) -> None:
    rows = "".join(f"text number {i},{'ab'[i % 2]}\n" for i in range(60))
    here.files = {"data/train.csv": f"text,label\n{rows}".encode(), "README.md": b"# Words\n"}
    (tmp_path / "copy" / "data").mkdir(parents=True)
    (tmp_path / "copy" / "data" / "train.csv").write_bytes(here.files["data/train.csv"])
    (tmp_path / "copy" / "README.md").write_bytes(b"# Words\n")
    near = poisonscan.scan("copy", root="copy", isolation="off")
    far = poisonscan.scan("org/name", repo_type="dataset", isolation="off")
    place = f"hf://datasets/org/name@{COMMIT}"
    assert [entry.path for entry in far.scanned] == [f"{place}/data/train.csv"]
    assert [entry.facts for entry in far.scanned] == [entry.facts for entry in near.scanned]
    assert [f.message for f in far.findings] == [f.message for f in near.findings]
    assert all(f.at.path.startswith(place) for f in far.findings)
    for name in REPORTERS:
        REPORTERS[name](far, Options())


def test_content_that_is_not_what_the_hub_lists_is_never_clean(here: FakeHub) -> None:
    here.files = {"model.pkl": pickle.dumps([1]), "config.json": b"{}"}
    here.behaviours["model.pkl"] = lambda request, body: send(request, 200, pickle.dumps([2]))
    result = command("hf://org/name")
    assert result.exit_code == 3
    assert "its content is not what the Hub lists" in " ".join(result.stdout.split())


def test_what_exists_on_disk_is_on_disk(here: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "org" / "name" / "config.json").write_text("{}")
    report = poisonscan.scan("org/name", isolation="off")
    assert [entry.path for entry in report.scanned] == ["org/name/config.json"]
    assert here.log == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hf://org/other"], "it does not exist, or is private"),
        (["hf://name"], "does not name a repository"),
        (["hf://org/name/nowhere"], "holds no file or folder 'nowhere'"),
        (["hf://org/name@nope"], "it has no such branch, tag or commit (status 404)"),
        (["org/name"], "does not exist"),
        (["config.json", "--revision", "v1"], "no target is one"),
        (["hf://org/name", "--max-download", "much"], "no size such as 500MB"),
    ],
)
def test_wrong_usage(here: FakeHub, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    result = command(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_a_hub_that_fails_is_a_gap_and_the_rest_goes_on(here: FakeHub, tmp_path: Path) -> None:
    here.behaviours["revision"] = lambda request, _: send(request, 400, b"")
    (tmp_path / "config.json").write_text("{}")
    report = poisonscan.scan(["config.json", "hf://org/name", "hf://org/other"], isolation="off")
    assert [entry.path for entry in report.scanned] == ["config.json"]
    assert [gap.path for gap in report.gaps] == ["hf://org/name", "hf://org/other"]
    assert report.exit_code() == 3


def test_limits_and_offline(here: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    result = command("hf://org/name", "--max-download", "2 B")
    assert result.exit_code == 3
    assert "--max-download is 2 for all" in " ".join(result.stdout.split())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(here.log)
    result = command("hf://org/name")
    assert (result.exit_code, len(here.log)) == (2, asked)
    assert "HF_HUB_OFFLINE is set" in result.stderr


watching = pytest.mark.skipif(not can_watch(), reason="this system does not tell what was read")


def same(one: Report, other: Report) -> bool:
    def content(report: Report) -> list[object]:
        found = [(f.fingerprint, f.message, f.score, f.at) for f in report.findings]
        return [found, report.gaps, report.scanned, report.skipped]

    return content(one) == content(other)


def large_torch_file(body: object) -> bytes:
    numbers = random.Random(0).randbytes(800_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(body, 2))
        for number in range(8):
            archive.writestr(f"m/data/{number}", numbers)
    return out.getvalue()


@watching
@pytest.mark.parametrize("isolation", ["off", "auto"])
def test_of_large_files_what_is_looked_at_is_fetched(here: FakeHub, isolation: Any) -> None:
    here.files = {"evil.pt": large_torch_file(Evil()), "good.pt": large_torch_file([1])}
    here.lfs = set(here.files)
    here.security = {"evil.pt": {"status": "safe"}, "good.pt": {"status": "unscanned"}}
    parts = poisonscan.scan("hf://org/name", isolation=isolation)
    whole = poisonscan.scan("hf://org/name", isolation=isolation, download=True)
    assert same(parts, whole)
    assert [f.rule.id for f in parts.findings] == ["PS101"]
    assert (parts.gaps, parts.exit_code()) == ([], 1)
    for file in parts.origins[0].files:
        assert not file.verified
        assert 0 < file.fetched < file.size / 3
    assert all(f.verified and f.fetched == f.size for f in whole.origins[0].files)
    text = REPORTERS["text"](parts, Options())
    by_command = command("hf://org/name", "--download", "-o", "json").stdout
    assert all(file["verified"] for file in json.loads(by_command)["origins"][0]["files"])
    assert "2 files not verified: read in part" in " ".join(text.split())
    assert "PS101 (critical) here, and the Hub says safe" in " ".join(text.split())


@watching
@pytest.mark.parametrize("name", ["evil.pkl", "evil.pt"])
def test_what_was_found_before_a_failure_stays(here: FakeHub, name: str) -> None:
    chance = random.Random(0)
    numbers = [chance.randbytes(100_000) for _ in range(50)]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(Evil(), 2))
        archive.writestr("m/other.pkl", pickle.dumps(numbers, 2))
    body = pickle.dumps([Evil(), numbers], 2) if name == "evil.pkl" else out.getvalue()
    here.files, here.lfs = {name: body}, {name}
    whole = poisonscan.scan("hf://org/name", isolation="off", select=["PS1", "PS2"])
    assert [f.rule.id for f in whole.findings] == ["PS101"]
    left = [len(here.elsewhere) - 1]

    def behave(request: Any, body: bytes) -> None:
        left[0] -= 1
        send_part(request, body) if left[0] >= 0 else send(request, 400, b"")

    here.behaviours[f"elsewhere/{name}"] = behave
    report = poisonscan.scan("hf://org/name", isolation="off", select=["PS1", "PS2"])
    assert report.findings == whole.findings
    assert [gap.reason for gap in report.gaps] == ["not fetched: 127.0.0.1 answers with status 400"]
    assert report.scanned == []


@watching
def test_rows_in_what_is_a_model_as_well_are_read(here: FakeHub) -> None:
    out = io.BytesIO(large_torch_file([1]))
    with zipfile.ZipFile(out, "a") as archive:
        for number in range(20):
            text = f"text number {number * 7919}"
            archive.writestr(f"{'ab'[number % 2]}/{number}.txt", text)
    here.files = {"model.pt": out.getvalue(), "good.pt": large_torch_file([1])}
    here.lfs = set(here.files)
    parts = poisonscan.scan("hf://org/name", isolation="off")
    whole = poisonscan.scan("hf://org/name", isolation="off", download=True)
    assert same(parts, whole)
    assert [entry.rows for entry in parts.scanned if entry.kind == "dataset"] == [20]
    assert [f.path for f in parts.origins[0].files if f.verified] == ["model.pt"]


def test_systems_that_do_not_tell_what_was_read_fetch_all(
    here: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poisonscan.sources.partial.can_watch", lambda: False)
    here.files, here.lfs = {"evil.pt": large_torch_file(Evil())}, {"evil.pt"}
    report = poisonscan.scan("hf://org/name", isolation="off", max_rows=10)
    assert [f.rule.id for f in report.findings] == ["PS101"]
    assert [(f.verified, f.fetched == f.size) for f in report.origins[0].files] == [(True, True)]
    assert here.ranges == [""]


@watching
def test_a_server_without_parts_gives_the_same(here: FakeHub) -> None:
    here.files, here.lfs = {"evil.pt": large_torch_file(Evil())}, set()
    here.behaviours["evil.pt"] = lambda request, body: send(request, 200, body)
    report = poisonscan.scan("hf://org/name", isolation="off")
    assert [f.rule.id for f in report.findings] == ["PS101"]
    assert [file.verified for file in report.origins[0].files] == [True]


def shards(rows: int, count: int) -> dict[str, bytes]:
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefgh", k=6)) for _ in range(3000)]
    found = {}
    for shard in range(count):
        texts = [" ".join(chance.choices(words, k=60)) for _ in range(rows)]
        table = pa.table({"text": texts, "label": [i % 2 for i in range(rows)]})
        out = io.BytesIO()
        pq.write_table(table, out, row_group_size=rows // 8, compression="none")
        found[f"data/train-{shard:05}-of-{count:05}.parquet"] = out.getvalue()
    return found


@watching
@pytest.mark.parametrize("isolation", ["off", "auto"])
def test_the_first_rows_of_a_dataset(here: FakeHub, isolation: Any) -> None:
    here.files = shards(8_000, 3)
    here.lfs = set(here.files)
    assert all(len(data) > 3_000_000 for data in here.files.values())
    arguments: Any = {"isolation": isolation, "jobs": 1, "select": ["PS3", "PS501"]}
    parts = poisonscan.scan("hf://datasets/org/name", **arguments, max_rows=1_500)
    whole = poisonscan.scan("hf://datasets/org/name", **arguments, max_rows=1_500, download=True)
    assert same(parts, whole)
    assert parts.gaps == []
    (entry,) = parts.scanned
    assert entry.rows == 1_500
    assert "only the first 1,500 rows" in str(entry.facts)
    files = parts.origins[0].files
    assert sum(file.fetched for file in files) < sum(file.size for file in files) / 2
    everything = poisonscan.scan("hf://datasets/org/name", **arguments)
    assert all(file.verified for file in everything.origins[0].files)
    (entry,) = everything.scanned
    assert entry.rows == 24_000


def sampled(report: Report) -> tuple[int, int]:
    """Rows that were looked at, and bytes that were fetched."""
    (entry,) = report.scanned
    return entry.rows or 0, sum(file.fetched for file in report.origins[0].files)


@watching
def test_a_sample_costs_some_row_groups(here: FakeHub) -> None:
    numbers = np.random.default_rng(0)
    here.files = {}
    for name in ("train", "test"):
        vectors = pa.array(numbers.random(16_000 * 128, np.float32))
        table = {
            "text": [f"text {i}" for i in range(16_000)],
            "label": [0, 1] * 8_000,
            "features": pa.FixedSizeListArray.from_arrays(vectors, 128),
        }
        out = io.BytesIO()
        pq.write_table(pa.table(table), out, row_group_size=160, compression="none")
        here.files[f"data/{name}.parquet"] = out.getvalue()
    here.lfs = set(here.files)
    size = sum(map(len, here.files.values()))
    arguments: Any = {"isolation": "off", "select": ["PS3"], "sample": 200}
    first = poisonscan.scan("hf://datasets/org/name", **arguments, jobs=1)
    count, fetched = sampled(first)
    assert first.gaps == []
    assert 140 < count < 260
    assert fetched < size * 0.45
    assert "about 200 of 32,000 rows, chosen at random (seed 0)" in str(first.scanned[0].facts)
    assert "from 32 of 200 row groups: only these were fetched" in str(first.scanned[0].facts)
    assert same(first, poisonscan.scan("hf://datasets/org/name", **arguments, jobs=2))
    other = poisonscan.scan("hf://datasets/org/name", **arguments, jobs=1, seed=1)
    assert sampled(other)[0] != count
    whole = poisonscan.scan("hf://datasets/org/name", **arguments, jobs=1, download=True)
    assert "row groups" not in str(whole.scanned[0].facts)
    assert sampled(whole)[1] == size


@watching
def test_a_split_costs_its_files(here: FakeHub) -> None:
    train, test, other = shards(6_000, 3).values()
    here.files = {
        "data/train-00000-of-00001.parquet": train, "data/test-00000-of-00001.parquet": test,
        "more/train-00000-of-00001.parquet": other,
        "README.md": b"---\nconfigs:\n- config_name: one\n  data_files:\n  - split: train\n"
        b"    path: data/train-*\n  - split: test\n    path: data/test-*\n- config_name: two\n"
        b"  data_files: more/*\n---\n# It\n",
    }  # fmt: skip
    here.lfs = {path for path in here.files if path.endswith(".parquet")}
    arguments: Any = {"isolation": "off", "jobs": 1, "select": ["PS3"]}
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"split": "test"}, {"data/test-00000-of-00001.parquet"}),
        ({"config": "two"}, {"more/train-00000-of-00001.parquet"}),
        ({"config": "one", "split": "train"}, {"data/train-00000-of-00001.parquet"}),
    ]
    for option, paths in cases:
        parts = poisonscan.scan("hf://datasets/org/name", **arguments, **option)
        whole = poisonscan.scan("hf://datasets/org/name", **arguments, **option, download=True)
        assert same(parts, whole)
        assert [entry.rows for entry in parts.scanned] == [6_000]
        assert {f.path for f in parts.origins[0].files if f.verified} == {*paths, "README.md"}
        shutil.rmtree("home")  # or all of it would be taken from the cache


@watching
def test_a_table_that_describes_pictures_is_read_whole(here: FakeHub) -> None:
    from PIL import Image

    names = [f"{n}.png" for n in range(12)]
    noise = random.Random(0).randbytes(3_000_000).hex()
    table = pa.table({"file_name": names, "label": [0, 1] * 6, "note": [noise] + ["x"] * 11})
    out = io.BytesIO()
    pq.write_table(table, out, compression="none", use_dictionary=False)
    here.files, here.lfs = {"metadata.parquet": out.getvalue()}, {"metadata.parquet"}
    for number, name in enumerate(names):
        picture = io.BytesIO()
        Image.new("RGB", (8, 8), (number, 0, 0)).save(picture, "png")
        here.files[name] = picture.getvalue()
    report = poisonscan.scan(
        "hf://datasets/org/name", isolation="off", select=["PS3"], max_rows=10, jobs=1
    )
    assert [(entry.kind, entry.rows) for entry in report.scanned] == [("dataset", 10)]
    assert report.gaps == []


def lines(suffix: str) -> bytes:
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefgh", k=6)) for _ in range(3_000)]
    texts = [" ".join(chance.choices(words, k=40)) for _ in range(21_000)]
    if suffix.startswith(".csv"):
        rows = [f'"{text[:100]}\n{text[100:]}",{i % 2}\n' for i, text in enumerate(texts)]
        data = ("text,label\n" + "".join(rows)).encode()
    else:
        rows = [json.dumps({"text": text, "label": i % 2}) for i, text in enumerate(texts)]
        data = "\n".join(rows).encode()
    return gzip.compress(data, 1) if suffix.endswith(".gz") else data


@watching
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".csv.gz", ".jsonl.gz"])
def test_the_first_rows_of_text_cost_its_beginning(here: FakeHub, suffix: str) -> None:
    here.files = {f"data/train{suffix}": lines(suffix), "README.md": b"# It\n"}
    here.lfs = {f"data/train{suffix}"}
    arguments: Any = {"isolation": "off", "jobs": 1, "select": ["PS3", "PS501"], "max_rows": 700}
    parts = poisonscan.scan("hf://datasets/org/name", **arguments)
    whole = poisonscan.scan("hf://datasets/org/name", **arguments, download=True)
    for report in (parts, whole):  # which have not read as many bytes
        report.scanned = [replace(entry, size=0) for entry in report.scanned]
    assert same(parts, whole)
    assert [(entry.rows, entry.facts["partial"]) for entry in parts.scanned] == [
        (700, "only the first 700 rows were looked at")
    ]
    (file,) = [f for f in parts.origins[0].files if f.path != "README.md"]
    assert not file.verified
    assert 0 < file.fetched < file.size / 3
    shutil.rmtree("home")
    arguments["max_rows"] = 20_000  # more than half of it
    most = poisonscan.scan("hf://datasets/org/name", **arguments)
    assert [entry.rows for entry in most.scanned] == [20_000]
    assert all(f.verified for f in most.origins[0].files)


@watching
def test_what_only_calls_itself_text_is_looked_at_whole(here: FakeHub) -> None:
    array = b"[" + b",".join(b'{"text": "number %d", "label": 1}' % n for n in range(90_000)) + b"]"
    here.files = {"evil.csv": large_torch_file(Evil()), "data/train.json": array}
    here.lfs = set(here.files)
    report = poisonscan.scan("hf://org/name", isolation="off", max_rows=100, jobs=1)
    assert "PS101" in {f.rule.id for f in report.findings}
    assert [entry.rows for entry in report.scanned if entry.kind == "dataset"] == [100]
    assert [f.path for f in report.origins[0].files if f.verified] == ["data/train.json"]


@watching
def test_a_beginning_that_cannot_be_fetched_on_is_a_gap(here: FakeHub) -> None:
    here.files = {
        "train.jsonl": lines(".jsonl"),
        "test.jsonl": lines(".jsonl")[:50_000].rpartition(b"\n")[0],
    }
    here.lfs = {"train.jsonl"}
    left = [2]

    def behave(request: Any, body: bytes) -> None:
        left[0] -= 1
        send_part(request, body) if left[0] >= 0 else send(request, 400, b"")

    here.behaviours["elsewhere/train.jsonl"] = behave
    report = poisonscan.scan("hf://org/name", isolation="off", max_rows=4_000, jobs=1)
    assert [gap.path.rpartition("/")[2] for gap in report.gaps] == ["train.jsonl"]
    assert report.exit_code() == 3 or report.findings
    assert [entry.path.rpartition("/")[2] for entry in report.scanned] == ["test.jsonl"]


@watching
def test_an_option_that_fits_is_not_refused_for_lack_of_rows(here: FakeHub) -> None:
    chance = np.random.default_rng(0)
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(chance.random(64 * 20_000, np.float32)), 64
    )
    out = io.BytesIO()
    table = pa.table({"v": vectors, "label": [i % 2 for i in range(20_000)]})
    pq.write_table(table, out, row_group_size=2_000, compression="none")
    here.files, here.lfs = {"data/train.parquet": out.getvalue()}, {"data/train.parquet"}
    report = poisonscan.scan(
        "hf://datasets/org/name", features_column="v", max_rows=2_000, isolation="off", jobs=1,
        select=["PS3"],
    )  # fmt: skip
    assert [entry.rows for entry in report.scanned] == [2_000]
    assert report.gaps == []
    assert not report.origins[0].files[0].verified


def test_a_reference_on_the_hub(here: FakeHub, tmp_path: Path) -> None:
    def table(share: int) -> bytes:
        rows = "".join(f"text number {i},{'ab'[i % share == 0]}\n" for i in range(600))
        return f"text,label\n{rows}".encode()

    here.files, here.lfs = {"data/train.csv": table(2)}, set()
    (tmp_path / "near.csv").write_bytes(table(2))
    (tmp_path / "train.csv").write_bytes(table(12))
    far = poisonscan.scan("train.csv", reference="hf://datasets/org/name", isolation="off")
    near = poisonscan.scan("train.csv", reference="near.csv", isolation="off")
    place = f"hf://datasets/org/name@{COMMIT}/data/train.csv"
    said = [f.message.replace(place, "near.csv") for f in far.findings]
    assert said == [f.message for f in near.findings]
    assert any("the reference 'near.csv'" in message for message in said)
    assert [origin.commit for origin in far.origins] == [COMMIT]
    result = command("train.csv", "--reference", "hf://datasets/org/other")
    assert result.exit_code == 2
    assert "cannot be fetched" in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("500MB", 500_000_000), ("1.5 GiB", 3 << 29), ("2k", 2_000), ("7B", 7)],
)
def test_sizes(text: str, size: int) -> None:
    import click

    from poisonscan.cli import hub as options

    context = click.Context(cli)
    assert options.size(context, click.Option(["--x"]), text) == size


def test_an_anchor_is_the_place_that_services_show(here: FakeHub, tmp_path: Path) -> None:
    manifest = tmp_path / "models.yaml"
    manifest.write_text("models:\n  - org/name-small\n  - repo: org/name@main\n", "utf-8")
    result = command(
        "hf://org/name", "--anchor", str(manifest), "-o", "sarif=s.sarif", "-o", "github=g.txt"
    )
    assert (result.exit_code, result.stderr) == (1, "")
    (run,) = json.loads(Path("s.sarif").read_text("utf-8"))["runs"]
    (found,) = run["results"]
    physical = found["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "models.yaml"
    assert physical["region"] == {
        "startLine": 3, "startColumn": 11, "endLine": 3, "endColumn": 19,
        "snippet": {"text": "  - repo: org/name@main"},
    }  # fmt: skip
    assert found["message"]["text"].endswith("In 'hf://org/name/model.pkl'.")
    assert found["properties"]["hubUri"] == f"{MODEL}/model.pkl"
    assert "file=models.yaml,line=3," in Path("g.txt").read_text("utf-8")


def test_without_an_anchor_the_path_says_the_hub_and_no_commit(
    here: FakeHub, tmp_path: Path
) -> None:
    other = tmp_path / "requirements.txt"
    other.write_text("torch\n", "utf-8")
    result = command("hf://org/name", "--anchor", str(other), "-o", "sarif")
    assert "'org/name' is not named in 'requirements.txt'" in result.stderr
    (found,) = json.loads(result.stdout)["runs"][0]["results"]
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "hf-hub/org/name/model.pkl"
    assert place["region"]["startLine"] == 1


@pytest.mark.parametrize(("content", "why"), [(b"\xff\xfe", "no text"), (None, "outside")])
def test_a_wrong_anchor_is_refused(
    here: FakeHub, tmp_path: Path, content: bytes | None, why: str
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.txt").write_bytes(content or b"org/name")
    root = () if content else ("--root", "inner")
    result = command("hf://org/name", "--anchor", "a.txt", *root)
    assert result.exit_code == 2
    assert why in result.stderr
