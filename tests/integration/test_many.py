"""Many guests at a time, and what of that is seen from the network."""

import threading

from crossing import CALM, MIB, Crossing, precopy_under_way

from lab.daemon import PORT

DAEMON_PORT = str(PORT)


class Sockets:
    """A thread that notes every TCP socket on both hosts that is not culvertd's."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.foreign = set()
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *failure):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(0.1):
            for host in self.hosts:
                for line in host.run("ss", "-Htan").stdout.splitlines():
                    state, _, _, here, there = line.split()[:5]
                    ports = [here] if state == "LISTEN" else [here, there]
                    if DAEMON_PORT not in [address.rsplit(":", 1)[1] for address in ports]:
                        self.foreign.add(f"{host.name}: {line}")
            self.looks += 1


def test_eight_guests_cross_in_both_directions_through_one_port(hosts, guest, daemons):
    a, b = hosts
    source_of = {a: daemons[0], b: daemons[1]}
    moves = []
    # One after the other: eight that boot at once on two cores take longer.
    for number in range(4):
        for origin in hosts:
            name = f"{origin.name}-{number}"
            load = {**CALM, "mib": 24, "seed": len(moves) + 1}
            moves.append((origin, Crossing(guest, origin, hosts.other(origin), name, load)))
    for _, crossing in moves:
        crossing.wait_running()
    modes = ["precopy", "hybrid", "postcopy", "hybrid"]

    with Sockets(hosts) as sockets:
        followers = [
            crossing.begin(source_of[origin], "--mode", modes[i // 2 % 4])
            for i, (origin, crossing) in enumerate(moves)
        ]
        outcomes = [follower.finish(timeout=120) for follower in followers]
        for _, crossing in moves:
            crossing.assert_arrived()

    assert [(code, last["phase"]) for code, last in outcomes] == [(0, "completed")] * 8
    assert sockets.foreign == set()
    assert sockets.looks > 10
    assert [host.tcp_listeners() for host in hosts] == [[PORT], [PORT]]


def test_stream_is_not_hoarded_in_front_of_a_slow_link(hosts, guest, daemons):
    moving = Crossing(guest, *hosts).wait_running()
    hosts.shape("100mbit", limit="512kb")
    follower = precopy_under_way(moving, daemons[0], "--mode", "precopy")
    most = sent = 0

    while sent < 32 * MIB:
        # The delivered figure is older than the sent one, so the difference is never too small.
        delivered = daemons[0].migrations()[0]["tunnel_to_peer_bytes"]
        sent = moving.source.migration()["ram"]["transferred"]
        most = max(most, sent - delivered)

    assert most < 16 * MIB
    daemons[0].culvert("cancel", "vm", check=True)
    follower.finish()
