"""Two hosts as network namespaces joined by a veth, each with directories of its own."""

import atexit
import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile

_serial_number = itertools.count(1)


class Host:
    """One of the two hosts: where its programs run, and where their files are."""

    def __init__(self, name, namespace, address, directory):
        self.name = name
        self.namespace = namespace
        self.interface = "eth0"
        self.address = address
        self.directory = pathlib.Path(directory)
        self.run_directory = self.directory / "run"
        self.qmp_directory = self.directory / "qmp"
        self.log_directory = self.directory / "log"
        for path in (self.run_directory, self.qmp_directory, self.log_directory):
            path.mkdir(parents=True)
        self.processes = []

    def command(self, *words):
        """The words of a command line that runs `words` on this host."""
        # Not `ip netns exec`: that remounts /sys, which a chroot or a container may not allow.
        return ["nsenter", f"--net=/run/netns/{self.namespace}", *map(str, words)]

    def run(self, *words, check=True, timeout=60, **options):
        """Run to the end, with its output as text in the result."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.run(
            self.command(*words), check=check, timeout=timeout, text=True, **options
        )

    def spawn(self, *words, log, environment=None, descriptors=()):
        """Start in the background, its output in `log`; it ends with the host at the latest."""
        with open(log, "ab") as output:
            process = subprocess.Popen(
                self.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C in a demo is for the demo, not for its guests
            )
        self.processes.append(process)
        return process

    def tcp_listeners(self):
        """The TCP ports on which anything on this host listens, as `ss` sees them."""
        lines = self.run("ss", "-Htln").stdout.splitlines()
        return sorted({int(line.split()[3].rsplit(":", 1)[1]) for line in lines})

    def end_processes(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()
        self.processes.clear()


class Hosts:
    """Hosts `a` (10.98.0.1) and `b` (10.98.0.2); a context manager, and gone afterwards.

    rate       what a tbf lets through in each direction, in words of tc ("1gbit"); None is no limit
    directory  where to keep their files; without one they are removed at the end
    """

    host_class = Host

    def __init__(self, rate=None, burst="128kb", limit="4mb", directory=None):
        run = f"{os.getpid()}-{next(_serial_number)}"
        self._temporary = directory is None
        # Short, because the path of a unix socket has room for 107 bytes.
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="culvert-"))
        self.a = self.host_class("hosta", f"cvA-{run}", "10.98.0.1", self.directory / "a")
        self.b = self.host_class("hostb", f"cvB-{run}", "10.98.0.2", self.directory / "b")
        self._shape = (rate, burst, limit)

    def __iter__(self):
        return iter((self.a, self.b))

    def other(self, host):
        return self.b if host is self.a else self.a

    def up(self):
        atexit.register(self.down)
        try:
            for host in self:
                _ip("netns", "add", host.namespace)
                host.run("ip", "link", "set", "lo", "up")
            _ip(
                "link", "add", "eth0", "netns", self.a.namespace,
                "type", "veth", "peer", "name", "eth0", "netns", self.b.namespace,
            )
            for host in self:
                host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
                host.run("ip", "link", "set", "eth0", "up")
            self.shape(*self._shape)
        except BaseException:
            self.down()
            raise
        return self

    def shape(self, rate, burst="128kb", limit="4mb"):
        """Limit both directions to `rate`; None lifts the limit."""
        for host in self:
            tc = ["tc", "qdisc"]
            host.run(*tc, "delete", "dev", "eth0", "root", check=False)
            if rate:
                host.run(
                    *tc, "add", "dev", "eth0", "root", "tbf",
                    "rate", rate, "burst", burst, "limit", limit,
                )

    def cut(self):
        """Pull the cable: packets vanish, nobody is told."""
        self.a.run("ip", "link", "set", "eth0", "down")

    def mend(self):
        self.a.run("ip", "link", "set", "eth0", "up")

    def down(self):
        atexit.unregister(self.down)
        for host in self:
            host.end_processes()
        for host in self:
            subprocess.run(["ip", "netns", "delete", host.namespace], stderr=subprocess.DEVNULL)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()


def _ip(*words):
    result = subprocess.run(["ip", *words], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {result.stderr.strip()}")
