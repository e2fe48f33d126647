"""What a bare QEMU has beside its main stream: parallel streams, one for preempted pages, disks."""

import hashlib
import os
import re

import pytest
from crossing import (
    CALM, ENDLESS, MIB, Crossing, break_connections, capabilities, journal, only, postcopy_under_way,
    wait_for_bytes_in_flight, wait_for_end, wait_for_waiting,
)  # fmt: skip

from lab.wait import wait_until

DAEMONS = {"resume_deadline": "3s"}
IMAGE_MIB = 24
DISKS = ("disk0", "disk1")


def streams(daemon, service="rendezvous"):
    """How many channels this host has taken for hypervisors."""
    opened = (x for x in daemon.log_lines() if "event=channel.open " in x)
    return sum(f"service={service} accepted" in x for x in opened)


def nothing_left(hosts):
    """No directory of a migration, on either host"""
    return all(not list(host.run_directory.glob("m/*")) for host in hosts)


def parameters(machine):
    return machine.qmp("query-migrate-parameters")


# Parallel streams


def test_memory_goes_in_parallel_streams(crossing, hosts, daemons):
    moving = crossing(dirty=CALM, rate=None)
    before = parameters(moving.source)

    code, last = moving.run(daemons[0], "--mode", "precopy", "--parallel", "4")

    assert (code, last["phase"]) == (0, "completed"), daemons[0].log_text()
    assert moving.source.migration()["ram"]["multifd-bytes"] > 16 * MIB
    assert parameters(moving.source)["multifd-channels"] == 4 != before["multifd-channels"]
    assert (streams(daemons[1]), streams(daemons[1], "migration")) == (5, 0)
    assert last["tunnel_to_peer_bytes"] > 16 * MIB
    moving.assert_arrived()
    wait_until(lambda: nothing_left(hosts), "no directory is left", 10)


def test_parallel_streams_lose_their_connections_and_go_on(crossing, hosts, daemons):
    moving = crossing(dirty=CALM)
    follower = moving.begin(daemons[0], "--mode", "precopy", "--parallel", "4")
    follower.wait_for("precopy")
    follower.wait_for_bytes(4 * MIB)

    wait_for_bytes_in_flight(hosts.a)
    break_connections(hosts.a)
    code, last = follower.finish()

    assert (code, last["phase"]) == (0, "completed")
    assert last["links_lost"] >= 4
    moving.assert_arrived()


def test_cancelled_parallel_streams_leave_all_as_it_was(crossing, hosts, daemons):
    moving = crossing()
    before = capabilities(moving.source), parameters(moving.source)
    follower = moving.begin(daemons[0], "--mode", "precopy", "--parallel", "2")
    follower.wait_for("precopy")
    follower.wait_for_bytes(4 * MIB)

    daemons[0].culvert("cancel", "vm", check=True)

    assert follower.finish()[0] == 8
    wait_until(lambda: (capabilities(moving.source), parameters(moving.source)) == before, "as before")
    moving.assert_stayed()
    assert moving.destination.wait_for_exit(timeout=20) == 1


@pytest.mark.parametrize("mode", ["hybrid", "postcopy"])
def test_parallel_streams_that_would_lose_the_guest_in_postcopy_are_refused(crossing, daemons, mode):
    moving = crossing(dirty=CALM)
    before = [capabilities(x) for x in (moving.source, moving.destination)]

    result = daemons[0].culvert("migrate", "vm", "hostb", "--mode", mode, "--parallel", "2")

    assert result.returncode == 2
    assert "QEMU below 10.1" in result.stderr and "--mode precopy" in result.stderr
    assert [capabilities(x) for x in (moving.source, moving.destination)] == before
    assert daemons[1].migrations() == []
    moving.assert_stayed()


def test_qemu_that_may_not_use_the_sockets_is_refused_beforehand(crossing, daemons):
    moving = crossing(dirty=CALM, source_options={"arguments": ["-runas", "nobody"]})

    result = daemons[0].culvert("migrate", "vm", "hostb", "--mode", "precopy", "--parallel", "2")

    assert result.returncode == 7
    assert "hypervisor_group" in result.stderr
    assert daemons[1].migrations() == []
    moving.assert_stayed()


# Preempt


@pytest.mark.parametrize("mode", ["hybrid", "postcopy"])
def test_pages_that_the_guest_waits_for_have_a_stream_of_their_own(crossing, hosts, daemons, mode):
    moving = crossing(rate="200mbit")

    code, last = moving.run(daemons[0], "--mode", mode, "--preempt")

    assert (code, last["phase"]) == (0, "completed"), daemons[0].log_text()
    assert last["page_requests"] > 0
    assert streams(daemons[1]) == 2
    moving.assert_arrived()


def test_preempt_without_postcopy_is_refused(crossing, daemons):
    moving = crossing(dirty=CALM)

    result = daemons[0].culvert("migrate", "vm", "hostb", "--mode", "precopy", "--preempt")

    assert result.returncode == 2 and "post-copy" in result.stderr
    moving.assert_stayed()


def test_connections_cut_in_postcopy_with_preempt_are_hidden(crossing, hosts, daemons):
    moving = crossing()
    follower = postcopy_under_way(moving, daemons[0], "--preempt")

    for _ in range(3):
        follower.wait_for_bytes(2 * MIB)
        break_connections(hosts.a)
    code, last = follower.finish()

    assert (code, last["phase"]) == (0, "completed"), daemons[0].log_text()
    assert last["links_lost"] >= 3
    assert not any(x["phase"] == "paused" for x in follower.seen)
    moving.assert_arrived()


def test_preempt_is_recovered_after_the_deadline(crossing, hosts, daemons):
    moving = crossing()
    follower = postcopy_under_way(moving, daemons[0], "--preempt")

    hosts.cut()
    follower.wait_for("paused", timeout=20)
    wait_for_waiting(daemons[0])
    hosts.mend()
    code, last = follower.finish(timeout=60)

    assert (code, last["phase"]) == (0, "completed"), daemons[0].log_text()
    assert "event=migration.recovered" in daemons[0].log_text()
    assert streams(daemons[1]) == 4
    moving.assert_arrived()
    wait_until(lambda: nothing_left(hosts), "no directory is left", 10)


@pytest.mark.parametrize("killed", [0, 1], ids=["source", "destination"])
def test_preempt_is_recovered_after_a_culvertd_was_killed(crossing, daemons, killed):
    moving = crossing()
    postcopy_under_way(moving, daemons[0], "--preempt").wait_for_bytes(8 * MIB)

    daemons[killed].kill()
    daemons[killed].start()

    assert wait_for_end(daemons[0])["phase"] == "completed", daemons[0].log_text()
    assert [journal(x.host) for x in daemons] == [[], []]
    moving.assert_arrived()
