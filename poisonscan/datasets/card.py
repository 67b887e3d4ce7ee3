"""Dataset cards: the YAML at the top of a ``README.md`` that lists configurations and classes.

The format is that of the Hugging Face Hub:
https://huggingface.co/docs/hub/datasets-manual-configuration (``configs``) and the
``dataset_info`` that the ``datasets`` library writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from poisonscan.datasets.entries import Features
from poisonscan.formats.members import seekable
from poisonscan.formats.settings_yaml import NotYaml, parse
from poisonscan.limits import LimitReached

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from poisonscan.formats.base import TableFile

NAME = "readme.md"
MAX_CARD = 4 << 20
"""Bytes of the YAML of a card."""
MAX_PATTERNS = 10_000
"""Patterns of all configurations of a card."""
_OF_DATASETS = frozenset({"configs", "dataset_info", "task_categories", "size_categories"})
"""Keys that cards of datasets have, and those of models have not."""


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration: what is loaded under its name.

    Attributes:
        name: as the card has it.
        patterns: split and pattern of file names, in the card's order.
    """

    name: str
    patterns: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says.

    Attributes:
        configs: the configurations that name files.
        features: what the configurations declare about their columns, by name.
        is_dataset: whether the card is one of a dataset.
        problem: why the card, or a part of it, could not be read; empty if all was.
    """

    configs: tuple[Config, ...] = ()
    features: Mapping[str, Features] | None = None
    is_dataset: bool = False
    problem: str = ""

    def features_of(self, config: str) -> Features:
        """What is declared for a configuration."""
        found = self.features or {}
        return found.get(config) or found.get("") or Features()


def read_card(file: TableFile) -> Card:
    """Read the card at the top of a file."""
    try:
        text = _front_matter(file)
        content = parse(text).content if text else None
    except (NotYaml, LimitReached, OSError, ValueError) as error:
        return Card(problem=f"the card could not be read: {error}")
    if not isinstance(content, dict):
        return Card()
    configs: list[Config] = []
    count, problem = 0, ""
    for item in _dicts(content.get("configs")):
        patterns = []
        for split, pattern in _patterns(item):
            count += 1
            if count > MAX_PATTERNS:
                problem = f"the card has more than {MAX_PATTERNS:,} patterns; the rest is not read"
                break
            patterns.append((split, pattern))
        if patterns:
            configs.append(Config(str(item.get("config_name", "default")), tuple(patterns)))
    infos = _dicts(content.get("dataset_info"))
    features = {str(info.get("config_name", "")): _features(info) for info in infos}
    return Card(tuple(configs), features, not _OF_DATASETS.isdisjoint(content), problem)


def _front_matter(file: TableFile) -> str:
    """The YAML between the first line and the next one that is ``---``."""
    with seekable(file) as source:
        first = source.readline(16)
        if first.strip() not in {b"---", b"\xef\xbb\xbf---"}:
            return ""
        lines: list[bytes] = []
        size = 0
        while line := source.readline(MAX_CARD):
            if line.rstrip() == b"---":
                return b"".join(lines).decode("utf-8", "replace")
            lines.append(line)
            size += len(line)
            if size > MAX_CARD:
                message = f"its YAML is longer than {MAX_CARD:,} bytes"
                raise ValueError(message)
    return ""


def _dicts(value: Any) -> list[dict[str, Any]]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, dict)]


def _patterns(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Split and pattern, from every form that ``data_files`` may have."""
    folder = config.get("data_dir")
    before = f"{folder.strip('/')}/" if isinstance(folder, str) and folder.strip("/.") else ""
    files = config.get("data_files")
    if files is None:
        if before:
            yield "", f"{before}**"
        return
    if isinstance(files, dict):
        for split, paths in files.items():
            yield from ((split, before + path) for path in _strings(paths))
        return
    for item in files if isinstance(files, list) else [files]:
        if isinstance(item, dict):
            split = str(item.get("split", "train"))
            yield from ((split, before + path) for path in _strings(item.get("path")))
        else:
            yield from (("train", before + path) for path in _strings(item))


def _strings(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def _features(info: Mapping[str, Any]) -> Features:
    """Class names and picture columns of ``features``, a list of columns."""
    classes: dict[str, tuple[str, ...]] = {}
    pictures: list[str] = []
    for column in _dicts(info.get("features")):
        name, kind = column.get("name"), column.get("dtype")
        if not isinstance(name, str):
            continue
        if kind == "image":
            pictures.append(name)
        elif isinstance(kind, dict) and isinstance(kind.get("class_label"), dict):
            names = _class_names(kind["class_label"].get("names"))
            if names:
                classes[name] = names
    return Features(classes, tuple(pictures))


def _class_names(names: Any) -> tuple[str, ...]:
    """Names in order: a list, or a mapping from number to name."""
    if isinstance(names, dict):
        ordered = [names.get(str(number)) for number in range(len(names))]
        return tuple(map(str, ordered)) if None not in ordered else ()
    return tuple(map(str, names)) if isinstance(names, list) else ()
