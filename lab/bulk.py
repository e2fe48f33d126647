"""Bulk streams between the hosts, through a forward of one and a service of the other."""

import socket
import threading
import time

from lab.daemon import Daemon, peer_of
from lab.wait import wait_until

_PIECE = bytes(1 << 20)


class Sink:
    """A service that takes whatever comes; `taken[i]` are the bytes of its i-th connection."""

    def __init__(self, path):
        self.taken = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self._socket.accept()
            self.taken.append(0)
            threading.Thread(
                target=self._serve, args=(connection, len(self.taken) - 1), daemon=True
            ).start()

    def _serve(self, connection, number):
        space = bytearray(1 << 18)
        with connection:
            while length := connection.recv_into(space):
                self.taken[number] += length

    def rates(self, seconds):
        """Bytes a second of each connection, over so many seconds from now."""
        count = len(self.taken)
        before, begun = self.taken[:count], time.monotonic()
        time.sleep(seconds)
        after, passed = self.taken[:count], time.monotonic() - begun
        return [(end - start) / passed for start, end in zip(before, after)]


class Stream:
    """Writes as fast as the socket at `path` takes it, until stop()."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while True:
                self._socket.sendall(_PIECE)
        except OSError:
            pass

    def stop(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=10)
        self._socket.close()


class BulkPair:
    """Daemons of both hosts, not started yet; streams lead from `hosts.a` to a sink on `hosts.b`.

    limits  the [bandwidth] limit of each; None: none
    """

    def __init__(self, hosts, authority, limits=(None, None)):
        self.path = hosts.a.directory / "bulk"
        self.streams = []
        self.daemons = tuple(
            Daemon(host, authority.issue(host.name), [peer_of(hosts.other(host), "migrate, sink")])
            for host in hosts
        )
        for daemon, limit in zip(self.daemons, limits):
            with open(daemon.configuration_path, "a") as file:
                file.write(f"[service sink]\nsocket = {daemon.host.directory}/sink\n")
                if limit:
                    file.write(f"[bandwidth]\nlimit = {limit}\n")
        with open(self.daemons[0].configuration_path, "a") as file:
            file.write(f"[forward bulk]\nlisten = {self.path}\nhost = hostb\nservice = sink\n")
        self.sink = Sink(hosts.b.directory / "sink")

    def start(self):
        for daemon in self.daemons:
            daemon.start()
        return self

    def stream(self, count=1):
        wanted = len(self.sink.taken) + count
        self.streams += [Stream(self.path) for _ in range(count)]
        wait_until(lambda: len(self.sink.taken) >= wanted, "streams at the other host")

    def stop_streams(self):
        while self.streams:
            self.streams.pop().stop()
