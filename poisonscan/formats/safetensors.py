"""Safetensors: an 8-byte length, a JSON header, then the tensors' bytes without gaps.

Invariants: https://github.com/huggingface/safetensors (format section of the README). The library
accepts some files that its own specification forbids (duplicate names, for one), and readers differ
in what they make of those; here every invariant is checked, and what the library refuses as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from poisonscan.escape import quote
from poisonscan.finding import Gap
from poisonscan.formats import strict_json
from poisonscan.formats.base import Anomaly, Artifact, Shard, TensorFile
from poisonscan.formats.smuggled import in_metadata, in_tensor, may_be_file
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
}  # fmt: skip
"""Bits of a value: the types of safetensors 0.8."""
_BYTES: Final = ("U8", "I8")
"""Types that programs store other things in, such as ``_extra_state``."""
_METADATA: Final = "__metadata__"
_WIDEST: Final = 1 << 64
"""Sizes must be below it: ``usize`` of the library."""
_ANOMALIES_KEPT: Final = 100
_Span = tuple[int, int, str]
"""Where a tensor begins and ends, in bytes behind the header, and its name."""


@dataclass(frozen=True, slots=True)
class Safetensors:
    """Tensors without code.

    Attributes:
        by_name: take any file that calls itself safetensors, to say what is wrong with it; for
            those that no other format claims.
    """

    by_name: bool = False
    name: str = "safetensors"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By a plausible header, or by its name alone."""
        if len(head) < 9:
            return self.by_name and blob.suffix == ".safetensors"
        if self.by_name:
            return blob.suffix == ".safetensors"
        (length,) = struct.unpack_from("<Q", head)
        return head[8:9] == b"{" and 2 <= length <= blob.size and b'"' in head[9:]

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The header with everything that is wrong with it."""
        if len(view) < 8:
            yield Gap(blob.path, "a safetensors file of fewer than 8 bytes")
            return
        (length,) = struct.unpack_from("<Q", view)
        anomalies: list[Anomaly] = []
        tensors: dict[str, Any] = {}
        if length > budget.limits.header:
            most = budget.limits.header
            what = f"the header is said to have {length:,} bytes; at most {most:,} are allowed"
            anomalies.append(Anomaly("oversized-header", what))
        elif 8 + length > len(view):
            what = f"a header of {length:,} bytes does not fit in a file of {len(view):,}"
            anomalies.append(Anomaly("header-beyond-end", what))
        else:
            header = bytes(view[8 : 8 + length])
            strict_json.refuse_floods(header, budget.limits.members)
            tensors, anomalies = _parse(header)
            metadata = tensors.pop(_METADATA, {})
            if len(tensors) > budget.limits.members:
                message = f"a header of {len(tensors):,} tensors"
                raise LimitReached(message)
            start = 8 + length
            spans, unclear = _locate(tensors, len(view) - start)
            anomalies += _check_metadata(metadata) + unclear
            if not unclear:
                anomalies += _check_cover(spans, len(view) - start, start)
        yield TensorFile(blob.path, len(tensors), tuple(anomalies[:_ANOMALIES_KEPT]), blob.base)
        if any(a.kind in ("oversized-header", "header-beyond-end", "not-json") for a in anomalies):
            yield Gap(blob.path, "the tensors cannot be located: the header is unreadable")
            return
        yield Shard(blob.path, frozenset(tensors))
        if len(anomalies) > _ANOMALIES_KEPT:
            more = len(anomalies) - _ANOMALIES_KEPT
            yield Gap(blob.path, f"{more:,} more problems of the header are not listed")
        yield from in_metadata(blob, metadata, budget)
        yield from _contents(blob, view, start, spans, tensors, budget)


def _contents(
    blob: Blob,
    view: memoryview,
    start: int,
    spans: list[_Span],
    tensors: dict[str, Any],
    budget: Budget,
) -> Iterator[Blob]:
    """What is no tensor: files in tensors of single bytes, and what is behind the last one."""
    position = start
    for begin, end, name in spans:
        if tensors[name]["dtype"] in _BYTES and may_be_file(view, start + begin, start + end):
            part = view[start + begin : start + end]
            yield from in_tensor(blob.part(name, part, _outer(blob, start + begin)), budget)
        position = max(position, start + end)
    if position < len(view) and len(spans) == len(tensors):
        yield blob.part("behind the last tensor", view[position:], _outer(blob, position))


def _outer(blob: Blob, offset: int) -> int | None:
    return None if blob.base is None else blob.base + offset


def _parse(header: bytes) -> tuple[dict[str, Any], list[Anomaly]]:
    if not header.startswith(b"{"):
        return {}, [Anomaly("not-json", "the header does not begin with '{'", 8)]
    try:
        found = strict_json.parse(header)
    except ValueError as error:
        return {}, [Anomaly("not-json", f"the header is not valid JSON: {str(error)[:120]}", 8)]
    content: dict[str, Any] = found.content
    return content, [
        Anomaly("duplicate-key", "stands in the header more than once", 8, name)
        if name in content and name != _METADATA
        else Anomaly("duplicate-key", f"the key {quote(name)} stands more than once", 8)
        for name in found.duplicates
    ]


def _check_metadata(metadata: Any) -> list[Anomaly]:
    if isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values()):
        return []
    return [Anomaly("bad-metadata", "__metadata__ is no mapping of strings to strings", 8)]


def _locate(tensors: dict[str, Any], available: int) -> tuple[list[_Span], list[Anomaly]]:
    """Where the tensors lie that are well described, in order, and what is wrong with others."""
    spans: list[_Span] = []
    anomalies: list[Anomaly] = []
    for name, entry in tensors.items():
        problem = _problem(entry, available)
        if problem:
            anomalies.append(Anomaly(problem[0], problem[1], 8, name))
        else:
            begin, end = entry["data_offsets"]
            spans.append((begin, end, name))
    return sorted(spans), anomalies


def _check_cover(spans: list[_Span], available: int, start: int) -> list[Anomaly]:
    """Where tensors, in order, do not cover the bytes behind the header, which begin at start."""
    anomalies: list[Anomaly] = []
    position = 0
    for begin, end, name in spans:
        if begin < position:
            what = f"begins at byte {begin:,} of the data, inside the tensor before it"
            anomalies.append(Anomaly("overlap", what, start + begin, name))
        elif begin > position:
            what = f"leaves {begin - position:,} bytes before it that belong to no tensor"
            anomalies.append(Anomaly("hole", what, start + position, name))
        position = max(position, end)
    if position < available:
        what = f"{available - position:,} bytes behind the last tensor belong to no tensor"
        anomalies.append(Anomaly("trailing-data", what, start + position))
    return anomalies


def _problem(entry: object, available: int) -> tuple[str, str] | None:
    if not isinstance(entry, dict):
        return "bad-entry", "is no description of a tensor"
    dtype: Any = entry.get("dtype")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _BITS:
        return "unknown-dtype", f"has the unknown type {str(dtype)[:40]!r}"
    if not _counts(shape):
        return "bad-shape", "has a shape that is no list of non-negative whole numbers"
    if not _counts(offsets) or len(offsets) != 2:
        return "bad-offsets", "has data_offsets that are no two non-negative whole numbers"
    begin, end = offsets
    if begin > end or end > available:
        return (
            "out-of-range",
            f"has its data at {begin:,} to {end:,}, outside of {available:,} bytes",
        )
    bits = _bits(shape, _BITS[dtype])
    if bits is None:
        return "wrong-length", f"has {end - begin:,} bytes and a shape whose size overflows"
    if bits % 8 or bits // 8 != end - begin:
        made = f"{bits // 8:,}" + (f" and {bits % 8} bits" if bits % 8 else "")
        return "wrong-length", f"has {end - begin:,} bytes where type and shape make {made}"
    return None


def _bits(shape: list[int], each: int) -> int | None:
    """Bits of a tensor; None if a product on the way overflows, as readers multiply in order."""
    size = 1
    for extent in (*shape, each):
        size *= extent
        if size >= _WIDEST:
            return None
    return size


def _counts(value: object) -> bool:
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < _WIDEST for item in value
    )
