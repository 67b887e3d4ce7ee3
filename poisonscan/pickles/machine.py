"""An abstract pickle machine: every opcode of protocols 0 to 5, nothing imported, nothing called.

It keeps a real stack, mark stack and memo, as CPython's unpickler does (``Modules/_pickle.c``),
with abstract values on them, and yields an event for everything that would reach outside the
stream. What it does with an opcode is meant to be a superset of what any loader does with it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Final

from poisonscan.limits import Budget, LimitReached
from poisonscan.pickles import events
from poisonscan.pickles.arguments import Arguments
from poisonscan.pickles.inert import LEVELS, PUTS, end_of_run, holds_any
from poisonscan.pickles.literals import MalformedError
from poisonscan.pickles.memo import ABSENT, Memo, Overlay
from poisonscan.pickles.names import modern, odd_name
from poisonscan.pickles.opcodes import HANDLERS
from poisonscan.pickles.values import Collection, Global, Opaque, Run

_PATIENCE: Final = 4096
"""Bytes that are looked at before a run is stepped over: contracts ask for what comes first."""
_SOON: Final = 2
"""The same right behind a run: what ends one batch of items and begins the next."""
_TRIES: Final = 4
_NEVER: Final = 1 << 62
_WORTH: Final = 256
_SMALL: Final = 16 << 10
"""Bytes that are not worth compiling the expression, and (_LARGE) its form for containers."""
_LARGE: Final = 1 << 20
_SHORT_RUN: Final = 4096
_NUMBERLESS: Final = 4
"""The first protocol whose writers leave the numbering of the memo to the loader."""
_HEAVY: Final = 1_000_000
_STRIDE: Final = 4096
"""Opcodes between two looks at the limits."""
_FORKED: Final = 32
_CREATED: Final = [Global("builtins", "object"), None]
"""Behind a class the arguments with which ``copyreg._reconstructor`` only creates an object."""
_PAGES: Final = 32 << 20


class Machine(Arguments):
    """Reads one pickle.

    Args:
        data: the bytes; only those from ``start`` on are read.
        start: where the pickle begins.
        budget: what reading may cost.
        lenient: take an empty stack for unknown values instead of an error, to read a stream from
            the middle.
        exact: look at every opcode, also where long runs of them could be stepped over.
        watched: names that are told of when they become part of something else.

    A driver may move ``position`` between two events, over bytes that its loader takes out of the
    stream by itself.

    Attributes:
        position: of the next byte.
        at: offset of the opcode at hand.
        protocol: as declared by the stream, 0 before that.
        done: STOP was read.
    """

    def __init__(
        self,
        data: memoryview,
        start: int,
        budget: Budget,
        *,
        lenient: bool = False,
        exact: bool = False,
        watched: frozenset[Global] = frozenset(),
    ) -> None:
        self.data = data
        self.position = start
        self.at = start
        self.start = start
        self.protocol = 0
        self.done = False
        self._budget = budget
        self._lenient = lenient
        self._resume = _NEVER if lenient or exact else start + _PATIENCE
        self._misses = 0
        self._stepped = start  # where memory was given back last
        self._stack: list[object] = []
        self._marks: list[list[object]] = []
        self._memo = Memo(data, budget.limits.memo, self.irregular)
        self._watched = watched
        self._watching = False  # one of them was imported
        self._recalls: set[bytes] = set()  # opcodes that push one from the memo
        self._unfolding = 0  # runs that are being worked out, one within another
        self._frame_end: int | None = None
        self._check = start  # where to pause
        self._events: list[events.Event] = []

    @property
    def framed(self) -> bool:
        """Whether more of the frame at hand is to come."""
        return self._frame_end is not None and self._frame_end > self.position

    def fork(self, data: memoryview, budget: Budget) -> Machine:
        """Another machine that goes on from here, knowing the memo and the topmost values."""
        other = Machine(data, self.position, budget, lenient=True, watched=self._watched)
        other.protocol, other._watching = self.protocol, self._watching
        other._stack = self._stack[-_FORKED:]
        other._marks = [values[-_FORKED:] for values in self._marks[-_FORKED:]]
        other._memo = Overlay(data, budget.limits.memo, other.irregular, self._memo)
        return other

    def run(self) -> Iterator[events.Event]:
        """What happens, in order; the last event is ``Stop`` or ``Broken``.

        Raises:
            LimitReached: the stream costs more than its budget.
        """
        data, out, budget = self.data, self._events, self._budget
        count = 0
        while not self.done:
            broken = ""
            try:
                while not self.done:
                    start = self.position
                    if start >= self._check:
                        budget.opcodes += count
                        count = 0
                        self._pause()
                        start = self.position
                    self.at = start
                    self.position = start + 1
                    count += 1
                    HANDLERS[data[start]](self)
                    if out:
                        break
            except MalformedError as error:
                broken = str(error)
            except IndexError:  # of the data: it is not asked for its length at each byte
                broken = "an argument reaches over the end"
            if self._frame_end is not None and self.position >= self._frame_end:
                self._leave_frame()
            yield from out
            out.clear()
            if broken:
                yield events.Broken(self.at, broken)
                break
        budget.opcodes += count

    def _pause(self) -> None:
        """Between two opcodes: see to frames, limits and runs, and say when to do so again."""
        start, end, budget = self.position, len(self.data), self._budget
        if self._frame_end is not None and start >= self._frame_end:
            self._leave_frame()
        left = budget.limits.opcodes - budget.opcodes
        if left < 0:
            message = f"more than {budget.limits.opcodes:,} pickle opcodes"
            raise LimitReached(message)
        for held, what in ((self._stack, "values"), (self._marks, "marks")):
            if len(held) > budget.limits.stack:
                message = f"more than {budget.limits.stack:,} {what} on the pickle stack"
                raise LimitReached(message)
        if start >= self._resume:
            self._resume = self._step_over()
            start = self.position
        if start >= end:
            self.at = start
            raise MalformedError("the data ends before STOP")
        # An opcode has one byte at least, so that no limit is passed unseen.
        self._check = min(end, self._frame_end or end, self._resume, start + min(left, _STRIDE) + 1)

    def emit(self, event: events.Event) -> None:
        """Something happened at this opcode."""
        self._events.append(event)

    def irregular(self, what: str) -> None:
        """Something that no honest writer emits."""
        self.emit(events.Irregular(self.at, what))

    @property
    def top(self) -> object:
        """The value on top of the stack, None if there is none."""
        return self._stack[-1] if self._stack else None

    def pop(self) -> object:
        """Take the value on top of the stack."""
        if self._stack:
            value = self._stack.pop()
            if isinstance(value, Run):
                self._unfold(value)
                return self.pop()
            return value
        if self._lenient:
            return Opaque("unknown")
        raise MalformedError("the stack is empty")

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def replace(self, value: object) -> None:
        """Put a value in the place of the one on top."""
        if self._stack:
            self._stack[-1] = value
        else:
            self._stack.append(value)

    def drop(self) -> None:
        """POP: take a value, or the mark if nothing stands above it."""
        if not self._stack and self._marks:
            self._stack = self._marks.pop()
        else:
            self.pop()

    def peek(self) -> object:
        """The value on top of the stack, which stays there."""
        value = self._stack[-1] if self._stack else None
        if value is None or isinstance(value, Run):
            value = self.pop()
            self._stack.append(value)
        return value

    def collection(self, kind: str) -> Collection:
        """A new collection, empty. Machines that must know all items make other ones."""
        return Collection(kind)

    def mark(self) -> None:
        """Put a mark on the stack."""
        self._marks.append(self._stack)
        self._stack = []

    def pop_mark(self) -> list[object]:
        """Take all values above the last mark, and the mark."""
        if Run in map(type, self._stack):
            self._unfold_short_ones()
        items = self._stack
        if self._marks:
            self._stack = self._marks.pop()
        elif self._lenient:
            self._stack = []
        else:
            raise MalformedError("there is no MARK on the stack")
        return items

    def remember(self, index: int | None, value: object) -> None:
        """Store a value in the memo; index None is the next free one."""
        if not self._unfolding:  # else the memo has it
            if self._watching and isinstance(value, Global) and value in self._watched:
                number = self._memo.next_index() if index is None else index
                self._recalls.add(b"j" + (number & 0xFFFFFFFF).to_bytes(4, "little"))
                if number < 256:
                    self._recalls.add(b"h%c" % number)
            self._memo.store(index, value)

    def memoize(self) -> None:
        """Store the value on top of the stack under the next free memo index."""
        self.remember(None, self.peek())

    def passes(self, items: list[object]) -> None:
        """Values become part of something else."""
        if self._watching and Global in map(type, items) and items[1:] != _CREATED:
            for item in items:
                if isinstance(item, Global) and item in self._watched:
                    self.emit(events.Passing(self.at, item))

    def weigh(self, collection: Collection) -> None:
        """Tell of collections that refer to one another more often than any data do.

        Sharing one list makes as many values as there are references times items: the square of
        the bytes at most. More comes only of lists that hold lists that hold lists (a bomb).
        """
        read = self.position - self.start
        if collection.weight > _HEAVY and collection.weight > read * read:
            self.irregular("values that multiply: walking through all of them would not end")

    def recall(self, index: int) -> object:
        """The value stored in the memo."""
        value = self._memo.entry(index)
        if isinstance(value, Run):
            self._unfold(value)
            return self.pop()
        if value is not ABSENT:
            return value
        if self._lenient:
            return Opaque("unknown")
        raise MalformedError(f"memo entry {index} was never stored")

    def enter_frame(self, length: int) -> None:
        """FRAME: the next ``length`` bytes belong together."""
        if self._frame_end is not None:
            self.irregular("a frame begins inside another frame")
        self._frame_end = self.position + length
        self._check = min(self._check, self._frame_end)

    def stop(self) -> None:
        """STOP: the value on top of the stack is the result."""
        if self._frame_end is not None and self._frame_end > self.position:
            self.irregular("a frame reaches beyond STOP")
        self._frame_end = None
        self.done = True
        self.emit(events.Stop(self.at, self.pop()))

    def imports(self, written: Global) -> Global:
        """A name is imported; returns what it is today."""
        target = modern(written) if self.protocol < 3 else written
        if odd_name(written):
            self.irregular("an imported name is empty or holds white space or control characters")
        self.emit(events.Import(self.at, target, written))
        self._watching = self._watching or target in self._watched
        return target

    def _step_over(self) -> int:
        """Step over a long run of inert opcodes if one begins here; returns where to try again."""
        self._give_back()
        start, stop = self.position, len(self.data)
        size = stop - self.start
        if start >= stop or size < _SMALL or self._memo.scattered:
            return _NEVER
        if self.data[start] in PUTS:
            return start + 1  # it stores a value from before
        if self._frame_end is not None:
            stop = min(stop, self._frame_end)
        numbered = self.protocol < _NUMBERLESS
        level = LEVELS if size > _LARGE else 0
        end = end_of_run(self.data, start, stop, level, numbered=numbered)
        if self._recalls and holds_any(self.data, start, end, self._recalls):
            return end + _PATIENCE
        if end - start < _WORTH:
            # In the middle of something small: what comes next may be more of its kind.
            self._misses += 1
            return end + 1 if self._misses % _TRIES else start + _PATIENCE
        self._misses = 0
        run = Run(start, end)
        self._stack.append(run)
        self._memo.store_run(run, numbered=numbered)
        self.position = end
        if end == self._frame_end:
            self._frame_end = None
        return end + _SOON

    def _give_back(self) -> None:
        """Let go of pages of a mapped file that were read: they count as memory in use."""
        mapped = self.data.obj
        if self.position - self._stepped > _PAGES and isinstance(mapped, mmap.mmap):
            self._stepped = self.position
            if hasattr(mmap, "MADV_DONTNEED"):
                mapped.madvise(mmap.MADV_DONTNEED)

    def _unfold(self, run: Run) -> None:
        """Put the values of a run on the stack, opcode by opcode."""
        here = self.position, self.at
        self.position = run.start
        self._unfolding += 1
        depth, resume = len(self._marks), run.start + _PATIENCE
        while self.position < run.end:
            if self.position >= resume and len(self._marks) > depth:
                end = end_of_run(self.data, self.position, run.end, 0)
                resume = end + 1
                if end - self.position > _WORTH and self.data[self.position] not in PUTS:
                    self._stack.append(Run(self.position, end))
                    self.position = end
                    continue
            self.at = self.position
            self.position += 1
            HANDLERS[self.data[self.at]](self)
        self._unfolding -= 1
        self.position, self.at = here

    def _unfold_short_ones(self) -> None:
        """Work out runs above the last MARK that are short: contracts look at such values."""
        items, self._stack = self._stack, []
        for item in items:
            if isinstance(item, Run) and item.end - item.start <= _SHORT_RUN:
                self._unfold(item)
            else:
                self._stack.append(item)

    def _leave_frame(self) -> None:
        if self._frame_end is not None and self.at < self._frame_end < self.position:
            self.irregular("an opcode reaches over the end of its frame")
        self._frame_end = None
