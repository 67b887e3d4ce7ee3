"""What file names say: splits and shard numbers, the way the ``datasets`` library reads them."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
_SEPARATORS = re.compile(r"[-._ 0-9]+")
_OF = re.compile(r"[-_.]\d{5}-of-\d{5}")


def split_of(path: str) -> str:
    """The split that a path names: by file name, else by the nearest folder, else ``train``."""
    parts = PurePosixPath(path).parts
    for part in reversed(parts):
        stem = part.split(".")[0] if part == parts[-1] else part
        for word in _SEPARATORS.split(stem.lower()):
            if word in SPLITS:
                return SPLITS[word]
    return "train"


def family(path: str) -> tuple[str, tuple[str, ...]]:
    """What files of one dataset have in common: folder and words of the name.

    Split words, shard numbers and folders named after a split are left out, so
    ``data/train-00000-of-00003.parquet`` and ``data/test.parquet`` are one family, ``clean.csv``
    and ``poisoned.csv`` two.
    """
    pure = PurePosixPath(path)
    folder = pure.parent
    while folder.name and is_split(folder.name):
        folder = folder.parent
    stem = pure.name[: -len(pure.suffix)] if pure.suffix else pure.name
    words = _SEPARATORS.split(_OF.sub("", stem.lower()))
    kept = [word for word in words if word]
    for word in kept:
        if word in SPLITS:
            kept.remove(word)
            break
    return str(folder), tuple(kept)


def is_split(name: str) -> bool:
    """Whether a folder is named after a split."""
    return _SEPARATORS.sub("", name.lower()) in SPLITS
