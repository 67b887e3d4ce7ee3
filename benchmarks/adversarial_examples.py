"""How well adversarial examples among pictures are found, on public pictures, and clean ones.

``python -m benchmarks.adversarial_examples DATA --seen FOLDERS --held-out FOLDERS`` prints three
tables; ``--fit`` prints the weights of ``picture_noise`` instead, fitted on what was seen. DATA is
a folder with the part of CIFAR-10 named in ``benchmarks/backdoors.py``, of which classes 0 to 4
count as seen and the others are held out; each of FOLDERS holds a folder of picture files for each
class, which are scaled to 32×32 pixels, each by one of three filters. It takes torch (the extra
``fixtures``).

Attacks: networks are trained on the pictures; 150 are attacked that come back as PNG. AUROC of the
score against pictures that were not attacked, with changes of 8, 4 and 2 grey levels, and of 8 as
JPEG of quality 90 to 98. Then a scan of the whole set where 5 % (or fewer, where 150 are less) are
attacked with 8: whether there is a finding, recall, and clean pictures named. Clean: scans of the
pictures as they are, as honest sources change them, with a tenth changed so, and as files at their
own size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.adversarial_networks import KINDS, accuracy, fgsm, pgd, trained
from benchmarks.alone import InMemory, findings
from benchmarks.backdoors import cifar
from benchmarks.honest_pictures import WAYS, encoded, treated
from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.picture_windows import SIDE, window
from poisonscan.datasets.pictures import Pixels
from poisonscan.detectors.datasets.adversarial_examples import DETECTOR
from poisonscan.detectors.datasets.picture_noise import noise_scores, statistics
from poisonscan.finding import Rows

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

VICTIMS = 150
FILES = 2_000
"""Files of a folder, drawn at random."""
FILTERS = (Image.Resampling.BOX, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
ATTACKS = {"FGSM": fgsm, "PGD": pgd}


class Set(NamedTuple):
    """Pictures of shape (n, 32, 32, 3), and windows of the same files at their own size."""

    pictures: Pictures
    labels: Labels
    own_size: Pictures | None = None


@dataclass(frozen=True, slots=True)
class Shown(InMemory):
    """Pictures in place of a dataset."""

    windows: Pictures
    path: str = "data"

    def batches(self) -> Iterator[Batch]:
        """The rows in order."""
        size = len(self.windows)
        numbers = np.arange(size, dtype=np.uint64)
        pixels = Pixels(
            np.zeros((size, 1, 1), np.float32),
            np.stack([numbers, numbers], axis=1),
            (),
            np.zeros(size, np.int32),
            windows=self.windows,
        )
        yield Batch(0, 0, size, {Role.PICTURES: pixels})


def folder_of_classes(folder: Path, seed: int) -> Set:
    rng = np.random.default_rng(seed)
    files = sorted(
        each for each in folder.rglob("*") if each.suffix.lower() in {".png", ".jpg", ".jpeg"}
    )
    pictures, windows, labels = [], [], []
    for number in rng.permutation(len(files))[:FILES].tolist():
        image = Image.open(files[number]).convert("RGB")
        windows.append(np.frombuffer(cast("bytes", window(image, image.tobytes())), np.uint8))
        scaled = image.resize((SIDE, SIDE), FILTERS[int(rng.integers(len(FILTERS)))])
        pictures.append(np.asarray(scaled))
        labels.append(files[number].relative_to(folder).parts[0])
    codes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return Set(np.stack(pictures), codes, np.stack(windows).reshape(-1, SIDE, SIDE, 3))


def sets(data: Path, folders: list[Path], *, seen: bool) -> dict[str, Set]:
    """By name."""
    _, pictures, labels = cifar(data)
    chosen = (labels < 5) == seen
    codes = np.unique(labels[chosen], return_inverse=True)[1].astype(np.int64)
    out = {f"CIFAR-10, classes {'0-4' if seen else '5-9'}": Set(pictures[chosen], codes)}
    for folder in folders:
        name = folder.parent.name if folder.name in {"train", "test"} else folder.name
        out[name] = folder_of_classes(folder, 5)
    return out


def victims(data: Set) -> NDArray[np.bool_]:
    """Which pictures are attacked: ``VICTIMS`` of them, or 5 %."""
    mask = np.zeros(len(data.labels), bool)
    count = min(VICTIMS, round(0.05 * len(mask)))
    mask[np.random.default_rng(1).permutation(len(mask))[:count]] = True
    return mask


def auroc(clean: Floats, attacked: Floats) -> float:
    """NaN ranks lowest: what has no colours is never found."""
    from sklearn.metrics import roc_auc_score

    scores = np.nan_to_num(np.concatenate([clean, attacked]), nan=-1e9)
    return float(roc_auc_score(np.arange(len(scores)) >= len(clean), scores))


def named(windows: Pictures) -> NDArray[np.bool_]:
    """Pictures that a scan finds."""
    out = np.zeros(len(windows), bool)
    for finding in findings(DETECTOR, Shown(windows)):
        assert isinstance(finding.at.part, Rows)
        count = finding.at.part.count
        out[np.argsort(-np.nan_to_num(noise_scores(windows), nan=-1e9))[:count]] = True
    return out


def attacks(name: str, data: Set, kind: str, steps: int) -> None:
    mask = victims(data)
    mine, theirs = data.pictures[mask], data.labels[mask]
    model = trained(kind, data.pictures, data.labels, steps, 3)
    clean = noise_scores(data.pictures[~mask])
    for title, attack in ATTACKS.items():
        made = {most: attack(model, mine, theirs, most) for most in (8, 4, 2)}
        again = treated(made[8], partial(encoded, subsampling=2, low=90), 0)
        scores = [auroc(clean, noise_scores(each)) for each in (*made.values(), again)]
        mixed = data.pictures.copy()
        mixed[mask] = made[8]
        found = named(mixed)
        right = accuracy(model, mine, theirs), accuracy(model, made[8], theirs)
        print(
            f"| {name} | {kind}, {right[0]:.2f} → {right[1]:.2f} | {title} |"
            f" {' | '.join(f'{each:.3f}' for each in scores)} | {mask.sum()} of {len(mask):,} |"
            f" {'yes' if found.any() else 'no'} | {found[mask].mean():.2f} |"
            f" {(found & ~mask).sum()} |",
            flush=True,
        )


def clean(name: str, data: Set) -> None:
    """Scans of clean pictures: as they are, changed, with a tenth changed, and at their size."""
    cases = {"as they are": data.pictures}
    some = data.pictures[:FILES]
    for way, change in WAYS.items():
        changed = treated(some, change, 4)
        cases[way] = changed
        mixed = some.copy()
        mixed[: len(some) // 10] = changed[: len(some) // 10]
        cases[f"a tenth: {way}"] = mixed
    if data.own_size is not None:
        cases["at their own size"] = data.own_size
    for title, windows in cases.items():
        beyond = np.nan_to_num(noise_scores(windows), nan=-1e9) > 0
        print(
            f"| {name} | {title} | {len(windows):,} | {beyond.mean():.2%} |"
            f" {int(named(windows).sum())} |",
            flush=True,
        )


def fit(seen: dict[str, Set], steps: int) -> None:
    """Print weights: all sets count alike, attacked and clean pictures too."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows, attacked, weights = [], [], []

    def add(windows: Pictures, weight: float, *, bad: bool) -> None:
        rows.append(statistics(windows))
        attacked.append(np.full(len(windows), bad))
        weights.append(np.full(len(windows), weight / len(windows)))

    for data in seen.values():
        mask = victims(data)
        add(data.pictures[~mask][:FILES], 1, bad=False)
        for way in WAYS.values():
            add(treated(data.pictures[~mask][:250], way, 6), 0.15, bad=False)
        if data.own_size is not None:
            add(data.own_size, 0.5, bad=False)
        for kind in KINDS:
            model = trained(kind, data.pictures, data.labels, steps, 7)
            for attack in ATTACKS.values():
                made = attack(model, data.pictures[mask], data.labels[mask], 8)
                add(made, 0.5 / len(KINDS), bad=True)
    weight = np.concatenate(weights) * 300
    scaler = StandardScaler().fit(np.concatenate(rows), sample_weight=weight)
    # Regularised so that numbers that say almost the same share their weight.
    model = LogisticRegression(C=0.1, max_iter=3_000).fit(
        scaler.transform(np.concatenate(rows)), np.concatenate(attacked), sample_weight=weight
    )
    found = model.coef_[0] / scaler.scale_
    print(np.array2string(found.reshape(3, 5), precision=3, separator=", "))
    print(f"{model.intercept_[0] - found @ scaler.mean_:.3f}")


def main() -> int:
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--seen", type=Path, nargs="*", help="folders that weights are fitted on")
    parser.add_argument("--held-out", type=Path, nargs="*", help="folders that are only measured")
    parser.add_argument("--fit", action="store_true", help="print weights")
    parser.add_argument("--steps", type=int, default=200, help="batches that networks see")
    given = parser.parse_args()
    if given.fit:
        fit(sets(given.data, given.seen or [], seen=True), given.steps)
        return 0
    known: dict[str, Set] = {}
    if given.seen is not None:
        seen = sets(given.data, given.seen, seen=True)
        known |= {f"{name} (seen)": data for name, data in seen.items()}
    if given.held_out is not None:
        known |= sets(given.data, given.held_out, seen=False)
    levels = "AUROC 8 | 4 | 2 | 8, JPEG"
    print(
        f"| data | network, accuracy | attack | {levels} | attacked | found | recall |"
        f" clean named |\n{'|---' * 11}|"
    )
    for name, data in known.items():
        for kind in KINDS:
            attacks(name, data, kind, given.steps)
    print(f"\n| clean data | changed | pictures | beyond 0 | named |\n{'|---' * 5}|")
    for name, data in known.items():
        clean(name, data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
