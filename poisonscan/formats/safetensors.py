"""Safetensors: an 8-byte length, a JSON header, then the tensors' bytes without gaps.

Invariants: https://github.com/huggingface/safetensors (format section of the README). The library
accepts some files that its own specification forbids (duplicate names, for one), and readers differ
in what they make of those; here every invariant is checked.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Artifact, TensorFile
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
}  # fmt: skip
_OPENING: Final = re.compile(rb"[{\[]")
_ANOMALIES_KEPT: Final = 100


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
        return head[8:9] == b"{" and 2 <= length <= blob.size and b'"' in head[9:64]

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
            _refuse_floods(view[8 : 8 + length], budget)
            tensors, anomalies = _parse(bytes(view[8 : 8 + length]))
            anomalies += _check(tensors, len(view) - 8 - length, 8 + length)
        yield TensorFile(blob.path, len(tensors), tuple(anomalies[:_ANOMALIES_KEPT]), blob.base)
        if any(a.kind in ("oversized-header", "header-beyond-end", "not-json") for a in anomalies):
            yield Gap(blob.path, "the tensors cannot be located: the header is unreadable")
        if len(anomalies) > _ANOMALIES_KEPT:
            more = len(anomalies) - _ANOMALIES_KEPT
            yield Gap(blob.path, f"{more:,} more problems of the header are not listed")


def _refuse_floods(header: memoryview, budget: Budget) -> None:
    """Count what parsing would make, before it does.

    Raises:
        LimitReached: more objects or lists than so many tensors have.
    """
    objects = sum(1 for _ in _OPENING.finditer(header))
    if objects > 3 * budget.limits.members + 16:
        most = budget.limits.members
        message = f"a header with {objects:,} objects and lists, more than {most:,} tensors have"
        raise LimitReached(message)


def _parse(header: bytes) -> tuple[dict[str, Any], list[Anomaly]]:
    duplicates: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names: set[str] = set()
        for name, _ in pairs:
            if name in names and len(duplicates) < _ANOMALIES_KEPT:
                duplicates.append(name)
            names.add(name)
        return dict(pairs)

    def refuse(constant: str) -> None:
        message = f"{constant} is not JSON"
        raise ValueError(message)

    if not header.startswith(b"{"):
        return {}, [Anomaly("not-json", "the header does not begin with '{'", 8)]
    try:
        content = json.loads(
            header.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse
        )
    except (ValueError, RecursionError) as error:
        return {}, [Anomaly("not-json", f"the header is not valid JSON: {str(error)[:120]}", 8)]
    anomalies = [
        Anomaly("duplicate-key", "stands in the header more than once", 8, name)
        for name in duplicates
    ]
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        what = "__metadata__ is no mapping of strings to strings"
        anomalies.append(Anomaly("bad-metadata", what, 8))
    return content, anomalies


def _check(tensors: dict[str, Any], available: int, start: int) -> list[Anomaly]:
    """What is wrong with the tensors, given the bytes behind the header and where these begin."""
    anomalies: list[Anomaly] = []
    spans: list[tuple[int, int, str]] = []
    for name, entry in tensors.items():
        problem = _problem(entry, available)
        if problem:
            anomalies.append(Anomaly(problem[0], problem[1], 8, name))
        else:
            begin, end = entry["data_offsets"]
            spans.append((begin, end, name))
    if anomalies:
        return anomalies
    position = 0
    for begin, end, name in sorted(spans):
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
    bits = math.prod(shape) * _BITS[dtype]
    if bits % 8 or bits // 8 != end - begin:
        return (
            "wrong-length",
            f"has {end - begin:,} bytes where type and shape make {bits / 8:,.0f}",
        )
    return None


def _counts(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 64
        and all(type(item) is int and 0 <= item < 1 << 64 for item in value)
    )
