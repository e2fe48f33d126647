"""A user measures the tunnel between two of their own hosts: `culvert bench`."""

import json
import os
import signal
import socket
import threading
import time

import pytest

from lab.daemon import PORT, Daemon, peer_of
from lab.wait import wait_until

MIB = 1 << 20


def bench(daemon, *words, code=0):
    result = daemon.culvert("bench", "hostb", *words)
    assert result.returncode == code, result.stderr
    return result


def measure(daemon, *words):
    return json.loads(bench(daemon, "--time", "1", "--json", *words).stdout)


def trusting(hosts, authority, services, more=""):
    """Both daemons, started; hostb permits hosta `services`."""
    certificates = [authority.issue(host.name) for host in hosts]
    pair = (
        Daemon(hosts.a, certificates[0], [peer_of(hosts.b)]),
        Daemon(hosts.b, certificates[1], [peer_of(hosts.a, services=services)]),
    )
    with open(pair[1].configuration_path, "a") as file:
        file.write(more)
    for daemon in pair:
        daemon.start()
    return pair


def threads_and_descriptors(daemon):
    return [len(os.listdir(f"/proc/{daemon.pid}/{kind}")) for kind in ("task", "fd")]


def memory_kib(daemon):
    with open(f"/proc/{daemon.pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def assert_back_to(before, daemons):
    wait_until(
        lambda: all(
            now <= then
            for daemon, counts in zip(daemons, before)
            for now, then in zip(threads_and_descriptors(daemon), counts)
        ),
        f"threads and descriptors back to {before}",
        15,
    )


@pytest.mark.sanitized
def test_the_figures_are_there_and_plausible(hosts, daemons):
    hosts.shape("400mbit")

    found = measure(daemons[0], "--channels", "2")

    assert (found["here"], found["host"], found["time_s"], found["channels"]) == ("hosta", "hostb", 1, 2)
    assert found["opening"]["count"] == 6
    assert 100 < found["opening"]["p50_us"] < 2_000_000
    assert found["round_trip"]["count"] > 20
    assert 20 < found["round_trip"]["p50_us"] <= found["round_trip"]["p99_us"] < 1_000_000
    for way in ("to_host", "from_host"):
        figures = found[way]
        # The line carries 47.7 MiB/s; what TLS, TCP and frames cost comes off.
        assert 25 * MIB < figures["rate_bytes_per_s"] < 48 * MIB, way
        assert 0.9e6 < figures["duration_us"] < 5e6
        assert figures["bytes"] * 1e6 == pytest.approx(figures["rate_bytes_per_s"] * figures["duration_us"], rel=0.01)
        assert 0.01 < figures["cpu_s_per_gib_here"] < 60
        assert 0.01 < figures["cpu_s_per_gib_there"] < 60
        trips = figures["round_trip"]
        assert trips["count"] > 5
        # Not "longer than without load": processors that are awake answer sooner.
        assert 20 < trips["p50_us"] <= trips["p99_us"] < 1_000_000


def test_people_get_a_table_with_units(daemons):
    lines = bench(daemons[0], "--time", "1").stdout.splitlines()

    assert lines[0] == "hostb, 1 channel, 1 s each: idle, to it, from it"
    assert lines[1].split() == (
        "THROUGHPUT ROUND TRIP P50 P99 CPU S/GIB hosta CPU S/GIB hostb".split()
    )
    assert lines[2].startswith("idle ") and lines[2].count(" us") + lines[2].count(" ms") == 2
    assert lines[3].startswith("to hostb ") and "iB/s" in lines[3]
    assert lines[4].startswith("from hostb ") and "iB/s" in lines[4]
    assert lines[5].startswith("opening a channel takes ")
    assert len(lines) == 8


def test_nothing_is_left_of_a_measurement(daemons):
    measure(daemons[0])  # what is taken once, is taken now
    counts = [threads_and_descriptors(daemon) for daemon in daemons]
    memory = [memory_kib(daemon) for daemon in daemons]

    for _ in range(3):
        measure(daemons[0], "--channels", "4")

    assert_back_to(counts, daemons)
    for before, daemon in zip(memory, daemons):
        assert memory_kib(daemon) < before + 24 * 1024


@pytest.mark.sanitized
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_client_that_ends_midway_leaves_nothing(daemons, number):
    measure(daemons[0])
    counts = [threads_and_descriptors(daemon) for daemon in daemons]
    for order in ("sink", "source"):
        process = daemons[0].spawn_culvert("bench", "hostb", "--time", "3", "--channels", "3")
        already = daemons[1].log_text().count(f"order={order}")
        wait_until(
            lambda: daemons[1].log_text().count(f"order={order}") >= already + 3, f"the {order}", 20
        )
        process.send_signal(number)
        assert process.wait(timeout=10) == -number
        process.communicate()

        assert_back_to(counts, daemons)
    assert measure(daemons[0])["to_host"]["bytes"] > 0


def test_a_peer_that_may_bench_may_do_only_that(hosts, authority):
    pair = trusting(hosts, authority, "bench")

    assert measure(pair[0])["from_host"]["bytes"] > 0
    ping = pair[0].culvert("ping", "hostb")
    assert (ping.returncode, "no such service" in ping.stderr) == (5, True)


def test_a_peer_that_may_not_is_told_what_to_do(hosts, authority):
    pair = trusting(hosts, authority, "other", f"[service other]\nsocket = {hosts.b.directory}/other\n")

    told = bench(pair[0], code=5).stderr

    assert "hostb does not let this host measure: it needs 'migrate' or 'bench' in 'services'" in told


def test_another_service_of_that_name_is_not_taken_for_it(hosts, authority):
    path = hosts.b.directory / "own"
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(str(path))
        own.listen()
        pair = trusting(hosts, authority, "bench", f"[service bench]\nsocket = {path}\n")
        threading.Thread(target=lambda: own.accept()[0].sendall(b"220 welcome\n"), daemon=True).start()

        assert "is not culvertd's own" in bench(pair[0], code=5).stderr


def test_a_peer_that_is_not_there_is_told(daemons):
    daemons[1].stop()

    told = bench(daemons[0], code=4)
    assert f"hostb at 10.98.0.2 port {PORT}: cannot connect" in told.stderr
    assert told.stdout == ""


def test_a_peer_that_stops_midway_is_told_at_once(daemons):
    process = daemons[0].spawn_culvert("bench", "hostb", "--time", "30")
    wait_until(lambda: "order=sink" in daemons[1].log_text(), "bulk", 60)
    begun = time.monotonic()

    assert daemons[1].stop() == 0
    _, told = process.communicate(timeout=30)

    assert (process.returncode, time.monotonic() - begun < 15) == (4, True), told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere",), "unknown host 'nowhere'"),
        (("hostb", "--time", "61"), "--time"),
        (("hostb", "--channels", "17"), "--channels"),
        ((), "usage: culvert bench HOST"),
    ],
)
def test_a_wrong_command_line_is_told(daemons, words, told):
    result = daemons[0].culvert("bench", *words)

    assert (result.returncode, told in result.stderr) == (2, True), result.stderr


