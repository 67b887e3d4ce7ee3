"""When each part of Python source would run: on import, on loading or use of a model, or else."""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Moment(enum.IntEnum):
    """When code runs, the earliest last; the text is how messages say it."""

    ASKED = 0
    USE = 1
    IMPORT = 2

    def __str__(self) -> str:
        return ("if it is called", "when the model is loaded or used", "on import")[self]


# What loaders and the libraries' own methods call: transformers, diffusers, datasets, TorchServe,
# inference endpoints, SageMaker, Azure ML, MLflow, and Python itself.
_METHODS: Final = frozenset(
    {"__init__", "__new__", "__post_init__", "__call__", "__init_subclass__", "__class_getitem__",
     "__del__", "__getattr__", "__getattribute__", "__setattr__", "__reduce__", "__reduce_ex__",
     "__setstate__", "__getstate__", "__enter__", "__exit__", "__iter__", "__len__", "__getitem__",
     "__repr__", "__set_name__", "__prepare__", "__instancecheck__",
     "from_pretrained", "from_config", "_from_config", "from_dict", "from_single_file", "build",
     "get_config_dict", "to_dict", "_load_state_dict", "load_state_dict", "_load_from_state_dict",
     "_init_weights", "post_init", "forward", "call", "encode", "tokenize", "_tokenize",
     "preprocess", "postprocess", "_sanitize_parameters", "_forward", "generate", "predict",
     "_info", "_split_generators", "_generate_examples", "_generate_tables", "download_and_prepare",
     "_prepare_split", "compute", "_compute", "_download_and_prepare",
     "initialize", "handle", "inference", "load_context", "load_model", "load", "setup"}
)  # fmt: skip
_FUNCTIONS: Final = frozenset(
    {"handle", "initialize", "inference", "preprocess", "postprocess", "model_fn", "input_fn",
     "predict_fn", "output_fn", "transform_fn", "init", "run", "load_model", "predict",
     "_load_pyfunc", "load_data", "generate", "__getattr__", "__dir__"}
)  # fmt: skip
_HOOKS: Final = frozenset({"__getattr__", "__dir__", "_load_pyfunc", "load_tests"})


@dataclass(slots=True)
class Unit:
    """Code that runs as one: a module, a function, or what is under ``__name__ == "__main__"``."""

    nodes: list[ast.AST] = field(default_factory=list)
    moment: Moment = Moment.ASKED
    name: str = ""
    owner: str = ""


def units(tree: ast.Module, *, served: bool = False) -> list[Unit]:
    """All code of a file, by when it runs at the earliest.

    Args:
        tree: of the file.
        served: a model server calls functions of the file by their names.
    """
    module, main = Unit(moment=Moment.IMPORT), Unit()
    found = [module, main]
    owners: dict[int, str] = {}  # classes by the functions in them
    pending: list[tuple[Unit, list[ast.stmt]]] = [(module, tree.body)]
    while pending:
        unit, body = pending.pop()
        for node in _own(body, main.nodes if unit is module else None):
            unit.nodes.append(node)
            if isinstance(node, Function):
                inner = Unit(name=node.name, owner=owners.get(id(node), ""))
                found.append(inner)
                pending.append((inner, node.body))
            elif isinstance(node, ast.ClassDef):
                owners |= {id(statement): node.name for statement in node.body}
    for unit in found[2:]:
        called = unit.name in (_FUNCTIONS if served else _HOOKS)
        if called if not unit.owner else unit.name in _METHODS:
            unit.moment = Moment.USE
    _spread(found)
    return found


def _own(body: list[ast.stmt], main: list[ast.AST] | None) -> Iterator[ast.AST]:
    """The nodes of a body; of functions in it themselves, and what runs where they are defined."""
    pending: list[ast.AST] = list(reversed(body))
    while pending:
        node = pending.pop()
        if main is not None and isinstance(node, ast.If) and _is_main(node.test):
            main += [inner for statement in node.body for inner in ast.walk(statement)]
            pending += reversed(node.orelse)
            continue
        yield node
        if isinstance(node, Function):
            arguments = node.args
            pending += node.decorator_list
            pending += [d for d in (*arguments.defaults, *arguments.kw_defaults) if d is not None]
            continue
        pending += reversed(list(ast.iter_child_nodes(node)))


def _is_main(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
        and isinstance(test.ops[0], ast.Eq)
    )


def _spread(found: list[Unit]) -> None:
    """What running code calls runs as early as the code itself."""
    by_name: dict[str, list[Unit]] = {}
    for unit in found[2:]:
        by_name.setdefault(unit.name, []).append(unit)
        if unit.name in ("__init__", "__new__", "__post_init__", "__del__") and unit.owner:
            by_name.setdefault(unit.owner, []).append(unit)
    pending = [unit for unit in found if unit.moment > Moment.ASKED]
    while pending:
        unit = pending.pop()
        for name in _called(unit):
            for other in by_name.get(name, ()):
                if other.moment < unit.moment:
                    other.moment = unit.moment
                    pending.append(other)


def _called(unit: Unit) -> set[str]:
    """Names of functions that a piece of code calls, or hands to something that may."""
    names: set[str] = set()
    for node in unit.nodes:
        candidates: list[ast.expr] = []
        if isinstance(node, ast.Call):
            candidates = [node.func, *node.args, *(word.value for word in node.keywords)]
        elif isinstance(node, Function):
            candidates = list(node.decorator_list)
        for candidate in candidates:
            if isinstance(candidate, ast.Name):
                names.add(candidate.id)
            elif isinstance(candidate, ast.Attribute) and isinstance(candidate.value, ast.Name):
                names.add(candidate.attr)
    return names
