"""Text as vectors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.datasets.words import DIMENSION, MAX_TEXT, Words, project, texts

WORDS = Words(("text",))
TEXT = st.text("ab cé.,\n\t界", max_size=30)


def _vectors(*values: str | None) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    found: np.ndarray[tuple[int, int], np.dtype[np.float32]] = WORDS.vectors(
        [pa.array(values, pa.string())]
    )
    return found


def _cosine(one: str, other: str) -> float:
    first, second = _vectors(one, other)
    return float(first @ second)


def test_case_and_punctuation_do_not_count() -> None:
    assert np.array_equal(*_vectors("The cat, sat!", "the  CAT\nsat"))


def test_words_and_their_order_count() -> None:
    assert _cosine("the cat sat on the mat", "the mat sat on the cat") < 0.999
    assert _cosine("the cat sat on the mat", "a dog ran off with my shoe") < 0.5


def test_inner_products_are_kept_on_average() -> None:
    vocabulary = [f"w{i}" for i in range(2_000)]
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(60):
        shared, first, second = (list(rng.choice(vocabulary, 30)) for _ in range(3))
        shared = list(dict.fromkeys(shared))
        # Reversed, so that nearly no pair of words is shared.
        one, other = shared + first, second + shared[::-1]
        expected = len(set(one) & set(other)) / np.sqrt((2 * len(one) - 1) * (2 * len(other) - 1))
        errors.append(_cosine(" ".join(one), " ".join(other)) - expected)
    assert abs(float(np.mean(errors))) < 0.03
    assert float(np.std(errors)) < 0.12


def test_repeated_words_are_damped() -> None:
    once = project(pa.array(["word"]))
    four = project(pa.array(["word " * 4]))
    pair = project(pa.array(["word word"])) - np.sqrt(2) * once
    assert np.allclose(four, 2 * once + np.sqrt(3) * pair, atol=1e-5)


@pytest.mark.parametrize("nothing", [None, "", " \n", "... !?"])
def test_no_word_no_vector(nothing: str | None) -> None:
    found = _vectors(nothing, "word")
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


@given(st.lists(TEXT, min_size=1, max_size=12), st.data())
@settings(max_examples=60)
def test_a_vector_depends_on_its_row_alone(values: list[str], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(values) - 1))
    whole = _vectors(*values)
    assert np.array_equal(whole[row], _vectors(values[row])[0], equal_nan=True)
    encoded = WORDS.vectors([pa.array(values).dictionary_encode()])
    assert np.array_equal(whole, encoded, equal_nan=True)


def test_long_texts_are_cut_and_many_blocks_agree() -> None:
    filler = "word " * (MAX_TEXT // 5 + 10)
    assert np.array_equal(*_vectors(filler + "end", filler + "other"))
    values = [f"{i} " + "x y z " * 2_000 for i in range(900)]
    whole = _vectors(*values)
    assert np.array_equal(whole[[0, 500, 899]], _vectors(values[0], values[500], values[899]))


def test_bytes_that_are_no_utf8() -> None:
    column = pa.array([b"caf\xe9 au lait", b"caf\xe8 au lait"]).view(pa.string())
    one, other = WORDS.vectors([column])
    assert np.isfinite(one).all()
    assert not np.array_equal(one, other)


def test_several_columns_add_up() -> None:
    both = Words(("a", "b")).vectors([pa.array(["x", None]), pa.array(["y", "z"])])
    alone = Words(("a", "b")).vectors([pa.array(["y", "z"]), pa.array(["x", None])])
    assert np.allclose(both, alone)
    assert both.shape == (2, DIMENSION)


def test_texts_of_nested_columns() -> None:
    chats = pa.array([
        [{"role": "user", "content": "hi", "n": 1}, {"role": "bot", "content": None, "n": 2}],
        None,
        [],
    ])  # fmt: skip
    assert texts(chats).to_pylist() == ["user\nhi\nbot", "", ""]
    assert texts(chats.slice(1)).to_pylist() == ["", ""]
    assert texts(pa.array([["a", None, "b"]])).to_pylist() == ["a\n\nb"]
    assert texts(pa.array([1, 2])).to_pylist() == [None, None]
    words = pa.array(["a", "b"]).dictionary_encode()
    lists = pa.ListArray.from_arrays([0, 2, 2], words)
    assert texts(lists).to_pylist() == ["a\nb", ""]


def test_nested_text_that_expands_is_refused() -> None:
    long = pa.array(["A" * 3_000_000])
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200, np.int32)), long)
    with pytest.raises(ValueError, match="longer than"):
        texts(pa.ListArray.from_arrays(list(range(201)), words))
