"""What every demo shares: two hosts, two daemons, a busy guest, and one last line that tells."""

import contextlib
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lab.certificates import Authority  # noqa: E402
from lab.daemon import PORT, daemon_pair  # noqa: E402
from lab.guest import build_kernel  # noqa: E402
from lab.hosts import Hosts  # noqa: E402
from lab.machine import Machine  # noqa: E402

MEMORY_MIB = 512


class DemoFailed(Exception):
    pass


def say(text):
    print(f"demo: {text}", flush=True)


class Stage:
    """Both hosts up, `guest` running on hosta, `arrival` waiting for it on hostb."""

    def __init__(self, hosts, load):
        self.hosts = hosts
        authority = Authority(hosts.directory / "certificates")
        self.source, self.destination = daemon_pair(hosts, authority)
        self.source.start()
        self.destination.start()
        kernel = build_kernel()
        self.guest = Machine(hosts.a, "demo", kernel, memory_mib=MEMORY_MIB, dirty=load)
        self.arrival = Machine(hosts.b, "demo", kernel, memory_mib=MEMORY_MIB, incoming=True)
        self.guest.wait_running()
        self.arrival.qmp("query-status")

    def start_migration(self, mode):
        """`culvert migrate` on hosta, with its display on this terminal."""
        say(f"culvert migrate demo hostb --mode {mode}")
        command = self.source.command("migrate", "demo", "hostb", "--mode", mode)
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def finish_migration(self, process):
        """Returns what `culvert status` says of it and the guest's verdict on its memory."""
        if process.wait():
            raise DemoFailed(f"culvert migrate ended with exit code {process.returncode}")
        (migration,) = self.source.migrations()
        self.arrival.wait_until_alive()
        verdict = self.arrival.verdict()
        if self.guest.status != "postmigrate":
            raise DemoFailed(f"the source's QEMU is '{self.guest.status}', not 'postmigrate'")
        ports = self.destination.host.tcp_listeners()
        if ports != [PORT]:
            raise DemoFailed(f"TCP ports open on hostb: {ports}")
        say(
            f"the guest on hostb verified {verdict['verified']} pages, {verdict['corrupt']} corrupt; "
            f"it stood still for {verdict['longest_gap_ms']} ms at most while it waited for memory"
        )
        if verdict["corrupt"]:
            raise DemoFailed(f"{verdict['corrupt']} corrupt pages")
        return migration, verdict


@contextlib.contextmanager
def stage(load):
    say("building the guest (Debian's cloud kernel and one static program)")
    build_kernel()
    with Hosts(rate="1gbit") as hosts:
        say("two hosts, one certificate authority, two daemons, one port each")
        say(f"a guest of {MEMORY_MIB} MiB on hosta, dirtying {load['mib']} MiB of it")
        yield Stage(hosts, load)


def perform(demo):
    """Run demo() and print its outcome as the last line. Returns the exit code."""
    try:
        outcome = demo()
    except KeyboardInterrupt:
        reason = "interrupted"
    except Exception as failure:
        reason = " ".join(f"{type(failure).__name__}: {failure}".split())
    else:
        print(f"demo: passed {outcome}", flush=True)
        return 0
    print(f"demo: failed: {reason}", flush=True)
    return 1
