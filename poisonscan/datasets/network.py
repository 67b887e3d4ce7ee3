"""Activations of a network that the user names: an ONNX file that is run on the pictures.

onnxruntime runs it, with one thread, so that results do not depend on the machine's load. It is no
dependency of the package: ``pip install 'poisonscan[onnx]'``.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.pictures import BROKEN, open_picture, picture_bytes, sources
from poisonscan.escape import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from poisonscan.datasets.own_model import OwnModel

MAX_SIDE = 1_024
"""Pixels of a side of the pictures that a network is given."""
MAX_NUMBERS = 1 << 20
"""Numbers of a layer for one picture."""
MAX_FILE = 2 << 30
"""Bytes of a model of which an inner layer is read: a protobuf message cannot be longer."""
_TOGETHER = 32
"""Pictures that are given to it at once."""
_FOLDER = "session.model_external_initializers_file_folder_path"
"""Where tensors outside of the file are, for a model that is given as bytes."""
_RANGE = 255.0
_PLANES = {1: "L", 3: "RGB"}


@dataclass(frozen=True, slots=True)
class Network:
    """A network that turns the pictures of a column, or of files, into vectors.

    Attributes:
        model: the network.
        columns: of the pictures; none where they are files.
        size: height and width of what it is given.
        channels: 3, or 1 for luminance.
        channels_first: whether they come before height and width.
        dimension: numbers of the layer, flattened.
    """

    model: OwnModel
    columns: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    channels_first: bool
    dimension: int

    @property
    def source(self) -> str:
        """What the vectors are made of, for people."""
        own = self.model
        layer = f"layer {quote(own.layer, 60)}" if own.layer else "first output"
        colours = "colour" if self.channels == 3 else "grey"
        return (
            f"{layer} of {quote(Path(own.file).name, 60)} ({self.dimension} numbers), given"
            f" {self.size[1]}x{self.size[0]} {colours}, mean {_list(own.mean)},"
            f" deviation {_list(own.std)}"
        )

    @classmethod
    def open(cls, model: OwnModel, columns: tuple[str, ...]) -> Network:
        """Load a network and try it.

        Raises:
            OptionError: onnxruntime is not installed or cannot run it, there is no such layer, or
                it does not take pictures.
        """
        session = _session(model.file, model.layer)
        inputs = session.get_inputs()
        shape: Sequence[Any] = inputs[0].shape if len(inputs) == 1 else ()
        if len(shape) != 4 or inputs[0].type != "tensor(float)":
            taken = ", ".join(f"{quote(i.name, 40)} {quote(i.type, 40)} {i.shape}" for i in inputs)
            message = (
                f"{quote(model.file)} is to take one batch of pictures as float numbers, of shape"
                f" (n, channels, height, width); it takes {quote(taken, 300)}"
            )
            raise OptionError(message)
        channels_first = shape[1] in _PLANES or shape[3] not in _PLANES
        sizes = shape[2:] if channels_first else shape[1:3]
        channels = shape[1] if channels_first else shape[3]
        network = cls(
            model, columns, _size(model, sizes), channels if channels in _PLANES else 3,
            channels_first, 0,
        )  # fmt: skip
        for name, values in (("mean", model.mean), ("deviation", model.std)):
            if len(values) not in {1, network.channels} or not np.isfinite(values).all():
                message = f"the {name} is to be one number or {network.channels}"
                raise OptionError(message)
        if min(model.std) <= 0:
            raise OptionError("the deviation is to be more than 0")
        blank = np.zeros((1, *network.size, network.channels), np.uint8)
        try:
            tried = network._run(blank)
        except _failures() as error:
            message = f"{quote(model.file)} does not run: {quote(error)}"
            raise OptionError(message) from None
        if len(tried) != 1 or not 1 <= tried.shape[1] <= MAX_NUMBERS:
            message = (
                f"the layer gives an array of shape {tried.shape} for one picture; one of shape"
                f" (1, up to {MAX_NUMBERS:,}) is expected"
            )
            raise OptionError(message)
        return cls(
            model, columns, network.size, network.channels, channels_first, tried.shape[1]
        )  # fmt: skip

    def vectors(self, items: Iterable[bytes | pa.Buffer | str]) -> NDArray[np.float32]:
        """Vectors of pictures, each from its bytes; a string says why there are none.

        Returns:
            ``float32`` of shape (pictures, dimension); NaN for what does not decode, and where the
            network gives a number that is infinite or none.
        """
        listed: list[NDArray[np.float32]] = []
        waiting: list[NDArray[np.uint8] | None] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks of the metadata
            for item in items:
                waiting.append(self._seen(item))
                if len(waiting) == _TOGETHER:
                    listed.append(self._some(waiting))
                    waiting = []
        listed.append(self._some(waiting))
        return np.concatenate(listed)

    def of_column(self, column: pa.Array, folder: Path) -> NDArray[np.float32]:
        """Vectors of a column of pictures; see ``pictures.sources``."""
        items, indices = sources(column, folder)
        none = np.full((1, self.dimension), np.nan, np.float32)
        return np.concatenate([self.vectors(items), none])[indices]

    def _seen(self, item: bytes | pa.Buffer | str) -> NDArray[np.uint8] | None:
        try:
            with open_picture(picture_bytes(item)) as image:
                image.load()
                plain = image.convert(_PLANES[self.channels])
                scaled = plain.resize(self.size[::-1], Image.Resampling.BILINEAR)
                return np.asarray(scaled).reshape(*self.size, self.channels)
        except BROKEN:  # what it is, those that look at the pictures themselves say
            return None

    def _some(self, pictures: Sequence[NDArray[np.uint8] | None]) -> NDArray[np.float32]:
        out = np.full((len(pictures), self.dimension), np.nan, np.float32)
        there = [number for number, picture in enumerate(pictures) if picture is not None]
        if there:
            batch = np.stack([picture for picture in pictures if picture is not None])
            out[there] = self._run(batch).reshape(len(there), self.dimension)
            out[~np.isfinite(out).all(axis=1)] = np.nan
        return out

    def _run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        values = batch.astype(np.float32) / np.float32(_RANGE)
        values -= np.array(self.model.mean, np.float32)
        values /= np.array(self.model.std, np.float32)
        if self.channels_first:
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        session = _session(self.model.file, self.model.layer)
        wanted = self.model.layer or session.get_outputs()[0].name
        try:
            (found,) = session.run([wanted], {session.get_inputs()[0].name: values})
        except _failures():
            if len(batch) == 1:
                raise
            # A network that was exported for one picture at a time.
            parts = [self._run(batch[i : i + 1]) for i in range(len(batch))]
            return np.concatenate(parts)
        array = np.asarray(found, np.float32)
        return array.reshape(array.shape[0] if array.ndim else 1, -1)


def _list(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _size(model: OwnModel, sizes: Sequence[object]) -> tuple[int, int]:
    """Height and width that the network takes, as it or the user says."""
    known = [side if isinstance(side, int) else None for side in sizes]
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


def _failures() -> tuple[type[Exception], ...]:
    """What onnxruntime raises; its exceptions have no common base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type)]
    raised = [kind for kind in own if issubclass(kind, Exception)]
    return (*raised, ValueError, RuntimeError, OSError)


