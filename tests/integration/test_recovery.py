"""A migration that lost more than a connection is taken up again: after the deadline, after a daemon
was killed on either host or on both. docs/OPERATIONS.md says what is promised."""

import json
import os
import re
import signal
import time

import pytest
from crossing import (
    CALM, MIB, Crossing, break_connections, capabilities, journal, only, postcopy_under_way,
    precopy_under_way, wait_for_end, wait_for_waiting,
)  # fmt: skip

from lab.daemon import peer_of
from lab.wait import wait_until

DAEMONS = {"resume_deadline": "3s", "keeper": True}


def write_journal(host, id, vm, quit_source, halted=False):
    """As a daemon of `host` that was about to move `vm` in pre-copy has left it."""
    entry = {"id": id, "incoming": False, "vm": vm, "destination_vm": vm, "host": "hostb", "mode": "precopy",
             "quit_source": quit_source, "started": True, "halted": halted, "found": {}}  # fmt: skip
    (host.run_directory / "migrations" / f"{id}-outgoing.json").write_text(json.dumps(entry))


def assert_recovered(moving, daemons):
    last = wait_for_end(daemons[0])
    assert (last["phase"], last["guest"]) == ("completed", "destination")
    assert wait_for_end(daemons[1])["phase"] == "completed"
    assert [journal(x.host) for x in daemons] == [[], []]
    moving.assert_arrived()


# Preparing


def prepare_only(moving, hosts, daemons):
    """Both QEMUs are prepared, and nothing is started: the destination's daemon stands still."""
    os.kill(moving.destination.pid, signal.SIGSTOP)
    follower = moving.begin(daemons[0])
    wait_until(daemons[1].migrations, "asked to prepare")
    os.kill(moving.source.pid, signal.SIGSTOP)
    os.kill(moving.destination.pid, signal.SIGCONT)
    wait_until(lambda: journal(hosts.b), "the destination is prepared")
    os.kill(daemons[1].pid, signal.SIGSTOP)
    os.kill(moving.source.pid, signal.SIGCONT)
    wait_until(lambda: journal(hosts.a), "the source is prepared")
    return follower


@pytest.mark.parametrize("lost", ["source", "destination", "link"])
def test_what_was_prepared_and_left_is_as_before_and_can_be_migrated_again(
    crossing, hosts, daemons, lost
):
    moving = crossing(dirty={"mib": 16, "pattern": "mixed", "rate_mib": 1})
    machines = (moving.source, moving.destination)
    before = [capabilities(x) for x in machines]
    follower = prepare_only(moving, hosts, daemons)
    if lost == "link":
        hosts.cut()
    else:
        daemons[lost == "destination"].kill()
    if lost != "destination":
        os.kill(daemons[1].pid, signal.SIGCONT)
    assert moving.destination.migration()["status"] == "none", "it was not started"

    if lost != "link":
        daemons[lost == "destination"].start()
    assert follower.finish()[0] == (3 if lost == "source" else 4)
    if lost != "source":
        last = wait_for_end(daemons[0])
        assert (last["phase"], last["guest"]) == ("failed", "source")
    hosts.mend()
    wait_until(lambda: [capabilities(x) for x in machines] == before, "settings as before", 15)
    hosts.shape(None)
    code, last = moving.run(daemons[0], "--mode", "precopy")

    assert (code, last["phase"]) == (0, "completed")
    moving.assert_arrived()


@pytest.mark.parametrize("lost", ["source", "destination"])
def test_qemu_that_ends_while_it_is_prepared_fails_the_migration(crossing, daemons, lost):
    moving = crossing(dirty=CALM, rate=None)
    os.kill(moving.destination.pid, signal.SIGSTOP)  # `prepare` waits for it
    follower = moving.begin(daemons[0])
    wait_until(daemons[1].migrations, "asked to prepare")

    if lost == "source":
        moving.source.kill()
        os.kill(moving.destination.pid, signal.SIGCONT)
    else:
        moving.destination.kill()
    code, last = follower.finish()

    where = {"source": (9, "failed", "nowhere"), "destination": (7, "failed", "source")}[lost]
    assert (code, last["phase"], last["guest"]) == where
    assert wait_for_end(daemons[1])["guest"] == "source"
    if lost == "source":
        assert moving.destination.status == "inmigrate", "it waits for another migration"
    else:
        moving.assert_stayed()