class Stranger:
    """A channel to the service, with a client of the test's own."""

    def __init__(self, daemon):
        self.socket, far = socket.socketpair()
        self.socket.settimeout(20)
        with socket.socket(socket.AF_UNIX) as control, far:
            control.connect(str(daemon.socket_path))
            control.recv(65536)
            order = b'{"execute": "connect", "arguments": {"host": "hostb", "service": "bench"}}\n'
            socket.send_fds(control, [order], [far.fileno()])
            self.answer = json.loads(control.recv(65536))

    def read_line(self):
        line = b""
        while not line.endswith(b"\n"):
            byte = self.socket.recv(1)
            if not byte:
                raise EOFError(line)
            line += byte
        return line


@pytest.mark.sanitized
@pytest.mark.parametrize("said", [b"x" * 500, b"migrate\n", b"sink \n", b"\0\n", b"si"])
def test_what_is_no_order_ends_the_channel(daemons, said):
    before = threads_and_descriptors(daemons[1])
    stranger = Stranger(daemons[0])
    assert stranger.read_line() == b"culvert bench 1\n"

    stranger.socket.sendall(said)
    stranger.socket.shutdown(socket.SHUT_WR)

    with pytest.raises((EOFError, ConnectionResetError)):
        stranger.read_line()
    stranger.socket.close()
    assert_back_to([before], daemons[1:])


def test_a_host_serves_so_many_measurements_and_no_more(daemons):
    before = threads_and_descriptors(daemons[1])
    strangers = [Stranger(daemons[0]) for _ in range(65)]

    assert [x.answer.get("return") for x in strangers[:64]] == [{}] * 64
    assert "too many measurements at once" in strangers[64].answer["error"]["desc"]
    for stranger in strangers:
        stranger.socket.close()
    assert_back_to([before], daemons[1:])
    assert Stranger(daemons[0]).answer["return"] == {}
