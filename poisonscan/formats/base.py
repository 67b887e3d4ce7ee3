"""Formats and artifacts: what a blob turns out to be, and what detectors read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from poisonscan.finding import Gap
from poisonscan.limits import Budget
from poisonscan.pickles.events import Event
from poisonscan.sources.base import Blob

HEAD = 4096
"""Bytes that ``Format.matches`` gets to see."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something that detectors read. ``path`` is its place, ``outer!/member`` inside archives."""

    path: str


@dataclass(frozen=True, slots=True)
class Identified(Artifact):
    """What every file is once its format is known.

    Attributes:
        format: the format's name.
        suffix: of the file's name, in lower case with its dot.
    """

    format: str
    suffix: str


@dataclass(frozen=True, slots=True)
class PickleStream(Artifact):
    """A pickle, with all that its loader's own grammar puts around and inside it.

    Attributes:
        grammar: ``pickle``, ``joblib`` or ``torch legacy``: whose loader reads it so.
        events: what loading it would do, in order; repeated imports of a name are left out.
        base: offset in the outermost file of the first byte; None if it is compressed there.
    """

    grammar: str
    events: tuple[Event, ...]
    base: int | None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something wrong with a file's structure: ``kind`` is a keyword, ``offset`` its place."""

    kind: str
    what: str
    offset: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Archive(Artifact):
    """A container; its members are scanned by themselves."""

    format: str
    members: int
    anomalies: tuple[Anomaly, ...]
    base: int | None


@dataclass(frozen=True, slots=True)
class TensorFile(Artifact):
    """A safetensors file's header."""

    tensors: int
    anomalies: tuple[Anomaly, ...]
    base: int | None


@dataclass(frozen=True, slots=True)
class Numbers(Artifact):
    """Raw numbers: a tensor storage, or an array without objects. Nothing in it can run."""

    format: str


@dataclass(frozen=True, slots=True)
class Text(Artifact):
    """Plain text that is neither a table nor a model."""


@dataclass(frozen=True, slots=True)
class TableFile(Artifact):
    """A file of rows on disk: part of a dataset.

    Attributes:
        path: as reports call it, relative to the root, with forward slashes.
        file: where it is on disk.
        format: ``parquet``, ``arrow`` (file or stream), ``csv`` (any delimiter), ``json`` (JSON
            lines or one array of objects) or ``image`` (one picture).
        size: bytes.
    """

    file: str
    format: str
    size: int


class Format(Protocol):
    """A file format. Content decides; the suffix only breaks ties."""

    @property
    def name(self) -> str:
        """As reports call it."""

    def matches(self, blob: Blob, head: bytes) -> bool:
        """Whether a blob that begins with ``head`` (``HEAD`` bytes) is of this format."""

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Artifacts for detectors, members to be identified by themselves, and gaps.

        Raises:
            LimitReached: reading it costs more than allowed; what came before stays.
        """
