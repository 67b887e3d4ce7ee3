"""XGBoost models: JSON, Universal Binary JSON, and the binary form of versions before 3.

Layout: the model IO tutorial and the schema in XGBoost's documentation; for the binary form
``src/learner.cc`` (``LearnerModelParamLegacy``), ``src/gbm/gbtree_model.h`` and
``src/tree/tree_model.cc`` of version 2.1. The library follows the child indices of the trees
without checking them, so they are checked here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Artifact, Numbers, Structure
from poisonscan.formats.json_tokens import Range, Token, json_tokens
from poisonscan.formats.ubjson import ubjson_tokens
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_JSON: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"(?:learner"\s*:\s*\{|version"\s*:\s*\[)')
_UBJSON: Final = re.compile(
    rb"\{(?:L\0\0\0\0\0\0\0|l\0\0\0|I\0|[iU])(?:\x07learner\{|\x07version\[|\x05Model\{|\x06Config\{)"
)
_BINARY: Final = b"binf"
_LEARNER: Final = 136
_MAJOR: Final = 24
_NAMES: Final = (b"gbtree", b"dart", b"gblinear")
_GBTREE: Final = 160
_TREE: Final = 148
_NODE: Final = 20 + 16
_CHILDREN: Final = ("left_children", "right_children")
_WANTED: Final = frozenset({*_CHILDREN, "split_indices"})
_ANOMALIES_KEPT: Final = 100


class XGBoost:
    """Boosted trees: numbers and names."""

    name = "XGBoost"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By the keys that begin the document, or the binary form's magic bytes."""
        if _JSON.match(head):
            return b'"learner"' in head
        return head.startswith(_BINARY) or _UBJSON.match(head) is not None

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """The model as numbers, and what is wrong with its trees."""
        yield Numbers(blob.path, "XGBoost model")
        anomalies: list[Anomaly] = []
        try:
            if bytes(view[:4]) == _BINARY:
                anomalies += _binary(view)
            else:
                read = ubjson_tokens if _UBJSON.match(view) else json_tokens
                for anomaly in _check(read(view, _WANTED)):
                    anomalies.append(anomaly)
                    if len(anomalies) >= _ANOMALIES_KEPT:
                        yield Gap(blob.path, "too many problems: the rest was not checked")
                        break
        except EOFError:
            yield Gap(blob.path, "the model is cut short")
        except ValueError as error:
            anomalies.append(Anomaly("unreadable", f"cannot be read: {error}"))
            yield Gap(blob.path, f"the model cannot be read: {error}")
        if anomalies:
            yield Structure(blob.path, "XGBoost model", tuple(anomalies), blob.base)


def _check(tokens: Iterable[Token]) -> Iterator[Anomaly]:
    """What is wrong with the trees: children that are none of their nodes, and their number."""
    stack: list[tuple[str, dict[str, Any]]] = []
    trees = 0
    for token in tokens:
        if token.kind == "open":
            stack.append((token.key, {}))
        elif token.kind == "close" and stack:
            key, found = stack.pop()
            if "left_children" in found:
                trees += 1
                yield from _tree(found, token.offset, f"tree {trees - 1}")
            elif key == "model" and "num_trees" in found and found["num_trees"] != str(trees):
                what = f"says it has {found['num_trees'][:20]} trees and has {trees:,}"
                yield Anomaly("tree-count", what, token.offset)
            if stack:
                kept = {k: v for k, v in found.items() if k in ("num_nodes", "num_trees")}
                if key in ("tree_param", "gbtree_model_param"):
                    stack[-1][1].update(kept)
        elif stack and token.key in (*_WANTED, "num_nodes", "num_trees"):
            inside = stack[-1][1]
            if token.key in inside:
                yield Anomaly("duplicate-key", "stands there twice", token.offset, token.key)
            inside[token.key] = token.numbers or token.text


def _tree(tree: dict[str, Any], offset: int, name: str) -> Iterator[Anomaly]:
    nodes = str(tree.get("num_nodes", ""))
    count = int(nodes) if nodes.isascii() and nodes.isdecimal() and len(nodes) < 20 else None
    for key in _CHILDREN:
        children = tree.get(key)
        if not isinstance(children, Range):
            yield Anomaly("bad-children", f"has no numbers as {key}", offset, name)
        elif count is not None and children.count != count:
            what = f"has {children.count:,} {key} for {count:,} nodes"
            yield Anomaly("node-count", what, offset, name)
        elif children.lowest < -1 or children.highest >= max(children.count, 1):
            lowest, highest = children.lowest, children.highest
            what = f"has {key} from {lowest:,} to {highest:,} in {children.count:,} nodes"
            yield Anomaly("child-out-of-range", what, offset, name)
    split = tree.get("split_indices")
    if isinstance(split, Range) and split.lowest < 0:
        yield Anomaly("negative-feature", f"splits on feature {split.lowest:,}", offset, name)


def _binary(view: memoryview) -> Iterator[Anomaly]:
    """What is wrong with the binary form.

    Raises:
        EOFError: it is cut short.
        ValueError: a name or count that no booster has.
    """
    (major,) = struct.unpack("<I", _piece(view, _MAJOR, 4))
    position = 4 + _LEARNER
    for _ in range(2):  # the objective's name, then the booster's
        (length,) = struct.unpack("<Q", _piece(view, position, 8))
        if length > 256:
            message = f"a name of {length:,} bytes at byte {position:,}"
            raise ValueError(message)
        name = bytes(_piece(view, position + 8, length))
        position += 8 + length
    if name not in _NAMES:
        message = f"the unknown booster {name[:40]!a}"
        raise ValueError(message)
    if name == b"gblinear":
        return
    (trees,) = struct.unpack_from("<i", _piece(view, position, _GBTREE))
    position += _GBTREE
    if not 0 <= trees <= (len(view) - position) // _TREE:
        what = f"says it has {trees:,} trees, which do not fit in the file"
        yield Anomaly("tree-count", what, position - _GBTREE)
        return
    for tree in range(trees):
        _roots, nodes, _deleted, _depth, _features, vector = struct.unpack_from(
            "<6i", _piece(view, position, _TREE)
        )
        position += _TREE
        if not 0 < nodes <= (len(view) - position) // _NODE:
            what = f"says it has {nodes:,} nodes, which do not fit in the file"
            yield Anomaly("node-count", what, position - _TREE, f"tree {tree}")
            return
        for _parent, left, right, _split, _value in struct.iter_unpack(
            "<iiiIf", view[position : position + 20 * nodes]
        ):
            if left < -1 or left >= nodes or (left >= 0 and not 0 <= right < nodes):
                what = f"has the children {left:,} and {right:,} in {nodes:,} nodes"
                yield Anomaly("child-out-of-range", what, position, f"tree {tree}")
                break
        position += _NODE * nodes
        if vector and major == 0:  # later versions set it and write none
            (length,) = struct.unpack("<Q", _piece(view, position, 8))
            _piece(view, position + 8, 4 * length)
            position += 8 + 4 * length
    _piece(view, position, 4 * trees)


def _piece(view: memoryview, start: int, size: int) -> memoryview:
    if size > len(view) - start:
        raise EOFError
    return view[start : start + size]
