#!/usr/bin/python3
"""Culvert beside the tunnels that people use: one table for each link and test, with ratios to the best rival.

Two hosts as network namespaces; a load that plays both ends of a migration and verifies every page
(bench/harness/load.c). Peers take turns, A B A B, every second round backwards, so that what else goes on
meets all of them: trust the ratios of one run, and no figure on its own. Needs root; run `make` first.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import meter, table, tunnels  # noqa: E402
from lab.certificates import Authority  # noqa: E402
from lab.guest import build_directory  # noqa: E402
from lab.hosts import Hosts  # noqa: E402
from lab.wait import wait_until  # noqa: E402

OURS = "culvert"
LONG_LINE = ["--delay", "20", "--rate", "1000"]  # 40 ms there and back, 1 Gbit/s
LONG_LINE_LOAD = ["--warm", "1.5", "--seconds", "3"]  # TCP takes its time to find the rate

# How the two hosts are joined: words of tc for the cable, and what stands in between
LINKS = {
    "fast": {},
    "1g": {"shape": {"rate": "1gbit"}},
    "10g": {"shape": {"rate": "10gbit", "burst": "256kb", "limit": "8mb"}},
    "relay": {"relay": []},
    "wan": {"relay": LONG_LINE, "load": LONG_LINE_LOAD},
    "wantun": {"tun": LONG_LINE, "load": LONG_LINE_LOAD},
}

# Words of bench/harness/load
TESTS = {
    "bulk": ["bulk"],
    "fault1": ["fault"],
    "fault4": ["fault", "--faults", "4"],
    "fault1p": ["fault", "--own-channel"],
    "fault4p": ["fault", "--own-channel", "--faults", "4"],
    "idle1": ["fault", "--without-bulk"],
    "idle4": ["fault", "--without-bulk", "--faults", "4"],
    "rtt": ["trip"],
    "many16": ["bulk", "--channels", "16"],
    "many64": ["bulk", "--channels", "64"],
    "many256": ["bulk", "--channels", "256"],
    "cut": ["bulk", "--seconds", "6"],
    "stall": ["bulk", "--seconds", "14"],
}
# What the relay is told to do meanwhile, so long after the beginning
CUTS = {"cut": signal.SIGUSR1, "stall": signal.SIGUSR2}
CUT_AFTER_S = (1.5, 3.0)

DEFAULT_PEERS = "culvert,haproxy,stunnel,socat,direct"
DEFAULT_PLAN = (("fast", "bulk,fault1,rtt"), ("1g", "fault1"))


def harness(name):
    return build_directory() / "bench" / "harness" / name


def wait_ready(process):
    """Until a program of the harness has said that it is ready"""
    line = process.stdout.readline()
    if line.strip() != "ready":
        raise RuntimeError(f"{process.args}: {line.strip() or 'ended'}")


class Line:
    """The way between the hosts, with what stands in between."""

    def __init__(self, hosts, link):
        self.hosts = hosts
        self.link = link
        self.address = hosts.b.address
        self.tool = None
        if "tun" in self.link:
            places = [
                word
                for host, last in ((hosts.a, 1), (hosts.b, 2))
                for word in (f"/run/netns/{host.namespace}", f"10.99.0.{last}")
            ]
            self.address = "10.99.0.2"
            self._start([harness("tunwan"), *self.link["tun"], *places])

    def _start(self, words):
        self.tool = subprocess.Popen(words, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        wait_ready(self.tool)

    def lead_to(self, listen):
        """Where a source finds what listens at `listen`"""
        if "relay" not in self.link:
            return listen
        self.stop()
        here = (self.hosts.a.address, listen[1] + 1)
        self._start(
            self.hosts.a.command(
                harness("tcpcut"), *self.link["relay"], tunnels.dotted(here), tunnels.dotted(listen)
            )
        )
        return here

    def stop(self):
        if self.tool:
            self.tool.kill()
            self.tool.communicate()
        self.tool = None


class Tunnel:
    """One peer, started on both hosts; a context manager, and gone afterwards."""

    port = 21000

    def __init__(self, name, starters, hosts, line, certificates):
        Tunnel.port += 2
        self.hosts = hosts
        self.direct = name == tunnels.DIRECT
        self._temporary = tempfile.TemporaryDirectory(prefix="culvert-bench-")
        directory = pathlib.Path(self._temporary.name)
        listen = (line.address, Tunnel.port)
        self.place = tunnels.Place(
            directory, directory / "source", directory / "sink", listen, line.lead_to(listen), certificates
        )
        self.source = self.destination = None
        if not self.direct:
            self._commands = starters[name](self.place)

    def __enter__(self):
        try:
            if not self.direct:
                self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _spawn(self, host, words):
        return host.spawn(
            *words, log=host.log_directory / "tunnel.log", environment=self._commands.environment
        )

    def _start(self):
        port = self.place.listen[1]
        self.destination = self._spawn(self.hosts.b, self._commands.destination)
        self._wait(self.destination, lambda: port in self.hosts.b.tcp_listeners())
        self.source = self._spawn(self.hosts.a, self._commands.source)
        self._wait(self.source, self.place.source.exists)

    def _wait(self, process, is_ready):
        def ready():
            if process.poll() is not None:
                raise RuntimeError(f"{process.args[2]} ended, exit {process.returncode}")
            return is_ready()

        wait_until(ready, f"{process.args[2]}", timeout=20)

    def pids(self):
        return [process.pid for process in (self.source, self.destination) if process]

    def ends(self):
        """Words for the load"""
        source, sink = f"unix:{self.place.source}", f"unix:{self.place.sink}"
        if self.direct:
            source, sink = (f"tcp:{tunnels.dotted(x)}" for x in (self.place.connect, self.place.listen))
        spaces = [f"/run/netns/{host.namespace}" for host in self.hosts]
        return ["--source", source, "--sink", sink,
                "--source-namespace", spaces[0], "--sink-namespace", spaces[1]]  # fmt: skip

    def __exit__(self, *_):
        for process in (self.source, self.destination):
            if process and process.poll() is None:
                # A session of its own: its children, too.
                os.killpg(process.pid, signal.SIGTERM)
        for process in (self.source, self.destination):
            if not process:
                continue
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._temporary.cleanup()


def measure(tunnel, test, words, line):
    """One run of the load: what it printed, and what the tunnel has cost meanwhile."""
    kind, *more = words
    more = [*line.link.get("load", []), *more, *tunnel.ends()]
    words = [str(x) for x in (harness("load"), kind, *more)]
    pids = tunnel.pids()
    memory = meter.memory_kib(pids)
    cuts = []
    with subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
        limit = threading.Timer(180, load.kill)
        limit.start()
        result, costs = {}, {}
        for text in load.stdout:
            word = text.strip()
            if word == "open":
                memory = meter.memory_kib(pids) - memory
                load.stdin.write("\n")
                load.stdin.flush()
            elif word in ("begin", "end"):
                costs[word] = (meter.cpu_s(pids), meter.cpu_s([load.pid]), *meter.machine())
                if word == "begin" and test in CUTS:
                    cuts = [threading.Timer(s, line.tool.send_signal, (CUTS[test],)) for s in CUT_AFTER_S]
                    for cut in cuts:
                        cut.start()
            else:
                result = json.loads(word)
        for timer in (*cuts, limit):
            timer.cancel()
    if not result:
        return {"error": "the load did not come to an end"}
    if "error" in result:
        return result
    ours_s, load_s, busy_s, all_s = (end - begin for begin, end in zip(costs["begin"], costs["end"]))
    result["others"] = round(max(0, busy_s - ours_s - load_s) / all_s, 3)
    if pids:
        result["idle_kib"] = memory
        if result["gib"] > 0:
            result["cpu_s_per_gib"] = round(ours_s / result["gib"], 4)
    return result


def run_peer(name, starters, hosts, line, certificates, tests, tell):
    try:
        with Tunnel(name, starters, hosts, line, certificates) as tunnel:
            for test, words in tests.items():
                tell(test, measure(tunnel, test, words, line))
    except (RuntimeError, TimeoutError, OSError) as error:
        for test in tests:
            tell(test, {"error": str(error)})


def run_link(name, link, tests, peers, starters, rounds, out=None):
    """All rounds over one link; the results.

    link   its settings, as in LINKS
    tests  words for the load by name, as in TESTS
    out    a file to which every result is appended as well
    """
    results = []

    def tell(peer, number):
        def tell_one(test, result):
            result = {"link": name, "test": test, "peer": peer, "round": number, **result}
            results.append(result)
            if out:
                with open(out, "a") as file:
                    file.write(json.dumps(result) + "\n")

        return tell_one

    with Hosts(**link.get("shape", {})) as hosts:
        for host in hosts:
            # What most users have; some kernels do not let a namespace have it.
            host.run("sysctl", "-qw", "net.ipv4.tcp_congestion_control=cubic", check=False)
        authority = Authority(hosts.directory / "certificates")
        authority.issue("client", san="DNS:mig-src")
        authority.issue("server", san="DNS:mig-dst")
        line = Line(hosts, link)
        try:
            for number in range(rounds):
                print(f"{name}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
                for peer in peers if number % 2 == 0 else peers[::-1]:
                    run_peer(peer, starters, hosts, line, authority.directory, tests, tell(peer, number))
        finally:
            line.stop()
    return results


def choose_peers(text, starters):
    """Those that are here, in the order given"""
    chosen = []
    for name in text.split(","):
        if name not in starters and name != tunnels.DIRECT:
            sys.exit(f"compare: no such peer: {name} (there are {', '.join([*starters, tunnels.DIRECT])})")
        if name in tunnels.RIVALS and not tunnels.installed(tunnels.RIVALS[name][0]):
            print(f"compare: {name} is not installed and left out", file=sys.stderr)
            continue
        chosen.append(name)
    return chosen


def check_tests(link, text):
    """Those of TESTS that `text` names"""
    tests = text.split(",")
    for test in tests:
        if test not in TESTS:
            sys.exit(f"compare: no such test: {test} (there are {', '.join(TESTS)})")
        if test in CUTS and "relay" not in LINKS[link]:
            sys.exit(f"compare: test {test} needs a relay: LINK=relay or LINK=wan")
    return {test: TESTS[test] for test in tests}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--link", choices=LINKS, help="default: fast, and then fault1 on 1g")
    parser.add_argument("--tests", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=DEFAULT_PEERS, help=f"default {DEFAULT_PEERS}; also nginx, ssh")
    parser.add_argument("--peer-file", default=pathlib.Path(__file__).with_name("culvert.json"))
    parser.add_argument("--out", help="append every result to this file, a line of JSON each")
    words = parser.parse_args()

    starters = {name: start for name, (_, start) in tunnels.RIVALS.items()}
    starters.update(tunnels.read_file(words.peer_file))
    peers = choose_peers(words.peers, starters)
    plan = DEFAULT_PLAN
    if words.link or words.tests:
        plan = ((words.link or "fast", words.tests or DEFAULT_PLAN[0][1]),)
    plan = [(link, check_tests(link, tests)) for link, tests in plan]
    failed = False
    for link, tests in plan:
        results = run_link(link, LINKS[link], tests, peers, starters, words.rounds, words.out)
        for test in tests:
            found = [x for x in results if x["test"] == test]
            table.print_table(f"{test} on {link}", found, TESTS[test][0] == "bulk")
        failed |= any("error" in x for x in results if x["peer"] == OURS)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
