"""A model in several files whose index says something else than the files do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Gap, Location
from poisonscan.formats.base import Artifact, Folder, ShardIndex
from poisonscan.rules import rule

_NUMBERED: Final = re.compile(
    r"(?P<prefix>.*?)(?P<number>\d+)-of-(?P<total>\d+)(?P<suffix>\.[^/]*)"
)
"""Such as ``model-00002-of-00005.safetensors`` (``huggingface_hub.serialization``)."""
_NAMED: Final = 3


class ShardIndexMismatch:
    """Rule PS206."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Folder,)

    def check(self, artifact: Folder) -> Iterator[Finding | Gap]:
        """A finding for each kind of contradiction and file; a gap for files that are not there."""
        listed = {_plain(f) for index in artifact.indexes for f in index.weight_map.values()}
        for index in artifact.indexes:
            yield from _absent_files(artifact, index)
            yield from _numbers(index)
            yield from _unlisted_files(artifact, index, listed)
            yield from _tensors(artifact, index)


def _absent_files(folder: Folder, index: ShardIndex) -> Iterator[Gap]:
    files = {_plain(file) for file in index.weight_map.values()}
    # Another folder's file, or one that leaves the folder: not compared, and judged by PS204.
    files = {file for file in files if "/" not in file and "\\" not in file}
    absent = sorted(files - folder.files)
    whole = re.sub(r"\.index(\.[\w-]+)?\.json$", "", index.path.rpartition("/")[2])
    if not absent or (len(absent) == len(files) and whole in folder.files):
        return  # loaders take the one whole file; the index is a leftover
    yield Gap(
        index.path,
        f"{len(absent)} of the {len(files)} files that the index names are not among what was "
        f"scanned: {_some(absent)}",
    )


def _numbers(index: ShardIndex) -> Iterator[Finding]:
    totals: dict[tuple[str, str], set[int]] = defaultdict(set)
    for file in sorted(set(index.weight_map.values())):
        match = _NUMBERED.fullmatch(file)
        if match is None:
            continue
        family = (match["prefix"], match["suffix"])
        number, total = _small(match["number"]), _small(match["total"])
        if number > total:
            yield _finding(
                index, "number", file, f"names {quote(file)}, a part behind the last of {total:,}"
            )
        totals[family].add(total)
    for (prefix, suffix), found in totals.items():
        if len(found) > 1:
            counts = " and of ".join(f"{total:,}" for total in sorted(found)[:_NAMED])
            name = f"{prefix}…{suffix}"
            yield _finding(
                index, "total", name, f"names files {quote(name)} of sets of {counts} files"
            )


def _unlisted_files(folder: Folder, index: ShardIndex, listed: set[str]) -> Iterator[Finding]:
    matches = map(_NUMBERED.fullmatch, set(index.weight_map.values()))
    families = {(match["prefix"], match["suffix"]) for match in matches if match}
    for file in sorted(folder.files - listed):
        match = _NUMBERED.fullmatch(file)
        if match is not None and (match["prefix"], match["suffix"]) in families:
            yield _finding(
                index, "unlisted-file", file, f"does not name {quote(file)}, a part by its name"
            )


def _tensors(folder: Folder, index: ShardIndex) -> Iterator[Finding]:
    """Compare tensors of the files whose tensors are known."""
    expected: dict[str, set[str]] = defaultdict(set)
    for tensor, file in index.weight_map.items():
        expected[_plain(file)].add(tensor)
    known: dict[str, frozenset[str]] = {
        file: shard.tensors
        for file, shard in folder.shards.items()
        if file in expected and shard.tensors is not None
    }
    for file, tensors in sorted(known.items()):
        if absent := expected[file] - tensors:
            what = f"says that {quote(file)} holds what is not there: {_some(absent)}"
            yield _finding(index, "absent", file, what)
        if more := tensors - index.weight_map.keys():
            what = f"does not name all that {quote(file)} holds; it also has {_some(more)}"
            yield _finding(index, "unlisted", file, what)
        if twice := _twice(file, tensors - expected[file], index.weight_map, known):
            what = f"says that another file holds what {quote(file)} holds as well: {_some(twice)}"
            yield _finding(index, "twice", file, what)


def _twice(
    file: str,
    tensors: Iterable[str],
    weight_map: Mapping[str, str],
    known: Mapping[str, frozenset[str]],
) -> list[str]:
    """Tensors of a file that the index has in another one, which holds them too."""
    return [
        tensor
        for tensor in tensors
        if (other := _plain(weight_map.get(tensor, file))) != file
        and tensor in known.get(other, ())
    ]


def _plain(file: str) -> str:
    return file.removeprefix("./")


def _small(digits: str) -> int:
    return int(digits[-9:])


def _some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    ordered = sorted(names)
    shown = ", ".join(quote(name) for name in ordered[:_NAMED])
    more = len(ordered) - _NAMED
    return f"{shown} and {more:,} others" if more > 0 else shown


def _finding(index: ShardIndex, kind: str, file: str, what: str) -> Finding:
    return rule("PS206").finding(
        Location(index.path), f"The index {what}.", key=f"{kind} {file}", problem=kind, file=file
    )


DETECTOR: Final = ShardIndexMismatch()
