"""Formats and artifacts: what a blob turns out to be, and what detectors read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from poisonscan.finding import Gap, Json
from poisonscan.limits import Budget
from poisonscan.pickles.events import Event
from poisonscan.sources.base import Blob, Spans, Step

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
class Expansion(Artifact):
    """How much comes out of something compressed.

    Attributes:
        format: the container's.
        packed: bytes that it takes.
        unpacked: bytes that came out, up to where a limit may have stopped it.
    """

    format: str
    packed: int
    unpacked: int


@dataclass(frozen=True, slots=True)
class Structure(Artifact):
    """What is wrong with the structure of a file whose format has fixed rules for it."""

    format: str
    anomalies: tuple[Anomaly, ...]
    base: int | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """A kind of operation in a graph.

    Attributes:
        domain: who defines it; empty for the format's own.
        name: such as ``ReadFile`` or ``Conv``.
        node: the first node of this kind, as the file calls it.
        count: how many nodes are of this kind.
        constants: texts that the first few nodes are given, such as file names.
    """

    domain: str
    name: str
    node: str = ""
    count: int = 1
    constants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph(Artifact):
    """A computation graph: ONNX, TensorFlow, TensorFlow Lite and the like; each operator once."""

    format: str
    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """Another file that a file names, to be read when it is loaded.

    Attributes:
        target: as written.
        what: what refers to it, such as ``external data of tensor 'w'``.
        offset: where it is written, if known.
    """

    target: str
    what: str
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class References(Artifact):
    """Other files that a file names."""

    format: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Settings(Artifact):
    """A configuration: a JSON or YAML document, of a repository or inside a container.

    Attributes:
        kind: what reads it, such as ``transformers``, ``keras`` or ``skops``.
        document: its content.
    """

    kind: str
    document: Json


@dataclass(frozen=True, slots=True)
class Script(Artifact):
    """Source code. ``role`` says when it would run: ``module``, ``setup`` or ``handler``.

    ``starts`` has the offset in the file of each line; it is empty where the text stands in no file
    as it is.
    """

    language: str
    text: str
    role: str = "module"
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Template(Artifact):
    """A text template that a loader renders; ``key`` says where in the file it stands."""

    text: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Shard(Artifact):
    """A file of tensors, to be compared with an index beside it.

    Attributes:
        tensors: their names, None if they are not known without loading it.
    """

    tensors: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class ShardIndex(Artifact):
    """Which tensor is in which file: ``*.index.json``. Values are as written."""

    weight_map: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Folder(Artifact):
    """What was scanned in one folder, for checks across files.

    Attributes:
        files: names of all files in the folder.
        shards: shards by file name.
        indexes: the indexes, each with its own path.
    """

    files: frozenset[str]
    shards: Mapping[str, Shard] = field(default_factory=dict)
    indexes: tuple[ShardIndex, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorFile(Artifact):
    """A safetensors file's header."""

    tensors: int
    anomalies: tuple[Anomaly, ...]
    base: int | None


@dataclass(frozen=True, slots=True)
class ExtensionType:
    """A type of some library that the schema of a table names.

    Attributes:
        name: such as ``arrow.uuid``.
        field: path of the column that has it.
        imports: what the pickle imports that the type is made from; empty if there is none.
        known: the pickle makes an array type of `datasets`, and nothing else.
    """

    name: str
    field: str
    imports: tuple[tuple[str, str], ...] = ()
    known: bool = False


@dataclass(frozen=True, slots=True)
class ExtensionTypes(Artifact):
    """The extension types of a table."""

    types: tuple[ExtensionType, ...]


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
        file: where it is on disk; of a member of an archive, where the archive is.
        format: ``parquet``, ``arrow`` (file or stream), ``csv`` (any delimiter), ``json`` (JSON
            lines or one array of objects), ``image`` (one picture) or ``audio`` (one recording);
            ``other`` for what may be read with such files.
        size: bytes; of a member, unpacked.
        codec: how the file is compressed, as ``compressed`` calls it; empty when it is not.
        steps: how a member is reached in the archive; empty for a file by itself.
        scratch: folder for what must be unpacked to be read; the system's where empty.
        start: byte of the content where the rows begin: an array in a JSON object; 0 otherwise.
        field: key of that array.
        header: whether the first record of delimited text holds the names of its columns, where
            somebody said so; None: its content tells.
        present: the parts of the file that are there; None: all of it.
    """

    file: str
    format: str
    size: int
    codec: str = ""
    steps: tuple[Step, ...] = ()
    scratch: str = ""
    start: int = 0
    field: str = ""
    header: bool | None = None
    present: Spans | None = None


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
