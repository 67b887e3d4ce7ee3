"""CPU seconds and peak memory of scanning large model files, for poisonscan and its peers.

``python -m benchmarks.model_speed PEERS`` prints a line per input and tool. PEERS is what ``python
-m benchmarks.peers install`` made. The inputs are written to a temporary folder, one after the
other: they need 1.2 GB of disk and, while they are written, 3 GB of memory. ``--size small`` takes
a tenth of everything, ``--only WORD`` some of the inputs, ``--tool NAME`` some of the peers.

CPU seconds are user and system time of the tool and of all processes that it started and waited
for; the least of several calls counts, but a call of more than ten seconds is not repeated. The
peak is the resident set of the largest of these processes, pages of a mapped file included. A ratio
is to poisonscan in the same run. poisonscan runs as it does by default: on as many processes as it
likes, isolated from the rest of the system. A tool that fails, refuses or takes too long is shown
with what it took until then; its ratio is in brackets, or is a lower bound where it was stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.model_inputs import INPUTS
from benchmarks.peers import OURS, TIMED_OUT, Answer, Peer, Verdict, call, installed

ENOUGH = 10.0
"""CPU seconds after which a call is not repeated."""
SCALES = {"full": 1.0, "small": 0.1}

Tools = Sequence[tuple[Peer, str]]


def best(peer: Peer, program: str, paths: Sequence[Path], runs: int, seconds: float) -> Answer:
    """The cheapest of several calls; one if it is long."""
    answers: list[Answer] = []
    while len(answers) < runs and all(answer.cpu < ENOUGH for answer in answers):
        answers.append(call(peer, program, paths, seconds))
    return min(answers, key=lambda answer: answer.cpu)


def outcome(peer: Peer, answer: Answer) -> str:
    """What the tool came to, in words."""
    if answer.code == TIMED_OUT:
        return "stopped: took too long"
    verdict = peer.read(answer)
    said = f"{verdict}, exit code {answer.code}"
    return said if verdict is Verdict.CLEAN else f"{said}: {last_line(answer)}"


def last_line(answer: Answer) -> str:
    """Why, as far as it is said: the last line that speaks of an error, or the last of all."""
    lines = [line.strip() for line in (answer.err or answer.out).splitlines() if line.strip()]
    told = [line for line in lines if "rror" in line or "could not" in line]
    return (told or lines or [""])[-1][:60]


def compare(name: str, tools: Tools, paths: Sequence[Path], runs: int, seconds: float) -> None:
    """Print the lines of one input."""
    floor = None
    for peer, program in tools:
        if paths and paths[0].is_dir() and not peer.folders:
            print(f"{name:34}{peer.name:12}{'takes no folder':>22}", flush=True)
            continue
        answer = best(peer, program, paths, runs, seconds)
        floor = floor or answer.cpu
        said = outcome(peer, answer) if paths else ""
        print(
            f"{name:34}{peer.name:12}{answer.cpu:9.2f}"
            f"{ratio(answer.cpu / floor, peer, answer, idle=not paths):>13}"
            f"{answer.peak / 1e6:9.0f}  {said}",
            flush=True,
        )


def ratio(times: float, peer: Peer, answer: Answer, *, idle: bool) -> str:
    if answer.code == TIMED_OUT:
        return f"> {times:.1f}"
    failed = not idle and peer.read(answer) in (Verdict.ERROR, Verdict.SKIPPED)
    return f"({times:.2f})" if failed else f"{times:.2f}"


def chosen(names: Iterable[str], words: Sequence[str]) -> list[str]:
    return [name for name in names if not words or any(word in name for word in words)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peers", type=Path)
    parser.add_argument("--size", choices=list(SCALES), default="full")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=300, help="CPU seconds per call")
    parser.add_argument("--only", action="append", default=[], metavar="WORD")
    parser.add_argument("--tool", action="append", default=[], metavar="NAME")
    options = parser.parse_args()
    tools = [
        (peer, program)
        for peer, program in installed(options.peers.resolve())
        if not options.tool or peer.name in (OURS.name, *options.tool)
    ]
    print(f"{'':34}{'':12}{'CPU s':>9}{'ratio':>13}{'peak MB':>9}")
    if not options.only:
        compare("start-up (--version or --help)", tools, [], options.runs, options.timeout)
    for name in chosen(reversed(INPUTS), options.only):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, INPUTS[name][0])
            # In a process of its own: what this one holds would count as the tools' memory.
            writer = [sys.executable, "-m", "benchmarks.model_inputs", name, str(path)]
            subprocess.run([*writer, str(SCALES[options.size])], check=True)
            compare(name, tools, [path], options.runs, options.timeout)


if __name__ == "__main__":
    main()
