"""Large files of a repository, fetched in parts as they are asked for.

A file that is put together from parts has no hash that it could be compared with. So all parts must
come from the same content, as the server tags it, at the commit in the address, and each must be
exactly what was asked for. Where a server does it in any other way, and where most of a file turns
out to be needed, all of it is fetched and verified instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poisonscan.sources.base import Spans
from poisonscan.sources.hub.errors import HubError, NoRange
from poisonscan.sources.hub.fetch import FIRST, LAST, Copy, Told, at_once, too_large
from poisonscan.sources.hub.listing import Entry
from poisonscan.sources.hub.store import cannot_store
from poisonscan.sources.partial import BLOCK, holes, lacking, united

_APART: Final = 4 * BLOCK
"""Bytes between two parts that are fetched along with them: a request of its own takes longer."""
_AHEAD: Final = 8 << 20
"""Bytes that are fetched ahead at most, of a file that is read on and on."""
_LONG: Final = 4 * BLOCK
"""Bytes of a long run that are fetched at first."""
_PIECE: Final = 16 << 20
"""Bytes that one request asks for at most: they are held in memory until all have come."""
_ROUNDS: Final = 16
_PARTS: Final = 2_000
_SHARE: Final = 2
"""Times as large as its parts must a file be to be fetched in parts."""


@dataclass(slots=True)
class _Held:
    """A file in the folder that has its size, and zeros where nothing was fetched.

    Attributes:
        entry: what the Hub says of it.
        spans: the parts that are there.
        tag: of the content that they are from; empty before the first.
        rounds: how often more was asked for.
    """

    entry: Entry
    spans: Spans = ()
    tag: str = ""
    rounds: int = 0


class Parts:
    """The files of a copy that are fetched in parts.

    Args:
        copy: what was fetched otherwise; takes note of what is fetched whole after all.
        told: called after each request.
    """

    def __init__(self, copy: Copy, told: Told = lambda *_: None) -> None:
        self._copy = copy
        self._place = copy.place
        self._told = told
        self._held: dict[str, _Held] = {}
        self._cut: dict[str, int] = {}

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._place.folder

    def paths(self) -> list[str]:
        """Files of which parts are there, in order."""
        return sorted(self._held)

    def file(self, path: str) -> Path:
        """Where such a file is."""
        return self._place.file(self._held[path].entry)

    def size(self, path: str) -> int:
        """Bytes of such a file, with those that are not there."""
        return self._held[path].entry.size

    def begin(self) -> dict[str, str]:
        """Fetch the first and the last bytes of all; why that failed, by path."""
        failed = {}
        wanted = {}
        for entry in self._copy.partly:
            try:
                self._make(entry)
            except HubError as error:
                failed[entry.path] = f"not fetched: {error}"
                continue
            self._held[entry.path] = _Held(entry)
            last = max(FIRST, (entry.size - LAST) // BLOCK * BLOCK)
            wanted[entry.path] = ((0, FIRST), (last, entry.size))
        self._copy.left += len(wanted) * (FIRST + LAST)  # they were set aside for these
        return failed | self._fetch(wanted)

    def present(self, path: str) -> Spans | None:
        """The parts of a file that are there; None: all of it, or nothing."""
        held = self._held.get(path)
        return None if held is None else held.spans

    def fetched(self, path: str) -> int:
        """Bytes of a file that are there in parts."""
        here = sum(end - begin for begin, end in self.present(path) or ())
        return self._cut.get(path, here)

    def cut(self, path: str, beginning: Path) -> None:
        """Let what stands at the beginning of a file stand for all of it from now on.

        Args:
            path: of the file.
            beginning: a file in the same file system, which is moved.
        """
        self._cut[path] = self.fetched(path)
        beginning.replace(self.file(path))
        del self._held[path]

    def more(self, wanted: Mapping[str, Spans], *, sure: bool = False) -> dict[str, str]:
        """Fetch what is missing, or some of it.

        Args:
            wanted: bytes that are needed, by path; of files of which parts are there.
            sure: fetch all of that. Else only the beginning of what is long: who looks for
                something in zeros looks further than in what there really is.

        Returns:
            Why it failed, by path. All others hold more than before.
        """
        whole = []
        parts = {}
        for path, spans in wanted.items():
            held = self._held[path]
            held.rounds += 1
            planned = _planned(held, spans, sure=sure)
            size = sum(end - begin for begin, end in planned)
            if (
                held.rounds > _ROUNDS
                or spans == ((0, held.entry.size),)
                or len(planned) > _PARTS
                or _SHARE * (size + self.fetched(path)) > held.entry.size
            ):
                whole.append(path)
            else:
                parts[path] = planned
        return self.complete(whole) | self._fetch(parts)

    def complete(self, paths: Iterable[str]) -> dict[str, str]:
        """Fetch files whole, and verify them; why that failed, by path."""
        failed = {}
        chosen = []
        for entry in sorted((self._held.pop(path).entry for path in paths), key=lambda e: e.size):
            self._place.file(entry).unlink()
            if entry.size > self._copy.left:
                failed[entry.path] = (
                    f"not fetched: all of it is needed; {too_large(entry, self._copy.most)}"
                )
            else:
                self._copy.left -= entry.size
                chosen.append(entry)
        for entry, reason in at_once(self._place.client, self._place.whole, chosen, self._told):
            if reason:
                failed[entry.path] = reason
            else:
                self._copy.verified.add(entry.path)
        return failed

    def remove(self, but: Collection[str]) -> None:
        """Remove all files of which only parts are there, but some, from the folder.

        What was fetched of them is known all the same. They cannot be asked for any more.

        Args:
            but: paths of those that stay.
        """
        for path, held in self._held.items():
            if path not in but:
                self._place.file(held.entry).unlink(missing_ok=True)

    def _make(self, entry: Entry) -> None:
        """A file of the right size that takes no room.

        Raises:
            HubError: it cannot be made.
        """
        file = self._place.file(entry)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as stream:
                stream.truncate(entry.size)
        except FileExistsError as error:
            message = "another file of the repository has a name that is the same here"
            raise HubError(message) from error
        except OSError as error:
            raise cannot_store(error) from error

    def _fetch(self, wanted: Mapping[str, Spans]) -> dict[str, str]:
        """Fetch exactly these parts; files of which a server gives none are fetched whole."""
        jobs = []
        failed: dict[str, str] = {}
        for path, spans in wanted.items():
            size = sum(end - begin for begin, end in spans)
            if size > self._copy.left:
                entry = self._held[path].entry
                failed[path] = f"more of it is needed; {too_large(entry, self._copy.most)}"
                continue
            self._copy.left -= size
            jobs += [
                (path, at, min(at + _PIECE, end))
                for begin, end in spans
                for at in range(begin, end, _PIECE)
            ]
        whole = set()
        for (path, begin, end), answer in at_once(self._place.client, self._part, jobs, self._told):
            held = self._held[path]
            if isinstance(answer, NoRange) or (held.tag and answer != held.tag):
                whole.add(path)
            if isinstance(answer, str):
                held.tag = held.tag or answer
                held.spans = united((*held.spans, (begin, end)))
            elif not isinstance(answer, NoRange):
                failed.setdefault(path, str(answer))
        whole -= failed.keys()
        for path in failed:
            self._place.file(self._held.pop(path).entry).unlink()
        reasons = {path: f"not fetched: {reason}" for path, reason in failed.items()}
        return reasons | self.complete(whole)

    def _part(self, job: tuple[str, int, int]) -> str | HubError:
        """Fetch one part and put it into its place; the tag of its content, or what went wrong."""
        path, begin, end = job
        entry = self._held[path].entry
        client, url = self._place.client, self._place.url(entry)
        try:
            data, tag = client.again(lambda: client.part(url, begin, end, entry.size))
            with self._place.file(entry).open("r+b") as stream:
                stream.seek(begin)
                stream.write(data)
        except HubError as error:
            return error
        except OSError as error:
            return cannot_store(error)
        return tag


def _planned(held: _Held, wanted: Spans, *, sure: bool) -> Spans:
    """What to fetch so that the wanted bytes are there, in few requests."""
    ends = {end: end - begin for begin, end in held.spans}
    size = held.entry.size
    spans = []
    for begin, end in wanted:
        first, last = begin // BLOCK * BLOCK, -(-end // BLOCK) * BLOCK
        if not sure:
            # Who reads on where a part ends may go on: each time as much as there is.
            before = ends.get(first, 0)
            last = min(last, first + max(before, _LONG))
            last = max(last, first + min(before, _AHEAD))
        spans.append((first, min(last, size)))
    return lacking(united(spans, _APART), holes(size, held.spans))
