"""Boosted trees of LightGBM (text) and CatBoost (FlatBuffers and JSON): numbers and names.

Layout: LightGBM ``src/boosting/gbdt_model_text.cpp`` and ``src/io/tree.cpp``, which trust the
counts and children in the file; CatBoost ``catboost/libs/model/flatbuffers/model.fbs`` and
``model_export/json_model_helpers.cpp``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Artifact, Numbers, Structure
from poisonscan.formats.json_tokens import json_tokens
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_LIGHTGBM: Final = re.compile(rb"tree\r?\nversion=v\d")
_FIELD: Final = re.compile(
    rb"^(Tree|num_leaves|left_child|right_child|tree_sizes|end of trees)(?:=([^\r\n]*+))?\r?$",
    re.MULTILINE,
)
_LONGEST_LINE: Final = 1 << 26
_ANOMALIES_KEPT: Final = 100

_CATBOOST_JSON: Final = re.compile(
    rb'\s*\{\s*"(?:features_info|model_info|ctr_data|oblivious_trees|trees|scale_and_bias)"\s*:'
)
_CATBOOST_KEYS: Final = frozenset({"oblivious_trees", "trees"})
_CATBOOST_FORMAT: Final = b"FlabuffersModel_v1"


class LightGBM:
    """A text of ``key=value`` lines, tree after tree."""

    name = "LightGBM"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By its first two lines."""
        return _LIGHTGBM.match(head) is not None

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """The model as numbers, and what is wrong with its trees."""
        yield Numbers(blob.path, "LightGBM model")
        text = _LightGBMText(view)
        anomalies: list[Anomaly] = []
        for anomaly in text.problems():
            anomalies.append(anomaly)
            if len(anomalies) >= _ANOMALIES_KEPT:
                yield Gap(blob.path, "too many problems: the rest was not checked")
                break
        if anomalies:
            yield Structure(blob.path, "LightGBM model", tuple(anomalies), blob.base)
        elif not text.ended:  # versions before 2.2 write no end: those cannot be told from a cut
            yield Gap(blob.path, "the model is cut short: it has no end of trees")


class _LightGBMText:
    """The lines of a model that say how large its parts are."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.sizes: list[int] | None = None
        self.trees = 0
        self.ended = False

    def problems(self) -> Iterator[Anomaly]:
        """What is wrong with the trees.

        Raises:
            LimitReached: a line that is too long to be read.
        """
        leaves, first = 0, None
        for match in _FIELD.finditer(self.view):
            key, value = match[1], self._value(match)
            tree = f"tree {self.trees - 1}" if self.trees else ""
            try:
                if key == b"tree_sizes":
                    self.sizes = [int(size) for size in value.split()]
                elif key == b"Tree":
                    first = match.start() if first is None else first
                    yield from self._place(match.start(), first)
                    self.trees += 1
                elif key == b"num_leaves":
                    leaves = int(value)
                elif key in (b"left_child", b"right_child"):
                    yield from _children(value, leaves, match.start(), tree, key.decode())
                elif key == b"end of trees":
                    self.ended = True
                    break
            except ValueError:
                what = f"has something else than whole numbers in {key.decode()}"
                yield Anomaly("not-a-number", what, match.start(), tree)
        if self.ended and self.sizes is not None and self.trees != len(self.sizes):
            what = f"says it has {len(self.sizes):,} trees and has {self.trees:,}"
            yield Anomaly("tree-count", what)

    def _value(self, match: re.Match[bytes]) -> bytes:
        start, end = match.span(2)
        if end - start > _LONGEST_LINE:
            message = f"a line of more than {_LONGEST_LINE:,} bytes"
            raise LimitReached(message)
        return bytes(self.view[start:end]) if start >= 0 else b""

    def _place(self, start: int, first: int) -> Iterator[Anomaly]:
        """Whether a tree stands where the sizes before it say; the library jumps there."""
        if self.sizes is None or self.trees > len(self.sizes):
            return
        expected = first + self._before
        if start != expected:
            what = f"begins at byte {start:,}; by tree_sizes it would be byte {expected:,}"
            yield Anomaly("tree-sizes", what, start, f"tree {self.trees}")
            self._before = start - first
        if self.trees < len(self.sizes):
            self._before += self.sizes[self.trees]

    _before = 0


def _children(value: bytes, leaves: int, offset: int, tree: str, key: str) -> Iterator[Anomaly]:
    children = [int(child) for child in value.split()]
    if len(children) != max(leaves - 1, 0):
        what = f"has {len(children):,} entries of {key} for {leaves:,} leaves"
        yield Anomaly("node-count", what, offset, tree)
    # A child is another node from 0, or a leaf as -1 - its index.
    elif children and not -leaves <= min(children) <= max(children) < leaves - 1:
        what = f"has {key} from {min(children):,} to {max(children):,} for {leaves:,} leaves"
        yield Anomaly("child-out-of-range", what, offset, tree)


class CatBoost:
    """A FlatBuffers table with what does not fit in it behind, or a JSON document."""

    name = "CatBoost"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By magic bytes, or the first key of the document with another of its keys."""
        if head.startswith(b"CBM1"):
            return True
        return _CATBOOST_JSON.match(head) is not None and (
            b'"features_info"' in head or b'"oblivious_trees"' in head
        )

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """The model as numbers, and what is wrong with the frame around them."""
        yield Numbers(blob.path, "CatBoost model")
        if bytes(view[:4]) == b"CBM1":
            problem = _flatbuffer_problem(view)
            if problem:
                yield Structure(blob.path, "CatBoost model", (problem,), blob.base)
                yield Gap(blob.path, "the model cannot be read")
            return
        try:
            keys = {token.key for token in json_tokens(view)}
        except EOFError:
            yield Gap(blob.path, "the model is cut short")
        except ValueError as error:
            yield Gap(blob.path, f"the model cannot be read: {error}")
        else:
            if not keys & _CATBOOST_KEYS:
                yield Gap(blob.path, "a CatBoost model without trees")


def _flatbuffer_problem(view: memoryview) -> Anomaly | None:
    """Whether the root table and the name of the format are where the offsets say."""
    if len(view) < 16:
        return Anomaly("cut-short", "it has fewer than 16 bytes")
    (size,) = struct.unpack_from("<I", view, 4)
    core = view[8 : 8 + size]
    if len(core) < size:
        return Anomaly("size", f"the core has {size:,} bytes in a file of {len(view):,}", 4)
    try:
        (root,) = struct.unpack_from("<I", core)
        (back,) = struct.unpack_from("<i", core, root)
        table = root - back
        if table < 0:
            return Anomaly("root", "the root table's layout lies before the file", 8)
        length, inline, field = struct.unpack_from("<3H", core, table)
        if root + inline > size or table + length > size or length < 6:
            return Anomaly("root", "the root table reaches over the end of the core", 8)
        (offset,) = struct.unpack_from("<I", core, root + field)
        (letters,) = struct.unpack_from("<I", core, root + field + offset)
    except struct.error:
        return Anomaly("root", "an offset reaches over the end of the core", 8)
    start = root + field + offset + 4
    if bytes(core[start : start + min(letters, 64)]) != _CATBOOST_FORMAT:
        return Anomaly("format", "the core does not name CatBoost's format", 8 + root)
    return None
