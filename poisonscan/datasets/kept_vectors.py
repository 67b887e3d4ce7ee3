"""Vectors that a network gave, kept on disk for passes and scans that ask for the same.

An entry holds the vectors of some pictures or texts, under a digest of their bytes and of all else
that makes the vectors. It is a ``.npy`` file of numbers, with a digest of its own behind them: what
is damaged, cut off or not what was asked for counts as not there. Who can write to the folder can
say what rows look like, so a folder that others can write to is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib import format as npy

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.spill import FREE
from poisonscan.escape import quote
from poisonscan.sources.disk import hold

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_MAX_HEADER: Final = 1_000
_TYPE: Final = np.dtype("<f4")
_SEAL: Final = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class KeptVectors:
    """A folder of vectors.

    Attributes:
        folder: where they are.
        about: digest of all that makes the vectors, rows apart.
    """

    folder: str
    about: bytes

    @classmethod
    def open(cls, folder: str, about: Sequence[str]) -> KeptVectors:
        """Use a folder, which is made if it is not there.

        Args:
            folder: where the vectors are to be.
            about: all that makes them, rows apart.

        Raises:
            OptionError: it cannot be made, is no folder, or others can write to it.
        """
        try:
            Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            found = Path(folder).stat()
        except OSError as error:
            message = f"the cache {quote(folder)} cannot be used: {error.strerror}"
            raise OptionError(message) from error
        if hasattr(os, "geteuid"):
            others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if others or found.st_uid != os.geteuid():
                message = (
                    f"the cache {quote(folder)} is not used: others can write to it, and so could "
                    "say what pictures look like; name a folder that only you can write to"
                )
                raise OptionError(message)
        digest = hashlib.sha256()
        for part in about:
            _add(digest, part.encode("utf-8", "surrogatepass"))
        return cls(folder, digest.digest())

    def key(self, rows: Iterable[bytes | pa.Buffer | str]) -> str:
        """What the vectors of some pictures or texts are kept under.

        Args:
            rows: the bytes of each; a string says why there are none.
        """
        digest = hashlib.sha256(self.about)
        for row in rows:
            digest.update(b"\0" if isinstance(row, str) else b"\1")
            _add(digest, b"" if isinstance(row, str) else row)
        return digest.hexdigest()

    def read(self, key: str, shape: tuple[int, int]) -> NDArray[np.float32] | None:
        """Vectors that are kept, of the shape that is expected; None where there are none."""
        size = shape[0] * shape[1] * _TYPE.itemsize
        try:
            with os.fdopen(hold(os.fspath(self._path(key))), "rb") as stream:
                content = stream.read(_MAX_HEADER + size + _SEAL + 1)
            body, seal = content[:-_SEAL], content[-_SEAL:]
            if _sealed(key, body) != seal:
                return None
            header = io.BytesIO(body)
            if npy.read_magic(header) != (1, 0):
                return None
            said = npy.read_array_header_1_0(header, max_header_size=_MAX_HEADER)
            if said != (shape, False, _TYPE) or len(body) != header.tell() + size:
                return None
        except (OSError, ValueError):
            return None
        return np.frombuffer(body, _TYPE, offset=header.tell()).reshape(shape)

    def write(self, key: str, vectors: NDArray[np.float32]) -> None:
        """Keep vectors; where that fails (a full disk), they are computed again next time.

        Some of the disk is left free: it may be the one that everything else is written to.
        """
        body = io.BytesIO()
        plain = np.ascontiguousarray(vectors, _TYPE)
        npy.write_array(body, plain, version=(1, 0), allow_pickle=False)
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.folder).free < FREE:
                return
            number, name = tempfile.mkstemp(prefix=".new-", dir=self.folder)
            try:
                with os.fdopen(number, "wb") as stream:
                    stream.write(body.getvalue() + _sealed(key, body.getvalue()))
                Path(name).replace(self._path(key))
            except OSError:
                Path(name).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return Path(self.folder, f"{key}.npy")


def _add(digest: hashlib._Hash, part: bytes | pa.Buffer) -> None:
    """A part, told apart from what follows."""
    view = memoryview(part)
    digest.update(view.nbytes.to_bytes(8, "little"))
    digest.update(view)


def _sealed(key: str, body: bytes) -> bytes:
    return hashlib.sha256(key.encode() + body).digest()