@functools.lru_cache(maxsize=2)
def _session(file: str, layer: str) -> Any:
    """A loaded network, once in each process.

    Raises:
        OptionError: onnxruntime is not installed or does not load it, or there is no such layer.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise OptionError(
            "networks are run by onnxruntime: pip install 'poisonscan[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # it would write names out of the file to the terminal
    cpu = ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(file, options, providers=cpu)
        if not layer or layer in {output.name for output in session.get_outputs()}:
            return session
        options.add_session_config_entry(_FOLDER, str(Path(file).resolve().parent))
        return onnxruntime.InferenceSession(_giving_out(file, layer), options, providers=cpu)
    except _failures() as error:
        where = f", layer {quote(layer, 60)}" if layer else ""
        message = f"{quote(file)}{where} cannot be loaded: {quote(error)}"
        raise OptionError(message) from None


def _giving_out(file: str, layer: str) -> bytes:
    """A model with one more output.

    What follows a protobuf message is merged into it: a field that may come up again is one more
    of these (https://protobuf.dev/programming-guides/encoding/#last-one-wins). So a graph (field 7)
    with nothing but an output (12) of a name (1) is appended.
    """
    if Path(file).stat().st_size > MAX_FILE:
        message = f"more than {MAX_FILE:,} bytes: only its outputs can be read"
        raise ValueError(message)
    name = _field(1, layer.encode())
    return Path(file).read_bytes() + _field(7, _field(12, name))


def _field(number: int, data: bytes) -> bytes:
    length, size = bytearray(), len(data)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + data
