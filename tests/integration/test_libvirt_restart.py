"""libvirt's daemon ends, is killed, or hangs, on either host and in each phase of a migration."""

import signal
import time

import pytest
from domains import (  # noqa: F401  (fixtures)
    BUSY,
    assert_arrived,
    authority,
    begin,
    daemons,
    hosts,
    libvirt_hosts,
    nothing_left,
)

from lab.wait import wait_until

# A few seconds of post-copy; pre-copy never ends by itself.
VERY_SLOW = "100mbit"
# What a libvirt that hangs is given, and a busy machine
BOUND_S = 20
HOOK = """#!/bin/sh
# The domain's end on its source, held
[ "$2" = stopped ] || exit 0
[ -e /run/hold ] && touch /run/held
while [ -e /run/hold ]; do sleep 0.1; done
"""


def start(hosts, daemons, kernel, phase, mode=None, policy=None):
    """On its way, and in that phase already"""
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(VERY_SLOW)
    switch = ("--switch", policy) if policy else ()
    process = daemons[0].spawn_culvert("migrate", "web1", "hostb", "--mode", mode or phase, *switch)
    wait_until(lambda: is_in(daemons[0], phase, process), phase, timeout=60)
    return domain, process


def latest(daemon):
    return next(iter(daemon.migrations()), None)


def is_in(daemon, phase, process):
    assert process.poll() is None, process.stderr.read()
    now = latest(daemon)
    return now and now["phase"] == phase and now["ram_transferred_bytes"] > 0


def end_libvirt(host, number):
    """As a service manager does: whoever does not end in time is killed."""
    try:
        host.stop_libvirt(number, timeout=2)
    except TimeoutError:
        host.stop_libvirt(signal.SIGKILL)


def finish(process, timeout=90):
    """Its exit code, and what it had to say"""
    _, said = process.communicate(timeout=timeout)
    return process.returncode, said


def assert_stayed(domain, hosts):
    assert domain.state_on(hosts.a).startswith("running")
    assert domain.state_on(hosts.b) == ""
    domain.wait_until_alive()
    assert domain.verdict()["corrupt"] == 0


@pytest.mark.parametrize("where, number", [(0, signal.SIGTERM), (0, signal.SIGKILL), (1, signal.SIGTERM)])
def test_in_precopy_the_guest_stays_and_may_go_again(hosts, daemons, kernel, where, number):
    domain, process = start(hosts, daemons, kernel, "precopy")
    host = list(hosts)[where]

    end_libvirt(host, number)
    host.start_libvirt()

    code, said = finish(process)
    assert (code, latest(daemons[0])["phase"], latest(daemons[0])["guest"]) == (7, "failed", "source"), said
    assert "libvirt" in said
    assert_stayed(domain, hosts)
    hosts.shape(None)
    again = daemons[0].culvert("migrate", "web1", "hostb", "--mode", "postcopy")
    assert again.returncode == 0, again.stderr
    assert_arrived(domain, hosts)


@pytest.mark.parametrize("where", [0, 1])
def test_in_postcopy_it_goes_on_to_its_end(hosts, daemons, kernel, where):
    domain, process = start(hosts, daemons, kernel, "postcopy")
    host = list(hosts)[where]

    host.stop_libvirt(signal.SIGKILL)
    before = latest(daemons[0])
    host.start_libvirt()
    assert before["guest"] == "destination"
    wait_until(
        lambda: process.poll() is not None
        or latest(daemons[0])["ram_transferred_bytes"] > before["ram_transferred_bytes"],
        "figures, over a new connection", timeout=20,
    )  # fmt: skip
    assert process.poll() is None

    code, said = finish(process)
    assert code == 0, said
    assert latest(daemons[0])["guest"] == "destination"
    assert_arrived(domain, hosts)


def test_a_libvirt_that_is_told_to_stop_finishes_postcopy_first(hosts, daemons, kernel):
    """It takes no connections meanwhile: whether all went well is known once it is back."""
    domain, process = start(hosts, daemons, kernel, "postcopy")

    hosts.a.stop_libvirt(signal.SIGTERM, timeout=60)
    assert process.poll() is None
    waiting = wait_until(lambda: latest(daemons[0])["waiting"], "what it waits for")
    assert "cannot reach libvirt" in waiting
    hosts.a.start_libvirt()

    code, said = finish(process)
    assert code == 0, said
    assert_arrived(domain, hosts)


