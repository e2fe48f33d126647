"""What a bare QEMU has beside its main stream: parallel streams, one for preempted pages, disks."""

import hashlib
import os
import signal
import time

import pytest
from crossing import (
    CALM, ENDLESS, MIB, break_connections, capabilities, journal, postcopy_under_way, wait_for_bytes_in_flight,
    wait_for_end, wait_for_waiting,
)  # fmt: skip

from lab.qmp import QmpError
from lab.wait import wait_until

DAEMONS = {"resume_deadline": "3s"}
IMAGE_MIB = 16
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


def test_destination_that_listens_in_vain_is_ended(crossing, hosts, daemons):
    """Nothing has come to it, and QEMU knows no way to wait no more."""
    moving = crossing(dirty=CALM, rate=None)
    before = capabilities(moving.source)
    os.kill(moving.destination.pid, signal.SIGSTOP)  # `prepare` waits for it
    follower = moving.begin(daemons[0], "--mode", "precopy", "--parallel", "2")
    wait_until(daemons[1].migrations, "asked to prepare")
    os.kill(moving.source.pid, signal.SIGSTOP)
    os.kill(moving.destination.pid, signal.SIGCONT)
    wait_until(lambda: journal(hosts.b), "the destination is prepared")
    os.kill(moving.destination.pid, signal.SIGSTOP)  # `start` waits for it
    os.kill(moving.source.pid, signal.SIGCONT)
    wait_until(lambda: list(hosts.a.run_directory.glob("m/*/disks.sock")), "the source listens")
    next(hosts.a.run_directory.glob("m/*/migrate.sock")).unlink()
    os.kill(moving.destination.pid, signal.SIGCONT)
    code, last = follower.finish()

    assert (code, last["phase"], last["guest"]) == (7, "failed", "source")
    assert moving.destination.wait_for_exit(timeout=20) == 0
    assert wait_for_end(daemons[1])["guest"] == "source"
    assert capabilities(moving.source) == before
    moving.assert_stayed()


def test_parallel_streams_that_would_lose_the_guest_in_postcopy_are_refused(crossing, daemons):
    moving = crossing(dirty=CALM)
    before = [capabilities(x) for x in (moving.source, moving.destination)]

    result = daemons[0].culvert("migrate", "vm", "hostb", "--parallel", "2")

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


def test_pages_that_the_guest_waits_for_have_a_stream_of_their_own(crossing, daemons):
    """In post-copy from the start: the tests of what is lost, below."""
    moving = crossing(rate="200mbit")

    code, last = moving.run(daemons[0], "--preempt")

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


# Disks


def image(host, disk):
    return host.directory / f"{disk}.img"


def disk_arguments(host, disks=DISKS):
    words = []
    for disk in disks:
        words += ["-drive", f"if=none,id={disk},format=raw,file={image(host, disk)}",
                  "-device", f"virtio-blk-pci,drive={disk}"]  # fmt: skip
    return words


def make_images(hosts, mib_there):
    """Full of noise here, and empty there"""
    for disk in DISKS:
        image(hosts.a, disk).write_bytes(os.urandom(IMAGE_MIB * MIB))
        with open(image(hosts.b, disk), "wb") as there:
            there.truncate(mib_there * MIB)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def with_disks(crossing, hosts):
    """with_disks(rate, **options of Crossing): a guest with two disks, and as many where it may go"""

    def start(rate, there=DISKS, mib_there=IMAGE_MIB, host_there=None, **options):
        make_images(hosts, mib_there)
        return crossing(
            rate=rate,
            source_options={"arguments": disk_arguments(hosts.a)},
            arguments=disk_arguments(host_there or hosts.b, there),
            **options,
        )

    return start


def write(machine, disk, at_mib, byte):
    """A MiB of the guest's disk, by the device of the running guest"""
    answer = machine.qmp("human-monitor-command", command_line=f'qemu-io {disk} "write -P {byte} {at_mib}M 1M"')
    assert answer.strip() == ""


def block_state(machine):
    """All that a copy of disks could leave behind"""
    jobs = machine.qmp("query-jobs") + machine.qmp("query-block-jobs")
    nodes = [x["node-name"] for x in machine.qmp("query-named-block-nodes", flat=True)]
    return jobs, sorted(nodes), machine.qmp("query-block-exports"), capabilities(machine)


def serves_disks(machine):
    """NBD refuses a second server: that shows the first."""
    try:
        machine.qmp("nbd-server-stop")
    except QmpError:
        return False
    return True


