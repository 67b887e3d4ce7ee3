"""Constants of a graph that is in the file beside this one: raw numbers without a mark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Numbers
from poisonscan.formats.tables import is_text
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_BLOB_METADATA: Final = b"\xef\xbe\xad\xde"
"""At byte 64 of Core ML's blob storage, version 2: ``MILBlob/Blob/StorageFormat.hpp``."""


class Weights:
    """Weights of ONNX, OpenVINO and Core ML."""

    name = "weights of a graph"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By Core ML's header and name, or by the file beside it being the graph; never text.

        Both leave room for any other content, so formats with marks of their own are asked before.
        """
        if head[4:8] == b"\x02\0\0\0" and head[64:68] == _BLOB_METADATA:
            return blob.name == "weight.bin" or ".mlpackage/" in blob.path
        if head and is_text(head):
            return False
        return blob.file is not None and _has_graph_beside(Path(blob.file))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Nothing that could run."""
        yield Numbers(blob.path, self.name)


def _has_graph_beside(path: Path) -> bool:
    # Only names are looked at: a scan of one file does not open others.
    if path.suffix == ".bin":
        return path.with_suffix(".xml").is_file()
    stem, dot, kind = path.name.rpartition(".onnx")
    return bool(dot) and kind in (".data", "_data") and path.with_name(stem + dot).is_file()
