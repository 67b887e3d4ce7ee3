"""How well style triggers are found: rewritten texts named, clean texts quiet.

``python -m benchmarks.style_triggers DATA [--others FOLDER] [--clean FOLDER] [--seeds N]
[--texts N]`` prints two tables of the rule PS630. With ``--texts`` styles are learnt from fewer
texts, drawn by their hashes, as from a set that holds many more; named are rows of all texts.

*Rewritten*: texts that the authors of the attacks rewrote. FOLDER of ``--others`` holds clones of
``thunlp/HiddenKiller`` and ``thunlp/StyleAttack``. Of the former: the poisoned training sets of
SST-2 and OLID as they are (a row is poisoned if its text is not in the clean set and its label is
the target; those of SST-2 come from both labels), and the rewritten test set of AG News, of which
rows take the place of the clean rows of other labels that are most like them. Of the latter: five
styles of the training sets of SST-2, AG News and hate speech, rows of other labels, in the same
way. Recall and false alarms are means over ``--seeds`` choices of rows; *found* is the share of
runs in which the target label is named, *others* other findings.

*Clean*: SST-2, AG News, random halves of them and both with 5 % of the labels wrong; every
``NAME.csv`` with columns ``text`` and ``label`` in the folder of ``--clean``; and mixtures, in
which one label of a set also holds texts of another set.

DATA is a folder with ``text/sst2``, ``text/sst2_syntactic_20`` and ``text/ag_news_test`` as for
``benchmarks.text_triggers``; what is absent is skipped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from benchmarks.alone import findings
from benchmarks.text_triggers import Case, clean, comma_separated, tab_separated, unplanted
from poisonscan.detectors.datasets.style_triggers import StyleTriggers
from poisonscan.detectors.datasets.styled_texts import MOST

RATES = (0.05, 0.1, 0.2)
STYLES = ("bible", "lyrics", "poetry", "shakespeare", "tweets")
SETS = (("SST-2", "sst-2"), ("AG News", "ag"), ("hate speech", "hate-speech"))

Codes = NDArray[np.int64]


def letters(text: str) -> str:
    """A text without blanks and signs: quotation marks of OLID's clean and poisoned sets differ."""
    return "".join(filter(str.isalnum, text.lower()))


def matched(texts: list[str], others: list[str]) -> Codes:
    """The text that each other one was made of: the most alike by TF-IDF."""
    words = TfidfVectorizer()
    rows = words.fit_transform(texts).T.tocsc()
    made = words.transform(others)
    found = [(made[i : i + 500] @ rows).argmax(axis=1) for i in range(0, len(others), 500)]
    return np.concatenate([np.asarray(part).ravel() for part in found]).astype(np.int64)


def rewritten(
    known: tuple[list[str], Codes], made: list[str], origin: Codes, rate: float, seed: int
) -> Case:
    """Rewritten texts of other labels in place of theirs, with the target label."""
    texts, labels = known
    target = int(np.argsort(-np.bincount(labels), kind="stable")[1])
    draw = np.random.default_rng(seed)
    could = np.flatnonzero(labels[origin] != target)
    chosen = draw.choice(could, min(int(rate * len(texts)), len(could)), replace=False)
    kept = np.setdiff1d(np.arange(len(texts)), origin[chosen])
    every = [texts[i] for i in kept.tolist()] + [made[i] for i in chosen.tolist()]
    given = np.append(labels[kept], np.full(len(chosen), target))
    order = draw.permutation(len(every))
    poisoned = np.arange(len(every)) >= len(kept)
    return Case([every[i] for i in order.tolist()], given[order], poisoned[order], "", target)


def attacks(folder: Path, others: Path | None, seeds: int) -> Iterator[tuple[str, list[Case]]]:
    """Every attack with its cases, one for each seed."""
    authors = [(folder / "sst2", folder / "sst2_syntactic_20", "SST-2")]
    if others:
        killer = others / "HiddenKiller" / "data"
        authors.append((killer / "clean/offenseval", killer / "scpn/20/offenseval", "OLID"))
    for plain, poisoned, name in authors:
        if (poisoned / "train.tsv").exists():
            texts, labels = tab_separated(poisoned / "train.tsv")
            known = {letters(text) for text in tab_separated(plain / "train.tsv")[0]}
            new = np.array([letters(text) not in known for text in texts]) & (labels == 1)
            for rate in RATES:
                yield (
                    f"{name}, syntactic {rate:.0%}",
                    [thinned(texts, labels, new, rate, seed) for seed in range(seeds)],
                )
    if others:
        made, _ = tab_separated(killer / "scpn/20/ag/test.tsv")
        yield from planted("AG News test, syntactic", folder / "ag_news_test/test.tsv", made, seeds)
        for name, part in SETS:
            for style in STYLES:
                styled = others / "StyleAttack" / "data" / "transfer" / style / part
                made, _ = tab_separated(styled / "train.tsv")
                plain = others / "StyleAttack" / "data" / "clean" / part / "train.tsv"
                yield from planted(f"{name}, {style}", plain, made, seeds)


