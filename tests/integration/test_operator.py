"""What an operator asks of a migration that runs."""

import json
import signal

from crossing import CALM, capabilities, postcopy_under_way, precopy_under_way

from lab.wait import wait_until


def test_cancelled_precopy_leaves_the_guest_free_to_move_later(crossing, guest, hosts, daemons):
    moving = crossing()
    before = capabilities(moving.source)
    follower = precopy_under_way(moving, daemons[0])

    assert daemons[0].culvert("cancel", "vm").returncode == 0
    code, last = follower.finish(timeout=20)

    assert (code, last["phase"], last["guest"]) == (8, "cancelled", "source")
    moving.assert_stayed()
    assert capabilities(moving.source) == before
    assert moving.destination.wait_for_exit() == 1
    hosts.shape(None)
    moving.destination = guest("vm", hosts.b, memory_mib=128, incoming=True)
    moving.destination.qmp("query-status")
    assert moving.run(daemons[0])[0] == 0
    moving.assert_arrived()


def test_cancel_is_refused_in_postcopy_and_says_why(crossing, hosts, daemons):
    moving = crossing()
    follower = postcopy_under_way(moving, daemons[0])

    refused = daemons[0].culvert("cancel", "vm")

    assert refused.returncode == 2
    assert "cannot be cancelled: post-copy has begun" in refused.stderr
    hosts.shape(None)
    assert follower.finish()[0] == 0
    moving.assert_arrived()


def test_switch_makes_a_hybrid_switch_at_once(crossing, hosts, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0], "--switch", "after:1h")

    assert daemons[0].culvert("switch", "vm").returncode == 0
    switched = follower.wait_for("postcopy", timeout=20)

    assert switched["ram_remaining_bytes"] > 0
    hosts.shape(None)
    assert follower.finish()[0] == 0
    moving.assert_arrived()


def test_switch_is_refused_in_mode_precopy(crossing, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0], "--mode", "precopy")

    refused = daemons[0].culvert("switch", "vm")

    assert refused.returncode == 2
    assert "mode precopy" in refused.stderr
    assert daemons[0].migrations()[0]["phase"] == "precopy", "and it goes on"
    daemons[0].culvert("cancel", "vm", check=True)
    follower.finish()


def test_second_migration_of_a_guest_is_refused_while_the_first_runs(crossing, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0])

    refused = daemons[0].culvert("migrate", "vm", "hostb")

    assert refused.returncode == 2
    assert "is being migrated already (to hostb" in refused.stderr
    assert not follower.seen[-1]["ended"]
    daemons[0].culvert("cancel", "vm", check=True)
    follower.finish()
    moving.assert_stayed()


def test_quit_source_ends_the_source_once_the_guest_runs_at_the_destination(crossing, daemons):
    moving = crossing(dirty=CALM, rate=None)

    code, last = moving.run(daemons[0], "--quit-source")

    assert (code, last["phase"]) == (0, "completed")
    assert moving.source.wait_for_exit(timeout=20) == 0
    moving.destination.wait_until_alive()
    assert moving.destination.verdict()["corrupt"] == 0


def test_quit_source_leaves_the_source_alone_when_the_migration_fails(crossing, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0], "--quit-source")

    moving.destination.kill()

    assert follower.finish(timeout=20)[0] == 7
    moving.assert_stayed()


def test_ctrl_c_leaves_the_migration_to_itself_and_watch_sees_its_end(crossing, hosts, daemons):
    moving = crossing()
    command = daemons[0].spawn_culvert("migrate", "vm", "hostb")
    wait_until(lambda: [x for x in daemons[0].migrations() if x["phase"] == "precopy"], "begun")

    command.send_signal(signal.SIGINT)
    _, error_text = command.communicate(timeout=20)

    assert command.returncode == 10
    assert "watch it: culvert" in error_text and "cancel it: culvert" in error_text
    hosts.shape(None)
    watched = daemons[0].culvert("watch", "vm")
    assert watched.returncode == 0, watched.stderr
    assert "vm now runs on hostb" in watched.stdout
    moving.assert_arrived()


def test_both_hosts_list_the_migration(crossing, hosts, daemons):
    moving = crossing()
    follower = precopy_under_way(moving, daemons[0])

    (outgoing,) = daemons[0].migrations()
    (incoming,) = daemons[1].migrations()

    assert (outgoing["direction"], outgoing["host"]) == ("outgoing", "hostb")
    assert (incoming["direction"], incoming["host"]) == ("incoming", "hosta")
    assert outgoing["id"] == incoming["id"] == follower.seen[0]["id"]
    assert outgoing["ram_transferred_bytes"] > 0
    hosts.shape(None)
    follower.finish()
    (outgoing,) = daemons[0].migrations()
    (incoming,) = daemons[1].migrations()
    assert (outgoing["phase"], incoming["phase"]) == ("completed", "completed")


def test_last_object_of_json_is_the_only_one_that_says_ended(crossing, daemons):
    moving = crossing(dirty=CALM, rate=None)

    follower = moving.begin(daemons[0])
    follower.finish()

    assert [x["ended"] for x in follower.seen] == [False] * (len(follower.seen) - 1) + [True]
    assert len({json.dumps(x["id"]) for x in follower.seen}) == 1
