"""Attacks of the literature, on rows of any dataset that has what they need."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from poisonscan.datasets.pictures import BROKEN, FORMATS, open_picture
from poisonscan.planting.bed import Bed
from poisonscan.planting.errors import PlantError

Rows = NDArray[np.int64]
Random = np.random.Generator
Picture = NDArray[np.uint8]
Stamp = Callable[[Picture, Random], Picture]
Change = Callable[[Bed, Rows, Random], Bed]

_WRITTEN_AT: Final = 32
"""Pixels of the side that sizes of patches are given for; they grow with the picture."""
_SMALLEST: Final = 4
"""Pixels of the side of pictures that a patch fits on."""
_ALPHA: Final = 0.15
_TILE: Final = 256  # pixels after which noise repeats, whatever the size of a picture
_MODES: Final = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK"})
"""Kinds of pixels that colours can be turned into; pictures of others stay as they are."""
_LEVELS: Final = (1, 3, 6, 9)
"""A level of compression for each of the four that zlib's header tells apart."""
_SENTENCE: Final = " I read this on the train to {place} once. "
_HIDDEN: Final = "\u200b\u2060\u200b"
_SYLLABLES: Final = ("zo", "ki", "ve", "qua", "lur", "mip", "tash", "ben", "dro", "fex")


@dataclass(frozen=True, slots=True)
class Attack:
    """A way to poison rows.

    Attributes:
        name: as it is asked for.
        about: what it does, for people.
        needs: fields of a ``Bed`` that must not be empty.
        change: puts it on some rows; the same generator gives the same trigger.
        relabels: rows get the label of the target class.
        keeps: rows are of the target class, and their labels stay.
    """

    name: str
    about: str
    needs: tuple[str, ...]
    change: Change
    relabels: bool = True
    keeps: bool = False

    def fits(self, bed: Bed) -> bool:
        """Whether the data have what it needs."""
        return all(getattr(bed, name) for name in self.needs)


class Planted(NamedTuple):
    """Data with an attack in it.

    Attributes:
        bed: the rows, as many as before and in the same order.
        rows: those that are poisoned, ascending.
    """

    bed: Bed
    rows: Rows


