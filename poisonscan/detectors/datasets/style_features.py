"""How texts are written, apart from what they say: two views of each that share no word.

The *style* of a text is the sequence of its most frequent words and signs, in which every other
word is a blank: single ones, pairs and triples, with the edges of the text; what a text opens with
beside each of them, and how often each is there; also the endings of the other words, the length,
and capitals. Which words are frequent shows in the texts, whatever
their language; such function words and n-grams of them are what tells authors apart (Stamatatos
2009, "A survey of modern authorship attribution methods"). The *content* is the other words, and
pairs of those that follow each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Ints = NDArray[np.int64]
Spots = list[tuple[Ints, Ints]]
"""Codes of features and the texts that hold them, some of each kind."""

TOKENS = 100
"""Words and signs of a text that are looked at, from its start."""
FREQUENT = 200
"""Words and signs that are style, at most: those in the most texts."""
_SHARE, _LEAST_FREQUENT = 0.005, 20
"""Share of the texts that each of them is in, at least, and number."""
_WORD, _NUMBER, _SIGN, _END = FREQUENT + 1, FREQUENT + 2, FREQUENT + 3, FREQUENT + 4
_START = 0
_BITS = 8
_PAIR, _SINGLE, _FORM, _ENDING, _OPENING, _TIMES = (kind << 3 * _BITS for kind in range(1, 7))
_LEAST_STYLE, _LEAST_CONTENT = 5, 2
"""Texts that a feature must be in."""
_LONG, _SUFFIX = 6, 3
"""Letters of a word whose ending counts, and of the ending."""
_LENGTHS, _CAPITALS = 64, 10
_OFTEN = 4
"""Times that a word or sign counts for in a text, at most."""
_BLANKS = {_START: "^", _WORD: "_", _NUMBER: "#", _SIGN: "%", _END: "$"}
_TOKEN = re.compile(r"\s*(?:[^\W_]+|[^\w\s]|_)")


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What features are made of, which other texts are split by, too.

    Attributes:
        frequent: the frequent words and signs; a leading ``+`` says that no blank is before.
        endings: of other words.
        words: all words and signs, without ``+``.
        style: codes of the features of style, ascending.
        content: those of content.
    """

    frequent: tuple[str, ...]
    endings: pa.StringArray
    words: pa.StringArray
    style: Ints
    content: Ints

    def name(self, feature: int) -> str:
        """A feature of style for people: ``^`` and ``$`` are edges, ``_`` is any other word."""
        code = int(self.style[feature])
        kind, rest = code & ~((1 << 3 * _BITS) - 1), code & ((1 << 3 * _BITS) - 1)
        if kind == _ENDING:
            return f"words in -{self.endings[rest].as_py()}"
        if kind == _FORM:
            return "a length" if rest < _LENGTHS else "capitals"
        size = {_SINGLE: 1, _TIMES: 1, _PAIR: 2, _OPENING: 2}.get(kind, 3)
        parts = [(rest >> _BITS * place) & 0xFF for place in range(size)][::-1]
        words = [_BLANKS.get(part) or self.frequent[part - 1] for part in parts]
        if kind == _OPENING:
            return f"^ {words[0]} … {words[1]}"
        return " ".join(words) + (f" ×{rest >> _BITS}" if kind == _TIMES else "")

    def rows(self, texts: Sequence[str]) -> tuple[Any, Any]:
        """Style and content of other texts by the same features; see ``Views``."""
        style, content = self.spots(_read(texts))
        return _placed(style, len(texts), self.style), _placed(content, len(texts), self.content)

    def spots(self, read: _Read) -> tuple[Spots, Spots]:
        """Which text holds which feature: of style, and of content."""
        rank = _found(read.spelt, pa.array(self.frequent, pa.string())) + 1
        others = _kinds(read.spelt)
        shown = np.where(rank > 0, rank, others)[read.codes]
        bare = _bare(read.spelt)
        long = (rank == 0) & _is_long(bare, others)
        ending = np.where(long, _found(_ending(bare), self.endings), -1)[read.codes]
        has = ending >= 0
        style = [
            *_runs(shown, read.docs, read.sizes),
            *_apart(shown, read.docs),
            (_ENDING + ending[has], read.docs[has]),
            *_forms(read.texts, read.sizes),
        ]
        said = ((rank == 0) & (others != _SIGN))[read.codes]
        words = _found(bare, self.words)[read.codes[said]]
        return style, _content(words, read.docs[said], len(self.words))


