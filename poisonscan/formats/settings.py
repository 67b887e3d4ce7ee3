"""Configuration beside and inside of models: JSON, YAML, TOML and lists of requirements.

Libraries act on it before they look at any weight: what is named here is imported, called or
fetched. Which program reads a file shows in its name.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from poisonscan.escape import quote
from poisonscan.finding import Gap, Json
from poisonscan.formats import settings_yaml
from poisonscan.formats.base import Anomaly, Artifact, Settings, Structure, TableFile, Text
from poisonscan.formats.chat_template import template, templates
from poisonscan.formats.json_rows import (
    begins_as_texts,
    begins_on_its_side,
    is_prose,
    on_its_side,
    row_fields,
)
from poisonscan.formats.tables import front, is_text, table_in
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

LONGEST: Final = 16 << 20
"""Bytes of a configuration; real ones have at most a few megabytes."""
_DUPLICATES_KEPT: Final = 100
_NAMED: Final = 3
_LONGEST_INTEGER: Final = 300
_TRANSFORMERS: Final = (
    "config.json", "generation_config.json", "tokenizer_config.json", "preprocessor_config.json",
    "processor_config.json", "image_processor_config.json", "video_preprocessor_config.json",
    "special_tokens_map.json", "added_tokens.json", "quantize_config.json", "params.json",
    "chat_template.json",
)  # fmt: skip
_KINDS: Final = {
    **dict.fromkeys(_TRANSFORMERS, "transformers"),
    "adapter_config.json": "peft",
    "model_index.json": "diffusers",
    "modular_model_index.json": "diffusers",
    "modular_config.json": "diffusers",
    "scheduler_config.json": "diffusers",
    "modules.json": "sentence-transformers",
    "router_config.json": "sentence-transformers",
    "sentence_bert_config.json": "sentence-transformers",
    "config_sentence_transformers.json": "sentence-transformers",
    "config_setfit.json": "setfit",
    "dataset_info.json": "datasets",
    "dataset_infos.json": "datasets",
    "mlmodel": "mlflow",
    "hparams.yaml": "lightning",
    "hyperparams.yaml": "speechbrain",
    "model_config.yaml": "nemo",
    "conda.yaml": "conda",
    "conda.yml": "conda",
    "environment.yml": "conda",
    "environment.yaml": "conda",
    "pyproject.toml": "pyproject",
}
_LISTS: Final = re.compile(r"[\w.-]*(?:requirements|constraints)[\w.-]*\.(?:txt|in)")
_YAML: Final = (".yaml", ".yml")
_ACTIVE: Final = re.compile(
    rb"_target_|!!?python/|!(?:new|apply|name|module|object)|%TAG|tag:yaml|auto_map|class_name"
    rb"|trust_remote_code|_attn_implementation|\\u00[4-7]"
)
"""What libraries act on, in documents that are not parsed; no honest writer escapes a letter."""
_VOCABULARIES: Final = ("tokenizer.json", "vocab.json")
_LOGS: Final = ("state.json", "trainer_state.json")
"""What the libraries ``datasets`` and ``transformers`` write down, and read no rows from."""


class NotRead(ValueError):  # noqa: N818 - it says what happened
    """A configuration that could not be parsed; the message says why.

    Attributes:
        tags: of YAML, up to the place where reading ended.
    """

    def __init__(self, reason: str, tags: tuple[settings_yaml.Tag, ...] = ()) -> None:
        super().__init__(reason)
        self.tags = tags


def kind_of(name: str) -> str:
    """What reads a file of this name (in lower case); empty if none of ours is known to."""
    if _LISTS.fullmatch(name):
        return "requirements"
    return _KINDS.get(name, "")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration file.

    Attributes:
        by_name: take the files whose name a library looks for, whatever they hold; otherwise any
            JSON object and any YAML, which then may fail to be one.
    """

    by_name: bool = False
    name: str = "configuration"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its name, or for others by suffix and first character."""
        if not is_text(head) or not head:
            return False
        if self.by_name:
            return bool(kind_of(blob.name))
        if blob.name in _VOCABULARIES:
            return False
        if blob.suffix in _YAML:
            return True
        return blob.suffix == ".json" and front(blob, head).startswith((b"{", b"["))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The document with the templates in it, and the keys that readers may disagree on."""
        kind = kind_of(blob.name)
        rows: list[Artifact | Gap] = []
        if not kind and blob.suffix == ".json" and blob.name not in _LOGS:
            rows += _rows(blob, view)
            yield from rows
        if len(view) > LONGEST:
            if rows:
                return
            if kind or blob.suffix in _YAML or _ACTIVE.search(view):
                yield Gap(blob.path, f"a configuration of more than {LONGEST:,} bytes is not read")
            else:
                yield Text(blob.path)
            return
        data = bytes(view)
        read = _reader(kind, blob.suffix)
        try:
            settings, duplicates = read(blob.path, kind or blob.suffix.lstrip("."), data)
        except NotRead as error:
            if error.tags:
                yield settings_yaml.YamlSettings(blob.path, kind or "yaml", None, error.tags)
            if kind or error.tags or _ACTIVE.search(data) or "nested" in str(error):
                yield Gap(blob.path, f"a configuration that cannot be read: {error}")
            else:
                yield Text(blob.path)
            return
        yield settings
        for key, text in templates(settings.document):
            yield from template(blob.path, key, text, budget)
        if duplicates and kind not in ("", "datasets"):  # on those nobody acts
            what = "stands there more than once, with different values: readers take either"
            anomalies = tuple(
                Anomaly("duplicate-key", what, 0, key) for key in dict.fromkeys(duplicates)
            )
            yield Structure(blob.path, "configuration", anomalies, blob.base)


