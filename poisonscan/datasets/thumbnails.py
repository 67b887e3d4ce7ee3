"""Small copies of the pictures that findings name, for people who look at a report.

They are made of decoded pixels, so that nothing else of a picture file reaches a report.
"""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from PIL import Image

from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.picture_sources import MAX_FILE, inside, read_file
from poisonscan.datasets.pictures import BROKEN, open_picture, shallow
from poisonscan.datasets.pixel_lists import files_of_lists, is_list
from poisonscan.datasets.tables import numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poisonscan.datasets.dataset import Dataset

SIDE: Final = 64
"""Pixels of the longer side at most; smaller pictures are shown as they are, pixel by pixel."""
LARGEST: Final = 12_000
"""Bytes of one PNG; a picture that takes more (noise of 64 x 64 pixels) is made smaller."""


def thumbnails(dataset: Dataset, number: int, positions: Sequence[int]) -> dict[int, str]:
    """Pictures of rows, by position in the shard: PNG files in base64.

    Args:
        dataset: has pictures, as files or in a column.
        number: of the shard.
        positions: in the shard, ascending. Those without a readable picture are left out.
    """
    made = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for position, data in _files(dataset, number, positions):
            if isinstance(data, bytes) and (small := _thumbnail(data)) is not None:
                made[position] = small
    return made


def _files(
    dataset: Dataset, number: int, positions: Sequence[int]
) -> Iterator[tuple[int, bytes | str]]:
    """Positions and their picture files, or why there is none."""
    shard = dataset.shards[number]
    if shard.layout is None:
        for position in positions:
            yield position, read_file(shard.files[position])
        return
    column = next(iter(dataset.roles.get("image", ())), None)
    if column is None or not positions:
        return
    file = shard.files[0]
    folder = Path(file.file) if file.steps else Path(file.file).parent
    rows = dict(zip(shard.rows_of(np.array(positions)).tolist(), positions, strict=True))
    try:
        for start, table in numbered(file, shard.layout, [column], part=shard.part):
            here = [row for row in rows if start <= row < start + table.num_rows]
            taken = table.column(0).take(pa.array([row - start for row in here], pa.int64()))
            taken = files_of_lists(taken) if is_list(taken.type) else taken
            for row, value in zip(here, taken, strict=True):
                yield rows[row], _data(value.as_py(), folder)
            if start + table.num_rows > max(rows):
                return
    except DatasetError:
        return  # the scan has already reported that the file cannot be read to its end


def _data(value: Any, folder: Path) -> bytes | str:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        return inside(folder, value)
    return value if isinstance(value, bytes) else "not there"


def _thumbnail(data: bytes) -> str | None:
    if len(data) > MAX_FILE:
        return None
    try:
        with open_picture(data) as opened:
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            image = shallow(opened) if opened.mode.startswith(("I", "F")) else opened
            seen = image.convert("L" if image.mode in {"1", "L", "LA", "F"} else "RGB")
    except BROKEN:
        return None
    side = SIDE
    while True:
        seen.thumbnail((side, side), Image.Resampling.BOX)
        file = io.BytesIO()
        # A copy of the pixels alone: profiles and comments of the picture file stay behind.
        Image.frombytes(seen.mode, seen.size, seen.tobytes()).save(file, "PNG")
        if file.tell() <= LARGEST or side < 2:
            return base64.b64encode(file.getvalue()).decode()
        side //= 2
