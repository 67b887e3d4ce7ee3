"""The tensors of a safetensors file."""

from __future__ import annotations

import struct
from typing import Any, Final

from poisonscan.formats import strict_json
from poisonscan.limits import LimitReached, Limits
from poisonscan.locking.tensors import BITS, Tensor

_METADATA: Final = "__metadata__"


def is_safetensors(view: memoryview) -> bool:
    """Whether a file begins with a plausible header."""
    if len(view) < 10:
        return False
    (length,) = struct.unpack_from("<Q", view)
    return view[8] == ord("{") and 2 <= length <= len(view) - 8


def tensors_of(view: memoryview, limits: Limits) -> list[Tensor]:
    """The tensors of a file.

    Args:
        view: the file, which ``is_safetensors`` takes for one.
        limits: what its header may cost.

    Raises:
        ValueError: readers differ in what they make of the header, or it is none.
    """
    (length,) = struct.unpack_from("<Q", view)
    if length > limits.header:
        message = f"its header has {length:,} bytes"
        raise ValueError(message)
    header = bytes(view[8 : 8 + length])
    try:
        strict_json.refuse_floods(header, limits.members)
    except LimitReached as error:
        raise ValueError(str(error)) from error
    found = strict_json.parse(header)
    if found.duplicates:
        message = "its header names something twice"
        raise ValueError(message)
    data = view[8 + length :]
    entries: dict[str, Any] = found.content
    return [_tensor(name, entry, data) for name, entry in entries.items() if name != _METADATA]


def _tensor(name: str, entry: Any, data: memoryview) -> Tensor:
    try:
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (begin, end, *shape))
        good = whole and dtype in BITS and begin <= end <= len(data)
    except (TypeError, KeyError, ValueError):
        good = False
    if not good:
        message = "its header describes a tensor in a way that is not allowed"
        raise ValueError(message)
    tensor = Tensor(name, dtype, shape, data[begin:end])
    if tensor.nbytes != end - begin or (tensor.size * BITS[dtype]) % 8:
        message = "a tensor has another number of bytes than its shape needs"
        raise ValueError(message)
    return tensor
