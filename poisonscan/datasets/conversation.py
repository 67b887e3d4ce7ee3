"""Prompts and responses of instruction, chat and preference data, whatever form they come in.

Forms that are read: columns of prompts and of responses; lists of messages ({role, content} or
{from, value}), also as JSON text; transcripts, where markers such as ``### Response:``,
``<|im_start|>user``, ``[INST]`` or ``Human:`` say who speaks; pairs of a chosen and a rejected
response in any of these forms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.batch import Texts
from poisonscan.datasets.encoding import encoded
from poisonscan.datasets.words import distinct_texts, plain, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch
    from poisonscan.datasets.dataset import Dataset

    Ints = NDArray[np.int64]

USER, ASSISTANT, OTHER = 0, 1, 2
"""Who speaks; ``OTHER``: system messages, tools and what nobody is named for."""
SPEAKERS = ("role", "from", "speaker", "author")
SAYINGS = ("content", "value", "text", "message")
_ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "instruction", "customer", "client"), USER),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatgpt", "model", "ai", "agent"), ASSISTANT),
}
_MARK = "\x1e"
_START = r"(?:^|\n)[ \t]*"
_ANSWERED = (
    rf"{_START}(?:#{{2,3}} ?(?:Response|Assistant|Output|Answer|GPT) ?:?|(?:Assistant|ASSISTANT"
    r"|Answer|AI) ?:)|<\|im_start\|>assistant|<\|assistant\|>|\[/INST\]"
    r"|<start_of_turn>model|<\|start_header_id\|>assistant<\|end_header_id\|>"
)
_ASKED = (
    rf"{_START}(?:#{{2,3}} ?(?:Instruction|Human|User|Input|Question) ?:?|(?:Human|HUMAN|User"
    r"|USER|Question) ?:)|<\|im_start\|>user|<\|user\|>|<\|prompter\|>|\[INST\]"
    r"|<start_of_turn>user|<\|start_header_id\|>user<\|end_header_id\|>"
)
_OTHERS = (
    r"<\|im_start\|>\w*|<\|system\|>|<<SYS>>|<\|start_header_id\|>\w+<\|end_header_id\|>"
    r"|<</SYS>>|<\|im_end\|>|<end_of_turn>|<\|endoftext\|>|<\|eot_id\|>|</s>|<s>"
)
_MARKERS = ((f"{_MARK}A", _ANSWERED), (f"{_MARK}U", _ASKED), (f"{_MARK}S", _OTHERS))
"""What stands in place of a marker, and the marker as a regular expression."""
_JSON = r"^\s*[\[{]"


@dataclass(frozen=True, slots=True)
class Turns:
    """What was asked and what was answered in a batch; a row may hold several exchanges.

    Attributes:
        rows: position in the batch of each exchange's row, ``int64`` of shape (n,), ascending.
        prompts: what the user says right before; empty where nobody asks.
        responses: what the assistant says.
    """

    rows: Ints
    prompts: Texts
    responses: Texts


@dataclass(frozen=True, slots=True)
class Pairs:
    """Preferences of a batch: which of two responses to a prompt was preferred.

    Attributes:
        rows: position in the batch, ``int64`` of shape (n,), ascending.
        prompts: what the user says right before; empty where nobody asks.
        chosen: the preferred responses.
        rejected: the others.
    """

    rows: Ints
    prompts: Texts
    chosen: Texts
    rejected: Texts


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a conversation is made of; an empty name: there is none.

    Attributes:
        prompt: say together what is asked.
        response: says what is answered.
        messages: holds messages, or a transcript.
        chosen: the response that was preferred.
        rejected: the response that was not.
    """

    prompt: tuple[str, ...] = ()
    response: str = ""
    messages: str = ""
    chosen: str = ""
    rejected: str = ""

    @classmethod
    def of(cls, dataset: Dataset) -> Columns:
        """The columns by the roles of a dataset."""
        roles = dataset.roles
        single = ("response", "messages", "chosen", "rejected")
        named = {role: next(iter(roles.get(role, ())), "") for role in single}
        return cls(prompt=tuple(roles.get("prompt", ())), **named)

    @property
    def has_turns(self) -> bool:
        """Whether something is asked and answered."""
        return bool(self.messages or self.chosen or (self.prompt and self.response))

    @property
    def has_pairs(self) -> bool:
        """Whether one of two responses was preferred."""
        return bool(self.chosen and self.rejected)

    @property
    def is_judged(self) -> bool:
        """Whether responses are those that somebody preferred to others."""
        return bool(self.chosen and not self.messages and not (self.prompt and self.response))

    def turns(self, batch: Batch) -> Turns:
        """The exchanges of a batch; of preferences those with the chosen response.

        Raises:
            ValueError: rows that share long texts are too long once written out.
        """
        if self.prompt and self.response:
            prompts, responses = self._asked(batch), _said(batch, self.response, ASSISTANT)
            rows = np.flatnonzero(responses.indices >= 0)
            return Turns(rows, _at(prompts, rows), _at(responses, rows))
        if self.messages:
            return exchanges(batch.cells[self.messages])
        pairs = self.pairs(batch)
        return Turns(pairs.rows, pairs.prompts, pairs.chosen)

    def pairs(self, batch: Batch) -> Pairs:
        """The preferences of a batch.

        Raises:
            ValueError: rows that share long texts are too long once written out.
        """
        prompts, chosen = _last(batch.cells[self.chosen])
        other = chosen
        if self.rejected:
            _, other = _last(batch.cells[self.rejected])
        if self.prompt:
            prompts = self._asked(batch)
        rows = np.flatnonzero((chosen.indices >= 0) & (other.indices >= 0))
        return Pairs(rows, _at(prompts, rows), _at(chosen, rows), _at(other, rows))

    def _asked(self, batch: Batch) -> Texts:
        if len(self.prompt) == 1:
            return _said(batch, self.prompt[0], USER)
        return distinct_texts([batch.cells[name] for name in self.prompt])


