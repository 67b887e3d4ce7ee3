"""The storages of torch files: zip archives (since 1.6), and five pickles with raw bytes behind."""

from __future__ import annotations

import struct
from typing import Final

from poisonscan.formats.zip_views import Views
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.locking.tensors import BITS, Tensor
from poisonscan.locking.torch_objects import Pickled, read_pickle, storage_types, tensors_of
from poisonscan.pickles.values import Collection, Long

_PICKLE: Final = "data.pkl"
_MAGIC: Final = 0x1950A86A20F9469CFC6C
"""What files of ``torch.save`` begin with, up to 1.5 (``torch/serialization.py``)."""
_VIEWED: Final = 4
_SLACK: Final = 64 << 20
Found = tuple[list[Tensor], list[str]]
"""The tensors, and what is to be said of those that are not among them."""


def is_zip(view: memoryview) -> bool:
    """Whether a file begins as a zip archive."""
    return bytes(view[:4]) == b"PK\x03\x04"


def zip_tensors(view: memoryview, limits: Limits) -> Found | None:
    """The tensors of a zip archive; None if it is no checkpoint.

    Raises:
        ValueError: loaders differ in what they make of it, or it is not stored as torch does.
    """
    budget = Budget(limits)
    try:
        views = Views(view, budget)
        members = views.members()
        names = [member.entry.name for member in members]
        roots = [name[: -len(_PICKLE)] for name in names if name.endswith("/" + _PICKLE)]
        if not roots:
            return None
        views.compare_names(torch=True)
    except LimitReached as error:
        raise ValueError(str(error)) from error
    if views.anomalies or views.gaps or len(roots) > 1:
        message = "loaders differ in what they read from the archive"
        raise ValueError(message)
    parts: dict[str, memoryview] = {}
    for member in members:
        name = member.entry.name
        if name == roots[0] + _PICKLE or name.startswith((roots[0] + "data/", roots[0] + "byte")):
            (entry, *others) = member.readings(len(view))
            if others or member.encrypted or entry.method != 0:
                message = "members of the archive are compressed"
                raise ValueError(message)
            parts[name] = view[entry.data : entry.data + entry.packed]
    if bytes(parts.get(roots[0] + "byteorder", b"little")[:16]).strip() != b"little":
        message = "its numbers are big-endian"
        raise ValueError(message)
    found = read_pickle(parts[roots[0] + _PICKLE], 0, budget)
    front = roots[0] + "data/"
    storages = {name[len(front) :]: part for name, part in parts.items() if name.startswith(front)}
    made, unnamed = tensors_of(found, storages, _most(view))
    notes = [_unnamed(unnamed)] if unnamed else []
    if any(name.endswith("constants.pkl") for name in names):
        notes.append("constants of its code are not among them")
    return made, notes


def legacy_tensors(view: memoryview, limits: Limits) -> Found | None:
    """The tensors of a file of torch before 1.6; None if it is none.

    Raises:
        ValueError: it is broken.
    """
    if bytes(view[:1]) != b"\x80" or len(view) < 16:
        return None
    budget = Budget(limits)
    try:
        first = read_pickle(view, 0, budget)
    except ValueError:
        return None  # some other file
    if isinstance(first.value, Long) or first.value != _MAGIC:
        return None
    found: list[Pickled] = [first]
    for _ in range(4):
        found.append(read_pickle(view, found[-1].end, budget))
    about, whole, keys = found[2].value, found[3], found[4].value
    if isinstance(about, Collection) and about.get("little_endian") is False:
        message = "its numbers are big-endian"
        raise ValueError(message)
    types, position = storage_types(whole), found[4].end
    storages: dict[str, memoryview] = {}
    for key in keys.items if isinstance(keys, Collection) else ():
        width = BITS.get(types.get(str(key), ""), 0) // 8
        if not width or position + 8 > len(view):
            message = "a storage is described in a way that is not known"
            raise ValueError(message)
        (count,) = struct.unpack_from("<q", view, position)
        end = position + 8 + count * width
        if count < 0 or end > len(view):
            message = "a storage reaches over the end of the file"
            raise ValueError(message)
        storages[str(key)] = view[position + 8 : end]
        position = end
    made, unnamed = tensors_of(whole, storages, _most(view))
    return made, [_unnamed(unnamed)] if unnamed else []


def _most(view: memoryview) -> int:
    return _VIEWED * len(view) + _SLACK


def _unnamed(count: int) -> str:
    return f"tensors that no key leads to are not among them: {count:,}"
