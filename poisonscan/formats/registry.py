"""Which format a blob has: the first that matches, in this order.

There are many formats, and most files are of a few: so the table says which files may be of a
format at all, by first byte or suffix, and a module is loaded only for those.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from poisonscan.formats.base import HEAD, Format
from poisonscan.sources.base import Blob

_JSON: Final = b"{[ \t\n\v\f\r\xef\xfe\xff\0"  # white space, and byte order marks
_YAML: Final = (".yaml", ".yml")
_PROGRAMS: Final = (
    ".exe", ".dll", ".scr", ".com", ".sys", ".cpl", ".ocx", ".pyd", ".pyc", ".pyo", ".vbs", ".vbe",
    ".jse", ".wsf", ".wsh", ".hta", ".scf", ".reg", ".url", ".sct", ".desktop",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Entry:
    """A format, and which files may be of it at all.

    Attributes:
        place: module below ``poisonscan.formats``, and the name in it: a class, or a tuple of
            formats.
        first: the first bytes of such files; empty for any.
        suffixes: names that such files may have instead; ``-`` at the end: and anything behind it.
        test: a further condition on the first ``HEAD`` bytes.
        options: that the class is made with.
    """

    place: str
    first: bytes = b""
    suffixes: tuple[str, ...] = ()
    test: Callable[[bytes], bool] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def formats(self) -> tuple[Format, ...]:
        """The formats themselves; their module is loaded when they are first asked for."""
        module, _, name = self.place.partition(":")
        found = getattr(importlib.import_module(f"poisonscan.formats.{module}"), name)
        formats = found if isinstance(found, tuple) else (found(**self.options),)
        return cast("tuple[Format, ...]", formats)

    def may_be(self, first: bytes, suffix: str) -> bool:
        """Whether a file of that first byte (none if it is empty) and suffix may be of it."""
        if not self.first and not self.suffixes:
            return True
        begins = tuple(known for known in self.suffixes if known.endswith("-"))
        begins_so = bool(first) and first in self.first
        return begins_so or suffix in self.suffixes or suffix.startswith(begins)


_CHECKSUM: Final = re.compile(rb"[0-9\x80-\xff]")


def _has_tar_header(head: bytes) -> bool:
    """Whether there may be a checksum at the place where tar has it."""
    return head[257:262] == b"ustar" or _CHECKSUM.search(head, 148, 156) is not None


FORMATS: Final = (
    Entry("tables:Pointer", b"v"),
    # Its first bytes are a length, which may be the magic bytes of anything.
    Entry("safetensors:Safetensors", test=lambda head: head[8:9] == b"{"),
    Entry("unread:BY_MAGIC", b"lfta\x1f\x02\xffL\x89RF\x12\xacB"),
    Entry("unread:BY_MAGIC", test=lambda head: head[4:7] == b"ET1"),
    Entry("programs:Executable", b"\x7fM\xfe\xcf\xce\xcaLdP\xd0", _PROGRAMS),
    Entry("programs:Executable", test=lambda head: head[2:4] == b"\r\n"),
    Entry("gguf:Gguf", b"GF"),
    Entry("skops:Skops", _JSON),
    Entry("model_archive:ArchiveManifest", suffixes=(".json",)),
    Entry("torch_archive:CompiledCode", suffixes=(".py",)),
    Entry("torch_archive:ByteCode", suffixes=(".pkl",)),
    Entry("torch_archive:PackageStorage", suffixes=(".storage",)),
    Entry("torch_archive:ExportedProgram", _JSON),
    Entry("r_data:RData", b"RXAB"),
    Entry("torch7:Torch7", b"\x03\x04\x06\x07\x0834678"),
    Entry("msgpack:MsgPack", suffixes=(".msgpack", ".mpk")),
    Entry("xgboost_model:XGBoost", _JSON + b"b"),
    Entry("trees:LightGBM", b"t"),
    Entry("trees:CatBoost", _JSON + b"C"),
    Entry("hdf5:Hdf5", b"\x89"),
    Entry("npy:Npy", b"\x93"),
    Entry("compressed:COMPRESSED", b"\x1fB\xfd\x78\x04\x28" + bytes(range(0x50, 0x60))),
    Entry("compressed:COMPRESSED", test=lambda head: head[13:14] == b"\0"),
    Entry("seven_zip:SevenZip", b"7"),
    Entry("tables:BINARY"),
    Entry("tar_archive:Tar", test=_has_tar_header),
    Entry("zip_archive:Zip"),
    Entry("hdf5:Hdf5", options={"user_block": True}),
    Entry("saved_model:KerasMetadata", suffixes=(".pb",)),
    Entry("saved_model:Fingerprint", suffixes=(".pb",)),
    Entry("saved_model:Checkpoint", suffixes=(".index", ".data-")),
    Entry("tflite:TfLite", test=lambda head: b"TFL3" in head[:16]),
    Entry("unread:GRAPHS", b"pfRC7]"),
    Entry("unread:GRAPHS", test=lambda head: head[4:8] == b"ORTM"),
    Entry("onnx:Onnx", b"\x08\x12\x1a\x22\x28\x32\x3a\x42\x72\xa2\xca"),
    Entry("saved_model:TensorFlow", b"\x08\x0a\x12"),
    Entry("coreml:CoreMl", b"\x08"),
    Entry("paddle:Paddle", b"\x0a"),
    Entry("sentencepiece:SentencePiece", b"\x0a"),
    Entry("tensorboard:Events", test=lambda head: b"brain.Event:" in head[:64]),
    Entry("openvino:OpenVino", suffixes=(".xml",)),
    Entry("pmml:Pmml", test=lambda head: b"PMML" in head.replace(b"\0", b"")),
    Entry("pmml:Pmml", suffixes=(".pmml",)),
    Entry("pickle_stream:Pickle"),
    Entry("onnx:Onnx", suffixes=(".onnx",), options={"by_name": True}),
    Entry("graph_weights:Weights"),
    Entry("saved_model:TensorFlow", suffixes=(".pb",), options={"by_name": True}),
    Entry("coreml:CoreMl", suffixes=(".mlmodel",), options={"by_name": True}),
    Entry("saved_model:TextGraph", suffixes=(".pbtxt", ".pbtext", ".prototxt")),
    Entry("unread:BY_NAME"),
    Entry("keras_config:KerasConfig", _JSON, _YAML),
    Entry("safetensors:Safetensors", suffixes=(".safetensors",), options={"by_name": True}),
    Entry("shard_index:Index", _JSON),
    Entry("scripts:PythonSource", b"#", (".py", ".pyw", ".pth")),
    Entry("scripts:ShellSource"),
    Entry("scripts:Notebook", suffixes=(".ipynb",)),
    Entry("settings:Configuration", options={"by_name": True}),
    Entry("chat_template:Jinja", suffixes=(".jinja", ".jinja2", ".j2")),
    Entry("tables:WideText", test=lambda head: b"\0" in head),
    Entry("tables:TEXTUAL"),
    Entry("settings:Configuration"),
    Entry("tables:Prose"),
)
_TAR, _ZIP, _PICKLE = (
    next(entry for entry in FORMATS if entry.place == place)
    for place in ("tar_archive:Tar", "zip_archive:Zip", "pickle_stream:Pickle")
)


def preload(suffixes: Iterable[str]) -> None:
    """Load the formats that files of these names mostly have, for forked processes to have them."""
    for suffix in suffixes:
        for first in (b"\x80", b"P"):
            for entry in _candidates(first, suffix):
                if entry.test is None:
                    assert entry.formats


@functools.lru_cache(maxsize=4096)
def _candidates(first: bytes, suffix: str) -> tuple[Entry, ...]:
    return tuple(entry for entry in FORMATS if entry.may_be(first, suffix))


def candidates(blob: Blob, head: bytes) -> Iterator[tuple[Entry, Format]]:
    """Formats that a blob may have, each with its entry, in order."""
    for entry in _candidates(head[:1], blob.suffix):
        if entry.test is None or entry.test(head):
            for format_ in entry.formats:
                yield entry, format_


def identify(blob: Blob, view: memoryview) -> tuple[Format, ...]:
    """The formats of a blob: none when it is not known, several for a file that is all of them.

    A zip archive is read from its end, so any other file may have one appended to it; what carries
    the first bytes of some format may run as a pickle all the same; and a tar archive begins with
    the name of its first member, which may be those bytes.
    """
    from poisonscan.formats.pickle_stream import runs_as_pickle
    from poisonscan.formats.zip_directory import ends_as_zip

    head = bytes(view[:HEAD])
    found: list[Format] = []
    matched: Entry | None = None
    asked = False  # whether it is a pickle
    for entry, format_ in candidates(blob, head):
        asked = asked or entry is _PICKLE
        if format_.matches(blob, head):
            matched = entry
            found.append(format_)
            break
    if not asked and runs_as_pickle(view):
        found += _PICKLE.formats
    if matched is not _ZIP and ends_as_zip(view, blob.suffix):
        found += _ZIP.formats
    if found and matched is not _TAR and _has_tar_header(head):
        found += (tar for tar in _TAR.formats if tar.matches(blob, head))
    return tuple(found)
