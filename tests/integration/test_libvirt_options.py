"""What only libvirt can be asked for: `culvert migrate` with disks, parallel streams and the rest."""

import hashlib
import os

import pytest
from crossing import Follower
from domains import (  # noqa: F401  (fixtures)
    BUSY,
    CALM,
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

from lab.libvirt import TCP_PORT, URI
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
    assert "wrote 1048576" in answer.stdout, answer.stdout


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
    assert ports == {TCP_PORT, 16520}
    assert_arrived(domain, hosts)
    assert_same_images(hosts)
    assert all(digest(hosts.a, image) != old for image, old in zip(IMAGES, before))
