"""Clean sets and attacks on them, as the rows that ``benchmarks/detection.py`` scans.

DATA is the folder of ``benchmarks/backdoors.py`` and ``benchmarks/text_triggers.py``. FOLDER of
``--more`` holds a folder for each further set, of any form; triggers are put into those named in
``TEXTS`` and in ``HELD_OUT`` of ``benchmarks/tables.py``. FOLDER of ``--others`` is that of
``benchmarks/style_triggers.py``. FILE of ``--fashion`` is a table of Fashion-MNIST pictures and
labels, on which PS404 and PS406 were mended: it is marked as seen.

Thresholds were chosen on other data than these: those for pictures on the first half of CIFAR-10
and others (the second half is shown here), those for tables and texts on the sets that are marked
as seen here, and on more that the modules above name. Of rewritten texts the syntactic ones were
used for PS630's thresholds, and the styles were not. What lies in FOLDER is for whoever runs it to
tell: sets that the rules' pages name are no test of them.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from benchmarks import style_triggers, table_attacks, table_triggers, tables, text_triggers
from benchmarks.backdoors import cifar, mnist
from benchmarks.picture_attacks import ATTACKS as ON_PICTURES
from benchmarks.picture_attacks import (
    Attack,
    Labels,
    Pictures,
    as_stored,
    checkers,
    coloured,
    patch,
    poisoned,
)
from poisonscan.datasets.numbers import Numbers
from poisonscan.datasets.pictures import SIDE, luminance, residuals
from poisonscan.datasets.shards import DatasetOptions
from poisonscan.datasets.words import Words
from poisonscan.finding import Finding
from poisonscan.planting.bed import Bed, read
from poisonscan.planting.errors import PlantError

Mask = NDArray[np.bool_]
MOST = 10_000
"""Rows of a set in a folder of --more that are taken."""
TEXTS = {
    "subj_c/subj.csv": ("text", "label"),
    "te_emotion_c/train.csv": ("text", "label"),
    "davidson/labeled_data.csv": ("tweet", "class"),
}
"""Sets below FOLDER that triggers are put into: the columns of their texts and labels."""
SEEN_TEXTS = {"SST-2 (seen)": "sst2/train.tsv", "AG News (seen)": "ag_news_test/test.tsv"}
"""Sets below DATA that rules for texts were built with."""

FASHION = "Fashion-MNIST (seen)"
FIXED = (
    "checkers 3x3",
    "white 4x4",
    "white 4x4, corner",
    "colours 5x5",
    "noise blend 0.15",
    "sine, label kept",
)
HARDER = (
    "moved checkers 3x3", "moved colours 5x5", "checkers 3x3, JPEG", "noise 0.15, JPEG",
    "natural blend 0.2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bar:
    """What is asked for.

    Attributes:
        name: the kind of attack.
        recall: share of the poisoned rows that is to be found, at least.
        false: share of the other rows that may be flagged, at most.
        precision: of what is flagged by default, at least.
    """

    name: str
    recall: float
    false: float
    precision: float = 0.0


CLEAN = Bar("clean", 0.0, 0.001)
PATCHES = Bar("fixed patch, blend, sine", 0.95, 0.005, 0.9)
MOVED = Bar("moved, re-encoded, natural", 0.9, 0.01)
SUBTLE = Bar("warp, clean label", 0.8, 0.01)
PHRASES = Bar("text: phrase or mark", 0.95, 0.005)
STYLES = Bar("text: syntax or style", 0.9, 0.01)
VALUES = Bar("table: value or pair", 0.95, 0.005)
BARS = {bar.name: bar for bar in (CLEAN, PATCHES, MOVED, SUBTLE, PHRASES, STYLES, VALUES)}


@dataclass(frozen=True, slots=True)
class Case:
    """Rows to scan.

    Attributes:
        bar: what is asked of the answer.
        data: the set.
        attack: what was done; nothing for clean rows.
        rate: poisoned share that was meant.
        seed: of the draw.
        make: gives the rows, and which are poisoned.
        names: whether a finding names the trigger, where that is a phrase or values.
    """

    bar: Bar
    data: str
    attack: str
    rate: float
    seed: int
    make: Callable[[], tuple[Bed, Mask]] = field(repr=False)
    names: Callable[[Finding], bool] | None = None


def of_pictures(pictures: Pictures, labels: NDArray[Any]) -> Bed:
    """As PNG, which loses nothing."""
    stored = []
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", compress_level=1)
        stored.append({"bytes": file.getvalue(), "path": None})
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(stored, kind), "label": pa.array(labels)})
    return Bed(table, picture="image", label="label")


def of_texts(texts: list[str], labels: NDArray[Any]) -> Bed:
    table = pa.table({"text": texts, "label": pa.array(labels)})
    return Bed(table, text="text", label="label")


def of_cells(table: tables.Table) -> Bed:
    columns = {name: pa.array(values, from_pandas=True) for name, values in table.columns.items()}
    numbers = tuple(name for name, values in table.columns.items() if values.dtype.kind == "f")
    every = pa.table({**columns, "label": pa.array(table.labels, pa.string())})
    return Bed(every, label="label", numbers=numbers, delimited=True)


def vectors(bed: Bed) -> NDArray[np.float32] | None:
    """The rows as the detectors of vectors see them; of tables all cells, words by their rank."""
    if bed.picture is not None:
        planes = [_plane(value) for value in bed.table.column(bed.picture).to_pylist()]
        return residuals(np.stack(planes))
    if bed.text is not None:
        column = bed.table.column(bed.text).combine_chunks()
        return np.nan_to_num(Words((bed.text,)).vectors([column]))
    names = [name for name in bed.table.schema.names if name != bed.label]
    columns = [
        bed.table.column(name).combine_chunks() if name in bed.numbers else _ranks(bed, name)
        for name in names
    ]
    return Numbers.fit(names, columns).vectors(columns) if columns else None


def _grey(value: Any) -> Image.Image:
    with Image.open(io.BytesIO(value["bytes"] if isinstance(value, dict) else value)) as image:
        return image.convert("L")


def _plane(value: Any) -> NDArray[np.float32]:
    return luminance(_grey(value)).reshape(SIDE, SIDE)


def _ranks(bed: Bed, name: str) -> pa.Array:
    words = pc.fill_null(pc.cast(bed.table.column(name).combine_chunks(), pa.string()), "")
    return pa.array(np.unique(words.to_pylist(), return_inverse=True)[1].astype(float))


# Clean sets


def clean(data: Path, more: Path | None, fashion: Path | None, seeds: int) -> Iterator[Case]:
    """Random halves of every set that has labels."""
    garments = [(FASHION, lambda: of_pictures(*_garments(fashion)))] if fashion else []
    for name, load in _known(data) + garments + _further(more):
        for seed in range(seeds):
            yield Case(CLEAN, name, "", 0.0, seed, partial(_half, load, seed))


Load = Callable[[], Bed]


def _known(data: Path) -> list[tuple[str, Load]]:
    found: list[tuple[str, Load]] = []
    if (data / "images" / "cifar10_part").is_dir():
        found.append(("CIFAR-10, second half", lambda: of_pictures(*_second_half(data))))
    if (data / "images" / "mnist_10k").is_dir():
        found.append(("MNIST (seen)", lambda: of_pictures(*mnist(data)[1:])))
    for name, path in SEEN_TEXTS.items():
        if (data / "text" / path).exists():
            found.append((name, partial(_sentences, data / "text" / path)))
    known = tables.known(data)
    return found + [(f"{table.name} (seen)", partial(of_cells, table)) for table in known]


def _sentences(path: Path) -> Bed:
    return of_texts(*text_triggers.tab_separated(path))


def _further(more: Path | None) -> list[tuple[str, Load]]:
    folders = sorted(path for path in more.iterdir() if path.is_dir()) if more else []
    labels = {Path(name).parent.name: label for name, label in tables.HELD_OUT.items()}
    return [(path.name, partial(_read, path, labels.get(path.name))) for path in folders]


def _read(path: Path, label: str | None) -> Bed:
    known = label if label and not label.startswith("col_") else None
    return read(path, DatasetOptions(label_column=known), MOST)


def _half(load: Load, seed: int) -> tuple[Bed, Mask]:
    bed = load()
    if bed.label is None:
        message = "no column of labels is known in it"
        raise PlantError(message)
    rows = np.random.default_rng(seed).permutation(bed.rows)[: bed.rows // 2]
    chosen = replace(bed, table=bed.table.take(pa.array(np.sort(rows))))
    return chosen, np.zeros(len(rows), bool)


# Attacks


@functools.cache
def _second_half(data: Path) -> tuple[Pictures, Labels]:
    """The pictures of CIFAR-10 on which no threshold was chosen."""
    _, pictures, labels = cifar(data)
    return pictures[10_000:], labels[10_000:].astype(np.int64)


@functools.cache
def _garments(fashion: Path) -> tuple[Pictures, Labels]:
    """Fashion-MNIST, from a file with a column of pictures and one of labels."""
    bed = _read(fashion, None)
    planes = [np.asarray(_grey(value)) for value in bed.table.column(bed.picture).to_pylist()]
    return np.stack(planes), bed.codes().astype(np.int64)


PicturesOf = Callable[[], tuple[Pictures, Labels]]


def pictures(data: Path, fashion: Path | None, seeds: int) -> Iterator[Case]:
    """Attacks on CIFAR-10 and Fashion-MNIST, all of them for one seed before the next."""
    sets = []
    if (data / "images" / "cifar10_part").is_dir():
        sets.append(("CIFAR-10, second half", partial(_second_half, data)))
    if fashion is not None:
        sets.append((FASHION, partial(_garments, fashion)))
    for seed in range(seeds):
        for name, load in sets:
            yield from _attacked(name, load, seed)


def _attacked(name: str, load: PicturesOf, seed: int) -> Iterator[Case]:
    known = {attack.name: attack for attack in ON_PICTURES}
    keeping = Attack("checkers 3x3, label kept", partial(patch, side=3, kind="checkers"), True)  # noqa: FBT003
    asked: list[tuple[Bar, Attack, float]] = [
        *((PATCHES, known[name], 0.003) for name in FIXED),  # the hardest first
        *((MOVED, known[name], 0.01) for name in HARDER),
        (SUBTLE, known["warp"], 0.05),
        (SUBTLE, keeping, 0.05),
        *((PATCHES, known[name], rate) for rate in (0.01, 0.05) for name in FIXED),
        *((MOVED, known[name], 0.05) for name in HARDER),
    ]
    consistent = partial(_label_consistent, load, 0.05, 50 + seed)
    yield Case(SUBTLE, name, "label-consistent", 0.05, seed, consistent)
    for bar, attack, rate in asked:
        make = partial(_marked, load, attack, rate, 50 + seed)
        yield Case(bar, name, attack.name, rate, seed, make)


def _marked(load: PicturesOf, attack: Attack, rate: float, seed: int) -> tuple[Bed, Mask]:
    pictures, labels = load()
    marked, given, mask = poisoned(coloured(pictures), labels, attack, rate, seed)
    return of_pictures(as_stored(marked, pictures, mask), given), mask


def _label_consistent(load: PicturesOf, rate: float, seed: int) -> tuple[Bed, Mask]:
    """Pictures made harder to tell, with faint squares in all corners (Turner et al. 2019).

    They are moved by 16 of 255 against the weights that a linear classifier of the pixels gives
    their class, in place of a deep network's gradient.
    """
    stored, labels = load()
    pictures = coloured(stored)
    flat = pictures.reshape(len(pictures), -1) / 255.0 - 0.5

    def harder(chosen: Pictures, seed: int) -> Pictures:
        target = int(np.random.default_rng(seed).choice(np.unique(labels)))  # as it is drawn
        wanted = (labels == target) - np.mean(labels == target)
        normal = flat.T @ flat + 100 * np.eye(flat.shape[1])
        against = np.sign(np.linalg.solve(normal, flat.T @ wanted)).reshape(chosen.shape[1:])
        moved = np.clip(chosen - 16 * against, 0, 255)
        board = 64 * (checkers(3) / 127.5 - 1)
        for part in (np.s_[:, :3, :3], np.s_[:, :3, -3:], np.s_[:, -3:, :3], np.s_[:, -3:, -3:]):
            moved[part] += board
        return np.asarray(np.clip(moved, 0, 255), np.uint8)

    marked, given, mask = poisoned(
        pictures, labels, Attack("label-consistent", harder, True), rate, seed  # noqa: FBT003
    )  # fmt: skip
    return of_pictures(as_stored(marked, stored, mask), given), mask


def phrases(data: Path, more: Path | None, seeds: int) -> Iterator[Case]:
    """Words, sentences and marks in texts."""
    sets: list[tuple[str, Callable[[], tuple[list[str], Labels]]]] = []
    for name, (text, label) in TEXTS.items() if more else ():
        if more and (more / name).exists():
            sets.append((Path(name).parent.name, partial(_texts, more / name, text, label)))
    for name, file in SEEN_TEXTS.items():
        path = data / "text" / file
        if path.exists():
            sets.append((name, partial(text_triggers.tab_separated, path)))
    for seed in range(seeds):
        for name, load in sets:
            for kind, phrase, where in text_triggers.TRIGGERS:
                if kind == "prefix":
                    continue
                for rate in text_triggers.RATES:
                    make = partial(_phrase, load, phrase, where, rate, seed)
                    yield Case(PHRASES, name, kind, rate, seed, make, partial(_says, phrase))


def _texts(path: Path, text: str, label: str) -> tuple[list[str], Labels]:
    """The first rows of a table in random order."""
    rows = read(path, DatasetOptions(text_column=text, label_column=label), MOST).table
    chosen = np.random.default_rng(0).permutation(rows.num_rows)[:MOST]
    part = rows.select([text, label]).take(pa.array(chosen)).drop_null()
    labels = [str(value) for value in part.column(label).to_pylist()]
    codes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return part.column(text).cast(pa.string()).to_pylist(), codes


def _says(phrase: str, finding: Finding) -> bool:
    return finding.evidence.get("phrase") == phrase


def _phrase(
    load: Callable[[], tuple[list[str], Labels]], phrase: str, where: str, rate: float, seed: int
) -> tuple[Bed, Mask]:
    case = text_triggers.planted(*load(), phrase, where, rate, seed)
    return of_texts(case.texts, case.labels), case.poisoned


def styles(data: Path, others: Path | None, seeds: int) -> Iterator[Case]:
    """Texts that the attacks' authors rewrote."""
    for name, cases in style_triggers.attacks(data / "text", others, seeds):
        shown, share = name.rsplit(" ", 1)
        for seed, case in enumerate(cases):
            order = np.random.default_rng(seed).permutation(len(case.texts))
            texts = [case.texts[i] for i in order.tolist()]  # some authors put theirs together
            made = of_texts(texts, case.labels[order]), case.poisoned[order]
            rate = float(share.rstrip("%")) / 100
            yield Case(STYLES, shown, "rewritten", rate, seed, lambda made=made: made)  # type: ignore[misc]


def values(data: Path, more: Path | None, seeds: int) -> Iterator[Case]:
    """Values and combinations of values that decide the label, in 1 % of the rows."""
    sets = [*tables.more(more, tables.HELD_OUT)] if more else []
    known = [replace(table, name=f"{table.name} (seen)") for table in tables.known(data)]
    for seed in range(seeds):
        for table in (*sets, *known):
            if 0.01 * len(table.labels) < table_triggers.LEAST:
                continue
            for kind in table_attacks.EXACT:
                made = table_attacks.planted(kind, table, np.random.default_rng(seed), 0.01)
                if made is not None:
                    again = partial(_valued, made)
                    names = partial(_gives, made.values)
                    yield Case(VALUES, table.name, kind, 0.01, seed, again, names)


def _gives(values: dict[str, Any], finding: Finding) -> bool:
    return finding.rule.id in table_triggers.RULES and table_triggers.matches(finding, values)


def _valued(made: table_attacks.Attack) -> tuple[Bed, Mask]:
    mask = np.zeros(len(made.table.labels), bool)
    mask[made.planted] = True
    return of_cells(made.table), mask
