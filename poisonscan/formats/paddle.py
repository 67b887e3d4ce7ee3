"""PaddlePaddle programs (``.pdmodel``, ``__model__``): operators and the paths they are given.

Fields: ``paddle/fluid/framework/framework.proto`` of PaddlePaddle 2.6. Without magic bytes, a
program is known by its first block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats import protobuf as pb
from poisonscan.formats.base import Artifact, Graph
from poisonscan.formats.graph_operators import OperatorCounts, known_operators
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_V, _B = pb.VARINT, pb.BYTES
_PROGRAM: Final = {1: _B, 4: _B, 5: _B}
_BLOCK: Final = {1: _V, 2: _V, 3: _B, 4: _B, 5: _V}
_OPERATOR: Final = re.compile(r"[a-z_][\w.]*", re.IGNORECASE)


class Paddle:
    """A PaddlePaddle program."""

    name = "PaddlePaddle"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the fields of the program, its first block and the block's first operator."""
        if head[:1] != b"\x0a":
            return False
        view = blob.open()
        program = pb.shape(view, _PROGRAM)
        return program is not None and 1 in program and _is_block(view, program[1][0])

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The operators of every block."""
        counts = OperatorCounts()

        def read() -> None:
            for block in pb.fields(view, pb.Message(0, len(view)), budget):
                if block.number != 1:
                    continue
                for item in pb.fields(view, block.message, budget):
                    if item.number == 4:
                        _count(view, item.message, budget, counts)

        failure = pb.failure(read)
        yield Graph(blob.path, self.name, tuple(counts.operators()))
        for what in filter(None, (failure, counts.left_out)):
            yield Gap(blob.path, what)


def _is_block(view: memoryview, item: pb.Field) -> bool:
    try:
        for part in pb.fields(view, item.message):
            if _BLOCK.get(part.number) != part.wire:
                return False
            if part.number == 4:
                inner = {field.number: field for field in pb.fields(view, part.message)}
                return 3 in inner and bool(_OPERATOR.fullmatch(pb.text(view, inner[3])))
    except pb.ProtobufError:
        return False
    return False


def _count(view: memoryview, message: pb.Message, budget: Budget, counts: OperatorCounts) -> None:
    kind = ""
    attributes: list[pb.Field] = []
    for item in pb.fields(view, message, budget):
        if item.number == 3:
            kind = pb.text(view, item)
        elif item.number == 4 and len(attributes) < 1000:
            attributes.append(item)
    known = known_operators("paddle")
    use = known.paths.get(f":{kind}")
    texts: list[str] = []
    for attribute in attributes if use else ():
        parts = {part.number: part for part in pb.fields(view, attribute.message, budget)}
        if use and 1 in parts and 5 in parts and pb.text(view, parts[1]) in use.attributes:
            texts.append(pb.text(view, parts[5]))
    counts.add("", kind, "", texts)
