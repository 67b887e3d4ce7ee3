"""Columns of pictures that no detector looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from poisonscan.datasets.pixel_lists import NAMES
from poisonscan.datasets.sampled_column import SampledColumn, holds_pictures
from poisonscan.escape import quote

if TYPE_CHECKING:
    from poisonscan.datasets.layouts import Layout
    from poisonscan.datasets.roles import Roles

_TEXT_OF_PICTURES = ("data:image/", "iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR")
"""How pictures begin in base64: PNG, JPEG, GIF and WebP."""


def unseen_pictures(found: Layout, sample: pa.Table, roles: Roles) -> list[str]:
    """What is not looked at of the pictures that rows hold, for people.

    Columns of pictures beyond those that are looked at are told of unless the user chose one.

    Args:
        found: the columns.
        sample: the first rows, with every column, each column in one chunk.
        roles: of the columns.
    """
    taken = {name for names in roles.columns.values() for name in names}
    columns = [
        SampledColumn(sample, field, found) for field in found.schema if field.name not in taken
    ]
    unread = [_not_read(column) for column in columns if column.rows and _hides_pictures(column)]
    if "image" not in roles.inferred:
        return unread
    seen = roles.columns["image"]
    return unread + [
        f"column {quote(column.name)} holds pictures too, and was not looked at: of several such"
        f" columns the first {len(seen)} are; --image-column {quote(column.name)} looks at it alone"
        for column in columns
        if column.picture or holds_pictures(column)
    ]


def _not_read(column: SampledColumn) -> str:
    return (
        f"column {quote(column.name)} ({quote(column.values.type, 60)}) seems to hold pictures, in"
        " no form that is read: not looked at; store the bytes of picture files, or lists of rows"
        " of pixels"
    )


def _hides_pictures(column: SampledColumn) -> bool:
    if column.is_string:
        texts = column.values.drop_null().slice(0, 16).to_pylist()
        return all(text.startswith(_TEXT_OF_PICTURES) for text in texts)
    simple = column.is_number or pa.types.is_boolean(column.type)
    if simple or pa.types.is_null(column.type) or column.key not in NAMES:
        return False
    return not holds_pictures(column)