# Post-copy


def test_network_gone_past_the_deadline_in_postcopy_is_recovered_when_it_is_back(
    crossing, hosts, daemons
):
    moving = crossing()
    follower = postcopy_under_way(moving, daemons[0])

    hosts.cut()
    paused = follower.wait_for("paused", timeout=20)
    assert paused["guest"] == "destination"
    assert "culvert recover" in wait_for_waiting(daemons[0])
    assert moving.source.migration()["status"] == "postcopy-paused"
    hosts.mend()
    code, last = follower.finish(timeout=60)

    assert (code, last["phase"]) == (0, "completed")
    assert "event=migration.recovered" in daemons[0].log_text()
    assert_recovered(moving, daemons)


@pytest.mark.sanitized
@pytest.mark.parametrize("killed", [(0,), (1,), (0, 1)], ids=["source", "destination", "both"])
def test_killed_culvertd_that_is_started_again_finishes_the_postcopy(
    crossing, hosts, daemons, killed
):
    moving = crossing()
    postcopy_under_way(moving, daemons[0]).wait_for_bytes(8 * MIB)

    for index in killed:
        daemons[index].kill()
    time.sleep(0.5)
    for index in killed:
        daemons[index].start()

    assert_recovered(moving, daemons)


def test_qemu_whose_monitor_waits_for_a_page_is_recovered_after_its_daemon_was_killed(
    crossing, hosts, daemons
):
    """Right after the switch the guest misses the pages of its interrupt handlers, and its QEMU answers
    nobody while it waits for them, most of the time."""
    moving = crossing()
    postcopy_under_way(moving, daemons[0])

    daemons[1].kill()
    daemons[1].start()

    assert_recovered(moving, daemons)
    wait_until(lambda: daemons[1].keeper.names() == [], "nothing is kept any more", 10)


def test_source_killed_again_and_again_still_finishes_the_postcopy(crossing, hosts, daemons):
    moving = crossing()
    postcopy_under_way(moving, daemons[0]).wait_for_bytes(8 * MIB)

    for _ in range(3):
        recoveries = daemons[0].log_text().count("event=migration.recovered")
        daemons[0].kill()
        daemons[0].start()
        wait_until(
            lambda: daemons[0].log_text().count("event=migration.recovered") > recoveries,
            "recovered", 30,
        )  # fmt: skip

    assert_recovered(moving, daemons)


def test_recovery_waits_for_a_daemon_that_is_away(crossing, hosts, daemons):
    moving = crossing()
    postcopy_under_way(moving, daemons[0]).wait_for_bytes(8 * MIB)

    daemons[1].kill()
    waiting = wait_for_waiting(daemons[0])
    assert "attempt" in waiting and "hostb" in waiting
    assert only(daemons[0])["phase"] == "paused"
    daemons[1].start()

    assert_recovered(moving, daemons)


def test_culvert_recover_does_not_wait_for_the_next_attempt(crossing, hosts, daemons):
    moving = crossing()
    postcopy_under_way(moving, daemons[0]).wait_for_bytes(8 * MIB)
    daemons[1].kill()

    def far_away():
        text = only(daemons[0])["waiting"] or ""
        found = re.search(r"the next in (\d+) s", text)
        return found and int(found[1]) >= 15

    wait_until(far_away, "a long pause", 60)
    began = time.monotonic()
    daemons[1].start()
    result = daemons[0].culvert("recover", moving.name, check=True)
    wait_until(lambda: only(daemons[0])["phase"] != "paused", "recovered", 20)

    assert time.monotonic() - began < 13, "the next attempt would have been later"
    assert "recovery" in result.stdout
    assert_recovered(moving, daemons)


