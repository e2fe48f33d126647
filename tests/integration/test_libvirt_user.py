"""QEMU as Debian's libvirt runs it: as the user libvirt-qemu, with no rights but its own."""

import hashlib
import os
import pathlib
import shutil
import types

import pytest
from domains import (  # noqa: F401  (fixtures)
    SLOW,
    assert_arrived,
    authority,
    begin,
    daemons,
    hosts,
    nothing_left,
)

from lab.libvirt import LibvirtHosts
from lab.wait import wait_until

MIB = 1 << 20
IMAGES = "/var/lib/libvirt/images"
IMAGE = f"{IMAGES}/web1"
UNPRIVILEGED = pathlib.Path("/proc/sys/vm/unprivileged_userfaultfd")


@pytest.fixture(scope="module")
def libvirt_hosts():
    pair = LibvirtHosts()
    for host in pair:
        host.qemu_user = "libvirt-qemu"
    with pair:
        yield pair


@pytest.fixture
def readable(hosts, kernel):
    """The guest's kernel where that user may read it, on both hosts"""
    for host in hosts:
        for file in (kernel.vmlinuz, kernel.initrd):
            shutil.copyfile(file, host.outside(f"{IMAGES}/{pathlib.Path(file).name}"))
    return types.SimpleNamespace(
        vmlinuz=f"{IMAGES}/{pathlib.Path(kernel.vmlinuz).name}",
        initrd=f"{IMAGES}/{pathlib.Path(kernel.initrd).name}",
    )


@pytest.fixture
def permit():
    """permit("1" or "0"): who may use userfaultfd, on this whole machine"""
    before = UNPRIVILEGED.read_text()
    yield UNPRIVILEGED.write_text
    UNPRIVILEGED.write_text(before)


def users_of_qemu(host):
    listed = host.run("ps", "-o", "user:32=", "-C", "qemu-system-x86_64").stdout
    return set(listed.split())


def make_images(hosts):
    hosts.a.outside(IMAGE).write_bytes(os.urandom(16 * MIB))
    with open(hosts.b.outside(IMAGE), "wb") as there:
        there.truncate(16 * MIB)


def rendezvous_count(daemon):
    return daemon.log_text().count("service=rendezvous opened")


def assert_refused(result, daemon):
    assert result.returncode == 5
    assert "hostb: QEMU runs as 'libvirt-qemu' and cannot receive post-copy" in result.stderr
    assert "sysctl vm.unprivileged_userfaultfd=1" in result.stderr
    assert "--mode precopy" in result.stderr
    assert [x["guest"] for x in daemon.migrations()[:1]] == ["source"]


def test_without_userfaultfd_post_copy_is_refused_beforehand_and_pre_copy_goes(
    hosts, daemons, readable, permit
):
    permit("0")
    make_images(hosts)
    domain = begin(hosts, readable, disks=[IMAGE])
    assert "libvirt-qemu" in users_of_qemu(hosts.a)

    for mode in ("postcopy", "hybrid"):
        assert_refused(daemons[0].culvert("migrate", "web1", "hostb", "--mode", mode), daemons[0])
    assert domain.state_on(hosts.a).startswith("running")
    assert rendezvous_count(daemons[0]) == 0

    result = daemons[0].culvert(
        "migrate", "web1", "hostb", "--mode", "precopy", "--parallel", "2", "--copy-storage", "all"
    )
    assert result.returncode == 0, result.stderr + daemons[0].log_text()
    assert rendezvous_count(daemons[0]) >= 1 + 2 + 1
    assert_arrived(domain, hosts)
    hosts.b.destroy_domains()
    digests = {hashlib.sha256(host.outside(IMAGE).read_bytes()).hexdigest() for host in hosts}
    assert len(digests) == 1


def test_post_copy_where_the_kernel_permits_it(hosts, daemons, readable, permit):
    permit("1")
    domain = begin(hosts, readable)
    hosts.shape(SLOW)

    result = daemons[0].culvert("migrate", "web1", "hostb", "--mode", "postcopy")

    assert result.returncode == 0, result.stderr + daemons[0].log_text()
    assert_arrived(domain, hosts)
    wait_until(lambda: nothing_left(hosts), "directories to go", timeout=10)