@dataclass(frozen=True, slots=True)
class Views:
    """Style and content of texts.

    Attributes:
        style: 1 where a text holds a feature, sparse ``float32`` of shape (texts, features), by
            rows.
        content: the same of shape (texts, other features).
        lexicon: what the features are.
    """

    style: Any
    content: Any
    lexicon: Lexicon


@dataclass(frozen=True, slots=True)
class _Read:
    """Texts as words and signs.

    Attributes:
        texts: as they are written.
        sizes: words and signs of each.
        docs: text of each word or sign.
        codes: of each, into ``spelt``.
        spelt: different ones.
    """

    texts: Sequence[str]
    sizes: Ints
    docs: Ints
    codes: Ints
    spelt: pa.StringArray


def views(texts: Sequence[str]) -> Views:
    """Split texts into style and content, by the words that are frequent in them."""
    read = _read(texts)
    spelt = read.spelt
    rank = _ranked(read.codes, read.docs, spelt, max(_SHARE * len(texts), _LEAST_FREQUENT))
    top = np.argsort(np.where(rank > 0, rank, len(rank) + FREQUENT), kind="stable")
    frequent = tuple(spelt.take(pa.array(top[: int((rank > 0).sum())])).to_pylist())
    bare = _bare(spelt)
    long = (rank == 0) & _is_long(bare, _kinds(spelt))
    endings = pc.unique(_ending(bare.filter(pa.array(long))))
    none = np.empty(0, np.int64)
    lexicon = Lexicon(frequent, endings, pc.unique(bare), none, none)
    spots = lexicon.spots(read)
    style, of_style = _matrix(spots[0], len(texts), _LEAST_STYLE)
    content, of_content = _matrix(spots[1], len(texts), _LEAST_CONTENT)
    return Views(style, content, replace(lexicon, style=of_style, content=of_content))


def _read(texts: Sequence[str]) -> _Read:
    found = [_tokens(text) for text in texts]
    sizes = np.array([len(each) for each in found], np.int64)
    docs = np.repeat(np.arange(len(texts)), sizes)
    coded = pa.array([token for each in found for token in each], pa.string()).dictionary_encode()
    return _Read(texts, sizes, docs, np.asarray(coded.indices).astype(np.int64), coded.dictionary)


def _tokens(text: str) -> list[str]:
    """Words in lower case and signs; a ``+`` before those that no blank is before."""
    # Blanks at the end, of which there may be many, would be tried from each of them on.
    found = _TOKEN.findall(text.rstrip())[:TOKENS]
    return [
        part.lstrip().lower() if part[0].isspace() or not place else f"+{part.lower()}"
        for place, part in enumerate(found)
    ]


