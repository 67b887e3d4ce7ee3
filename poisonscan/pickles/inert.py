"""Long runs of opcodes that only make plain values, stepped over at the speed of C.

A regular expression matches as many opcodes as it can of those that push a constant or what the
memo holds, store in the memo, or make a tuple, list, dict or set. None of them imports, calls or
changes anything that was there before, so what a run does is known without looking at each opcode:
it leaves some values on the stack and in the memo, which are worked out only if they are asked for.

A list, dict or set is filled only right behind its own opcode, so nothing else can be. Opcodes that
take values from the stack cannot reach below the last MARK: the loaders fail where it is empty.
Quantifiers are possessive: nothing is tried twice, and time grows with the length alone.
"""

from __future__ import annotations

import functools
import re
from array import array
from typing import Final

CONSTANTS: Final = frozenset(b"N\x88\x89)KMJG\x8cUCXTB\x8a")
PUTS: Final = frozenset(b"\x94qr")
LEVELS: Final = 2
"""Containers within containers that one run covers."""

_SOUGHT: Final = 32
PIECE: Final = 1 << 20
"""Bytes of a run at most, which bounds what working it out takes."""


def _sized(header: bytes) -> bytes:
    """An argument of up to 255 bytes behind its length; ``header`` is the rest of the length."""
    choices = [b"\\x%02x" % n + header + (b".{%d}" % n if n else b"") for n in range(256)]
    return b"(?:" + b"|".join(choices) + b")"


_SHORT: Final = _sized(b"")
_LONG: Final = _sized(rb"\x00\x00\x00")
_INTEGER: Final = b"|".join([rb"\x00", *(b"\\x%02x.{%d}" % (n, n) for n in range(1, 10))])
_PUSH: Final = (
    rb"[N\x88\x89)]|[Kh].|M..|[Jj].{4}|G.{8}"
    rb"|[\x8cUC]" + _SHORT + rb"|[XTB]" + _LONG + rb"|\x8a(?:" + _INTEGER + rb")"
)
_PUT: Final = rb"\x94|q.|r.{4}"
_MEMOIZE: Final = rb"\x94"
_TUPLE: Final = rb"[\x85-\x87]"
_NEW: Final = rb"[\]}\x8f]"
_OPENS: Final = frozenset(b"(]}\x8f")
_CLOSE: Final = rb"[aseu\x90tld\x91]"


def _value(level: int, put: bytes, *, last: bool = False) -> bytes:
    """What may stand in a run: ``level`` is the depth of containers that are filled in it.

    Args:
        level: 0 or more.
        put: opcodes that store in the memo.
        last: whether the run may end behind it. A container that is filled there must not be in
            the run: whatever fills it would ask for it.
    """
    flat = _PUSH + b"|" + put + b"|" + _TUPLE
    new = _NEW + b"(?:" + put + b")?+"
    unfilled = rb"(?!\()"
    if level == 0:
        return b"(?:" + flat + b"|" + new + (unfilled if last else b"") + b")"
    inner = rb"\(" + _value(level - 1, put) + b"*+"
    one = b"(?:" + _PUSH + b")(?:" + put + b")?+"
    several = b"(?:" + inner + rb"[eu\x90])++"
    empty = unfilled + b"|(?=" + inner + rb"[tld\x91])" if last else b""
    filled = new + b"(?:" + several + b"|" + one + b"(?:a|" + one + b"s)|" + empty + b")"
    return b"(?:" + flat + b"|" + filled + b"|" + inner + rb"[tld\x91])"


@functools.cache
def _run(level: int, put: bytes) -> re.Pattern[bytes]:
    return re.compile(b"(?s:" + _value(level, put, last=True) + b"*+)")


@functools.cache
def _stored() -> re.Pattern[bytes]:
    """The next opcode that stores in the memo, or the end."""
    other = b"(?:" + b"|".join((_PUSH, _TUPLE, _NEW, _CLOSE, rb"\(")) + b")*+"
    return re.compile(b"(?s:" + other + b"(" + _PUT + rb"|\Z))")


@functools.cache
def _opcode() -> re.Pattern[bytes]:
    return re.compile(b"(?s:(" + _PUT + b")|" + b"|".join((_PUSH, _TUPLE, _NEW, _CLOSE)) + rb"|\()")


def end_of_run(
    data: memoryview, start: int, stop: int, level: int = LEVELS, *, numbered: bool = True
) -> int:
    """Where a run that begins at ``start`` ends; ``start`` if there is none.

    Args:
        data: the stream.
        start: of an opcode.
        stop: where it must end at the latest.
        level: containers within containers that it may fill.
        numbered: whether it may store under an index that it states; protocol 4 does not.
    """
    stop = min(stop, start + PIECE)
    put = _PUT if numbered else _MEMOIZE
    match = _run(0, put).match(data, start, stop)
    end = start if match is None else match.end()
    if level and end < stop and data[end] in _OPENS:  # the plain form is the faster one
        match = _run(level, put).match(data, start, stop)
        end = end if match is None else match.end()
    return end


def holds_any(data: memoryview, start: int, end: int, opcodes: set[bytes]) -> bool:
    """Whether a run may hold one of the opcodes; bytes of an argument may look the same."""
    if len(opcodes) > _SOUGHT:
        return True
    pattern = re.compile(b"|".join(map(re.escape, opcodes)))
    return pattern.search(data, start, end) is not None


def memo_entries(data: memoryview, start: int, end: int, index: int) -> tuple[int, bool]:
    """How many entries a run stores in the memo, and whether under the indexes from ``index`` on.

    MEMOIZE takes the next free index; picklers write no other with BINPUT and LONG_BINPUT either.
    """
    found = _stored().findall(data, start, end)
    while found and not found[-1]:
        found.pop()  # the end
    count = len(found)
    joined = b"".join(found)
    if joined == b"\x94" * count:
        return count, True
    few = sum(1 for entry in found if len(entry) == 2)
    arguments = [index + n for n in range(few)]
    if joined[: 2 * few] != b"".join(b"q%c" % n for n in arguments if n < 256):
        return count, False
    rest = joined[2 * few :]
    wanted = array("I", range(index + few, index + count))
    if wanted.itemsize != 4 or len(rest) != 5 * len(wanted) or index + count > 1 << 32:
        return count, False
    if wanted and array("H", [1]).tobytes() != b"\x01\x00":
        wanted.byteswap()
    raw = wanted.tobytes()
    orderly = rest[::5] == b"r" * len(wanted)
    return count, orderly and all(rest[n + 1 :: 5] == raw[n::4] for n in range(4))


def stored_values(data: memoryview, start: int, end: int) -> array[int]:
    """Offset of the opcode before each one that stores in the memo, in order."""
    places = array("Q")
    before = start
    for match in _opcode().finditer(data, start, end):
        if match.start(1) >= 0:
            places.append(before)
        else:
            before = match.start()
    return places
