"""Migrations by clients that can only say tcp://: a loopback address for each peer."""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tcp_hosts import (
    ADDRESSES,
    assert_arrived,
    assert_nothing_else,
    name_of,
    only_culvert,
    start_daemons,
    tcp_hosts,
)

from lab.certificates import Authority
from lab.libvirt import Domain
from lab.wait import wait_until

MEMORY_MIB = 128
CALM = {"mib": 32, "pattern": "mixed", "rate_mib": 4}


@pytest.fixture(scope="module")
def libvirt_hosts():
    with tcp_hosts() as pair:
        yield pair


@pytest.fixture
def hosts(libvirt_hosts):
    yield libvirt_hosts
    for host in libvirt_hosts:
        host.destroy_domains()
        host.run("nft", "flush", "ruleset")
    libvirt_hosts.shape(None)


@pytest.fixture(scope="module")
def authority(libvirt_hosts):
    return Authority(libvirt_hosts.directory / "certificates")


@pytest.fixture
def daemons(hosts, authority):
    pair = start_daemons(hosts, authority)
    yield pair
    for daemon in pair:
        assert daemon.stop() == 0, daemon.log_text()


def begin(host, kernel, dirty=CALM, **options):
    domain = Domain(host, "web1", kernel, memory_mib=MEMORY_MIB, dirty=dirty, **options)
    domain.wait_running()
    return domain


