"""Files whose name promises a format without code while their content is one that can run code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact, Identified
from poisonscan.rules import rule

# Suffixes that promise data without code, and the formats that keep the promise.
_PROMISES: Final = {
    ".safetensors": ("safetensors",),
    ".npy": ("npy",),
    ".npz": ("zip",),
    ".skops": ("zip",),
    ".ubj": ("XGBoost",),
    ".cbm": ("CatBoost",),
    ".msgpack": ("MessagePack",),
    ".parquet": ("parquet",),
    ".arrow": ("arrow",),
    ".feather": ("arrow", "parquet"),
    ".csv": ("csv", "text"),
    ".tsv": ("csv", "text"),
    ".json": ("json", "text"),
    ".jsonl": ("json", "text"),
    ".txt": ("text", "csv", "json"),
    ".md": ("text",),
    ".yaml": ("text",),
    ".yml": ("text",),
    ".png": ("image",),
    ".jpg": ("image",),
    ".jpeg": ("image",),
    ".gif": ("image",),
    ".webp": ("image",),
    ".onnx": (),
    ".tflite": (),
    ".mlmodel": (),
    ".pb": (),
    ".pmml": (),
    ".gguf": ("GGUF",),
    ".jinja": ("Jinja template", "text"),
    ".h5": ("HDF5",),
    ".hdf5": ("HDF5",),
}
_CAN_RUN: Final = frozenset(
    {
        "pickle",
        "zip",
        "tar",
        "gzip",
        "bzip2",
        "xz",
        "lzma",
        "zlib",
        "zstandard",
        "LZ4",
        "7z",
        "executable",
    }
)


class SuffixMismatch:
    """Rule PS202."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Identified,)

    def check(self, artifact: Identified) -> Iterator[Finding]:
        """A finding when the name hides what the content can do."""
        promised = _PROMISES.get(artifact.suffix)
        if promised is None or artifact.format in promised or artifact.format not in _CAN_RUN:
            return
        yield rule("PS202").finding(
            Location(artifact.path),
            f"The file is called {quote(artifact.suffix)} and holds {artifact.format} instead.",
            key=artifact.format,
            format=artifact.format,
        )


DETECTOR: Final = SuffixMismatch()
