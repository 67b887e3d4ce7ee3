from __future__ import annotations

import json
from pathlib import Path

import pytest

import poisonscan
from fixtures.build import write
from fixtures.shards import INDEX, shard_index
from poisonscan.detectors.models.shard_index import DETECTOR
from poisonscan.finding import Finding, Gap
from poisonscan.formats.base import Folder, Shard, ShardIndex

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
USUAL = {"a": ONE, "b": ONE, "c": TWO}
SHARDS = {ONE: Shard(f"m/{ONE}", frozenset("ab")), TWO: Shard(f"m/{TWO}", frozenset("c"))}


def found(
    weight_map: dict[str, str] = USUAL,
    shards: dict[str, Shard] = SHARDS,
    files: tuple[str, ...] = (),
    index: str = INDEX,
) -> list[str]:
    names = frozenset({*shards, *files, index})
    folder = Folder("m", names, shards, (ShardIndex(f"m/{index}", weight_map),))
    return [
        str(item.evidence["problem"]) if isinstance(item, Finding) else "gap"
        for item in DETECTOR.check(folder)
    ]


def with_tensors(file: str, names: str) -> dict[str, Shard]:
    return SHARDS | {file: Shard(f"m/{file}", frozenset(names))}


def test_an_index_and_files_that_agree_are_quiet() -> None:
    assert found() == []
    assert found(files=("config.json", "pytorch_model-00001-of-00009.bin")) == []
    unknown = {file: Shard(f"m/{file}", None) for file in SHARDS}
    assert found(shards=unknown) == []


def test_what_tensors_contradict() -> None:
    assert found(USUAL | {"d": TWO}) == ["absent"]
    assert found(shards=with_tensors(TWO, "cd")) == ["unlisted"]
    assert found(shards=with_tensors(TWO, "ca")) == ["twice"]
    assert found(USUAL | {"b": TWO}) == ["absent"]  # and it is in ONE, which is told by that


def test_what_names_contradict() -> None:
    three = "model-00003-of-00003.safetensors"
    assert found(files=(three,)) == ["unlisted-file"]
    assert found(USUAL | {"d": three}, files=(three,)) == ["total"]
    assert found({"a": "model-00003-of-00002.safetensors"}) == [
        "gap",
        "number",
        *["unlisted-file"] * 2,
    ]


def test_files_that_are_not_there_are_a_gap_unless_one_whole_file_is() -> None:
    only = {ONE: SHARDS[ONE]}
    assert found(shards=only) == ["gap"]
    assert found(shards=only, files=("model.safetensors",)) == ["gap"]
    assert found(shards={}, files=("model.safetensors",)) == []
    assert found(shards={}) == ["gap"]
    variant = "model.safetensors.index.fp16.json"
    assert found(shards={}, files=("model.safetensors",), index=variant) == []


def test_files_elsewhere_are_not_compared() -> None:
    assert found({"a": "../x.safetensors", "b": "sub/y.safetensors"}, {}) == []


def test_untrusted_names_are_quoted_and_cut() -> None:
    shards = with_tensors(TWO, "c") | {
        TWO: Shard(TWO, frozenset({"c", *(f"\x1b{n}" for n in range(99))}))
    }
    folder = Folder("m", frozenset({*shards, INDEX}), shards, (ShardIndex(f"m/{INDEX}", USUAL),))
    (finding,) = DETECTOR.check(folder)
    assert isinstance(finding, Finding)
    assert "\x1b" not in finding.message
    assert "and 96 others" in finding.message


def test_the_gap_names_the_files() -> None:
    folder = Folder("m", frozenset({INDEX}), {}, (ShardIndex(f"m/{INDEX}", USUAL),))
    (gap,) = DETECTOR.check(folder)
    assert isinstance(gap, Gap)
    assert gap.path == f"m/{INDEX}"
    assert ONE in gap.reason


BAD, GOOD = shard_index()


@pytest.mark.parametrize("case", sorted({name.split("/")[0] for name in BAD}))
def test_an_attack_is_found_in_its_folder(case: str, tmp_path: Path) -> None:
    write({name: data for name, data in BAD.items() if name.startswith(f"{case}/")}, tmp_path)
    report = poisonscan.scan(tmp_path / case)
    assert {finding.rule.id for finding in report.findings} == {"PS206"}
    assert report.exit_code() == 1


@pytest.mark.parametrize("case", sorted({name.split("/")[0] for name in GOOD}))
def test_a_benign_folder_is_quiet(case: str, tmp_path: Path) -> None:
    write({name: data for name, data in GOOD.items() if name.startswith(f"{case}/")}, tmp_path)
    report = poisonscan.scan(tmp_path / case)
    assert [finding.message for finding in report.findings] == []
    assert [gap.reason for gap in report.gaps] == []


def test_a_folder_that_was_fetched_in_part_is_no_attack_and_not_clean(tmp_path: Path) -> None:
    write({n.split("/")[1]: d for n, d in GOOD.items() if n.startswith("two-parts/")}, tmp_path)
    (tmp_path / TWO).unlink()
    report = poisonscan.scan(tmp_path)
    assert report.findings == []
    assert report.exit_code() == 3


def test_entries_that_leave_the_folder_are_references(tmp_path: Path) -> None:
    for target in (
        "../other/model.safetensors",
        "/etc/passwd",
        "https://example.org/w.safetensors",
    ):
        (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": target}}), "utf-8")
        rules = {finding.rule.id for finding in poisonscan.scan(tmp_path).findings}
        assert rules == {"PS204"}, target