def virsh_migrate(source, destination, *flags, address=None):
    return source.virsh(
        "migrate", "--live", "--p2p", *flags, "web1",
        "--desturi",
        f"qemu+unix:///system?socket=/run/culvert/peers/{name_of(destination)}/libvirt.sock",
        "--migrateuri", f"tcp://{address or ADDRESSES[destination.name]}",
        check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(
    "flags", [(), ("--postcopy", "--postcopy-after-precopy"), ("--parallel",)]
)
def test_virsh_moves_a_domain_through_the_one_port(hosts, daemons, kernel, flags):
    only_culvert(hosts)
    domain = begin(hosts.a, kernel)
    result = virsh_migrate(hosts.a, hosts.b, *flags)
    assert result.returncode == 0, result.stderr + daemons[0].log_text()
    assert_arrived(domain, hosts.a, hosts.b)
    assert_nothing_else(hosts)


def digest(host, image):
    return hashlib.sha256(host.outside(image).read_bytes()).hexdigest()


def test_disks_and_postcopy_outlive_the_deadline(hosts, authority, kernel):
    daemons = start_daemons(hosts, authority, peer_keys={"resume_deadline": "3s"})
    image = "/var/lib/libvirt/images/disk0"
    hosts.a.outside(image).write_bytes(os.urandom(24 << 20))
    hosts.b.outside(image).write_bytes(bytes(24 << 20))
    domain = begin(hosts.a, kernel, {"mib": 48, "pattern": "mixed"}, disks=[image])
    hosts.shape("60mbit")
    with ThreadPoolExecutor() as pool:
        flags = ("--postcopy", "--postcopy-after-precopy", "--copy-storage-all")
        result = pool.submit(virsh_migrate, hosts.a, hosts.b, *flags)
        wait_until(
            lambda: domain.state_on(hosts.a) == "paused (post-copy)", "post-copy", timeout=120
        )
        hosts.cut()
        assert result.result(60).returncode != 0
    time.sleep(3)
    hosts.mend()
    hosts.shape(None)
    wait_until(lambda: domain.state_on(hosts.a) == "", "the rest to come", timeout=60)
    assert_arrived(domain, hosts.a, hosts.b)
    assert digest(hosts.a, image) == digest(hosts.b, image)
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.log_text()


def test_it_goes_there_by_name_and_comes_back(hosts, daemons, kernel):
    """Both hosts are source and destination, each with ports of its own."""
    domain = begin(hosts.a, kernel)
    result = virsh_migrate(hosts.a, hosts.b, "--postcopy", address="hostb.culvert")
    assert result.returncode == 0, result.stderr + daemons[0].log_text()
    assert_arrived(domain, hosts.a, hosts.b)
    result = virsh_migrate(hosts.b, hosts.a, "--postcopy", address="hosta.culvert")
    assert result.returncode == 0, result.stderr + daemons[1].log_text()
    assert_arrived(domain, hosts.b, hosts.a)


CONNECT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.settimeout(20)
if sys.argv[3] == "say":
    s.sendall(b"x")
    s.close()
else:
    sys.stdout.write(repr(s.recv(1)))
"""


def connect(host, address, port, user=None, what="hear"):
    """What a program hears that connects on this host; "say": it speaks, and leaves."""
    words = ["/usr/bin/python3", "-c", CONNECT, address, str(port), what]
    if user is not None:
        words = ["setpriv", f"--reuid={user}", "--clear-groups", *words]
    return host.run(*words, check=False, timeout=40)


def listen(host, port):
    """A program that greets whoever connects to the migration_address of `host`."""
    script = (
        "import socket, sys\n"
        "s = socket.create_server((sys.argv[1], int(sys.argv[2])))\n"
        "while True:\n"
        "    c = s.accept()[0]\n"
        "    print('someone', flush=True)\n"
        "    c.sendall(b'!')\n"
        "    c.close()\n"
    )
    log = host.log_directory / f"listen-{port}.log"
    log.unlink(missing_ok=True)
    program = host.spawn(
        "/usr/bin/python3", "-c", script, ADDRESSES[host.name], str(port), log=log
    )
    wait_until(lambda: port in host.tcp_listeners(), "the listener", timeout=10)
    return program, log


@pytest.fixture
def greeter(hosts):
    program, log = listen(hosts.b, 49216)
    yield log
    program.kill()
    program.wait()


@pytest.mark.parametrize("user", [None, "libvirt-qemu"])
def test_root_and_the_hypervisor_may_connect(hosts, daemons, greeter, user):
    assert connect(hosts.a, ADDRESSES["hostb"], 49216, user).stdout == "b'!'"


@pytest.mark.parametrize("what", ["hear", "say"])
def test_another_user_may_not(hosts, daemons, greeter, what):
    """Not even one that has spoken and is gone, when the kernel calls its socket root's."""
    assert connect(hosts.a, ADDRESSES["hostb"], 49216, "nobody", what).stdout in ("", "b''")
    wait_until(lambda: "event=loopback.refused" in daemons[0].log_text(), "a refusal", timeout=10)
    assert "event=channel" not in daemons[1].log_text()
    assert "someone" not in greeter.read_text()


def test_where_nobody_waits_the_connection_is_closed(hosts, daemons):
    assert connect(hosts.a, ADDRESSES["hostb"], 49217).stdout == "b''"
    assert "no hypervisor waits there at port 49217" in daemons[0].log_text()


def test_a_port_outside_the_range_is_not_there(hosts, daemons):
    result = connect(hosts.a, ADDRESSES["hostb"], 49280)
    assert "Connection refused" in result.stderr


def test_a_port_that_the_destination_has_not_is_refused(hosts, authority):
    pair = start_daemons(hosts, authority, migration_address="127.77.0.2:49217-49279")
    program, log = listen(hosts.b, 49216)
    try:
        assert connect(hosts.a, ADDRESSES["hostb"], 49216).stdout == "b''"
        assert "migrations have ports 49217-49279" in pair[0].log_text()
        assert "someone" not in log.read_text()
    finally:
        program.kill()
        for daemon in pair:
            assert daemon.stop() == 0


@pytest.mark.parametrize(
    "services, migration_address",
    [
        ("migrate", "127.77.0.2:49216-49279"),
        ("libvirt", "127.77.0.2:49216-49279"),
        ("migrate, libvirt", None),
    ],
)
def test_without_permission_or_address_nobody_gets_through(
    hosts, authority, greeter, services, migration_address
):
    pair = start_daemons(hosts, authority, services, migration_address=migration_address)
    try:
        assert connect(hosts.a, ADDRESSES["hostb"], 49216).stdout == "b''"
        assert "no such service for this host" in pair[0].log_text()
        assert "someone" not in greeter.read_text()
    finally:
        for daemon in pair:
            assert daemon.stop() == 0
