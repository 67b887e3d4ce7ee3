"""TensorFlow's GraphDef: the nodes of the graph and of the functions in its library.

Fields: ``tensorflow/core/framework/{graph,node_def,function,attr_value,tensor}.proto`` of 2.21.
Where an operator takes a path, the texts that reach it are told: from constants, through the
operators that pass texts on or join them, and through calls of functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from poisonscan.formats import protobuf as pb
from poisonscan.formats.base import Anomaly, Operator
from poisonscan.formats.graph_operators import OperatorCounts, known_operators
from poisonscan.limits import Budget

# Operators whose result is one of the texts they are given, or made of them.
_PASS_ON: Final = {
    "AddV2", "Add", "AsString", "ConcatV2", "Concat", "Enter", "ExpandDims", "Fill", "Gather",
    "GatherV2", "Identity", "IdentityN", "Merge", "NextIteration", "Pack", "ParallelConcat",
    "Placeholder", "PlaceholderWithDefault", "Exit", "RefIdentity", "Reshape", "Select",
    "SelectV2", "ShardedFilename", "ShardedFilespec", "Slice", "Snapshot", "Squeeze",
    "StopGradient", "StridedSlice", "StringFormat", "StringJoin", "StringLower",
    "StringStrip", "StringUpper", "Substr", "Switch", "Tile", "Unpack", "ReduceJoin",
    "RegexReplace", "StaticRegexReplace", "DecodeBase64", "TensorSliceDataset",
    "TensorDataset",
}  # fmt: skip
# Operators that call functions, and how many of their inputs come before the arguments.
_CALLS: Final = {
    "PartitionedCall": 0, "StatefulPartitionedCall": 0, "While": 0, "StatelessWhile": 0,
    "If": 1, "StatelessIf": 1, "Case": 1, "StatelessCase": 1, "RemoteCall": 1,
}  # fmt: skip
_TEXTS_EACH: Final = 64
_NODES_KEPT: Final = 200_000
_DEPTH: Final = 200
_DT_STRING: Final = 7
_PATH: Final = 4096


class _Node(NamedTuple):
    name: str
    operator: str
    inputs: tuple[str, ...]
    functions: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]


class _Argument(NamedTuple):
    """An argument of a function, by position."""

    function: str
    position: int


@dataclass(slots=True)
class _Scope:
    """The graph or one function: what matters of its nodes."""

    name: str
    arguments: dict[str, int] = field(default_factory=dict)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    passing: dict[str, _Node] = field(default_factory=dict)
    acting: list[_Node] = field(default_factory=list)
    calls: list[_Node] = field(default_factory=list)


@dataclass(slots=True)
class TensorFlowGraph:
    """Reads graphs and counts their operators.

    Attributes:
        replaced: nodes whose constant the loader replaces: the files of a SavedModel.
        anomalies: nodes that readers may read differently.
        left_out: what was not looked at; empty if all was.
    """

    view: memoryview
    budget: Budget
    replaced: frozenset[str] = frozenset()
    anomalies: list[Anomaly] = field(default_factory=list)
    left_out: str = ""
    nodes: int = 0
    _counts: OperatorCounts = field(default_factory=OperatorCounts)
    _functions: set[str] = field(default_factory=set)
    _acting: dict[_Argument, set[str]] = field(default_factory=dict)
    _passed: dict[_Argument, set[_Argument]] = field(default_factory=dict)
    _given: dict[_Argument, set[str]] = field(default_factory=dict)

    def graph(self, message: pb.Message) -> None:
        """A GraphDef.

        Raises:
            ProtobufError: it is damaged.
            LimitReached: it has more fields than the budget allows.
        """
        scope = _Scope("")
        try:
            for item in self._fields(message):
                if item.number == 1:
                    self._node(scope, item.message)
                elif item.number == 2:
                    for entry in self._fields(item.message):
                        if entry.number == 1:
                            self._function(entry.message)
        finally:  # what stands before damage is told all the same
            self._close(scope)

    def operators(self) -> tuple[Operator, ...]:
        """All operators, without the functions that the graph defines itself."""
        self._follow_calls()
        own = frozenset(("", name) for name in self._functions)
        self.left_out = self.left_out or self._counts.left_out
        return tuple(self._counts.operators(without=own))

    def _fields(self, message: pb.Message) -> Iterator[pb.Field]:
        return pb.fields(self.view, message, self.budget)

    def _function(self, message: pb.Message) -> None:
        scope = _Scope("")
        for item in self._fields(message):
            if item.number == 1:
                self._signature(scope, item.message)
            elif item.number == 3:
                self._node(scope, item.message)
        self._functions.add(scope.name)
        self._close(scope)

    def _signature(self, scope: _Scope, message: pb.Message) -> None:
        for item in self._fields(message):
            if item.number == 1:
                scope.name = pb.text(self.view, item, _PATH)
            elif item.number == 2:
                for part in self._fields(item.message):
                    if part.number == 1 and len(scope.arguments) < _NODES_KEPT:
                        scope.arguments[pb.text(self.view, part, _PATH)] = len(scope.arguments)

    def _node(self, scope: _Scope, message: pb.Message) -> None:
        name = operator = ""
        operators = 0
        inputs: list[str] = []
        attributes: list[pb.Field] = []
        for item in self._fields(message):
            if item.number == 1:
                name = pb.text(self.view, item, _PATH)
            elif item.number == 2:
                operator = pb.text(self.view, item, _PATH)
                operators += 1
            elif item.number == 3:
                inputs.append(pb.text(self.view, item, _PATH))
            elif item.number == 5:
                attributes.append(item)
        self.nodes += 1
        if operators > 1 and len(self.anomalies) < _TEXTS_EACH:
            what = "says twice what it does, and readers may take either"
            self.anomalies.append(Anomaly("duplicate-field", what, message.start, name))
        self._counts.add("", operator, name)
        self._remember(scope, name, operator, inputs, attributes)

    def _remember(
        self,
        scope: _Scope,
        name: str,
        operator: str,
        inputs: list[str],
        attributes: list[pb.Field],
    ) -> None:
        """Keep a node if texts come from it, pass through it or arrive at it."""
        known = known_operators("tensorflow")
        use = known.paths.get(f":{operator}")
        calls = operator in _CALLS or not (
            known.knows("", operator) or f":{operator}" in known.acts
        )
        if operator == "Const":
            if len(scope.texts) < _NODES_KEPT:
                texts = self._constant(attributes)
                if texts and name not in self.replaced:
                    scope.texts[name] = texts
            else:
                self.left_out = f"more than {_NODES_KEPT:,} constants"
            return
        if not use and not calls and operator not in _PASS_ON:
            return
        if len(scope.passing) + len(scope.acting) + len(scope.calls) >= _NODES_KEPT:
            self.left_out = f"more than {_NODES_KEPT:,} nodes that pass texts on"
            return
        named = tuple(self._attributes(attributes))
        called = tuple(text for kind, _, text in named if kind == "function") or (operator,)
        stated = tuple((key, text) for kind, key, text in named if kind == "text")
        node = _Node(name, operator, tuple(inputs), called, stated)
        if use:
            scope.acting.append(node)
        elif calls:
            scope.calls.append(node)
        else:
            scope.passing[name] = node

    def _constant(self, attributes: Iterable[pb.Field]) -> tuple[str, ...]:
        """The first texts of a constant that has any."""
        for attribute in attributes:
            for entry in self._fields(attribute.message):
                if entry.number != 2:
                    continue
                for value in self._fields(entry.message):
                    if value.number == 8:
                        return self._texts(value.message)
        return ()

    def _texts(self, tensor: pb.Message) -> tuple[str, ...]:
        texts: list[str] = []
        for item in self._fields(tensor):
            if item.number == 1 and item.value != _DT_STRING:
                return ()
            if item.number == 8 and item.wire == pb.BYTES and len(texts) < _TEXTS_EACH:
                texts.append(pb.text(self.view, item, _PATH))
        return tuple(filter(None, texts))

    def _attributes(self, attributes: Iterable[pb.Field]) -> Iterator[tuple[str, str, str]]:
        """Texts and functions in attributes: which of the two, the attribute, the value."""
        for attribute in attributes:
            key = ""
            for entry in self._fields(attribute.message):
                if entry.number == 1:
                    key = pb.text(self.view, entry)
                elif entry.number == 2:
                    for kind, value in self._values(entry.message):
                        yield kind, key, value

    def _values(self, value: pb.Message, *, listed: bool = False) -> Iterator[tuple[str, str]]:
        """The texts and the functions in an attribute's value, or in a list in it."""
        function = 9 if listed else 10
        for item in self._fields(value):
            if item.number == 2 and item.wire == pb.BYTES:
                yield "text", pb.text(self.view, item, _PATH)
            elif item.number == function and item.wire == pb.BYTES:
                for part in self._fields(item.message):
                    if part.number == 1 and part.wire == pb.BYTES:
                        yield "function", pb.text(self.view, part)
            elif item.number == 1 and not listed and item.wire == pb.BYTES:
                yield from self._values(item.message, listed=True)

    def _close(self, scope: _Scope) -> None:
        """Work out which texts reach the nodes that take a path, once all of them are known."""
        paths = known_operators("tensorflow").paths
        for node in scope.acting:
            use = paths[f":{node.operator}"]
            at = [node.inputs[index] for index in use.inputs if index < len(node.inputs)]
            texts, arguments = self._reaching(scope, at)
            texts += [text for key, text in node.attributes if key in use.attributes]
            self._counts.add_texts("", node.operator, node.name, texts)
            for argument in arguments:
                self._acting.setdefault(argument, set()).add(node.operator)
        for node in scope.calls:
            for index, source in enumerate(node.inputs[_CALLS.get(node.operator, 0) :]):
                texts, arguments = self._reaching(scope, [source])
                if not texts and not arguments:
                    continue
                for name in node.functions:
                    target = _Argument(name, index)
                    self._given.setdefault(target, set()).update(texts)
                    for argument in arguments:
                        self._passed.setdefault(argument, set()).add(target)

    def _follow_calls(self) -> None:
        """Give the texts that calls pass on to the operators in what they call."""
        for argument, texts in self._given.items():
            if not texts:
                continue
            pending, seen = [argument], {argument}
            while pending and len(seen) < _DEPTH:
                place = pending.pop()
                for operator in self._acting.get(place, ()):
                    self._counts.add_texts("", operator, place.function, sorted(texts))
                more = self._passed.get(place, set()) - seen
                seen |= more
                pending += more
            if pending:
                self.left_out = f"calls that pass paths on to more than {_DEPTH} functions"
        self._given.clear()

    def _reaching(self, scope: _Scope, inputs: Iterable[str]) -> tuple[list[str], list[_Argument]]:
        """Texts that reach some inputs, and the function's arguments that do."""
        pending = list(inputs)
        seen: set[str] = set()
        texts: list[str] = []
        arguments: list[_Argument] = []
        while pending:
            if len(seen) >= _DEPTH:
                self.left_out = f"paths that are made by more than {_DEPTH} nodes"
                break
            name = pending.pop().partition(":")[0]
            if name in seen or name.startswith("^"):
                continue
            seen.add(name)
            texts += scope.texts.get(name, ())
            if name in scope.arguments:
                arguments.append(_Argument(scope.name, scope.arguments[name]))
            node = scope.passing.get(name)
            if node is not None:
                texts += [text for key, text in node.attributes if key == "rewrite"]
                pending += node.inputs
        return texts, arguments
