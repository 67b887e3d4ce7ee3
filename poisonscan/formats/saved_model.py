"""TensorFlow: SavedModel, frozen graphs, meta graphs, and what lies beside them.

Fields: ``tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph}.proto`` of 2.21, and
``saved_metadata.proto`` of Keras 2. None of these files has magic bytes: they are known by all of
their outermost fields being as the schema says, with a graph whose first node is one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats import protobuf as pb
from poisonscan.formats.base import (
    Artifact,
    Graph,
    Numbers,
    Reference,
    References,
    Structure,
)
from poisonscan.formats.keras_config import artifacts as keras_artifacts
from poisonscan.formats.tables import is_text
from poisonscan.formats.tensorflow_graph import TensorFlowGraph
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_V, _B = pb.VARINT, pb.BYTES
_SAVED_MODEL: Final = {1: _V, 2: _B}
_META_GRAPH: Final = dict.fromkeys(range(1, 8), _B)
_GRAPH: Final = {1: _B, 2: _B, 3: _V, 4: _B, 5: _B}
_SAVED_OBJECT: Final = {1: _B, 2: _V, 3: _B, 4: _B, 5: _B}
_FINGERPRINT: Final = {1: _V, 2: _V, 3: _V, 4: _V, 5: _V, 6: _B, 7: _B}
_NODE_NAME: Final = re.compile(r"[A-Za-z0-9.^_][\w.\\/>-]*")
_OPERATOR: Final = re.compile(r"[A-Za-z_][\w>.]*")
_TEXT_GRAPH: Final = re.compile(
    rb"^\s*(?:node|meta_graphs|graph_def|meta_info_def)\s*:?\s*\{", re.MULTILINE
)
_KEPT: Final = 10_000
_SNIFFED: Final = 100_000
"""Fields that are looked at to tell what a file is."""
_KERAS: Final = "_tf_keras"
"""What the identifiers of Keras' descriptions begin with: ``keras/saving/legacy/saved_model``."""
_TABLE_END: Final = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
"""Last bytes of a table: ``kTableMagicNumber`` of tensorflow/core/lib/io/format.h."""
_SHARD: Final = re.compile(r".+\.data-\d{5}-of-\d{5}")


@dataclass(frozen=True, slots=True)
class TensorFlow:
    """A binary SavedModel, meta graph or graph.

    Attributes:
        by_name: take any ``.pb`` file, to say what is wrong with it; for those that no other format
            claims.
    """

    by_name: bool = False
    name: str = "TensorFlow"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the fields of the file and of its first node; or by its name."""
        if self.by_name:
            return blob.suffix == ".pb" and bool(head) and not is_text(head)
        return head[:1] in (b"\x08", b"\x0a", b"\x12") and _kind(blob.open()) != ""

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The graph with all functions, the files that go with it, and Keras' descriptions."""
        model = _Model(view, budget)
        failure = pb.failure(_READERS[_kind(view) or "saved model"](model))
        graph = model.graph
        yield Graph(blob.path, "TensorFlow", graph.operators())
        if model.files:
            yield References(blob.path, "SavedModel", tuple(model.files))
        if graph.anomalies:
            yield Structure(blob.path, "TensorFlow", tuple(graph.anomalies), blob.base)
        for document in model.documents:
            yield from keras_artifacts(blob.path, view[document.start : document.end])
        if failure:
            yield Gap(blob.path, failure)
        elif not graph.nodes:
            yield Gap(blob.path, "a TensorFlow file without a graph: damaged, or something else")
        for what in filter(None, (model.left_out, graph.left_out)):
            yield Gap(blob.path, f"not looked at: {what}")


def _kind(view: memoryview) -> str:
    """``saved model``, ``meta graph`` or ``graph``; empty if the file is none of them."""
    whole = pb.Message(0, len(view))
    top = _parts(view, whole, _SAVED_MODEL)
    if 2 in top and _is_meta_graph(view, top[2].message):
        return "saved model"
    top = _parts(view, whole, _META_GRAPH)
    if 1 in top and 2 in top and _is_graph(view, top[2].message):
        return "meta graph"
    top = _parts(view, whole, _GRAPH)
    if 1 in top and _is_node(view, top[1].message):
        return "graph"
    return ""


def _parts(view: memoryview, message: pb.Message, schema: dict[int, int]) -> dict[int, pb.Field]:
    """The first fields of each number in a message; nothing if a number is not in the schema.

    Fields of a wrong wire type are left out: parsers take them for unknown ones and go on.
    """
    found: dict[int, pb.Field] = {}
    try:
        for part in itertools.islice(pb.fields(view, message), _SNIFFED):
            if part.number not in schema:
                return {}
            if schema[part.number] == part.wire:
                found.setdefault(part.number, part)
    except pb.ProtobufError:
        return {}
    return found


def _is_meta_graph(view: memoryview, message: pb.Message) -> bool:
    graph = _parts(view, message, _META_GRAPH).get(2)
    return graph is not None and _is_graph(view, graph.message)


def _is_graph(view: memoryview, message: pb.Message) -> bool:
    node = _parts(view, message, _GRAPH).get(1)
    return node is not None and _is_node(view, node.message)


def _is_node(view: memoryview, message: pb.Message) -> bool:
    # As in a meta graph: fields 1 to 7 are messages or text.
    parts = _parts(view, message, _META_GRAPH)
    if 1 not in parts or 2 not in parts:
        return False
    name, operator = pb.text(view, parts[1]), pb.text(view, parts[2])
    return bool(_NODE_NAME.fullmatch(name) and _OPERATOR.fullmatch(operator))


