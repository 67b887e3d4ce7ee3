from __future__ import annotations

from pathlib import Path

import pytest

import poisonscan
from fixtures import arrow_files as made
from fixtures import opcodes as op
from poisonscan.detectors.models.arrow_types import DETECTOR
from poisonscan.formats.base import ExtensionType, ExtensionTypes


def rules(*types: ExtensionType) -> list[str]:
    return [finding.rule.id for finding in DETECTOR.check(ExtensionTypes("t.arrow", types))]


def test_types_that_unpickle_are_found() -> None:
    assert rules(ExtensionType(made.PICKLED, "x", (("os", "system"),))) == ["PS113"]
    assert rules(ExtensionType("vendor.kind", "x", (("vendor", "Kind"),))) == ["PS113"]
    assert rules(ExtensionType(made.PICKLED, "x")) == ["PS113"]


def test_types_that_do_not_are_quiet() -> None:
    assert rules(ExtensionType("arrow.uuid", "x"), ExtensionType("geoarrow.wkb", "y")) == []
    known = ("datasets.features.features", "Array2DExtensionType")
    assert rules(ExtensionType(made.PICKLED, "x", (known,), known=True)) == []
    assert rules(ExtensionType(made.PICKLED, "x", (known,))) == ["PS113"]


def test_names_are_quoted() -> None:
    (finding,) = DETECTOR.check(
        ExtensionTypes("t", (ExtensionType("a\x1b", "b\x1b", (("c", "d\x1b"),)),))
    )
    assert "\x1b" not in finding.message


@pytest.mark.parametrize("kind", ["all", "model", "dataset"])
def test_it_is_found_whatever_is_asked_for(kind: str, tmp_path: Path) -> None:
    evil = op.pickle_of(op.system(), 2)
    schema = made.schema([made.column("x", {made.NAME: made.PICKLED.encode(), made.DATA: evil})])
    (tmp_path / "train.parquet").write_bytes(made.with_schema(schema))
    report = poisonscan.scan(tmp_path, kind=kind)  # type: ignore[arg-type]
    assert {"PS101", "PS113"} <= {finding.rule.id for finding in report.findings}
    assert report.exit_code() == 1


def test_a_pickle_among_the_files_of_a_dataset_is_found(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\ngood,1\nbad,0\n", "utf-8")
    (tmp_path / "cache.pkl").write_bytes(op.pickle_of(op.system(), 2))
    report = poisonscan.scan(tmp_path, kind="dataset")
    assert {finding.rule.id for finding in report.findings if finding.at.path.endswith("cache.pkl")}
    assert report.exit_code() == 1