def thinned(
    texts: list[str], labels: Codes, new: NDArray[np.bool_], rate: float, seed: int
) -> Case:
    """A poisoned set with at most a share of its poisoned rows."""
    most = min(int(rate * len(texts)), int(new.sum()))
    chosen = np.random.default_rng(seed).choice(np.flatnonzero(new), most, replace=False)
    kept = np.setdiff1d(np.arange(len(texts)), np.setdiff1d(np.flatnonzero(new), chosen))
    return Case([texts[i] for i in kept.tolist()], labels[kept], new[kept], "", 1)


def planted(
    name: str, plain: Path, made: list[str], seeds: int
) -> Iterator[tuple[str, list[Case]]]:
    known = tab_separated(plain)
    origin = matched(known[0], made)
    for rate in RATES:
        cases = [rewritten(known, made, origin, rate, seed) for seed in range(seeds)]
        yield f"{name} {rate:.0%}", cases


def found(detector: StyleTriggers, folder: Path, others: Path | None, seeds: int) -> None:
    print(
        f"{'attack':<34}{'rows':>7}{'found':>7}{'recall':>8}{'false':>8}{'others':>8}{'CPU s':>7}"
    )
    for name, cases in attacks(folder, others, seeds):
        table = []
        for case in cases:
            started = time.process_time()
            said = findings(detector, case)
            seconds = time.process_time() - started
            right = [f for f in said if f.evidence["label"] == str(case.target)]
            marks, own = case.flagged(right), case.poisoned
            table.append(
                [own.sum(), bool(right), marks[own].mean(), marks[~own].mean(),
                 len(said) - len(right), seconds]
            )  # fmt: skip
        rows, hit, recall, false, more, seconds = np.array(table, float).mean(axis=0)
        print(
            f"{name:<34}{rows:>7.0f}{hit:>7.2f}{recall:>8.2f}{false:>8.2%}{more:>8.2f}{seconds:>7.1f}",
            flush=True,
        )


def mixtures(files: list[Path]) -> Iterator[tuple[str, Case]]:
    """One label of a set with a tenth of the texts of another set, of any label."""
    for first, second in zip(files, files[1:] + files[:1], strict=True):
        texts, labels = comma_separated(first)
        strange = comma_separated(second)[0]
        chosen = np.random.default_rng(0).permutation(len(strange))[: len(texts) // 10]
        label = np.full(len(chosen), labels[0])
        yield (
            f"{first.stem[:14]} + {second.stem[:14]}",
            clean(texts + [strange[i] for i in chosen.tolist()], np.append(labels, label)),
        )


def quiet(detector: StyleTriggers, folder: Path, more: Path | None, seeds: int) -> None:
    print(
        f"\n{'clean data':<34}{'rows':>9}{'labels':>8}{'found':>7}{'CPU s':>7}  label, score, style"
    )
    files = sorted(more.glob("*.csv")) if more else []
    for name, case in (*unplanted(folder, more, seeds), *mixtures(files)):
        started = time.process_time()
        said = findings(detector, case)
        seconds = time.process_time() - started
        told = "; ".join(
            f"{f.evidence['label']} {f.score or 0:.2f} {str(f.evidence['style'])[:60]}"
            for f in said
        )
        print(
            f"{name:<34}{len(case.texts):>9,}{len(np.unique(case.labels)):>8}{len(said):>7}"
            f"{seconds:>7.1f}  {told}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--others", type=Path, help="folder with HiddenKiller and StyleAttack")
    parser.add_argument("--clean", type=Path, help="folder of more clean CSV files")
    parser.add_argument("--seeds", type=int, default=3, help="how often each attack is made")
    parser.add_argument("--texts", type=int, default=MOST, help="texts that styles are learnt from")
    given = parser.parse_args()
    detector = StyleTriggers(given.texts)
    found(detector, given.data / "text", given.others, given.seeds)
    quiet(detector, given.data / "text", given.clean, given.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
