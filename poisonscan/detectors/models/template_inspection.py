"""What a template does beyond what chat templates do.

A chat template reads messages and writes text. All ways from there to Python lead over an internal
attribute (``__class__``, ``gi_frame``), so those are named for certain; everything else is compared
with what templates of real models use, and what they do not use is *unknown*.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jinja2 import nodes

from poisonscan.detectors.models.template_values import Values
from poisonscan.formats.jinja_syntax import walk

INTERNAL: Final = re.compile(
    r"__(?:class|mro|bases?|subclasses|globals|builtins|import|init|dict|getattribute|getattr|"
    r"getitem|call|code|closure|func|self|module|loader|spec|reduce|reduce_ex|new|name|qualname|"
    r"doc|enter|exit|init_subclass|class_getitem|wrapped|defaults|kwdefaults|annotations|weakref|"
    r"file|path|package|debug|build_class|setattr|delattr|set_name|objclass|slots|context)__"
)
"""Names of Python's own attributes that lead from any value to everything."""
_DUNDER: Final = re.compile(r"__\w+__")
_MANGLED: Final = re.compile(r"_[A-Z]\w*?__\w+")
# What jinja2.sandbox forbids beside names with underscores, and the same under older Pythons.
_FORBIDDEN: Final = frozenset({
    "mro", "gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "ag_code", "tb_frame",
    "tb_next", "f_globals", "f_locals", "f_builtins", "f_back", "f_code", "func_globals",
    "func_code", "func_closure", "func_defaults", "func_dict", "im_func", "im_self", "im_class",
    "co_code", "co_consts",
})  # fmt: skip
_FILTERS: Final = frozenset({
    "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e",
    "escape", "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent",
    "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "pprint",
    "random", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select",
    "selectattr", "slice", "sort", "string", "striptags", "sum", "title", "tojson", "trim",
    "truncate", "unique", "upper", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr",
    "from_json",
})  # fmt: skip
"""Jinja's own (https://jinja.palletsprojects.com/en/stable/templates/#builtin-filters), and
``from_json`` of llama.cpp."""
_TESTS: Final = frozenset({
    "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "escaped", "even",
    "false", "filter", "float", "ge", "greaterthan", "gt", "in", "integer", "iterable", "le",
    "lessthan", "lower", "lt", "mapping", "ne", "none", "number", "odd", "sameas", "sequence",
    "string", "test", "true", "undefined", "upper", "==", "!=", "<", "<=", ">", ">=",
})  # fmt: skip
_METHODS: Final = frozenset({
    "append", "capitalize", "copy", "count", "endswith", "extend", "find", "format", "get",
    "index", "insert", "isalnum", "isalpha", "isdecimal", "isdigit", "islower", "isnumeric",
    "isoformat", "isspace", "istitle", "isupper", "items", "join", "keys", "lower", "lstrip",
    "partition", "pop", "remove", "removeprefix", "removesuffix", "replace", "reverse", "rfind",
    "rindex", "rpartition", "rsplit", "rstrip", "setdefault", "sort", "split", "splitlines",
    "startswith", "strftime", "strip", "swapcase", "title", "update", "upper", "values", "zfill",
})  # fmt: skip
"""Of texts, lists, mappings and dates; none of them reads an attribute but ``format``."""
_FUNCTIONS: Final = frozenset({
    "namespace", "range", "dict", "joiner", "cycler", "caller", "loop", "raise_exception",
    "strftime_now",
})  # fmt: skip
_OBJECTS: Final = frozenset({
    "lipsum", "self", "request", "config", "url_for", "get_flashed_messages", "session", "g",
    "current_app", "namespace", "range", "dict", "joiner", "cycler",
})  # fmt: skip
"""What Jinja, Flask and loaders put beside the messages; only called, if at all."""
_BY_ATTRIBUTE: Final = frozenset({
    "map", "selectattr", "rejectattr", "groupby", "sort", "unique", "min", "max", "sum", "join",
})  # fmt: skip
_BUILDERS: Final = frozenset(("join", "format", "reverse", "replace"))
_FIELD: Final = re.compile(r"\{[^{}]*[.\[][^{}]*\}")
_PART: Final = re.compile(r"[.\[](\w+)")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that a template does.

    Attributes:
        line: of the template, from 1.
        subject: the name that it is about.
        what: in words.
        certain: whether it leads into Python for certain.
    """

    line: int
    subject: str
    what: str
    certain: bool


def _certain(node: nodes.Node, subject: str, what: str) -> Remark:
    return Remark(node.lineno, subject, what, certain=True)


def _unknown(node: nodes.Node, subject: str, what: str) -> Remark:
    return Remark(node.lineno, subject, what, certain=False)


def is_internal(name: str) -> bool:
    """Whether an attribute of this name belongs to Python and not to the data."""
    name = unicodedata.normalize("NFKC", name)
    return bool(_DUNDER.fullmatch(name) or _MANGLED.fullmatch(name)) or name in _FORBIDDEN


def inspect(tree: nodes.Template) -> list[Remark]:
    """All that a template does beyond what chat templates do, each thing once."""
    found: dict[tuple[bool, str, str], Remark] = {}
    inspection = _Inspection(tree)
    for node in walk(tree):
        for remark in inspection.look(node):
            found.setdefault((remark.certain, remark.subject, remark.what), remark)
    return list(found.values())


class _Inspection:
    """What stands in one template."""

    def __init__(self, tree: nodes.Template) -> None:
        self.macros: set[str] = set()
        self.called: set[int] = set()
        self.stores: Counter[str] = Counter()
        self.assigned: defaultdict[str, list[nodes.Node]] = defaultdict(list)
        for node in walk(tree):
            if isinstance(node, nodes.Macro):
                self.macros.add(node.name)
            elif isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
                self.assigned[node.target.name].append(node.node)
            elif isinstance(node, nodes.Name) and node.ctx != "load":
                self.stores[node.name] += 1
            elif isinstance(node, nodes.Call):
                self.called.add(id(node.node))
        self.bound = set(self.stores) | self.macros
        once = {n: found[0] for n, found in self.assigned.items() if self.stores[n] == 1}
        self.values = Values(once)

    def look(self, node: nodes.Node) -> Iterator[Remark]:
        """What is remarkable about one node, its children apart."""
        if isinstance(node, nodes.Getattr):
            yield from self._attribute(node, node.attr)
        elif isinstance(node, nodes.Getitem):
            yield from self._subscript(node)
        elif isinstance(node, nodes.Call):
            yield from self._call(node)
        elif isinstance(node, nodes.Filter):
            yield from self._filter(node)
        elif isinstance(node, nodes.Test) and node.name not in _TESTS:
            yield _unknown(node, node.name, "is a test that Jinja does not have")
        elif isinstance(node, nodes.Name):
            yield from self._name(node)
        elif isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
            name = self.values.text(node.template) or "a computed name"
            yield _unknown(node, name, "is another template, which this one loads")
        if isinstance(node, nodes.Const | nodes.Concat | nodes.BinExpr | nodes.Filter | nodes.Call):
            text = self.values.text(node)
            if text is not None and INTERNAL.fullmatch(text):
                yield _certain(node, text, "is an attribute of Python's own")

    def _attribute(self, node: nodes.Node, name: str) -> Iterator[Remark]:
        if is_internal(name):
            yield _certain(node, name, "is an attribute of Python's own")
        elif name.startswith("_"):
            yield _unknown(node, name, "is the name of an internal attribute")

    def _subscript(self, node: nodes.Getitem) -> Iterator[Remark]:
        """``x['name']`` reads the attribute where there is no such key."""
        name = self.values.text(node.arg)
        if name is not None:
            yield from self._attribute(node, name)
        elif self._built(node.arg):
            yield _unknown(node, "[…]", "has a key that is put together from pieces")

    def _built(self, node: nodes.Node) -> bool:
        """Whether an expression puts a text together."""
        if isinstance(node, nodes.Filter):
            return node.name in _BUILDERS
        if isinstance(node, nodes.Call):
            return isinstance(node.node, nodes.Getattr) and node.node.attr in _BUILDERS
        if isinstance(node, nodes.Add | nodes.Mod | nodes.Mul):
            return any(self.values.text(side) is not None for side in (node.left, node.right))
        return isinstance(node, nodes.Concat)

    def _call(self, node: nodes.Call) -> Iterator[Remark]:
        target = node.node
        if isinstance(target, nodes.Getattr):
            if target.attr == "format":
                yield from self._format(node, target.node)
            elif target.attr not in _METHODS and not is_internal(target.attr):
                yield _unknown(node, target.attr, "is called, and is no known method")
        elif self._macros_only(target):
            return
        elif isinstance(target, nodes.Name):
            if target.name in self.bound or target.name not in _FUNCTIONS:
                what = "is called, and is no function of chat templates"
                yield _unknown(node, target.name, what)
        else:
            yield _unknown(node, "(…)(…)", "calls what an expression gives")

    def _macros_only(self, root: nodes.Node) -> bool:
        """Whether an expression, such as an entry of a list, can only be one of its own macros."""
        pending, names = [root], set(self.macros)
        while pending:
            node = pending.pop()
            if isinstance(node, nodes.Name):
                if node.name not in names:
                    names.add(node.name)
                    assigned = self.assigned[node.name]
                    if not assigned or len(assigned) != self.stores[node.name]:
                        return False
                    pending += assigned
            elif isinstance(node, nodes.List | nodes.Tuple):
                pending += node.items
            elif isinstance(node, nodes.Add):
                pending += [node.left, node.right]
            elif isinstance(node, nodes.Getitem):
                pending.append(node.node)
            else:
                return False
        return True

    def _format(self, node: nodes.Node, receiver: nodes.Node) -> Iterator[Remark]:
        """``str.format`` reads attributes that the text names: ``'{0.__class__}'.format(x)``."""
        text = self.values.text(receiver)
        if text is None:
            yield _unknown(node, "format", "fills in a text that is not written out")
            return
        names = [name for f in _FIELD.finditer(text) for name in _PART.findall(f.group())]
        for name in names:
            what = "is an attribute that a formatted text reads"
            yield _certain(node, name, what) if is_internal(name) else _unknown(node, name, what)

    def _filter(self, node: nodes.Filter) -> Iterator[Remark]:
        if node.name not in _FILTERS:
            yield _unknown(node, node.name, "is a filter that Jinja does not have")
        elif node.name == "attr":
            yield from self._reads(node, node.args)
        elif node.name in _BY_ATTRIBUTE:
            named = [pair.value for pair in node.kwargs if pair.key == "attribute"]
            first = node.args[:1] if node.name not in ("join", "min", "max", "unique") else []
            yield from self._by_attribute(node, [*named, *first])

    def _reads(self, node: nodes.Filter, names: list[nodes.Expr]) -> Iterator[Remark]:
        """``|attr`` reads attributes and nothing else; what is in messages are keys."""
        for name in [self.values.text(argument) for argument in names] or [None]:
            if name is None:
                yield _certain(node, "attr", "reads an attribute with a hidden name")
            elif is_internal(name):
                yield _certain(node, name, "is an attribute of Python's own")
            else:
                yield _unknown(node, name, "is read with the filter 'attr'")

    def _by_attribute(self, node: nodes.Filter, arguments: list[nodes.Expr]) -> Iterator[Remark]:
        for argument in arguments:
            name = self.values.of(argument)
            if isinstance(name, str):
                for part in name.split("."):
                    yield from self._attribute(node, part)
            elif name is None and node.name != "sort":
                what = "is given an attribute or a filter with a hidden name"
                yield _unknown(node, node.name, what)
        if node.name == "map" and node.args:
            inner = self.values.text(node.args[0])
            if inner == "attr":
                yield from self._reads(node, node.args[1:])
            elif inner is not None and inner not in _FILTERS:
                yield _unknown(node, inner, "is a filter that Jinja does not have")

    def _name(self, node: nodes.Name) -> Iterator[Remark]:
        if INTERNAL.fullmatch(node.name):
            yield _certain(node, node.name, "is an attribute of Python's own")
        elif node.name in _OBJECTS and node.name not in self.bound and id(node) not in self.called:
            yield _unknown(node, node.name, "is an object that is not of the messages")
