"""What breaks while a guest moves, and where the guest is afterwards."""

import signal
import time

import pytest
from crossing import (
    break_connections, capabilities, postcopy_under_way, precopy_under_way, wait_for_bytes_in_flight,
)  # fmt: skip

from lab.wait import wait_until

# Of little patience with a network that is gone
DAEMONS = {"resume_deadline": "5s"}


def class_of(migration):
    return migration["error"]["class"]


def ended_on(daemon):
    """What the daemon of the other host made of it."""
    (migration,) = wait_until(
        lambda: [x for x in daemon.migrations() if x["ended"]], "ended there, too", timeout=10
    )
    return migration


# The network


@pytest.mark.parametrize("under_way", [precopy_under_way, postcopy_under_way])
def test_reset_connections_are_replaced_and_no_page_is_lost(crossing, hosts, daemons, under_way):
    moving = crossing()
    follower = under_way(moving, daemons[0])

    # Queues are short: only what is sent into a cable that is pulled is sure to be lost.
    hosts.cut()
    wait_for_bytes_in_flight(hosts.a)
    break_connections(hosts.a)
    hosts.mend()
    wait_until(lambda: "event=link.resumed" in daemons[0].log_text(), "resumed", timeout=10)
    hosts.shape(None)
    code, last = follower.finish()

    assert (code, last["phase"]) == (0, "completed")
    assert last["links_lost"] == 1
    assert last["replayed_bytes"] > 0
    moving.assert_arrived()


@pytest.mark.parametrize("under_way", [precopy_under_way, postcopy_under_way])
def test_cable_pulled_for_seconds_is_waited_for(crossing, hosts, daemons, under_way):
    moving = crossing()
    follower = under_way(moving, daemons[0])

    hosts.cut()
    time.sleep(4)
    hosts.mend()
    hosts.shape(None)
    code, last = follower.finish()

    assert (code, last["phase"]) == (0, "completed")
    moving.assert_arrived()


def test_network_gone_past_the_deadline_in_precopy_leaves_the_guest_running_at_the_source(
    crossing, hosts, daemons
):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0], "--mode", "precopy")

    hosts.cut()
    code, last = follower.finish(timeout=30)

    assert (code, class_of(last)) == (4, "LINK")
    assert (last["phase"], last["guest"]) == ("failed", "source")
    moving.assert_stayed()
    assert (moving.destination.wait_for_exit(), ended_on(daemons[1])["phase"]) == (1, "failed")


# The destination's QEMU


def test_destination_killed_in_precopy_leaves_the_guest_running_at_the_source(crossing, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0], "--mode", "precopy")

    moving.destination.kill()
    code, last = follower.finish(timeout=20)

    assert (code, class_of(last)) == (7, "HYPERVISOR")
    assert (last["phase"], last["guest"]) == ("failed", "source")
    assert "the QEMU on hostb ended" in last["error"]["desc"]
    moving.assert_stayed()
    assert ended_on(daemons[1])["phase"] == "failed"


def test_destination_killed_in_postcopy_is_told_as_a_lost_guest_within_seconds(crossing, daemons):
    moving = crossing()
    follower = postcopy_under_way(moving, daemons[0])

    began = time.monotonic()
    moving.destination.kill()
    code, last = follower.finish(timeout=20)

    assert time.monotonic() - began < 5
    assert (code, class_of(last)) == (9, "GUEST")
    assert (last["phase"], last["guest"]) == ("lost", "nowhere")
    assert "start the guest again from its disk" in last["advice"]
    assert ended_on(daemons[1])["phase"] == "lost"


# The source's QEMU


def test_source_killed_in_precopy_is_told_on_both_hosts(crossing, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0], "--mode", "precopy")

    moving.source.kill()
    code, last = follower.finish(timeout=20)

    assert (code, class_of(last)) == (9, "GUEST")
    assert (last["phase"], last["guest"]) == ("lost", "nowhere")
    assert moving.destination.wait_for_exit() == 1
    assert ended_on(daemons[1])["phase"] == "failed"


def test_source_killed_in_postcopy_is_told_as_a_lost_guest(crossing, daemons):
    moving = crossing()
    follower = postcopy_under_way(moving, daemons[0])

    moving.source.kill()
    code, last = follower.finish(timeout=20)

    assert (code, class_of(last)) == (9, "GUEST")
    assert (last["phase"], last["guest"]) == ("lost", "nowhere")
    assert last["advice"]


# The destination's kernel


def test_refused_userfaultfd_is_told_before_any_memory_moves(crossing, daemons):
    moving = crossing(userfaultfd=False)
    before = capabilities(moving.source), capabilities(moving.destination)

    code, last = moving.run(daemons[0])

    assert (code, class_of(last)) == (7, "HYPERVISOR")
    assert (last["phase"], last["guest"]) == ("failed", "source")
    assert "unprivileged_userfaultfd" in last["error"]["desc"]
    assert last["tunnel_to_peer_bytes"] == 0
    assert moving.source.migration()["status"] == "none"
    assert moving.destination.status == "inmigrate"
    assert (capabilities(moving.source), capabilities(moving.destination)) == before
    moving.assert_stayed()


# culvertd


@pytest.mark.parametrize("side", ["source", "destination"])
def test_killed_culvertd_leaves_a_guest_in_precopy_running_at_the_source(crossing, daemons, side):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0], "--mode", "precopy")

    daemons[0 if side == "source" else 1].kill()
    code, last = follower.finish(timeout=30)

    if side == "source":
        assert code == 3, "the command has lost its daemon"
    else:
        assert (code, class_of(last)) == (4, "LINK")
        assert (last["phase"], last["guest"]) == ("failed", "source")
    moving.source.wait_for_migration("failed", "cancelled", timeout=10)
    moving.assert_stayed()


@pytest.mark.parametrize("side", ["source", "destination"])
def test_stopped_culvertd_gives_up_a_precopy_and_the_guest_stays(crossing, daemons, side):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0], "--mode", "precopy")
    stopped = daemons[0 if side == "source" else 1]

    assert stopped.stop(signal.SIGTERM, timeout=20) == 0
    code, last = follower.finish(timeout=20)

    if side == "source":
        assert (code, last["phase"], last["guest"]) == (8, "cancelled", "source")
    else:
        assert (code, last["phase"], last["guest"]) == (4, "failed", "source")
        assert "culvertd on hostb is stopping" in last["error"]["desc"]
    assert "clean=yes" in stopped.log_text()
    moving.assert_stayed()


@pytest.mark.parametrize("side", ["source", "destination"])
def test_stopped_culvertd_finishes_a_postcopy_first(crossing, hosts, daemons, side):
    moving = crossing()
    follower = postcopy_under_way(moving, daemons[0])
    stopped = daemons[0 if side == "source" else 1]

    hosts.shape("400mbit")
    assert stopped.stop(signal.SIGTERM, timeout=60) == 0
    code, last = follower.finish(timeout=20)

    assert (code, last["phase"]) == (0, "completed")
    assert "event=stopping signal=15 migrations=1" in stopped.log_text(), "it was not over yet"
    assert "clean=yes" in stopped.log_text()
    moving.assert_arrived()
