"""Which configuration and split of a dataset a file belongs to, by card or by folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from poisonscan.datasets.card import NAME, read_card
from poisonscan.datasets.entries import Entry, Features, split_called
from poisonscan.datasets.globs import is_wild, leaves, matching
from poisonscan.datasets.naming import split_of
from poisonscan.escape import quote
from poisonscan.finding import Gap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poisonscan.datasets.card import Card, Config
    from poisonscan.formats.base import TableFile

MAX_WILD = 500
"""Patterns of a card with wildcards: each is held against every name."""
_CONVERTED = re.compile(r"\d{4,5}\.parquet")
"""Names of the files of the Hub's own conversions: ``config/split/0000.parquet``."""

Claims = dict[str, list[Entry]]


def cards(beside: Mapping[str, TableFile]) -> dict[PurePosixPath, Card]:
    """The cards, by the folder that each describes."""
    return {
        PurePosixPath(path).parent: read_card(file)
        for path, file in sorted(beside.items())
        if PurePosixPath(path).name.lower() == NAME
    }


def listed(
    files: Mapping[str, TableFile], found: Mapping[PurePosixPath, Card]
) -> tuple[Claims, list[Gap]]:
    """Entries of the files that cards list, by path.

    A file may be part of several configurations. One that no card lists has no entry here.
    """
    claimed: Claims = {}
    gaps: list[Gap] = []
    for folder, card in found.items():
        place = str(folder / "README.md")
        below = _below(folder, files)
        if card.problem and below:
            gaps.append(Gap(place, card.problem))
        if not card.configs:
            continue
        wild = 0
        for config in card.configs:
            several = len(card.configs) > 1
            features = card.features_of(config.name)
            for split, pattern in config.patterns:
                wild += is_wild(pattern)
                if wild > MAX_WILD:
                    what = f"the card has more than {MAX_WILD} patterns with wildcards"
                    gaps.append(Gap(place, f"{what}: the rest is not used"))
                    return claimed, gaps
                names = _named(pattern, below, config, place, gaps)
                for name in names:
                    file = below[name]
                    about = Entry(
                        file, split_called(split) if split else split_of(name), str(folder),
                        config.name if several else "", features.classes, features.pictures,
                    )  # fmt: skip
                    entries = claimed.setdefault(file.path, [])
                    if about not in entries:
                        entries.append(about)
    return claimed, gaps


def _below(folder: PurePosixPath, files: Mapping[str, TableFile]) -> dict[str, TableFile]:
    start = "" if str(folder) == "." else f"{folder}/"
    return {path[len(start) :]: file for path, file in files.items() if path.startswith(start)}


def _named(
    pattern: str, below: Mapping[str, TableFile], config: Config, place: str, gaps: list[Gap]
) -> list[str]:
    """Files that a pattern names; a gap if it leads out of the folder."""
    called = f"configuration {quote(config.name)} names {quote(pattern)}"
    if leaves(pattern):
        gaps.append(Gap(place, f"{called}, outside of its folder: not read"))
        return []
    if not is_wild(pattern):
        name = str(PurePosixPath(pattern))
        return [name] if name in below else []
    try:
        return matching(pattern, below)
    except ValueError as error:
        gaps.append(Gap(place, f"{called}: {error}"))
        return []


def declared_for(path: str, found: Mapping[PurePosixPath, Card]) -> Features:
    """What the nearest card above a file that no configuration lists says about its columns."""
    for folder in PurePosixPath(path).parents:
        card = found.get(folder)
        if card is not None and card.features:
            return card.features_of("")
    return Features()


def converted(files: Mapping[str, TableFile]) -> Claims:
    """Entries of ``config/split/0000.parquet``, as the Hub converts datasets."""
    claimed: Claims = {}
    for path, file in files.items():
        pure = PurePosixPath(path)
        if file.format != "parquet" or not _CONVERTED.fullmatch(pure.name):
            continue
        split, folder = pure.parent.name.removeprefix("partial-"), pure.parent.parent
        if split:
            claimed[path] = [Entry(file, split_called(split), str(folder))]
    return claimed