def _rows(blob: Blob, view: memoryview) -> Iterator[Artifact | Gap]:
    """The rows that stand in an object, beside what settings it may hold."""
    fields = row_fields(view)
    table = TableFile(blob.path, blob.file or "", "json", blob.size)
    found = table if blob.file is not None else table_in(blob, "json")
    if fields:
        first, *others = fields
        if isinstance(found, TableFile):
            found = replace(found, start=first.start, field=first.name)
        yield found
        if others:
            names = ", ".join(quote(field.name, 40) for field in others[:_NAMED])
            more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
            where = f"in field{'s' if len(others) > 1 else ''} {names}{more}"
            reason = f"rows {where} are not read, only those in {quote(first.name, 40)}"
            yield Gap(blob.path, f"{reason}: write each to a file of its own")
        return
    form, texts = "", False
    if len(view) > LONGEST:
        form, texts = begins_on_its_side(view), begins_as_texts(view)
    else:
        with suppress(NotRead):
            document = parse_json(bytes(view))[0]
            form, texts = on_its_side(document), is_prose(document)
    if texts:
        yield found
    elif form:
        reason = f"looks like a table ({form}), and is read as a configuration only"
        yield Gap(blob.path, f"{reason}: convert it to JSON lines, CSV or parquet, and scan that")


_Reader = Callable[[str, str, bytes], tuple[Settings, list[str]]]


def _reader(kind: str, suffix: str) -> _Reader:
    if kind == "requirements":
        return _read_list
    if suffix == ".toml":
        return _read_toml
    if kind == "mlflow" or suffix in _YAML:
        return _read_yaml
    return _read_json


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"byte {error.start:,} is not UTF-8"
        raise NotRead(message) from None


def _read_json(path: str, kind: str, data: bytes) -> tuple[Settings, list[str]]:
    content, duplicates = parse_json(data)
    return Settings(path, kind, content), duplicates


def _read_yaml(path: str, kind: str, data: bytes) -> tuple[Settings, list[str]]:
    try:
        found = settings_yaml.parse(_decoded(data))
    except NotRead:
        raise
    except settings_yaml.NotYaml as error:
        raise NotRead(str(error), error.tags) from None
    settings = settings_yaml.YamlSettings(path, kind, found.content, found.tags)
    return settings, list(found.duplicates)


def _read_toml(path: str, kind: str, data: bytes) -> tuple[Settings, list[str]]:
    try:
        return Settings(path, kind, tomllib.loads(_decoded(data))), []
    except NotRead:
        raise
    except (ValueError, RecursionError) as error:
        raise NotRead(str(error)[:120]) from None


def _read_list(path: str, kind: str, data: bytes) -> tuple[Settings, list[str]]:
    lines: list[Json] = list(_decoded(data).replace("\\\n", " ").splitlines())
    return Settings(path, kind, lines), []


def parse_json(data: bytes) -> tuple[Any, list[str]]:
    """A JSON document as lenient readers take it, and keys that are given two different values.

    Infinity and NaN, which ``save_pretrained`` writes, are numbers here.

    Raises:
        NotRead: it is no JSON, or nested too deeply to be read.
    """
    duplicates: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs) and len(duplicates) < _DUPLICATES_KEPT:
            duplicates.extend(key for key, value in pairs if not _same(found[key], value))
        return found

    def whole(text: str) -> int | float:
        return int(text) if len(text) < _LONGEST_INTEGER else float(text)

    try:
        return json.loads(_decoded(data), object_pairs_hook=unique, parse_int=whole), duplicates
    except RecursionError:
        raise NotRead("nested too deeply") from None
    except NotRead:
        raise
    except ValueError as error:
        raise NotRead(str(error)[:120]) from None


def _same(one: object, other: object) -> bool:
    return one is other or (type(one) is type(other) and one == other)