def test_culvert_recover_of_what_needs_none_is_refused(crossing, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0])

    result = daemons[0].culvert("recover", moving.name)

    assert result.returncode == 2
    assert "needs no recovery" in result.stderr
    daemons[0].culvert("cancel", moving.name, check=True)
    assert follower.finish()[0] == 8


def test_what_cannot_be_taken_up_for_want_of_its_peer_is_left_to_a_later_culvertd(
    crossing, hosts, authority, daemons
):
    """Most of all the connection to a QEMU that greets nobody any more."""
    moving = crossing()
    postcopy_under_way(moving, daemons[0])
    stranger = {**peer_of(hosts.a), "name": "hostx", "identity": "hostx.example"}
    certificate = authority.issue(hosts.b.name)

    daemons[1].kill()
    kept = daemons[1].keeper.names()
    daemons[1].configure(certificate, [stranger])
    daemons[1].start()
    assert "event=migration.not_restored" in daemons[1].log_text()
    assert "no [peer hosta] in culvert.conf any more: put it back" in daemons[1].log_text()
    assert daemons[1].stop() == 0
    assert kept and sorted(daemons[1].keeper.names()) == sorted(kept)
    daemons[1].configure(certificate, [{**peer_of(hosts.a), "resume_deadline": DAEMONS["resume_deadline"]}])
    daemons[1].start()

    assert_recovered(moving, daemons)


@pytest.mark.parametrize("stopped", [0, 1], ids=["source", "destination"])
def test_stopped_culvertd_leaves_an_interrupted_postcopy_to_the_next(
    crossing, hosts, daemons, stopped
):
    moving = crossing()
    postcopy_under_way(moving, daemons[0]).wait_for_bytes(8 * MIB)
    hosts.cut()
    wait_until(lambda: [only(x)["phase"] for x in daemons] == ["paused"] * 2, "paused", 20)

    assert daemons[stopped].stop(signal.SIGTERM, timeout=20) == 0
    assert "clean=yes" in daemons[stopped].log_text()
    assert len(journal(daemons[stopped].host)) == 1
    hosts.mend()
    daemons[stopped].start()

    assert_recovered(moving, daemons)


def test_destination_lost_with_its_daemon_in_postcopy_is_told_as_a_lost_guest(crossing, daemons):
    moving = crossing()
    postcopy_under_way(moving, daemons[0])

    daemons[1].kill()
    moving.destination.kill()
    daemons[1].start()
    last = wait_for_end(daemons[0])

    assert (last["phase"], last["guest"]) == ("lost", "nowhere")
    assert "start the guest again from its disk" in last["advice"]
    assert journal(daemons[0].host) == []


def test_destination_that_has_forgotten_the_migration_is_told_and_its_qemu_is_left_alone(
    crossing, daemons
):
    moving = crossing()
    postcopy_under_way(moving, daemons[0]).wait_for_bytes(8 * MIB)

    daemons[1].kill()
    for file in journal(daemons[1].host):
        file.unlink()
    daemons[1].start()
    last = wait_for_end(daemons[0])

    assert (last["phase"], last["guest"]) == ("failed", "unknown")
    assert "keep both QEMUs" in last["advice"]
    assert moving.destination.migration()["status"] == "postcopy-paused"


def test_source_lost_with_its_daemon_in_postcopy_is_told_as_a_lost_guest(crossing, daemons):
    moving = crossing()
    postcopy_under_way(moving, daemons[0]).wait_for_bytes(8 * MIB)

    daemons[0].kill()
    moving.source.kill()
    daemons[0].start()
    last = wait_for_end(daemons[0])

    assert (last["phase"], last["guest"]) == ("lost", "nowhere")


# Pre-copy


