"""One part of a dataset: whatever goes wrong while it is read or counted is a gap."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from poisonscan.datasets.errors import DatasetError
from poisonscan.files import crash
from poisonscan.finding import Gap
from poisonscan.limits import LimitReached
from poisonscan.passes import ShardResult

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset


def attempt(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """Call a part of a detector, which may raise anything: its result, and why there is none."""
    try:
        return function(*arguments), ""
    except LimitReached as error:
        return None, f"limit reached: {error}"
    except Exception as error:
        return None, crash("the detector failed", error)


def scan_shard(shard: int, *, dataset: Dataset, requests: Sequence[Aggregate]) -> ShardResult:
    """Fill fresh aggregates from one shard. What cannot be read is a gap; the rest counts."""
    result = ShardResult([copy.deepcopy(request) for request in requests])
    needs = frozenset(role for request in requests for role in request.needs)
    path = dataset.shards[shard].path
    try:
        for batch in dataset.batches(shard, needs, functools.partial(result.flaws.note, path)):
            result.rows += batch.size
            for index, aggregate in enumerate(result.aggregates):
                if index in result.failed:
                    continue
                _, reason = attempt(aggregate.update, batch)
                if reason:
                    result.failed[index] = reason
    except DatasetError as error:
        result.gaps.append(Gap(path, f"not read from row {error.row:,} on: {error.reason}"))
    except Exception as error:
        reason = crash("reading failed", error)
        result.gaps.append(Gap(path, f"not read from row {result.rows:,} on: {reason}"))
    return result
