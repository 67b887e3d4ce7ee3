"""Folders of pictures: the folder that holds a picture is its class, as in ``imagefolder``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.naming import called, is_split, split_of
from poisonscan.datasets.pictures import Pictures
from poisonscan.datasets.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poisonscan.formats.base import TableFile

CHUNK = 2_000
"""Picture files in a shard."""
_ORDER = {"train": 0, "validation": 1, "test": 2}

Folder = PurePosixPath


def open_folders(files: Sequence[TableFile], split: str | None) -> list[Dataset]:
    """One dataset for each folder of class folders, or folder of pictures without classes.

    Folders named after a split may stand above the class folders.

    Args:
        files: picture files.
        split: the only split wanted; None: all.
    """
    by_folder: dict[Folder, list[TableFile]] = defaultdict(list)
    for file in files:
        by_folder[PurePosixPath(file.path).parent].append(file)
    roots: dict[Folder, list[Folder]] = defaultdict(list)
    for folder, root in folder_roots(list(by_folder)).items():
        roots[root].append(folder)
    found = (_dataset(root, folders, by_folder, split) for root, folders in sorted(roots.items()))
    return [dataset for dataset in found if dataset.shards]


def folder_roots(folders: Sequence[Folder]) -> Mapping[Folder, Folder]:
    """The dataset that each folder of pictures belongs to, by that dataset's folder."""
    classes: dict[Folder, set[str]] = defaultdict(set)
    for folder in folders:
        if folder.name and not is_split(folder.name):
            classes[above_split(folder.parent)].add(folder.name)
    roots = {}
    for folder in folders:
        above = above_split(folder.parent)
        is_class = not is_split(folder.name) and len(classes[above]) > 1
        roots[folder] = above if is_class and folder.name else above_split(folder)
    return roots


def above_split(folder: Folder) -> Folder:
    """The folder above one that is named after a split, others as they are."""
    return folder.parent if folder.name and is_split(folder.name) else folder


def _dataset(
    root: Folder,
    folders: Sequence[Folder],
    by_folder: Mapping[Folder, Sequence[TableFile]],
    split: str | None,
) -> Dataset:
    has_classes = any(above_split(folder) != root for folder in folders)
    by_split: dict[str, list[tuple[str, TableFile]]] = defaultdict(list)
    for folder in folders:
        relative = "/".join((*folder.relative_to(root).parts[:1], "x")) if folder != root else "x"
        is_class = above_split(folder) != root
        entries = [(folder.name if is_class else "", file) for file in by_folder[folder]]
        by_split[split_of(relative)] += entries
    shards = []
    inside = any(file.steps for folder in folders for file in by_folder[folder])
    place = called(root, inside=inside)
    for name in sorted(by_split, key=lambda s: _ORDER.get(s, len(_ORDER))):
        if split in {None, name}:
            entries = sorted(by_split[name], key=lambda entry: entry[1].path)
            shards += _shards(place, name, entries, has_classes=has_classes)
    roles: dict[str, tuple[str, ...]] = {"image": ("image",)}
    if has_classes:
        roles["label"] = ("label",)
    return Dataset(
        path=place,
        format="image",
        shards=tuple(shards),
        columns={"image": "picture file"} | ({"label": "folder"} if has_classes else {}),
        roles=roles,
        inferred=frozenset(roles),
        vectors=Pictures(),
    )


def _shards(
    path: str, split: str, entries: Sequence[tuple[str, TableFile]], *, has_classes: bool
) -> list[Shard]:
    shards = []
    for start in range(0, len(entries), CHUNK):
        part = entries[start : start + CHUNK]
        files = tuple(file for _, file in part)
        labels = tuple(label for label, _ in part) if has_classes else ()
        size = sum(file.size for file in files)
        shards.append(Shard(path, split, size, files, labels, rows=len(files)))
    return shards
