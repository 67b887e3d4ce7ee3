"""What each file is a part of: by cards, folders, names, and what lies beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from poisonscan.datasets import text_files, webdataset
from poisonscan.datasets.arrays import is_array_file, open_arrays
from poisonscan.datasets.candidates import DESCRIBING
from poisonscan.datasets.configurations import cards, converted, declared_for, listed
from poisonscan.datasets.documentation import documented_folders, is_documentation
from poisonscan.datasets.entries import Entry, by_name
from poisonscan.datasets.folders import above_split, folder_roots
from poisonscan.datasets.metadata import described
from poisonscan.datasets.naming import called
from poisonscan.datasets.saved import saved_folders
from poisonscan.datasets.sound import AudioFiles, open_audio
from poisonscan.datasets.text_folders import TextFolders, left_out, open_text_folders
from poisonscan.finding import Gap, Skipped

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

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
    archives = _archives(files, beside)
    files = distinct(file for file in files if not _is_in(file, archives))
    beside = distinct(file for file in beside if not _is_in(file, archives))
    others = {file.path: file for file in beside}
    tables = {file.path: file for file in files if file.format not in _MEDIA}
    media = [file for file in files if file.format in _MEDIA]
    texts = _texts(beside)
    found = cards(others)
    claims, notes = saved_folders(tables, others)
    in_cards, gaps = listed(tables | archives | texts, found)
    on_disk = [file for file in tables.values() if not file.steps]
    described_by, taken, about_files = described(on_disk, media)
    notes += [*gaps, *about_files, *_not_joined(tables, media)]
    claims = converted(tables) | in_cards | claims | {path: [] for path in taken}
    around = {text.file for text in texts.values() if text.steps}
    alone = (
        explicit and len(files) + sum(f.steps != () or f.file not in around for f in beside) == 1
    )
    named = texts.values() if alone else text_files.meant_as_rows(list(texts.values()))
    entries = list(described_by)
    for file in (*tables.values(), *archives.values(), *named):
        if file.path in claims:
            continue
        features = declared_for(file.path, found)
        entries.append(replace(by_name(file), classes=features.classes, pictures=features.pictures))
    entries += [entry for claimed in claims.values() for entry in claimed]
    arrays = [file for file in beside if is_array_file(file.path) and not file.steps]
    entries += open_arrays(arrays)
    datasets = {folder for folder, card in found.items() if card.is_dataset}
    documented = documented_folders((file.path for file in (*files, *beside)), datasets)
    documented |= {called(folder, inside=True) for folder in documented}
    free = [file for file in media if file.path not in taken]
    claimed_texts = claims.keys() | {file.path for file in named}
    prose = [file for file in beside if file.path not in claimed_texts]
    in_folders: list[Entry] = []
    for entry in open_text_folders(prose):
        reader = entry.layout.reader if entry.layout is not None else None
        texts_of = reader.files if isinstance(reader, TextFolders) else ()
        if is_documentation(entry.file.path, texts_of, documented, classes=True):
            notes.append(as_documentation(entry.file.path, len(texts_of), "texts"))
        else:
            in_folders.append(entry)
    entries += in_folders
    notes += left_out(in_folders, prose)
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


def distinct(files: Iterable[TableFile]) -> list[TableFile]:
    """The same files, those that share a path told apart by a number.

    A folder may have the name of an archive, and an archive two members of one name.
    """
    known: Counter[str] = Counter()
    found = []
    for file in files:
        known[file.path] += 1
        count = known[file.path]
        found.append(file if count == 1 else replace(file, path=f"{file.path}@{count}"))
    return found


def _not_joined(tables: Iterable[str], media: Sequence[TableFile]) -> Iterator[Gap]:
    """Gaps for tables in archives that describe the pictures below them."""
    above = {
        str(folder) for file in media if file.steps for folder in PurePosixPath(file.path).parents
    }
    for path in tables:
        pure = PurePosixPath(path)
        if pure.name in DESCRIBING and str(pure.parent) in above and "!" in path:
            yield Gap(path, "not joined with the pictures in the archive: unpack it and scan that")


def _is_in(file: TableFile, archives: Container[str]) -> bool:
    """Whether a file is a member of one of these archives."""
    return bool(file.steps) and file.path.partition("!/")[0] in archives


def as_documentation(folder: str, count: int, what: str) -> Skipped:
    """Say that files are taken for documentation."""
    files = f"{count:,} {what}" if count > 1 else f"1 {what.removesuffix('s')}"
    reason = f"{files} beside a README or a model: taken for documentation"
    return Skipped(folder, f"{reason}; scan the folder by itself to have them read")


def _archives(files: Sequence[TableFile], beside: Sequence[TableFile]) -> dict[str, TableFile]:
    """The archives that are WebDatasets."""
    found: dict[str, TableFile] = {}
    for file in beside:
        if file.steps or not file.path.lower().endswith(webdataset.SUFFIXES):
            continue
        fields = webdataset.fields_of(file.file)
        if fields and not (len(fields) == 1 and _in_classes(file, (*files, *beside))):
            found[file.path] = replace(file, format="webdataset")
    return found


def _in_classes(archive: TableFile, files: Sequence[TableFile]) -> bool:
    """Whether what is in an archive are pictures or texts in folders of classes."""
    inside = [file for file in files if _is_in(file, (archive.path,))]
    folders = folder_roots([PurePosixPath(f.path).parent for f in inside if f.format == "image"])
    classes = any(above_split(folder) != root for folder, root in folders.items())
    return classes or bool(open_text_folders(f for f in inside if f.format == "other"))


def _texts(beside: Sequence[TableFile]) -> dict[str, TableFile]:
    return {
        file.path: replace(file, format="text")
        for file in beside
        if PurePosixPath(file.path).suffix.lower() == ".txt" and file.size
    }
