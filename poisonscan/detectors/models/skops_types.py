"""Types and functions that a skops file builds its objects from.

skops asks its user to trust each type by name (``get_untrusted_types``), so a file runs code once
somebody has said yes, or where the name that it shows is not the one that it uses: CVE-2025-54412
(``OperatorFuncNode``), CVE-2025-54413 (``MethodNode``), CVE-2024-37065 (types trusted unseen).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from poisonscan.detectors.models.pickle_verdicts import dangerous
from poisonscan.escape import quote
from poisonscan.finding import Finding, Json, Location
from poisonscan.formats.base import Artifact, Settings
from poisonscan.pickles.values import Global
from poisonscan.rules import PickleNames, pickle_names, rule

UNKNOWN: Final = "PS120"
RUNS: Final = "PS121"

# Each loader builds one type; the file repeats it, and versions before 0.12 believe the file.
_FIXED: Final = {
    "DictNode": ("builtins.dict", "collections.OrderedDict", "collections.defaultdict"),
    "DefaultDictNode": ("collections.defaultdict",),
    "ListNode": ("builtins.list",),
    "SetNode": ("builtins.set",),
    "TupleNode": ("builtins.tuple",),
    "BytesNode": ("builtins.bytes",),
    "BytearrayNode": ("builtins.bytearray",),
    "SliceNode": ("builtins.slice",),
    "PartialNode": ("functools.partial",),
    "JsonNode": ("builtins.str",),
    "DTypeNode": ("numpy.dtype",),
    "RandomStateNode": ("numpy.random.mtrand.RandomState",),
    "RandomGeneratorNode": ("numpy.random._generator.Generator",),
    "MaskedArrayNode": ("numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"),
    "OperatorFuncNode": (
        "operator.attrgetter", "operator.itemgetter", "operator.methodcaller",
    ),
}  # fmt: skip
# Loaders of one library's own classes, which are created and given a state, never called.
_NAMED: Final = frozenset({
    "FunctionNode", "TypeNode", "ObjectNode", "TreeNode", "LossNode", "SGDNode", "NdArrayNode",
    "SparseMatrixNode", "QuantileForestNode", "ConstructorFromReduceNode", "ReduceNode",
    "MethodNode", "CachedNode", "_DictWithDeprecatedKeysNode",
})  # fmt: skip
# Python's own types of plain values, beyond those that pickles import.
_PLAIN: Final = frozenset({"builtins.NoneType", "builtins.map"})


class SkopsTypes:
    """Rules PS120 and PS121."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Settings,)

    def check(self, artifact: Settings) -> Iterator[Finding]:
        """One finding for each type or function."""
        if artifact.kind != "skops":
            return
        names, told = pickle_names(), set()
        for node in _nodes(artifact.document):
            for rule_id, subject, why in _judge(node, names):
                if (rule_id, subject) in told:
                    continue
                told.add((rule_id, subject))
                yield rule(rule_id).finding(
                    Location(artifact.path),
                    f"Loading builds {quote(subject)} with {quote(_loader(node))}: {why}.",
                    key=f"{subject}",
                    name=subject,
                )


def _nodes(document: Json) -> Iterator[dict[str, Any]]:
    """Every node at any depth."""
    pending: list[Json] = [document]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            if "__loader__" in item:
                yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _loader(node: dict[str, Any]) -> str:
    return str(node.get("__loader__"))


def _judge(node: dict[str, Any], names: PickleNames) -> Iterator[tuple[str, str, str]]:
    """Rule, name and reason for what is wrong with a node."""
    loader = _loader(node)
    written = Global(str(node.get("__module__", "")), str(node.get("__class__", "")))
    if loader in _FIXED:
        if written.dotted not in _FIXED[loader]:
            why = "the loader builds another type than the file shows"
            yield RUNS, written.dotted, why
        elif written.dotted in ("operator.attrgetter", "operator.methodcaller"):
            yield UNKNOWN, written.dotted, "it reaches attributes or methods by name"
        return
    if loader not in _NAMED:
        yield UNKNOWN, f"{loader} of {written.dotted}", "the loader is unknown"
        return
    content = node.get("content")
    if loader == "MethodNode" and isinstance(content, dict):
        yield from _method(written, content, names)
    elif loader == "FunctionNode" and isinstance(content, dict) and "function" in content:
        # Before 0.10 the name that is imported stands apart from the one that is shown.
        inner = Global(str(content.get("module_path", "")), str(content["function"]))
        yield from _name(inner, names)
    if written.dotted == "builtins.type" and loader == "ObjectNode":
        return
    yield from _name(written, names)


def _method(
    written: Global, content: dict[str, Any], names: PickleNames
) -> Iterator[tuple[str, str, str]]:
    owner, method = content.get("obj"), str(content.get("func", ""))
    if isinstance(owner, dict):
        inner = Global(str(owner.get("__module__", "")), str(owner.get("__class__", "")))
        if inner != written:
            why = f"the method belongs to {quote(inner.dotted)}, not to the type that it shows"
            yield RUNS, f"{written.dotted}.{method}", why
            return
    full = Global(written.module, f"{written.name}.{method}")
    why = dangerous(full, names)
    if why or "." in method or method.startswith("__"):
        yield RUNS, full.dotted, why or "it reaches the inside of an object"
    else:
        yield UNKNOWN, full.dotted, "it is a method, and those are not known to be harmless"


def _name(written: Global, names: PickleNames) -> Iterator[tuple[str, str, str]]:
    pair, dotted = (written.module, written.name), written.dotted
    if pair in names.allowed or pair in names.uncalled or dotted in names.calls_argument:
        return
    if dotted in _PLAIN:
        return
    why = dangerous(written, names) or names.computed.get(dotted, "")
    if why:
        yield RUNS, dotted, f"it {why}"
    elif dotted in names.nested:
        yield RUNS, dotted, "it loads a pickle"
    else:
        yield UNKNOWN, dotted, "it is not known to be harmless"


DETECTOR: Final = SkopsTypes()
