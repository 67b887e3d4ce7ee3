"""What an expression of a template always comes to, where that can be told without running it.

Names that are hidden (``'__cl' ~ 'ass__'``, ``['_', '_']|join``, ``'%sclass%s'|format(u, u)``) are
put together here by a few operations of Python's own strings and lists, all of them bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from jinja2 import nodes

_LONGEST: Final = 4_096
"""Characters of a text, elements of a list: no name that matters is longer."""
_DEEPEST: Final = 60
_STEPS: Final = 200_000


class Unknown(Exception):  # noqa: N818 - it says what the value is
    """A value that depends on more than the template."""


def _text(value: Any) -> str:
    if isinstance(value, str | int | float) or value is None:
        return str(value)
    raise Unknown


def _items(value: Any) -> list[Any]:
    if isinstance(value, str | list | tuple | dict):
        return list(value)
    raise Unknown


def _glue(parts: Iterable[Any]) -> str:
    """Texts one after another, given up as soon as they are too long."""
    made, length = [], 0
    for part in parts:
        made.append(_text(part))
        length += len(made[-1])
        if length > _LONGEST:
            raise Unknown
    return "".join(made)


def _join(value: Any, between: Any = "") -> str:
    parts = [part for item in _items(value) for part in (between, item)]
    return _glue(parts[1:])


def _replace(value: Any, old: Any, new: Any) -> str:
    return _join(_text(value).split(_text(old)), new)


def _reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str) else _items(value)[::-1]


def _format(value: Any, *arguments: Any) -> str:
    """``%`` with plain fields only: ``%s``, ``%c`` and ``%d`` without widths."""
    parts = _text(value).split("%")
    made, rest, left = [parts[0]], parts[1:], list(arguments)
    for part in rest:
        if part[:1] not in ("s", "c", "d") or not left:
            raise Unknown
        item = left.pop(0)
        character = part[0] == "c" and isinstance(item, int) and 0 <= item < 0x110000
        made += [chr(item) if character else _text(item), part[1:]]
    return _glue(made)


def _first(value: Any) -> Any:
    return _items(value)[0]


def _last(value: Any) -> Any:
    return _items(value)[-1]


_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "join": _join,
    "replace": _replace,
    "reverse": _reverse,
    "format": _format,
    "first": _first,
    "last": _last,
    "list": _items,
    "string": _text,
    "safe": _text,
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "trim": lambda value, what=None: _text(value).strip(what),
}
_METHODS: Final[Mapping[str, Callable[..., Any]]] = {
    "join": lambda between, value: _join(value, between),
    "replace": _replace,
    "lower": _FILTERS["lower"],
    "upper": _FILTERS["upper"],
    "strip": _FILTERS["trim"],
    "format": lambda value, *rest: _braces(_text(value), rest),
}


def _braces(value: str, arguments: tuple[Any, ...]) -> str:
    """``str.format`` with ``{}`` only."""
    parts = value.split("{}")
    if len(parts) > len(arguments) + 1 or "{" in "".join(parts):
        raise Unknown
    filled = [part for pair in zip(parts[:-1], arguments, strict=False) for part in pair]
    return _glue([*filled, parts[-1]])


def _bounded(value: Any) -> Any:
    if isinstance(value, str | list | tuple | dict) and len(value) > _LONGEST:
        raise Unknown
    if isinstance(value, int) and value.bit_length() > 64:
        raise Unknown
    return value


class Values:
    """Values of expressions, given what each name is set to."""

    def __init__(self, names: Mapping[str, nodes.Node]) -> None:
        """``names`` are those that are set once, with what they are set to."""
        self._names = names
        self._known: dict[int, Any] = {}
        self._steps = 0

    def text(self, node: nodes.Node) -> str | None:
        """The text that an expression always is, None if it is no text or not known."""
        value = self.of(node)
        return value if isinstance(value, str) else None

    def of(self, node: nodes.Node) -> Any:
        """The value of an expression, None if it is not known."""
        try:
            return self._of(node, 0)
        except Unknown:
            return None

    def _of(self, node: nodes.Node, depth: int) -> Any:
        """Each expression is looked at once; a name inside its own value is unknown."""
        key = id(node)
        if key not in self._known:
            self._known[key] = Unknown
            self._steps += 1
            if depth > _DEEPEST or self._steps > _STEPS:
                raise Unknown
            try:
                self._known[key] = _bounded(self._work_out(node, depth + 1))
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                raise Unknown from None
        value = self._known[key]
        if value is Unknown:
            raise Unknown
        return value

    def _work_out(self, node: nodes.Node, depth: int) -> Any:
        if isinstance(node, nodes.Const):
            return node.value
        if isinstance(node, nodes.Name) and node.name in self._names:
            return self._of(self._names[node.name], depth)
        if isinstance(node, nodes.List | nodes.Tuple):
            return [self._of(item, depth) for item in node.items[: _LONGEST + 1]]
        if isinstance(node, nodes.Dict):
            pairs = node.items[: _LONGEST + 1]
            return {self._of(p.key, depth): self._of(p.value, depth) for p in pairs}
        if isinstance(node, nodes.Concat):
            return _glue(self._of(item, depth) for item in node.nodes)
        if isinstance(node, nodes.BinExpr):
            return self._operate(node, depth)
        if isinstance(node, nodes.Getitem):
            return self._subscript(node, depth)
        if isinstance(node, nodes.Filter) and node.node is not None:
            return self._apply(_FILTERS.get(node.name), node.node, node, depth)
        if isinstance(node, nodes.Call):
            return self._call(node, depth)
        raise Unknown

    def _operate(self, node: nodes.BinExpr, depth: int) -> Any:
        left, right = self._of(node.left, depth), self._of(node.right, depth)
        if node.operator == "+" and type(left) is type(right):
            return left + right
        if node.operator == "*" and isinstance(left, str) and isinstance(right, int):
            return _glue(left for _ in range(min(right, _LONGEST + 1)))
        if node.operator == "-" and isinstance(left, int) and isinstance(right, int):
            return left - right
        if node.operator == "%" and isinstance(left, str):
            return _format(left, *(right if isinstance(right, list) else [right]))
        raise Unknown

    def _subscript(self, node: nodes.Getitem, depth: int) -> Any:
        whole = self._of(node.node, depth)
        if isinstance(node.arg, nodes.Slice):
            parts = (node.arg.start, node.arg.stop, node.arg.step)
            return whole[slice(*(None if p is None else self._number(p, depth) for p in parts))]
        if isinstance(whole, dict):
            return whole[self._of(node.arg, depth)]
        return whole[self._number(node.arg, depth)]

    def _number(self, node: nodes.Node, depth: int) -> int:
        if isinstance(node, nodes.Neg):
            return -self._number(node.node, depth)
        value = self._of(node, depth)
        if isinstance(value, int):
            return value
        raise Unknown

    def _call(self, node: nodes.Call, depth: int) -> Any:
        if isinstance(node.node, nodes.Getattr):
            return self._apply(_METHODS.get(node.node.attr), node.node.node, node, depth)
        if isinstance(node.node, nodes.Name) and node.node.name == "dict" and not node.args:
            return {pair.key: None for pair in node.kwargs}
        raise Unknown

    def _apply(
        self,
        function: Callable[..., Any] | None,
        subject: nodes.Node,
        node: nodes.Filter | nodes.Call,
        depth: int,
    ) -> Any:
        if function is None or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise Unknown
        arguments = [self._of(item, depth) for item in node.args]
        return function(self._of(subject, depth), *arguments)
