"""Activations of a network that the user names: an ONNX file that is run on the pictures.

onnxruntime runs it, with one thread, so that results do not depend on the machine's load. It is no
dependency of the package: ``pip install 'poisonscan[onnx]'``.
"""

from __future__ import annotations

import functools
import hashlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.kept_vectors import KeptVectors
from poisonscan.datasets.own_model import DEVICES
from poisonscan.datasets.pictures import BROKEN, open_picture, picture_bytes, sources
from poisonscan.engines.base import Failure
from poisonscan.engines.local import LocalEngine
from poisonscan.escape import quote
from poisonscan.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
_PORTION = 256
"""Pictures whose vectors are kept together, and fewer of many bytes or with long vectors."""
_PORTION_BYTES = 16 << 20
_AGREE = 0.01
"""Difference between devices that rounding explains, as a share of the largest number."""
_CUDA = "CUDAExecutionProvider"
_ELSEWHERE = b"location"
"""The key under which ONNX names the file of a tensor that is not in the model's own."""
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
        device: ``cpu`` or ``cuda``.
        kept: where vectors are kept; None: nowhere.
    """

    model: OwnModel
    columns: tuple[str, ...]
    size: tuple[int, int]
    channels: int
    channels_first: bool
    dimension: int
    device: str = "cpu"
    kept: KeptVectors | None = None

    @property
    def source(self) -> str:
        """What the vectors are made of, for people."""
        own = self.model
        layer = f"layer {quote(own.layer, 60)}" if own.layer else "first output"
        colours = "colour" if self.channels == 3 else "grey"
        return (
            f"{layer} of {quote(Path(own.file).name, 60)} ({self.dimension} numbers), given"
            f" {self.size[1]}x{self.size[0]} {colours}, mean {_list(own.mean)},"
            f" deviation {_list(own.std)}, on {self.device}"
        )

    @classmethod
    def open(cls, model: OwnModel, columns: tuple[str, ...]) -> Network:
        """Load a network and try it.

        Raises:
            OptionError: onnxruntime is not installed or cannot run it, there is no such layer, or
                it does not take pictures.
        """
        if model.device not in DEVICES:
            message = f"{quote(model.device, 40)} is no device; there are {', '.join(DEVICES)}"
            raise OptionError(message)
        session = _session(model.file, model.layer, "cpu")
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
            tried = network.run(blank)
        except _failures() as error:
            message = f"{quote(model.file)} does not run: {quote(error)}"
            raise OptionError(message) from None
        if len(tried) != 1 or not 1 <= tried.shape[1] <= MAX_NUMBERS:
            message = (
                f"the layer gives an array of shape {tried.shape} for one picture; one of shape"
                f" (1, up to {MAX_NUMBERS:,}) is expected"
            )
            raise OptionError(message)
        network = replace(network, dimension=tried.shape[1])
        network = replace(network, device=_device(network))
        return replace(network, kept=_kept(network)) if model.cache else network

    def vectors(self, items: Iterable[bytes | pa.Buffer | str]) -> NDArray[np.float32]:
        """Vectors of pictures, each from its bytes; a string says why there are none.

        Returns:
            ``float32`` of shape (pictures, dimension); NaN for what does not decode, and where the
            network gives a number that is infinite or none.
        """
        listed = [np.empty((0, self.dimension), np.float32)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks of the metadata
            listed += map(self._of_portion, self._portions(items))
        return np.concatenate(listed)

    def _portions(
        self, items: Iterable[bytes | pa.Buffer | str]
    ) -> Iterator[list[bytes | pa.Buffer | str]]:
        """Pictures whose vectors are kept together."""
        most = max(1, min(_PORTION, _PORTION_BYTES // (4 * self.dimension)))
        portion: list[bytes | pa.Buffer | str] = []
        held = 0
        for item in items:
            portion.append(item)
            held += len(item)
            if len(portion) >= most or held >= _PORTION_BYTES:
                yield portion
                portion, held = [], 0
        if portion:
            yield portion

    def _of_portion(self, portion: list[bytes | pa.Buffer | str]) -> NDArray[np.float32]:
        shape = len(portion), self.dimension
        key = self.kept.key(portion) if self.kept is not None else ""
        found = self.kept.read(key, shape) if self.kept is not None else None
        if found is None:
            found = np.concatenate([
                self._some([self._seen(item) for item in portion[start : start + _TOGETHER]])
                for start in range(0, len(portion), _TOGETHER)
            ])  # fmt: skip
            if self.kept is not None:
                self.kept.write(key, found)
        return found

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
            out[there] = self.run(batch).reshape(len(there), self.dimension)
            out[~np.isfinite(out).all(axis=1)] = np.nan
        return out

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network gives for pictures of shape (pictures, height, width, channels)."""
        values = batch.astype(np.float32) / np.float32(_RANGE)
        values -= np.array(self.model.mean, np.float32)
        values /= np.array(self.model.std, np.float32)
        if self.channels_first:
            values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
        session = _session(self.model.file, self.model.layer, self.device)
        wanted = self.model.layer or session.get_outputs()[0].name
        try:
            (found,) = session.run([wanted], {session.get_inputs()[0].name: values})
        except _failures():
            if len(batch) == 1:
                raise
            # A network that was exported for one picture at a time.
            parts = [self.run(batch[i : i + 1]) for i in range(len(batch))]
            return np.concatenate(parts)
        array = np.asarray(found, np.float32)
        return array.reshape(array.shape[0] if array.ndim else 1, -1)


