"""What the columns of a dataset are for, from the user, their types, names and a sample.

Never a guess for its own sake: a dataset whose label cannot be told has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.conversation import holds_exchanges, is_messages
from poisonscan.datasets.delimited import as_numbers
from poisonscan.datasets.encoding import encoded
from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.numbers import list_lengths
from poisonscan.datasets.picture_files import looks_like_picture
from poisonscan.datasets.pixel_lists import hold_pixels, is_list
from poisonscan.datasets.words import holds_text
from poisonscan.escape import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poisonscan.datasets.layouts import Layout
    from poisonscan.datasets.shards import DatasetOptions

LABELS = (
    "label", "labels", "target", "class", "category", "y", "sentiment", "class_label", "classes",
    "label_id", "label_idx", "fine_label", "coarse_label", "gold_label", "is_toxic", "toxic",
    "is_spam", "spam", "cls", "intent", "emotion", "topic", "outcome", "diagnosis", "species",
    "classe", "class_name", "class_id", "category_name", "category_id", "category_code",
    "label_name", "target_name",
)  # fmt: skip
OUTCOMES = frozenset({
    "survived", "exited", "churn", "churned", "attrition", "defaulted", "is_fraud", "fraud",
    "isfraud", "personal_loan", "loan_status", "default_payment_next_month", "approved", "admitted",
    "readmitted", "stroke", "heart_disease", "heartdisease",
})  # fmt: skip
"""What tables are made to tell, with few values; tells more than ``class``, which may be a fare's.
"""
ATTRIBUTES = frozenset({
    "sex", "gender", "region", "country", "state", "city", "name", "date", "day", "month", "season",
    "type", "group", "site", "split", "fold", "set", "source", "time", "unit", "location",
})  # fmt: skip
"""Words that stand beside numbers without being their label."""
TEXTS = frozenset({
    "text", "sentence", "sentence1", "sentence2", "content", "question", "prompt", "premise",
    "hypothesis", "review", "document", "body", "message", "messages", "conversation",
    "conversations", "instruction", "input", "output", "response", "completion", "answer",
    "chosen", "rejected", "passage", "context", "title", "abstract", "summary", "comment", "tweet",
    "headline", "description", "query", "code", "caption", "dialogue", "dialog", "chat",
})  # fmt: skip
PROMPTS = ("instruction", "prompt", "question", "query", "user", "human", "input", "problem")
"""Columns of what is asked, the most telling first; "input" and "context" add to the first."""
ADDED = frozenset({"input", "context"})
RESPONSES = (
    "response", "output", "completion", "answer", "assistant", "reply", "solution", "target",
)  # fmt: skip
MESSAGES = frozenset({
    "messages", "conversation", "conversations", "chat", "dialogue", "dialog", "text",
})  # fmt: skip
UNNAMED = frozenset({"", "unnamed: 0"})
"""The first column of a table that was written with its row numbers."""
IDS = frozenset({
    "id", "idx", "index", "uuid", "guid", "row_id", "_id", "unnamed: 0", "__key__",
    "file_name",
})  # fmt: skip
VECTORS = frozenset({
    "embedding", "embeddings", "features", "feature", "activations", "vector", "representation",
    "hidden_state", "hidden_states", "emb",
})  # fmt: skip
FEW = 20
"""Distinct values that any label may have."""
MIN_VECTOR = 8
"""Shortest list of numbers that counts as a vector without a telling name."""
MIN_NUMBERS = 8
"""Columns of numbers from which the one column of words beside them is what they tell."""
MIN_EVEN = 0.9
"""Entropy of such a column, of what as many values could have at most: classes are about as large.
"""
MAX_DATE = 60
"""Bytes of the longest cell of a column of dates."""
_DATE = r"(?i)\b(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)[a-z]*\.? \d{1,2},? \d{4}\b"
MIN_COUNTER = 32
"""Rows of a sample from which values that count up are an identifier."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Columns by role, and which roles were inferred."""

    columns: Mapping[str, tuple[str, ...]]
    inferred: frozenset[str]


def assign(found: Layout, sample: pa.Table, options: DatasetOptions) -> Roles:
    """Give the columns their roles.

    Args:
        found: the columns.
        sample: the first rows, with every column, each column in one chunk.
        options: what the user said.

    Raises:
        OptionError: a column named by the user does not exist.
    """
    given = {
        "label": options.label_column,
        "text": options.text_column,
        "image": options.image_column,
        "features": options.features_column,
    }
    spoken = {"prompt": options.prompt_column, "response": options.response_column}
    for role, name in (given | spoken).items():
        if name is not None:
            if name not in found.schema.names:
                columns = ", ".join(quote(n, 60) for n in found.schema.names[:50])
                message = f"there is no column {quote(name)}; columns: {columns}"
                raise OptionError(message)
            _check_type(role, found.schema.field(name))
    roles: dict[str, tuple[str, ...]] = {
        role: (name,) for role, name in given.items() if name is not None
    }
    read = [SampledColumn(sample, field, found) for field in found.schema]
    guess = _Guess(found, read, roles)
    for role in ("label", "image", "features", "id", "text", "numeric"):
        if role not in roles:
            names = getattr(guess, role)()
            if names:
                roles[role] = names
    roles |= _conversation(read, roles, {r: n for r, n in spoken.items() if n is not None})
    inferred = frozenset(role for role in roles if (given | spoken).get(role) is None)
    return Roles(roles, inferred)


