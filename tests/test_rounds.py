from __future__ import annotations

import functools
import io
import json
import os
import pickle
import random
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from poisonscan.files import Item, Task
from poisonscan.finding import Finding, Gap
from poisonscan.formats.base import TableFile
from poisonscan.isolation.workers import Mode, Workers
from poisonscan.limits import Limits
from poisonscan.rounds import in_rounds
from poisonscan.rules import select
from poisonscan.sources.base import Blob, Missing, Spans
from poisonscan.sources.disk import read
from poisonscan.sources.partial import BLOCK, can_watch, holes, lacking, united

SAMPLES = Path(__file__).parents[1] / "fixtures" / "samples"
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
pytestmark = pytest.mark.skipif(not can_watch(), reason="this system does not tell what was read")


class Pages:
    """Files of which each page that is looked at is put into its place, and no other.

    Args:
        files: content by path.
        folder: for what there is of them.
        first: bytes that are there at the beginning and at the end.
    """

    def __init__(self, files: Mapping[str, bytes], folder: Path, first: int = PAGE) -> None:
        self.files = files
        self.folder = folder
        self.spans: dict[str, Spans] = {}
        self.rounds = 0
        for number, (path, data) in enumerate(files.items()):
            with self.place(path, number).open("wb") as stream:
                stream.truncate(len(data))
            last = max(0, len(data) - first) // PAGE * PAGE
            self.put(path, ((0, min(first, len(data))), (last, len(data))))

    def place(self, path: str, number: int | None = None) -> Path:
        number = list(self.files).index(path) if number is None else number
        return self.folder / str(number)

    def put(self, path: str, spans: Spans) -> None:
        with self.place(path).open("r+b") as stream:
            for begin, end in spans:
                stream.seek(begin)
                stream.write(self.files[path][begin:end])
        self.spans[path] = united((*self.spans.get(path, ()), *spans))

    def present(self, path: str) -> Spans:
        return self.spans[path]

    def more(self, wanted: Mapping[str, Spans], *, sure: bool = False) -> dict[str, str]:
        self.rounds += 1
        assert self.rounds < 200
        for path, spans in wanted.items():
            size = len(self.files[path])
            pages = [(b // PAGE * PAGE, min(-(-e // PAGE) * PAGE, size)) for b, e in spans]
            missing = lacking(pages, holes(size, self.spans[path]))
            assert missing, "asked for what is there"
            self.put(path, missing)
        return {}

    def blobs(self) -> list[Blob]:
        return [
            Blob(path, len(data), functools.partial(read, file), file=file)
            for path, data in self.files.items()
            for file in [os.fspath(self.place(path))]
        ]

    def share(self, path: str) -> float:
        return sum(e - b for b, e in self.spans[path]) / len(self.files[path])


def plain(item: Item) -> Any:
    if isinstance(item, TableFile):
        return replace(item, file="")
    if isinstance(item, Finding):
        return item.rule.id, item.at, item.message, item.key, item.score, dict(item.evidence)
    return item


def task() -> Task:
    return Task(select((), ()), "all", Limits())


def near(files: Mapping[str, bytes], folder: Path) -> Iterator[Any]:
    """What comes of whole files."""
    blobs = []
    for number, (path, data) in enumerate(files.items()):
        file = folder / f"whole-{number}"
        file.write_bytes(data)
        read_it = functools.partial(read, os.fspath(file))
        blobs.append(Blob(path, len(data), read_it, file=os.fspath(file)))
    for _, items in Workers(task(), 1, "off").run(blobs):
        yield from map(plain, items)


def far(pages: Pages, mode: Mode = "off") -> list[Any]:
    """What comes of the same in parts."""
    told: list[int] = []
    found = in_rounds(Workers(task(), 2, mode), pages.blobs(), cast("Any", pages), told.append)
    items = [plain(item) for item in found]
    assert told == list(range(1, len(pages.files) + 1))
    return items


def in_order(items: Iterable[Any]) -> list[str]:
    return sorted(map(repr, items))


def samples() -> dict[str, bytes]:
    """Model files of the samples, large enough to have parts, or put into something that is."""
    numbers = random.Random(0).randbytes(150_000)
    found: dict[str, bytes] = {}
    for rule in sorted(SAMPLES.iterdir()):
        if not rule.name.startswith(("PS1", "PS2", "PS7")):
            continue
        # A few of each rule: all of them give the same, and take a quarter of a minute.
        for file in sorted(path for path in rule.rglob("*") if path.is_file())[::9]:
            data = file.read_bytes()
            name = f"{rule.name}/{file.relative_to(rule).as_posix().replace('/', '-')}"
            if len(data) < 3 * PAGE:
                out = io.BytesIO()
                with zipfile.ZipFile(out, "w") as archive:
                    archive.writestr("a/data.pkl", pickle.dumps([1]))
                    archive.writestr("a/data/0", numbers)
                    archive.writestr(f"a/{file.name}", data)
                    archive.writestr("a/data/1", numbers)
                name, data = name + ".pt", out.getvalue()
            found[name] = data
    return found


def test_parts_of_samples_give_what_the_whole_gives(tmp_path: Path) -> None:
    files = samples()
    assert len(files) > 60
    pages = Pages(files, tmp_path)
    assert in_order(far(pages)) == in_order(near(files, tmp_path))
    assert sum(pages.share(path) < 0.5 for path in files) > 50


def evil() -> bytes:
    return b"cposix\nsystem\n(S'true'\ntR."


def torch_file(body: bytes, sizes: Iterable[int], front: bytes = b"", behind: bytes = b"") -> bytes:
    chance = random.Random(1)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("m/data.pkl", body)
        for number, size in enumerate(sizes):
            archive.writestr(f"m/data/{number}", chance.randbytes(size))
        archive.writestr("m/version", "3\n")
    return front + out.getvalue() + behind


def safetensors_file(tensors: Mapping[str, np.ndarray[Any, Any]], behind: bytes = b"") -> bytes:
    header: dict[str, Any] = {}
    place = 0
    for name, tensor in tensors.items():
        dtype = "U8" if tensor.dtype == np.uint8 else "F32"
        offsets = [place, place + tensor.nbytes]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        place += tensor.nbytes
    text = json.dumps(header).encode()
    data = b"".join(tensor.tobytes() for tensor in tensors.values())
    return len(text).to_bytes(8, "little") + text + data + behind


def noise(size: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(2).integers(0, 255, size, np.uint8)


def as_bytes(data: bytes) -> np.ndarray[Any, Any]:
    return np.frombuffer(data, np.uint8)


LARGE = 3_000_000
BINARY = b"\x80\x02" + evil()
HIDING = {
    "plain.safetensors": safetensors_file({"w": noise(LARGE)}),
    "in-a-tensor.safetensors": safetensors_file(
        {"w": noise(LARGE), "_extra_state": as_bytes(BINARY), "v": noise(LARGE)}
    ),
    "behind.safetensors": safetensors_file({"w": noise(LARGE)}, torch_file(evil(), [10])),
    "archive-behind-many.safetensors": safetensors_file(
        {"w": noise(LARGE)}, torch_file(evil(), [LARGE])
    ),
    "good.pt": torch_file(pickle.dumps([1]), [500_000] * 8),
    "evil.pt": torch_file(evil(), [500_000] * 8),
    "front.pt": torch_file(evil(), [500_000] * 8, front=noise(100_000).tobytes()),
    "behind.pt": torch_file(pickle.dumps([1]), [LARGE], behind=b"\n" * 70_000 + evil()),
    "pickle-in-front.pt": torch_file(pickle.dumps([1]), [LARGE], front=evil()),
    "no-end.pt": torch_file(evil(), [LARGE])[:-30],
    "argument.pkl": pickle.dumps([noise(LARGE).tobytes()])[:-1] + evil(),
    "nested.zip": torch_file(
        pickle.dumps([1]), [LARGE], behind=torch_file(evil(), [LARGE], front=b"x" * 70_000)
    ),
}
FOUND_IN = {name for name in HIDING if name not in ("plain.safetensors", "good.pt")}


@pytest.mark.parametrize("name", HIDING)
def test_nothing_hides_between_the_parts(tmp_path: Path, name: str) -> None:
    files = {name: HIDING[name]}
    items = far(pages := Pages(files, tmp_path))
    assert in_order(items) == in_order(near(files, tmp_path))
    assert any(isinstance(item, tuple | Gap) for item in items) == (name in FOUND_IN)
    if name in ("plain.safetensors", "good.pt", "evil.pt", "argument.pkl"):
        assert pages.share(name) < 0.1


def test_processes_of_their_own_tell_what_they_looked_at(tmp_path: Path) -> None:
    files = {name: HIDING[name] for name in ("plain.safetensors", "evil.pt", "good.pt")}
    pages = Pages(files, tmp_path, first=BLOCK)
    expected = in_order(near(files, tmp_path))
    assert in_order(far(pages, "auto")) == expected
    assert all(pages.share(path) < 0.5 for path in files)


def test_a_process_that_dies_before_it_tells_has_looked_at_everything() -> None:
    blob = Blob("a", 100, lambda: memoryview(b""), file="a", present=((0, 10),))
    asked: list[Any] = []

    class Dies:
        def run(self, blobs: list[Blob]) -> Iterator[tuple[Blob, list[Item]]]:
            for each in blobs:
                yield each, [Gap(each.path, "died")]

    class Whole:
        def present(self, path: str) -> Spans | None:
            return None if asked else ((0, 10),)

        def more(self, wanted: Mapping[str, Spans], *, sure: bool = False) -> dict[str, str]:
            asked.append(wanted)
            return {}

    found = in_rounds(cast("Any", Dies()), [blob], cast("Any", Whole()), lambda _: None)
    assert list(found) == [Gap("a", "died")]
    assert asked == [{"a": ((0, 100),)}]


def test_what_cannot_be_fetched_is_a_gap(tmp_path: Path) -> None:
    class Broken(Pages):
        def more(self, wanted: Mapping[str, Spans], *, sure: bool = False) -> dict[str, str]:
            return dict.fromkeys(wanted, "not fetched: no more")

    files = {"evil.pt": HIDING["evil.pt"], "plain.safetensors": HIDING["plain.safetensors"]}
    pages = Broken(files, tmp_path, first=BLOCK)
    workers = Workers(task(), 1, "off")
    found = list(in_rounds(workers, pages.blobs(), cast("Any", pages), lambda _: None))
    assert [item for item in found if isinstance(item, Gap)] == [
        Gap("evil.pt", "not fetched: no more")
    ]
    assert not any(isinstance(item, Missing | Finding) for item in found)
