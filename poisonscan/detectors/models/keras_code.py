"""What making a model from a Keras document would run.

Every object at every depth is judged: layers stand in models, wrappers, cells, lists and arguments,
and functions wherever a layer takes one.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.detectors.models.keras_verdicts import (
    RUNS,
    UNKNOWN,
    Verdict,
    judge,
    judge_foreign,
    judge_tensorflow,
    keras_names,
    tail,
)
from poisonscan.escape import clip, escape, quote
from poisonscan.finding import Finding, Json, Location
from poisonscan.formats.base import Artifact, Settings
from poisonscan.formats.keras_config import walk
from poisonscan.rules import rule

_MARSHALLED: Final = re.compile(
    r"\s*(?:4w|Yw)[A-Za-z0-9+/]\s*A\s*A\s*A\s*A|[\xe3c].\0\0\0", re.DOTALL
)
"""A code object of ``marshal`` in base64, or as Keras 1 wrote it: its type and a small number."""
_NAME: Final = re.compile(rb"[zZ\xda\xfa](.)([A-Za-z_][\x20-\x7e]{1,60})", re.DOTALL)
_NAMES_SHOWN: Final = 8
_OPERATION: Final = re.compile(r'(?:"op"|\bop)\s*:\s*"([^"]{1,200})"')
_RULES: Final = {RUNS: "PS109", UNKNOWN: "PS116"}
_OBJECT: Final = frozenset({"class_name", "spec_name"})


class KerasCode:
    """Rules PS109 (runs code) and PS116 (unknown class)."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Settings,)

    def check(self, artifact: Settings) -> Iterator[Finding]:
        """One finding for each rule and name, at the first place."""
        if artifact.kind != "keras":
            return
        told: set[tuple[str, str]] = set()
        for place, value in walk(artifact.document):
            found = _object(value) if isinstance(value, dict) else _texts(enumerate(value))
            for verdict, name in found:
                if (verdict.kind, name) in told:
                    continue
                told.add((verdict.kind, name))
                yield _finding(artifact.path, place, verdict, name)


DETECTOR: Final = KerasCode()


def _finding(path: str, place: str, verdict: Verdict, name: str) -> Finding:
    where = quote(place) if place else "the top of the document"
    does = "Loading the model uses" if verdict.kind == RUNS else "The model needs"
    return rule(_RULES[verdict.kind]).finding(
        Location(path),
        f"{does} {quote(name)} at {where}, which {verdict.why}.",
        key=name,
        name=escape(clip(name)),
        place=escape(clip(place)),
    )


def _object(node: dict[str, Json]) -> Iterator[tuple[Verdict, str]]:
    """What is wrong with one object of a document, without those inside it."""
    module = node.get("module")
    module = module if isinstance(module, str) and module else None
    if not _OBJECT.isdisjoint(node):
        yield from _named(node, module)
    else:
        yield from _modules(node)
    yield from _functions(node)
    yield from _texts(node.items())


def _named(node: dict[str, Json], module: str | None) -> Iterator[tuple[Verdict, str]]:
    """Judge what an object names: its class, its function, and what it is registered as."""
    kind, config = node.get("class_name"), node.get("config")
    if kind == "__lambda__":
        yield _marshalled("Lambda", config)
        return
    names = [node.get("spec_name")]
    if kind == "function":
        names += [config, node.get("registered_name")] if module else [config]
    elif kind != "__typespec__":
        names.append(kind)
    inner = config if isinstance(config, dict) else {}
    for name in dict.fromkeys(name for name in names if isinstance(name, str)):
        if name == "function":
            continue  # what some versions register every function as
        if (verdict := judge(module, name)) is not None:
            yield verdict, f"{module}.{name}" if module else name
        yield from _layer(tail(name), inner)
    registered = node.get("registered_name")
    if isinstance(registered, str) and ">" in registered and module:
        yield from _squatting(module, registered)


def _squatting(module: str, registered: str) -> Iterator[tuple[Verdict, str]]:
    """A class of Keras that is to be taken from what other code registered."""
    verdict = judge(None, registered)
    if verdict is not None and judge(module, tail(registered)) is None:
        yield verdict, registered


def _layer(name: str, config: dict[str, Json]) -> Iterator[tuple[Verdict, str]]:
    """Layers whose arguments are code or names of functions."""
    if name == "Lambda":
        yield from _lambda(config)
    elif name in ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod"):
        symbols = [config.get("function"), config.get("cls_symbol"), config.get("method_name")]
        symbol = ".".join(part for part in symbols if isinstance(part, str))
        if (verdict := judge_tensorflow(symbol)) is not None:
            yield verdict, f"tf.{symbol}"
    elif name == "TensorFlowOpLayer":
        definition = config.get("node_def")
        text = definition if isinstance(definition, str) else json.dumps(definition)
        for operation in _OPERATION.findall(text) or [text]:
            if (verdict := judge_tensorflow(operation)) is not None:
                yield verdict, clip(operation)


def _lambda(config: dict[str, Json]) -> Iterator[tuple[Verdict, str]]:
    """A Lambda layer is its function: named, or as code in the file."""
    function = config.get("function")
    if isinstance(function, dict) and "class_name" in function:
        return  # judged where it stands
    if isinstance(function, str) and config.get("function_type") in ("function", "raw", None):
        if function not in keras_names().functions:
            yield Verdict(UNKNOWN, "is a function that other code must define"), function
        return
    yield _marshalled("Lambda", function)


def _functions(node: dict[str, Json]) -> Iterator[tuple[Verdict, str]]:
    """Arguments that say of themselves that they are code: ``mode`` and ``mode_type: lambda``."""
    for key, value in node.items():
        if value == "lambda" and key.endswith("_type"):
            yield _marshalled("Lambda", node.get(key.removesuffix("_type")))


def _modules(node: dict[str, Json]) -> Iterator[tuple[Verdict, str]]:
    """Modules that are named beside a function of an older document."""
    for key, value in node.items():
        if not isinstance(value, str) or not (key == "module" or key.endswith("_module")):
            continue
        name = node.get("function", node.get("fn", "function"))
        verdict = judge_foreign(value, name if isinstance(name, str) and len(name) < 80 else "*")
        if verdict is not None and verdict.kind == RUNS:
            yield verdict, value


def _texts(items: object) -> Iterator[tuple[Verdict, str]]:
    """Code objects in texts, whatever the key says."""
    for _, value in items:  # type: ignore[attr-defined]
        if isinstance(value, str) and len(value) > 40 and _MARSHALLED.match(value[:32]):
            yield _marshalled("Lambda", value)


def _marshalled(name: str, code: Json) -> tuple[Verdict, str]:
    names = _names_in(code)
    shown = f" with the names {quote(', '.join(names))}" if names else ""
    return Verdict(RUNS, f"holds Python code as bytes{shown}"), name


def _names_in(code: Json) -> list[str]:
    """Names and short texts of a marshalled code object, to show what it is about."""
    while isinstance(code, dict):
        code = code.get("code", code.get("value"))
    if isinstance(code, list) and code:
        code = code[0]
    if not isinstance(code, str):
        return []
    try:
        data = base64.b64decode(code[: 64 << 10].split("\0")[0])
    except (binascii.Error, ValueError):
        data = b""
    if data[:1] not in (b"\xe3", b"c"):
        data = code[: 64 << 10].encode("latin-1", "replace")
    found = (m for m in _NAME.finditer(data) if m[1][0] <= len(m[2]))
    return list(dict.fromkeys(m[2][: m[1][0]].decode() for m in found))[:_NAMES_SHOWN]
