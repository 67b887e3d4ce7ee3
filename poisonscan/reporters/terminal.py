"""Lines for a terminal: colour, wrapping, and nothing in them that a terminal or a build runs."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Final, TypedDict

import click

from poisonscan.escape import clip, escape
from poisonscan.finding import Severity
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Unpack

SHOWN: Final = 500
"""Characters shown of an untrusted string that stands alone, such as a path."""


class Look(TypedDict, total=False):
    """Colours and weight, as ``click.style`` names them."""

    fg: str
    bg: str
    bold: bool
    dim: bool


_NARROWEST: Final = 40
_LOG: Final = 100
_SEVERITY: Final[dict[Severity, Look]] = {
    Severity.CRITICAL: {"fg": "bright_white", "bg": "red", "bold": True},
    Severity.HIGH: {"fg": "red", "bold": True},
    Severity.MEDIUM: {"fg": "yellow", "bold": True},
    Severity.LOW: {"fg": "cyan"},
}
# Build servers act on lines of a log: GitHub on `::name::` at the start of a line, blanks before it
# notwithstanding, and on `##[name]` anywhere; Azure on `##vso[`, TeamCity on `##teamcity[`.
_AT_START: Final = re.compile(r"^((?:\s|\x1b\[[0-9;]*m)*):(?=:)")
_ANYWHERE: Final = re.compile(r"##(?=\[|vso\[|teamcity\[)", re.IGNORECASE)


def safe(text: str, limit: int = SHOWN) -> str:
    """An untrusted string that stands alone: clipped and escaped, without quotes."""
    return clip(escape(clip(text, limit)), limit)


def no_command(line: str) -> str:
    """The line with the start of a build server's log command replaced by its escaped form."""
    return _ANYWHERE.sub(r"#\\x23", _AT_START.sub(r"\1\\x3a", line))


class Terminal:
    """How lines are made for one terminal."""

    def __init__(self, *, colour: bool, width: int) -> None:
        self.colour = colour
        self.width = max(width, _NARROWEST)

    def style(self, text: str, **look: Unpack[Look]) -> str:
        """``text`` in a colour or weight, or as it is when there is no colour."""
        return click.style(text, **look) if self.colour and look else text

    def bold(self, text: str) -> str:
        """``text`` in bold."""
        return self.style(text, bold=True)

    def dim(self, text: str) -> str:
        """``text`` in the background."""
        return self.style(text, dim=True)

    def severity(self, severity: Severity) -> str:
        """The severity's word in its colour; always eight columns."""
        word = str(severity).upper()
        return self.style(word, **_SEVERITY[severity]) + " " * (8 - len(word))

    def wrap(self, text: str, indent: int, label: str = "", gap: int = 2) -> Iterator[str]:
        """Lines of ``text`` behind ``indent`` blanks, its first behind a dim label as well."""
        hanging = " " * (indent + (len(label) + gap if label else 0))
        lines = textwrap.wrap(
            text,
            width=max(self.width - len(hanging), _NARROWEST // 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for number, line in enumerate(lines or [""]):
            if number == 0 and label:
                yield " " * indent + self.dim(label) + " " * gap + line
            else:
                yield hanging + line

    def joined(self, parts: Iterable[tuple[str, Look]], separator: str) -> Iterator[str]:
        """Parts with a separator between: on one line, or on a narrow terminal on several.

        Where there is room for a log, one line it stays, because programs look for it.
        """
        if self.width >= _LOG:
            yield separator.join(self.style(text, **look) for text, look in parts)
            return
        line, used = "", 0
        for text, look in parts:
            pieces = textwrap.wrap(text, self.width, break_on_hyphens=False)
            if used and used + len(separator) + len(pieces[0]) <= self.width:
                line, used = line + separator, used + len(separator)
            elif used:
                yield line
                line, used = "", 0
            for piece in pieces[:-1]:
                yield line + self.style(piece, **look)
                line, used = "", 0
            line, used = line + self.style(pieces[-1], **look), used + len(pieces[-1])
        yield line

    def table(self, rows: Iterable[tuple[str, ...]], indent: int) -> Iterator[str]:
        """Rows with their columns aligned; columns that are empty throughout are left out."""
        cells = list(rows)
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            padded = [text.ljust(width) for text, width in zip(row, widths, strict=True) if width]
            yield " " * indent + "  ".join(padded).rstrip()


def spark(counts: Iterable[int], most: int) -> str:
    """A column of an eighth to a whole line for each count; a blank for none."""
    steps = " ▁▂▃▄▅▆▇█"
    return "".join(steps[-(-count * 8 // most) if most else 0] for count in counts)


def bar(share: float, width: int) -> str:
    """A bar of at most ``width`` characters for a share from 0 to 1; never empty above 0."""
    return "█" * max(round(share * width), 1 if share > 0 else 0)


def size(count: int) -> str:
    """Bytes in a unit that fits: ``312 bytes``, ``1.2 MB``."""
    amount, units = float(count), iter(("kB", "MB", "GB", "TB", "PB"))
    unit = ""
    while amount >= 999.5 and (step := next(units, "")):
        amount, unit = amount / 1000, step
    return f"{amount:.3g} {unit}" if unit else plural(count, "byte")
