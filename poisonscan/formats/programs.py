"""Programs: native code, bytecode and files that a desktop starts. They are recognised, not read.

Signatures: the ELF, PE, Mach-O, class file and DEX specifications, MS-SHLLINK, MS-CFB, and
``importlib.util.MAGIC_NUMBER`` of CPython.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact
from poisonscan.formats.tables import is_text
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_MACH_O: Final = (
    b"\xfe\xed\xfa\xce",
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
)
_LINK: Final = b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F"
_COMPOUND: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_WINDOWS: Final = (".exe", ".dll", ".scr", ".com", ".sys", ".cpl", ".ocx", ".pyd")
_WINDOWS_SCRIPTS: Final = (
    ".vbs", ".vbe", ".jse", ".wsf", ".wsh", ".hta", ".scf", ".reg", ".url", ".sct",
)  # fmt: skip
_BYTECODE: Final = (".pyc", ".pyo")
_ZIPPED: Final = (".jar", ".apk", ".war", ".pyz", ".pyzw", ".egg", ".xpi", ".vsix")


@dataclass(frozen=True, slots=True)
class Program(Artifact):
    """Something that a computer runs as it is. ``kind`` says what, for people."""

    kind: str


class Executable:
    """Any of them, one format: what they share is that nothing here can say what they do."""

    name = "executable"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By content, and by name for scripts of the Windows desktop."""
        return bool(kind_of(blob, head))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """What it is."""
        yield Program(blob.path, kind_of(blob, bytes(view[:4096])))


def kind_of(blob: Blob, head: bytes) -> str:
    """What kind of program a file is; empty for anything else."""
    native = _native(blob, head)
    if native:
        return native
    if _is_bytecode(blob, head):
        return "compiled Python code"
    if head.startswith(_LINK):
        return "a Windows shortcut"
    if head.startswith(_COMPOUND) and blob.suffix in (".msi", ".msp"):
        return "a Windows installer"
    if head.startswith((b"dex\n03", b"dex\n04")):
        return "Android code"
    if is_text(head) and blob.suffix in _WINDOWS_SCRIPTS:
        return f"a {blob.suffix} file that Windows runs"
    if is_text(head) and blob.suffix == ".desktop" and b"Exec=" in head:
        return "a desktop entry that starts a program"
    if head.startswith(b"PK\x03\x04") and blob.suffix in _ZIPPED:
        return f"a program in a {blob.suffix} archive"
    return ""


def _native(blob: Blob, head: bytes) -> str:
    if head.startswith(b"\x7fELF"):
        return "a native program or library (ELF)"
    if head.startswith(b"MZ") and (_is_portable(blob, head) or blob.suffix in _WINDOWS):
        return "a native program or library (Windows)"
    if head.startswith(_MACH_O):
        return "a native program or library (Mach-O)"
    if head.startswith((b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")) and len(head) >= 8:
        (count,) = struct.unpack_from(">I", head, 4)
        major = count & 0xFFFF
        if count < 40:
            return "a native program or library (Mach-O)"
        return "Java code" if 45 <= major < 200 else ""
    return ""


def _is_portable(blob: Blob, head: bytes) -> bool:
    """A PE header where the DOS header says."""
    if head.startswith(b"MZ\x90\0"):
        return True
    if len(head) < 64:
        return False
    (offset,) = struct.unpack_from("<I", head, 60)
    return offset + 4 <= blob.size and bytes(blob.open()[offset : offset + 4]) == b"PE\0\0"


def _is_bytecode(blob: Blob, head: bytes) -> bool:
    """A magic number that ends in CR LF, and the marshalled code object behind it."""
    if len(head) < 17 or head[2:4] != b"\r\n" or is_text(head):
        return False
    return blob.suffix in _BYTECODE or any(head[at] & 0x7F == 0x63 for at in (8, 12, 16))
