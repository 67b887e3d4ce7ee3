"""Other files inside of formats that hold only numbers and texts.

Nobody looks there, but some programs do load them: NVIDIA's Transformer Engine keeps pickles in
byte tensors called ``_extra_state``, and texts of a header take a pickle in base64 as well as any.
What is found is handed on to be scanned as what it is.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Settings, Template
from poisonscan.formats.pickle_stream import runs_as_pickle, stored_pickle
from poisonscan.limits import Budget, LimitReached
from poisonscan.pickles.events import Import
from poisonscan.sources.base import Blob

_ZIP: Final = b"PK\x03\x04"
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-\s]{16,}={0,2}\s*")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_MODULE: Final = re.compile(r"[A-Za-z_][\w.]+", re.ASCII)
_FIRST_BYTES: Final = frozenset(b"\x80Pci")
_FIRST_ENCODED: Final = frozenset(
    base64.b64encode(bytes([first, second]))[:2].decode()
    for first in _FIRST_BYTES
    for second in range(256)
)
_MOST_DECODED: Final = 1_000
_TEXT_PICKLES: Final = ("c", "i", "(")
"""Opcodes that a pickle of protocol 0 may begin with."""
_TEMPLATE: Final = "chat_template"
_CODE: Final = '"auto_map"'
"""What makes transformers import code, in a configuration."""


def may_be_file(view: memoryview, start: int, end: int) -> bool:
    """Whether bytes begin as a binary pickle, a pickle of an import, or a zip archive may."""
    return end - start > 8 and view[start] in _FIRST_BYTES


def in_tensor(part: Blob, budget: Budget) -> Iterator[Blob]:
    """A tensor of bytes, if these are a pickle that imports something, or a zip archive."""
    view = part.open()
    if bytes(view[:4]) == _ZIP or _imports(part, view, budget):
        yield part


def in_metadata(blob: Blob, metadata: Any, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
    """What texts by name hold beside text: templates, configurations, and pickles in base64."""
    if not isinstance(metadata, Mapping):
        return
    looked = 0
    for key, value in metadata.items():
        if not isinstance(value, str):
            continue
        if key.rpartition(".")[2] == _TEMPLATE:
            yield Template(blob.path, value, f"__metadata__.{key}")
        elif _CODE in value:
            yield from _settings(blob, value)
        place = f"__metadata__/{key}"
        if value[:1] in _TEXT_PICKLES and "\n" in value:
            view = memoryview(value.encode("latin-1", "replace"))
            if runs_as_pickle(view):
                yield blob.part(place, view, None)
        elif _may_decode(value) and (data := _decoded(value)):
            looked += 1
            if looked > _MOST_DECODED:
                what = f"more than {_MOST_DECODED:,} texts of the metadata look like files"
                yield Gap(blob.path, f"{what}: the rest was not looked into")
                return
            part = blob.part(place, memoryview(data), None)
            if data.startswith(_ZIP) or _imports(part, memoryview(data), budget):
                yield part


def _imports(part: Blob, view: memoryview, budget: Budget) -> bool:
    """Whether bytes are a pickle that imports a name such as modules have; random ones may be."""
    try:
        stream = stored_pickle(part, view, budget)
    except LimitReached:
        return True  # to be told in its own place
    events = stream.events if stream is not None else ()
    return any(isinstance(e, Import) and _MODULE.fullmatch(e.target.dotted) for e in events)


def _settings(blob: Blob, text: str) -> Iterator[Artifact]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        yield Settings(blob.path, "transformers", document)


def _may_decode(text: str) -> bool:
    """Whether the first two characters encode a first byte such as files of interest have."""
    return text.lstrip()[:2] in _FIRST_ENCODED


def _decoded(text: str) -> bytes:
    """What a text encodes in base64; empty if it is something else."""
    if not _BASE64.fullmatch(text):
        return b""
    compact = "".join(text.split()).translate(_URL_SAFE)
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4))
    except binascii.Error:
        return b""
