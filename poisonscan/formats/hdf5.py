"""HDF5: groups, datasets and attributes; legacy Keras models, MATLAB 7.3, PyTables, user data.

Only what a loader acts on is read: links, where data are stored, attributes, and datasets that may
hold a pickle. Numbers stay where they are. Layout: HDF5 File Format Specification 3.0; the library
resolves what a link names only when the object is opened, so links are asked first.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from poisonscan.finding import Gap
from poisonscan.formats import keras_config
from poisonscan.formats.base import (
    Anomaly,
    Artifact,
    Numbers,
    Reference,
    References,
    Settings,
    Structure,
)
from poisonscan.formats.hdf5_heap import broken_heap
from poisonscan.formats.hdf5_values import attribute, dataset_pieces, is_variable, pickles
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_USER_BLOCKS: Final = tuple(512 << power for power in range(20))
"""Where the superblock may begin behind a user block: 512 bytes and doublings (section II.A)."""
_DEPTH: Final = 256
"""Groups within groups; the library itself needs quadratic time for the path of each."""
_ANOMALIES_KEPT: Final = 100
_REFERENCES_KEPT: Final = 1_000
_BOMB: Final = 4 << 30
"""Bytes from which on Keras holds the size of a dataset against what is stored of it."""
_EXPANSION: Final = 1_000
"""How many times more than is stored a dataset may make in memory; the bound of Keras itself."""
_DAMAGE: Final = (
    OSError, RuntimeError, ValueError, TypeError, LookupError, MemoryError, ArithmeticError,
)  # fmt: skip
"""What h5py raises about objects that it cannot make sense of."""
_KERAS_ATTRIBUTES: Final = frozenset({"model_config", "keras_version", "training_config"})
_KERAS_GROUPS: Final = frozenset({"model_weights", "_layer_checkpoint_dependencies", "layers"})


@dataclass(frozen=True, slots=True)
class Hdf5:
    """HDF5 files.

    Attributes:
        user_block: take files whose HDF5 part begins behind other bytes, as MATLAB writes them;
            asked late, as the member of a tar archive begins there as well.
    """

    user_block: bool = False
    name: str = "HDF5"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the signature of the superblock, whatever the name: the library looks at no name."""
        if not self.user_block:
            return head.startswith(_MAGIC)
        if blob.size <= _USER_BLOCKS[0]:
            return False
        view = blob.open()
        return any(bytes(view[offset : offset + 8]) == _MAGIC for offset in _USER_BLOCKS)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Keras documents, files that are named, pickles, and what no reader could not find."""
        yield Numbers(blob.path, self.name)
        walk = _Walk(blob, budget, len(view), blob.name.endswith(".weights.h5"))
        try:
            walk.heaps = broken_heap(view, self._superblock(view))
            walk.file(view)
        except LimitReached as error:
            walk.gap(f"limit reached: {error}")
        except _DAMAGE as error:
            walk.gap(f"HDF5 file that cannot be read to its end: {_short(error)}")
        yield from walk.found
        if walk.references:
            yield References(blob.path, self.name, tuple(walk.references))
        if walk.anomalies and walk.keras:
            yield Structure(blob.path, self.name, tuple(walk.anomalies))

    def _superblock(self, view: memoryview) -> int:
        offsets = (0, *_USER_BLOCKS)
        return next((o for o in offsets if bytes(view[o : o + 8]) == _MAGIC), 0)


class _View(io.RawIOBase):
    """A memoryview as a file: the library reads what it needs and copies nothing else."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}
        self._position = max(starts[whence] + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        into = memoryview(buffer).cast("B")
        part = self._view[self._position : self._position + len(into)]
        into[: len(part)] = part
        self._position += len(part)
        return len(part)


@dataclass(slots=True)
class _Walk:
    """Goes through all objects of a file, each once, and keeps what came of it."""

    blob: Blob
    budget: Budget
    size: int
    keras: bool
    heaps: str = ""
    found: list[Blob | Artifact | Gap] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def gap(self, reason: str) -> None:
        """Note what is not checked; a damaged file has many such places."""
        if len(self.found) < _REFERENCES_KEPT:
            self.found.append(Gap(self.blob.path, reason))

    def file(self, view: memoryview) -> None:
        """Walk the whole file. It is closed before anything else sees what was found."""
        import h5py

        try:
            file = h5py.File(_View(view), "r")
        except _DAMAGE as error:
            self.gap(f"HDF5 file that cannot be opened: {_short(error)}")
            return
        with file:
            stack: list[tuple[Any, str, int]] = [(file, "", 0)]
            while stack:
                node, place, depth = stack.pop()
                try:
                    if not self._first(node):
                        continue
                except _DAMAGE as error:
                    self.gap(f"object {ascii(place)[:120]} cannot be read: {_short(error)}")
                    continue
                self.budget.take_member()
                self._attributes(node, place)
                if isinstance(node, h5py.Dataset):
                    self._guarded(self._dataset, node, place)
                elif isinstance(node, h5py.Group):
                    stack += reversed(list(self._children(node, place, depth)))

    def _first(self, node: Any) -> bool:
        import h5py

        info = h5py.h5o.get_info(node.id)
        key = (int(info.fileno), int(info.addr))
        new = key not in self._seen
        self._seen.add(key)
        return new

    def _guarded(self, function: Any, node: Any, place: str) -> None:
        """Call what asks the library about one object; damage there does not end the walk."""
        try:
            function(node, place)
        except _DAMAGE as error:
            self.gap(f"object {ascii(place)[:120]} cannot be read: {_short(error)}")

    def _children(self, group: Any, place: str, depth: int) -> Iterator[tuple[Any, str, int]]:
        import h5py

        try:
            names = list(group)
        except _DAMAGE as error:
            self.gap(f"group {ascii(place)[:120]} cannot be listed: {_short(error)}")
            return
        if depth == 0 and not _KERAS_GROUPS.isdisjoint(names):
            self.keras = True
        if names and depth >= _DEPTH:
            self.gap(f"groups are nested more than {_DEPTH} deep")
            return
        for name in names:
            child = f"{place}/{name}"
            try:
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    self.refer(link.filename, f"target of the external link {ascii(child)[:120]}")
                elif isinstance(link, h5py.HardLink):
                    yield group[name], child, depth + 1
            except _DAMAGE as error:
                self.gap(f"link {ascii(child)[:120]} cannot be read: {_short(error)}")

    def refer(self, target: object, what: str) -> None:
        """Note another file that is named; no weights of Keras have a reason to."""
        text = target.decode("utf-8", "replace") if isinstance(target, bytes) else str(target)
        if text == ".":
            return  # virtual datasets call their own file so
        if len(self.references) < _REFERENCES_KEPT:
            self.references.append(Reference(text, what))
            self._note("outside", f"has its data in another file: {what}", "")

    def _note(self, kind: str, what: str, name: str) -> None:
        if len(self.anomalies) < _ANOMALIES_KEPT:
            self.anomalies.append(Anomaly(kind, what, 0, name))

    def _attributes(self, node: Any, place: str) -> None:
        import h5py

        try:
            count = h5py.h5a.get_num_attrs(node.id)
        except RuntimeError as error:
            self.gap(f"attributes of {ascii(place or '/')[:120]} cannot be read: {_short(error)}")
            return
        for index in range(count):
            self.budget.take_member()
            self._guarded(lambda n, p, i=index: self._attribute(n, p, i), node, place)

    def _attribute(self, node: Any, place: str, index: int) -> None:
        import h5py

        handle = h5py.h5a.open(node.id, index=index)
        name = handle.name.decode("utf-8", "replace")
        if name in _KERAS_ATTRIBUTES:
            self.keras = True
        if self.heaps and is_variable(handle.get_type()):
            self.gap(f"attribute {ascii(name)[:120]} is not read: {self.heaps}")
            return
        data = attribute(node, handle, self.budget)
        if data is None:
            if name == "model_config":
                self.gap("the attribute 'model_config' is no text")
            return
        path = f"{self.blob.path}!{place}/{name}"
        if name in ("model_config", "training_config") or _is_document(data):
            self.found += keras_config.artifacts(path, data)
        elif name == "keras_version":
            version = data.decode("utf-8", "replace")
            self.found.append(Settings(path, "keras", {"keras_version": version}))
        for piece in pickles([data], text=True):
            self.found.append(self.blob.part(f"{place[1:]}/{name}".lstrip("/"), piece, None))

    def _dataset(self, dataset: Any, place: str) -> None:
        import h5py

        shown = ascii(place)[:120]
        plist = dataset.id.get_create_plist()
        outside = False
        for index in range(plist.get_external_count()):
            self.budget.take_member()
            self.refer(plist.get_external(index)[0], f"external storage of the dataset {shown}")
            outside = True
        if plist.get_layout() == h5py.h5d.VIRTUAL:
            for index in range(plist.get_virtual_count()):
                self.budget.take_member()
                source = plist.get_virtual_filename(index)
                self.refer(source, f"source of the virtual dataset {shown}")
            outside = True
        if outside:
            return
        declared = math.prod(dataset.shape or ()) * dataset.id.get_type().get_size()
        stored = dataset.id.get_storage_size()
        if declared > _BOMB and declared > _EXPANSION * stored:
            what = f"makes {declared:,} bytes in memory of {stored:,} that are stored"
            self._note("shape-bomb", what, place)
        if self.heaps and is_variable(dataset.id.get_type()):
            self.gap(f"dataset {shown} is not read: {self.heaps}")
            return
        for number, piece in enumerate(pickles(dataset_pieces(dataset, self.budget), text=False)):
            suffix = f"[{number}]" if number else ""
            self.found.append(self.blob.part(f"{place[1:]}{suffix}", piece, None))


def _is_document(data: bytes) -> bool:
    if not data[:64].lstrip().startswith(b"{") or b"class_name" not in data:
        return False
    try:
        return keras_config.is_keras(keras_config.parse(data))
    except keras_config.NotRead:
        return False


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:160]}"
