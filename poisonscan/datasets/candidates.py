"""Files that are no tables by their format, and may be a dataset by their name. Cheap to ask."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

_SPLIT: Final = r"train(?:ing)?|validation|valid|val|dev|test(?:ing)?|eval(?:uation)?"
_NAMES: Final = re.compile(
    rf".*\.(?:npz|npy|tar|tar\.gz|tgz)|.*[-._]idx\d[-._]ubyte(?:\.gz)?"
    rf"|(?:{_SPLIT})[-_. \d]*(?:of-\d+)?\.txt"
    rf"|(?:.*[-_.])?(?:{_SPLIT}|data|dataset|features|images)(?:[-_.].*)?\.safetensors"
)
DESCRIBING: Final = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Names of tables that describe the pictures and recordings around them."""
ENOUGH_TEXTS: Final = 10
"""Files that a class folder of texts holds at least."""


def may_hold_rows(path: str) -> bool:
    """Whether a file may be a dataset, or a part of one, although its format is not of rows."""
    return _NAMES.fullmatch(path.rpartition("/")[2].lower()) is not None


def any_may_hold_rows(paths: Iterable[str]) -> bool:
    """Whether one of these files may, or several may be texts in class folders."""
    texts: Counter[str] = Counter()
    for path in paths:
        if may_hold_rows(path):
            return True
        if path.lower().endswith(".txt"):
            texts[path.rpartition("/")[0]] += 1
    return sum(count >= ENOUGH_TEXTS for count in texts.values()) > 1
