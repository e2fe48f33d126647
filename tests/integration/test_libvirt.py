"""Domains of two real libvirts, moved by `culvert migrate` and by libvirt's own clients."""

import pathlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
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

from lab.daemon import daemon_pair
from lab.libvirt import TCP_PORT
from lab.wait import wait_until

# A post-copy lasts long enough to be disturbed.
VERY_SLOW = "60mbit"
CLIENT = pathlib.Path(__file__).with_name("libvirt_client.py")
URIS = ("--desturi", "{libvirt_uri}", "--migrateuri", "{migrate_uri}", "--disks-uri", "{disks_uri}")


@pytest.mark.parametrize("mode", ["precopy", "postcopy", "hybrid"])
def test_a_domain_moves(hosts, daemons, kernel, mode):
    domain = begin(hosts, kernel)
    hosts.shape(SLOW)
    result = daemons[0].culvert("migrate", "web1", "hostb", "--mode", mode)
    assert result.returncode == 0, result.stderr + daemons[0].log_text()
    assert_arrived(domain, hosts)
    (migration,) = daemons[0].migrations()
    assert migration["phase"] == "completed"
    switched = f"migration.switch migration={migration['id']}" in daemons[0].log_text()
    assert switched or mode != "postcopy"
    assert migration["guest"] == "destination"
    wait_until(lambda: nothing_left(hosts), "directories to go", timeout=10)
    assert tcp_ports(hosts) == {TCP_PORT, 16520}


def test_natively_it_takes_a_port_of_its_own(hosts, kernel):
    """The control: libvirt without a tunnel, post-copy, and what the test above would see of it."""
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(SLOW)
    words = ("migrate", "--live", "--p2p", "--postcopy", "--postcopy-after-precopy", "web1")
    with ThreadPoolExecutor() as pool:
        result = pool.submit(hosts.a.virsh, *words, "qemu+tcp://hostb/system", check=False)
        wait_until(lambda: tcp_ports(hosts) - {TCP_PORT}, "the port", timeout=60)
        assert result.result().returncode == 0, result.result().stderr
    assert_arrived(domain, hosts)


