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
_SHARD = re.compile(r"(?<![^-._ ])\d+(?![^-._ ])|(?<![0-9])0\d+(?![0-9])")
"""Numbers that stand alone or begin with a zero. Others are part of a name: ``cifar10``."""
_BETWEEN = re.compile(r"[-._ ]+")
_ARCHIVE = re.compile(r"(?:\.[A-Za-z0-9]{2,4})*!")
"""What stands behind the name of an archive in the path of a member: ``train.tar.gz!/rows.csv``."""
_DIGITS = "0123456789"


def called(folder: str | PurePosixPath, *, inside: bool) -> str:
    """What reports call a folder, or the archive that it stands for in the paths of members.

    Args:
        folder: path of what holds the files of a dataset.
        inside: whether these are members of an archive.
    """
    return str(folder).removesuffix("!") if inside else str(folder)


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
    and ``poisoned.csv`` two, ``cifar10.csv`` and ``cifar100.csv`` as well.
    """
    pure = PurePosixPath(path)
    folder = pure.parent
    while folder.name and is_split(_ARCHIVE.sub("", folder.name)):
        folder = folder.parent
    stem = pure.name[: -len(pure.suffix)] if pure.suffix else pure.name
    words = _BETWEEN.split(_SHARD.sub("", _OF.sub("", stem.lower())))
    kept = [word for word in words if word]
    for word in kept:
        if word.strip(_DIGITS) in SPLITS:
            kept.remove(word)
            break
    return str(folder), tuple(kept)


def is_split(name: str) -> bool:
    """Whether a folder is named after a split."""
    return _SEPARATORS.sub("", name.lower()) in SPLITS
