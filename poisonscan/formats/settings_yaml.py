"""YAML read as events: tags are seen, nothing is constructed, and aliases cannot explode.

``yaml.load`` with any loader but the safe one builds what a tag names: ``!!python/object/apply:…``
calls it. https://pyyaml.org/wiki/PyYAMLDocumentation (section YAML tags and Python types).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from poisonscan.finding import Json
from poisonscan.formats.base import Settings
from poisonscan.limits import LimitReached

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Final = yaml.resolver.Resolver()
_STANDARD: Final = "tag:yaml.org,2002:"
_DEEPEST: Final = 200
_TAGS_KEPT: Final = 1_000
_DUPLICATES_KEPT: Final = 100
_LONGEST_NUMBER: Final = 40
NODES: Final = 2_000_000
"""Values of one document, every alias counted with all that it stands for."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag as written, ``!!`` written out as ``!!`` again; ``offset`` counts characters."""

    name: str
    line: int
    offset: int


@dataclass(frozen=True, slots=True)
class YamlSettings(Settings):
    """A YAML document with its explicit tags, in order."""

    tags: tuple[Tag, ...] = ()


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """What a text says: the document (a list if there are several), tags, and keys given twice."""

    content: Json
    tags: tuple[Tag, ...]
    duplicates: tuple[str, ...]


class NotYaml(ValueError):  # noqa: N818 - it says what happened
    """A text that is no YAML to us; ``tags`` are those before the place where reading ended."""

    def __init__(self, reason: str, tags: tuple[Tag, ...]) -> None:
        super().__init__(reason)
        self.tags = tags


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read, with the values it has so far."""

    content: list[Any] | dict[str, Any]
    anchor: str | None
    key: str | None = None
    nodes: int = 1


@dataclass(slots=True)
class _Builder:
    """Puts values together; ``anchors`` has each anchored value with its number of nodes."""

    stack: list[_Open] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)
    anchors: dict[str, tuple[Any, int]] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    nodes: int = 0

    def add(self, value: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > NODES:
            message = f"YAML of more than {NODES:,} values, with aliases written out"
            raise LimitReached(message)
        if not self.stack:
            self.documents.append(value)
            return
        top = self.stack[-1]
        top.nodes += nodes
        if isinstance(top.content, list):
            top.content.append(value)
        elif top.key is None:
            top.key = value if isinstance(value, str) else str(value)[:200]
        else:
            known = top.content.get(top.key, value)
            if known != value and len(self.duplicates) < _DUPLICATES_KEPT and top.key != "<<":
                self.duplicates.append(top.key)
            top.content[top.key] = value
            top.key = None

    def close(self) -> None:
        done = self.stack.pop()
        self.nodes -= done.nodes - 1  # what was in it counts again with the whole
        if done.anchor:
            self.anchors[done.anchor] = (done.content, done.nodes)
        self.add(done.content, done.nodes)


def parse(text: str) -> YamlDocument:
    """Read a YAML text.

    Raises:
        NotYaml: it is not YAML, or nested more than 200 deep.
        LimitReached: its aliases make more than ``NODES`` values, or it has too many tags.
    """
    builder, tags = _Builder(), dict[str, Tag]()
    try:
        for event in _events(text):
            _take(event, builder, tags)
    except yaml.YAMLError as error:
        problem = str(getattr(error, "problem", None) or "not YAML")
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1:,}" if mark is not None else ""
        raise NotYaml(problem[:120] + where, tuple(tags.values())) from None
    except ValueError as error:
        raise NotYaml(str(error)[:120], tuple(tags.values())) from None
    documents = builder.documents
    content = documents[0] if len(documents) == 1 else (documents or None)
    return YamlDocument(content, tuple(tags.values()), tuple(builder.duplicates))


def _events(text: str) -> Iterator[yaml.Event]:
    return iter(yaml.parse(text, Loader=_LOADER))


def _take(event: yaml.Event, builder: _Builder, tags: dict[str, Tag]) -> None:
    tag = getattr(event, "tag", None)
    if tag is not None and tag not in tags:
        if len(tags) >= _TAGS_KEPT:
            message = f"more than {_TAGS_KEPT:,} different tags"
            raise LimitReached(message)
        mark = event.start_mark
        line, offset = (mark.line + 1, mark.index) if mark is not None else (1, 0)
        tags[tag] = Tag(tag.replace(_STANDARD, "!!", 1), line, offset)
    if isinstance(event, yaml.ScalarEvent):
        value = event.value if tag is not None else _plain(event)
        if event.anchor:
            builder.anchors[event.anchor] = (value, 1)
        builder.add(value, 1)
    elif isinstance(event, yaml.AliasEvent):
        builder.add(*builder.anchors.get(str(event.anchor), (None, 1)))
    elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
        if len(builder.stack) >= _DEEPEST:
            message = f"nested more than {_DEEPEST} deep"
            raise ValueError(message)
        empty: list[Any] | dict[str, Any] = {}
        if isinstance(event, yaml.SequenceStartEvent):
            empty = []
        builder.stack.append(_Open(empty, event.anchor))
    elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
        builder.close()


def _plain(event: yaml.ScalarEvent) -> Json:
    """A scalar as YAML 1.1 reads it, numbers of any length excepted: these stay text."""
    text = str(event.value)
    if not event.implicit[0]:
        return text
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    kind = tag.removeprefix(_STANDARD)
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if kind == "null":
        return None
    if kind in ("int", "float") and len(text) < _LONGEST_NUMBER:
        try:
            return int(text) if kind == "int" else float(text)
        except ValueError:  # other notations, such as 0o7 and .inf
            return text
    return text
