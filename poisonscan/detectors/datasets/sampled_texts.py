"""A sample of labelled texts and what is learnt from it, once for all detectors that ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.documents import (
    DOCUMENT_WORDS,
    MAX_WORDS,
    Documents,
    sequence_hashes,
)
from poisonscan.detectors.datasets.phrase_features import features
from poisonscan.detectors.datasets.text_model import FOLDS, TextModel

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from poisonscan.datasets.batch import Aggregate, Batch
    from poisonscan.detectors.datasets.documents import Sample

_WORD = 8
"""Bytes of a word and a blank, rather many: 6 in English, 10 in programs."""
_SPARE = 2
"""Times as many words are drawn as are kept: there are copies, and longer words."""


@dataclass(slots=True, unsafe_hash=True)
class TextSizes:
    """How much labelled text there is.

    Attributes:
        size: bytes; of one text at most as many as are looked at for words, about.
    """

    needs: frozenset[Role] = field(
        default=frozenset({Role.LABEL, Role.TEXT}), init=False, compare=False
    )
    size: int = field(default=0, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        texts = batch.texts
        lengths = np.append(np.asarray(pc.binary_length(texts.values)), 0).astype(np.int64)
        used = texts.indices[batch.labels.codes >= 0]
        self.size += int(np.minimum(lengths, DOCUMENT_WORDS * _WORD)[used].sum())

    def merge(self, other: TextSizes) -> None:
        """Take in what ``other`` has seen."""
        self.size += other.size


def sampled_texts() -> Generator[Aggregate, Any, Documents]:
    """Ask for the amount of text, then for a sample of it.

    Of much text a share is drawn first, so that few texts are cut into words; where these turn out
    to be too few, as most texts are copies of others, more are.
    """
    sizes: TextSizes = yield TextSizes()
    share = min(1.0, _SPARE * MAX_WORDS * _WORD / max(sizes.size, 1))
    while True:
        documents: Documents = yield Documents(share=share)
        if share >= 1 or documents.overflow or 2 * documents.size >= MAX_WORDS:
            return documents
        share = min(1.0, 4 * share)


def sample_of(documents: Documents, declared: Sequence[str] | None) -> Sample | None:
    """See ``Documents.sample``; made once, of which nothing else is left then."""
    if "sample" not in documents.memo:
        documents.memo["sample"] = documents.sample(declared)
        documents.drop()
    sample: Sample | None = documents.memo["sample"]
    return sample


def learnt(documents: Documents, sample: Sample) -> TextModel:
    """What tells the labels of ``sample_of`` apart; made once."""
    if "model" not in documents.memo:
        documents.memo["model"] = model_of(sample)
    model: TextModel = documents.memo["model"]
    return model


def model_of(sample: Sample) -> TextModel:
    """What tells the labels of a sample apart; equal texts are in one fold."""
    folds = sequence_hashes(sample.words, sample.starts[:-1]) % np.uint64(FOLDS)
    return TextModel.learn(sample, features(sample), folds.astype(np.int64))
