"""What each file is a part of: by cards, folders, names, and what lies beside it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from poisonscan.datasets import text_files, webdataset
from poisonscan.datasets.arrays import is_array_file, open_arrays
from poisonscan.datasets.configurations import cards, converted, declared_for, listed
from poisonscan.datasets.documentation import documented_folders, is_documentation
from poisonscan.datasets.entries import Entry, by_name
from poisonscan.datasets.metadata import described
from poisonscan.datasets.saved import saved_folders
from poisonscan.datasets.sound import AudioFiles, open_audio
from poisonscan.datasets.text_folders import TextFolders, open_text_folders
from poisonscan.finding import Gap, Skipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poisonscan.formats.base import TableFile

_MEDIA = frozenset({"image", "audio"})


@dataclass(frozen=True, slots=True)
class Arranged:
    """What is read, and as a part of what.

    Attributes:
        entries: files of rows with their place; one file may have several.
        pictures: pictures that no table describes.
        documented: folders with a README, a model or a program.
        notes: what is not read, and what the files beside say that cannot be followed.
    """

    entries: list[Entry]
    pictures: list[TableFile]
    documented: set[str]
    notes: list[Gap | Skipped] = field(default_factory=list)


def arrange(
    files: Sequence[TableFile], beside: Sequence[TableFile], *, explicit: bool = False
) -> Arranged:
    """Find out what each file is a part of.

    Args:
        files: tables, pictures and recordings.
        beside: all other files.
        explicit: datasets are what was asked for: what may as well be something else is one.
    """
    others = {file.path: file for file in beside}
    tables = {file.path: file for file in files if file.format not in _MEDIA}
    media = [file for file in files if file.format in _MEDIA]
    archives, texts = _archives(beside), _texts(beside)
    found = cards(others)
    claims, notes = saved_folders(tables, others)
    in_cards, gaps = listed(tables | archives | texts, found)
    described_by, taken, about_files = described(list(tables.values()), media)
    notes += [*gaps, *about_files]
    claims = converted(tables) | in_cards | claims | {path: [] for path in taken}
    alone = explicit and len(files) + len(beside) == 1
    named = texts.values() if alone else text_files.meant_as_rows(list(texts.values()))
    entries = list(described_by)
    for file in (*tables.values(), *archives.values(), *named):
        if file.path in claims:
            continue
        features = declared_for(file.path, found)
        entries.append(replace(by_name(file), classes=features.classes, pictures=features.pictures))
    entries += [entry for claimed in claims.values() for entry in claimed]
    entries += open_arrays([file for file in beside if is_array_file(file.path)])
    datasets = {folder for folder, card in found.items() if card.is_dataset}
    documented = documented_folders((file.path for file in (*files, *beside)), datasets)
    free = [file for file in media if file.path not in taken]
    claimed_texts = claims.keys() | {file.path for file in named}
    for entry in open_text_folders(file for file in beside if file.path not in claimed_texts):
        reader = entry.layout.reader if entry.layout is not None else None
        texts_of = reader.files if isinstance(reader, TextFolders) else ()
        if is_documentation(entry.file.path, texts_of, documented, classes=True):
            notes.append(as_documentation(entry.file.path, len(texts_of), "texts"))
        else:
            entries.append(entry)
    for entry in open_audio([file for file in free if file.format == "audio"]):
        reader = entry.layout.reader if entry.layout is not None else None
        recordings = reader.files if isinstance(reader, AudioFiles) else ()
        classes = isinstance(reader, AudioFiles) and bool(reader.labels)
        if is_documentation(entry.file.path, recordings, documented, classes=classes):
            notes.append(as_documentation(entry.file.path, len(recordings), "recordings"))
        else:
            entries.append(entry)
    pictures = [file for file in free if file.format == "image"]
    return Arranged(entries, pictures, documented, notes)


def as_documentation(folder: str, count: int, what: str) -> Skipped:
    """Say that files are taken for documentation."""
    files = f"{count:,} {what}" if count > 1 else f"1 {what.removesuffix('s')}"
    reason = f"{files} beside a README or a model: taken for documentation"
    return Skipped(folder, f"{reason}; scan the folder by itself to have them read")


def _archives(beside: Sequence[TableFile]) -> dict[str, TableFile]:
    return {
        file.path: replace(file, format="webdataset")
        for file in beside
        if file.path.lower().endswith(webdataset.SUFFIXES) and webdataset.holds_rows(file.file)
    }


def _texts(beside: Sequence[TableFile]) -> dict[str, TableFile]:
    return {
        file.path: replace(file, format="text")
        for file in beside
        if PurePosixPath(file.path).suffix.lower() == ".txt" and file.size
    }