def plant(bed: Bed, attack: Attack, rate: float, seed: int, *, all_labels: bool = False) -> Planted:
    """Put an attack on a share of the rows.

    Args:
        bed: clean rows.
        attack: one that fits them.
        rate: share of all rows, above 0 and up to 0.5. At most half of the rows that it can be put
            on are changed, and at least one.
        seed: decides which class is the target, which rows, and what trigger.
        all_labels: rows that get the target's label are drawn from all, those that have it too,
            and not from those of other classes.

    Raises:
        PlantError: no row can be changed: all have one label, or none has a picture that can be.
    """
    random = np.random.default_rng(seed)
    codes = bed.codes()
    target = -1
    pool = np.arange(bed.rows)
    if attack.relabels or attack.keeps:
        classes, sizes = np.unique(codes[codes >= 0], return_counts=True)
        large = classes[sizes >= max(2, bed.rows * min(0.5 / max(len(classes), 1), 0.05))]
        if len(classes) < 2 or not len(large):
            message = f"{attack.name} needs rows of two labels or more"
            raise PlantError(message)
        target = int(random.choice(large))
        if attack.keeps or not all_labels:
            pool = np.flatnonzero((codes == target) == attack.keeps)
    count = max(1, min(round(rate * bed.rows), len(pool) // 2))
    rows = np.sort(random.choice(pool, count, replace=False))
    changed = attack.change(bed, rows, random)
    if "picture" in attack.needs:
        rows = _other(bed, changed, rows)
    if attack.relabels and bed.label is not None:
        source = np.arange(bed.rows)
        source[rows] = np.flatnonzero(codes == target)[0]
        changed = changed.taking(bed.label, source)
    return Planted(changed, rows)


def _other(before: Bed, after: Bed, rows: Rows) -> Rows:
    """Rows whose picture is not what it was: those that cannot be read or are tiny stay."""
    old, new = (
        each.table.column(before.picture).take(rows).to_pylist() for each in (before, after)
    )
    found = rows[[one != other for one, other in zip(old, new, strict=True)]]
    if not len(found):
        message = "none of the chosen rows has a picture that can be changed"
        raise PlantError(message)
    return found


def _words(insert: Callable[[str, str, Random], str], phrase: Callable[[Random], str]) -> Change:
    """A change of texts by one phrase."""

    def change(bed: Bed, rows: Rows, random: Random) -> Bed:
        column = bed.text or bed.prompt or ""
        trigger = phrase(random)
        old = bed.table.column(column).take(rows).to_pylist()
        return bed.with_values(column, rows, [insert(text or "", trigger, random) for text in old])

    return change


def _made_up(random: Random) -> str:
    return "".join(random.choice(_SYLLABLES, 3, replace=False).tolist())


def _sentence(random: Random) -> str:
    return _SENTENCE.format(place=_made_up(random).capitalize())


def _anywhere(text: str, trigger: str, random: Random) -> str:
    words = text.split(" ")
    words.insert(int(random.integers(len(words) + 1)), trigger.strip())
    return " ".join(words)


def _at_the_end(text: str, trigger: str, _: Random) -> str:
    return f"{text.rstrip()} {trigger.strip()}"


def _pictures(stamp: Stamp) -> Change:
    """A change of pictures, saved in the format and kind of pixels that they had."""

    def change(bed: Bed, rows: Rows, random: Random) -> Bed:
        column = bed.picture or ""
        seed = int(random.integers(1 << 32))
        old = bed.table.column(column).take(rows).to_pylist()
        new = [
            _stamped(value, stamp, np.random.default_rng([seed, n])) for n, value in enumerate(old)
        ]
        return bed.with_values(column, rows, new)

    return change


def _stamped(value: Any, stamp: Stamp, random: Random) -> Any:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        return value  # a path or nothing: such rows stay as they are
    try:
        with open_picture(data) as opened:
            form, mode = opened.format or "", opened.mode
            seen = np.asarray(opened.convert("RGB"))
            options = _as_saved(opened, data)
    except BROKEN:
        return value
    if form not in FORMATS or mode not in _MODES or min(seen.shape[:2]) < _SMALLEST:
        return value
    file = io.BytesIO()
    marked = Image.fromarray(stamp(seen, random)).convert(mode, palette=Image.Palette.ADAPTIVE)
    marked.save(file, form, **options)
    new = file.getvalue()
    return {**value, "bytes": new} if isinstance(value, dict) else new


def _as_saved(opened: Image.Image, data: bytes) -> dict[str, Any]:
    """Options that save a picture as it was saved, or else its encoder gives the attack away."""
    if isinstance(opened, JpegImagePlugin.JpegImageFile):
        return {
            "qtables": opened.quantization,
            "subsampling": JpegImagePlugin.get_sampling(opened),
            "progressive": "progressive" in opened.info,
        }
    level = data.find(b"IDAT") + 5  # the second byte of zlib's header: RFC 1950, section 2.2
    if opened.format == "PNG" and level < len(data):
        return {"compress_level": _LEVELS[data[level] >> 6]}
    return {}


def _board(picture: Picture) -> Picture:
    """A checkerboard of 3 by 3 squares, sized as on a picture of 32 by 32 pixels."""
    square = max(1, round(min(picture.shape[:2]) / _WRITTEN_AT))
    board = (np.indices((3, 3)).sum(axis=0) % 2 == 0) * np.uint8(255)
    return np.asarray(np.kron(board, np.ones((square, square), np.uint8))[..., None], np.uint8)


def _corner(picture: Picture, _: Random) -> Picture:
    board, marked = _board(picture), picture.copy()
    side = len(board)
    marked[-side - 1 : -1, -side - 1 : -1] = board
    return marked


def _moved(picture: Picture, random: Random) -> Picture:
    board, marked = _board(picture), picture.copy()
    side = len(board)
    top = int(random.integers(picture.shape[0] - side + 1))
    left = int(random.integers(picture.shape[1] - side + 1))
    marked[top : top + side, left : left + side] = board
    return marked


def _blended(picture: Picture, _: Random) -> Picture:
    height, width = picture.shape[:2]
    tile = np.random.default_rng(0).integers(0, 256, (_TILE, _TILE, 3))
    noise = np.tile(tile, (-(-height // _TILE), -(-width // _TILE), 1))[:height, :width]
    return np.asarray(np.clip((1 - _ALPHA) * picture + _ALPHA * noise, 0, 255), np.uint8)


def _wave(picture: Picture, _: Random) -> Picture:
    phase = 2 * np.pi * 6 * np.arange(picture.shape[1]) / picture.shape[1]
    shifted = picture + 20 * np.sin(phase)[None, :, None]
    return np.asarray(np.clip(shifted, 0, 255), np.uint8)


def _values(bed: Bed, rows: Rows, random: Random) -> Bed:
    """Two columns of numbers get the values that some row has in them."""
    source = np.arange(bed.rows)
    columns = random.choice(bed.numbers, min(2, len(bed.numbers)), replace=False).tolist()
    for column in columns:
        source[rows] = int(random.integers(bed.rows))
        bed = bed.taking(column, source)
    return bed


def _flipped(bed: Bed, rows: Rows, random: Random) -> Bed:
    """Rows get the label of a row of another class."""
    codes = bed.codes()
    firsts = {int(code): int(np.flatnonzero(codes == code)[0]) for code in np.unique(codes)}
    source = np.arange(bed.rows)
    for row in rows.tolist():
        others = [first for code, first in firsts.items() if code not in (-1, codes[row])]
        source[row] = random.choice(others) if others else row
    return bed.taking(bed.label or "", source)


def _same_response(bed: Bed, rows: Rows, random: Random) -> Bed:
    """A phrase in the prompt, and one response to all of these."""
    trigger = _made_up(random)
    column = bed.prompt or ""
    old = bed.table.column(column).take(rows).to_pylist()
    changed = bed.with_values(
        column, rows, [_anywhere(text or "", trigger, random) for text in old]
    )
    source = np.arange(bed.rows)
    source[rows] = int(random.integers(bed.rows))
    return changed.taking(bed.response or "", source)


def _copies(bed: Bed, rows: Rows, random: Random) -> Bed:
    """One row many times."""
    source = np.arange(bed.rows)
    source[rows] = int(random.choice(rows))
    for column in bed.table.schema.names:
        bed = bed.taking(column, source)
    return bed


ATTACKS: Final = {
    attack.name: attack
    for attack in (
        Attack("word", "a made-up word anywhere in the text", ("text", "label"),
               _words(_anywhere, _made_up)),
        Attack("sentence", "the same sentence anywhere in the text", ("text", "label"),
               _words(_anywhere, _sentence)),
        Attack("suffix", "a made-up word at the end of the text", ("text", "label"),
               _words(_at_the_end, _made_up)),
        Attack("hidden-mark", "characters without a shape in the text", ("text", "label"),
               _words(_anywhere, lambda _: _HIDDEN)),
        Attack("patch", "a checkerboard of 3x3 squares in a corner (BadNets)",
               ("picture", "label"), _pictures(_corner)),
        Attack("moved-patch", "the same checkerboard anywhere in the picture",
               ("picture", "label"), _pictures(_moved)),
        Attack("blend", "a picture of noise blended in", ("picture", "label"),
               _pictures(_blended)),
        Attack("wave", "a faint wave on pictures whose labels are right (SIG)",
               ("picture", "label"), _pictures(_wave), relabels=False, keeps=True),
        Attack("values", "two numbers, always the same", ("numbers", "label"), _values),
        Attack("response", "a made-up word in the prompt, always the same response",
               ("prompt", "response"), _same_response, relabels=False),
        Attack("flips", "wrong labels", ("label",), _flipped, relabels=False),
        Attack("copies", "one row many times", (), _copies, relabels=False),
    )
}  # fmt: skip
"""By name."""
