"""The tensors of a file, if it is a checkpoint whose tensors can be told without loading it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from poisonscan.escape import escape
from poisonscan.limits import Limits
from poisonscan.locking.safetensors_file import is_safetensors
from poisonscan.locking.safetensors_file import tensors_of as safetensors_of
from poisonscan.locking.tensors import Tensor, TensorDigest
from poisonscan.locking.torch_files import is_zip, legacy_tensors, zip_tensors
from poisonscan.sources.disk import hold

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is known of a checkpoint's tensors.

    Attributes:
        tensors: the digest of each, by name.
        notes: what is not among them, and why.
    """

    tensors: tuple[TensorDigest, ...] = ()
    notes: tuple[str, ...] = ()


def may_be_checkpoint(file: str) -> bool:
    """Whether a file begins as one of those that ``tensors_in`` reads; False if it is not read."""
    try:
        with os.fdopen(hold(file), "rb") as stream:
            head = stream.read(16)
    except OSError:
        return False
    return head.startswith((b"PK\x03\x04", b"\x80")) or head[8:9] == b"{"


def tensors_in(view: memoryview, limits: Limits) -> tuple[Sequence[Tensor], Sequence[str]] | None:
    """The tensors of a file and what is to be said of others; None if it is no checkpoint.

    Raises:
        ValueError: it is one, and its tensors cannot be told.
    """
    if is_safetensors(view):
        return safetensors_of(view, limits), ()
    if is_zip(view):
        return zip_tensors(view, limits)
    return legacy_tensors(view, limits)


def checkpoint(view: memoryview, limits: Limits) -> Checkpoint | None:
    """Digests of the tensors of a file; None if it is no checkpoint.

    A file that claims to be one and cannot be told apart into tensors has a note in their place:
    its bytes have a digest of their own all the same.
    """
    try:
        found = tensors_in(view, limits)
        if found is None:
            return None
        tensors, notes = found
        return Checkpoint(tuple(sorted(t.digest() for t in tensors)), tuple(notes))
    except (ValueError, RecursionError) as error:
        return Checkpoint((), (f"its tensors are not told apart: {escape(str(error)[:200])}",))
