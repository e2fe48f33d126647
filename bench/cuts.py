#!/usr/bin/python3
"""One guest goes to and fro between two hosts while their connections are cut at random moments: reset,
black-holed for longer than the heartbeat, or with the cable pulled. After each migration every page of
the guest is verified.

    bench/cuts.py [--count 100] [--seed N] [--rate 400mbit]
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lab import tunnelled  # noqa: E402
from lab.guest import build_kernel  # noqa: E402
from lab.hosts import Hosts  # noqa: E402
from lab.machine import Machine  # noqa: E402

MEMORY_MIB = 160
# Pre-copy alone would never end with a guest that is busier.
LOAD = {"mib": 48, "pattern": "mixed", "rate_mib": 8}
MODES = ("precopy", "postcopy", "hybrid")


class Cutter:
    """Faults at random moments, until stop()."""

    def __init__(self, hosts, chance):
        self.counts = {"reset": 0, "hole": 0, "pulled": 0}
        self._hosts = hosts
        self._chance = chance
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        for _ in range(self._chance.randint(1, 4)):
            if self._over.wait(self._chance.uniform(0, 1.5)):
                return
            fault = self._chance.choice(("reset", "reset", "reset", "hole", "pulled"))
            self.counts[fault] += 1
            if fault == "reset":
                self._hosts.a.run("ss", "-K", "dst", self._hosts.b.address, check=False)
                continue
            self._hosts.cut()
            time.sleep(self._chance.uniform(3, 5) if fault == "hole" else self._chance.uniform(0.1, 1))
            self._hosts.mend()

    def stop(self):
        self._over.set()
        self._thread.join()


def order(hosts, daemon, target, mode, chance):
    """`culvert migrate` once, while connections are cut: its exit status, what it said last, the cuts."""
    command = daemon.command("migrate", "cuts", target.name, "--mode", mode, "--json")
    with subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        cutter = Cutter(hosts, chance)
        lines = process.stdout.read().splitlines()
    cutter.stop()
    return process.returncode, json.loads(lines[-1]), cutter.counts


def came_to_nothing(last):
    """A cut before memory moved is no loss that a tunnel could hide: the operator migrates again."""
    return (last["phase"], last["guest"], last["ram_transferred_bytes"]) == ("failed", "source", 0) and (
        last["error"]["class"] == "LINK"
    )


def move(hosts, daemons, kernel, guest, chance):
    """One migration: what `culvert migrate` said last, the cuts, and the guest at its new place."""
    origin = 0 if guest.host is hosts.a else 1
    target = (hosts.b, hosts.a)[origin]
    arrival = Machine(target, "cuts", kernel, memory_mib=MEMORY_MIB, incoming=True)
    arrival.qmp("query-status")
    mode = chance.choice(MODES)
    status, last, counts = order(hosts, daemons[origin], target, mode, chance)
    while status and came_to_nothing(last):
        print(f"     {mode:8} not begun: {last['error']['desc']}", flush=True)
        status, last, counts = order(hosts, daemons[origin], target, mode, chance)
    if status or last["phase"] != "completed":
        raise RuntimeError(f"{mode}: {last['phase']}, guest {last['guest']}: {last['error']}")
    guest.kill()
    arrival.wait_until_alive()
    return mode, last, counts, arrival


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rate", default="400mbit")
    words = parser.parse_args()
    chance = random.Random(words.seed)
    kernel = build_kernel()
    lost = corrupt = 0
    print(f"cuts: seed {words.seed}")
    with Hosts(rate=words.rate) as hosts:
        daemons = tunnelled.start_daemons(hosts)
        guest = Machine(hosts.a, "cuts", kernel, memory_mib=MEMORY_MIB, dirty=LOAD)
        guest.wait_running()
        for number in range(1, words.count + 1):
            mode, last, counts, guest = move(hosts, daemons, kernel, guest, chance)
            verdict = guest.verdict()
            lost += last["links_lost"]
            corrupt += verdict["corrupt"]
            print(
                f"{number:4} {mode:8} total_ms={last['elapsed_ms']} links_lost={last['links_lost']} "
                f"replayed_bytes={last['replayed_bytes']} cuts={counts} corrupt={verdict['corrupt']}",
                flush=True,
            )
    print(f"cuts: migrations={words.count} links_lost={lost} corrupt={corrupt}")
    return 1 if corrupt else 0


if __name__ == "__main__":
    sys.exit(main())