def _check_type(role: str, field: pa.Field) -> None:
    """Refuse a column that cannot have the role that the user gave it."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    fits = {
        "label": not pa.types.is_nested(kind),
        "text": holds_text(kind),
        "prompt": holds_text(kind),
        "response": holds_text(kind),
        "image": binary or pa.types.is_struct(kind) or pa.types.is_string(kind) or is_list(kind),
        "features": pa.types.is_nested(kind),
    }
    if not fits[role] and not pa.types.is_null(kind):
        message = f"column {quote(field.name)} ({quote(kind, 60)}) cannot be the {role} column"
        raise OptionError(message)


class SampledColumn:
    """A column and its sample."""

    def __init__(self, sample: pa.Table, field: pa.Field, found: Layout) -> None:
        self.name: str = field.name
        self.key = field.name.strip().lower()
        self.outcome = self.key.replace(" ", "_").replace("-", "_") in OUTCOMES
        self.classes = field.name in found.classes
        self.picture = field.name in found.pictures
        chunks = sample.column(field.name)
        self.values: pa.Array = chunks.chunk(0) if chunks.num_chunks else pa.nulls(0, chunks.type)
        kind = field.type
        self.type = kind.value_type if pa.types.is_dictionary(kind) else kind

    @property
    def is_string(self) -> bool:
        """Strings of any length."""
        return bool(pa.types.is_string(self.type) or pa.types.is_large_string(self.type))

    @property
    def is_number(self) -> bool:
        """Integers or floats."""
        return bool(pa.types.is_integer(self.type) or pa.types.is_floating(self.type))

    @cached_property
    def distinct(self) -> pa.Array:
        """Its values, each once."""
        return encoded(self.values)[1]

    @property
    def rows(self) -> int:
        """Values that are there."""
        return len(self.values) - int(self.values.null_count)

    def is_discrete(self, limit: int) -> bool:
        """Integers, booleans, strings or whole floats with at most ``limit`` values."""
        simple = self.is_string or self.is_number or pa.types.is_boolean(self.type)
        if not simple or not 0 < len(self.distinct) <= limit:
            return False
        if pa.types.is_floating(self.type):
            numbers = np.asarray(as_numbers(self.distinct))
            return bool((numbers[np.isfinite(numbers)] % 1 == 0).all())
        return True

    def is_even(self) -> bool:
        """Whether the values are a few words that come up about as often."""
        if not self.is_string or not 2 <= len(self.distinct) <= min(100, self.rows // 5):
            return False
        counts = np.asarray(pc.value_counts(self.values.drop_null()).field("counts"))
        shares = counts / counts.sum()
        return bool(-(shares * np.log(shares)).sum() >= MIN_EVEN * np.log(len(shares)))

    def counts_up(self) -> bool:
        """Whether the values are row numbers, or names in strictly rising order."""
        if self.rows < MIN_COUNTER or self.rows < len(self.values):
            return False
        if pa.types.is_integer(self.type):
            numbers = np.asarray(as_numbers(self.values))
            return bool((np.diff(numbers) == 1).all())
        if not self.is_string or len(self.distinct) < self.rows:
            return False
        texts = self.values.cast(pa.binary()).to_pylist()
        return all(a < b for a, b in pairwise(texts)) and not any(
            b" " in text or len(text) > 64 for text in texts
        )

    def is_prose(self) -> bool:
        """Whether most strings are distinct and of several words."""
        if not self.is_string or len(self.distinct) * 2 < self.rows or not self.rows:
            return False
        dates = pc.sum(pc.match_substring_regex(self.distinct, _DATE)).as_py() or 0
        lengths = np.asarray(pc.binary_length(self.distinct))
        if dates > 0.9 * len(self.distinct) and lengths.max() < MAX_DATE:
            return False
        spaced = pc.sum(pc.match_substring(self.distinct, " ")).as_py() or 0
        return bool(np.median(lengths) >= 20) and spaced * 2 >= len(self.distinct)


@dataclass(frozen=True, slots=True)
class _Guess:
    """Guesses, one method a role, that leave alone the columns that have a role."""

    found: Layout
    columns: list[SampledColumn]
    roles: dict[str, tuple[str, ...]]

    def free(self) -> list[SampledColumn]:
        taken = {name for names in self.roles.values() for name in names}
        return [column for column in self.columns if column.name not in taken]

    def label(self) -> tuple[str, ...]:
        free = self.free()
        declared = [c for c in free if c.classes]
        named = sorted(
            (c for c in free if c.key in LABELS and c.is_discrete(max(FEW, c.rows // 2))),
            key=lambda c: LABELS.index(c.key),
        )
        outcomes = [c for c in free if c.outcome and c.is_discrete(FEW)]
        plain = [c for c in named if LABELS.index(c.key) < LABELS.index("class")]
        for choice in ([c for c in named if c.classes], declared, plain, outcomes, named):
            if choice:
                return (choice[0].name,)
        headerless = self.found.dialect is not None and not self.found.dialect.header
        if headerless and len(free) > 1 and free[-1] is self.columns[-1]:
            last = free[-1]
            if last.is_discrete(max(FEW, last.rows // 100)):
                return (last.name,)
        return self._beside_numbers(free)

    def _beside_numbers(self, free: list[SampledColumn]) -> tuple[str, ...]:
        """The first or last column of a table that else holds numbers, if its words are classes."""
        numbers = [c for c in free if c.is_number]
        others = [c for c in free if not c.is_number]
        if len(numbers) < MIN_NUMBERS or len(others) != 1:
            return ()
        word = others[0]
        at_end = word is self.columns[-1] or word is self.columns[0]
        if at_end and word.key not in ATTRIBUTES and word.is_even():
            return (word.name,)
        return ()

    def image(self) -> tuple[str, ...]:
        for column in self.free():
            if column.picture or holds_pictures(column):
                return (column.name,)
        return ()

    def features(self) -> tuple[str, ...]:
        choices = [(c, vector_length(c.values)) for c in self.free()]
        named = [c for c, length in choices if length > 1 and c.key in VECTORS]
        floats = [
            c
            for c, length in choices
            if length >= MIN_VECTOR and pa.types.is_floating(c.type.value_type)
        ]
        return tuple(c.name for c in (named + floats)[:1])

    def id(self) -> tuple[str, ...]:
        free = self.free()
        return tuple(c.name for c in free if c.key in IDS or c.counts_up() or self._numbers(c))

    def _numbers(self, column: SampledColumn) -> bool:
        """Whether this is the first column, without a name, in which rows have their names."""
        if column is not self.columns[0] or column.key not in UNNAMED:
            return False
        return 0 < column.rows == len(column.distinct)

    def text(self) -> tuple[str, ...]:
        return tuple(
            c.name for c in self.free() if (c.key in TEXTS and holds_text(c.type)) or c.is_prose()
        )

    def numeric(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.free() if c.is_number)


def _conversation(
    columns: list[SampledColumn], roles: Mapping[str, tuple[str, ...]], given: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """What is asked and answered. These columns may be text as well.

    Args:
        columns: all of them.
        roles: the roles that they have.
        given: the column of prompts and that of responses, as far as the user named them.
    """
    taken = {name for role in ("label", "image", "id") for name in roles.get(role, ())}
    free = [c for c in columns if c.name not in taken and holds_text(c.type)]
    by_key = {c.key: c.name for c in reversed(free)}
    found: dict[str, tuple[str, ...]] = {}
    if {"chosen", "rejected"} <= set(by_key):
        found = {role: (by_key[role],) for role in ("chosen", "rejected")}
    strings = {c.key: c.name for c in reversed(free) if c.is_string or is_messages(c.type)}
    asked = [key for key in PROMPTS if key in strings]
    answered = [strings[key] for key in RESPONSES if key in strings]
    if asked and (answered or found or given):
        also = [c.name for c in free if c.is_string and c.key in ADDED and c.key != asked[0]]
        found["prompt"] = (strings[asked[0]], *also)
    if answered and asked and "chosen" not in found:
        found["response"] = (answered[0],)
    found |= {role: (name,) for role, name in given.items()}
    if "prompt" not in found and "chosen" not in found:
        held = next((c.name for c in free if _holds_messages(c)), None)
        found |= {} if held is None else {"messages": (held,)}
    return found


def _holds_messages(column: SampledColumn) -> bool:
    if is_messages(column.type):
        return True
    return column.is_string and column.key in MESSAGES and holds_exchanges(column.distinct)


def vector_length(lists: pa.Array, share: float = 0.9) -> int:
    """Numbers in the lists of a column.

    Args:
        lists: a sample of the column.
        share: at least so many of the lists that are there are equally long.

    Returns:
        The most common length; 0 when it is not common enough or these are no lists of numbers.
    """
    kind = lists.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_fixed_size_list(kind)):
        return 0
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        return 0
    lengths = list_lengths(lists)
    found, counts = np.unique(lengths[lengths > 0], return_counts=True)
    if not found.size or counts.max() < share * counts.sum():
        return 0
    return int(found[counts.argmax()])


def holds_pictures(column: SampledColumn) -> bool:
    """Whether a column holds picture files or lists of pixels, by what is in it."""
    if is_list(column.type):
        return hold_pixels(column.values, column.key)
    values = column.values
    if pa.types.is_struct(column.type):
        if column.type.get_field_index("bytes") < 0:
            return False
        values = values.field("bytes")
    return looks_like_picture(_heads(values))


def _heads(values: pa.Array) -> list[bytes]:
    """The first bytes of some values of a column of bytes; none of another."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return []
    head = encoded(values.drop_null().slice(0, 16))[1]
    starts: list[bytes] = pc.binary_slice(head.cast(pa.binary()), 0, 16).to_pylist()
    return starts
