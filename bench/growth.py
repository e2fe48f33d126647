#!/usr/bin/python3
"""How the cost of a migration grows with the guest, as one line of JSON for each migration.

    bench/growth.py size  [--mib 256,512,...]   a calm guest, pre-copy; no limit on the link
    bench/growth.py dirty [--rates 0,50,...]    MiB/s that the guest writes; 1 Gbit/s, each mode

Every point is measured through Culvert and natively, over QEMU's own TCP, by turns. Needs root; run
`make` first. `bench/growth.gp` draws what is in docs/performance/.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lab import native  # noqa: E402
from lab.certificates import Authority  # noqa: E402
from lab.daemon import daemon_pair  # noqa: E402
from lab.guest import build_kernel  # noqa: E402
from lab.hosts import Hosts  # noqa: E402
from lab.machine import Machine  # noqa: E402

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CALM_RATE_MIB = 1
LONGEST_S = 600
PRECOPY_LONGEST_S = 60


def cpu_s(pid):
    """Processor time of a process, from /proc."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def natively(hosts, source, destination, mode, longest_s):
    finished = native.migrate(source, destination, mode, timeout=longest_s)
    return {"total_ms": finished["total-time"], "downtime_ms": finished["downtime"],
            "transferred_bytes": finished["ram"]["transferred"],
            "page_requests": finished["ram"]["postcopy-requests"]}  # fmt: skip


def through_culvert(hosts, source, destination, mode, longest_s):
    daemons = daemon_pair(hosts, Authority(hosts.directory / "certificates"))
    for daemon in daemons:
        daemon.start()
    before = [cpu_s(daemon.pid) for daemon in daemons]
    command = ("migrate", source.name, hosts.b.name, "--mode", mode, "--switch", "pass:1")
    daemons[0].culvert(*(command if mode == "hybrid" else command[:5]), check=True, timeout=longest_s)
    (migration,) = daemons[0].migrations()
    spent = [cpu_s(daemon.pid) - begun for daemon, begun in zip(daemons, before)]
    gib = migration["ram_transferred_bytes"] / 2**30
    return {"total_ms": migration["total_ms"], "downtime_ms": migration["downtime_ms"],
            "transferred_bytes": migration["ram_transferred_bytes"],
            "page_requests": migration["page_requests"],
            "source_cpu_s_per_gib": spent[0] / gib,
            "destination_cpu_s_per_gib": spent[1] / gib}  # fmt: skip


WAYS = {"culvert": through_culvert, "native": natively}


def measure(kernel, way, memory_mib, dirty, mode, link, longest_s=LONGEST_S):
    """One migration between fresh hosts; {"ended": False} when it takes longer than that."""
    with Hosts(rate=link) as hosts:
        source = Machine(hosts.a, "vm", kernel, memory_mib, dirty=dirty)
        destination = Machine(hosts.b, "vm", kernel, memory_mib, incoming=True)
        source.wait_running(timeout=LONGEST_S)
        try:
            figures = WAYS[way](hosts, source, destination, mode, longest_s)
        except (TimeoutError, subprocess.TimeoutExpired):
            return {"ended": False}
        alive = destination.wait_until_alive(timeout=LONGEST_S)
        if alive["corrupt"]:
            raise RuntimeError(f"{alive['corrupt']} corrupt pages")
        return {"ended": True, **figures, "gap_ms": alive["longest_gap_ms"]}


def points_of_size(words):
    for memory_mib in words.mib:
        # What the guest itself needs is not filled.
        dirty = {"mib": memory_mib * 3 // 4 - 64, "rate_mib": CALM_RATE_MIB}
        yield {"memory_mib": memory_mib}, (memory_mib, dirty, "precopy", None)


def points_of_dirty(words):
    for mode in ("precopy", "hybrid", "postcopy"):
        longest_s = PRECOPY_LONGEST_S if mode == "precopy" else LONGEST_S
        for rate_mib in words.rates:
            dirty = {"mib": 384, "pattern": "mixed", "rate_mib": max(rate_mib, CALM_RATE_MIB)}
            yield {"rate_mib": rate_mib, "mode": mode}, (512, dirty, mode, "1gbit", longest_s)


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("sweep", choices=["size", "dirty"])
    parser.add_argument("--mib", type=numbers, default=[256, 512, 1024, 2048, 4096, 8192])
    parser.add_argument("--rates", type=numbers, default=[0, 25, 50, 75, 100, 150])
    parser.add_argument("--rounds", type=int, default=1)
    words = parser.parse_args()
    kernel = build_kernel()
    points = {"size": points_of_size, "dirty": points_of_dirty}[words.sweep]
    for number in range(words.rounds):
        for point, arguments in points(words):
            for way in WAYS:
                figures = measure(kernel, way, *arguments)
                print(json.dumps({"way": way, "round": number, **point, **figures}), flush=True)


if __name__ == "__main__":
    main()
