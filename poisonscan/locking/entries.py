"""What a lock file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from poisonscan.locking.tensors import TensorDigest, digest_of


class LockError(ValueError):
    """A lock file that is none, or a target that cannot be locked; the message is for people."""


@dataclass(frozen=True, slots=True, order=True)
class LockedFile:
    """A file.

    Attributes:
        path: relative to the target, with forward slashes.
        size: bytes.
        sha256: of its bytes, 64 hex digits.
        hub: the digest that the Hub lists for it, as ``origin.OriginFile`` has it; empty on disk.
    """

    path: str
    size: int
    sha256: str
    hub: str = ""


@dataclass(frozen=True, slots=True)
class LockedRows:
    """The rows of a split.

    Attributes:
        rows: how many.
        digest: of them as a set, see ``row_sets``.
    """

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class LockedDataset:
    """A dataset.

    Attributes:
        path: the file or folder, relative to the target.
        splits: rows by split.
        classes: declared names of the labels, which decide what a label means.
    """

    path: str
    splits: Mapping[str, LockedRows]
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class LockedCheckpoint:
    """A checkpoint.

    Attributes:
        path: relative to the target.
        tensors: by name.
        notes: what is not among them, and why.
    """

    path: str
    tensors: tuple[TensorDigest, ...]
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of the set of tensors."""
        return digest_of(self.tensors)


@dataclass(frozen=True, slots=True, order=True)
class Unchecked:
    """Something that was not scanned when the lock was made."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A target.

    Attributes:
        target: a path relative to the folder of the lock file, or an address of the Hub without
            its revision.
        files: in order of path.
        datasets: in order of path.
        checkpoints: in order of path.
        verdicts: findings by rule.
        unchecked: what was not scanned.
        commit: of a repository of the Hub; empty on disk.
        revision: what stood for the commit.
    """

    target: str
    files: tuple[LockedFile, ...] = ()
    datasets: tuple[LockedDataset, ...] = ()
    checkpoints: tuple[LockedCheckpoint, ...] = ()
    verdicts: Mapping[str, int] = field(default_factory=dict)
    unchecked: tuple[Unchecked, ...] = ()
    commit: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file.

    Attributes:
        entries: in order of target.
        version: of the poisonscan that made the verdicts.
        rules: digest of the rules that made them.
    """

    entries: tuple[Entry, ...]
    version: str
    rules: str
