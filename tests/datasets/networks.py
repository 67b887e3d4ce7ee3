"""A small real network, written byte by byte: its layers are easy to compute by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fixtures.graphs import field, onnx_model

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = np.array([[1, 0], [0, 1], [1, 1]], np.float32)


def _value(name: str, sides: tuple[int | str, ...]) -> bytes:
    """A ValueInfoProto of float numbers."""
    shape = b"".join(
        field(1, field(1, side) if isinstance(side, int) else field(2, side)) for side in sides
    )
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def _node(operator: str, inputs: tuple[str, ...], output: str) -> bytes:
    return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operator)


def network(
    path: Path,
    *,
    batch: int | str = "n",
    side: int | str = 8,
    operator: tuple[str, str] = ("GlobalAveragePool", ""),
) -> str:
    """Means of the channels (layer ``means``), and two sums of these (``y``)."""
    tensor = field(1, 3) + field(1, 2) + field(2, 1) + field(8, "w") + field(9, WEIGHTS.tobytes())
    graph = (
        field(1, _node(operator[0], ("x",), "pooled") + field(7, operator[1]))
        + field(1, _node("Flatten", ("pooled",), "means"))
        + field(1, _node("MatMul", ("means", "w"), "y"))
        + field(2, "graph")
        + field(5, tensor)
        + field(11, _value("x", (batch, 3, side, side)))
        + field(12, _value("y", (batch, 2)))
    )
    path.write_bytes(onnx_model(graph))
    return str(path)


def odd_network(path: Path) -> str:
    """Layers that do not give each picture numbers of its own.

    ``fixed`` (1, 2) knows no pictures, ``one`` (1, 3 n) has those of all in one row.
    """
    row = field(1, 1) + field(1, 2) + field(2, 1) + field(8, "r") + field(9, WEIGHTS[:1].tobytes())
    sides = field(1, 2) + field(2, 7) + field(8, "s")
    sides += field(9, np.array([1, -1], np.int64).tobytes())
    graph = (
        field(1, _node("GlobalAveragePool", ("x",), "pooled"))
        + field(1, _node("Reshape", ("pooled", "s"), "one"))
        + field(1, _node("Add", ("r", "r"), "fixed"))
        + field(2, "graph")
        + field(5, row)
        + field(5, sides)
        + field(11, _value("x", ("n", 3, 8, 8)))
        + field(12, _value("one", (1, "m")))
        + field(12, _value("fixed", (1, 2)))
    )
    path.write_bytes(onnx_model(graph))
    return str(path)
