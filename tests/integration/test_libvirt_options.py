"""What only libvirt can be asked for: `culvert migrate` with disks, parallel streams and the rest."""

import hashlib
import os
import time

import pytest
from crossing import Follower
from domains import (  # noqa: F401  (fixtures)
    BUSY,
    SLOW,
    assert_arrived,
    authority,
    begin,
    daemons,
    hosts,
    libvirt_hosts,
    nothing_left,
    tcp_ports,
)

from lab.libvirt import TCP_PORT
from lab.machine import Machine
from lab.wait import wait_until

MIB = 1 << 20
MBIT = 125_000
IMAGES = ["/var/lib/libvirt/images/web1-a", "/var/lib/libvirt/images/web1-b"]


def migrate(daemons, *options):
    return daemons[0].culvert("migrate", "web1", "hostb", *options)


def under_way(daemons, *options):
    return Follower(daemons[0].spawn_culvert("migrate", "web1", "hostb", "--json", *options))


def succeed(daemons, *options):
    result = migrate(daemons, *options)
    assert result.returncode == 0, result.stderr + daemons[0].log_text()


def assert_stayed(domain, hosts):
    assert domain.state_on(hosts.a).startswith("running")
    assert domain.state_on(hosts.b) == ""
    domain.wait_until_alive()
    assert nothing_left(hosts)


def defined_on(host):
    return "web1" in host.virsh("list", "--all", "--persistent", "--name").stdout.split()


def test_it_is_defined_there_and_forgotten_here(hosts, daemons, kernel):
    domain = begin(hosts, kernel, persistent=True)
    assert defined_on(hosts.a)

    succeed(daemons, "--persistent", "--undefine-source")

    assert_arrived(domain, hosts)
    assert defined_on(hosts.b)
    assert not defined_on(hosts.a)


def test_unasked_it_stays_defined_here_only(hosts, daemons, kernel):
    domain = begin(hosts, kernel, persistent=True)

    succeed(daemons)

    assert domain.state_on(hosts.a).startswith("shut off")
    assert domain.state_on(hosts.b).startswith("running")
    assert defined_on(hosts.a)
    assert not defined_on(hosts.b)


def make_images(hosts, mib=24):
    """Full of noise here, and empty there"""
    for image in IMAGES:
        hosts.a.outside(image).write_bytes(os.urandom(mib * MIB))
        with open(hosts.b.outside(image), "wb") as there:
            there.truncate(mib * MIB)


def write(host, disk, at_mib, byte):
    """A MiB of the guest's disk, by the device of the running guest"""
    device = f"/machine/peripheral/virtio-disk{disk}/virtio-backend"
    answer = host.virsh("qemu-monitor-command", "web1", "--hmp",
                        f'qemu-io -d {device} "write -P {byte} {at_mib}M 1M"')  # fmt: skip
    assert answer.stdout.strip() == ""  # What it has to say it says on QEMU's own output.


def digest(host, image):
    return hashlib.sha256(host.outside(image).read_bytes()).hexdigest()


def assert_same_images(hosts):
    for host in hosts:
        host.destroy_domains()
    for image in IMAGES:
        assert digest(hosts.a, image) == digest(hosts.b, image)


@pytest.mark.parametrize("mode", ["precopy", "postcopy", "hybrid"])
def test_disks_move_with_what_is_written_meanwhile(hosts, daemons, kernel, mode):
    make_images(hosts)
    domain = begin(hosts, kernel, disks=IMAGES)
    before = [digest(hosts.a, image) for image in IMAGES]
    hosts.shape(SLOW)

    follower = under_way(daemons, "--mode", mode, "--copy-storage", "all")
    follower.wait_for("precopy")
    wait_until(lambda: hosts.a.monitor("web1", "query-block-jobs"), "disks being copied")
    for disk in (0, 1):
        write(hosts.a, disk, at_mib=disk, byte=90 + disk)
        write(hosts.a, disk, at_mib=23, byte=120 + disk)
    ports = tcp_ports(hosts)
    code, last = follower.finish()

    assert code == 0, follower.error_text + daemons[0].log_text()
    assert last["phase"] == "completed"
    assert (mode == "postcopy") <= any(x["phase"] == "postcopy" for x in follower.seen)
    assert max(x["disk_copied_bytes"] for x in follower.seen) > 0
    assert ports == {TCP_PORT, 16520}
    assert_arrived(domain, hosts)
    assert_same_images(hosts)
    assert all(digest(hosts.a, image) != old for image, old in zip(IMAGES, before))


