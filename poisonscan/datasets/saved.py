"""Folders that ``Dataset.save_to_disk`` wrote: which files hold the rows, and what columns are.

``state.json`` lists the Arrow files and the split, ``dataset_info.json`` the features;
``dataset_dict.json`` stands above one such folder for each split. Other Arrow files in there are
caches of transformations, not part of the dataset.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from poisonscan.datasets.entries import Entry, Features, split_called
from poisonscan.finding import Gap, Skipped
from poisonscan.formats.members import opened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poisonscan.formats.base import TableFile

STATE = "state.json"
INFO = "dataset_info.json"
SPLITS_FILE = "dataset_dict.json"
MAX_JSON = 16 << 20
"""Bytes of a file that describes a dataset."""


def saved_folders(
    files: Mapping[str, TableFile], beside: Mapping[str, TableFile]
) -> tuple[dict[str, list[Entry]], list[Gap | Skipped]]:
    """Entries of the Arrow files below each folder with a ``state.json``.

    Args:
        files: files of rows by path.
        beside: the other files by path.

    Returns:
        Entries by path (none for a file that is no part of the dataset), and what to tell.
    """
    claimed: dict[str, list[Entry]] = {}
    notes: list[Gap | Skipped] = []
    known = {**files, **beside}
    for path, file in sorted(known.items()):
        if PurePosixPath(path).name != STATE:
            continue
        state = read_json(file)
        names = _data_files(state)
        if names is None:
            continue
        folder = PurePosixPath(path).parent
        above = str(folder.parent / SPLITS_FILE) in known
        home = str(folder.parent if above else folder)
        split = _split(state, folder.name if above else "")
        info = known.get(str(folder / INFO))
        features = declared(_features(info))
        wanted = [str(folder / name) for name in names]
        for name, place in zip(names, wanted, strict=True):
            if place in files:
                entry = Entry(files[place], split, home, "", features.classes, features.pictures)
                claimed.setdefault(place, []).append(entry)
            else:
                notes.append(Gap(path, f"names {name!a}, which is not in the folder"))
        for other in _arrows_in(folder, files):
            if other not in wanted:
                claimed.setdefault(other, [])
                notes.append(Skipped(other, f"a cache file: {STATE} beside it does not name it"))
    return claimed, notes


def _arrows_in(folder: PurePosixPath, files: Mapping[str, TableFile]) -> list[str]:
    return [
        path
        for path, file in files.items()
        if file.format == "arrow" and PurePosixPath(path).parent == folder
    ]


def _data_files(state: Any) -> list[str] | None:
    """Names of the files, without those that lead elsewhere; None: this is no such state."""
    if not isinstance(state, dict) or not isinstance(state.get("_data_files"), list):
        return None
    names = [item.get("filename") for item in state["_data_files"] if isinstance(item, dict)]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _split(state: Any, folder: str) -> str:
    """The folder of a split says which it is; without one the state does."""
    named = folder or state.get("_split")
    return split_called(named) if isinstance(named, str) and named else "train"


def _features(info: TableFile | None) -> Any:
    found = read_json(info) if info is not None else None
    return found.get("features") if isinstance(found, dict) else None


def read_json(file: TableFile) -> Any:
    """The content of a JSON file; None where it is too large or not JSON."""
    if file.size > MAX_JSON:
        return None
    try:
        with opened(file) as source:
            return json.loads(source.read(MAX_JSON + 1))
    except (OSError, ValueError, RecursionError):
        return None


def declared(features: Any) -> Features:
    """Class names and picture columns of features as ``datasets`` writes them in JSON."""
    classes: dict[str, tuple[str, ...]] = {}
    pictures: Sequence[str] = ()
    if isinstance(features, dict):
        for name, feature in features.items():
            if not isinstance(feature, dict):
                continue
            if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
                classes[name] = tuple(map(str, feature["names"]))
            elif feature.get("_type") == "Image":
                pictures = (*pictures, name)
    return Features({name: names for name, names in classes.items() if names}, tuple(pictures))
