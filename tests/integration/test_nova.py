"""OpenStack's Nova, as Debian has it, migrates a domain by configuration alone: docs/OPENSTACK.md."""

import json
import pathlib

import pytest
from tcp_hosts import assert_arrived, assert_nothing_else, only_culvert, start_daemons, tcp_hosts

from lab.certificates import Authority
from lab.libvirt import Domain

PROGRAM = pathlib.Path(__file__).with_name("nova_migrate.py")
# As of libvirt's VIR_MIGRATE_*
POSTCOPY = 0x8000
TUNNELLED = 0x4
# Slower than the guest dirties its memory: pre-copy would not end.
SLOW = "200mbit"
BUSY = {"mib": 48, "pattern": "mixed"}
CALM = {"mib": 32, "pattern": "mixed", "rate_mib": 4}


@pytest.fixture(scope="module")
def nova_hosts():
    with tcp_hosts() as pair:
        yield pair


@pytest.fixture
def hosts(nova_hosts):
    yield nova_hosts
    for host in nova_hosts:
        host.destroy_domains()
        host.virsh("undefine", "web1", check=False)  # Nova's are persistent
        host.run("nft", "flush", "ruleset")
    nova_hosts.shape(None)


@pytest.fixture(scope="module")
def authority(nova_hosts):
    return Authority(nova_hosts.directory / "certificates")


@pytest.fixture
def daemons(hosts, authority):
    pair = start_daemons(hosts, authority)
    yield pair
    for daemon in pair:
        assert daemon.stop() == 0, daemon.log_text()


def nova_conf(host, postcopy):
    path = host.directory / "nova.conf"
    path.write_text(
        f"[DEFAULT]\nstate_path = {host.directory}\n"
        "[libvirt]\nvirt_type = qemu\n"
        "live_migration_uri = qemu+unix:///system?socket=/run/culvert/peers/%s/libvirt.sock\n"
        f"live_migration_inbound_addr = {host.name}.culvert\n"
        f"live_migration_permit_post_copy = {postcopy}\n"
    )
    return path


@pytest.mark.parametrize("mode", ["precopy", "postcopy"])
def test_nova_migrates_by_configuration_alone(hosts, daemons, kernel, mode):
    only_culvert(hosts)
    domain = Domain(
        hosts.a, "web1", kernel, memory_mib=128, dirty=BUSY if mode == "postcopy" else CALM
    )
    domain.wait_running()
    if mode == "postcopy":
        hosts.shape(SLOW)
    uuid = hosts.a.virsh("domuuid", "web1").stdout.strip()
    own, other = (nova_conf(host, mode == "postcopy") for host in hosts)
    result = hosts.a.run(
        "/usr/bin/python3", PROGRAM, own, other, uuid, mode, check=False, timeout=240
    )
    assert result.returncode == 0, result.stderr
    nova = json.loads(result.stdout.splitlines()[-1])
    assert nova["migrate_uri"] == "tcp://hostb.culvert"
    assert not nova["flags"] & TUNNELLED
    assert bool(nova["flags"] & POSTCOPY) == nova["switched"] == (mode == "postcopy")
    assert_arrived(domain, hosts.a, hosts.b)
    assert_nothing_else(hosts)
