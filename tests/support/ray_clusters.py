"""A Ray cluster of several nodes on this machine, for tests that run on a real one."""

import os
from contextlib import contextmanager

import pytest

HEALTH = {"health_check_period_ms": 1000, "health_check_timeout_ms": 2000, "health_check_failure_threshold": 3}
"""With which a node that is frozen is given up within seconds; by default it takes a minute."""


@contextmanager
def started_cluster(*, nodes, cpus=1):
    """Start a head without CPUs, and nodes with some; end them all."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    told = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        size = 80 << 20
        head = {"num_cpus": 0, "object_store_memory": size, "include_dashboard": False, "_system_config": HEALTH}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(nodes):
                cluster.add_node(num_cpus=cpus, object_store_memory=size)
            cluster.wait_for_nodes()
            os.environ.pop("RAY_ADDRESS", None)
            yield cluster
        finally:
            cluster.shutdown()
