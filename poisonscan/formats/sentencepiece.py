"""SentencePiece models: the vocabulary of a tokenizer, in which nothing can run.

Fields: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats import protobuf as pb
from poisonscan.formats.base import Artifact, Numbers
from poisonscan.formats.tables import is_text
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_MODEL: Final = dict.fromkeys(range(1, 6), pb.BYTES)
"""Pieces, how it was trained, how text is normalised, tests of itself, and back from pieces."""
_PIECE: Final = {1: pb.BYTES, 2: pb.FIXED32, 3: pb.VARINT}
"""Text, score and kind."""
_TRAINER: Final = {
    1: pb.BYTES, 2: pb.BYTES, 3: pb.VARINT, 4: pb.VARINT, 5: pb.BYTES, 6: pb.VARINT, 7: pb.BYTES,
}  # fmt: skip
"""``TrainerSpec``: all of these bytes are text; numbers from 10 on are options of all kinds."""
_NORMALIZER: Final = {
    1: pb.BYTES, 2: pb.BYTES, 3: pb.VARINT, 4: pb.VARINT, 5: pb.VARINT, 6: pb.BYTES,
}  # fmt: skip
"""``NormalizerSpec``: the name and the rules are text, the table in field 2 is not."""
_NORMALIZER_TEXTS: Final = (1, 6)
_FIRST_OPTION: Final = 10
_OPTIONS: Final = 10_000
"""Fields of a specification that are looked at; lists of user's own pieces are among them."""
_LOOKED_AT: Final = 100
"""Pieces that tell what the file is."""


class SentencePiece:
    """Models of T5, Llama, Gemma and others: ``tokenizer.model``, ``spiece.model``."""

    name = "SentencePiece model"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the fields of the model, of its first pieces and of how it was made.

        TensorFlow skips fields of a wrong type, so that a graph may stand behind some pieces.
        """
        if head[:1] != b"\x0a" or blob.suffix == ".pb":
            return False
        view = blob.open()
        model = pb.shape(view, _MODEL)
        pieces = model.get(1, ())[:_LOOKED_AT] if model is not None else ()
        if model is None or not all(_is_piece(view[one.start : one.end]) for one in pieces):
            return False
        trainers = (view[one.start : one.end] for one in model.get(2, ()))
        normalizers = (view[one.start : one.end] for n in (3, 5) for one in model.get(n, ()))
        return (
            bool(pieces)
            and all(_is_specification(one, _TRAINER, tuple(_TRAINER)) for one in trainers)
            and all(_is_specification(one, _NORMALIZER, _NORMALIZER_TEXTS) for one in normalizers)
        )

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


def _is_specification(view: memoryview, schema: dict[int, int], texts: tuple[int, ...]) -> bool:
    """Whether a message is as the schema says, and its texts are text: messages in it are not."""
    try:
        for item in itertools.islice(pb.fields(view, pb.Message(0, len(view))), _OPTIONS):
            if item.number >= _FIRST_OPTION:
                continue
            if schema.get(item.number) != item.wire:
                return False
            if (
                item.wire == pb.BYTES
                and item.number in texts
                and not is_text(bytes(view[item.start : item.end]))
            ):
                return False
    except pb.ProtobufError:
        return False
    return True
