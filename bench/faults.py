#!/usr/bin/python3
"""How long a guest in post-copy waits for a page: through Culvert, and over QEMU's own TCP.

A guest that touches 256 MiB at random migrates over a 1 Gbit/s link (tbf on both ends of a veth),
natively and through Culvert by turns. The times come from the destination's QEMU itself, which
writes when it asked for a page and when the page was there. Needs root; run `make` first.
"""

import argparse
import pathlib
import re
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lab import native, tunnelled  # noqa: E402
from lab.guest import build_kernel  # noqa: E402
from lab.hosts import Hosts  # noqa: E402
from lab.machine import Machine  # noqa: E402

LINK = {"rate": "1gbit", "burst": "128kb", "limit": "4mb"}
LOAD = {"mib": 256, "pattern": "random"}
MEMORY_MIB = 384

TRACE = re.compile(r"@(\d+)\.(\d{6}):postcopy_page_req_(add|del) \D*(0x[0-9a-f]+)")


def fault_latencies_ms(trace):
    """From each request of a page to its arrival, in the text that QEMU's trace left."""
    asked_us = {}
    latencies_ms = []
    for seconds, microseconds, what, address in TRACE.findall(trace):
        now_us = int(seconds) * 1_000_000 + int(microseconds)
        if what == "add":
            asked_us[address] = now_us
        elif address in asked_us:
            latencies_ms.append((now_us - asked_us.pop(address)) / 1000)
    return latencies_ms


def percentile(values, percent):
    """The smallest value that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


BOUNDS_MS = (0.5, 1, 1.5, 2, 3, 5, 10, 20, 40)


def histogram(latencies_ms):
    """Percent of them up to each bound, and beyond the last"""
    edges = (0, *BOUNDS_MS, float("inf"))
    parts = [sum(low < x <= high for x in latencies_ms) for low, high in zip(edges, edges[1:])]
    return [100 * part / len(latencies_ms) for part in parts]


def summary(latencies_ms):
    return {
        "count": len(latencies_ms),
        **{f"p{n}_ms": percentile(latencies_ms, n) for n in (50, 90, 99)},
    }


def natively(hosts, source, destination):
    native.migrate(source, destination, mode="postcopy")


def through_culvert(hosts, source, destination):
    tunnelled.migrate(tunnelled.start_daemons(hosts), source, mode="postcopy")


def measure(kernel, migrate):
    """One migration between fresh hosts."""
    with Hosts(**LINK) as hosts:
        source = Machine(hosts.a, "vm", kernel, MEMORY_MIB, dirty=LOAD)
        destination = Machine(
            hosts.b, "vm", kernel, MEMORY_MIB, incoming=True, trace_faults=True
        )
        source.wait_running()
        migrate(hosts, source, destination)
        total_ms = source.wait_for_migration("completed")["total-time"]
        destination.wait_until_alive()
        verdict = destination.verdict()
        if verdict["corrupt"]:
            raise RuntimeError(f"{verdict['corrupt']} corrupt pages")
        latencies_ms = fault_latencies_ms(destination.log_path.read_text())
        return latencies_ms, {**summary(latencies_ms), "total_ms": total_ms,
                              "gap_ms": verdict["longest_gap_ms"]}  # fmt: skip


def tell(title, figures):
    words = (f"{name}={value:.4g}" for name, value in figures.items())
    print(f"{title:<16}", " ".join(words), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each kind (default 5)")
    parser.add_argument("--only", choices=["native", "culvert"])
    arguments = parser.parse_args()
    kinds = {"native": natively, "culvert": through_culvert}
    if arguments.only:
        kinds = {arguments.only: kinds[arguments.only]}

    congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    print(f"link {LINK['rate']}, guest {LOAD['mib']} MiB at random, TCP {congestion}")
    kernel = build_kernel()
    results = {kind: [] for kind in kinds}
    latencies_ms = {kind: [] for kind in kinds}
    for run in range(1, arguments.runs + 1):
        for kind, migrate in kinds.items():
            waits_ms, figures = measure(kernel, migrate)
            latencies_ms[kind] += waits_ms
            results[kind].append(figures)
            tell(f"{kind} {run}", figures)
    for kind, runs in results.items():
        tell(f"{kind} median", {key: statistics.median(r[key] for r in runs) for key in runs[0]})
    print(f"{'percent, ms up to':<17}", " ".join(f"{bound:>5}" for bound in (*BOUNDS_MS, "more")))
    for kind, waits_ms in latencies_ms.items():
        print(f"{kind:<17}", " ".join(f"{part:5.1f}" for part in histogram(waits_ms)))


if __name__ == "__main__":
    main()
