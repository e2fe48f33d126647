"""A virtual machine on its way: the QEMU that has it, the one that waits, and `culvert migrate`."""

import json
import threading

from lab.wait import wait_until

MEMORY_MIB = 128
MIB = 1 << 20
# Slower than the guest dirties memory: pre-copy never ends by itself, and post-copy takes seconds.
SLOW = "100mbit"

ENDLESS = {"mib": 48, "pattern": "mixed"}
CALM = {"mib": 32, "pattern": "mixed", "rate_mib": 4}


class Crossing:
    """`source` runs the guest, `destination` waits for it, on the other host."""

    def __init__(self, guest, origin, target, name="vm", dirty=ENDLESS, source_options=None,
                 **destination_options):  # fmt: skip
        self.name = name
        self.target = target
        self.source = guest(
            name, origin, memory_mib=MEMORY_MIB, dirty=dirty, **(source_options or {})
        )
        self.destination = guest(
            name, target, memory_mib=MEMORY_MIB, incoming=True, **destination_options
        )

    def wait_running(self):
        self.source.wait_running()
        self.destination.qmp("query-status")
        return self

    def begin(self, daemon, *options):
        return Follower(daemon.spawn_culvert("migrate", self.name, self.target.name, "--json", *options))

    def run(self, daemon, *options):
        """Migrate to the end: the exit code, and the last that the daemon said."""
        return self.begin(daemon, *options).finish()

    def assert_arrived(self):
        """The guest goes on at the destination, with every page as it left it."""
        assert self.source.status == "postmigrate"
        assert self.source.migration()["status"] == "completed"
        assert self.destination.migration()["status"] == "completed"
        assert self.destination.status == "running"
        before = self.destination.wait_until_alive()
        assert self.destination.wait_until_alive()["writes"] > before["writes"]
        assert self.destination.verdict()["corrupt"] == 0

    def assert_stayed(self):
        """The guest goes on at the source, as if nothing had been."""
        assert self.source.status == "running"
        before = self.source.wait_until_alive()
        assert self.source.wait_until_alive()["writes"] > before["writes"]
        assert self.source.verdict()["corrupt"] == 0


class Follower:
    """`culvert ... --json` in the background, and all that it has printed."""

    def __init__(self, process):
        self.process = process
        self.seen = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.seen.append(json.loads(line))

    def wait_for(self, *phases, timeout=60):
        """The first object in one of these phases."""

        def reached():
            found = next((x for x in self.seen if x["phase"] in phases), None)
            if not found and self.process.poll() is not None and not self._reader.is_alive():
                raise RuntimeError(f"ended before {phases}: {self.process.stderr.read()}")
            return found

        return wait_until(reached, f"phase {' or '.join(phases)}", timeout)

    def wait_for_bytes(self, count, timeout=60):
        """Until `count` bytes of this phase are at the other host: it is well under way."""
        from_bytes = self.seen[-1]["tunnel_to_peer_bytes"]
        wait_until(
            lambda: self.seen[-1]["tunnel_to_peer_bytes"] >= from_bytes + count,
            f"{count} bytes more", timeout,
        )  # fmt: skip

    def finish(self, timeout=90):
        """The exit code, and the last object."""
        code = self.process.wait(timeout=timeout)
        self._reader.join()
        self.process.error = self.process.stderr.read()
        return code, self.seen[-1] if self.seen else None

    @property
    def error_text(self):
        """What it said on stderr, once it has finished."""
        return self.process.error


def precopy_under_way(crossing, daemon, *options):
    follower = crossing.begin(daemon, *options)
    follower.wait_for("precopy")
    follower.wait_for_bytes(4 * MIB)
    return follower


def postcopy_under_way(crossing, daemon, *options):
    """The guest runs at the destination, and megabytes of it are still at the source."""
    follower = crossing.begin(daemon, "--mode", "postcopy", *options)
    follower.wait_for("postcopy")
    crossing.destination.wait_for_migration("postcopy-active")
    follower.wait_for_bytes(MIB)
    return follower


def capabilities(machine):
    return {x["capability"]: x["state"] for x in machine.qmp("query-migrate-capabilities")}


def wait_for_bytes_in_flight(host, count=16 * 1024):
    """Until so much of what the daemon of `host` has sent is not acknowledged. A busy QEMU may pause."""

    def in_flight():
        lines = host.run("ss", "-Htn", "state", "established", "dport", "=", ":16520").stdout
        return sum(int(line.split()[1]) for line in lines.splitlines()) >= count

    wait_until(in_flight, f"{count} bytes in flight")


def break_connections(host):
    """Reset every connection between the daemons."""
    host.run("ss", "-KHt", "dport", "=", ":16520")


def only(daemon):
    (migration,) = daemon.migrations()
    return migration


def wait_for_end(daemon, timeout=60):
    def ended():
        migrations = daemon.migrations()
        return migrations[-1] if migrations and migrations[-1]["ended"] else None

    return wait_until(ended, f"{daemon.host.name}: the migration's end", timeout)


def wait_for_waiting(daemon, timeout=30):
    return wait_until(lambda: only(daemon)["waiting"], f"{daemon.host.name}: waiting", timeout)


def journal(host):
    """The files of the migrations that a culvertd which is started anew would take up."""
    return sorted(host.run_directory.glob("migrations/*.json"))