def copying(moving, daemon, *options):
    follower = moving.begin(daemon, "--disks", *options)
    follower.wait_for("disks")
    wait_until(lambda: follower.seen[-1]["disk_copied_bytes"] > MIB, "disks being copied")
    return follower


def assert_same_images(moving, hosts):
    for machine in (moving.source, moving.destination):
        machine.kill()
    for disk in DISKS:
        assert digest(image(hosts.a, disk)) == digest(image(hosts.b, disk))


@pytest.mark.parametrize("mode", ["precopy", "postcopy"])
def test_disks_move_with_what_is_written_meanwhile(with_disks, hosts, daemons, mode):
    moving = with_disks("200mbit", dirty=CALM)
    nodes = block_state(moving.source)[1]
    before = [digest(image(hosts.a, disk)) for disk in DISKS]

    follower = copying(moving, daemons[0], "--mode", mode)
    for disk in DISKS:
        write(moving.source, disk, at_mib=1, byte=90)
        write(moving.source, disk, at_mib=IMAGE_MIB - 1, byte=120)
    follower.wait_for("precopy")
    for disk in DISKS:
        write(moving.source, disk, at_mib=5, byte=33)
    code, last = follower.finish()

    assert (code, last["phase"]) == (0, "completed"), daemons[0].log_text()
    assert last["disk_copied_bytes"] >= 2 * IMAGE_MIB * MIB
    assert ("postcopy" in {x["phase"] for x in follower.seen}) == (mode == "postcopy")
    assert block_state(moving.source)[:3] == ([], nodes, [])
    assert block_state(moving.destination)[2] == [] and not serves_disks(moving.destination)
    moving.assert_arrived()
    assert all(digest(image(hosts.a, disk)) != old for disk, old in zip(DISKS, before))
    assert_same_images(moving, hosts)


def test_disks_go_with_preempt_in_hybrid_mode(with_disks, hosts, daemons):
    moving = with_disks("400mbit")

    code, last = moving.run(daemons[0], "--disks", "--preempt")

    assert (code, last["phase"]) == (0, "completed"), daemons[0].log_text()
    assert streams(daemons[1]) == 2 + len(DISKS)
    moving.assert_arrived()
    assert_same_images(moving, hosts)


def test_a_migration_that_is_cancelled_while_disks_are_copied_leaves_all_as_it_was(
    with_disks, hosts, daemons
):
    moving = with_disks("50mbit", dirty=CALM)
    machines = (moving.source, moving.destination)
    before = [block_state(x) for x in machines]
    follower = copying(moving, daemons[0])

    daemons[0].culvert("cancel", "vm", check=True)

    code, last = follower.finish()
    assert (code, last["phase"], last["guest"]) == (8, "cancelled", "source")
    wait_until(lambda: [block_state(x) for x in machines] == before, "as before", 10)
    assert not serves_disks(moving.destination)
    moving.assert_stayed()
    # And once more, with the same QEMU there
    hosts.shape(None)
    assert moving.run(daemons[0], "--disks")[0] == 0, daemons[0].log_text()
    moving.assert_arrived()
    assert_same_images(moving, hosts)


@pytest.mark.parametrize("killed", [0, 1], ids=["source", "destination"])
def test_a_culvertd_that_is_killed_while_disks_are_copied_leaves_none_of_it(with_disks, daemons, killed):
    moving = with_disks("50mbit", dirty=CALM)
    machines = (moving.source, moving.destination)
    before = [block_state(x) for x in machines]
    copying(moving, daemons[0])

    daemons[killed].kill()
    daemons[killed].start()

    last = wait_for_end(daemons[0])
    assert (last["phase"], last["guest"]) == ("failed", "source")
    wait_until(lambda: [block_state(x) for x in machines] == before, "as before", 20)
    assert not serves_disks(moving.destination)
    moving.assert_stayed()


def test_connections_cut_while_disks_are_copied_are_hidden(with_disks, hosts, daemons):
    moving = with_disks("100mbit", dirty=CALM)
    follower = copying(moving, daemons[0], "--mode", "precopy")

    for _ in range(3):
        follower.wait_for_bytes(4 * MIB)
        break_connections(hosts.a)
    hosts.shape(None)
    code, last = follower.finish()

    assert (code, last["phase"]) == (0, "completed"), daemons[0].log_text()
    assert last["links_lost"] >= 3
    moving.assert_arrived()
    assert_same_images(moving, hosts)