def _device(network: Network) -> str:
    """The device that is used.

    Raises:
        OptionError: the one that is asked for cannot be.
    """
    if network.model.device == "cpu":
        return "cpu"
    import onnxruntime

    reason = "this onnxruntime is made without it: pip install onnxruntime-gpu"
    if _CUDA in onnxruntime.get_available_providers():
        # In a process of its own: what has used a GPU cannot be forked.
        (outcome,) = LocalEngine(1).map(_fails_on_cuda, [network])
        reason = outcome.reason if isinstance(outcome, Failure) else outcome
    if reason and network.model.device == "cuda":
        message = f"cuda cannot be used: {quote(reason, 300)}; --device cpu does without"
        raise OptionError(message)
    return "cpu" if reason else "cuda"


def _kept(network: Network) -> KeptVectors:
    """Where vectors are kept, under all that makes them.

    Raises:
        OptionError: the folder cannot be used, or the model may consist of several files.
    """
    import onnxruntime
    import PIL

    digest = hashlib.sha256()
    before = b""
    with Path(network.model.file).open("rb") as stream:
        while piece := stream.read(1 << 20):
            if _ELSEWHERE in before + piece:
                message = (
                    f"{quote(network.model.file)} may have tensors in other files, so what it"
                    " gives is not kept: leave --cache out, or save it as one file"
                )
                raise OptionError(message)
            digest.update(piece)
            before = piece[-len(_ELSEWHERE) :]
    versions = (VERSION, onnxruntime.__version__, PIL.__version__, np.__version__)
    seen = (
        network.model.layer, network.size, network.channels, network.channels_first,
        network.dimension, network.model.mean, network.model.std, network.device,
    )  # fmt: skip
    about = (*versions, digest.hexdigest(), *map(repr, seen))
    return KeptVectors.open(network.model.cache, about)


def _fails_on_cuda(network: Network) -> str:
    """Why a network does not run on CUDA as it does without; empty if it does."""
    draw = np.random.default_rng(0)
    shape = (2, *network.size, network.channels)
    pictures = draw.integers(0, 256, shape, dtype=np.uint8)
    try:
        usual = network.run(pictures)
        found = replace(network, device="cuda").run(pictures)
    except OptionError as error:
        return str(error)
    except _failures() as error:
        return str(error)
    if not np.allclose(usual, found, rtol=0, atol=_AGREE * float(np.abs(usual).max())):
        return "the network gives other numbers there"
    return ""


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
def _session(file: str, layer: str, device: str) -> Any:
    """A loaded network, once in each process and for each device.

    Raises:
        OptionError: onnxruntime is not installed or does not load it, there is no such layer, or
            the device cannot be used.
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
    providers = [*([_CUDA] if device == "cuda" else []), "CPUExecutionProvider"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it thinks of the device, which is asked below
            session = onnxruntime.InferenceSession(file, options, providers=providers)
        if device == "cuda" and _CUDA not in session.get_providers():
            raise OptionError("onnxruntime cannot load what it needs for CUDA")
        if not layer or layer in {output.name for output in session.get_outputs()}:
            return session
        options.add_session_config_entry(_FOLDER, str(Path(file).resolve().parent))
        return onnxruntime.InferenceSession(_giving_out(file, layer), options, providers=providers)
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
