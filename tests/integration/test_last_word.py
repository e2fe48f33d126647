"""The destination has all of the guest, and does not hear from its source: what is lost then, and who
runs the guest afterwards."""

import re

import pytest
from crossing import journal, only, postcopy_under_way, precopy_under_way, wait_for_end, wait_for_waiting

# Longer than it takes to move the rest of a guest, once the network is fast
DAEMONS = {"resume_deadline": "12s", "keeper": True}
LITTLE = {"mib": 32, "pattern": "mixed", "rate_mib": 1}


def silence(host):
    """The network loses what passes over the control channel of `host`, and every attempt to replace
    it. Of the connections that the daemon has opened, the one that has sent least is the control channel's."""
    lines = host.run("ss", "-HtniO", "state", "established", "dport", "=", ":16520").stdout
    control = min(lines.splitlines(), key=lambda x: int(re.search(r"bytes_sent:(\d+)", x)[1]))
    port = control.split()[2].rsplit(":", 1)[1]
    host.run("nft", "add table ip lost")
    host.run("nft", "add chain ip lost output { type filter hook output priority 0; }")
    host.run("nft", "add chain ip lost input { type filter hook input priority 0; }")
    host.run("nft", f"add rule ip lost output tcp sport {port} drop")
    host.run("nft", f"add rule ip lost input tcp dport {port} drop")
    host.run("nft", "add rule ip lost output tcp dport 16520 tcp flags syn drop")


def end_silence(host):
    host.run("nft", "delete table ip lost")


@pytest.fixture
def arrived(crossing, hosts, daemons):
    """A guest whose QEMUs have both completed, in pre-copy or post-copy; its last word is not said."""

    def start(mode):
        moving = crossing(dirty=LITTLE)
        under_way = precopy_under_way if mode == "precopy" else postcopy_under_way
        options = ["--mode", "precopy"] if mode == "precopy" else []
        under_way(moving, daemons[0], *options)
        silence(hosts.a)
        hosts.shape(None)
        moving.source.wait_for_migration("completed")
        moving.destination.wait_for_migration("completed")
        assert moving.destination.status == ("paused" if mode == "precopy" else "running")
        return moving

    return start


def assert_handed_over(moving, daemons):
    """The guest runs at the destination, every page as it was, and nothing is left to settle."""
    last = wait_for_end(daemons[0])
    assert (last["phase"], last["guest"]) == ("completed", "destination")
    assert wait_for_end(daemons[1])["phase"] == "completed"
    assert [journal(x.host) for x in daemons] == [[], []]
    assert moving.destination.status == "running"
    moving.destination.wait_until_alive()
    assert moving.destination.verdict()["corrupt"] == 0


BOTH_MODES = pytest.mark.parametrize("mode", ["precopy", "postcopy"])


@BOTH_MODES
def test_last_word_is_said_when_the_network_is_back_however_long_that_takes(
    arrived, hosts, daemons, mode
):
    moving = arrived(mode)

    hosts.cut()
    assert "attempt" in wait_for_waiting(daemons[0], timeout=60)
    assert (only(daemons[0])["phase"], only(daemons[0])["ended"]) == ("finishing", False)
    assert moving.destination.status == ("paused" if mode == "precopy" else "running")
    hosts.mend()
    end_silence(hosts.a)

    assert_handed_over(moving, daemons)


@BOTH_MODES
@pytest.mark.parametrize("killed", [(0,), (1,), (0, 1)], ids=["source", "destination", "both"])
def test_last_word_is_said_by_culvertd_that_was_killed_and_started_again(
    arrived, hosts, daemons, mode, killed
):
    moving = arrived(mode)

    for index in killed:
        daemons[index].kill()
    end_silence(hosts.a)
    for index in killed:
        daemons[index].start()

    assert_handed_over(moving, daemons)


@BOTH_MODES
def test_destination_runs_a_guest_whose_source_ended_after_its_last_page(arrived, hosts, daemons, mode):
    moving = arrived(mode)

    moving.source.kill()
    end_silence(hosts.a)

    assert_handed_over(moving, daemons)


@BOTH_MODES
def test_guest_is_told_as_lost_whose_destination_ended_after_the_last_page(
    arrived, hosts, daemons, mode
):
    moving = arrived(mode)

    moving.destination.kill()
    end_silence(hosts.a)
    last = wait_for_end(daemons[0])

    assert (last["phase"], last["guest"]) == ("lost", "nowhere")
    assert "start the guest again from its disk" in last["advice"]
    assert moving.source.status == "postmigrate", "it is not run with an older state"


def test_qemu_that_waits_under_the_name_of_the_source_is_not_taken_for_it(
    arrived, guest, hosts, daemons
):
    """The guest left it, its operator has made room for it to come back, and then culvertd is started."""
    moving = arrived("precopy")

    daemons[0].kill()
    moving.source.kill()
    fresh = guest(moving.name, hosts.a, memory_mib=128, incoming=True)
    fresh.qmp("query-status")
    end_silence(hosts.a)
    daemons[0].start()

    assert_handed_over(moving, daemons)
    assert fresh.status == "inmigrate"
