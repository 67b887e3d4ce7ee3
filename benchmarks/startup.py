"""What a command costs before it does anything: CPU seconds and peak memory of whole processes.

Run ``python benchmarks/startup.py``. The floor is an interpreter that does nothing; the last column
is the ratio to it, measured in turn in the same run.
"""

from __future__ import annotations

import os
import pickle
import statistics
import sys
import tempfile
from pathlib import Path

RUNS = 9


def cost(command: list[str]) -> tuple[float, float]:
    """CPU seconds and MiB of one run."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor for the child
        actions = [(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)]
        child = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        _, _, usage = os.wait4(child, 0)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.pkl"
        small.write_bytes(pickle.dumps({"weights": list(range(100))}))
        commands = {
            "python -c pass": [python, "-c", "pass"],
            "import click": [python, "-c", "import click"],
            "poisonscan --version": [python, "-m", "poisonscan", "--version"],
            "poisonscan --help": [python, "-m", "poisonscan", "--help"],
            "poisonscan scan small.pkl": [python, "-m", "poisonscan", "scan", str(small)],
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                runs[name].append(cost(command))
    floor = statistics.median(seconds for seconds, _ in runs["python -c pass"])
    print(f"{'':28}{'CPU s, median':>15}{'min':>8}{'peak MiB':>10}{'ratio':>8}")
    for name, measured in runs.items():
        seconds = [s for s, _ in measured]
        middle = statistics.median(seconds)
        peak = max(m for _, m in measured)
        print(f"{name:28}{middle:15.3f}{min(seconds):8.3f}{peak:10.0f}{middle / floor:8.1f}")


if __name__ == "__main__":
    main()
