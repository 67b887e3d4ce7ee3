"""Files of rows: parquet, Arrow, JSON, delimited text, pictures and recordings.

Only told apart here; ``datasets`` reads them, also as members of zip and tar archives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import HEAD, Artifact, TableFile, Text
from poisonscan.formats.json_rows import first_byte
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_PICTURES: Final = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*",
)  # fmt: skip
_RECORDINGS: Final = (b"fLaC", b"ID3", b"OggS")
_FRAME: Final = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]")
"""How MPEG audio begins where nothing stands before it; only names ending in .mp3 are asked."""
_DELIMITED: Final = (".csv", ".tsv", ".psv", ".tab", ".data")
_MODELS: Final = (
    ".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".safetensors",
    ".h5", ".keras", ".onnx", ".gguf", ".tflite", ".pb", ".dill",
)  # fmt: skip
_ORDINARY: Final = frozenset({
    ".txt", ".md", ".rst", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".psv", ".tab", ".data",
    ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".xml", ".html", ".htm", ".svg", ".css",
    ".js", ".ts", ".py", ".pyi", ".r", ".lua", ".c", ".h", ".cc", ".cpp", ".hpp", ".cu", ".java",
    ".go", ".rs", ".sh", ".bat", ".tex", ".bib", ".log", ".vocab", ".bpe", ".merges", ".jinja",
    ".ipynb", ".license", ".lock", ".patch", ".diff", ".srt", ".vtt", ".ps", ".eps",
})  # fmt: skip
"""Names under which control characters in text are slips, and no loader looks for a model."""
_ARCHIVES: Final = 2
"""Archives, one in the other, that tables are read from."""
_PACKED: Final = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z")
_NEWLINE: Final = re.compile(rb"\n")
_LONGEST_LINE: Final = 16 << 20
_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_SLIPS: Final = 0.02
"""Share of control characters that readers of delimited text get along with."""
_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows of one kind."""

    name: str

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By magic bytes, or for text by its form, with the suffix to break ties."""
        return _MATCHES[self.name](blob, head)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The table, where it can be read, and what its schema makes readers do."""
        if blob.file is not None:
            yield TableFile(blob.path, blob.file, self.name, blob.size)
        else:
            yield table_in(blob, self.name)
        if self.name in _SCHEMAS:
            from poisonscan.formats import arrow_schema

            in_schema = getattr(arrow_schema, _SCHEMAS[self.name])
            yield from in_schema(blob, view, budget)


def table_in(blob: Blob, name: str) -> TableFile | Gap:
    """A table in an archive, or why it is not read.

    Args:
        blob: the member.
        name: of its format.
    """
    reason = ""
    if name == "audio" or not blob.steps:
        reason = f"{name} inside an archive or a compressed file is not read as a dataset"
    elif sum(step.size >= 0 for step in blob.steps) > _ARCHIVES:
        reason = f"{name} inside more than {_ARCHIVES} archives is not read as a dataset"
    if reason:
        return Gap(blob.path, f"{reason}: unpack it and scan what comes out")
    codec = blob.steps[-1].codec
    return TableFile(blob.path, blob.outermost, name, blob.size, codec, blob.steps)


def _parquet(blob: Blob, head: bytes) -> bool:
    return head.startswith(b"PAR1") or (blob.suffix == ".parquet" and not _binary_pickle(head))


def _arrow(blob: Blob, head: bytes) -> bool:
    if head.startswith(b"ARROW1"):
        return True
    stream = head[:4] == b"\xff\xff\xff\xff" and head[4:8] != b"\xff\xff\xff\xff"
    return stream and (
        blob.suffix in (".arrow", ".arrows", ".feather", ".ipc") or b"\x10\0\0\0" in head[:64]
    )


def _picture(blob: Blob, head: bytes) -> bool:
    if head.startswith(b"BM"):
        return blob.suffix in (".bmp", ".dib")
    return head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _recording(blob: Blob, head: bytes) -> bool:
    if head.startswith(_RECORDINGS) or (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"):
        return True
    return blob.suffix == ".mp3" and _FRAME.match(head) is not None


def _json(blob: Blob, head: bytes) -> bool:
    """JSON lines, or an array of objects; a single object is a configuration, see ``settings``."""
    if blob.suffix in (".jsonl", ".ndjson"):
        return True
    text = front(blob, head)
    if not is_text(head) or not text.startswith((b"{", b"[")):
        return False
    if text.startswith(b"["):
        return text[1:].lstrip().startswith(b"{") and blob.suffix in (".json", "")
    view = blob.open()
    line = _NEWLINE.search(view, first_byte(view), _LONGEST_LINE)
    if line is None:
        return False
    behind = bytes(view[line.end() : line.end() + HEAD]).lstrip()
    return behind.startswith(b"{") and _is_object(bytes(view[: line.start()]))


def front(blob: Blob, head: bytes) -> bytes:
    """What a text begins with behind blanks, however many."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text or len(head) < HEAD:
        return text
    view = blob.open()
    start = first_byte(view)
    return bytes(view[start : start + HEAD])


def _delimited(blob: Blob, head: bytes) -> bool:
    slips = len(_CONTROL.findall(head))
    return blob.suffix in _DELIMITED and slips <= _SLIPS * len(head)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _binary_pickle(head: bytes) -> bool:
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


def is_text(head: bytes) -> bool:
    """Whether bytes look like text in ASCII, UTF-8 or a single-byte encoding."""
    return _CONTROL.search(head) is None


_MATCHES: Final = {
    "parquet": _parquet,
    "arrow": _arrow,
    "image": _picture,
    "audio": _recording,
    "json": _json,
    "csv": _delimited,
}
_SCHEMAS: Final = {"parquet": "in_parquet", "arrow": "in_arrow"}
BINARY: Final = (Table("parquet"), Table("arrow"), Table("image"), Table("audio"))
TEXTUAL: Final = (Table("json"), Table("csv"))


class Pointer:
    """What Git leaves in the place of a large file that was not fetched."""

    name = "Git LFS pointer"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By its first line."""
        return head.startswith(_POINTER)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Only a gap."""
        yield Gap(blob.path, "a Git LFS pointer: the file itself is not here (`git lfs pull`)")


class WideText:
    """Text in UTF-16 or UTF-32, which no reader of rows takes without being told."""

    name = "wide text"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By a byte order mark, or under the name of text by zeros between its characters."""
        if not head.startswith(_MARKS) and blob.suffix not in _ORDINARY:
            return False
        zeros = head.count(b"\0")
        return 0 < 0.3 * len(head) <= zeros and is_text(head.replace(b"\0", b""))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Only a gap."""
        yield Gap(blob.path, "text in UTF-16 or UTF-32 is not read: write it as UTF-8, scan that")


class Prose:
    """Text that is neither rows nor a model: documentation, code, configuration."""

    name = "text"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By the absence of control characters."""
        return is_text(head)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Nothing to detect in; a gap where the name promises a model, or where the text ends."""
        yield Text(blob.path)
        if blob.suffix not in _ORDINARY and (match := _CONTROL.search(view, HEAD)) is not None:
            what = "begins as text and goes on as something else"
            yield Gap(blob.path, f"{what}, from byte {match.start():,}: the rest was not checked")
        if blob.suffix in (*_MODELS, *_PACKED):
            what = "text" if len(view) else "nothing"
            wanted = "a model" if blob.suffix in _MODELS else "an archive"
            yield Gap(blob.path, f"is called {blob.suffix} and holds {what}: not {wanted}")
