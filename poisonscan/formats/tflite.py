"""TensorFlow Lite: the operators of a model, and offsets that lie.

Fields: ``tensorflow/compiler/mlir/lite/schema/schema.fbs`` (version 3a). Flex operators are those
of TensorFlow itself, such as ``FlexReadFile``. Files that go with the model are a zip archive at
its end, which is read as one.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats import flatbuffer as fb
from poisonscan.formats.base import Anomaly, Artifact, Graph, Structure
from poisonscan.formats.graph_operators import OperatorCounts, PathUse, known_operators
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_MAGIC: Final = b"TFL3"
_CUSTOM: Final = 32
_STRING: Final = 5
_BITS: Final = {
    0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64, 15: 32,
    16: 16, 17: 4, 18: 16,
}  # fmt: skip
_ANOMALIES_KEPT: Final = 100
_KEPT: Final = 1_000_000
_READ: Final = 64 << 10
_ADDRESS: Final = re.compile(rb"[a-z]{2,10}://[ -~]*")


class TfLite:
    """A TensorFlow Lite model."""

    name = "TensorFlow Lite"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its identifier, or by its name."""
        return head.startswith(_MAGIC, 4) or (blob.suffix == ".tflite" and b"TFL3" in head[:16])

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The graph, and what is wrong with the file's structure."""
        model = _Model(view, budget)
        failure = ""
        try:
            model.read()
        except fb.FlatbufferError as error:
            model.note("offset-beyond-end", f"has {error}", 0)
            failure = f"damaged: {error}"
        except LimitReached as error:
            failure = f"limit reached: {error}"
        yield Graph(blob.path, self.name, tuple(model.counts.operators()))
        if model.anomalies:
            yield Structure(blob.path, self.name, tuple(model.anomalies), blob.base)
        left_out = model.counts.left_out or model.left_out
        for what in filter(None, (failure, left_out and f"not looked at: {left_out}")):
            yield Gap(blob.path, what)


@dataclass(slots=True)
class _Model:
    view: memoryview
    budget: Budget
    counts: OperatorCounts = field(default_factory=OperatorCounts)
    anomalies: list[Anomaly] = field(default_factory=list)
    left_out: str = ""
    _codes: list[tuple[str, str]] = field(default_factory=list)
    _buffers: list[tuple[int, int]] = field(default_factory=list)

    def read(self) -> None:
        """Everything in the file.

        Raises:
            FlatbufferError: an offset or a count does not fit.
            LimitReached: there is more than the budget allows.
        """
        model = fb.root(self.view)
        for code in model.tables(1, self.budget):
            self._bounded(self._codes)
            self._codes.append(_operator(code))
        for buffer in model.tables(4, self.budget):
            self._bounded(self._buffers)
            self._buffers.append(self._buffer(buffer))
        used: set[int] = set()
        for graph in model.tables(2, self.budget):
            self._graph(graph, used)
        for index, (domain, name) in enumerate(self._codes):
            if index not in used and domain:  # named, though no node of it was met
                self.counts.add(domain, name, "")

    def note(self, kind: str, what: str, offset: int, name: str = "") -> None:
        """Keep an anomaly, if there are not too many."""
        if len(self.anomalies) < _ANOMALIES_KEPT:
            self.anomalies.append(Anomaly(kind, what, offset, name))
        else:
            self.left_out = "more problems of the structure"

    def _bounded(self, kept: list[tuple[str, str]] | list[tuple[int, int]]) -> None:
        if len(kept) >= _KEPT:
            message = f"more than {_KEPT:,} operators or buffers"
            raise LimitReached(message)

    def _buffer(self, buffer: fb.Table) -> tuple[int, int]:
        """First byte and length of its data, which may stand behind the flatbuffer."""
        offset, size = buffer.number(1, 8), buffer.number(2, 8)
        if offset <= 1:  # 0 and 1 mean that there are none; the data are inside
            return buffer.span(0)
        if offset + size > len(self.view):
            what = f"is said to have {size:,} bytes from byte {offset:,}, outside of the file"
            self.note("out-of-range", what, buffer.position, "a buffer")
            return 0, 0
        return offset, size

    def _graph(self, graph: fb.Table, used: set[int]) -> None:
        tensors: list[int] = []
        for tensor in graph.tables(0, self.budget):
            if len(tensors) < _KEPT:
                tensors.append(self._tensor(tensor))
        for node in graph.tables(3, self.budget):
            index = node.number(0, 4)
            if not 0 <= index < len(self._codes):
                what = f"uses operator {index:,} of {len(self._codes):,}"
                self.note("out-of-range", what, node.position, "a node")
                continue
            used.add(index)
            domain, name = self._codes[index]
            use = known_operators("tensorflow").paths.get(f":{name}")
            texts = self._texts(node, use, tensors) if domain == "flex" and use else ()
            self.counts.add(domain, name, graph.text(4, 80), texts)

    def _tensor(self, tensor: fb.Table) -> int:
        """Check the size of its data; returns the number of its buffer, -1 if it has none."""
        number = tensor.number(2, 4)
        if not 0 <= number < len(self._buffers):
            if number:
                what = f"uses buffer {number:,} of {len(self._buffers):,}"
                self.note("out-of-range", what, tensor.position, tensor.text(3, 200))
            return -1
        start, length = self._buffers[number]
        bits = _BITS.get(tensor.number(1, 1))
        if not length or bits is None or tensor.place(6, 4) is not None:  # a sparse one
            return number
        if tensor.span(0, 4)[1] > 64:
            self.note("bad-shape", "has more than 64 dimensions", start, tensor.text(3, 200))
            return number
        shape = list(tensor.numbers(0, self.budget))
        needed = (math.prod(shape) * bits + 7) // 8
        if min(shape, default=0) < 0 or needed > length:
            what = f"has {length:,} bytes where type and shape {shape[:8]} make more"
            self.note("wrong-length", what, start, tensor.text(3, 200))
        return number

    def _texts(self, node: fb.Table, use: PathUse, tensors: list[int]) -> Iterator[str]:
        """Constant texts where a flex operator takes a path, and addresses in its attributes."""
        inputs = list(node.numbers(1, self.budget)) if node.span(1, 4)[1] <= 64 else []
        for index in use.inputs:
            tensor = inputs[index] if index < len(inputs) else -1
            buffer = tensors[tensor] if 0 <= tensor < len(tensors) else -1
            if buffer >= 0:
                start, length = self._buffers[buffer]
                yield from _strings(self.view[start : start + length])
        if use.attributes:
            start, length = node.span(5)
            options = bytes(self.view[start : start + min(length, _READ)])
            yield from (match.group().decode() for match in _ADDRESS.finditer(options))


def _operator(code: fb.Table) -> tuple[str, str]:
    """Domain and name: none and the number for built-in ones, ``flex``, or ``custom``."""
    number = max(code.number(0, 1), code.number(3, 4))
    custom = code.text(1)
    if number != _CUSTOM and not custom:
        return "", str(number)
    if custom.startswith("Flex"):
        return "flex", custom[4:]
    return "custom", custom


def _strings(data: memoryview) -> Iterator[str]:
    """The texts of a constant: a count, where each begins and the last ends, and the texts."""
    if len(data) < 8:
        return
    (count,) = struct.unpack_from("<i", data)
    if not 0 < count <= 64 or 4 * (count + 2) > len(data):
        return
    places = struct.unpack_from(f"<{count + 1}i", data, 4)
    for start, end in pairwise(places):
        if 0 <= start <= end <= len(data):
            yield bytes(data[start : min(end, start + 4096)]).decode("utf-8", "replace")
