"""SentencePiece models: the vocabulary of a tokenizer, in which nothing can run.

Fields: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats import protobuf as pb
from poisonscan.formats.base import Artifact, Numbers
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_MODEL: Final = dict.fromkeys(range(1, 6), pb.BYTES)
"""Pieces, how it was trained, how text is normalised, tests of itself, and back from pieces."""
_PIECE: Final = {1: pb.BYTES, 2: pb.FIXED32, 3: pb.VARINT}
"""Text, score and kind."""
_LOOKED_AT: Final = 100
"""Pieces that tell what the file is."""


class SentencePiece:
    """Models of T5, Llama, Gemma and others: ``tokenizer.model``, ``spiece.model``."""

    name = "SentencePiece model"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the fields of the model and of its first pieces."""
        if head[:1] != b"\x0a":
            return False
        view = blob.open()
        model = pb.shape(view, _MODEL)
        pieces = model.get(1, ())[:_LOOKED_AT] if model is not None else ()
        return bool(pieces) and all(_is_piece(view[one.start : one.end]) for one in pieces)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Nothing that could run, and whether the file is such a model to its end."""
        strange: set[int] = set()

        def read() -> None:
            for field in pb.fields(view, pb.Message(0, len(view)), budget):
                if _MODEL.get(field.number) != field.wire:
                    strange.add(field.number)

        failure = pb.failure(read)
        yield Numbers(blob.path, self.name)
        if failure:
            yield Gap(blob.path, failure)
        if strange:
            yield Gap(blob.path, f"{len(strange):,} fields that are not known: not checked")


def _is_piece(view: memoryview) -> bool:
    piece = pb.shape(view, _PIECE)
    return piece is not None and 1 in piece and 2 in piece
