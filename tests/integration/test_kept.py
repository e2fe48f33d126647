"""The destination has all of the guest, and its source takes the guest back, for it cannot hear that: what is
at the destination is an older state as soon as the guest goes on, and must hear so whatever is lost meanwhile."""

import signal

import pytest
from crossing import journal, only, precopy_under_way, wait_for_end

from lab.guest import build_directory
from lab.wait import wait_until

# Longer than it takes to move what is left of a guest whose network has become slow to answer
DAEMONS = {"resume_deadline": "8s", "keeper": True}
LITTLE = {"mib": 8, "pattern": "mixed", "rate_mib": 1}
# There is time to cut it while the last word of one QEMU is on its way to the other.
DELAY_MS = 300


class LongLine:
    """In place of the network between the hosts: what is said takes DELAY_MS to the other one."""

    def __init__(self, hosts):
        self.host = hosts.a
        places = []
        for host in hosts:
            host.run("ip", "link", "set", "eth0", "down")
            host.run("ip", "address", "flush", "dev", "eth0")
            places += [f"/run/netns/{host.namespace}", host.address]
        hosts.a.spawn(build_directory() / "bench" / "harness" / "tunwan",
                      "--delay", DELAY_MS, "--rate", 400, *places, log=hosts.a.log_directory / "tunwan.log")  # fmt: skip
        wait_until(self._is_up, "the long line")

    def _is_up(self):
        return "UP" in self.host.run("ip", "link", "show", "wan0", check=False).stdout

    def cut(self):
        self.host.run("ip", "link", "set", "wan0", "down")

    def mend(self):
        self.host.run("ip", "link", "set", "wan0", "up")


@pytest.fixture
def kept(crossing, hosts, daemons):
    """A guest that runs at its source again, whose migration has ended there; all of it is at the
    destination, too, where nobody knows. The network is cut."""
    moving = crossing(dirty=LITTLE, rate=None)
    moving.line = LongLine(hosts)
    precopy_under_way(moving, daemons[0], "--mode", "precopy")
    moving.destination.wait_for_migration("completed")
    moving.line.cut()
    last = wait_for_end(daemons[0])
    assert (last["phase"], last["guest"]) == ("failed", "source")
    assert moving.source.status == "running"
    assert moving.destination.status == "paused"
    assert (only(daemons[1])["ended"], only(daemons[1])["guest"]) == (False, "unknown")
    assert [len(journal(x)) for x in hosts] == [1, 1]
    return moving


def assert_told(moving, daemons):
    last = wait_for_end(daemons[1], timeout=50)
    assert (last["phase"], last["guest"]) == ("cancelled", "source")
    assert "end the QEMU here" in last["advice"]
    assert moving.destination.status == "paused", "it was never run"
    wait_until(lambda: [journal(x.host) for x in daemons] == [[], []], "nothing left to say")


def test_destination_is_told_that_the_guest_was_kept_when_the_network_is_back(kept, daemons):
    kept.line.mend()

    assert_told(kept, daemons)
    kept.assert_stayed()


@pytest.mark.parametrize("number, others", [(signal.SIGKILL, "runs_on"), (signal.SIGTERM, "killed")],
                         ids=["killed", "stopped_and_the_other_killed"])  # fmt: skip
def test_destination_is_told_by_the_next_culvertd_though_the_guest_has_ended_since(
    kept, daemons, number, others
):
    daemons[0].stop(number)
    kept.source.kill()
    if others == "killed":
        daemons[1].kill()
    kept.line.mend()
    for daemon in daemons:
        if daemon.exit_code is not None:
            daemon.start()

    assert daemons[0].migrations() == [], "it has ended, and takes no name"
    assert_told(kept, daemons)


def test_guest_that_was_kept_can_be_migrated_while_the_destination_is_not_told_yet(kept, guest, hosts, daemons):
    """Its QEMU there was ended and started anew: that is all that stands in the way."""
    kept.destination.kill()
    kept.destination = guest(kept.name, hosts.b, memory_mib=128, incoming=True)
    kept.destination.qmp("query-status")
    wait_for_end(daemons[1])
    kept.line.mend()

    code, last = kept.run(daemons[0], "--mode", "precopy")

    assert (code, last["phase"]) == (0, "completed")
    kept.assert_arrived()
    wait_until(lambda: [journal(x) for x in hosts] == [[], []], "nothing left to say", 60)
