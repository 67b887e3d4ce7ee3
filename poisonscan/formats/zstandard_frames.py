"""Zstandard frames (RFC 8878), one at a time and with bounds.

The library tells neither where a frame ends nor limits what one call makes, so the blocks are
walked here first; their headers say how long each is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from poisonscan.formats.inflate import STEP, Stream
from poisonscan.limits import Budget, LimitReached

ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = b"\x2a\x4d\x18"
_FRAMES_SKIPPED: Final = 10_000
_BLOCKS: Final = 1 << 22
"""Blocks of one frame; each holds up to 128 KiB, and honest ones are seldom below 1 KiB."""
_WINDOW: Final = 1 << 27
"""Bytes of the largest window that is read: what decoders take unless told otherwise."""
_READS: Final = (STEP, 1 << 10, 1)
"""Bytes read at a time: the first, and after damage ever fewer, to get all that stands before."""


def skippable(view: memoryview) -> int:
    """Length of the skippable frame that ``view`` begins with (also of LZ4), 0 if it is none."""
    if len(view) < 8 or view[0] & 0xF0 != 0x50 or bytes(view[1:4]) != _SKIPPABLE:
        return 0
    return min(8 + int.from_bytes(view[4:8], "little"), len(view))


def behind_skippable(view: memoryview) -> memoryview:
    """What follows the skippable frames in front, or nothing if there are too many of them."""
    for _ in range(_FRAMES_SKIPPED):
        length = skippable(view)
        if not length:
            return view
        view = view[length:]
    return view[:0]


def zstandard_frame(packed: memoryview, budget: Budget, out: bytearray) -> Stream:
    """One frame, the way ``inflate`` does it; a skippable one gives nothing."""
    if length := skippable(packed):
        return Stream(length)
    end, reason = _frame(packed)
    if "dictionary" in reason or "window" in reason:
        return Stream(end, reason)
    begin, spent, sound = len(out), budget.unpacked, 0
    damage = ""
    for size in _READS:
        del out[begin:]
        budget.unpacked = spent
        reader = _pieces(packed[:end], sound, size)
        try:
            for piece in reader:
                out += piece
                budget.take_unpacked(len(piece))
        except LimitReached as error:
            return Stream(end, f"limit reached: {error}", error)
        except _Damage as error:
            sound, damage = len(out) - begin, f"compressed data is damaged: {error}"
        else:
            return Stream(end, reason)
    return Stream(end, reason or damage)


class _Damage(Exception):  # noqa: N818 - it says what happened
    """The library refuses what comes next."""


def _pieces(packed: memoryview, sound: int, size: int) -> Iterator[bytes]:
    """The content: the first ``sound`` bytes in large pieces, then ``size`` at a time."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    with decompressor.stream_reader(packed, read_across_frames=False) as reader:
        while True:
            wanted = min(STEP, sound) if sound else size
            try:
                piece = reader.read(wanted)
            except zstandard.ZstdError as error:
                raise _Damage(str(error)) from error
            if not piece:
                return
            sound = max(sound - len(piece), 0)
            yield piece


def _frame(view: memoryview) -> tuple[int, str]:
    """Where the frame ends (RFC 8878, section 3.1.1), and why it cannot be read whole."""
    if len(view) < 6:
        return len(view), "compressed data is cut short"
    descriptor = view[4]
    single = bool(descriptor & 0x20)
    position = 5 + (not single)
    window = 0 if single else (8 + (view[5] & 7)) << ((view[5] >> 3) + 7)
    known = (0, 1, 2, 4)[descriptor & 3]
    dictionary = int.from_bytes(view[position : position + known], "little")
    position += known + ((1 if single else 0), 2, 4, 8)[descriptor >> 6]
    end, reason = _blocks(view, position)
    end += 4 if descriptor & 4 else 0
    if end > len(view):
        end, reason = len(view), "compressed data is cut short"
    if dictionary:
        reason = f"needs the zstandard dictionary {dictionary:,}, which is not in the file"
    elif window > _WINDOW:
        reason = f"needs a window of {window:,} bytes, more than is read"
    return end, reason


def _blocks(view: memoryview, position: int) -> tuple[int, str]:
    """Where the last block ends."""
    for _ in range(_BLOCKS):
        if position + 3 > len(view):
            return len(view), "compressed data is cut short"
        header = view[position] | view[position + 1] << 8 | view[position + 2] << 16
        kind = header >> 1 & 3
        if kind == 3:
            return len(view), "compressed data is damaged: a block of a reserved kind"
        position += 3 + (1 if kind == 1 else header >> 3)
        if header & 1:
            return position, ""
    return len(view), f"more than {_BLOCKS:,} blocks in one zstandard frame"
