"""`make bench`: what it measures with, and its tables."""

import json
import socket
import subprocess
import sys
import threading

import pytest

from bench import table
from lab.guest import REPOSITORY, build_directory

# Past the hello and the first pages
PLACE = 500_000
PAGE_BYTES = 8 + 4096


class Tunnel:
    """Between two unix sockets; `change` may alter what passes the first time PLACE is reached."""

    def __init__(self, directory, change=lambda data: data):
        self.source, self.sink = directory / "source", directory / "sink"
        self._change = change
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.source))
        self._listener.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        near, _ = self._listener.accept()
        far = socket.socket(socket.AF_UNIX)
        far.connect(str(self.sink))
        threading.Thread(target=self._carry, args=(far, near, lambda x: x), daemon=True).start()
        self._carry(near, far, self._change)

    @staticmethod
    def _carry(origin, target, change):
        passed = 0
        try:
            while data := origin.recv(65536):
                reached = passed < PLACE <= passed + len(data)
                passed += len(data)
                target.sendall(change(data) if reached else data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def run_load(tunnel, *words):
    result = subprocess.run(
        [build_directory() / "bench/harness/load", *words, "--source", f"unix:{tunnel.source}",
         "--sink", f"unix:{tunnel.sink}", "--seconds", "0.5", "--warm", "0.1"],
        input="\n", text=True, stdout=subprocess.PIPE, timeout=60,
    )  # fmt: skip
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("words", [("bulk",), ("fault", "--faults", "4"), ("trip",)])
def test_what_passes_unchanged_is_measured(tmp_path, words):
    found = run_load(Tunnel(tmp_path), *words)

    assert "error" not in found
    assert found["gib_per_s"] > 0 or words == ("trip",)
    assert found["p99_us"] >= found["p50_us"] > 0 or words == ("bulk",)


def test_a_changed_byte_is_seen(tmp_path):
    def change(data):
        return data[:-1] + bytes([data[-1] ^ 1])

    assert "error" in run_load(Tunnel(tmp_path, change), "bulk")


@pytest.mark.parametrize("change", [lambda data: data[:-PAGE_BYTES], lambda data: data + data[-PAGE_BYTES:]])
def test_a_page_that_is_lost_or_doubled_is_seen(tmp_path, change):
    assert "error" in run_load(Tunnel(tmp_path, change), "bulk")


def rows(*pairs, figure):
    return [
        {"peer": peer, **({"error": "gone"} if value is None else
         {figure: value, "gib_per_s": value, "p99_us": 1, "fairness": 1, "opening_ms": 1})}
        for peer, value in pairs
    ]  # fmt: skip


def test_the_best_rival_is_no_network_without_a_tunnel(capsys):
    found = rows(("direct", 4.0), ("culvert", 1.5), ("haproxy", 1.0), ("stunnel", 0.5), figure="gib_per_s")
    table.print_table("bulk on fast", found, bulk=True)

    lines = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert [line[:4] for line in lines] == [
        ["direct", "1", "4", "4.00"], ["culvert", "1", "1.5", "1.50"],
        ["haproxy", "1", "1", "1.00"], ["stunnel", "1", "0.5", "0.50"],
    ]  # fmt: skip


def test_a_shorter_wait_is_better_and_a_failure_comes_last(capsys):
    found = rows(("socat", None), ("haproxy", 300.0), ("culvert", 100.0), ("haproxy", 100.0), figure="p50_us")
    table.print_table("fault1 on 1g", found, bulk=False)

    lines = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert lines[0][:4] == ["culvert", "1", "100", "0.50"]
    assert lines[1][:7] == ["haproxy", "2", "200", "1.00", "100", "to", "300"]
    assert lines[2] == ["socat", "0", "gone"]


def test_culvert_is_measured_beside_the_bare_network(tmp_path):
    out = tmp_path / "results"

    subprocess.run(
        [sys.executable, REPOSITORY / "bench/compare.py", "--peers", "culvert,direct", "--tests", "bulk,rtt",
         "--rounds", "1", "--out", out],
        check=True, timeout=120,
    )  # fmt: skip

    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert {(x["peer"], x["test"]) for x in found} == {
        (peer, test) for peer in ("culvert", "direct") for test in ("bulk", "rtt")
    }
    assert not any("error" in x for x in found), found
    assert all(x["cpu_s_per_gib"] > 0 for x in found if (x["peer"], x["test"]) == ("culvert", "bulk"))
