"""Which engine a name means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poisonscan.engines.base import EngineError

if TYPE_CHECKING:
    from poisonscan.engines.cluster import ClusterEngine


def named(engine: str) -> ClusterEngine | None:
    """The cluster that ``engine`` names; None for processes of this machine.

    Raises:
        EngineError: there is no such engine, or it cannot be reached.
    """
    name, _, address = engine.partition("=")
    if engine == "local":
        return None
    if name not in ("dask", "ray"):
        message = f"{engine!r} is no engine; there are local, dask=ADDRESS and ray=ADDRESS"
        raise EngineError(message)
    from poisonscan.engines.cluster import connect

    return connect(name, address)
