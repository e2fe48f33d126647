"""The test guest of guest/, as it speaks over its serial console."""

import re
import socket

from lab.wait import wait_until


class Console:
    """What has `name`, `serial_path` (a file of all that was said), `console_path` (a unix socket to
    say something), and check_alive(), which raises where nothing will be said any more."""

    def serial_lines(self):
        try:
            text = self.serial_path.read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return []
        # The last piece is a line that is still being written, or nothing.
        return [line.strip() for line in text.split("\n")[:-1]]

    def wait_for_line(self, pattern, after=0, timeout=60, meanwhile=lambda: None):
        """The first line from index `after` on that matches the regular expression."""

        def found():
            meanwhile()
            self.check_alive()
            return next((x for x in self.serial_lines()[after:] if re.search(pattern, x)), None)

        return wait_until(found, f"{self.name}: serial line '{pattern}'", timeout)

    def wait_running(self, timeout=120):
        """Until the guest says that it dirties memory; on the destination, that it does so here."""
        return figures(self.wait_for_line(r"^dirtier: (uptime_ms|failed)", timeout=timeout))

    def wait_until_alive(self, timeout=60):
        """A report that is newer than this call: the guest runs, and runs here."""
        return figures(self.wait_for_line(r"^dirtier: uptime_ms", len(self.serial_lines()), timeout))

    def report(self):
        """The figures of the guest's latest report, or None."""
        lines = [x for x in self.serial_lines() if x.startswith("dirtier: uptime_ms")]
        return figures(lines[-1]) if lines else None

    def verdict(self, timeout=120):
        """Let the guest verify every page: its figures, "corrupt" the one that matters."""
        return figures(self._ask(b"v\n", r"^dirtier: verdict ", timeout))

    def reset_longest_gap(self):
        self._ask(b"r\n", r"^dirtier: reset", 30)

    def _ask(self, command, answer, timeout):
        after = len(self.serial_lines())
        with socket.socket(socket.AF_UNIX) as console:
            console.settimeout(10)
            console.connect(str(self.console_path))
            console.sendall(command)
            # QEMU writes byte by byte: a few hundred of them, unread, fill the socket's buffer and
            # hold up the guest's console.
            console.setblocking(False)
            return self.wait_for_line(answer, after, timeout, lambda: _drain(console))


def figures(line):
    """"dirtier: verdict writes=3 corrupt=0" as {"writes": 3, "corrupt": 0}."""
    if "failed" in line:
        raise RuntimeError(line)
    return {key: int(value) for key, value in re.findall(r"(\w+)=(-?\d+)", line)}


def _drain(connection):
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        pass
