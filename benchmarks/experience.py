"""What somebody sees who types the shortest command: poisonscan and other scanners, side by side.

``python -m benchmarks.experience PEERS`` makes inputs in a folder of its own and gives each to
every tool with no option but the path. PEERS is what ``python -m benchmarks.peers install`` made.
Of each call the table shows the exit code, the lines and bytes of what is printed, the CPU seconds,
and the words that a reader takes home: the first line with a word in it, and whether the tool says
that all is well. That is *false* of an input that is bad, and of one that nobody looked at.

Each input has one truth, known because it was made so: *bad* (loading it runs code, or its rows are
poisoned), *good*, or *nothing*: there is nothing in it that any of the tools can look at, so that
"clean" has no ground. The poisoned table says nothing against scanners of pickles, which do not
claim to know it; that they call it clean is what their user sees all the same.
"""

from __future__ import annotations

import argparse
import os
import pickle
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import Answer, installed, run

DEMO = Path(__file__).parents[1] / "fixtures" / "demo"
SECONDS = 60.0
TYPED = {
    "poisonscan": ("scan",),
    "picklescan": ("-p",),
    "modelscan": ("scan", "-p"),
    "modelaudit": ("scan",),
}
"""What comes between the command and the path."""
ALL_IS_WELL = {
    "poisonscan": r"^Clean\b",
    "picklescan": r"^Infected files: 0$",
    "modelscan": r"No issues found",
    "modelaudit": r"NO ISSUES FOUND|No (?:security )?issues|\bCLEAN\b",
}
"""The words by which each says it."""
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_WIDTH = 58


@dataclass(frozen=True, slots=True)
class Input:
    """Something to scan.

    Attributes:
        what: it is, for people.
        truth: ``bad``, ``good`` or ``nothing``.
        path: where it lies.
    """

    what: str
    truth: str
    path: Path


@dataclass(frozen=True, slots=True)
class Seen:
    """What one call showed.

    Attributes:
        code: exit code.
        first: the first line that has a word in it.
        well: whether it says that all is well.
        lines: of both outputs together.
        size: of both in bytes.
        cpu: seconds.
    """

    code: int
    first: str
    well: bool
    lines: int
    size: int
    cpu: float

    @classmethod
    def of(cls, tool: str, answer: Answer) -> Seen:
        """Read what a tool printed as somebody would."""
        text = _CODES.sub("", answer.out + answer.err)
        lines = text.splitlines()
        first = next((line.strip() for line in lines if re.search(r"\w{2}", line)), "")
        well = re.search(ALL_IS_WELL[tool], text, re.MULTILINE) is not None
        return cls(answer.code, first, well, len(lines), len(text.encode()), answer.cpu)

    def false(self, truth: str) -> bool:
        """Whether it says that all is well where that is not so, or nobody can know."""
        return self.well and truth != "good"


def inputs(folder: Path) -> list[Input]:
    """Make them."""
    made: list[Input] = []

    def make(what: str, truth: str, name: str, content: bytes | Path | None) -> None:
        path = folder / str(len(made)) / name
        path.parent.mkdir()
        if isinstance(content, Path):
            shutil.copy(content, path)
        elif content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
        made.append(Input(what, truth, path))

    evil = b"cos\nsystem\n(S'true'\ntR."
    make("pickle that runs a command", "bad", "model.pkl", evil)
    make("the same in a torch file", "bad", "model.pt", DEMO / "checkpoint-malicious.pt")
    make("pickle that runs it and then is cut off", "bad", "cut.pkl", evil[:-1] + b"(lp0\nI1\n")
    make("benign torch file", "good", "model.pt", DEMO / "checkpoint-benign.pt")
    make("benign pickle", "good", "model.pkl", pickle.dumps({"weights": [0.5] * 8}))
    make("benign safetensors", "good", "model.safetensors", _safetensors())
    make("safetensors whose header lies", "bad", "model.safetensors", _safetensors(end=64))
    make("empty folder", "nothing", "folder", None)
    make("a README alone", "nothing", "README.md", b"# Weights\n\nTo come.\n")
    make("random bytes called .bin", "nothing", "model.bin", bytes(range(256)) * 16)
    make("pickle of zero bytes", "nothing", "model.pkl", b"")
    make("poisoned pictures in parquet", "bad", "train.parquet", DEMO / "digits-poisoned.parquet")
    return made


def _safetensors(end: int = 16) -> bytes:
    header = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,%d]}}' % end
    return len(header).to_bytes(8, "little") + header + bytes(16)


def look(tool: str, program: str, path: Path, environment: Mapping[str, str]) -> Seen:
    """Type the command."""
    with tempfile.TemporaryDirectory() as home:
        plain = {name: v for name, v in os.environ.items() if not name.startswith("PYTHON")}
        given = {**plain, "HOME": home, "COLUMNS": "100", **environment}
        command = [program, *TYPED[tool], str(path)]
        return Seen.of(tool, run(command, Path(home), given, SECONDS))


def _words(seen: Seen, item: Input) -> str:
    first = seen.first.replace(str(item.path), item.path.name).replace("|", "\\|")
    shown = first if len(first) <= _WIDTH else first[: _WIDTH - 1] + "…"
    verdict = "**all is well, falsely**" if seen.false(item.truth) else "all is well"
    return f"{shown} … {verdict}" if seen.well else shown


def main() -> None:
    """Print the table, and what each tool got wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("peers", type=Path)
    tools = [each for each in installed(parser.parse_args().peers) if each[0].name in TYPED]
    false = dict.fromkeys((peer.name for peer, _ in tools), 0)
    with tempfile.TemporaryDirectory() as folder:
        print("| input | truth | tool | exit | seen first | lines | bytes | CPU s |")
        print("|---|---|---|---|---|---|---|---|")
        for item in inputs(Path(folder)):
            for peer, program in tools:
                seen = look(peer.name, program, item.path, peer.environment)
                false[peer.name] += seen.false(item.truth)
                print(
                    f"| {item.what} | {item.truth} | {peer.name} | {seen.code} "
                    f"| {_words(seen, item)} | {seen.lines} | {seen.size:,} | {seen.cpu:.2f} |",
                    flush=True,
                )
    print()
    for name, count in false.items():
        print(f"{name}: says {count} times that all is well where that is false")


if __name__ == "__main__":
    main()
