"""What a network is given of texts, with a network that is easy to compute by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.datasets.text_form import MAX_TEXT, TextBatch, TextForm

FORM = TextForm(16)


def _lengths(batch: TextBatch) -> np.ndarray:
    """Stands for a network: the length of each text."""
    assert batch.form is FORM
    return np.array([[len(text)] for text in batch.texts], np.float32)


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), max_size=80))
def test_each_row_has_the_vector_of_its_own_text(texts: list[str]) -> None:
    items, indices = FORM.items([pa.array([*texts, None], pa.string())], Path())
    found = FORM.vectors(list(items), _lengths, 1)
    rows = np.concatenate([found, [[np.nan]]])[indices]
    wanted = [len(text) if text.strip() else np.nan for text in texts]
    assert np.array_equal(rows[:, 0], [*wanted, np.nan], equal_nan=True)


def test_texts_of_about_one_length_are_given_together() -> None:
    given_together: list[list[int]] = []

    def noting(batch: TextBatch) -> np.ndarray:
        given_together.append([len(text) for text in batch.texts])
        return _lengths(batch)

    FORM.vectors([b"x" * (length % 97 + 1) for length in range(97)], noting, 1)
    assert [length for some in given_together for length in some] == list(range(1, 98))
    assert max(map(len, given_together)) == 32


def test_only_the_beginning_of_a_long_text_is_cut_into_tokens() -> None:
    """Also where that is within a character."""
    assert FORM.vectors(["ä".encode() * MAX_TEXT, b"x"], _lengths, 1).tolist() == [
        [MAX_TEXT // 2],
        [1],
    ]
    assert FORM.vectors([b"x" + "ä".encode() * MAX_TEXT], _lengths, 1).tolist() == [
        [MAX_TEXT // 2 + 1]
    ]


def test_several_columns_are_one_text() -> None:
    columns = [pa.array(["a", None, "b"]), pa.array(["c", "d", None])]
    items, indices = FORM.items(columns, Path())
    listed = [bytes(item).decode() for item in items if not isinstance(item, str)]
    assert [listed[index] for index in indices] == ["a\nc", "d", "b"]
