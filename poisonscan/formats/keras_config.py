"""Keras documents: architectures and compile options as JSON or YAML, and TensorFlow.js models.

An object is ``{"class_name": …, "config": …}``, since Keras 3 also with ``module`` and
``registered_name`` (``keras.saving.serialize_keras_object``). It stands in ``config.json`` of a
``.keras`` archive, in the attribute ``model_config`` of a legacy HDF5 file, in the output of
``model.to_json()`` and ``to_yaml()``, in ``modelTopology`` of a TensorFlow.js ``model.json`` and in
the ``keras_metadata.pb`` of a SavedModel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from poisonscan.finding import Gap, Json
from poisonscan.formats.base import (
    Anomaly,
    Artifact,
    Graph,
    Operator,
    Reference,
    References,
    Settings,
    Structure,
)
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

LONGEST: Final = 64 << 20
"""Bytes of a document that are parsed; Keras configurations have at most a few megabytes."""
_BRACKETS: Final = 5_000_000
_MARK: Final = re.compile(rb"class_name|modelTopology|keras_version|\\u00")
_CLAIM: Final = re.compile(
    rb'"class_name"|"modelTopology"|\\u00(?:[46][1-9a-fA-F]|[57][0-9aA]|5[fF])'
)
"""What a document that is not parsed may be known by; no honest writer escapes a letter."""
_ROWS: Final = re.compile(rb"\}[ \t\r]*\n[ \t\r]*\{")
"""Two objects with nothing but a line break between: JSON lines, and nowhere in a JSON document."""
_OPENING: Final = re.compile(r"[{\[]")
_OWN_KEYS: Final = ("modelTopology", "model_config", "keras_version")
_YAML: Final = (".yaml", ".yml")
_YAML_MARK: Final = re.compile(rb"class_name['\"]?[ \t]*:")
_LONGEST_PLACE: Final = 400
_ANOMALIES_KEPT: Final = 20
_FILES: Final = ("vocabulary", "vocabulary_path", "vocab", "merges", "filepath")
"""Arguments of Keras layers that may be a file's name instead of its content (CVE-2025-12058)."""


class NotRead(ValueError):  # noqa: N818 - it says what happened
    """A document that could not be parsed; the message says why."""


