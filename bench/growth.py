#!/usr/bin/python3
"""How the cost of the tunnel grows, as the tables in docs/performance/ that bench/growth.gp draws.

    bench/growth.py size        a calm guest of 0.25 to 8 GiB, pre-copy, no limit on the link
    bench/growth.py dirty       MiB/s that a guest of 512 MiB writes, each mode, 1 Gbit/s
    bench/growth.py channels    1 to 256 streams at once
    bench/growth.py roundtrip   0 to 80 ms there and back, one stream, 1 Gbit/s

A second way beside Culvert is measured by turns: QEMU's own TCP, or a TCP connection. Needs root; run
`make` first.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import compare, meter, tunnels  # noqa: E402
from lab import native, tunnelled  # noqa: E402
from lab.guest import REPOSITORY, build_kernel  # noqa: E402
from lab.hosts import Hosts  # noqa: E402
from lab.machine import Machine  # noqa: E402

NAN = float("nan")
SIZES_MIB = (256, 1024, 4096, 8192)
RATES_MIB = (1, 50, 100, 200)
CHANNELS = (1, 4, 16, 64, 256)
ROUND_TRIPS_MS = (0, 10, 20, 40, 80)
CALM_RATE_MIB = 1
LONGEST_S = 600
PRECOPY_LONGEST_S = 25


def natively(hosts, source, destination, mode, longest_s):
    finished = native.migrate(source, destination, mode, timeout=longest_s)
    return {"total_s": finished["total-time"] / 1000, "downtime_ms": finished["downtime"]}


def through_culvert(hosts, source, destination, mode, longest_s):
    daemons = tunnelled.start_daemons(hosts)
    pids = [daemon.pid for daemon in daemons]
    before = meter.cpu_s(pids)
    migration = tunnelled.migrate(daemons, source, mode, timeout=longest_s)
    spent = meter.cpu_s(pids) - before
    return {"total_s": migration["total_ms"] / 1000, "downtime_ms": migration["downtime_ms"],
            "cpu_s_per_gib": spent / (migration["ram_transferred_bytes"] / 2**30)}  # fmt: skip


def migrate(way, memory_mib, dirty, mode, link, longest_s=LONGEST_S):
    """One migration between fresh hosts; nothing when it takes longer than that."""
    with Hosts(rate=link) as hosts:
        source = Machine(hosts.a, "vm", build_kernel(), memory_mib, dirty=dirty)
        destination = Machine(hosts.b, "vm", build_kernel(), memory_mib, incoming=True)
        source.wait_running(timeout=LONGEST_S)
        try:
            figures = way(hosts, source, destination, mode, longest_s)
        except (TimeoutError, subprocess.TimeoutExpired):
            return {}
        alive = destination.wait_until_alive(timeout=LONGEST_S)
        if alive["corrupt"]:
            raise RuntimeError(f"{alive['corrupt']} corrupt pages")
        return figures


def size_rows():
    yield "mib", "culvert_s", "tcp_s", "cpu_s_per_gib", "culvert_downtime_ms", "tcp_downtime_ms"
    for memory_mib in SIZES_MIB:
        # What the guest itself needs is not filled.
        dirty = {"mib": memory_mib * 3 // 4 - 64, "rate_mib": CALM_RATE_MIB}
        ours, theirs = (
            migrate(way, memory_mib, dirty, "precopy", None) for way in (through_culvert, natively)
        )
        yield (memory_mib, ours["total_s"], theirs["total_s"], ours["cpu_s_per_gib"],
               ours["downtime_ms"], theirs["downtime_ms"])  # fmt: skip


def dirty_rows():
    modes = ("hybrid", "postcopy", "precopy")
    yield ("mib_per_s", *(f"{mode}_s" for mode in modes), *(f"{mode}_downtime_ms" for mode in modes))
    for rate_mib in RATES_MIB:
        dirty = {"mib": 384, "pattern": "mixed", "rate_mib": rate_mib}
        runs = [
            migrate(through_culvert, 512, dirty, mode, "1gbit",
                    PRECOPY_LONGEST_S if mode == "precopy" else LONGEST_S)
            for mode in modes
        ]  # fmt: skip
        yield (rate_mib, *(run.get("total_s", NAN) for run in runs),
               *(run.get("downtime_ms", NAN) for run in runs))  # fmt: skip


def compared(link, words, peers, rounds):
    """Medians of the harness' figures, for each peer"""
    starters = tunnels.read_file(pathlib.Path(__file__).with_name("culvert.json"))
    results = compare.run_link("growth", link, {"bulk": words}, peers, starters, rounds)

    def median(peer, key):
        values = [x[key] for x in results if x["peer"] == peer and key in x]
        return statistics.median(values) if values else NAN

    return median


def channels_rows(rounds):
    yield "channels", "gib_per_s", "cpu_s_per_gib", "fairness", "idle_kib", "opening_ms"
    for count in CHANNELS:
        words = ["bulk", "--channels", str(count)]
        median = compared(compare.LINKS["fast"], words, [compare.OURS], rounds)
        yield (count, median(compare.OURS, "gib_per_s"), median(compare.OURS, "cpu_s_per_gib"),
               median(compare.OURS, "fairness"), median(compare.OURS, "idle_kib") / count,
               median(compare.OURS, "opening_ms"))  # fmt: skip


def roundtrip_rows(rounds):
    yield "ms", "culvert_gib_per_s", "tcp_gib_per_s"
    for round_trip_ms in ROUND_TRIPS_MS:
        delay = ["--delay", str(round_trip_ms // 2), "--rate", "1000"]
        link = {"tun": delay, "load": ["--warm", "4", "--seconds", "4"]}
        median = compared(link, ["bulk"], [compare.OURS, tunnels.DIRECT], rounds)
        yield (round_trip_ms, median(compare.OURS, "gib_per_s"), median(tunnels.DIRECT, "gib_per_s"))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", choices=["size", "dirty", "channels", "roundtrip"])
    parser.add_argument("--rounds", type=int, default=3, help="of channels and roundtrip")
    words = parser.parse_args()
    rows = {
        "size": size_rows,
        "dirty": dirty_rows,
        "channels": lambda: channels_rows(words.rounds),
        "roundtrip": lambda: roundtrip_rows(words.rounds),
    }[words.sweep]
    table = REPOSITORY / "docs" / "performance" / f"{words.sweep}.tsv"
    table.parent.mkdir(exist_ok=True)
    lines = []
    for row in rows():
        lines.append("\t".join(x if isinstance(x, str) else f"{x:.4g}" for x in row))
        print(lines[-1], flush=True)
    table.write_text("# " + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