@pytest.mark.parametrize("flags", [(), ("--postcopy", "--postcopy-after-precopy")])
def test_virsh_moves_it_through_a_token(hosts, daemons, kernel, flags):
    domain = begin(hosts, kernel)
    result = daemons[0].culvert(
        "token", "hostb", "--", "virsh", "-c", "qemu:///system", "migrate", "--live", "--p2p",
        *flags, "web1", *URIS,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr + daemons[0].log_text()
    assert_arrived(domain, hosts)
    wait_until(lambda: nothing_left(hosts), "directories to go", timeout=10)


def tunnelled(daemon, *client, flags=("--postcopy", "--postcopy-after-precopy")):
    """virsh, as it is, asks for libvirt's own tunnel."""
    return daemon.host.run(
        *client, "virsh", "-c", "qemu:///system", "migrate", "--live", "--p2p", "--tunnelled",
        *flags, "web1", "qemu+tcp://hostb/system", check=False, timeout=120,
    )  # fmt: skip


def exec_words(daemon):
    words = daemon.command("exec", "--")
    return words[len(daemon.host.command()) :]


def test_the_flag_itself(hosts, daemons, kernel):
    """libvirt refuses tunnelled post-copy; the same command under `culvert exec` does it."""
    domain = begin(hosts, kernel)
    refused = tunnelled(daemons[0])
    assert refused.returncode != 0
    assert "post-copy is not supported with tunnelled migration" in refused.stderr
    assert domain.state_on(hosts.a).startswith("running")
    done = tunnelled(daemons[0], *exec_words(daemons[0]))
    assert done.returncode == 0, done.stderr + daemons[0].log_text()
    assert_arrived(domain, hosts)


@pytest.mark.parametrize(
    "function, uri",
    [
        ("migrateToURI", "qemu+tcp://hostb/system"),
        ("migrateToURI2", "qemu+tcp://hostb/system"),
        ("migrate", "qemu+tcp://hostb/system"),
        ("migrate2", "qemu+unix:///system?socket=/run/culvert/peers/hostb/libvirt.sock"),
    ],
)
def test_older_functions_with_the_flag_move_it_in_postcopy(hosts, daemons, kernel, function, uri):
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(VERY_SLOW)
    words = ["/usr/bin/python3", CLIENT, function, "web1", uri]
    refused = hosts.a.run(*words, check=False)
    assert "post-copy is not supported with tunnelled migration" in refused.stderr
    process = daemons[0].spawn_culvert("exec", "--", *words)
    wait_until(
        # Refused until QEMU itself migrates
        lambda: hosts.a.virsh("migrate-postcopy", "web1", check=False).returncode == 0
        or process.poll() is not None,
        "post-copy", timeout=60, interval=0.5,
    )  # fmt: skip
    assert process.poll() is None, process.stderr.read()
    hosts.shape(None)
    assert process.wait(timeout=60) == 0, process.stderr.read()
    assert process.stdout.read() == ("" if "URI" in function else "web1\n")
    assert_arrived(domain, hosts)


def start_slowly(hosts, daemons, kernel, *options, **of_domain):
    """A post-copy under way over a slow link, and `culvert migrate` beside it"""
    domain = begin(hosts, kernel, BUSY, **of_domain)
    hosts.shape(VERY_SLOW)
    process = daemons[0].spawn_culvert("migrate", "web1", "hostb", "--mode", "postcopy", *options)
    wait_until(
        lambda: phase(daemons[0]) == "postcopy" or process.poll() is not None,
        "post-copy", timeout=60,
    )  # fmt: skip
    return domain, process


def assert_completes(process, daemon):
    def over():
        return process.poll() is not None

    try:
        wait_until(over, "the migration's end", timeout=120)
    except TimeoutError as failure:
        raise AssertionError(f"{failure}: {daemon.migrations()}") from None
    assert process.returncode == 0, process.stderr.read() + daemon.log_text()


def phase(daemon):
    return next((x["phase"] for x in daemon.migrations()), "")


def test_lost_connections_in_postcopy_are_hidden(hosts, daemons, kernel):
    domain, process = start_slowly(hosts, daemons, kernel)
    hosts.a.run("ss", "-K", "dst", hosts.b.address, "dport", "=", "16520")
    assert_completes(process, daemons[0])
    (migration,) = daemons[0].migrations()
    assert migration["waiting"] is None
    assert daemons[0].log_text().count("event=link.resumed") >= 1
    assert "event=migration.interrupted" not in daemons[0].log_text()
    assert_arrived(domain, hosts)


def test_a_postcopy_outlives_the_deadline_and_libvirts_own_connection(hosts, authority, kernel):
    """libvirt gives its connection up, and says that the migration has failed; QEMU sees nothing."""
    daemons = daemon_pair(hosts, authority, services="migrate, libvirt", resume_deadline="3s")
    for daemon in daemons:
        daemon.start()
    domain, process = start_slowly(
        hosts, daemons, kernel, "--persistent", "--undefine-source", persistent=True
    )
    hosts.cut()
    wait_until(lambda: domain.state_on(hosts.a) == "paused (post-copy failed)", "libvirt to fail")
    time.sleep(3)  # and the deadline of the stream is past
    (migration,) = daemons[0].migrations()
    assert migration["phase"] == "postcopy"
    hosts.mend()
    hosts.shape(None)
    assert_completes(process, daemons[0])
    assert "event=migration.interrupted" not in daemons[0].log_text()
    assert_arrived(domain, hosts)
    assert hosts.a.virsh("list", "--all", "--name").stdout.split() == []
    assert hosts.b.virsh("list", "--all", "--persistent", "--name").stdout.split() == ["web1"]
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.log_text()


def test_so_does_one_through_a_token(hosts, authority, kernel):
    daemons = daemon_pair(hosts, authority, services="migrate, libvirt", resume_deadline="3s")
    for daemon in daemons:
        daemon.start()
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(VERY_SLOW)
    process = daemons[0].spawn_culvert(
        "token", "hostb", "--", "virsh", "-c", "qemu:///system", "migrate", "--live", "--p2p",
        "--postcopy", "--postcopy-after-precopy", "web1", *URIS,
    )  # fmt: skip
    wait_until(lambda: domain.state_on(hosts.a) == "paused (post-copy)", "post-copy", timeout=90)
    hosts.cut()
    assert process.wait(60) != 0
    assert domain.state_on(hosts.a) == "paused (post-copy failed)"
    time.sleep(3)
    hosts.mend()
    hosts.shape(None)
    wait_until(lambda: domain.state_on(hosts.a) == "", "the rest to come", timeout=60)
    assert_arrived(domain, hosts)
    for daemon in daemons:
        assert daemon.stop() == 0, daemon.log_text()


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_daemon_that_stops_waits_for_what_goes_through_a_token(hosts, daemons, kernel, stopped):
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(VERY_SLOW)
    process = daemons[0].spawn_culvert(
        "token", "hostb", "--", "virsh", "-c", "qemu:///system", "migrate", "--live", "--p2p",
        "--postcopy", "web1", *URIS,
    )  # fmt: skip
    wait_until(
        # Refused until QEMU itself migrates
        lambda: hosts.a.virsh("migrate-postcopy", "web1", check=False).returncode == 0,
        "post-copy", timeout=60, interval=0.5,
    )  # fmt: skip
    assert daemons[stopped].stop(timeout=60) == 0
    assert process.wait(timeout=60) == 0, process.stderr.read()
    assert_arrived(domain, hosts)


def test_a_precopy_that_breaks_leaves_the_guest_where_it_was(hosts, daemons, kernel):
    domain = begin(hosts, kernel, BUSY)
    hosts.shape(VERY_SLOW)
    process = daemons[0].spawn_culvert("migrate", "web1", "hostb", "--mode", "precopy")
    wait_until(lambda: pass_of(daemons[0]) > 0, "pre-copy", timeout=60)
    daemons[1].kill()
    daemons[1].start()
    assert process.wait(timeout=120) != 0
    (migration,) = daemons[0].migrations()
    assert migration["phase"] == "failed"
    assert migration["guest"] == "source"
    assert domain.state_on(hosts.a).startswith("running")
    domain.wait_until_alive()
    assert domain.verdict()["corrupt"] == 0


def pass_of(daemon):
    return next((x["pass"] for x in daemon.migrations()), 0)