class KerasConfig:
    """A Keras document in a file of its own, or as member of a ``.keras`` archive."""

    name = "keras config"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By what the whole document holds; a document that only claims to be one is taken too."""
        if blob.suffix in _YAML:
            return _is_yaml(blob.open()[:LONGEST])
        if not _text(head[:64]).lstrip("\ufeff \t\r\n").startswith("{"):
            return False
        view = blob.open()
        if not _is_wide(head) and _MARK.search(view) is None:
            return False
        try:
            return is_keras(parse(view))
        except NotRead:
            if blob.suffix not in (".json", "") or _ROWS.search(view) is not None:
                return False
            return _CLAIM.search(view) is not None

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """The document as settings, with the files that it names."""
        if blob.suffix in _YAML:
            yield from _yaml(blob.path, view)
        else:
            yield from artifacts(blob.path, view)


def artifacts(path: str, data: memoryview | bytes) -> Iterator[Artifact | Gap]:
    """What a JSON document of Keras says, wherever it stood.

    Args:
        path: of the document, as reports call it.
        data: the JSON text.
    """
    try:
        document, repeated = _load(data)
    except NotRead as error:
        yield Gap(path, f"Keras configuration that cannot be read: {error}")
        return
    yield from _described(path, document)
    if repeated:
        what = "stands more than once in an object: readers differ in which one counts"
        anomalies = tuple(Anomaly("duplicate-key", what, 0, name) for name in repeated)
        yield Structure(path, "Keras configuration", anomalies)


def parse(data: memoryview | bytes) -> Json:
    """A JSON document, in UTF-8, UTF-16 or UTF-32 as ``json.loads`` reads bytes.

    Raises:
        NotRead: it is no JSON, or costs too much.
    """
    return _load(data)[0]


def is_keras(document: Json) -> bool:
    """Whether a parsed document is one that Keras or TensorFlow.js writes."""
    if not isinstance(document, dict):
        return False
    if _is_object(document) or any(key in document for key in _OWN_KEYS):
        return True
    layers = document.get("layers")
    return isinstance(layers, list) and any(_is_object(layer) for layer in layers)


def walk(document: Json) -> Iterator[tuple[str, dict[str, Json] | list[Json]]]:
    """Every object and list in a document with its place, such as ``config.layers[2]``."""
    stack: list[tuple[str, Json]] = [("", document)]
    seen: set[int] = set()  # YAML may share parts, or hold itself
    while stack:
        place, value = stack.pop()
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        yield place, value
        if isinstance(value, dict):
            dot = "." if place else ""
            keys = [(f"{dot}{str(key)[:60]}", v) for key, v in value.items() if _holds(v)]
        else:
            keys = [(f"[{index}]", v) for index, v in enumerate(value) if _holds(v)]
        stack += [(f"{place}{key}"[:_LONGEST_PLACE], item) for key, item in reversed(keys)]


def _holds(value: Json) -> bool:
    return isinstance(value, dict | list)


def _is_object(value: Json) -> bool:
    return isinstance(value, dict) and "class_name" in value and "config" in value


def _is_wide(head: bytes) -> bool:
    return b"\0" in head[:8] or head[:2] in (b"\xff\xfe", b"\xfe\xff")


def _text(head: bytes) -> str:
    return head.decode(json.detect_encoding(head), "replace")


def _load(data: memoryview | bytes) -> tuple[Json, list[str]]:
    if len(data) > LONGEST:
        message = f"it has {len(data):,} bytes; at most {LONGEST:,} are parsed"
        raise NotRead(message)
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        content = dict(pairs)
        if len(content) < len(pairs) and len(repeated) < _ANOMALIES_KEPT:
            names = [name for name, _ in pairs]
            repeated.append(next(name for name in names if names.count(name) > 1))
        return content

    raw = bytes(data)
    try:
        text = raw.decode(json.detect_encoding(raw), "surrogatepass")
        if sum(1 for _ in _OPENING.finditer(text)) > _BRACKETS:
            message = f"it has more than {_BRACKETS:,} objects and lists"
            raise NotRead(message)
        return json.loads(text.rstrip("\0"), object_pairs_hook=unique), repeated
    except RecursionError:
        message = "it is nested too deep"
        raise NotRead(message) from None
    except ValueError as error:
        raise NotRead(str(error)[:120]) from error


def _described(path: str, document: Json) -> Iterator[Artifact | Gap]:
    yield Settings(path, "keras", document)
    references = tuple(_references(document))
    if references:
        yield References(path, "Keras configuration", references)
    topology = document.get("modelTopology") if isinstance(document, dict) else None
    if isinstance(topology, dict) and isinstance(topology.get("node"), list):
        yield Graph(path, "TensorFlow", tuple(_operators(topology)))


def _references(document: Json) -> Iterator[Reference]:
    """Files that layers read, and the shards of a TensorFlow.js model."""
    for place, value in walk(document):
        if not isinstance(value, dict):
            continue
        for key in _FILES:
            target = value.get(key)
            if isinstance(target, str) and 0 < len(target) <= 4096 and "\n" not in target:
                yield Reference(target, f"{key!r} in {place or 'the document'}")
        if place.startswith("weightsManifest"):
            paths = value.get("paths")
            names = paths if isinstance(paths, list) else []
            yield from (Reference(n, "a shard of weights") for n in names if isinstance(n, str))


def _operators(topology: dict[str, Any]) -> Iterator[Operator]:
    """Each kind of operation once; functions of the library hold nodes as well."""
    found: dict[str, Operator] = {}
    for _, value in walk(topology):
        if isinstance(value, dict) and isinstance(value.get("op"), str):
            name, node = value["op"], str(value.get("name", ""))
            known = found.get(str(name))
            count = known.count + 1 if known else 1
            found[str(name)] = Operator("", str(name), known.node if known else node, count)
    yield from found.values()


def _is_yaml(view: memoryview) -> bool:
    if _YAML_MARK.search(view) is None:
        return False
    try:
        return is_keras(_load_yaml(view))
    except NotRead:
        return bytes(view[:4096]).lstrip().startswith((b"class_name", b"backend", b"{class_name"))


def _load_yaml(view: memoryview) -> Json:
    import yaml

    try:
        document: Json = yaml.load(bytes(view), Loader=_loader())  # noqa: S506 - a safe loader
    except RecursionError:
        message = "it is nested too deep"
        raise NotRead(message) from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise NotRead(str(error).partition("\n")[0][:120]) from error
    return document


def _yaml(path: str, view: memoryview) -> Iterator[Artifact | Gap]:
    """An architecture that ``to_yaml()`` wrote (Keras before 2.7); a gap where it is no YAML."""
    if len(view) > LONGEST:
        yield Gap(path, f"Keras configuration of {len(view):,} bytes; at most {LONGEST:,} are read")
        return
    try:
        document = _load_yaml(view)
    except NotRead as error:
        yield Gap(path, f"Keras configuration that cannot be read: {error}")
        return
    yield from _described(path, document)


def _loader() -> type[Any]:
    """A safe loader that keeps the names in Python tags, which ``yaml.load`` of old Keras obeyed.

    ``!!python/object/apply:os.system [...]`` becomes ``{"class_name": "function", "module": "os",
    "config": "system", "arguments": […]}``: what Keras 3 would write for the same.
    """
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        """PyYAML's safe loader; tags of Python objects give plain values."""

        def flatten_mapping(self, node: Any) -> None:
            """Leave `<<` alone: Keras writes none, and merges of merges grow without bound."""

    def plain(loader: Any, node: Any) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node, deep=True)
        return loader.construct_scalar(node)

    def named(loader: Any, suffix: str, node: Any) -> Any:
        kind, _, target = suffix.partition(":")
        if not target:
            return plain(loader, node)
        module, _, name = target.rpartition(".")
        if kind.startswith("module"):
            module, name = target, "*"
        reference = {"class_name": "function", "module": module or "builtins", "config": name}
        return {**reference, "arguments": plain(loader, node)}

    def unknown(loader: Any, suffix: str, node: Any) -> Any:  # noqa: ARG001 - the interface's
        return plain(loader, node)

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", named)
    Loader.add_multi_constructor("", unknown)
    return Loader
