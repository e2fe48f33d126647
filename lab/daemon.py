"""culvertd on one of the hosts, and the culvert command that talks to it."""

import json
import signal
import subprocess

from lab.guest import build_directory
from lab.keeper import Keeper
from lab.wait import wait_until

PORT = 16520


class Daemon:
    """Configured at once, running after start().

    certificate  a lab.certificates.Certificate
    peers        [{"name", "address", "identity", "services"}, ...]: sections of the configuration
    keeper       True: a service manager keeps descriptors for it, as systemd does
    host_keys    keys of the [host] section to add or replace; None leaves a key out
    """

    def __init__(self, host, certificate, peers=(), keeper=False, **host_keys):
        self.host = host
        self.keeper = Keeper(host.directory / "notify.sock") if keeper else None
        self.configuration_path = host.directory / "culvert.conf"
        self.log_path = host.log_directory / "culvertd.log"
        self.socket_path = host.run_directory / "control.sock"
        self._process = None
        self.configure(certificate, peers, **host_keys)

    def configure(self, certificate, peers=(), **host_keys):
        """Write the configuration anew; a running daemon keeps the old one until restarted."""
        keys = {
            "name": self.host.name,
            "listen": f"{self.host.address}:{PORT}",
            "ca": certificate.ca,
            "certificate": certificate.certificate,
            "key": certificate.key,
            "qmp_directory": self.host.qmp_directory,
            "runtime_directory": self.host.run_directory,
            "control_group": "root",
            **host_keys,
        }
        sections = [("host", keys)]
        for peer in peers:
            settings = {key: value for key, value in peer.items() if key != "name"}
            sections.append((f"peer {peer['name']}", settings))
        self.configuration_path.write_text("\n".join(_section(*section) for section in sections))

    @property
    def pid(self):
        return self._process.pid

    @property
    def exit_code(self):
        return self._process.poll()

    def start(self, wait=True, **environment):
        """Start and wait for event=ready; with wait=False, for nothing."""
        already = self.log_text().count("event=ready")
        binary = build_directory() / "src" / "daemon" / "culvertd"
        words = [binary, "--config", self.configuration_path]
        descriptors = ()
        if self.keeper:
            descriptors = self.keeper.descriptors()
            words = self.keeper.hand_over(words)
            environment["NOTIFY_SOCKET"] = str(self.keeper.path)
        self._process = self.host.spawn(
            *words, log=self.log_path, environment=environment, descriptors=descriptors
        )

        def ready():
            if self.exit_code is not None:
                raise RuntimeError(f"culvertd ended ({self.exit_code}): {self.log_text()}")
            return self.log_text().count("event=ready") > already

        if wait:
            wait_until(ready, f"culvertd on {self.host.name}", timeout=20)
        return self

    def stop(self, number=signal.SIGTERM, timeout=20):
        """End it and return its exit code."""
        if self.exit_code is None:
            self._process.send_signal(number)
        return self._process.wait(timeout=timeout)

    def kill(self):
        return self.stop(signal.SIGKILL)

    def log_text(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def log_lines(self):
        return self.log_text().splitlines()

    # The command line.

    def command(self, *words):
        """The words that run `culvert` on this host, for a caller with its own subprocess."""
        binary = build_directory() / "src" / "cli" / "culvert"
        return self.host.command(binary, "--socket", self.socket_path, *words)

    def culvert(self, *words, check=False, timeout=120):
        """Run to the end; the result has returncode, stdout and stderr."""
        result = subprocess.run(
            self.command(*words), timeout=timeout, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if check and result.returncode:
            raise RuntimeError(
                f"culvert {' '.join(map(str, words))}: exit {result.returncode}: "
                f"{result.stderr.strip() or result.stdout.strip()}"
            )
        return result

    def spawn_culvert(self, *words):
        """Start it in the background; for Ctrl-C and for several at a time."""
        return subprocess.Popen(
            self.command(*words), text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def migrations(self):
        return json.loads(self.culvert("status", "--json", check=True).stdout)["migrations"]


def peer_of(host, services="migrate", identity=None, address=None):
    """The section in which another host's configuration names `host`."""
    return {
        "name": host.name,
        "address": address or f"{host.address}:{PORT}",
        "identity": identity or f"{host.name}.example",
        "services": services,
    }


def daemon_pair(hosts, authority, resume_deadline=None, services="migrate", **options):
    """A daemon for each host, knowing each other, not started yet. `options` are Daemon's."""

    def daemon(host):
        peer = {**peer_of(hosts.other(host), services), "resume_deadline": resume_deadline}
        return Daemon(host, authority.issue(host.name), [peer], **options)

    return tuple(daemon(host) for host in hosts)


def _section(title, keys):
    lines = [f"{key} = {value}" for key, value in keys.items() if value is not None]
    return "\n".join([f"[{title}]", *lines]) + "\n"
