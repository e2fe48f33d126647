"""A domain's migration whose culvertd was killed is taken up again, and both hosts list it. docs/OPERATIONS.md says
what is promised."""

import json
import os
import signal
import time

from crossing import MIB, break_connections, only, wait_for_end
from domains import (  # noqa: F401  (fixtures)
    BUSY,
    CALM,
    assert_arrived,
    authority,
    begin,
    daemons,
    hosts,
    libvirt_hosts,
    nothing_left,
)

from lab.wait import wait_until

# A migration lasts long enough to be disturbed.
VERY_SLOW = "80mbit"


def journal(host):
    return sorted(host.outside("/run/culvert/migrations").glob("*.json"))


def under_way(hosts, daemons, kernel, mode):
    """The domain, and `culvert migrate`, with megabytes on the other host"""
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(VERY_SLOW)
    process = daemons[0].spawn_culvert("migrate", "web1", "hostb", "--mode", mode)

    def moves():
        assert process.poll() is None, process.stderr.read()
        listed = daemons[0].migrations()
        return listed and listed[0]["phase"] == mode and listed[0]["tunnel_to_peer_bytes"] > 4 * MIB

    wait_until(moves, mode, timeout=60)
    # Right after the switch QEMU's monitor often waits for a page, and libvirt with it.
    enough = only(daemons[0])["tunnel_to_peer_bytes"] + (12 * MIB if mode == "postcopy" else 0)
    wait_until(lambda: only(daemons[0])["tunnel_to_peer_bytes"] >= enough, "well under way")
    return domain, process


def restart(daemon):
    daemon.kill()
    daemon.start()


def assert_recovered(domain, hosts, daemons):
    hosts.shape(None)
    last = wait_for_end(daemons[0], timeout=120)
    assert (last["phase"], last["guest"]) == ("completed", "destination"), last
    wait_until(lambda: only(daemons[1])["ended"], "the destination is told", 10)
    assert (only(daemons[1])["phase"], only(daemons[1])["guest"]) == ("completed", "destination")
    assert journal(hosts.a) == []
    assert_arrived(domain, hosts)
    wait_until(lambda: nothing_left(hosts), "directories to go", timeout=10)


def test_source_killed_in_precopy_keeps_the_guest_and_frees_the_destination(hosts, daemons, kernel):
    domain, process = under_way(hosts, daemons, kernel, "precopy")
    (file,) = journal(hosts.a)
    assert json.loads(file.read_text())["vm"] == "web1"

    restart(daemons[0])
    assert process.wait(timeout=20) != 0
    last = wait_for_end(daemons[0])

    assert (last["phase"], last["guest"]) == ("failed", "source")
    assert "culvertd was killed" in last["error"]["desc"]
    assert "event=migration.restored" in daemons[0].log_text()
    assert journal(hosts.a) == []
    # What has come does not wait as for a lost connection.
    wait_until(lambda: domain.state_on(hosts.b) == "", "nothing of it there", timeout=20)
    wait_until(lambda: only(daemons[1])["ended"], "the destination is told", 10)
    assert (only(daemons[1])["phase"], only(daemons[1])["guest"]) == ("failed", "source")
    assert domain.state_on(hosts.a).startswith("running")
    domain.wait_until_alive()
    assert domain.verdict()["corrupt"] == 0
    # libvirt has given the domain back.
    hosts.shape(None)
    result = daemons[0].culvert("migrate", "web1", "hostb")
    assert result.returncode == 0, result.stderr + daemons[0].log_text()
    assert_arrived(domain, hosts)


