"""What becomes of a domain one of whose QEMUs ends while it moves, and what the operator is told."""

import os
import signal

import pytest
from domains import (  # noqa: F401  (fixtures)
    BUSY,
    assert_arrived,
    authority,
    begin,
    daemons,
    hosts,
    libvirt_hosts,
)

from lab.wait import wait_until

VERY_SLOW = "60mbit"


def start(hosts, daemons, kernel, mode):
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(VERY_SLOW)
    process = daemons[0].spawn_culvert("migrate", "web1", "hostb", "--mode", mode)

    def is_there():
        assert process.poll() is None, process.stderr.read()
        return any(x["phase"] == mode and x["ram_transferred_bytes"] > 0 for x in daemons[0].migrations())

    wait_until(is_there, mode, timeout=60)
    return domain, process


def kill_qemu(host):
    os.kill(int(host.outside("/run/libvirt/qemu/web1.pid").read_text()), signal.SIGKILL)


def finish(process, daemon):
    """Its exit code, phase, the guest's place, advice; and all that it said, for a failure"""
    output, errors = process.communicate(timeout=90)
    (last,) = daemon.migrations()
    return (process.returncode, last["phase"], last["guest"]), last["advice"], output + errors


def assert_stays(domain, hosts):
    assert domain.state_on(hosts.a).startswith("running")
    assert domain.state_on(hosts.b) == ""
    domain.wait_until_alive()
    assert domain.verdict()["corrupt"] == 0


@pytest.mark.parametrize("where", [0, 1])
def test_in_postcopy_with_either_qemu_the_guest_is_lost(hosts, daemons, kernel, where):
    domain, process = start(hosts, daemons, kernel, "postcopy")
    kill_qemu(list(hosts)[where])

    end, advice, said = finish(process, daemons[0])

    assert end == (9, "failed", "nowhere"), said
    assert "a part of the guest's memory is gone" in advice
    assert advice in said
    assert not any(domain.state_on(host).startswith("running (booted") for host in hosts)


def test_in_precopy_without_the_qemu_there_it_stays(hosts, daemons, kernel):
    domain, process = start(hosts, daemons, kernel, "precopy")
    kill_qemu(hosts.b)

    end, _, said = finish(process, daemons[0])

    assert end == (7, "failed", "source"), said
    assert_stays(domain, hosts)


@pytest.mark.parametrize("end_it", [kill_qemu, lambda host: host.virsh("destroy", "web1")])
def test_in_precopy_a_guest_that_ends_is_on_neither(hosts, daemons, kernel, end_it):
    domain, process = start(hosts, daemons, kernel, "precopy")
    end_it(hosts.a)

    end, advice, said = finish(process, daemons[0])

    assert end == (9, "failed", "nowhere"), said
    assert "it was shut down while it moved, or its QEMU ended" in advice
    assert [domain.state_on(host) for host in hosts] == ["", ""]