def test_source_killed_in_precopy_leaves_guest_and_settings_as_they_were(crossing, hosts, daemons):
    moving = crossing()
    before = capabilities(moving.source), moving.source.qmp("query-migrate-parameters")
    precopy_under_way(moving, daemons[0])

    daemons[0].kill()
    daemons[0].start()
    last = wait_for_end(daemons[0])

    assert (last["phase"], last["guest"]) == ("failed", "source")
    assert (capabilities(moving.source), moving.source.qmp("query-migrate-parameters")) == before
    moving.assert_stayed()
    # It is told, and does not keep what has come for as long as it would wait for a connection.
    assert moving.destination.wait_for_exit(timeout=20) == 1
    assert wait_for_end(daemons[1])["guest"] == "source"
    assert [journal(x.host) for x in daemons] == [[], []]


def test_destination_killed_in_precopy_can_be_migrated_to_again(crossing, guest, hosts, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0])

    daemons[1].kill()
    daemons[1].start()
    code, last = follower.finish()
    assert (code, last["guest"]) == (4, "source")
    assert moving.destination.wait_for_exit() == 1
    assert wait_for_end(daemons[1])["phase"] == "failed"
    assert journal(hosts.b) == []

    moving.destination = guest(moving.name, hosts.b, memory_mib=128, incoming=True)
    moving.destination.qmp("query-status")
    hosts.shape(None)
    code, last = moving.run(daemons[0])
    assert (code, last["phase"]) == (0, "completed")
    moving.assert_arrived()


# The journal


def test_what_cannot_be_written_down_is_not_begun(crossing, hosts, daemons):
    moving = crossing()
    (hosts.a.run_directory / "migrations").write_text("in the way\n")

    code, last = moving.run(daemons[0])

    assert (code, last["phase"], last["guest"]) == (3, "failed", "source")
    assert "migrations" in last["error"]["desc"]
    assert last["tunnel_to_peer_bytes"] == 0
    assert moving.destination.status == "inmigrate"
    moving.assert_stayed()


def test_that_the_guest_was_stopped_is_written_down_as_soon_as_there_is_room(crossing, hosts, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0], "--mode", "precopy")
    (file,) = journal(hosts.a)
    in_the_way = file.with_name(f"{file.name}.new")
    in_the_way.mkdir()

    moving.source.qmp("stop")
    wait_until(lambda: "event=migration.not_noted" in daemons[0].log_text(), "not written")
    assert not json.loads(file.read_text())["halted"]
    in_the_way.rmdir()

    wait_until(lambda: json.loads(file.read_text())["halted"], "written")
    daemons[0].culvert("cancel", moving.name, check=True)
    assert follower.finish()[0] == 8


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": "../../x"}', "\0" * 100, "x" * 100000])
def test_unreadable_journal_is_named_in_the_log_and_left_alone(hosts, daemons, text):
    daemons[0].stop()
    directory = hosts.a.run_directory / "migrations"
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / "0badf00d-outgoing.json"
    path.write_text(text)

    daemons[0].start()

    assert f"event=journal.unreadable path={path}" in daemons[0].log_text()
    assert daemons[0].migrations() == []
    assert path.read_text() == text


def test_journal_that_cannot_be_listed_is_named_in_the_log(hosts, daemons):
    daemons[0].stop()
    directory = hosts.a.run_directory / "migrations"
    directory.write_text("in the way\n")

    daemons[0].start()

    assert f"event=journal.unreadable path={directory}" in daemons[0].log_text()


def test_journal_tells_nothing_to_other_users(crossing, hosts, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0])

    for host in hosts:
        (file,) = journal(host)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        assert json.loads(file.read_text())["vm"] == "vm"
    daemons[0].culvert("cancel", moving.name, check=True)
    follower.finish()
    wait_until(lambda: [journal(x) for x in hosts] == [[], []], "forgotten", 20)


# Many


