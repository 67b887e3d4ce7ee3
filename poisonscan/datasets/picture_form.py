"""How a network wants to see pictures, and what it is given of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from PIL import Image

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.picture_sources import picture_bytes, sources
from poisonscan.datasets.pictures import BROKEN, open_picture
from poisonscan.engines import patience
from poisonscan.escape import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from poisonscan.datasets.own_model import OwnModel

    Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

MAX_SIDE: Final = 1_024
"""Pixels of a side of the pictures that a network is given."""
PLANES: Final = {1: "L", 3: "RGB"}
"""Pillow's name of pictures, by their channels."""
_TOGETHER: Final = 32
"""Pictures that are given to it at once."""
_RANGE: Final = 255.0


@dataclass(frozen=True, slots=True)
class PictureForm:
    """What a network takes: pictures of one size, as numbers.

    Attributes:
        size: height and width.
        channels: 3, or 1 for luminance.
        channels_first: whether they come before height and width.
        mean: taken from values between 0 and 1, one number or one for each channel.
        std: what they are divided by then.
    """

    takes: ClassVar[str] = "pictures"

    size: tuple[int, int]
    channels: int
    channels_first: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(
        cls,
        model: OwnModel,
        sides: tuple[object, object],
        channels: object = 3,
        *,
        channels_first: bool = True,
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
    ) -> PictureForm:
        """What the user says, and the network where the user does not.

        Args:
            model: what the user says.
            sides: height and width that the network takes; what is no number is not known.
            channels: that it takes; others than 1 and 3 are not known, and 3 are tried.
            channels_first: as above.
            mean: what the network wants.
            std: what it wants.

        Raises:
            OptionError: they contradict each other, or neither says it.
        """
        planes = channels if isinstance(channels, int) and channels in PLANES else 3
        form = cls(
            _size(model, sides), planes, channels_first, model.mean or mean, model.std or std
        )
        for name, values in (("mean", form.mean), ("deviation", form.std)):
            if len(values) not in {1, form.channels} or not np.isfinite(values).all():
                message = f"the {name} is to be one number or {form.channels}"
                raise OptionError(message)
        if min(form.std) <= 0:
            raise OptionError("the deviation is to be more than 0")
        return form

    @property
    def shown(self) -> str:
        """What the network is given, for people."""
        colours = "colour" if self.channels == 3 else "grey"
        return (
            f"given {self.size[1]}x{self.size[0]} {colours}, mean {_list(self.mean)},"
            f" deviation {_list(self.std)}"
        )

    def items(
        self, columns: Sequence[pa.Array], folder: Path
    ) -> tuple[Iterator[bytes | pa.Buffer | str], NDArray[np.int64]]:
        """The different pictures of a column; see ``picture_sources.sources``."""
        return sources(columns[0], folder)

    def trials(self) -> list[NDArray[np.float32]]:
        """What a network of this form is tried with: a black picture, then two of noise."""
        noise = np.random.default_rng(0).integers(0, 256, (2, *self.size, self.channels))
        black = np.zeros((1, *self.size, self.channels), np.uint8)
        return [self.values(black), self.values(noise.astype(np.uint8))]

    def vectors(
        self, items: Sequence[bytes | pa.Buffer | str], run: Run, dimension: int
    ) -> NDArray[np.float32]:
        """Vectors of pictures, each from its bytes; a string says why there are none.

        Returns:
            ``float32`` of shape (pictures, dimension); NaN for what does not decode.
        """
        out = np.full((len(items), dimension), np.nan, np.float32)
        for start in range(0, len(items), _TOGETHER):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what Pillow thinks of the metadata
                seen = [self._seen(item) for item in items[start : start + _TOGETHER]]
            there = [start + number for number, picture in enumerate(seen) if picture is not None]
            if there:
                out[there] = run(self.values(np.stack([p for p in seen if p is not None])))
            patience.sign()
        return out

    def values(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network is given for pictures of shape (pictures, height, width, channels)."""
        values = pictures.astype(np.float32) / np.float32(_RANGE)
        values -= np.array(self.mean, np.float32)
        values /= np.array(self.std, np.float32)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if self.channels_first else values

    def _seen(self, item: bytes | pa.Buffer | str) -> NDArray[np.uint8] | None:
        try:
            with open_picture(picture_bytes(item)) as image:
                image.load()
                plain = image.convert(PLANES[self.channels])
                scaled = plain.resize(self.size[::-1], Image.Resampling.BILINEAR)
                return np.asarray(scaled).reshape(*self.size, self.channels)
        except BROKEN:  # what it is, those that look at the pictures themselves say
            return None


def _list(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _size(model: OwnModel, sides: tuple[Any, Any]) -> tuple[int, int]:
    """Height and width that the network takes, as it or the user says."""
    known = [side if isinstance(side, int) else None for side in sides]
    given = model.size or (known[0] or 0, known[1] or 0)
    if any(side is not None and side != want for side, want in zip(known, given, strict=True)):
        message = f"{quote(model.file)} takes pictures of {known[1]}x{known[0]}, width by height"
        raise OptionError(message)
    if not all(1 <= side <= MAX_SIDE for side in given):
        message = (
            f"{quote(model.file)} does not say what size of pictures it takes: name it, at most"
            f" {MAX_SIDE}x{MAX_SIDE}"
        )
        raise OptionError(message)
    return given
