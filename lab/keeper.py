"""The part of systemd that keeps descriptors for a service: sd_notify(3), FDSTORE."""

import os
import socket
import threading


class Keeper:
    def __init__(self, path):
        self.path = path
        self._kept = []  # (name, descriptor)
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        """Nothing is kept any more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        for _, descriptor in self._kept:
            os.close(descriptor)
        self._kept.clear()

    def _serve(self):
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 16)
            if not message:
                return
            fields = dict(x.split("=", 1) for x in message.decode().splitlines() if "=" in x)
            with self._lock:
                if fields.get("FDSTORE") == "1":
                    self._kept += [(fields["FDNAME"], x) for x in descriptors]
                elif fields.get("FDSTOREREMOVE") == "1":
                    self._remove(fields["FDNAME"])

    def _remove(self, name):
        for kept in [x for x in self._kept if x[0] == name]:
            os.close(kept[1])
            self._kept.remove(kept)

    def names(self):
        with self._lock:
            return [name for name, _ in self._kept]

    def descriptors(self):
        with self._lock:
            return [descriptor for _, descriptor in self._kept]

    def hand_over(self, words):
        """Words that run `words` with the descriptors from 3 on, as systemd would."""
        with self._lock:
            kept = list(self._kept)
        # First out of the way of each other, then to where they belong.
        away = max([3 + len(kept), *(fd + 1 for _, fd in kept)])
        moves = [f"exec {away + i}<&{fd} {fd}<&-" for i, (_, fd) in enumerate(kept)]
        moves += [f"exec {3 + i}<&{away + i} {away + i}<&-" for i in range(len(kept))]
        names = ":".join(name for name, _ in kept)
        script = "; ".join([
            *moves, "export LISTEN_PID=$$", f"export LISTEN_FDS={len(kept)}",
            f"export LISTEN_FDNAMES={names}", 'exec "$@"',
        ])  # fmt: skip
        return ["bash", "-c", script, "culvertd", *map(str, words)]
