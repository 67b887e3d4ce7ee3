"""Formats that are recognised and that nothing here reads: a gap that says what the file is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact
from poisonscan.formats.tables import is_text
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_OPERATORS: Final = "so its operators are not checked"
_TENSORS: Final = "so its tensors are not checked"


@dataclass(frozen=True, slots=True)
class Unread:
    """One such format.

    Attributes:
        name: as reports call it.
        magics: first bytes, each with its offset.
        suffixes: of names, for formats without such bytes.
        why: what stays unknown.
        text: whether a file with one of the suffixes holds text.
    """

    name: str
    magics: tuple[tuple[int, bytes], ...] = ()
    suffixes: tuple[str, ...] = ()
    why: str = "yet"
    text: bool = False

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By magic bytes at their offset, or by the name where there are none."""
        for offset, magic in self.magics:
            if head.startswith(magic, offset):
                return True
        named = bool(self.suffixes) and blob.suffix in self.suffixes
        return named and bool(head) and is_text(head) == self.text

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Only a gap."""
        yield Gap(blob.path, f"{self.name}: this format is not read {self.why}")


# Old GGML containers, by their magic as a little-endian number: ggml, ggmf, ggjt, ggla.
_GGML: Final = tuple((0, magic) for magic in (b"lmgg", b"fmgg", b"tjgg", b"algg"))

BY_MAGIC: Final = (
    Unread("GGML (before GGUF)", _GGML),
    Unread("compress", ((0, b"\x1f\x9d"), (0, b"\x1f\xa0"))),
    Unread("LZ4 of the legacy kind", ((0, b"\x02\x21\x4c\x18"),)),
    Unread("Snappy", ((0, b"\xff\x06\0\0sNaPpY"),)),
    Unread("lzip", ((0, b"LZIP\x01"),)),
    Unread("lzop", ((0, b"\x89LZO\0\r\n\x1a\n"),)),
    Unread("RAR archive", ((0, b"Rar!\x1a\x07"),)),
    Unread("Feather version 1", ((0, b"FEA1"),)),
    Unread("ExecuTorch program", ((4, b"ET12"), (4, b"ET13")), why=_OPERATORS),
    Unread("MXNet parameters", ((0, b"\x12\x01" + bytes(14)),), why=_TENSORS),
    Unread("Java serialization, which runs code when it is read,", ((0, b"\xac\xed\0\x05"),)),
    Unread("CNTK", ((0, b"B\0C\0N\0"),)),
)
GRAPHS: Final = (
    Unread(
        "TensorRT engine",
        ((0, b"ptrt"), (0, b"ftrt")),
        why="so what its native plugins do is not known",
    ),
    Unread("ONNX Runtime format", ((4, b"ORTM"),), why=_OPERATORS),
    Unread("RKNN model", ((0, b"RKNN"), (0, b"CYPTRKNN")), why=_OPERATORS),
    Unread("NCNN model", ((0, b"7767517"), (0, b"\x5d\x86\x76\0")), why=_OPERATORS),
)
BY_NAME: Final = (
    Unread("ONNX in text form", suffixes=(".onnxtxt", ".onnxjson"), why=_OPERATORS, text=True),
    Unread(
        "TensorRT engine",
        suffixes=(".engine", ".plan", ".trt"),
        why="so what its native plugins do is not known",
    ),
    Unread("PaddlePaddle parameters", suffixes=(".pdiparams",), why=_TENSORS),
    Unread("damaged PaddlePaddle program", suffixes=(".pdmodel",), why=_OPERATORS),
    Unread("MNN model", suffixes=(".mnn",), why=_OPERATORS),
    Unread("ExecuTorch program", suffixes=(".pte",), why=_OPERATORS),
    Unread("RKNN model", suffixes=(".rknn",), why=_OPERATORS),
)