def test_recovery_outlives_resets_in_its_midst(crossing, hosts, daemons):
    moving = crossing()
    postcopy_under_way(moving, daemons[0]).wait_for_bytes(8 * MIB)

    daemons[1].kill()
    daemons[1].start()
    for _ in range(40):
        break_connections(hosts.a)
        time.sleep(0.05)

    assert_recovered(moving, daemons)


def test_qemu_that_was_started_anew_meanwhile_is_not_taken_for_the_old_one(
    crossing, guest, hosts, daemons
):
    moving = crossing()
    postcopy_under_way(moving, daemons[0])

    daemons[1].kill()
    moving.destination.kill()
    fresh = guest(moving.name, hosts.b, memory_mib=128, incoming=True)
    fresh.qmp("query-status")
    daemons[1].start()
    last = wait_for_end(daemons[1])

    assert (last["phase"], last["guest"]) == ("failed", "unknown")
    assert wait_for_end(daemons[0])["guest"] == "unknown"
    assert fresh.status == "inmigrate"
    assert journal(hosts.b) == []


# A journal that tells of what is over


def test_what_the_destination_has_finished_is_finished_when_the_source_is_gone(
    crossing, hosts, daemons
):
    """The source was told that the guest runs there, and its daemon was killed before it wrote that down."""
    moving = crossing(dirty={"mib": 16, "pattern": "mixed", "rate_mib": 1})
    hosts.shape(None)
    code, last = moving.run(daemons[0], "--mode", "precopy")
    assert code == 0
    assert daemons[0].stop() == 0
    moving.source.kill()
    write_journal(hosts.a, id=last["id"], vm=moving.name, quit_source=False)

    daemons[0].start()
    last = wait_for_end(daemons[0])

    assert (last["phase"], last["guest"]) == ("completed", "destination")
    assert journal(hosts.a) == []
    assert moving.destination.status == "running"


def test_guest_that_arrived_stopped_is_told_so_though_the_source_was_killed_before_it_heard_that(
    crossing, hosts, daemons
):
    moving = crossing(dirty={"mib": 16, "pattern": "mixed", "rate_mib": 1})
    follower = precopy_under_way(moving, daemons[0], "--mode", "precopy")
    moving.source.qmp("stop")
    (file,) = journal(hosts.a)
    wait_until(lambda: json.loads(file.read_text())["halted"], "the journal knows that it is stopped")
    hosts.shape(None)
    code, last = follower.finish()
    assert (code, moving.destination.status) == (0, "paused")
    told = last["advice"]
    daemons[0].kill()
    write_journal(hosts.a, id=last["id"], vm=moving.name, quit_source=False, halted=True)

    daemons[0].start()
    last = wait_for_end(daemons[0])

    assert (last["phase"], last["guest"]) == ("completed", "destination")
    assert "'cont' in the QMP there starts it" in last["advice"] and last["advice"] == told
    assert moving.destination.status == "paused"
    assert journal(hosts.a) == []


def test_guest_that_came_here_and_was_not_moved_yet_is_not_taken_for_one_that_left(
    guest, hosts, daemons
):
    """A QEMU that has taken a guest in says 'completed' until it begins a migration of its own."""
    arrived = Crossing(guest, hosts.b, hosts.a, dirty={"mib": 16, "pattern": "mixed"}).wait_running()
    assert arrived.run(daemons[1], "--mode", "postcopy")[0] == 0
    arrived.source.kill()
    waiting = guest(arrived.name, hosts.b, memory_mib=128, incoming=True)
    waiting.qmp("query-status")
    assert daemons[0].stop() == 0
    write_journal(hosts.a, id="0badf00d", vm=arrived.name, quit_source=True)

    daemons[0].start()
    last = wait_for_end(daemons[0])

    assert (last["phase"], last["guest"]) == ("failed", "source")
    assert arrived.destination.status == "running"
    assert arrived.destination.verdict()["corrupt"] == 0
    assert waiting.status == "inmigrate"
