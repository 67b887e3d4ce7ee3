"""An existing cluster, Dask's or Ray's: the same tasks there, and the same care for what dies.

Tasks are handed to the cluster's own scheduler. joblib has backends for both, which were tried
first: its Dask backend never tells of a task whose worker died for good, and waits for ever; Ray's
returns nothing before everything is done.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from poisonscan.engines.base import EngineError, Failure, Item, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

_AHEAD = 4
"""Items per core of the cluster that may be started beyond the first unfinished one."""


class Died(Exception):  # noqa: N818 - it says what happened
    """The process or the machine that worked on an item is gone; the message says how."""


class Cluster(Protocol):
    """What the engine asks of a cluster."""

    def cores(self) -> int:
        """Tasks that run at the same time."""

    def share(self, task: Callable[[Any], Any]) -> Any:
        """Bring a task to the cluster once; returns what stands for it there."""

    def submit(self, shared: Any, item: Any) -> Any:
        """Start a shared task on an item; returns a handle that hashes."""

    def finished(self, handles: Sequence[Any]) -> Any:
        """Wait until one of the handles is done, and return it."""

    def result(self, handle: Any) -> Any:
        """What the task returned.

        Raises:
            Died: its process is gone. Whatever the task raised is raised as well.
        """

    def cancel(self, handles: Sequence[Any]) -> None:
        """Nobody wants these any more."""

    def close(self) -> None:
        """Leave the cluster, which goes on."""


@dataclass(frozen=True, slots=True)
class ClusterEngine:
    """Runs tasks on a cluster. Files must have the same paths on every machine of it.

    An item whose worker dies is tried once more when nothing else is running, so that no other
    task can be what kills its worker; when it dies again it is a ``Failure``.
    """

    cluster: Cluster

    def map(
        self, task: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result | Failure[Item]]:
        """The outcome of ``task`` for each item, in the order of the items."""
        return self._outcomes(task, list(items))

    def close(self) -> None:
        """Leave the cluster."""
        self.cluster.close()

    def _outcomes(
        self, task: Callable[[Item], Result], items: list[Item]
    ) -> Generator[Result | Failure[Item], None, None]:
        cluster = self.cluster
        shared = cluster.share(task)
        running: dict[Any, int] = {}
        done: dict[int, Result | Failure[Item]] = {}
        dead: list[int] = []
        started = given = 0
        try:
            while given < len(items):
                room = given + len(dead) + _AHEAD * max(1, cluster.cores())
                while started < min(len(items), room):
                    running[cluster.submit(shared, items[started])] = started
                    started += 1
                if running:
                    handle = cluster.finished(list(running))
                    index = running.pop(handle)
                    try:
                        done[index] = cluster.result(handle)
                    except Died:
                        dead.append(index)
                        shared = cluster.share(task)  # it may have died with the process
                if not running:
                    for index in sorted(dead):
                        done[index] = self._alone(task, items[index])
                    dead.clear()
                while given in done:
                    yield done.pop(given)
                    given += 1
        finally:
            cluster.cancel(list(running))

    def _alone(self, task: Callable[[Item], Result], item: Item) -> Any:
        handle = self.cluster.submit(self.cluster.share(task), item)
        try:
            return self.cluster.result(self.cluster.finished([handle]))
        except Died as error:
            return Failure(item, f"the process that worked on it died twice ({error})")


class Dask:
    """A scheduler of ``distributed``.

    Args:
        address: such as ``tcp://10.0.0.1:8786``; where empty, what Dask's configuration names.

    Raises:
        EngineError: the library is not installed, there is no address, or nothing answers.
    """

    def __init__(self, address: str) -> None:
        try:
            import dask
            import distributed
        except ImportError as error:
            message = "this engine needs Dask: pip install 'poisonscan[dask]'"
            raise EngineError(message) from error
        address = address or str(dask.config.get("scheduler-address", "") or "")
        if not address:
            raise EngineError("name the scheduler of the cluster: dask=tcp://HOST:8786")
        try:
            self._client = distributed.Client(address, timeout="10s")
        except (OSError, ValueError, distributed.comm.CommClosedError) as error:
            message = f"no scheduler answers at {address!r}: {error}"
            raise EngineError(message) from error
        self._wait = distributed.wait
        self._dead = (
            distributed.scheduler.KilledWorker, distributed.comm.CommClosedError,
            concurrent.futures.CancelledError,  # the result was on a worker that is gone
        )  # fmt: skip

    def cores(self) -> int:
        """Threads of all workers."""
        return sum(self._client.ncores().values())

    def share(self, task: Callable[[Any], Any]) -> Any:
        """Scatter it, to all workers: what one worker holds is gone when it is."""
        return self._client.scatter(task, broadcast=True)

    def submit(self, shared: Any, item: Any) -> Any:
        """One task of its own, never taken from an earlier equal call."""
        return self._client.submit(_call, shared, item, pure=False)

    def finished(self, handles: Sequence[Any]) -> Any:
        """See ``Cluster``."""
        with contextlib.suppress(concurrent.futures.CancelledError):
            self._wait(handles, return_when="FIRST_COMPLETED")
        return next(handle for handle in handles if handle.status != "pending")

    def result(self, handle: Any) -> Any:
        """See ``Cluster``."""
        try:
            return handle.result()
        except self._dead as error:
            raise Died("a worker of Dask") from error

    def cancel(self, handles: Sequence[Any]) -> None:
        """See ``Cluster``."""
        if handles:
            self._client.cancel(list(handles))

    def close(self) -> None:
        """See ``Cluster``."""
        self._client.close()


class Ray:
    """A cluster of Ray.

    Args:
        address: such as ``10.0.0.1:6379`` or ``ray://HOST:10001``; where empty, the one that this
            machine belongs to.

    Raises:
        EngineError: the library is not installed, or there is no such cluster.
    """

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            message = "this engine needs Ray: pip install 'poisonscan[ray]'"
            raise EngineError(message) from error
        self._ray = ray
        self._connected = not ray.is_initialized()
        if self._connected:
            try:
                ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
            except (ConnectionError, OSError, ValueError, RuntimeError) as error:
                message = f"there is no cluster of Ray at {address or 'this machine'!r}: {error}"
                raise EngineError(message) from error
        # The engine itself tries again, once nothing else is running.
        self._call = ray.remote(max_retries=0, num_cpus=1)(_call)
        errors = ray.exceptions
        self._dead = (
            errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError,
            errors.ObjectLostError,
        )  # fmt: skip

    def cores(self) -> int:
        """CPUs of all machines."""
        return int(self._ray.cluster_resources().get("CPU", 1))

    def share(self, task: Callable[[Any], Any]) -> Any:
        """Put it into the object store."""
        return self._ray.put(task)

    def submit(self, shared: Any, item: Any) -> Any:
        """See ``Cluster``."""
        return self._call.remote(shared, item)

    def finished(self, handles: Sequence[Any]) -> Any:
        """See ``Cluster``."""
        return self._ray.wait(list(handles), num_returns=1)[0][0]

    def result(self, handle: Any) -> Any:
        """See ``Cluster``."""
        try:
            return self._ray.get(handle)
        except self._dead as error:
            raise Died("a worker of Ray") from error
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error

    def cancel(self, handles: Sequence[Any]) -> None:
        """See ``Cluster``."""
        for handle in handles:
            self._ray.cancel(handle, force=True)

    def close(self) -> None:
        """See ``Cluster``; a connection that was there before stays."""
        if self._connected:
            self._ray.shutdown()


def _call(task: Callable[[Any], Any], item: Any) -> Any:
    return task(item)


def connect(name: str, address: str) -> ClusterEngine:
    """The engine on a cluster.

    Args:
        name: ``dask`` or ``ray``.
        address: of the cluster; empty: where its library looks for one.

    Raises:
        EngineError: it cannot be reached.
    """
    return ClusterEngine(Dask(address) if name == "dask" else Ray(address))
