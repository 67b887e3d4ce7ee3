"""Networks in ONNX files, run by onnxruntime.

It runs with one thread, so that results do not depend on the machine's load. It is no dependency
of the package: ``pip install 'poisonscan[onnx]'``.
"""

from __future__ import annotations

import functools
import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.picture_form import PLANES, PictureForm
from poisonscan.escape import quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from poisonscan.datasets.own_model import OwnModel

MAX_FILE: Final = 2 << 30
"""Bytes of a model of which an inner layer is read: a protobuf message cannot be longer."""
_CUDA: Final = "CUDAExecutionProvider"
_ELSEWHERE: Final = b"location"
"""The key under which ONNX names the file of a tensor that is not in the model's own."""
_FOLDER: Final = "session.model_external_initializers_file_folder_path"
"""Where tensors outside of the file are, for a model that is given as bytes."""


@dataclass(frozen=True, slots=True)
class OnnxRunner:
    """A network in an ONNX file.

    Attributes:
        model: the file, and the layer that is read.
    """

    model: OwnModel

    @property
    def name(self) -> str:
        """Which layer is read, for people."""
        layer = self.model.layer
        what = f"layer {quote(layer, 60)}" if layer else "first output"
        return f"{what} of {quote(self.model.name, 100)}"

    def forms(self) -> tuple[PictureForm, ...]:
        """What it takes.

        Raises:
            OptionError: onnxruntime is not installed or cannot load it, there is no such layer, or
                it does not take pictures.
        """
        session = _session(self.model.file, self.model.layer, "cpu")
        inputs = session.get_inputs()
        shape: Sequence[Any] = inputs[0].shape if len(inputs) == 1 else ()
        if len(shape) != 4 or inputs[0].type != "tensor(float)":
            taken = ", ".join(f"{quote(i.name, 40)} {quote(i.type, 40)} {i.shape}" for i in inputs)
            message = (
                f"{quote(self.model.file)} is to take one batch of pictures as float numbers, of"
                f" shape (n, channels, height, width); it takes {quote(taken, 300)}. Networks for"
                " texts are read from folders of transformers, with their tokenizer"
            )
            raise OptionError(message)
        first = shape[1] in PLANES or shape[3] not in PLANES
        sides = (shape[2], shape[3]) if first else (shape[1], shape[2])
        channels = shape[1] if first else shape[3]
        return (PictureForm.of(self.model, sides, channels, channels_first=first),)

    def run(self, values: NDArray[np.float32], device: str) -> NDArray[np.float32]:
        """What the network gives, ``float32`` of shape (pictures, numbers).

        Args:
            values: as its form gives them.
            device: ``cpu`` or ``cuda``.
        """
        session = _session(self.model.file, self.model.layer, device)
        wanted = self.model.layer or session.get_outputs()[0].name
        try:
            (found,) = session.run([wanted], {session.get_inputs()[0].name: values})
        except self.failures():
            if len(values) == 1:
                raise
            return self._one_by_one(values, device)
        array = np.asarray(found, np.float32)
        array = array.reshape(array.shape[0] if array.ndim else 1, -1)
        alone = len(values) > 1 and len(array) != len(values)
        return self._one_by_one(values, device) if alone else array

    def _one_by_one(self, values: NDArray[np.float32], device: str) -> NDArray[np.float32]:
        """What a network gives that was exported for one picture at a time."""
        return np.concatenate([self.run(values[i : i + 1], device) for i in range(len(values))])

    def no_cuda(self) -> str:
        """Why CUDA cannot be used; empty if it may be."""
        import onnxruntime

        if _CUDA in onnxruntime.get_available_providers():
            return ""
        return "this onnxruntime is made without it: pip install onnxruntime-gpu"

    def about(self) -> tuple[str, ...]:
        """What its vectors depend on: the file and the library.

        Raises:
            OptionError: the model may consist of several files.
        """
        import onnxruntime

        digest = hashlib.sha256()
        before = b""
        with Path(self.model.file).open("rb") as stream:
            while piece := stream.read(1 << 20):
                if _ELSEWHERE in before + piece:
                    message = (
                        f"{quote(self.model.file)} may have tensors in other files, so what it"
                        " gives is not kept: leave --cache out, or save it as one file"
                    )
                    raise OptionError(message)
                digest.update(piece)
                before = piece[-len(_ELSEWHERE) :]
        return "onnxruntime", onnxruntime.__version__, digest.hexdigest()

    def failures(self) -> tuple[type[Exception], ...]:
        """What onnxruntime raises; its exceptions have no common base of their own."""
        return _failures()


def _failures() -> tuple[type[Exception], ...]:
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
