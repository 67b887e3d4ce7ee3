"""What a network is given of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import numpy as np

from poisonscan.datasets.words import distinct_texts
from poisonscan.engines import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    Run = Callable[["TextBatch"], NDArray[np.float32]]

MAX_TOKENS: Final = 512
"""Tokens of a text that a network is given at most: what encoders such as BERT take."""
MAX_TEXT: Final = 1 << 15
"""Bytes of a text that are cut into tokens, 64 for each of those that are used."""
_TOGETHER: Final = 32
"""Texts that are given to it at once."""


@dataclass(frozen=True, slots=True)
class TextForm:
    """What a network takes: the first tokens of texts.

    Attributes:
        tokens: how many, with those that begin and end a text.
        pooling: ``mean``: the vector is the mean over a text's tokens; ``cls``: that of the first.
        normalized: whether vectors are given length one.
    """

    takes: ClassVar[str] = "texts"

    tokens: int
    pooling: str = "mean"
    normalized: bool = False

    @property
    def shown(self) -> str:
        """What the network is given, for people."""
        pooled = "mean over tokens" if self.pooling == "mean" else "first token"
        length = ", of length one" if self.normalized else ""
        return f"{pooled}{length}, given the first {self.tokens} tokens of a text"

    def items(
        self, columns: Sequence[pa.Array], _folder: Path
    ) -> tuple[Iterator[bytes | pa.Buffer | str], NDArray[np.int64]]:
        """The different texts of the rows; and for each row which it is, -1 where there is none.

        Args:
            columns: a text is made of all of them.
        """
        found = distinct_texts(columns)
        return (value.as_buffer() for value in found.values), found.indices

    def trials(self) -> list[TextBatch]:
        """What a network is tried with: a long text, then two of different lengths."""
        return [TextBatch(self, ["a " * self.tokens]), TextBatch(self, ["a", "1, 2: b c"])]

    def vectors(
        self, items: Sequence[bytes | pa.Buffer | str], run: Run, dimension: int
    ) -> NDArray[np.float32]:
        """Vectors of texts, each from its bytes; a string says why there are none.

        Texts of about one length are given to the network together: the shorter ones are padded.

        Returns:
            ``float32`` of shape (texts, dimension); NaN for blank texts.
        """
        out = np.full((len(items), dimension), np.nan, np.float32)
        texts = [
            "" if isinstance(item, str) else bytes(item[:MAX_TEXT]).decode("utf-8", "replace")
            for item in items
        ]
        lengths = np.array([len(text) for text in texts])
        there = np.array([number for number, text in enumerate(texts) if text.strip()], np.int64)
        there = there[np.argsort(lengths[there], kind="stable")]
        for start in range(0, len(there), _TOGETHER):
            some = there[start : start + _TOGETHER]
            out[some] = run(TextBatch(self, [texts[number] for number in some.tolist()]))
            patience.sign()
        return out


class TextBatch(NamedTuple):
    """Texts that are given to a network together.

    Attributes:
        form: how they are cut, and made into one vector each.
        texts: as they are.
    """

    form: TextForm
    texts: list[str]