@pytest.fixture
def held(hosts):
    """The end of a domain on hosta waits until this is called."""
    hooks = hosts.a.root / "etc-libvirt" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "qemu").write_text(HOOK)
    (hooks / "qemu").chmod(0o755)
    hold = hosts.a.outside("/run/hold")
    hosts.a.stop_libvirt()  # It looks for hooks when it starts.
    hosts.a.start_libvirt()
    hold.touch()
    yield lambda: hold.unlink(missing_ok=True)
    hold.unlink(missing_ok=True)
    (hooks / "qemu").unlink()


@pytest.mark.parametrize("where", [0, 1])
def test_at_the_end_it_has_arrived(hosts, daemons, kernel, held, where):
    """It runs there, and its source is about to forget it."""
    domain = begin(hosts, kernel)
    process = daemons[0].spawn_culvert("migrate", "web1", "hostb", "--mode", "precopy")
    wait_until(hosts.a.outside("/run/held").exists, "the end on the source", timeout=60)
    hosts.a.outside("/run/held").unlink()
    host = list(hosts)[where]

    host.stop_libvirt(signal.SIGKILL)
    held()
    host.start_libvirt()

    code, said = finish(process)
    assert code == 0, said
    assert (latest(daemons[0])["phase"], latest(daemons[0])["guest"]) == ("completed", "destination")
    assert_arrived(domain, hosts)


def test_one_that_hung_for_a_while_is_followed_again(hosts, daemons, kernel):
    """Long enough for the daemon to give its connection up"""
    domain, process = start(hosts, daemons, kernel, "precopy", mode="hybrid", policy="after:300s")
    with hosts.a.hung_libvirt():
        time.sleep(11)
    before = latest(daemons[0])
    wait_until(
        lambda: latest(daemons[0])["ram_transferred_bytes"] > before["ram_transferred_bytes"],
        "figures, over a new connection", timeout=20,
    )  # fmt: skip

    assert latest(daemons[0])["phase"] == "precopy"
    assert daemons[0].culvert("switch", "web1").returncode == 0

    code, said = finish(process)
    assert code == 0, said
    assert "event=migration.switch " in daemons[0].log_text()
    assert_arrived(domain, hosts)


def test_one_that_hangs_is_told_of_and_holds_nothing_up(hosts, daemons, kernel):
    domain = begin(hosts, kernel)
    with hosts.a.hung_libvirt():
        orders = [("doctor",), ("migrate", "web1", "hostb")]
        doctor, migrate = [daemons[0].spawn_culvert(*words) for words in orders]
        found, _ = doctor.communicate(timeout=BOUND_S)
        _, failed = migrate.communicate(timeout=BOUND_S)
        assert "cannot reach libvirt: it takes connections" in found
        assert migrate.returncode == 3
        assert "no virtual machine 'web1'" in failed
        assert "cannot reach libvirt: it takes connections" in failed
        migrate = daemons[0].spawn_culvert("migrate", "web1", "hostb")
        time.sleep(1)
        assert daemons[0].stop(timeout=BOUND_S) == 0
        assert "clean=yes" in daemons[0].log_lines()[-1]
        migrate.communicate(timeout=BOUND_S)
    daemons[0].start()

    with hosts.b.hung_libvirt():
        result = daemons[0].culvert("migrate", "web1", "hostb", timeout=BOUND_S)
    assert result.returncode == 5
    assert "the libvirt of hostb does not answer" in result.stderr
    assert_stayed(domain, hosts)


def test_one_that_is_down_is_told_beside_what_a_bare_qemu_lacks(hosts, daemons):
    hosts.a.stop_libvirt()
    try:
        result = daemons[0].culvert("migrate", "web1", "hostb")
    finally:
        hosts.a.start_libvirt()
    assert result.returncode == 3
    assert "no virtual machine 'web1'" in result.stderr
    assert "start libvirt (systemctl start libvirtd): cannot reach libvirt" in result.stderr
    unknown = daemons[0].culvert("migrate", "web1", "hostb")
    assert "systemctl" not in unknown.stderr
