"""Old array types of `datasets` are told from pickles that call anything else in pyarrow."""

from __future__ import annotations

from pathlib import Path

import pytest

import poisonscan
from fixtures import arrow_files as made

CLASS = b"cdatasets.features.features\nArray2DExtensionType\n"
SHAPE = b"K\x02K\x02\x86"


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def found(pickled: bytes, folder: Path) -> set[str]:
    schema = made.schema([made.column("x", {made.NAME: made.PICKLED.encode(), made.DATA: pickled})])
    (folder / "t.parquet").write_bytes(made.with_schema(schema))
    report = poisonscan.scan(folder)
    return {finding.rule.id for finding in report.findings}


@pytest.mark.parametrize("kind", ["float32", "bool", "uint8", "string", "timestamp[us, tz=UTC]"])
@pytest.mark.parametrize("shape", [SHAPE, b"NK\x03\x86", b"(NK\x03K\x04t"])
def test_arrays_of_constants_are_quiet(kind: str, shape: bytes, tmp_path: Path) -> None:
    assert found(b"\x80\x04" + CLASS + shape + text(kind) + b"\x86R.", tmp_path) == set()


@pytest.mark.parametrize(
    "pickled",
    [
        CLASS + SHAPE + text("create_library_symlinks") + b"\x86R.",
        CLASS + SHAPE + text("_HadoopFileSystem") + b"\x86R.",
        CLASS + SHAPE + text("float32\n") + b"\x86R.",
        CLASS + text("ab") + text("float32") + b"\x86R.",
        CLASS + SHAPE + b"K\x01\x86R.",
        CLASS + b")K\x01\x85" + text("float32") + b"\x86\x86R.",
        CLASS + SHAPE + text("float32") + b"\x86R}" + text("shape") + b"K\x01sb.",
        CLASS + SHAPE + text("float32") + b"\x86R" + CLASS + SHAPE + text("show_info") + b"\x86R.",
        CLASS.replace(b"2D", b"9D") + SHAPE + text("float32") + b"\x86R.",
        CLASS + SHAPE + text("float32") + b"\x86",
    ],
)
def test_anything_else_is_found(pickled: bytes, tmp_path: Path) -> None:
    assert "PS113" in found(b"\x80\x04" + pickled, tmp_path)
