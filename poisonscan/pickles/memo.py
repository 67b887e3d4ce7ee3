"""The memo: what a stream stored under an index, and what runs that were stepped over stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from poisonscan.limits import LimitReached
from poisonscan.pickles.inert import CONSTANTS, memo_entries, stored_values
from poisonscan.pickles.values import UNKNOWN, Run

ABSENT: Final = object()
"""Stands for an entry that was never stored."""


class Memo:
    """Entries by index. Those of a run are only numbered when an entry is asked for.

    Args:
        data: the stream.
        limit: entries at most.
        irregular: told what no pickler does.

    Attributes:
        scattered: whether entries were stored beyond the next free index.
    """

    def __init__(self, data: memoryview, limit: int, irregular: Callable[[str], None]) -> None:
        self._data = data
        self._limit = limit
        self._irregular = irregular
        self._entries: list[object] = []  # in order, as picklers make them
        self._scattered: dict[int, object] = {}
        # Runs, and what was stored since the first of them: (index or None, value).
        self._late: list[Run | tuple[int | None, object]] = []
        self._in_order = True  # none of these can store over an entry from before

    @property
    def scattered(self) -> bool:
        """Whether entries were stored beyond the next free index."""
        return bool(self._scattered)

    def store(self, index: int | None, value: object) -> None:
        """Store a value; index None is the next free one.

        Raises:
            LimitReached: more entries than allowed.
        """
        if self._late:
            self._late.append((index, value))
            self._in_order = self._in_order and index is None
            self._room(len(self._late))
        elif (
            (index is None or index == len(self._entries))
            and not self._scattered
            and len(self._entries) < self._limit
        ):
            self._entries.append(value)
        else:
            self._store(index, value)

    def next_index(self) -> int:
        """The index that the next entry takes by itself."""
        if self._late:
            self._settle()
        return len(self._entries) + len(self._scattered)

    def store_run(self, run: Run, *, numbered: bool) -> None:
        """Whatever a run stores comes next; ``numbered``: perhaps under indexes that it states."""
        self._late.append(run)
        self._in_order = self._in_order and not numbered

    def entry(self, index: int) -> object:
        """The value of an entry, or the ``Run`` of one constant that makes it, or ``ABSENT``.

        Raises:
            LimitReached: more entries than allowed.
        """
        if self._late and not (self._in_order and index < len(self._entries)):
            self._settle()
        if index >= len(self._entries):
            return self._scattered.get(index, ABSENT)
        value = self._entries[index]
        return self._made_by(value, index) if isinstance(value, Run) else value

    def _store(self, index: int | None, value: object) -> None:
        held = len(self._entries)
        self._room(held + len(self._scattered))
        if index is None:
            index = held + len(self._scattered)
        if index == held and index not in self._scattered:
            self._entries.append(value)
        elif index < held:
            self._irregular("a memo entry is stored a second time")
            self._entries[index] = value
        else:
            self._scattered[index] = value

    def _settle(self) -> None:
        """Number what was put off."""
        late, self._late, self._in_order = self._late, [], True
        for entry in late:
            if not isinstance(entry, Run):
                self._store(*entry)
                continue
            entry.first = len(self._entries)
            count, orderly = memo_entries(self._data, entry.start, entry.end, entry.first)
            self._room(entry.first + count - 1)
            if orderly and not self._scattered:
                self._entries += [entry] * count
            else:  # any entry may have been stored over
                self._irregular("memo entries are stored in another order than they are numbered")
                self._entries = [UNKNOWN] * (entry.first + count)

    def _made_by(self, run: Run, index: int) -> object:
        if run.places is None:
            run.places = stored_values(self._data, run.start, run.end)
        place = run.places[index - run.first]
        return Run(place, place + 1) if self._data[place] in CONSTANTS else UNKNOWN

    def _room(self, held: int) -> None:
        if held >= self._limit:
            message = f"more than {self._limit:,} memo entries"
            raise LimitReached(message)


class Overlay(Memo):
    """A memo that begins with the entries of another one, which it does not change."""

    def __init__(
        self, data: memoryview, limit: int, irregular: Callable[[str], None], below: Memo
    ) -> None:
        super().__init__(data, limit, irregular)
        self._below = below
        self._next = below.next_index()

    def next_index(self) -> int:
        """The index that the next entry takes by itself."""
        return self._next

    def store(self, index: int | None, value: object) -> None:
        """Store a value; index None is the next free one.

        Raises:
            LimitReached: more entries than allowed.
        """
        self._room(self._next)
        if index is None:
            index = self._next
        self._next += self.entry(index) is ABSENT
        self._scattered[index] = value

    def entry(self, index: int) -> object:
        """The value of an entry, or the ``Run`` of one constant that makes it, or ``ABSENT``."""
        return self._scattered[index] if index in self._scattered else self._below.entry(index)