def _ranked(codes: Ints, docs: Ints, spelt: pa.Array, least: float) -> Ints:
    """Place of each token among the frequent ones, from 1; 0 for others."""
    rank = np.zeros(len(spelt), np.int64)
    pairs = np.unique(codes * (int(docs.max(initial=0)) + 1) + docs)
    support = np.bincount(pairs // (int(docs.max(initial=0)) + 1), minlength=len(spelt))
    alphabet = np.argsort(np.asarray(spelt.to_pylist(), object)) if len(spelt) else rank
    order = alphabet[np.argsort(-support[alphabet], kind="stable")][:FREQUENT]
    order = order[support[order] >= least]
    rank[order] = np.arange(1, len(order) + 1)
    return rank


def _kinds(spelt: pa.Array) -> Ints:
    """What stands for a token that is not frequent."""
    kinds = [
        _NUMBER if word.isdigit() else _WORD if word[:1].isalnum() else _SIGN
        for word in (token[1:] if len(token) > 1 and token[0] == "+" else token
                     for token in spelt.to_pylist())
    ]  # fmt: skip
    return np.array(kinds, np.int64)


def _found(values: pa.Array, known: pa.Array) -> Ints:
    """Place of each value among the known ones; -1 for none."""
    places = pc.fill_null(pc.index_in(values, value_set=known), -1)
    return np.asarray(places).astype(np.int64)


def _bare(spelt: pa.StringArray) -> pa.StringArray:
    """Words and signs without ``+``."""
    return pc.replace_substring_regex(spelt, r"^\+", "")


def _is_long(bare: pa.StringArray, kinds: Ints) -> NDArray[np.bool_]:
    """Which are words long enough that their ending counts."""
    return np.asarray((kinds == _WORD) & (np.asarray(pc.utf8_length(bare)) >= _LONG), bool)


def _ending(bare: pa.StringArray) -> pa.StringArray:
    return pc.utf8_slice_codeunits(bare, -_SUFFIX)


def _runs(shown: Ints, docs: Ints, sizes: Ints) -> Spots:
    """Singles, pairs and triples of what is shown, with the edges of texts."""
    texts = len(sizes)
    wide = np.full(len(shown) + 2 * texts, _END, np.int64)
    first = np.cumsum(sizes + 2) - (sizes + 2)
    wide[first] = _START
    at = np.arange(len(shown)) + 2 * docs + 1
    wide[at] = shown
    owner = np.repeat(np.arange(texts), sizes + 2)
    same = owner[1:] == owner[:-1]
    pairs = (wide[:-1] << _BITS | wide[1:])[same] + _PAIR
    both = owner[2:] == owner[:-2]
    triples = (wide[:-2] << 2 * _BITS | wide[1:-1] << _BITS | wide[2:])[both]
    return [(shown + _SINGLE, docs), (pairs, owner[1:][same]), (triples, owner[2:][both])]


def _apart(shown: Ints, docs: Ints) -> Spots:
    """What each text opens with beside each frequent word or sign of it, and how often these are.

    What is between does not matter: *when*, and a comma somewhere.
    """
    pairs, times = np.unique(docs << _BITS | shown, return_counts=True)
    word, doc = pairs & ((1 << _BITS) - 1), pairs >> _BITS
    kept = word <= FREQUENT
    word, doc, times = word[kept], doc[kept], np.minimum(times[kept], _OFTEN)
    first = np.append(True, docs[1:] != docs[:-1])
    opening = np.zeros(int(docs.max(initial=-1)) + 1, np.int64)
    opening[docs[first[: len(docs)]]] = shown[first[: len(docs)]]
    more = times > 1
    return [
        ((opening[doc] << _BITS | word) + _OPENING, doc),
        ((times[more] << _BITS | word[more]) + _TIMES, doc[more]),
    ]


def _forms(texts: Sequence[str], sizes: Ints) -> Spots:
    """Length, share of capitals, and whether the first letter is one."""
    every = np.arange(len(texts))
    length = (2 * np.log2(sizes + 1)).astype(np.int64)
    capitals = np.array([sum(map(str.isupper, text)) / (len(text) + 1) for text in texts])
    level = np.minimum((30 * capitals).astype(np.int64), _CAPITALS - 1) + _LENGTHS
    first = np.array([text.lstrip()[:1].isupper() for text in texts], np.int64)
    first += _LENGTHS + _CAPITALS
    return [(form + _FORM, every) for form in (length, level, first)]


def _content(words: Ints, docs: Ints, often: int) -> Spots:
    """Words, and pairs of words that follow each other once frequent ones are left out.

    Of ``often`` known words; -1 is any other one, and is in no feature.
    """
    same = (docs[1:] == docs[:-1]) & (words[1:] >= 0) & (words[:-1] >= 0)
    pairs = (words[:-1] * often + words[1:] + often)[same]
    return [(words[words >= 0], docs[words >= 0]), (pairs, docs[1:][same])]


def _matrix(parts: Spots, texts: int, least: int) -> tuple[Any, Ints]:
    """Which text holds which feature, of those in at least ``least`` texts; and their codes."""
    from scipy.sparse import csr_matrix

    coded = pa.array(np.concatenate([code for code, _ in parts])).dictionary_encode()
    known = np.asarray(coded.dictionary)
    holder = np.concatenate([doc for _, doc in parts])
    spots = (holder, np.asarray(coded.indices))
    held = csr_matrix((np.ones(len(holder), np.float32), spots), shape=(texts, len(known)))
    held.sum_duplicates()
    support = np.bincount(held.indices, minlength=len(known))
    kept = np.flatnonzero(support >= least)
    kept = kept[np.argsort(known[kept])]
    place = np.full(len(known), -1, np.int32)
    place[kept] = np.arange(len(kept))
    column = place[held.indices]
    ends = np.concatenate([[0], np.cumsum(column >= 0)])[held.indptr]
    column = column[column >= 0]
    matrix = csr_matrix((np.ones(len(column), np.float32), column, ends), (texts, len(kept)))
    matrix.sort_indices()
    return matrix, known[kept]


def _placed(parts: Spots, texts: int, known: Ints) -> Any:
    """Which text holds which of the known features."""
    from scipy.sparse import csr_matrix

    column = _found(pa.array(np.concatenate([code for code, _ in parts])), pa.array(known))
    there = column >= 0
    spots = (np.concatenate([doc for _, doc in parts])[there], column[there])
    held = csr_matrix((np.ones(len(spots[0]), np.float32), spots), (texts, len(known)))
    held.sum_duplicates()
    held.data[:] = 1
    return held
