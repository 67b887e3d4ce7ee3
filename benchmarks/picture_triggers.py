"""How well triggers in pictures are found: textbook attacks on public pictures, and clean ones.

``python -m benchmarks.picture_triggers DATA [FOLDERS] [--seeds N] [--seen]`` prints two tables.
DATA is a folder of the public sets named in ``benchmarks/backdoors.py``; each of FOLDERS holds a
folder of picture files for each class, which are read at 32×32 pixels. Thresholds were chosen on
MNIST, digits and the first half of CIFAR-10: of CIFAR-10 the second half is shown, and the others
only where ``--seen`` asks for them.

For attacks: whether a finding names the target class and no other; of the rows that the findings
count, recall, share of clean rows and precision. For clean pictures: scans of draws of half of
the rows, those with a finding, and rows named. CPU seconds are those of the detector alone, without
decoding.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.alone import InMemory, findings
from benchmarks.backdoors import cifar, digits, luminance, mnist
from benchmarks.picture_attacks import ATTACKS, Labels, Pictures, coloured, poisoned
from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.batch import Labels as Column
from poisonscan.datasets.pictures import Pictures as Vectors
from poisonscan.datasets.pictures import Pixels, residuals
from poisonscan.detectors.base import DatasetDetector
from poisonscan.detectors.datasets.faint_overlay import DETECTOR as OVERLAY
from poisonscan.detectors.datasets.repeated_patches import DETECTOR as PATCHES
from poisonscan.detectors.datasets.shared_warp import DETECTOR as WARP
from poisonscan.detectors.datasets.spectral_signature import DETECTOR as SPECTRAL
from poisonscan.finding import Rows

SIDE = 32
DETECTORS: dict[str, DatasetDetector] = {
    "PS401": SPECTRAL,
    "PS404": PATCHES,
    "PS406": OVERLAY,
    "PS407": WARP,
}
ROWS_PER_BATCH = 1_024


@dataclass(frozen=True, slots=True)
class Shown(InMemory):
    """Labelled pictures in place of a dataset."""

    planes: NDArray[np.float32]
    labels: Labels
    roles: frozenset[Role]
    path: str = "data"
    vectors: Vectors = field(default_factory=Vectors)

    def batches(self) -> Iterator[Batch]:
        """The rows in order."""
        names, codes = np.unique(self.labels, return_inverse=True)
        for start in range(0, len(codes), ROWS_PER_BATCH):
            part = slice(start, start + ROWS_PER_BATCH)
            planes = self.planes[part]
            numbers = np.arange(start, start + len(planes), dtype=np.uint64)
            pixels = Pixels(planes, np.stack([numbers, numbers], axis=1), ())
            columns: dict[Role, Any] = {
                Role.LABEL: Column(codes[part].astype(np.int32), tuple(map(str, names))),
                Role.PICTURES: pixels,
            }
            if Role.FEATURES in self.roles:
                columns[Role.FEATURES] = residuals(planes)
            yield Batch(0, start, len(planes), columns)


def scan(
    detector: DatasetDetector, planes: NDArray[np.float32], labels: Labels
) -> tuple[set[str], NDArray[np.bool_], float]:
    """Labels with a finding, rows that the findings name, CPU seconds."""
    flagged = np.zeros(len(labels), bool)
    shown = Shown(planes, labels, detector.needs)
    start = time.process_time()
    found = findings(detector, shown)
    seconds = time.process_time() - start
    for finding in found:
        assert isinstance(finding.at.part, Rows)
        flagged[[row.index for row in finding.at.part.rows]] = True
    return {finding.key for finding in found}, flagged, seconds


def sets(folder: Path, *, seen: bool) -> dict[str, tuple[Pictures, Labels]]:
    """Pictures of shape (n, height, width, 3) and their labels, by name."""
    out: dict[str, tuple[Pictures, Labels]] = {}
    if (folder / "images" / "cifar10_part").is_dir():
        _, pictures, labels = cifar(folder)
        out["CIFAR-10, second half"] = (pictures[10_000:], labels[10_000:].astype(np.int64))
    if seen and (folder / "images" / "mnist_10k").is_dir():
        _, pictures, labels = mnist(folder)
        out["MNIST (seen)"] = (coloured(pictures), labels.astype(np.int64))
    if seen:
        name, pictures, labels = digits()
        out[name] = (coloured(np.kron(pictures, np.ones((1, 4, 4), np.uint8))), labels)
    return out


def folder_of_classes(folder: Path) -> tuple[Pictures, Labels]:
    """Picture files below a folder for each class, at 32×32."""
    pictures, labels = [], []
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in {".png", ".jpg", ".jpeg"}:
            image = Image.open(file).convert("RGB")
            pictures.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)))
            labels.append(file.relative_to(folder).parts[0])
    return np.stack(pictures), np.unique(labels, return_inverse=True)[1].astype(np.int64)


def attacks(
    name: str, data: tuple[Pictures, Labels], rules: dict[str, DatasetDetector], given: Any
) -> None:
    (pictures, labels), seeds = data, given.seeds
    for attack in ATTACKS:
        if given.attacks and not any(word in attack.name for word in given.attacks):
            continue
        for rate in given.rates:
            rows = round(rate * len(labels))
            if rows < 8:
                continue
            cells = []
            cases = [poisoned(pictures, labels, attack, rate, 50 + seed) for seed in range(seeds)]
            for detector in rules.values():
                scores = np.array([score(detector, *case) for case in cases])
                found, named, hits, false, clean, seconds = scores.sum(axis=0)
                planted = sum(int(mask.sum()) for _, _, mask in cases)
                precision = f"{hits / named:.2f}" if named else "-"
                cells.append(
                    f"{found:.0f}/{seeds} {hits / planted:.2f} {false / clean:.2%} {precision}"
                    f" {seconds / seeds:.1f} s"
                )
            print(
                f"| {name} | {attack.name} | {rate:.1%} ({rows}) | {' | '.join(cells)} |",
                flush=True,
            )


def score(
    detector: DatasetDetector, pictures: Pictures, labels: Labels, mask: NDArray[np.bool_]
) -> list[float]:
    keys, flagged, seconds = scan(detector, luminance(pictures), labels)
    names = list(map(str, np.unique(labels)))
    target = names[names.index(str(labels[mask][0]))]
    hits, false = int((flagged & mask).sum()), int((flagged & ~mask).sum())
    return [float(keys == {target}), hits + false, hits, false, int((~mask).sum()), seconds]


def clean(
    name: str, data: tuple[Pictures, Labels], rules: dict[str, DatasetDetector], seeds: int
) -> None:
    pictures, labels = data
    planes = luminance(pictures)
    for title, detector in rules.items():
        alarms, rows, total = 0, 0, 0
        for seed in range(-1, seeds):  # all, then halves
            drawn = np.arange(len(labels))
            if seed >= 0:
                drawn = np.random.default_rng(seed).permutation(len(labels))[: len(labels) // 2]
            keys, flagged, _ = scan(detector, planes[drawn], labels[drawn])
            alarms, rows, total = alarms + bool(keys), rows + int(flagged.sum()), total + len(drawn)
        print(
            f"| {name} | {len(labels):,} | {title} | {alarms}/{seeds + 1} | {rows / total:.3%} |",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("folders", nargs="*", type=Path, help="folders with one for each class")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--seen", action="store_true", help="show what was seen before too")
    parser.add_argument("--rates", nargs="*", type=float, default=[0.003, 0.01, 0.05])
    parser.add_argument("--attacks", nargs="*", help="words in the names of those that are shown")
    parser.add_argument("--rules", nargs="*", choices=DETECTORS, default=list(DETECTORS))
    given = parser.parse_args()
    rules = {title: DETECTORS[title] for title in given.rules}
    known = sets(given.data, seen=given.seen)
    known |= {folder.name: folder_of_classes(folder) for folder in given.folders}
    print(f"| clean data | pictures | rule | scans with a finding | rows named |\n{'|---' * 5}|")
    for name, data in known.items():
        clean(name, data, rules, 2 * given.seeds)
    columns = " | ".join(f"{title}: found, recall, false, precision, CPU" for title in rules)
    print(f"\n| data | attack | rate (rows) | {columns} |\n{'|---' * (3 + len(rules))}|")
    for name, data in known.items():
        attacks(name, data, rules, given)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
