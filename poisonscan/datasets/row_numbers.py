"""A row as one number: its shard or file above 40 bits of its position in there.

One column of integers sorts, joins and takes memory like half of two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, overload

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS: Final = 40
POSITIONS: Final = 1 << _BITS
"""Above all positions."""


@overload
def numbered(shard: int, position: int) -> int: ...
@overload
def numbered(
    shard: int | NDArray[np.int32] | NDArray[np.int64], position: NDArray[np.int64]
) -> NDArray[np.int64]: ...
def numbered(
    shard: int | NDArray[np.int32] | NDArray[np.int64], position: int | NDArray[np.int64]
) -> int | NDArray[np.int64]:
    """The numbers of rows, 0 to 2**63 - 1, in the order of shards and positions.

    Args:
        shard: index of the shard, of all rows or of each, 0 to 2**23 - 1.
        position: of each row in its shard, 0 to 2**40 - 1.
    """
    if isinstance(shard, int):
        return (shard << _BITS) + position
    return (shard.astype(np.int64) << _BITS) + position


def located(numbers: NDArray[np.int64] | NDArray[np.uint64]) -> NDArray[np.int64]:
    """Shard and position in the shard of rows with such numbers, ``int64`` of shape (n, 2)."""
    whole = numbers.astype(np.int64)
    return np.stack([whole >> _BITS, whole & (POSITIONS - 1)], axis=1)
