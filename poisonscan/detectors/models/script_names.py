"""What names in Python source stand for: imports, aliases, computed attributes and constants.

Nothing is run: `getattr(__import__("o" + "s"), "system")` is read as `os.system` by putting its
constants together, each step bounded.
"""

from __future__ import annotations

import ast
import base64
import binascii
import builtins
import codecs
from dataclasses import dataclass, field
from typing import Final

_DEEPEST: Final = 40
_LONGEST: Final = 1 << 16
_BUILTINS: Final = frozenset(dir(builtins)) | {"execfile", "__builtins__"}
_IMPORTERS: Final = ("builtins.__import__", "importlib.import_module", "importlib.__import__")
# Modules that nearly every other one has as an attribute.
_REACHED: Final = frozenset(
    {"os", "sys", "subprocess", "builtins", "socket", "ctypes", "importlib", "marshal", "pty"}
)
COMPUTED: Final = "*"
"""Stands in a name for an attribute that is computed."""

Constant = str | bytes | None


@dataclass(slots=True)
class Names:
    """The names of one file.

    Attributes:
        imported: what a name stands for, as a dotted path.
        stars: modules whose names all are imported.
        assigned: expressions that are assigned to a name, in order.
        defined: functions and classes of the file.
    """

    imported: dict[str, str] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    assigned: dict[str, list[ast.expr]] = field(default_factory=dict)
    defined: set[str] = field(default_factory=set)
    _paths: dict[str, str] = field(default_factory=dict)
    _constants: dict[str, Constant] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: ast.Module) -> Names:
        """Collect the names of a file, whatever their scope."""
        names = cls()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    whole = alias.name if alias.asname else alias.name.partition(".")[0]
                    names.imported[alias.asname or whole] = whole
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names._from(node)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    names._assign(target, node.value)
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                names._assign(node.target, node.value)
            elif isinstance(node, ast.withitem) and node.optional_vars is not None:
                names._assign(node.optional_vars, node.context_expr)
            elif isinstance(node, ast.For | ast.comprehension):
                names._assign(node.target, node.iter)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.defined.add(node.name)
        return names

    def _from(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(str(node.module))
            else:
                self.imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.assigned.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
            for one, other in zip(target.elts, value.elts, strict=False):
                if isinstance(one, ast.Name):
                    self.assigned.setdefault(one.id, []).append(other)

    def values(self, name: str) -> list[ast.expr]:
        """What a variable is given, the first few."""
        return self.assigned.get(name, [])[:4]

    def dotted(self, node: ast.expr, depth: int = 0) -> str:
        """What an expression stands for, as a dotted path; empty if that is not known."""
        tail: list[str] = []
        while isinstance(node, ast.Attribute):
            tail.append(node.attr)
            node = node.value
        root = self._root(node, depth + 1) if depth < _DEEPEST else ""
        return _short(".".join([root, *reversed(tail)])) if root else ""

    def _root(self, node: ast.expr, depth: int) -> str:
        if isinstance(node, ast.Name):
            return self._name(node.id, depth)
        if isinstance(node, ast.Call):
            return self._result(node, depth)
        if isinstance(node, ast.Subscript):
            return self._item(node, depth)
        if isinstance(node, ast.NamedExpr):
            return self.dotted(node.value, depth)
        return ""

    def _name(self, name: str, depth: int) -> str:
        if name in self.imported:
            return self.imported[name]
        if name in self.defined:
            return ""
        if name in self.assigned:
            if name not in self._paths:
                self._paths[name] = ""  # while it is looked up: it may stand for itself
                paths = (self.dotted(value, depth) for value in self.values(name))
                self._paths[name] = next(filter(None, paths), "")
            return self._paths[name]
        if name in _BUILTINS:
            return "builtins" if name in ("__builtins__", "builtins") else f"builtins.{name}"
        return f"{self.stars[0]}.{name}" if self.stars else ""

    def _result(self, node: ast.Call, depth: int) -> str:
        """What a call gives back, for calls that look something up by a name."""
        function = self.dotted(node.func, depth)
        if function in _IMPORTERS and node.args:
            name = self.constant(node.args[0], depth)
            if isinstance(name, str):
                return name.partition(".")[0] if function.endswith("__") else name
        elif function == "builtins.getattr" and len(node.args) >= 2:
            owner = self.dotted(node.args[0], depth)
            name = self.constant(node.args[1], depth)
            if owner:
                return f"{owner}.{name if isinstance(name, str) else COMPUTED}"
        elif function == "builtins.vars" and node.args:
            owner = self.dotted(node.args[0], depth)
            return f"{owner}.__dict__" if owner else ""
        elif function in ("builtins.globals", "builtins.locals"):
            return f"{function}()"
        elif function == "functools.partial" and node.args:
            return self.dotted(node.args[0], depth)
        return ""

    def _item(self, node: ast.Subscript, depth: int) -> str:
        owner = self.dotted(node.value, depth)
        key = self.constant(node.slice, depth)
        name = key if isinstance(key, str) else COMPUTED
        if owner == "sys.modules":
            return name
        if owner in ("builtins.globals()", "builtins.locals()"):
            return self._name(name, depth) if name != COMPUTED else ""
        if owner.endswith(".__dict__"):
            return f"{owner.removesuffix('.__dict__')}.{name}"
        return f"builtins.{name}" if owner == "builtins" else ""

    def constant(self, node: ast.expr, depth: int = 0) -> Constant:
        """The text or bytes that an expression always has; None if that is not known."""
        if depth > _DEEPEST:
            return None
        value: Constant = None
        if isinstance(node, ast.Constant):
            value = node.value if isinstance(node.value, str | bytes) else None
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            value = self._sum(node, depth + 1)
        elif isinstance(node, ast.JoinedStr):
            value = self._joined(list(node.values), depth)
        elif isinstance(node, ast.FormattedValue):
            value = self.constant(node.value, depth + 1)
        elif isinstance(node, ast.Subscript):
            value = _backwards(self.constant(node.value, depth + 1), node.slice)
        elif isinstance(node, ast.Name):
            value = self._variable(node.id, depth + 1)
        elif isinstance(node, ast.Call):
            value = self._computed(node, depth + 1)
        return value if value is None or len(value) <= _LONGEST else None

    def _variable(self, name: str, depth: int) -> Constant:
        values = self.assigned.get(name, [])
        if len(values) == 1 and name not in self._constants:
            self._constants[name] = None
            self._constants[name] = self.constant(values[0], depth)
        return self._constants.get(name)

    def _sum(self, node: ast.expr, depth: int) -> Constant:
        parts: list[ast.expr] = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            parts.append(node.right)
            node = node.left
        total = self.constant(node, depth)
        for part in reversed(parts):
            total = _sum(total, self.constant(part, depth)) if total is not None else None
            if total is not None and len(total) > _LONGEST:
                return None
        return total

    def _joined(self, parts: list[ast.expr], depth: int, between: str = "") -> Constant:
        texts = [self.constant(part, depth + 1) for part in parts[:1000]]
        known = [text for text in texts if isinstance(text, str)]
        return between.join(known) if len(known) == len(texts) else None

    def _computed(self, node: ast.Call, depth: int) -> Constant:
        """What a pure function makes of constants."""
        function = node.func
        if isinstance(function, ast.Attribute) and not node.keywords:
            owner = self.constant(function.value, depth)
            if function.attr == "join" and isinstance(owner, str) and len(node.args) == 1:
                items = node.args[0]
                if isinstance(items, ast.List | ast.Tuple):
                    return self._joined(items.elts, depth, owner)
            if function.attr == "decode" and isinstance(owner, bytes):
                return owner.decode("utf-8", "replace")
            if function.attr == "encode" and isinstance(owner, str):
                return owner.encode("utf-8", "replace")
        if not node.args:
            return None
        if self.dotted(function, depth) == "builtins.chr" and isinstance(
            node.args[0], ast.Constant
        ):
            point = node.args[0].value
            return chr(point) if isinstance(point, int) and 0 <= point < 0x110000 else None
        return _decoded(self.dotted(function, depth), self.constant(node.args[0], depth))


def _short(name: str) -> str:
    """`shutil.os.system` is `os.system`."""
    parts = name.split(".")
    start = max((i for i, part in enumerate(parts[:-1]) if part in _REACHED), default=0)
    return ".".join(parts[start:])


def _sum(left: Constant, right: Constant) -> Constant:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    return left + right if isinstance(left, bytes) and isinstance(right, bytes) else None


def _backwards(value: Constant, index: ast.expr) -> Constant:
    if not isinstance(index, ast.Slice) or index.lower or index.upper or value is None:
        return None
    step = index.step
    turned = isinstance(step, ast.UnaryOp) and isinstance(step.op, ast.USub)
    return value[::-1] if turned else value


def _decoded(function: str, value: Constant) -> Constant:
    if value is None:
        return None
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    try:
        if function in ("base64.b64decode", "base64.standard_b64decode", "binascii.a2b_base64"):
            return base64.b64decode(data)
        if function in ("builtins.bytes.fromhex", "binascii.unhexlify"):
            return binascii.unhexlify(data.replace(b" ", b""))
        if function == "builtins.bytes":
            return data
        if function == "codecs.decode" and isinstance(value, str):
            return codecs.decode(value, "rot13")
    except ValueError:
        return None
    return None
