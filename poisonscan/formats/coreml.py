"""Core ML models (``.mlmodel``, also inside ``.mlpackage``): custom code, other files.

Fields: ``mlmodel/format/{Model,Pipeline,NeuralNetwork,MIL,CustomModel,LinkedModel}.proto`` of
coremltools 9. A custom layer or model is a class of the app that loads the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats import protobuf as pb
from poisonscan.formats.base import Artifact, Graph, Reference, References
from poisonscan.formats.graph_operators import OperatorCounts
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_FIRST_TYPE: Final = 200
_LAST_TYPE: Final = 3000
_MODEL: Final = {1: pb.VARINT, 2: pb.BYTES, 10: pb.VARINT} | dict.fromkeys(
    range(_FIRST_TYPE, _LAST_TYPE + 1), pb.BYTES
)
# Which fields of a message hold which messages, and which fields of a message are texts to keep.
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {
        200: "pipeline of", 201: "pipeline of", 202: "pipeline", 303: "network", 403: "network",
        500: "network", 502: "program", 555: "custom model", 556: "linked model",
    },
    "pipeline of": {1: "pipeline"},
    "pipeline": {1: "model"},
    "network": {1: "layer"},
    "layer": {500: "custom layer"},
    "program": {2: "function entry"},
    "function entry": {2: "function"},
    "function": {3: "block entry"},
    "block entry": {2: "block"},
    "block": {3: "operation"},
    "operation": {4: "block", 5: "attribute entry"},
    "attribute entry": {2: "value"},
    "value": {5: "blob"},
    "linked model": {1: "linked file"},
    "linked file": {1: "file name", 2: "search path"},
    "custom model": {}, "custom layer": {}, "blob": {}, "file name": {}, "search path": {},
}  # fmt: skip
_TEXTS: Final = {
    "layer": 1, "custom model": 10, "custom layer": 10, "operation": 1, "blob": 1, "file name": 2,
    "search path": 2,
}  # fmt: skip
_REFERENCES: Final = {
    "blob": "weights of the program",
    "file name": "a linked model",
    "search path": "where a linked model is",
}
_PACKAGE: Final = "@model_path/"
_KEPT: Final = 10_000


class CoreMl:
    """A Core ML model.

    Attributes:
        by_name: take any ``.mlmodel`` file; for those that no other format claims.
    """

    name = "Core ML"

    def __init__(self, *, by_name: bool = False) -> None:
        self.by_name = by_name

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By all fields being those of a model of one kind; or by its name."""
        if self.by_name:
            return blob.suffix == ".mlmodel" and bool(head)
        if head[:1] != b"\x08":
            return False
        found = pb.shape(blob.open(), _MODEL)
        return (
            found is not None
            and 1 in found
            and 2 in found
            and sum(number >= _FIRST_TYPE for number in found) == 1
        )

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The operations, custom layers and custom models, and the files that are named."""
        walk = _Walk(view, budget)
        failure = pb.failure(walk.read)
        yield Graph(blob.path, self.name, tuple(walk.counts.operators()))
        if walk.references:
            yield References(blob.path, self.name, tuple(walk.references.values()))
        missing = "" if walk.kinds else "a Core ML file without a model: damaged, or something else"
        for what in filter(None, (failure or missing, walk.counts.left_out, walk.left_out)):
            yield Gap(blob.path, what)


@dataclass(slots=True)
class _Walk:
    view: memoryview
    budget: Budget
    counts: OperatorCounts = field(default_factory=OperatorCounts)
    references: dict[str, Reference] = field(default_factory=dict)
    left_out: str = ""
    kinds: int = 0

    def read(self) -> None:
        """Everything in the file.

        Raises:
            ProtobufError: it is damaged.
            LimitReached: it has more fields than the budget allows.
        """
        frames = [("model", pb.fields(self.view, pb.Message(0, len(self.view)), self.budget))]
        while frames:
            kind, items = frames[-1]
            item = next(items, None)
            if item is None:
                frames.pop()
                continue
            if _TEXTS.get(kind) == item.number:
                self._text(kind, item)
            if kind == "model" and item.number >= _FIRST_TYPE:
                self.kinds += 1
            inside = _INSIDE[kind].get(item.number)
            if inside is not None:
                frames.append((inside, pb.fields(self.view, item.message, self.budget)))

    def _text(self, kind: str, item: pb.Field) -> None:
        text = pb.text(self.view, item)
        if kind in _REFERENCES:
            if len(self.references) >= _KEPT:
                self.left_out = f"more than {_KEPT:,} names of other files"
                return
            inside = text.removeprefix(_PACKAGE)
            self.references[inside] = Reference(inside, _REFERENCES[kind], item.start)
        elif kind.startswith("custom"):
            self.counts.add(kind, text, text)
        elif kind == "operation":
            self.counts.add("custom layer" if text == "custom_layer" else "", text, text)
