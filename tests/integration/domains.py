"""Domains of two real libvirts, and a culvertd beside each: fixtures, and what a test asks of them.

A module takes the fixtures by their names: `from domains import authority, daemons, hosts, libvirt_hosts`.
"""

import pytest

from lab.certificates import Authority
from lab.daemon import daemon_pair
from lab.libvirt import Domain, LibvirtHosts

MEMORY_MIB = 128
CALM = {"mib": 32, "pattern": "mixed", "rate_mib": 4}
# Slower than the guest dirties memory: post-copy takes seconds.
SLOW = "200mbit"
BUSY = {"mib": 48, "pattern": "mixed"}


@pytest.fixture(scope="module")
def libvirt_hosts():
    with LibvirtHosts() as pair:
        yield pair


@pytest.fixture
def hosts(libvirt_hosts):
    yield libvirt_hosts
    for host in libvirt_hosts:
        host.destroy_domains()
    libvirt_hosts.shape(None)


@pytest.fixture(scope="module")
def authority(libvirt_hosts):
    return Authority(libvirt_hosts.directory / "certificates")


@pytest.fixture
def daemons(hosts, authority):
    pair = daemon_pair(hosts, authority, services="migrate, libvirt")
    for daemon in pair:
        daemon.start()
    yield pair
    for daemon in pair:
        assert daemon.stop() == 0, daemon.log_text()


def begin(hosts, kernel, dirty=CALM, **options):
    domain = Domain(hosts.a, "web1", kernel, memory_mib=MEMORY_MIB, dirty=dirty, **options)
    domain.wait_running()
    return domain


def assert_arrived(domain, hosts):
    assert domain.state_on(hosts.a) == ""
    assert domain.state_on(hosts.b).startswith("running")
    domain.now_on(hosts.b)
    domain.wait_until_alive()
    assert domain.verdict()["corrupt"] == 0


def nothing_left(hosts):
    """No directory of a migration, on either host"""
    return all(not list((host.outside("/run/culvert/m")).glob("*")) for host in hosts)


def tcp_ports(hosts):
    return {port for host in hosts for port in host.tcp_listeners()}
