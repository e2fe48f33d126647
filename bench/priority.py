#!/usr/bin/python3
"""How long a guest in post-copy waits for a page: alone, and beside bulk streams of the same host.

As bench/faults.py measures it, through Culvert by turns alone and with three streams that fill the
same 1 Gbit/s link, as migrations in pre-copy do. Then, how well the limit of a host is held. Needs
root; run `make` first.
"""

import argparse
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from faults import LINK, LOAD, MEMORY_MIB, fault_latencies_ms, summary, tell  # noqa: E402

from lab.bulk import BulkPair  # noqa: E402
from lab.certificates import Authority  # noqa: E402
from lab.guest import build_kernel  # noqa: E402
from lab.hosts import Hosts  # noqa: E402
from lab.machine import Machine  # noqa: E402

MBIT = 125_000


def measure(kernel, streams):
    """One migration between fresh hosts, beside so many streams."""
    with Hosts(**LINK) as hosts:
        bulk = BulkPair(hosts, Authority(hosts.directory / "certificates")).start()
        source = Machine(hosts.a, "vm", kernel, MEMORY_MIB, dirty=LOAD)
        destination = Machine(
            hosts.b, "vm", kernel, MEMORY_MIB, incoming=True, trace_faults=True
        )
        source.wait_running()
        bulk.stream(streams)
        before = sum(bulk.sink.rates(2)) / MBIT if streams else 0
        taken = sum(bulk.sink.taken)
        bulk.daemons[0].culvert("migrate", "vm", "hostb", "--mode", "postcopy", check=True)
        taken = sum(bulk.sink.taken) - taken
        total_ms = source.wait_for_migration("completed")["total-time"]
        after = sum(bulk.sink.rates(1)) / MBIT if streams else 0
        bulk.stop_streams()
        destination.wait_until_alive()
        verdict = destination.verdict()
        if verdict["corrupt"]:
            raise RuntimeError(f"{verdict['corrupt']} corrupt pages")
        return {**summary(fault_latencies_ms(destination.log_path.read_text())),
                "total_ms": total_ms, "bulk_before_mbit": before, "bulk_mbit": taken / total_ms / 125,
                "bulk_after_mbit": after}  # fmt: skip


def measure_limit(limits, mbit, streams):
    """Mbit/s that pass over ten seconds, and the least stream's share of the largest's."""
    with Hosts() as hosts:
        bulk = BulkPair(hosts, Authority(hosts.directory / "certificates"), limits).start()
        bulk.stream(streams)
        bulk.sink.rates(2)
        rates = bulk.sink.rates(10)
        bulk.stop_streams()
        return {"mbit": sum(rates) / MBIT, "of_limit": sum(rates) / MBIT / mbit,
                "fairness": min(rates) / max(rates)}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each kind (default 5)")
    parser.add_argument("--only", choices=["faults", "limits"])
    arguments = parser.parse_args()

    if arguments.only != "limits":
        print(f"link {LINK['rate']}, guest {LOAD['mib']} MiB at random", flush=True)
        kernel = build_kernel()
        results = {0: [], 3: []}
        for run in range(1, arguments.runs + 1):
            for streams, figures in results.items():
                figures.append(measure(kernel, streams))
                tell(f"beside {streams}, {run}", figures[-1])
        medians = {
            streams: {key: statistics.median(r[key] for r in runs) for key in runs[0]}
            for streams, runs in results.items()
        }
        for streams, figures in medians.items():
            tell(f"beside {streams}", figures)
        print(f"p50 beside 3 / alone: {medians[3]['p50_ms'] / medians[0]['p50_ms']:.2f}")
    if arguments.only != "faults":
        for mbit in (100, 500, 2000):
            for limits in ((f"{mbit}Mbit", None), (None, f"{mbit}Mbit")):
                for streams in (1, 4):
                    direction = "sent" if limits[0] else "received"
                    tell(f"{mbit} {direction}, {streams}", measure_limit(limits, mbit, streams))


if __name__ == "__main__":
    main()