def test_only_the_topmost_images_are_copied(hosts, daemons, kernel):
    """The base there differs where nothing was written since: it would be overwritten if it were copied."""
    base, disk = (f"/var/lib/libvirt/images/{name}" for name in ("base", "top"))
    for host, byte in zip(hosts, (b"a", b"b")):
        host.outside(base).write_bytes(byte * (16 * MIB))
        host.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, disk)
    hosts.a.run("qemu-io", "-c", "write -q -P 99 4M 8M", disk)
    domain = begin(hosts, kernel, disks=[disk], format="qcow2")

    succeed(daemons, "--mode", "precopy", "--copy-storage", "inc")

    assert_arrived(domain, hosts)
    hosts.b.destroy_domains()
    content = hosts.b.run("qemu-img", "dd", "-O", "raw", f"if={disk}", "of=/run/top.raw", "bs=1M")
    assert content.returncode == 0
    expected = b"b" * (4 * MIB) + b"\x63" * (8 * MIB) + b"b" * (4 * MIB)
    assert hosts.b.outside("/run/top.raw").read_bytes() == expected


def test_disks_that_are_not_there_keep_the_guest_here(hosts, daemons, kernel):
    make_images(hosts)
    domain = begin(hosts, kernel, disks=IMAGES)
    hosts.b.outside(IMAGES[1]).unlink()

    result = migrate(daemons, "--copy-storage", "inc")

    assert result.returncode == 7, result.stderr
    assert_stayed(domain, hosts)


def test_a_migration_is_cancelled_while_disks_are_copied(hosts, daemons, kernel):
    make_images(hosts)
    domain = begin(hosts, kernel, disks=IMAGES)
    hosts.shape("50mbit")
    before = daemons[0].log_text().count("migration.switch_failed")
    follower = under_way(daemons, "--mode", "postcopy", "--copy-storage", "all")
    wait_until(lambda: hosts.a.monitor("web1", "query-block-jobs"), "disks being copied")

    assert daemons[0].culvert("cancel", "web1").returncode == 0

    code, last = follower.finish()
    assert code == 8, follower.error_text
    assert last["phase"] == "cancelled"
    assert hosts.a.monitor("web1", "query-block-jobs") == []
    hosts.shape(None)
    assert_stayed(domain, hosts)
    assert daemons[0].log_text().count("migration.switch_failed") == before


def streams(daemon):
    """How many this host has ever taken of hypervisors"""
    opened = (x for x in daemon.log_lines() if "event=channel.open " in x)
    return sum("service=rendezvous accepted" in x for x in opened)


def test_memory_goes_in_parallel_streams(hosts, daemons, kernel):
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(SLOW)
    before = streams(daemons[1])

    follower = under_way(daemons, "--mode", "precopy", "--parallel", "3")
    wait_until(
        lambda: hosts.a.monitor("web1", "query-migrate").get("ram", {}).get("multifd-bytes", 0) > 8 * MIB,
        "memory in parallel streams",
    )  # fmt: skip
    assert hosts.a.monitor("web1", "query-migrate-parameters")["multifd-channels"] == 3
    opened = streams(daemons[1]) - before
    hosts.shape(None)
    code, _ = follower.finish()

    assert code == 0, follower.error_text + daemons[0].log_text()
    assert opened == 1 + 3
    assert_arrived(domain, hosts)


@pytest.mark.parametrize("mode", [(), ("--mode", "postcopy"), ("--mode", "hybrid")])
def test_parallel_streams_with_postcopy_are_refused(hosts, daemons, kernel, mode):
    domain = begin(hosts, kernel)

    result = migrate(daemons, "--parallel", "2", *mode)

    assert result.returncode == 2
    assert "below 10.1" in result.stderr
    assert "--mode precopy" in result.stderr
    assert daemons[0].migrations() == []
    assert_stayed(domain, hosts)


def test_pages_that_are_sent_again_are_compressed(hosts, daemons, kernel):
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(SLOW)

    follower = under_way(daemons, "--mode", "precopy", "--compressed")
    wait_until(
        lambda: hosts.a.monitor("web1", "query-migrate").get("xbzrle-cache", {}).get("pages", 0) > 0,
        "compressed pages",
    )  # fmt: skip
    hosts.shape(None)
    code, _ = follower.finish()

    assert code == 0, follower.error_text + daemons[0].log_text()
    assert_arrived(domain, hosts)