@dataclass(slots=True)
class _Model:
    view: memoryview
    budget: Budget
    graph: TensorFlowGraph = field(init=False)
    files: list[Reference] = field(default_factory=list)
    documents: list[pb.Message] = field(default_factory=list)
    left_out: str = ""
    foreign: int = 0

    def __post_init__(self) -> None:
        self.graph = TensorFlowGraph(self.view, self.budget)

    @property
    def _whole(self) -> pb.Message:
        return pb.Message(0, len(self.view))

    def _fields(self, message: pb.Message) -> Iterator[pb.Field]:
        return pb.fields(self.view, message, self.budget)

    def saved_model(self) -> None:
        """Every meta graph of a SavedModel."""
        for item in self._fields(self._whole):
            if item.number == 2:
                self._meta_graph(item.message)

    def meta_graph(self) -> None:
        """A file that is one meta graph."""
        self._meta_graph(self._whole)

    def frozen(self) -> None:
        """A file that is one graph."""
        self.graph.graph(self._whole)

    def _meta_graph(self, message: pb.Message) -> None:
        assets: set[str] = set()
        for item in self._fields(message):
            if item.number == 6:
                assets.add(self._asset(item))
        self.graph.replaced = frozenset(assets)
        for item in self._fields(message):
            if item.number == 2:
                self.graph.graph(item.message)
            elif item.number == 7:
                self._objects(item.message)

    def _asset(self, item: pb.Field) -> str:
        """Note the file; returns the node that holds its name until it is loaded."""
        node = ""
        for part in self._fields(item.message):
            if part.number == 2 and len(self.files) < _KEPT:
                target = pb.text(self.view, part)
                self.files.append(Reference(target, "a file in 'assets'", part.start))
            elif part.number == 2:
                self.left_out = f"more than {_KEPT:,} files in 'assets'"
            elif part.number == 1:
                for info in self._fields(part.message):
                    if info.number == 1:
                        node = pb.text(self.view, info).partition(":")[0]
        return node

    def _objects(self, message: pb.Message) -> None:
        """Keras' descriptions of layers, where TensorFlow 2.0 to 2.4 put them."""
        for item in self._fields(message):
            if item.number != 1:
                continue
            for part in self._fields(item.message):
                if part.number == 4 and part.wire == _B:
                    self._description(part.message, identifier=1, document=3)

    def keras_metadata(self) -> None:
        """Keras' descriptions of layers, where TensorFlow 2.5 to 2.15 put them."""
        for item in self._fields(self._whole):
            if item.number == 1:
                known = self._description(item.message, identifier=4, document=5)
                self.foreign += not known
            else:
                self.foreign += 1

    def _description(self, message: pb.Message, *, identifier: int, document: int) -> bool:
        """Keep the documents of one layer; whether Keras' identifier stands beside them."""
        of_keras = False
        found: list[pb.Message] = []
        for part in self._fields(message):
            if part.number == identifier:
                of_keras = pb.text(self.view, part).startswith(_KERAS)
            elif part.number == document and part.end > part.start:
                found.append(part.message)
        if not of_keras:
            return False
        if len(self.documents) + len(found) > _KEPT:
            self.left_out = f"more than {_KEPT:,} descriptions of layers"
        else:
            self.documents += found
        return True


_READERS: Final[dict[str, Callable[[_Model], Callable[[], None]]]] = {
    "saved model": lambda model: model.saved_model,
    "meta graph": lambda model: model.meta_graph,
    "graph": lambda model: model.frozen,
}


class KerasMetadata:
    """``keras_metadata.pb`` of a SavedModel: a description of each layer as JSON."""

    name = "Keras metadata"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its name, as Keras does, and its first element, which a graph's node is not."""
        if blob.name != "keras_metadata.pb" or head[:1] != b"\x0a":
            return False
        view = blob.open()
        return _begins_as_keras(view) and _kind(view) == ""

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The descriptions."""
        model = _Model(view, budget)
        failure = pb.failure(model.keras_metadata)
        yield Graph(blob.path, self.name, ())
        for document in model.documents:
            yield from keras_artifacts(blob.path, view[document.start : document.end])
        foreign = f"{model.foreign:,} elements that are not Keras's" if model.foreign else ""
        for what in filter(None, (failure, model.left_out, foreign)):
            yield Gap(blob.path, what)


def _begins_as_keras(view: memoryview) -> bool:
    try:
        first = next(pb.fields(view, pb.Message(0, len(view))))
        identifier = _parts(view, first.message, _SAVED_OBJECT).get(4)
    except pb.ProtobufError:
        return False
    return identifier is not None and pb.text(view, identifier).startswith(_KERAS)


class Fingerprint:
    """``fingerprint.pb`` of a SavedModel: hashes of the other files."""

    name = "TensorFlow fingerprint"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By its name and its fields."""
        return blob.name == "fingerprint.pb" and pb.shape(blob.open(), _FINGERPRINT) is not None

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Only numbers and a version."""
        yield Numbers(blob.path, self.name)


class Checkpoint:
    """Variables of TensorFlow: a table of names and places, and files of raw values."""

    name = "TensorFlow checkpoint"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """The table by its last bytes; the values, which have no mark, by their name."""
        if _SHARD.fullmatch(blob.name):
            return bool(head)
        view = blob.open()
        return len(view) >= 48 and bytes(view[-8:]) == _TABLE_END

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Only values and where they are: loading them makes tensors and nothing else."""
        yield Numbers(blob.path, self.name)


class TextGraph:
    """A graph in the text form of protocol buffers, which TensorFlow loads as well."""

    name = "TensorFlow text"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its name and the first lines."""
        named = blob.suffix in (".pbtxt", ".pbtext", ".prototxt")
        return blob.name == "saved_model.pbtxt" or (named and bool(_TEXT_GRAPH.search(head)))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Only a gap."""
        yield Gap(blob.path, "a graph in text form, which is not checked: save it in binary form")
