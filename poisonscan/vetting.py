"""A model that the user wants to be run is looked up, and scanned as any other, before it is."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from poisonscan.escape import quote
from poisonscan.finding import Severity
from poisonscan.report import Report
from poisonscan.sources.base import Blob
from poisonscan.sources.hub.address import AddressError, parse
from poisonscan.sources.hub.cache import folder, list_cached
from poisonscan.sources.hub.environment import read_environment
from poisonscan.sources.hub.errors import HubError, NoSuchRepository
from poisonscan.targets import TargetError, files_of, root_of

if TYPE_CHECKING:
    from poisonscan.datasets.own_model import OwnModel

_SETTINGS = ("config.json", "modules.json")
"""Of which a folder of transformers or sentence-transformers has one."""


def vetted(model: OwnModel, scan: Callable[[list[Blob], Report], object]) -> OwnModel:
    """The model with the place where it is, once nothing was found there.

    Args:
        model: what the user says.
        scan: scans files into a report, by every rule.

    Raises:
        TargetError: it does not exist, is no model that can be run, something of medium severity
            or above is found in it, or it could not be checked whole.
    """
    place = located(model.file)
    _check_settings(place)
    blobs, report = files_of([place], root_of([place], None))
    scan(blobs, report)
    shown = quote(model.file)
    worst = max(report.findings, key=lambda finding: finding.severity, default=None)
    if worst is not None and worst.severity >= Severity.MEDIUM:
        message = (
            f"the model {shown} is not used: {worst.rule.id} {worst.rule.name}: {worst.message}"
            f" (poisonscan model {shown} says more)"
        )
        raise TargetError(message)
    if report.gaps or not report.scanned:
        gap = report.gaps[0] if report.gaps else None
        why = f"{quote(gap.path)}: {gap.reason}" if gap else "it is no model of a known format"
        message = f"the model {shown} is not used, as it could not be checked: {why}"
        raise TargetError(message)
    others = [entry.format for entry in report.scanned if entry.format != "ONNX"]
    if Path(place).is_file() and others:
        message = (
            f"the model {shown} is not used: it is {others[0]}. What is run are ONNX files and"
            " folders of transformers with config.json and safetensors. Weights alone do not say"
            " what network they are for, and pickles are never loaded: export the network with"
            " torch.onnx.export or save_pretrained"
        )
        raise TargetError(message)
    return replace(model, file=place)


def _check_settings(place: str) -> None:
    """A folder without settings is refused before all that lies in it is scanned.

    Raises:
        TargetError: it is one.
    """
    folder = Path(place)
    if folder.is_dir() and not any((folder / name).is_file() for name in _SETTINGS):
        from poisonscan.datasets.model_folder import NO_SETTINGS

        message = f"the model {quote(place)} is not used: it {NO_SETTINGS}"
        raise TargetError(message)


@contextlib.contextmanager
def kept_for_now(model: OwnModel, scratch: str | None) -> Iterator[OwnModel]:
    """The model with a folder for what it gives, which is gone afterwards.

    Where the folder cannot be made, the network is asked again in each pass.

    Args:
        model: with or without a cache of its own.
        scratch: folder for the folder; None: the system's.
    """
    with contextlib.ExitStack() as stack:
        if not model.cache:
            with contextlib.suppress(OSError):
                place = tempfile.TemporaryDirectory(
                    prefix="poisonscan-", dir=scratch, ignore_cleanup_errors=True
                )
                model = replace(model, scratch=stack.enter_context(place))
        yield model


def located(name: str) -> str:
    """Where a model is: on disk, or in the Hub's cache, which is only looked into.

    Args:
        name: a path, or ``org/name`` or ``hf://org/name@revision``.

    Raises:
        TargetError: it is in neither.
    """
    if os.path.lexists(name):
        return name
    try:
        environment = read_environment()
        address = parse(name, endpoint=environment.endpoint)
    except (AddressError, HubError) as error:
        message = f"the model {quote(name)} does not exist: there is no such file or folder"
        raise TargetError(message) from error
    if address.type != "model" or address.path:
        message = f"the model {quote(name)} is not used: name a repository of a model as a whole"
        raise TargetError(message)
    try:
        commit = list_cached(environment.cache, address).commit
    except NoSuchRepository as error:
        there = address.at(address.revision)
        message = (
            f"the model {quote(name)} does not exist: there is no such file or folder, and the"
            f" Hub's cache does not hold it. To fetch, scan and keep it there: poisonscan model"
            f" {quote(there)} --download"
        )
        raise TargetError(message) from error
    return os.fspath(folder(environment.cache, address) / "snapshots" / commit)