def test_a_guest_that_dirties_too_fast_is_slowed_down(hosts, daemons, kernel):
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(SLOW)

    follower = under_way(daemons, "--mode", "precopy", "--auto-converge")
    wait_until(
        lambda: hosts.a.monitor("web1", "query-migrate").get("cpu-throttle-percentage", 0) > 0,
        "a guest that is slowed down",
    )  # fmt: skip
    hosts.shape(None)
    code, _ = follower.finish()

    assert code == 0, follower.error_text + daemons[0].log_text()
    assert_arrived(domain, hosts)


def rate(daemon, seconds=3):
    before, begun = daemon.migrations()[0], time.monotonic()
    time.sleep(seconds)
    after, passed = daemon.migrations()[0], time.monotonic() - begun
    return (after["ram_transferred_bytes"] - before["ram_transferred_bytes"]) / passed


def test_a_limit_is_kept_and_changed(hosts, daemons, kernel):
    begin(hosts, kernel, BUSY)
    follower = under_way(daemons, "--mode", "precopy", "--bandwidth", "32Mbit")
    follower.wait_for("precopy")
    wait_until(lambda: follower.seen[-1]["ram_transferred_bytes"] > MIB, "memory under way")

    slow = rate(daemons[0])
    assert daemons[0].culvert("limit", "web1", "128Mbit").returncode == 0
    time.sleep(1)
    fast = rate(daemons[0])
    assert daemons[0].culvert("cancel", "web1").returncode == 0
    follower.finish()

    assert 0.5 * 32 * MBIT < slow < 1.1 * 32 * MBIT
    assert fast > 2 * slow
    assert fast < 1.1 * 128 * MBIT


def test_another_libvirt_is_named(hosts, daemons, kernel):
    domain = begin(hosts, kernel)
    usual = hosts.a.outside("/run/libvirt/libvirt-sock")
    moved = usual.with_name("moved-sock")
    usual.rename(moved)
    try:
        refused = migrate(daemons, "--persistent")
        done = migrate(
            daemons, "--connect", "qemu+unix:///system?socket=/run/libvirt/moved-sock",
            "--mode", "precopy",
        )  # fmt: skip
    finally:
        moved.rename(usual)

    assert refused.returncode == 3
    assert "cannot reach libvirt" in refused.stderr
    assert done.returncode == 0, done.stderr + daemons[0].log_text()
    assert_arrived(domain, hosts)


def test_a_libvirt_elsewhere_or_with_a_program_is_refused(hosts, daemons):
    for uri in (
        "qemu+ssh://hostb/system",
        "qemu+ext:///system?command=/bin/sh",
        "qemu+unix:///system?socket=/run/libvirt/libvirt-sock&command=/bin/sh",
        "qemu+tcp://hostb/system",
        "test:///default",
    ):
        result = migrate(daemons, "--connect", uri)
        assert result.returncode == 2, uri
        assert "not a libvirt of this host" in result.stderr
    assert daemons[0].migrations() == []


def test_a_domain_that_libvirt_does_not_have_is_refused(hosts, daemons):
    result = migrate(daemons, "--persistent")

    assert result.returncode == 2
    assert "libvirt (qemu:///system) has no domain 'web1'" in result.stderr


@pytest.mark.parametrize("option", [("--destination-vm", "web2"), ("--quit-source",), ("--preempt",)], ids=str)
def test_what_only_a_bare_qemu_can_be_asked_for_is_refused(hosts, daemons, kernel, option):
    domain = begin(hosts, kernel)

    result = migrate(daemons, *option)

    assert result.returncode == 2, result.stderr
    assert "for a bare QEMU only" in result.stderr
    assert_stayed(domain, hosts)


def test_a_bare_qemu_has_none_of_it(hosts, daemons, kernel):
    hosts.a.outside(hosts.a.qmp_directory).mkdir(exist_ok=True)
    machine = Machine(hosts.a, "bare", kernel, memory_mib=64)
    assert machine.status == "running"

    for option, *value in (
        ["persistent"], ["undefine-source"], ["copy-storage", "inc"], ["compressed"],
        ["auto-converge"],
    ):  # fmt: skip
        result = daemons[0].culvert("migrate", "bare", "hostb", f"--{option}", *value)
        assert result.returncode == 2
        name = option.replace("-", "_")
        assert f"'bare' is a bare QEMU, and '{name}' is for a domain of libvirt" in result.stderr

    assert daemons[0].migrations() == []
    assert machine.migration()["status"] == "none"
    assert machine.status == "running"
    machine.kill()