def test_network_gone_past_the_deadline_while_disks_are_copied_keeps_the_guest_here(
    with_disks, hosts, daemons
):
    moving = with_disks("50mbit", dirty=CALM)
    machines = (moving.source, moving.destination)
    before = [block_state(x) for x in machines]
    follower = copying(moving, daemons[0])

    hosts.cut()
    code, last = follower.finish()
    hosts.mend()

    assert (code, last["phase"], last["guest"]) == (4, "failed", "source")
    wait_until(lambda: [block_state(x) for x in machines] == before, "as before", 20)
    moving.assert_stayed()


def test_destination_that_ends_while_disks_are_copied_keeps_the_guest_here(with_disks, daemons):
    moving = with_disks("50mbit", dirty=CALM)
    before = block_state(moving.source)
    follower = copying(moving, daemons[0])

    moving.destination.kill()
    code, last = follower.finish()

    assert (code, last["phase"], last["guest"]) == (7, "failed", "source")
    assert "copy of a disk failed" in follower.error_text
    assert block_state(moving.source) == before
    moving.assert_stayed()


def test_a_copy_that_fails_while_memory_moves_keeps_the_guest_here(with_disks, hosts, daemons):
    moving = with_disks("200mbit", dirty=ENDLESS)
    before = block_state(moving.source)
    follower = copying(moving, daemons[0], "--mode", "precopy")
    follower.wait_for("precopy")
    follower.wait_for_bytes(4 * MIB)

    moving.destination.qmp("nbd-server-stop")
    write(moving.source, "disk0", at_mib=1, byte=90)
    code, last = follower.finish()

    assert (code, last["phase"], last["guest"]) == (7, "failed", "source")
    assert "copy of a disk failed" in follower.error_text
    assert block_state(moving.source) == before
    moving.assert_stayed()
    assert moving.destination.wait_for_exit(timeout=20) == 1


def test_a_copy_that_fails_in_the_moment_of_the_switch_keeps_the_guest_here(with_disks, daemons):
    """QEMU has stopped the guest by then, and would leave it so."""
    moving = with_disks("50mbit", dirty=ENDLESS)
    before = block_state(moving.source)
    follower = moving.begin(daemons[0], "--disks", "--switch", "after:10m")
    follower.wait_for("precopy")

    # What is under way to the disk there keeps the source's QEMU in the middle of stopping the guest.
    os.kill(moving.destination.pid, signal.SIGSTOP)
    write(moving.source, "disk0", at_mib=1, byte=90)
    daemons[0].culvert("switch", "vm", check=True)
    follower.wait_for("postcopy")
    time.sleep(0.5)
    moving.destination.kill()
    code, last = follower.finish()

    assert (code, last["phase"], last["guest"]) == (7, "failed", "source")
    assert "copy of a disk failed" in follower.error_text and not last["advice"]
    assert block_state(moving.source) == before
    moving.assert_stayed()


@pytest.mark.parametrize("wrong", ["missing", "small", "busy", "shared"])
def test_disks_that_do_not_fit_are_refused_beforehand(with_disks, hosts, daemons, wrong):
    there = {"missing": {"there": DISKS[:1]}, "small": {"mib_there": 1}, "busy": {},
             "shared": {"host_there": hosts.a}}  # fmt: skip
    moving = with_disks(None, dirty=CALM, **there[wrong])
    if wrong == "busy":
        moving.destination.qmp("nbd-server-start", addr={
            "type": "unix", "data": {"path": str(hosts.b.directory / "nbd.sock")}})  # fmt: skip
    before = [block_state(x) for x in (moving.source, moving.destination)]

    result = daemons[0].culvert("migrate", "vm", "hostb", "--disks")

    said = {"missing": "no disk 'disk1'", "small": "disk 'disk0' has", "busy": "cannot serve",
            "shared": "lock"}  # fmt: skip
    assert result.returncode == 7 and said[wrong] in result.stderr, result.stderr
    assert [block_state(x) for x in (moving.source, moving.destination)] == before
    moving.assert_stayed()


def test_a_guest_without_disks_is_told(crossing, daemons):
    moving = crossing(dirty=CALM)

    result = daemons[0].culvert("migrate", "vm", "hostb", "--disks")

    assert result.returncode == 7 and "without --disks" in result.stderr
    assert daemons[1].migrations() == []
