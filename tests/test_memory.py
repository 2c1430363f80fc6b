"""Free memory is what both the machine and the container have left."""

from types import SimpleNamespace

import pytest
import torch

from gridless.nn import memory

MIB = 1 << 20


def tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(str(text), encoding="utf-8")


V2 = {
    "proc/self/cgroup": "0::/pod/job\n",
    "sys/fs/cgroup/pod/job/memory.max": "max\n",
    "sys/fs/cgroup/pod/job/memory.current": 10 * MIB,
    "sys/fs/cgroup/pod/job/memory.stat": "anon 5\n",
    "sys/fs/cgroup/pod/memory.max": 512 * MIB,
    "sys/fs/cgroup/pod/memory.current": 400 * MIB,
    "sys/fs/cgroup/pod/memory.stat": f"anon 1\nactive_file {30 * MIB}\ninactive_file {88 * MIB}\n",
}
V1 = {
    "proc/self/cgroup": "9:cpu,cpuacct:/host/job\n4:memory:/host/job\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": 300 * MIB,
    "sys/fs/cgroup/memory/memory.usage_in_bytes": 250 * MIB,
    "sys/fs/cgroup/memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {50 * MIB}\n",
}


@pytest.mark.parametrize(
    ("files", "room"),
    [
        (V2, 200 * MIB),  # the outer group's limit, less what it cannot give back
        ({**V2, "sys/fs/cgroup/pod/job/memory.max": 60 * MIB}, 50 * MIB),  # the inner one is tighter
        ({**V2, "sys/fs/cgroup/pod/memory.max": 100 * MIB}, 0),
        (V1, 100 * MIB),  # inside a container the path is the host's
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({}, None),
    ],
)
def test_the_tightest_group_counts(tmp_path, files, room, monkeypatch):
    tree(tmp_path, files)
    assert memory.container_memory(tmp_path) == room
    monkeypatch.setattr(memory, "container_memory", lambda: room)
    for host in (80 * MIB, 1000 * MIB):
        monkeypatch.setattr(memory.psutil, "virtual_memory", lambda host=host: SimpleNamespace(available=host))
        assert memory.free_memory(torch.device("cpu")) == (host if room is None else min(host, room))
