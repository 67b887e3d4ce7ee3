"""Datasets are opened in a process of their own: a file that takes it down costs itself."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from poisonscan.engines.base import Failure
from poisonscan.finding import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.shards import DatasetOptions
    from poisonscan.engines.base import Engine
    from poisonscan.finding import Skipped
    from poisonscan.formats.base import TableFile

Opened = tuple[list["Dataset"], list["Gap | Skipped"]]


def open_apart(
    files: Sequence[TableFile],
    options: DatasetOptions,
    beside: Sequence[TableFile],
    engine: Engine,
    *,
    explicit: bool = False,
) -> Opened:
    """What ``open_datasets`` returns.

    Args:
        files: as there.
        options: as there.
        beside: as there.
        explicit: as there.
        engine: of this machine. Only where the process that opens all files dies, each of them is
            tried by itself, to find those that it dies of.

    Raises:
        OptionError: as ``open_datasets`` does.
    """
    # What is loaded here need not be loaded again in each process that is forked.
    import pyarrow as pa

    from poisonscan.datasets.gather import open_datasets

    pa.array([None])  # Arrow loads pandas, where that is installed
    opens: Callable[[Sequence[TableFile]], Opened] = functools.partial(
        open_datasets, options=options, beside=beside, explicit=explicit
    )
    everything: list[Sequence[TableFile]] = [files]
    outcome = next(iter(engine.map(opens, everything)))
    if not isinstance(outcome, Failure):
        if any("image" in dataset.roles for dataset in outcome[0]):
            from PIL import Image

            Image.preinit()
        return outcome
    gaps: list[Gap | Skipped] = []
    fine: list[TableFile] = []
    tries = functools.partial(_die_or_not, options=options)
    for file, alone in zip(files, engine.map(tries, [[file] for file in files]), strict=True):
        if isinstance(alone, Failure):
            gaps.append(Gap(file.path, f"cannot be opened: {alone.reason}"))
        else:
            fine.append(file)
    again = next(iter(engine.map(opens, [[*fine]]))) if gaps else outcome
    if isinstance(again, Failure):
        return [], [*gaps, *(Gap(f.path, f"cannot be opened: {again.reason}") for f in fine)]
    return again[0], [*gaps, *again[1]]


def _die_or_not(files: Sequence[TableFile], options: DatasetOptions) -> None:
    """Open files, to see whether this process outlives it."""
    from poisonscan.datasets.errors import OptionError
    from poisonscan.datasets.gather import open_datasets

    # What else may go wrong is told when all are opened.
    with contextlib.suppress(OptionError, ValueError, OSError, MemoryError):
        open_datasets(files, options)
