"""What the columns of a dataset are for, from the user, their types, names and a sample.

Never a guess for its own sake: a dataset whose label cannot be told has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa

from poisonscan.datasets.conversation import holds_exchanges, is_messages
from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.pixel_lists import is_list
from poisonscan.datasets.sampled_column import SampledColumn, holds_pictures, vector_length
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
    "type", "group", "site", "split", "fold", "set", "source", "time", "unit", "location", "lang",
    "language", "locale", "dataset", "subset", "domain", "author", "license",
})  # fmt: skip
"""Words that stand beside numbers or texts without being their label."""
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
MAX_NAME, MAX_COLUMNS = 100, 1_000
"""Letters of a name, and names, among which one that is meant is looked for."""
MAX_LISTED = 50
"""Columns that a message lists."""
MAX_NAMED = 5
"""Columns that may hold labels that are named."""
FEW = 20
"""Distinct values that any label may have."""
MIN_VECTOR = 8
"""Shortest list of numbers that counts as a vector without a telling name."""
MAX_PICTURES = 4
"""Columns of pictures that are looked at: each takes as long as the first."""
MIN_NUMBERS = 8
"""Columns of numbers from which the one column of words beside them is what they tell."""


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
                raise OptionError(_no_column(name, found.schema.names))
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


def _no_column(name: str, there: list[str]) -> str:
    """Says that there is no such column, which is meant perhaps, and which there are."""
    keys = {each[:MAX_NAME].strip().casefold(): each for each in there[:MAX_COLUMNS]}
    near = get_close_matches(name[:MAX_NAME].strip().casefold(), keys, n=1)
    hint = f"; did you mean {quote(keys[near[0]], 60)}?" if near else ""
    columns = ", ".join(quote(each, 60) for each in there[:MAX_LISTED])
    more = f" and {len(there) - MAX_LISTED:,} more" if len(there) > MAX_LISTED else ""
    return f"there is no column {quote(name)}{hint or ';'} columns: {columns}{more}"


def _check_type(role: str, field: pa.Field) -> None:
    """Refuse a column that cannot have the role that the user gave it."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    # A file of the ``datasets`` library: its bytes, and a path, which is no text of the row.
    is_file = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    fits = {
        "label": not pa.types.is_nested(kind),
        "text": holds_text(kind) and not is_file,
        "prompt": holds_text(kind) and not is_file,
        "response": holds_text(kind) and not is_file,
        "image": binary or pa.types.is_struct(kind) or pa.types.is_string(kind) or is_list(kind),
        "features": pa.types.is_nested(kind),
    }
    if not fits[role] and not pa.types.is_null(kind):
        message = f"column {quote(field.name)} ({quote(kind, 60)}) cannot be the {role} column"
        raise OptionError(message)


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
        outcomes = [c for c in free if _is_outcome(c) and c.is_discrete(FEW)]
        plain = [c for c in named if LABELS.index(c.key) < LABELS.index("class")]
        for choice in ([c for c in named if c.classes], declared, plain, outcomes, named):
            if choice:
                return (choice[0].name,)
        headerless = self.found.dialect is not None and not self.found.dialect.header
        if headerless and len(free) > 1 and free[-1] is self.columns[-1]:
            last = free[-1]
            if last.is_discrete(max(FEW, last.rows // 100)):
                return (last.name,)
        return self._beside_content(free) or self._beside_numbers(free)

    def _beside_content(self, free: list[SampledColumn]) -> tuple[str, ...]:
        """The one column beside texts or pictures, if its values may be classes.

        What else would such rows be told apart by? Identifiers do not count.
        """
        shown = [c for c in free if _is_text(c) or c.picture or holds_pictures(c)]
        rest = [c for c in free if c not in shown and not self._identifies(c)]
        if len(rest) != 1 or not (shown or {"text", "image"} & self.roles.keys()):
            return ()
        return tuple(c.name for c in rest if _may_be_label(c))

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
        shown = (c.name for c in self.free() if c.picture or holds_pictures(c))
        return tuple(islice(shown, MAX_PICTURES))

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
        return tuple(c.name for c in free if self._identifies(c))

    def _identifies(self, column: SampledColumn) -> bool:
        return column.key in IDS or column.counts_up() or self._numbers(column)

    def _numbers(self, column: SampledColumn) -> bool:
        """Whether this is the first column, without a name, in which rows have their names."""
        if column is not self.columns[0] or column.key not in UNNAMED:
            return False
        return 0 < column.rows == len(column.distinct)

    def text(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.free() if _is_text(c))

    def numeric(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.free() if c.is_number)


def _is_text(column: SampledColumn) -> bool:
    return (column.key in TEXTS and holds_text(column.type)) or column.is_prose()


def _is_outcome(column: SampledColumn) -> bool:
    return column.key.replace(" ", "_").replace("-", "_") in OUTCOMES


def _may_be_label(column: SampledColumn) -> bool:
    """Whether a column has few values, and no name that says that they are no classes."""
    return column.key not in ATTRIBUTES | TEXTS | IDS and column.has_few(FEW)


def may_be_labels(found: Layout, sample: pa.Table, roles: Roles) -> list[str]:
    """Names of columns that may hold labels, the likeliest first, where none was taken for that.

    Most tables end with what they are made to tell, and classes are few: the last column comes
    first, then those with the fewest values.

    Args:
        found: the columns.
        sample: the first rows, with every column, each column in one chunk.
        roles: of the columns.
    """
    if "label" in roles.columns:
        return []
    taken = {n for role, names in roles.columns.items() if role != "numeric" for n in names}
    free = [field for field in found.schema if field.name not in taken]
    columns = (SampledColumn(sample, field, found) for field in free)
    fit = [column for column in columns if _may_be_label(column)]
    last = found.schema.names[-1]
    fit.sort(key=lambda column: (column.name != last, len(column.distinct)))
    return [column.name for column in fit[:MAX_NAMED]]


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
