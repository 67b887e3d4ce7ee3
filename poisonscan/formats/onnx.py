"""ONNX models: nodes, functions, nested graphs, and the files that tensors are kept in.

Fields: ``onnx.proto`` of ONNX 1.22 (https://github.com/onnx/onnx). An ONNX file has no magic bytes:
it is known by all of its outermost fields being those of a model, with a graph that has nodes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from poisonscan.finding import Gap, Json
from poisonscan.formats import protobuf as pb
from poisonscan.formats.base import (
    Anomaly,
    Artifact,
    Graph,
    Reference,
    References,
    Settings,
    Structure,
)
from poisonscan.formats.graph_operators import OperatorCounts
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_V, _B = pb.VARINT, pb.BYTES
_MODEL: Final = {
    1: _V, 2: _B, 3: _B, 4: _B, 5: _V, 6: _B, 7: _B, 8: _B, 14: _B, 20: _B, 25: _B, 26: _B,
}  # fmt: skip
_GRAPH: Final = {1: _B, 2: _B, 5: _B, 10: _B, 11: _B, 12: _B, 13: _B, 14: _B, 15: _B, 16: _B}
# Which fields of a message hold which messages: what can have nodes or tensors in it.
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}  # fmt: skip
# Fields that are kept until their message has been read: names, types, shapes.
_KEPT: Final = {
    "model": frozenset({14}),
    "function": frozenset({1, 10}),
    "node": frozenset({3, 4, 5, 7}),
    "tensor": frozenset({1, 2, 8, 9, 13}),
}
_BITS: Final = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64,
    15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8,
}  # fmt: skip
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][\w.:/-]*")
_DEFAULT: Final = ("", "ai.onnx")
_ANOMALIES_KEPT: Final = 100
_REFERENCES_KEPT: Final = 100_000
_PROPERTIES_KEPT: Final = 10_000
_PROPERTY: Final = 1 << 20
_DIMENSIONS: Final = 32
_REPEATED_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Onnx:
    """An ONNX model.

    Attributes:
        by_name: take any file that calls itself ONNX, to say what is wrong with it; for those that
            no other format claims.
    """

    by_name: bool = False
    name: str = "ONNX"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the fields of the model, its graph and the graph's first node; or by its name."""
        if self.by_name:
            return blob.suffix == ".onnx" and bool(head)
        view = blob.open()
        model = pb.shape(view, _MODEL)
        if model is None or 7 not in model or not (1 in model or 8 in model):
            return False
        return any(_has_node(view, graph) for graph in model[7])

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The graph, the files it names, its metadata, and what is wrong with its tensors."""
        walk = _Walk(view, budget)
        failure = pb.failure(walk.model)
        yield from walk.artifacts(blob)
        for reason in filter(None, (failure, *walk.gaps())):
            yield Gap(blob.path, reason)


def _has_node(view: memoryview, graph: pb.Field) -> bool:
    try:
        for index, item in enumerate(pb.fields(view, graph.message)):
            if _GRAPH.get(item.number) != item.wire:
                return False
            if item.number == 1:
                inner = {f.number: f for f in pb.fields(view, item.message)}
                kind = inner.get(4)
                return bool(kind and _IDENTIFIER.fullmatch(pb.text(view, kind)))
            if index > 1000:
                return False
    except pb.ProtobufError:
        return False
    return False


@dataclass(slots=True)
class _Frame:
    """A message that is being read, with the fields that matter once its end is reached."""

    kind: str
    fields: Iterator[pb.Field]
    kept: dict[int, list[pb.Field]] = field(default_factory=dict)


@dataclass(slots=True)
class _Walk:
    """Reads a model once, from the outermost message inwards, with a stack of its own."""

    view: memoryview
    budget: Budget
    counts: OperatorCounts = field(default_factory=OperatorCounts)
    functions: set[tuple[str, str]] = field(default_factory=set)
    references: dict[str, Reference] = field(default_factory=dict)
    properties: dict[str, Json] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)
    left_out: dict[str, None] = field(default_factory=dict)
    graphs: int = 0

    def model(self) -> None:
        """Everything in the file.

        Raises:
            ProtobufError: it is damaged.
            LimitReached: it has more fields than the budget allows.
        """
        frames = [_Frame("model", self._fields(pb.Message(0, len(self.view))))]
        while frames:
            frame = frames[-1]
            item = next(frame.fields, None)
            if item is None:
                self._take(frames.pop())
                continue
            if item.number in _KEPT.get(frame.kind, ()):
                self._keep(frame, item)
            elif frame.kind == "model" and item.number not in _MODEL:
                self.left_out[f"the model's field {item.number}, which is not known"] = None
            inside = _INSIDE[frame.kind].get(item.number)
            if inside is not None:
                frames.append(_Frame(inside, self._fields(item.message)))

    def _fields(self, message: pb.Message) -> Iterator[pb.Field]:
        return pb.fields(self.view, message, self.budget)

    def _keep(self, frame: _Frame, item: pb.Field) -> None:
        same = frame.kept.setdefault(item.number, [])
        if len(same) >= _REPEATED_KEPT:
            self.left_out[f"more than {_REPEATED_KEPT:,} fields of one kind in a {frame.kind}"] = (
                None
            )
            same.pop()
        same.append(item)

    def _take(self, frame: _Frame) -> None:
        """A message that has been read to its end."""
        kept = frame.kept
        if frame.kind == "node":
            self._node(kept)
        elif frame.kind == "tensor":
            self._tensor(kept)
        elif frame.kind == "function":
            self.functions.add((self._last(kept, 10), self._last(kept, 1)))
        elif frame.kind == "graph":
            self.graphs += 1
        elif frame.kind == "model":
            self._properties(kept.get(14, []))

    def _last(self, kept: dict[int, list[pb.Field]], number: int) -> str:
        found = kept.get(number)
        return pb.text(self.view, found[-1]) if found else ""

    def _note(self, kind: str, what: str, offset: int, name: str = "") -> None:
        if len(self.anomalies) < _ANOMALIES_KEPT:
            self.anomalies.append(Anomaly(kind, what, offset, name))
        else:
            self.left_out["more problems of the structure"] = None

    def _node(self, kept: dict[int, list[pb.Field]]) -> None:
        domain, name, node = self._last(kept, 7), self._last(kept, 4), self._last(kept, 3)
        if len(kept.get(4, ())) > 1 or len(kept.get(7, ())) > 1:
            what = "says twice what it does, and readers may take either"
            self._note("duplicate-field", what, kept.get(4, kept.get(7, []))[-1].start, node)
        if domain in _DEFAULT:
            self.counts.add("", name, node)
            return
        texts: dict[str, list[str]] = {}
        numbers: dict[str, int] = {}
        for child in kept.get(5, ()):
            attribute = {}
            strings = []
            for item in self._fields(child.message):
                attribute[item.number] = item
                if item.number in (4, 9) and item.wire == _B:
                    strings.append(pb.text(self.view, item))
            label = pb.text(self.view, attribute[1]) if 1 in attribute else ""
            texts[label] = strings
            if 3 in attribute:
                numbers[label] = attribute[3].value
        self.counts.add(domain, name, node, [text for group in texts.values() for text in group])
        # https://onnxruntime.ai/docs/execution-providers/EP-Context-Design.html
        if name == "EPContext" and numbers.get("embed_mode", 1) == 0:
            for target in texts.get("ep_cache_context", ()):
                self._refer(target, f"the compiled part of node {node[:80]!r}", None)

    def _tensor(self, kept: dict[int, list[pb.Field]]) -> None:
        name = self._last(kept, 8)
        entries = [self._entry(item) for item in kept.get(13, ())]
        for key, value, at in entries:
            if key in ("location", "basepath"):
                self._refer(value, f"external data of tensor {name[:80]!r}", at)
            elif key in ("offset", "length") and not re.fullmatch(r"\d{1,19}", value):
                what = f"has external data at the {key} {value[:40]!r}, which is no number"
                self._note("external-range", what, at, name)
        keys = [key for key, _, _ in entries]
        if len(keys) != len(set(keys)):
            what = "says twice where its data are, and readers may take either"
            self._note("duplicate-key", what, entries[0][2], name)
        if 9 in kept and not entries:
            self._raw_length(kept, name)

    def _raw_length(self, kept: dict[int, list[pb.Field]], name: str) -> None:
        """Compare the bytes of a tensor with its shape."""
        raw = kept[9][-1]
        dims: list[int] = []
        for item in kept.get(1, ()):
            for value in pb.numbers(self.view, item):
                dims.append(pb.signed(value))
                if len(dims) > _DIMENSIONS:
                    self._note(
                        "bad-shape", f"has more than {_DIMENSIONS} dimensions", raw.start, name
                    )
                    return
        bits = _BITS.get(kept[2][-1].value) if 2 in kept else None
        size = raw.end - raw.start
        if any(dim < 0 for dim in dims):
            self._note("bad-shape", "has a negative dimension", raw.start, name)
        elif bits is not None and (expected := (math.prod(dims) * bits + 7) // 8) != size:
            what = f"has {size:,} bytes where type and shape make {expected:,}"
            self._note("wrong-length", what, raw.start, name)

    def _entry(self, item: pb.Field) -> tuple[str, str, int]:
        """A key, its value and where the value stands."""
        key = value = ""
        at = item.start
        for part in self._fields(item.message):
            if part.number == 1:
                key = pb.text(self.view, part)
            elif part.number == 2:
                value, at = pb.text(self.view, part, _PROPERTY), part.start
        return key, value, at

    def _refer(self, target: str, what: str, at: int | None) -> None:
        if target in self.references:
            return
        if len(self.references) >= _REFERENCES_KEPT:
            self.left_out[f"more than {_REFERENCES_KEPT:,} names of other files"] = None
            return
        self.references[target] = Reference(target, what, at)

    def _properties(self, entries: list[pb.Field]) -> None:
        for item in entries:
            if len(self.properties) >= _PROPERTIES_KEPT:
                self.left_out[f"more than {_PROPERTIES_KEPT:,} metadata properties"] = None
                return
            key, value, at = self._entry(item)
            if key in self.properties:
                self._note("duplicate-key", "stands twice in the metadata", at, key)
            self.properties[key] = value
            if len(value) >= _PROPERTY:
                self.left_out[f"metadata of more than {_PROPERTY:,} bytes"] = None

    def artifacts(self, blob: Blob) -> Iterator[Artifact]:
        """What was found so far."""
        own = frozenset(self.functions)
        yield Graph(blob.path, "ONNX", tuple(self.counts.operators(without=own)))
        if self.references:
            yield References(blob.path, "ONNX", tuple(self.references.values()))
        if self.properties:
            yield Settings(blob.path, "onnx", self.properties)
        if self.anomalies:
            yield Structure(blob.path, "ONNX", tuple(self.anomalies), blob.base)

    def gaps(self) -> Iterator[str]:
        """What was not looked at."""
        if not self.graphs:
            yield "an ONNX file without a graph: damaged, or something else"
        for what in filter(None, (*self.left_out, self.counts.left_out)):
            yield f"not looked at: {what}"
