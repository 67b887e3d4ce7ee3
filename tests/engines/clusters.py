"""Starts a cluster of two nodes on this machine, says its address, and stops it with its input."""

from __future__ import annotations

import sys


def dask() -> str:
    """A scheduler and two workers of one thread; each worker is a process and restarts."""
    from distributed import LocalCluster

    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    )
    return str(cluster.scheduler_address)


def ray() -> str:
    """Two nodes of one CPU."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 2**27},
    )
    cluster.add_node(num_cpus=1, object_store_memory=2**27)
    return str(cluster.address)


if __name__ == "__main__":
    print({"dask": dask, "ray": ray}[sys.argv[1]](), flush=True)  # noqa: T201
    sys.stdin.read()
