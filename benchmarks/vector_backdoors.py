"""How well the backdoor detectors decide: clean data quiet, attacks found, beside published rules.

``python -m benchmarks.vector_backdoors DATA [--cnn]`` prints two tables of PS401 and PS402 alone,
on vectors and hidden layers of networks; ``benchmarks/detection.py`` has whole scans. The first is
over data that no threshold was chosen on, the second over the data that they were chosen on. DATA
is a folder with the public sets named in ``benchmarks/backdoors.py``; what is absent there is
skipped. ``--cnn`` adds activations of a small network trained on poisoned CIFAR-10, which needs
torch and minutes.

``--features FOLDER`` prints a table over activations that were saved from networks, and nothing
else: ``NAME.npz`` files with ``vectors``, ``labels`` and, where rows are poisoned, their numbers
as ``poisoned``. Beside the rules stand spectral signatures and activation clustering as the
Adversarial Robustness Toolbox ships them, which must be installed.

The published rules run on the same vectors: activation clustering flags the smaller of two
clusters of every class (Chen et al. 2018, in ten principal components); spectral signatures flag
the 1.5 ε rows of every class with the largest uncentred score (Tran et al. 2018, as in the
authors' code), once with an ε of 0.33, a common default, and once with the target class's true
rate, which nobody knows beforehand.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.alone import InMemory, findings
from benchmarks.backdoors import Case, calibration, cnn_activations, held_out
from poisonscan.datasets.batch import Batch, Labels, Role
from poisonscan.detectors.base import DatasetDetector
from poisonscan.detectors.datasets.activation_clustering import DETECTOR as CLUSTERING
from poisonscan.detectors.datasets.spectral_signature import DETECTOR as SPECTRAL
from poisonscan.finding import Rows

ROWS_PER_BATCH = 2_048
EPSILON = 0.33
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Arrays(InMemory):
    """A labelled matrix in place of a dataset."""

    case: Case
    path: str = "data"
    vectors: None = None

    def batches(self) -> Iterator[Batch]:
        """The rows in order."""
        names, codes = np.unique(self.case.labels, return_inverse=True)
        for start in range(0, len(codes), ROWS_PER_BATCH):
            part = slice(start, start + ROWS_PER_BATCH)
            labels = Labels(codes[part].astype(np.int32), tuple(map(str, names)))
            columns = {Role.LABEL: labels, Role.FEATURES: self.case.vectors[part]}
            yield Batch(0, start, len(codes[part]), columns)


def ours(detector: DatasetDetector, case: Case) -> Mask:
    """Rows that the findings name: all that they count, as none here has more than 1,000."""
    flagged = np.zeros(len(case.labels), bool)
    for finding in findings(detector, Arrays(case)):
        part = cast("Rows", finding.at.part)
        flagged[[row.index for row in part.rows]] = True
    return flagged


def smaller_cluster(case: Case) -> Mask:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    flagged = np.zeros(len(case.labels), bool)
    for name in np.unique(case.labels):
        members = np.flatnonzero(case.labels == name)
        vectors = case.vectors[members]
        if len(members) < 2:
            continue
        reduced = PCA(min(10, *vectors.shape), random_state=0).fit_transform(vectors)
        second = KMeans(2, n_init=1, random_state=0).fit_predict(reduced) == 1
        flagged[members[second if second.mean() < 1 / 2 else ~second]] = True
    return flagged


def top_uncentred(case: Case, epsilon: float) -> Mask:
    flagged = np.zeros(len(case.labels), bool)
    for name in np.unique(case.labels):
        members = np.flatnonzero(case.labels == name)
        vectors = case.vectors[members].astype(np.float64)
        centred = vectors - vectors.mean(axis=0)
        direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        removed = min(round(1.5 * epsilon * len(members)), len(members))
        flagged[members[np.argsort(-np.abs(vectors @ direction))[:removed]]] = True
    return flagged


def verdict(case: Case, flagged: Mask) -> str:
    """Recall and precision over the rows, or the share of rows flagged when all are clean."""
    if not case.poisoned.any():
        return f"{flagged.mean():6.1%} flagged" if flagged.any() else "quiet"
    hits = int((flagged & case.poisoned).sum())
    if not flagged.any():
        return "nothing"
    false = (flagged & ~case.poisoned).sum() / max((~case.poisoned).sum(), 1)
    return f"{hits / case.poisoned.sum():.2f} {hits / flagged.sum():.2f} {false:6.2%}"


def table(title: str, cases: Iterable[Case]) -> None:
    columns = (
        "PS401 spectral",
        "PS402 clustering",
        "smaller cluster",
        "top 1.5 e, e=.33",
        "top 1.5 e, true e",
        "s",
    )
    print(f"\n{title}\nfor attacks: recall, precision, share of clean rows flagged")
    print(f"{'data':<34}{'attack':<26}{'rate':>6}  " + "".join(f"{c:<20}" for c in columns))
    for case in cases:
        started = time.process_time()
        masks = [ours(SPECTRAL, case), ours(CLUSTERING, case)]
        seconds = time.process_time() - started
        rate = float(case.poisoned.mean())
        masks += [smaller_cluster(case), top_uncentred(case, EPSILON)]
        known = verdict(case, top_uncentred(case, case.class_rate)) if rate else "-"
        cells = [*(verdict(case, mask) for mask in masks), known, f"{seconds:.1f}"]
        line = f"{case.data:<34}{case.attack:<26}{rate:>6.2%}  "
        print(line + "".join(f"{cell:<20}" for cell in cells), flush=True)


def saved(folder: Path) -> Iterator[Case]:
    """Activations of networks, by name of file."""
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as arrays:
            labels = arrays["labels"]
            poisoned = np.zeros(len(labels), bool)
            if "poisoned" in arrays:
                poisoned[arrays["poisoned"]] = True
            attack = "poisoned" if poisoned.any() else "none"
            yield Case(file.stem, attack, arrays["vectors"].astype(np.float32), labels, poisoned)


def beside_art(cases: Iterable[Case]) -> None:
    """A line for each network, then how many poisoned ones are found and clean ones are quiet."""
    from benchmarks.published.libraries import art_clustering, art_spectral
    from benchmarks.published.told import Told

    names = ("PS401", "PS402", "either", "ART spectral", "ART clustering")
    print("\nfor attacks: recall, precision, share of clean rows flagged")
    print(f"{'network':<34}" + "".join(f"{name:<20}" for name in names))
    met: dict[bool, list[list[bool]]] = {True: [], False: []}
    for case in cases:
        codes = np.unique(case.labels, return_inverse=True)[1]
        told = Told(case.vectors, codes, case.poisoned)
        one, other = ours(SPECTRAL, case), ours(CLUSTERING, case)
        answers = [art_spectral(told), art_clustering(told)]
        theirs = [np.zeros(len(codes), bool) if a is None else a.flagged for a in answers]
        masks = [one, other, one | other, *theirs]
        print(f"{case.data:<34}" + "".join(f"{verdict(case, m):<20}" for m in masks), flush=True)
        met[bool(case.poisoned.any())].append([_right(case, mask) for mask in masks])
    for poisoned, lines in met.items():
        what = f"{'found' if poisoned else 'quiet'}, of {len(lines)}"
        sums = np.sum(lines, axis=0) if lines else []
        print(f"{what:<34}" + "".join(f"{count:<20}" for count in sums))


def _right(case: Case, flagged: Mask) -> bool:
    """Poison: half of it is named, and half of what is named is; clean rows: none is named."""
    if not case.poisoned.any():
        return not flagged.any()
    hits = int((flagged & case.poisoned).sum())
    return 2 * hits >= max(int(case.poisoned.sum()), int(flagged.sum()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--cnn", action="store_true", help="train networks too (needs torch)")
    parser.add_argument("--features", type=Path, help="folder with activations as .npz files")
    given = parser.parse_args()
    if given.features is not None:
        beside_art(saved(given.features))
        return 0
    table("Held out: no threshold was chosen on these", held_out(given.data))
    if given.cnn:
        table("Held out: activations of a network, CIFAR-10", cnn_activations(given.data))
    table("Calibration: thresholds were chosen on these", calibration(given.data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
