"""The three encodings of R's serialization: XDR, native and ASCII.

Layout: R Internals, section 1.8 "Serialization Formats", and ``src/main/serialize.c``.
"""

from __future__ import annotations

import re
import struct
from typing import Final

_LINE: Final = re.compile(rb"\s*+(\S++)\r?\n")
_LONGEST_NAME: Final = 4096
_NA: Final = -(2**31)


class Stream:
    """Numbers and bytes in the order in which R reads them."""

    def __init__(self, view: memoryview, position: int, order: str) -> None:
        self.view = view
        self.position = position
        self._integer = struct.Struct(f"{order}i")
        self._two = struct.Struct(f"{order}2i")

    def integer(self) -> int:
        """The next integer of 32 bits.

        Raises:
            EOFError: the stream ends before it.
            ValueError: it is no number (ASCII only).
        """
        start = self.position
        self.skip(4, 1)
        (value,) = self._integer.unpack_from(self.view, start)
        return int(value)

    def skip(self, width: int, count: int) -> None:
        """Step over so many numbers of this width in bytes.

        Raises:
            EOFError: the stream ends before them.
            ValueError: a negative count, or a word that is no number (ASCII only).
        """
        if count < 0:
            message = f"a count of {count:,}"
            raise ValueError(message)
        if width * count > len(self.view) - self.position:
            raise EOFError
        self.position += width * count

    def plain_strings(self, count: int) -> int:
        """Step over strings without attributes, up to so many: how many there were."""
        position, last, done = self.position, len(self.view) - 8, 0
        while done < count and position <= last:
            flags, length = self._two.unpack_from(self.view, position)
            if flags & 0x2FF != 9 or not 0 <= length <= last - position:
                break
            position += 8 + length
            done += 1
        self.position = position
        return done

    def text(self, length: int) -> str:
        """The next string; of a long one only the beginning.

        Raises:
            EOFError: the stream ends before it.
            ValueError: a negative length.
        """
        start = self.position
        self.skip(1, length)
        return bytes(self.view[start : start + min(length, _LONGEST_NAME)]).decode(
            "utf-8", "replace"
        )


class Ascii(Stream):
    """A word for each number; strings with the escapes of C."""

    def __init__(self, view: memoryview, position: int) -> None:
        super().__init__(view, position, "<")

    def plain_strings(self, count: int) -> int:  # noqa: ARG002 - the other encodings'
        """None: every one is read by itself."""
        return 0

    def integer(self) -> int:
        """The next word as a number."""
        word = self._word()
        return _NA if word == b"NA" else int(word)

    def skip(self, width: int, count: int) -> None:
        """Step over so many words, two for a complex number."""
        if count < 0:
            message = f"a count of {count:,}"
            raise ValueError(message)
        if count > len(self.view) - self.position:
            raise EOFError
        # A complex number is two words; the bytes of a raw vector stand one to a line.
        for _ in range(2 * count if width == 16 else count):
            self._word()

    def text(self, length: int) -> str:
        """The next word as a string; an empty one is no word."""
        if length < 0:
            message = f"a string of {length:,} bytes"
            raise ValueError(message)
        letters = self._word() if length else b""
        return letters[:_LONGEST_NAME].decode("unicode_escape", "replace")

    def _word(self) -> bytes:
        match = _LINE.match(self.view, self.position)
        if match is None:
            raise EOFError
        self.position = match.end()
        return bytes(match[1])
