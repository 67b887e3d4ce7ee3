"""That each column of pictures is looked at, and that findings and gaps name it."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

import poisonscan
from poisonscan.finding import Rows
from poisonscan.report import Report

ROWS, POISONED = 200, range(0, 100, 10)
CHECKERS = (np.indices((4, 4)).sum(axis=0) % 2 * 255).astype(np.uint8)
Planes = NDArray[np.uint8]


@pytest.mark.parametrize("poisoned", ["left", "right"])
def test_a_patch_is_found_in_whatever_column_it_is(tmp_path: Path, poisoned: str) -> None:
    columns = {"left": smooth(0), "right": smooth(1)}
    columns[poisoned][POISONED, 9:13, 9:13] = CHECKERS
    (found,) = report(tmp_path, columns, select=["PS404"]).findings
    assert isinstance(found.at.part, Rows)
    assert {row.index for row in found.at.part.rows} <= set(POISONED)
    assert found.at.part.count == len(POISONED)
    assert (found.evidence.get("column") == "right") is (poisoned == "right")
    assert found.message.startswith("in column 'right'") is (poisoned == "right")


def test_the_same_in_two_columns_is_two_findings(tmp_path: Path) -> None:
    columns = {"left": smooth(0), "right": smooth(1)}
    for planes in columns.values():
        planes[POISONED, 9:13, 9:13] = CHECKERS
    found = list(report(tmp_path, columns, select=["PS404"]).each())
    assert sorted(str(each.evidence.get("column")) for each in found) == ["None", "right"]
    assert len({each.fingerprint for each in found}) == 2


def test_honest_pictures_in_two_columns_are_clean(tmp_path: Path) -> None:
    seen = report(tmp_path, {"left": smooth(0), "mask": (smooth(1) > 127) * np.uint8(255)})
    assert not seen.findings
    assert not seen.gaps


def test_what_cannot_be_read_in_another_column_is_a_gap_that_names_it(tmp_path: Path) -> None:
    left, right = files(smooth(0)), files(smooth(1))
    right[7] = right[7][:-30]
    (gap,) = written(tmp_path, {"left": left, "right": right}).gaps
    assert gap.reason.startswith("column 'right': 1 row with a picture that cannot be read")


def test_a_row_without_a_mask_is_no_gap(tmp_path: Path) -> None:
    left, right = files(smooth(0)), files(smooth(1))
    assert not written(tmp_path, {"left": left, "mask": [*right[:-1], None]}).gaps


def test_a_mask_that_many_rows_share_makes_them_no_copies(tmp_path: Path) -> None:
    mask = np.repeat(smooth(1)[:1], ROWS, axis=0)
    seen = report(tmp_path, {"image": smooth(0), "mask": mask}, select=["PS50"])
    assert not seen.findings


def smooth(seed: int) -> Planes:
    """Different pictures of 20×20 pixels without a pattern of few pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (ROWS, 5, 5), np.uint8)
    enlarged = [Image.fromarray(one).resize((20, 20), Image.Resampling.BICUBIC) for one in coarse]
    return np.stack([np.asarray(one) for one in enlarged])


def files(planes: Planes) -> list[bytes]:
    out = []
    for plane in planes:
        file = io.BytesIO()
        Image.fromarray(plane).save(file, "PNG")
        out.append(file.getvalue())
    return out


def report(
    folder: Path, columns: dict[str, Planes], select: Sequence[str] = ("PS404", "PS40", "PS61")
) -> Report:
    return written(folder, {name: files(planes) for name, planes in columns.items()}, select)


def written(
    folder: Path, columns: Mapping[str, Sequence[bytes | None]], select: Sequence[str] = ("PS404",)
) -> Report:
    labels = [f"class {place % 10}" for place in range(ROWS)]
    table = pa.table({name: pa.array(each) for name, each in columns.items()} | {"label": labels})
    pq.write_table(table, folder / "rows.parquet")
    return poisonscan.scan(
        folder / "rows.parquet", kind="dataset", root=folder, select=select, profile="fast"
    )
