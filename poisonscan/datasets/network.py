"""Vectors that a network of the user's own gives for the rows of a dataset.

What it is given (pictures or texts) is its form's business, how it is run that of its runner; here
vectors are cut into portions and kept. The network is asked once about each row: what it gave is
read again in later passes, so that nothing holds the vectors of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.kept_vectors import KeptVectors
from poisonscan.datasets.own_model import DEVICES
from poisonscan.engines.base import Failure
from poisonscan.engines.local import LocalEngine
from poisonscan.escape import quote
from poisonscan.plural import plural
from poisonscan.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from poisonscan.datasets.own_model import OwnModel
    from poisonscan.datasets.picture_form import PictureForm
    from poisonscan.datasets.text_form import TextForm

MAX_NUMBERS: Final = 1 << 20
"""Numbers of a layer for one row."""
_PORTION: Final = 256
"""Rows whose vectors are kept together, and fewer of many bytes or with long vectors."""
_PORTION_BYTES: Final = 16 << 20
_AGREE: Final = 0.01
"""Difference between devices that rounding explains, as a share of the largest number."""


class Runner(Protocol):
    """Loads a network, once in each process and for each device, and runs it."""

    @property
    def name(self) -> str:
        """Which layer of what is read, for people."""

    def forms(self) -> tuple[PictureForm | TextForm, ...]:
        """What the network takes: pictures, texts, or either."""

    def run(self, values: Any, device: str) -> NDArray[np.float32]:
        """What the network gives for what a form made, ``float32`` of shape (rows, numbers)."""

    def no_cuda(self) -> str:
        """Why CUDA cannot be used; empty if it may be."""

    def about(self) -> tuple[str, ...]:
        """All that its vectors depend on, rows and form apart."""

    def failures(self) -> tuple[type[Exception], ...]:
        """What running it may raise."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network that turns rows into vectors.

    Attributes:
        runner: runs it.
        form: what it is given.
        columns: of pictures or texts; none where pictures are files.
        dimension: numbers of the layer, flattened.
        device: ``cpu`` or ``cuda``.
        kept: where vectors are kept; None: nowhere.
    """

    runner: Runner
    form: PictureForm | TextForm
    columns: tuple[str, ...]
    dimension: int = 0
    device: str = "cpu"
    kept: KeptVectors | None = None

    @property
    def source(self) -> str:
        """What the vectors are made of, for people."""
        numbers = plural(self.dimension, "number")
        return f"{self.runner.name} ({numbers}), {self.form.shown}, on {self.device}"

    @classmethod
    def open(
        cls, model: OwnModel, columns: Mapping[str, tuple[str, ...]], threads: int = 1
    ) -> Network | None:
        """Load a network and try it.

        Args:
            model: what the user says.
            columns: those of what the dataset holds: ``pictures``, ``texts`` or both.
            threads: of torch when rows are looked at; onnxruntime has one. Here it has one: OpenMP
                does not look after forks, so a process forked from one that had more would hang.

        Returns:
            None if it takes nothing that the dataset holds.

        Raises:
            OptionError: the library that runs it is not installed or cannot run it, or there is no
                such layer.
        """
        if model.device not in DEVICES:
            message = f"{quote(model.device, 40)} is no device; there are {', '.join(DEVICES)}"
            raise OptionError(message)
        _check_loads(model)
        runner = _runner(model)
        form = next((form for form in runner.forms() if form.takes in columns), None)
        if form is None:
            return None
        network = cls(runner, form, columns[form.takes])
        network = replace(network, dimension=_dimension(network, model))
        network = replace(network, device=_device(network, model.device))
        return replace(network, runner=_runner(model, threads), kept=_kept(network, model))

    def run(self, values: Any) -> NDArray[np.float32]:
        """What the network gives for what its form made of some rows."""
        return self.runner.run(values, self.device)

    def vectors(self, items: Iterable[bytes | pa.Buffer | str]) -> NDArray[np.float32]:
        """Vectors of pictures or texts, each from its bytes; a string says why there are none.

        Returns:
            ``float32`` of shape (items, dimension); NaN for what its form cannot use, and where the
            network gives a number that is infinite or none.
        """
        listed = [np.empty((0, self.dimension), np.float32)]
        listed += map(self._of_portion, self._portions(items))
        return np.concatenate(listed)

    def _portions(
        self, items: Iterable[bytes | pa.Buffer | str]
    ) -> Iterator[list[bytes | pa.Buffer | str]]:
        """Items whose vectors are kept together."""
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
            found = self.form.vectors(portion, self.run, self.dimension)
            found[~np.isfinite(found).all(axis=1)] = np.nan
            if self.kept is not None:
                self.kept.write(key, found)
        return found

    def of_columns(self, columns: Sequence[pa.Array], folder: Path) -> NDArray[np.float32]:
        """Vectors of the rows of a table, ``float32`` of shape (rows, dimension).

        Args:
            columns: those of ``columns``.
            folder: where paths of pictures lead.
        """
        items, indices = self.form.items(columns, folder)
        none = np.full((1, self.dimension), np.nan, np.float32)
        return np.concatenate([self.vectors(items), none])[indices]


def taken(model: OwnModel) -> Collection[str]:
    """What a network takes: ``pictures``, ``texts``, or both.

    Raises:
        OptionError: as ``Network.open`` does.
    """
    return [form.takes for form in _runner(model).forms()]


def _check_loads(model: OwnModel) -> None:
    """Load a folder's network in a process with limits first: its settings may ask for anything.

    Raises:
        OptionError: it cannot be loaded.
    """
    if Path(model.file).is_dir():
        (outcome,) = LocalEngine(1).map(_fails_to_load, [model])
        if isinstance(outcome, Failure):
            message = f"{quote(model.file)} cannot be loaded: {quote(outcome.reason, 300)}"
            raise OptionError(message)
        if outcome:
            raise OptionError(outcome)


def _fails_to_load(model: OwnModel) -> str:
    """Why a network cannot be loaded; empty if it can."""
    try:
        taken(model)
    except OptionError as error:
        return str(error)
    return ""


def _runner(model: OwnModel, threads: int = 1) -> Runner:
    """What runs a model."""
    if not Path(model.file).is_dir():
        from poisonscan.datasets.network_onnx import OnnxRunner

        return OnnxRunner(model)
    from poisonscan.datasets.network_torch import TorchRunner

    return TorchRunner(model, threads)


def _dimension(network: Network, model: OwnModel) -> int:
    """How many numbers there are for a row: it is tried with one row, and with two.

    Raises:
        OptionError: it does not run, or does not give each row numbers of its own.
    """
    found: list[NDArray[np.float32]] = []
    for rows, values in enumerate(network.form.trials(), 1):
        try:
            tried = network.run(values)
        except OptionError:
            raise
        except network.runner.failures() as error:
            message = f"{quote(model.file)} does not run: {quote(error, 300)}"
            raise OptionError(message) from None
        least, most = (found[0].shape[1],) * 2 if found else (1, MAX_NUMBERS)
        if len(tried) != rows or not least <= tried.shape[1] <= most:
            numbers = f"{most:,}" if found else f"up to {most:,}"
            message = (
                f"the layer gives an array of shape {tried.shape} for {plural(rows, 'row')}; one of"
                f" shape ({rows}, {numbers}) is expected"
            )
            raise OptionError(message)
        found.append(tried)
    vectors = np.concatenate(found)
    if (vectors == vectors[0]).all():
        message = (
            f"{network.runner.name} gives {len(vectors)} different rows the same numbers, so that"
            " nothing can be seen in them: name another layer with --layer"
        )
        raise OptionError(message)
    return int(vectors.shape[1])


def _device(network: Network, wanted: str) -> str:
    """The device that is used.

    Raises:
        OptionError: the one that is asked for cannot be.
    """
    if wanted == "cpu":
        return "cpu"
    reason = network.runner.no_cuda()
    if not reason:
        # In a process of its own: what has used a GPU cannot be forked.
        (outcome,) = LocalEngine(1).map(_fails_on_cuda, [network])
        reason = outcome.reason if isinstance(outcome, Failure) else outcome
    if reason and wanted == "cuda":
        message = f"cuda cannot be used: {quote(reason, 300)}; --device cpu does without"
        raise OptionError(message)
    return "cpu" if reason else "cuda"


def _fails_on_cuda(network: Network) -> str:
    """Why a network does not run on CUDA as it does without; empty if it does."""
    try:
        for values in network.form.trials():
            usual = network.run(values)
            found = replace(network, device="cuda").run(values)
            if not np.allclose(usual, found, rtol=0, atol=_AGREE * float(np.abs(usual).max())):
                return "the network gives other numbers there"
    except OptionError as error:
        return str(error)
    except network.runner.failures() as error:
        return str(error)
    return ""


def _kept(network: Network, model: OwnModel) -> KeptVectors | None:
    """Where vectors are kept, under all that makes them.

    Raises:
        OptionError: the folder cannot be used, or the model may consist of several files.
    """
    folder = model.cache or model.scratch
    if not folder:
        return None
    import PIL

    # What lasts for this scan only needs no digest of files that may be many.
    own = network.runner.about() if model.cache else (model.file,)
    seen = (model.layer, network.form, network.dimension, network.device)
    versions = (VERSION, PIL.__version__, np.__version__)
    return KeptVectors.open(folder, (*versions, *own, *map(repr, seen)))
