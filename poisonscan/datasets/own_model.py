"""Which network the user wants rows to be looked at with, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEVICES: Final = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A network, and how it wants to see pictures.

    Attributes:
        file: an ONNX file; a folder of transformers or sentence-transformers; or ``org/name`` (also
            ``hf://org/name@revision``), such a folder in the Hub's cache on this machine.
        layer: what to read: of ONNX a tensor of the graph; of a folder the number of a hidden state
            (``-1`` the last) or the name of a module. Empty: the first output, or the last hidden
            state.
        size: height and width that pictures are scaled to; None: what the network says.
        mean: taken from values between 0 and 1, one for all channels or one for each; empty: what
            the network says, or 0.
        std: what they are divided by then; empty: what the network says, or 1.
        device: ``cpu``, ``cuda``, or ``auto``: ``cuda`` if it can be used.
        cache: folder in which vectors are kept for the next scan; empty: they are kept for the
            passes of this one.
        scratch: folder for what is kept for the passes of this scan; a scan names it itself.
    """

    file: str
    layer: str = ""
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    device: str = "auto"
    cache: str = ""
    scratch: str = ""

    @property
    def name(self) -> str:
        """What reports call it: in the Hub's cache, the repository and its commit."""
        path = Path(self.file)
        repository = path.parent.parent.name
        if path.parent.name == "snapshots" and repository.startswith("models--"):
            return f"{repository.removeprefix('models--').replace('--', '/')}@{path.name}"
        return path.name
