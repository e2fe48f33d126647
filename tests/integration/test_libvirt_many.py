"""Domains of two libvirts that move at once: against each other, and many together."""

import pytest
from domains import (  # noqa: F401  (fixtures)
    authority,
    daemons,
    hosts,
    libvirt_hosts,
    nothing_left,
)

from lab.libvirt import Domain
from lab.wait import wait_until

SMALL = {"mib": 16, "pattern": "mixed", "rate_mib": 1}
SLOW = "200mbit"


def begin(host, name, kernel, memory_mib):
    return Domain(host, name, kernel, memory_mib=memory_mib, dirty=SMALL)


def assert_moved(domain, origin, target):
    assert domain.state_on(origin) == ""
    assert domain.state_on(target).startswith("running")
    domain.now_on(target)
    domain.wait_until_alive(timeout=120)
    assert domain.verdict()["corrupt"] == 0


def finish(processes, daemon):
    for process in processes:
        _, said = process.communicate(timeout=150)
        assert process.returncode == 0, said + daemon.log_text()


@pytest.mark.parametrize("mode", ["hybrid", "postcopy"])
def test_two_that_pass_each_other(hosts, daemons, kernel, mode):
    there, back = begin(hosts.a, "web1", kernel, 96), begin(hosts.b, "web2", kernel, 96)
    for domain in (there, back):
        domain.wait_running()
    hosts.shape(SLOW)

    processes = [
        daemons[0].spawn_culvert("migrate", "web1", "hostb", "--mode", mode),
        daemons[1].spawn_culvert("migrate", "web2", "hosta", "--mode", mode),
    ]

    finish(processes, daemons[0])
    assert_moved(there, hosts.a, hosts.b)
    assert_moved(back, hosts.b, hosts.a)
    wait_until(lambda: nothing_left(hosts), "directories to go", timeout=10)


def test_eight_at_once(hosts, daemons, kernel):
    domains = [begin(hosts.a, f"web{number}", kernel, 96) for number in range(8)]
    for domain in domains:
        domain.wait_running(timeout=180)

    finish([daemons[0].spawn_culvert("migrate", x.name, "hostb") for x in domains], daemons[0])

    assert {x["phase"] for x in daemons[0].migrations()} == {"completed"}
    for domain in domains:
        assert_moved(domain, hosts.a, hosts.b)
    wait_until(lambda: nothing_left(hosts), "directories to go", timeout=10)
