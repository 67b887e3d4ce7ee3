"""The laws of the flow: fail closed, keep what was found, lose nothing else."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import poisonscan
from poisonscan import scan as scan_function
from poisonscan.detectors.models.pickle_irregular import PickleIrregular
from poisonscan.finding import Finding, Severity
from poisonscan.formats.base import Artifact, PickleStream
from poisonscan.limits import Limits
from poisonscan.rules import RuleError
from poisonscan.scan import TargetError

EVIL = b"cos\nsystem\n(S'true'\ntR."


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def ids(report: poisonscan.Report) -> set[str]:
    return {finding.rule.id for finding in report.findings}


def test_a_malicious_pickle_is_found_with_name_call_and_place(tmp_path: Path) -> None:
    report = poisonscan.scan(write(tmp_path / "a.pkl", EVIL))
    (finding,) = report.findings
    assert finding.rule.id == "PS101"
    assert finding.evidence["imports"] == "os.system"
    assert finding.evidence["calls"] == "os.system('true')"
    assert finding.at.part == poisonscan.Span(21, 1, 21)
    assert report.exit_code() == 1


def test_a_benign_pickle_is_clean(tmp_path: Path) -> None:
    report = poisonscan.scan(write(tmp_path / "a.pkl", pickle.dumps({"a": [1, 2, 3]})))
    assert report.exit_code() == 0
    assert [entry.format for entry in report.scanned] == ["pickle"]


def test_an_empty_folder_is_not_clean(tmp_path: Path) -> None:
    report = poisonscan.scan(tmp_path)
    assert report.exit_code() == 3
    assert not report.complete


def test_a_folder_with_only_text_is_not_clean(tmp_path: Path) -> None:
    write(tmp_path / "README.md", b"# Hello\n")
    report = poisonscan.scan(tmp_path)
    assert report.exit_code() == 3
    assert [skipped.path.rpartition("/")[2] for skipped in report.skipped] == ["README.md"]


def test_text_beside_a_model_is_no_gap(tmp_path: Path) -> None:
    write(tmp_path / "README.md", b"# Hello\n")
    write(tmp_path / "a.pkl", pickle.dumps(1))
    assert poisonscan.scan(tmp_path).exit_code() == 0


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(list(range(1000)))[:-50],
        b"\x00\x01\x02\x03 what is this \xff\xfe" * 10,
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"\x93NUMPY\x01\x00\xff\xff",
    ],
    ids=["truncated pickle", "unknown", "HDF5", "broken zip", "broken npy"],
)
def test_what_cannot_be_read_whole_is_a_gap(tmp_path: Path, data: bytes) -> None:
    write(tmp_path / "good.pkl", pickle.dumps(1))
    write(tmp_path / "bad.bin", data)
    report = poisonscan.scan(tmp_path)
    assert {gap.path.rpartition("/")[2] for gap in report.gaps} == {"bad.bin"}
    assert report.exit_code() == 3
    assert [entry.path.rpartition("/")[2] for entry in report.scanned][-1] == "good.pkl"


def test_findings_before_a_break_stay(tmp_path: Path) -> None:
    report = poisonscan.scan(write(tmp_path / "a.pkl", EVIL[:-1] + b"\xff"))
    assert ids(report) == {"PS101"}
    assert report.gaps
    assert report.exit_code() == 1
    assert report.exit_code(None) == 3


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a file one may not read")
def test_an_unreadable_file_is_a_gap(tmp_path: Path) -> None:
    write(tmp_path / "a.pkl", EVIL).chmod(0)
    assert poisonscan.scan(tmp_path).exit_code() == 3


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(opcodes=2), "opcodes"),
        (Limits(depth=0), "containers deep"),
        (Limits(unpacked=10), "decompresses"),
        (Limits(members=1), "members"),
    ],
)
def test_a_limit_that_was_reached_is_a_gap(tmp_path: Path, limits: Limits, reason: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.pkl", pickle.dumps(list(range(100))))
        archive.writestr("b.pkl", pickle.dumps(list(range(100))))
    report = poisonscan.scan(path, limits=limits)
    assert any(reason in gap.reason for gap in report.gaps)
    assert report.exit_code() == 3


class Crashing:
    reads: ClassVar[tuple[type[Artifact], ...]] = (PickleStream,)

    def check(self, artifact: PickleStream) -> Iterator[Finding]:
        yield from PickleIrregular().check(artifact)
        message = "boom"
        raise RuntimeError(message)


def test_a_detector_that_raises_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poisonscan.detectors.models.pickle_irregular.DETECTOR", Crashing())
    report = poisonscan.scan(write(tmp_path / "a.pkl", b"N0\x80\x04" + EVIL), isolation="off")
    assert ids(report) == {"PS101", "PS105"}
    (gap,) = report.gaps
    assert gap.detector == "detectors.models.pickle_irregular"
    assert "boom" in gap.reason


def test_too_many_findings_are_counted(tmp_path: Path) -> None:
    data = b"".join(b"cos\nf%d\n0" % index for index in range(50)) + b"N."
    report = poisonscan.scan(write(tmp_path / "a.pkl", data), limits=Limits(findings=10))
    assert len(report.findings) == 10
    assert any("40 more findings" in gap.reason for gap in report.gaps)


def test_an_interrupt_keeps_what_was_found(tmp_path: Path) -> None:
    write(tmp_path / "a.pkl", EVIL)
    write(tmp_path / "b.pkl", EVIL)

    def interrupt(_what: str, done: int, _total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    report = poisonscan.scan(tmp_path, progress=interrupt)
    assert report.interrupted
    assert len(report.findings) == 1
    assert report.exit_code() == 130


def test_rules_can_be_selected_and_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pkl", b"N0\x80\x04" + EVIL)
    assert ids(poisonscan.scan(path)) == {"PS101", "PS105"}
    assert ids(poisonscan.scan(path, select=["PS105"])) == {"PS105"}
    assert ids(poisonscan.scan(path, ignore=["pickle-irregular"])) == {"PS101"}
    with pytest.raises(RuleError, match="PS999"):
        poisonscan.scan(path, select=["PS999"])


def test_a_target_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="does not exist"):
        poisonscan.scan(tmp_path / "nothing")


def test_kinds(tmp_path: Path) -> None:
    write(tmp_path / "a.pkl", EVIL)
    write(tmp_path / "b.pkl", b"N.")
    write(tmp_path / "rows.csv", b"text,label\ngood,1\nbad,0\n")
    both = poisonscan.scan(tmp_path, kind="dataset")
    assert ids(both) == {"PS101"}, "a pickle among the rows is as dangerous as anywhere"
    assert [item.kind for item in both.scanned] == ["dataset"]
    assert {item.path.rpartition("/")[2] for item in both.skipped} == {"a.pkl", "b.pkl"}
    assert ids(poisonscan.scan(tmp_path, kind="model")) == {"PS101"}


def test_several_targets_are_scanned_once_each(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pkl", EVIL)
    assert len(poisonscan.scan([path, tmp_path, path]).findings) == 1


def test_paths_are_relative_and_fingerprints_do_not_depend_on_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = []
    for folder in ("one", "two"):
        write(tmp_path / folder / "models" / "a.pkl", EVIL)
        monkeypatch.chdir(tmp_path / folder)
        (finding,) = poisonscan.scan("models").findings
        assert finding.at.path == "models/a.pkl"
        prints.append(finding.fingerprint)
    assert prints[0] == prints[1]


def test_targets_outside_of_the_folder_keep_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("one", "two"):
        write(tmp_path / name / "model.pt", EVIL)
    monkeypatch.chdir(here)
    report = poisonscan.scan(["../one/model.pt", "../two/model.pt", "../one/../one/model.pt"])
    assert [f.at.path for f in report.findings] == ["one/model.pt", "two/model.pt"]
    with pytest.raises(TargetError, match="not below the root"):
        poisonscan.scan("../one", root=here)


def test_a_dataset_scan_keeps_the_gaps_of_what_may_be_data(tmp_path: Path) -> None:
    write(tmp_path / "good.csv", b"text,label\n" + b"some text,a\nother text,b\n" * 5)
    write(tmp_path / "data.bin", b"\x00\x01\x02 what is this \xff" * 10)
    write(tmp_path / "model.pkl", pickle.dumps(1)[:-1])
    report = poisonscan.scan(tmp_path, kind="dataset")
    assert [gap.path.rpartition("/")[2] for gap in report.gaps] == ["data.bin"]


def _arrays(_rows: bytes) -> bytes:
    out = io.BytesIO()
    np.savez(out, x=np.arange(400), y=np.arange(400) % 2)
    return out.getvalue()


def _archive(rows: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(40):
            archive.writestr(f"class{number % 2}/{number}.txt", rows)
    return out.getvalue()


def _nothing(_rows: bytes) -> bytes:
    return b""


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("cut.npz", _arrays),
        ("cut.csv.bz2", bz2.compress),
        ("cut.json.gz", gzip.compress),
        ("cut.zip", _archive),
        ("empty.npz", _nothing),
        ("empty.tar", _nothing),
    ],
)
def test_what_is_lost_of_a_dataset_beside_another_is_a_gap(
    tmp_path: Path, name: str, written: Callable[[bytes], bytes]
) -> None:
    rows = b"text,label\n" + b"some text,a\nother text,b\n" * 5
    write(tmp_path / "good.csv", rows)
    whole = written(rows)
    write(tmp_path / name, whole[: len(whole) * 2 // 3])
    report = poisonscan.scan(tmp_path, kind="dataset", select=["PS301"], root=tmp_path)
    assert report.exit_code() == 3
    assert {gap.path.partition("!/")[0] for gap in report.gaps} == {name}
    assert name not in {item.path for item in report.skipped}


@pytest.mark.parametrize(
    "data", [b"", b"just text\n", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_a_model_that_is_not_there_is_a_gap(tmp_path: Path, data: bytes) -> None:
    write(tmp_path / "model.pt", data)
    write(tmp_path / "good.pkl", pickle.dumps(1))
    report = poisonscan.scan(tmp_path)
    assert report.exit_code() == 3
    assert [gap.path.rpartition("/")[2] for gap in report.gaps] == ["model.pt"]


def test_links(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside.pkl", EVIL)
    inside = tmp_path / "inside"
    write(inside / "a.pkl", pickle.dumps(1))
    (inside / "same.pkl").symlink_to(inside / "a.pkl")
    (inside / "out.pkl").symlink_to(outside)
    (inside / "gone.pkl").symlink_to(tmp_path / "nothing")
    report = poisonscan.scan(inside)
    assert report.findings == []
    assert sorted(gap.path.rpartition("/")[2] for gap in report.gaps) == ["gone.pkl", "out.pkl"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    report = poisonscan.scan(tmp_path)
    assert "not a regular file" in report.gaps[0].reason


def test_more_processes_find_the_same(tmp_path: Path) -> None:
    for index in range(4):
        write(tmp_path / f"{index}.pkl", EVIL if index % 2 else pickle.dumps(index))
    one, two = poisonscan.scan(tmp_path, jobs=1), poisonscan.scan(tmp_path, jobs=2)
    assert [f.fingerprint for f in one.findings] == [f.fingerprint for f in two.findings]
    assert one.scanned == two.scanned


def test_the_api_is_what_the_package_shows() -> None:
    assert poisonscan.scan is scan_function
    assert all(hasattr(poisonscan, name) for name in poisonscan.__all__)


seeds = [EVIL, pickle.dumps({"a": [1, "b", 2.5]}), b"\x80\x04\x95\x05\0\0\0\0\0\0\0N."]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(seeds), st.data())
def test_no_bytes_make_the_scan_raise(tmp_path: Path, seed: bytes, data: Any) -> None:
    changed = bytearray(seed * data.draw(st.integers(1, 3)))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / f"a{data.draw(st.sampled_from(['.pkl', '.bin', '.npy', '.safetensors', '']))}"
    path.write_bytes(bytes(changed))
    report = poisonscan.scan(path, isolation="off")  # nothing stands between it and the test
    named = b"os" in changed and b"system" in changed and changed.endswith(b"tR.")
    if named and changed.startswith(EVIL):
        assert report.count(Severity.CRITICAL)
    assert not any("Error" in gap.reason for gap in report.gaps), report.gaps


def test_no_rule_left_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.pkl", EVIL)
    with pytest.raises(RuleError, match="no rule is left"):
        poisonscan.scan(tmp_path, ignore=["PS"])


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_file_is_what_any_of_its_names_says(tmp_path: Path) -> None:
    """A cache of the Hub keeps content under a hash and names as links; so can an attacker."""
    write(tmp_path / "blobs" / "612be3cd", b"import os\nos.system('true')\n")
    write(tmp_path / "notes.md", b"import os\nos.system('true')\n")
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "modeling_x.py").symlink_to("../blobs/612be3cd")
    (tmp_path / "helper.py").symlink_to("notes.md")
    report = poisonscan.scan(tmp_path)
    found = {f.at.path.rpartition("/")[2] for f in report.findings if f.rule.id == "PS111"}
    assert found == {"modeling_x.py", "helper.py"}


def test_the_fast_profile_says_what_it_leaves_out(tmp_path: Path) -> None:
    rows = "".join(f"some words of text {i % 7} and more,{i % 2}\n" for i in range(60))
    path = write(tmp_path / "a.csv", ("text,label\n" + rows).encode())
    whole = poisonscan.scan(path)
    fast = poisonscan.scan(path, profile="fast")
    (entry,) = fast.scanned
    left = {rule.id for rule in whole.rules} - {rule.id for rule in fast.rules}
    assert entry.facts["left out by profile"] == {"fast": sorted(left)}
    assert "left out by profile" not in whole.scanned[0].facts
    assert fast.gaps == whole.gaps == []
    assert fast.exit_code() == 0
    assert ids(fast) == ids(whole) - left


def test_a_rule_that_the_profile_leaves_out_is_not_applied_quietly(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"text,label\nx,1\n")
    with pytest.raises(RuleError, match="the profile fast leaves out all"):
        poisonscan.scan(path, select=["PS401", "PS402"], profile="fast")
    (entry,) = poisonscan.scan(path, select=["PS401", "PS3"], profile="fast").scanned
    assert "PS401" in str(entry.facts["left out by profile"])


def test_the_fast_profile_trains_nothing_to_confirm_a_finding() -> None:
    poisoned = Path(__file__).parents[1] / "fixtures" / "demo" / "digits-poisoned.parquet"
    report = poisonscan.scan(poisoned, select=["PS404"], profile="fast")
    (finding,) = report.findings
    assert "confirmation" not in finding.evidence
    assert "left out by profile" not in report.scanned[0].facts