def test_it_is_taken_up_before_libvirt_is_there(hosts, daemons, kernel):
    domain, _ = under_way(hosts, daemons, kernel, "precopy")
    before = daemons[0].log_text().count("event=ready")

    daemons[0].kill()
    hosts.a.stop_libvirt(signal.SIGKILL)
    daemons[0].start()
    wait_until(lambda: "libvirt" in (only(daemons[0])["waiting"] or ""), "waiting for it", 20)
    time.sleep(2)  # and it goes on asking
    assert not only(daemons[0])["ended"]
    hosts.a.start_libvirt()
    last = wait_for_end(daemons[0], timeout=60)

    assert (last["phase"], last["guest"]) == ("failed", "source")
    assert daemons[0].log_text().count("event=ready") == before + 1
    assert domain.state_on(hosts.a).startswith("running")
    domain.wait_until_alive()
    assert domain.verdict()["corrupt"] == 0


def test_source_killed_in_postcopy_goes_on(hosts, daemons, kernel):
    domain, _ = under_way(hosts, daemons, kernel, "postcopy")

    restart(daemons[0])
    (migration,) = daemons[0].migrations()
    assert migration["vm"] == "web1" and not migration["ended"]

    assert_recovered(domain, hosts, daemons)


def test_recovery_waits_for_a_monitor_that_does_not_answer_and_says_so(hosts, daemons, kernel):
    domain, _ = under_way(hosts, daemons, kernel, "postcopy")
    qemu = int(hosts.b.outside("/run/libvirt/qemu/web1.pid").read_text())
    os.kill(qemu, signal.SIGSTOP)
    try:
        restart(daemons[0])
        waiting = wait_until(lambda: only(daemons[0])["waiting"], "waiting", 20)
        assert (only(daemons[0])["phase"], only(daemons[0])["guest"]) == ("paused", "destination")
        assert "keep the domain on both hosts" in waiting
        assert len(journal(hosts.a)) == 1
    finally:
        os.kill(qemu, signal.SIGCONT)

    assert_recovered(domain, hosts, daemons)


def test_destination_killed_in_postcopy_goes_on_and_is_listed_there_again(hosts, daemons, kernel):
    domain, process = under_way(hosts, daemons, kernel, "postcopy")

    restart(daemons[1])

    assert_recovered(domain, hosts, daemons)
    assert process.wait(timeout=20) == 0, process.stderr.read()


def test_both_hosts_list_it_with_the_figures_of_its_streams(hosts, daemons, kernel):
    domain, process = under_way(hosts, daemons, kernel, "postcopy")

    outgoing = only(daemons[0])
    incoming = wait_until(
        lambda: next((x for x in daemons[1].migrations() if x["phase"] == "postcopy"), None), "told"
    )
    assert (outgoing["direction"], incoming["direction"]) == ("outgoing", "incoming")
    assert outgoing["id"] == incoming["id"]
    assert (incoming["vm"], incoming["host"], incoming["mode"]) == ("web1", "hosta", "postcopy")
    assert incoming["guest"] == "destination"
    assert incoming["tunnel_to_local_bytes"] > MIB
    assert outgoing["tunnel_to_local_bytes"] > 0
    assert outgoing["resume_deadline_ms"] == incoming["resume_deadline_ms"] == 0  # it waits on
    break_connections(hosts.a)
    for daemon in daemons:
        wait_until(lambda: only(daemon)["links_lost"] > 0, f"{daemon.host.name}: lost", 10)
    hosts.shape(None)
    assert process.wait(timeout=60) == 0, process.stderr.read()

    assert_arrived(domain, hosts)
    assert only(daemons[0])["tunnel_to_peer_bytes"] > 32 * MIB
    wait_until(lambda: only(daemons[1])["phase"] == "completed", "the destination is told", 10)


def test_what_cannot_be_written_down_is_not_begun(hosts, daemons, kernel):
    domain = begin(hosts, kernel, CALM)
    in_the_way = hosts.a.outside("/run/culvert/migrations")
    if in_the_way.exists():
        in_the_way.rmdir()
    in_the_way.write_text("in the way\n")
    try:
        result = daemons[0].culvert("migrate", "web1", "hostb")
    finally:
        in_the_way.unlink()

    assert result.returncode == 3, result.stderr
    assert "migrations" in result.stderr
    assert domain.state_on(hosts.a).startswith("running")
    assert domain.state_on(hosts.b) == ""
