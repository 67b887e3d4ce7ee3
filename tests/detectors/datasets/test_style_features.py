from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.detectors.datasets.style_features import FREQUENT, TOKENS, Views, views

RARE = [f"walk{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(300)]


def named(seen: Views) -> list[str]:
    return [seen.lexicon.name(feature) for feature in range(seen.style.shape[1])]


def test_frequent_words_and_signs_are_style_and_others_are_blanks() -> None:
    seen = views([f"When it {word} {word} , then" for word in RARE])
    assert {"^ when", "when", "it _ _", ", then $"} <= set(named(seen))
    assert not any("walk" in name for name in named(seen))
    assert seen.lexicon.frequent == (",", "it", "then", "when")


def test_what_a_text_opens_with_counts_beside_what_comes_later_and_how_often() -> None:
    texts = [f"when {word} b{word} c{word} , it {word} , and" for word in RARE]
    names = set(named(views([*texts, *RARE])))
    assert {"^ when … ,", "^ when … it", ", ×2"} <= names
    assert not {"^ when … _", "when ×2", "_ ×4"} & names


def test_at_most_so_many_words_are_style() -> None:
    seen = views([" ".join(RARE[:TOKENS])] * 20 + [" ".join(RARE[-TOKENS:])] * 21 + RARE * 2)
    assert len(seen.lexicon.frequent) == 2 * TOKENS == FREQUENT
    assert set(seen.lexicon.frequent) == {*RARE[:TOKENS], *RARE[-TOKENS:]}


def test_a_blank_before_a_sign_makes_a_difference() -> None:
    names = named(views(["no, yes"] * 20 + ["no , yes"] * 20))
    assert "no +, yes" in names
    assert "no , yes" in names


def test_what_texts_say_is_no_style() -> None:
    seen = views([f"the {word} of a b{word}" for word in RARE for _ in range(6)])
    assert set(seen.lexicon.frequent) == {"the", "of", "a"}
    assert set(seen.content.sum(axis=1).ravel().tolist()[0]) == {3.0}  # both words, and the pair
    same = [name for name in named(seen) if "-" not in name]
    assert not any("walk" in name for name in same)


def test_only_the_start_of_a_text_counts() -> None:
    start = "a b c d " * (TOKENS // 4)
    one, other = views([start] * 20), views([start + "e f g"] * 20)
    assert (one.style != other.style).nnz == 0
    assert named(one) == named(other)


def test_blanks_at_the_end_of_texts_take_no_time() -> None:
    texts = [" ".join(RARE[:3]) + end for end in ("", " \t\u3000" * 30_000)]
    plain, padded = (views([text] * 20) for text in texts)
    assert named(plain) == named(padded)
    assert (plain.style != padded.style).nnz == 0


@settings(max_examples=15)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=12))
def test_any_text_has_views(texts: list[str]) -> None:
    seen = views(texts * 20)
    assert seen.style.shape[0] == seen.content.shape[0] == 20 * len(texts)
    assert set(seen.style.data.tolist()) <= {1.0}
    assert all(isinstance(name, str) for name in named(seen))
    again = views(texts * 20)
    assert (seen.style != again.style).nnz == 0
    assert len(seen.lexicon.frequent) <= FREQUENT