def exchanges(column: pa.Array) -> Turns:
    """What is asked and answered in messages or transcripts, each exchange by itself.

    Args:
        column: lists of messages, or strings: JSON or transcripts.

    Raises:
        ValueError: rows that share long texts are too long once written out.
    """
    rows, speakers, said = _messages(column)
    answers = np.flatnonzero(speakers == ASSISTANT)
    before = np.cumsum(speakers == ASSISTANT) - (speakers == ASSISTANT)
    asked = np.flatnonzero((speakers == USER) & (before < len(answers)))
    answer = before[asked]
    same = rows[answers[answer]] == rows[asked]
    asked, answer = asked[same], answer[same]
    ends = np.concatenate([[0], np.cumsum(np.bincount(answer, minlength=len(answers)))])
    lists = pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), said.take(pa.array(asked)))
    prompts = pc.binary_join(lists, "\n")
    responses = said.take(pa.array(answers))
    return Turns(rows[answers], Texts(*encoded(prompts)), Texts(*encoded(responses)))


def is_messages(kind: pa.DataType) -> bool:
    """Whether a type is lists of messages."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    item = kind.value_type
    if not pa.types.is_struct(item):
        return False
    names = {field.name for field in item}
    return bool(names.intersection(SPEAKERS) and names.intersection(SAYINGS))


def holds_exchanges(values: pa.Array, share: float = 0.5) -> bool:
    """Whether at least this share of some strings are messages in JSON, or transcripts."""
    if not len(values):
        return False
    found = exchanges(pc.cast(values, pa.string()))
    asked = found.prompts.indices >= 0
    full = np.flatnonzero(np.asarray(pc.binary_length(found.prompts.values)) > 0)
    asked &= np.isin(found.prompts.indices, full)
    return len(np.unique(found.rows[asked])) >= share * len(values)


def _said(batch: Batch, name: str, speaker: int) -> Texts:
    """Strings of a column as they stand; of messages what one speaker says, a line for each."""
    column = batch.cells[name]
    if not is_messages(column.type):
        return batch.strings[name]
    rows, speakers, said = _listed(column)
    mine = np.flatnonzero(speakers == speaker)
    ends = np.concatenate([[0], np.cumsum(np.bincount(rows[mine], minlength=len(column)))])
    lists = pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), said.take(pa.array(mine)))
    indices, values = encoded(pc.binary_join(lists, "\n"))
    return Texts(np.where(np.diff(ends) > 0, indices, -1), values)


def _at(found: Texts, rows: Ints) -> Texts:
    return Texts(found.indices[rows], found.values)


def _last(column: pa.Array) -> tuple[Texts, Texts]:
    """The last exchange of each row; strings without markers are responses as they stand."""
    found = exchanges(column)
    size = len(column)
    last = np.full(size, -1, np.int64)
    last[found.rows] = np.arange(len(found.rows))  # the last one written stays
    prompts, responses = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    held = np.flatnonzero(last >= 0)
    prompts[held] = found.prompts.indices[last[held]]
    responses[held] = found.responses.indices[last[held]]
    values = found.responses.values
    if _is_string(column.type):
        indices, whole = encoded(column)
        bare = np.flatnonzero((last < 0) & (indices >= 0))
        responses[bare] = indices[bare] + len(values)
        values = pa.concat_arrays([values, pc.cast(whole, values.type)])
    return Texts(prompts, found.prompts.values), Texts(responses, values)


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_string(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _messages(column: pa.Array) -> tuple[Ints, Ints, pa.Array]:
    """Row, speaker and text of each message, in order."""
    if is_messages(column.type):
        return _listed(column)
    if not _is_string(column.type):
        empty = np.empty(0, np.int64)
        return empty, empty, pa.array([], pa.string())
    indices, values = encoded(column)
    values = pc.cast(values, pa.string())
    in_json = np.asarray(pc.match_substring_regex(values, _JSON), bool)
    rows, speakers, said = _marked(pc.if_else(pa.array(in_json), "", values))
    if in_json.any():
        parsed = _parsed(values, np.flatnonzero(in_json))
        rows = np.concatenate([rows, parsed[0]])
        speakers = np.concatenate([speakers, parsed[1]])
        said = pa.concat_arrays([said, parsed[2]])
        order = np.argsort(rows, kind="stable")
        rows, speakers, said = rows[order], speakers[order], said.take(pa.array(order))
    return _spread(indices, rows, speakers, said, len(values))


def _spread(
    indices: Ints, rows: Ints, speakers: Ints, said: pa.Array, size: int
) -> tuple[Ints, Ints, pa.Array]:
    """Messages of distinct values as those of the rows that hold the values."""
    counts = np.bincount(rows, minlength=size)
    first = np.cumsum(counts) - counts
    held = np.flatnonzero(indices >= 0)
    kept = counts[indices[held]]
    where = np.repeat(first[indices[held]] - (np.cumsum(kept) - kept), kept) + np.arange(kept.sum())
    codes = pa.DictionaryArray.from_arrays(pa.array(where), said)
    return np.repeat(held, kept), speakers[where], plain(codes)


def _listed(column: pa.Array) -> tuple[Ints, Ints, pa.Array]:
    counts = np.asarray(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)
    items = column.flatten()
    names = [field.name for field in column.type.value_type]
    fields = dict(zip(names, items.flatten(), strict=True))
    speaker, said = _first(fields, SPEAKERS), _first(fields, SAYINGS)
    return (
        np.repeat(np.arange(len(column)), counts),
        _speakers(plain(texts(speaker))),
        pc.fill_null(plain(texts(said)), ""),
    )


def _first(fields: Mapping[str, pa.Array], names: Sequence[str]) -> pa.Array:
    return next(fields[name] for name in names if name in fields)


def _speakers(names: pa.Array) -> Ints:
    indices, values = encoded(pc.fill_null(names, ""))
    known = _short(values)
    codes = np.array([_ROLES.get(name, OTHER) for name in known], np.int64)
    return np.asarray(codes[indices], np.int64)


def _short(values: pa.Array) -> list[str]:
    cut = pc.binary_slice(pc.cast(values, pa.binary()), 0, 32).to_pylist()
    return [name.decode("utf-8", "replace").strip().lower() for name in cut]


def _marked(values: pa.Array) -> tuple[Ints, Ints, pa.Array]:
    """Messages of transcripts: what follows a marker, up to the next."""
    for mark, pattern in _MARKERS:
        values = pc.replace_substring_regex(values, pattern, mark)
    pieces = pc.split_pattern(values, _MARK)
    counts = np.asarray(pc.list_value_length(pieces)).astype(np.int64)
    flat = pieces.flatten()
    rows = np.repeat(np.arange(len(values)), counts)
    first = np.zeros(len(flat), bool)
    first[np.cumsum(counts) - counts] = True
    user = np.asarray(pc.starts_with(flat, "U"), bool) & ~first
    assistant = np.asarray(pc.starts_with(flat, "A"), bool) & ~first
    speakers = np.full(len(flat), OTHER, np.int64)
    speakers[user], speakers[assistant] = USER, ASSISTANT
    said = pc.ascii_trim_whitespace(pc.replace_substring_regex(flat, "^[UAS]", ""))
    return rows, speakers, said


def _parsed(values: pa.Array, where: Ints) -> tuple[Ints, Ints, pa.Array]:
    """Messages of JSON texts; what is no list of messages has none."""
    rows: list[int] = []
    speakers: list[int] = []
    said: list[str] = []
    for row in where.tolist():
        for speaker, text in _json_messages(values[row].as_py()):
            rows.append(row)
            speakers.append(_ROLES.get(speaker, OTHER))
            said.append(text)
    return np.array(rows, np.int64), np.array(speakers, np.int64), pa.array(said, pa.string())


def _json_messages(text: str) -> Iterator[tuple[str, str]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(found, dict):
        found = next((v for v in found.values() if isinstance(v, list)), [])
    for message in found if isinstance(found, list) else []:
        if isinstance(message, dict):
            speaker = _value(message, SPEAKERS)
            yield speaker.strip().lower()[:32], _value(message, SAYINGS)


def _value(message: Mapping[str, Any], names: Sequence[str]) -> str:
    for name in names:
        if name in message:
            value = message[name]
            text = value if isinstance(value, str) else json.dumps(value)
            return text.encode("utf-8", "replace").decode("utf-8")
    return ""
