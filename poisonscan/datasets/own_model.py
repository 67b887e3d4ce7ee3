"""Which network the user wants pictures to be looked at with, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEVICES: Final = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A network, and how it wants to see pictures.

    Attributes:
        file: an ONNX file.
        layer: the tensor to read, any of the graph; empty: its first output.
        size: height and width that pictures are scaled to; None: what the network says.
        mean: taken from values between 0 and 1, one for all channels or one for each.
        std: what they are divided by then.
        device: ``cpu``, ``cuda``, or ``auto``: ``cuda`` if it can be used.
        cache: folder in which vectors are kept for the next scan; empty: they are not.
    """

    file: str
    layer: str = ""
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    device: str = "auto"
    cache: str = ""
