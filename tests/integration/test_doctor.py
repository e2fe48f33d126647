"""`culvert doctor` tells beforehand what a migration would fail at, and on which host."""

import json
import os
import pathlib
import socket

import pytest
from peer import ACCEPT, Listener, Peer, limit_frame, prepare, serving, tls_settings

from lab.certificates import Authority
from lab.daemon import Daemon, daemon_pair, peer_of
from lab.libvirt import Domain, LibvirtHosts

BAD_HERE, BAD_THERE = 3, 5
UNPRIVILEGED = pathlib.Path("/proc/sys/vm/unprivileged_userfaultfd")
REMEDIED = {"warning", "bad"}


def examine(daemon, *words):
    """What it found, as {(host, check): finding}, and its exit code"""
    result = daemon.culvert("doctor", *words, "--json")
    assert result.stderr == ""
    findings = json.loads(result.stdout)["findings"]
    for finding in findings:
        assert set(finding) == {"host", "check", "state", "text", "remedy"}
        assert (finding["remedy"] is not None) == (finding["state"] in REMEDIED), finding
    return {(each["host"], each["check"]): each for each in findings}, result.returncode


def states(findings):
    return {key: finding["state"] for key, finding in findings.items()}


def not_good(findings):
    return {key: finding for key, finding in findings.items() if finding["state"] != "good"}


def own_socket(host, name="vm", owner=0):
    """Such as a QEMU of that user makes; the doctor looks at it and does not connect."""
    path = host.qmp_directory / f"{name}.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.setblocking(False)
    os.chown(path, owner, owner)
    return listener


def nobody_connected(listener):
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


# Without libvirt


def test_without_libvirt_two_hosts_with_root_qemu_are_ready(hosts, daemons):
    listeners = [own_socket(host) for host in hosts]
    findings, code = examine(daemons[0], "hostb")
    assert (not_good(findings), code) == ({}, 0)
    assert {host for host, _ in findings} == {"hosta", "hostb", None}
    assert "bare QEMU works without it" in findings["hostb", "libvirt"]["text"]
    assert (None, "cpu") not in findings
    assert all(nobody_connected(listener) for listener in listeners)


def test_one_host_alone_asks_no_other(daemons):
    findings, code = examine(daemons[0])
    assert {host for host, _ in findings} == {"hosta"}
    assert code == 0


def test_lines_for_people_have_the_remedy_below(hosts, authority):
    daemon = Daemon(hosts.a, authority.issue_expiring_soon("hosta")).start()
    own_socket(hosts.a)
    lines = daemon.culvert("doctor", check=True).stdout.splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("warning")]
    assert "the certificate of this host expires on" in lines[at]
    assert lines[at + 1].strip() == "-> renew it, and start culvertd again"
    assert all(line.startswith("good ") for line in lines[:at] + lines[at + 2 :])


def test_a_certificate_that_expires_soon_is_a_warning(hosts, authority):
    daemon = Daemon(hosts.a, authority.issue_expiring_soon("hosta")).start()
    findings, code = examine(daemon)
    assert findings["hosta", "certificate"]["state"] == "warning"
    assert code == 0


def test_a_certificate_that_was_renewed_wants_a_new_start(hosts, authority):
    daemon = Daemon(hosts.a, authority.issue_expiring_soon("hosta")).start()
    authority.issue("hosta")
    finding = examine(daemon)[0]["hosta", "certificate"]
    assert finding["state"] == "warning"
    assert "culvertd still uses the old one" in finding["remedy"]


def test_a_key_that_no_longer_fits_is_told_before_the_next_start(hosts, authority):
    issued = authority.issue("hosta")
    daemon = Daemon(hosts.a, issued).start()
    issued.key.write_bytes(authority.issue("other").key.read_bytes())
    findings, code = examine(daemon)
    assert "the key does not belong to the certificate" in findings["hosta", "certificate"]["text"]
    assert code == BAD_HERE


def test_a_peer_that_is_down_is_bad_with_a_remedy(daemons):
    daemons[1].stop()
    findings, code = examine(daemons[0], "hostb")
    assert findings[None, "peer"]["state"] == "bad"
    assert "is culvertd running there" in findings[None, "peer"]["remedy"]
    assert code == BAD_THERE


def test_a_peer_that_permits_nothing_is_bad_and_says_where(hosts, authority):
    pair = daemon_pair(hosts, authority)
    pair[1].configure(authority.issue("hostb"), [peer_of(hosts.a, services="bench")])
    for daemon in pair:
        daemon.start()
    findings, code = examine(pair[0], "hostb")
    assert findings[None, "peer"]["state"] == "bad"
    assert "see 'services' of its [peer] section there" in findings[None, "peer"]["text"]
    assert code == BAD_THERE


def test_a_peer_of_another_name_is_bad(hosts, authority):
    stranger = peer_of(hosts.b, identity="hostc.example")
    Daemon(hosts.b, authority.issue("hostb"), [peer_of(hosts.a)]).start()
    daemon = Daemon(hosts.a, authority.issue("hosta"), [stranger]).start()
    findings, code = examine(daemon, "hostb")
    assert "hostb.example" in findings[None, "peer"]["text"]
    assert "same CA" in findings[None, "peer"]["remedy"]
    assert code == BAD_THERE


@pytest.mark.parametrize("where", ["hosta", "hostb"])
def test_a_qemu_that_may_not_use_userfaultfd_is_bad(hosts, daemons, where):
    own_socket(hosts.a, owner=65534 if where == "hosta" else 0)
    own_socket(hosts.b, owner=65534 if where == "hostb" else 0)
    findings, code = examine(daemons[0], "hostb")
    if UNPRIVILEGED.read_text().strip() == "1":  # any QEMU may, on this machine
        assert not_good(findings) == {}
        return
    assert list(not_good(findings)) == [(where, "userfaultfd")]
    assert "sysctl vm.unprivileged_userfaultfd=1" in findings[where, "userfaultfd"]["remedy"]
    assert code == (BAD_HERE if where == "hosta" else BAD_THERE)


def test_a_directory_that_others_may_write_is_bad(hosts, daemons):
    (hosts.a.run_directory / "peers").chmod(0o777)
    findings, code = examine(daemons[0])
    assert "peers has mode 0777" in findings["hosta", "directories"]["text"]
    assert code == BAD_HERE


def test_small_tcp_buffers_are_a_warning_there_and_between(hosts, daemons):
    hosts.b.run("sysctl", "-qw", "net.ipv4.tcp_rmem=4096 8192 8192")
    findings, code = examine(daemons[0], "hostb")
    assert findings["hostb", "tcp-buffers"]["state"] == "warning"
    assert "tcp_rmem (8 KiB) there" in findings[None, "tcp-round-trip"]["text"]
    assert findings["hosta", "tcp-buffers"]["state"] == "good"
    assert code == 0


def test_an_unknown_host_is_a_wrong_argument(daemons):
    result = daemons[0].culvert("doctor", "hostz")
    assert result.returncode == 2
    assert "unknown host 'hostz'" in result.stderr


# Peers that mean harm

FAKE_PORT = 17001
FACTS = {
    "version": "0.1.0", "qemu": "7.2.22", "libvirt": "", "clock_ms": 0, "memory_bytes": 1 << 40,
    "tcp_receive_bytes": 1 << 24, "tcp_send_bytes": 1 << 24, "libvirt_permitted": True, "you": "hosta",
}  # fmt: skip
FINDING = {"check": "qemu", "state": "good", "text": "all is well", "remedy": None}


def examine_fake(hosts, authority, answer):
    def script(peer):
        peer.receive()
        peer.send(limit_frame(ACCEPT))
        while question := peer.hear():
            value = answer if question["execute"] == "doctor" else {}
            peer.say({"return": value, "id": question["id"]})

    fake = {"name": "fake", "address": f"{hosts.b.address}:{FAKE_PORT}",
            "identity": "fake.example", "services": "migrate",
            "resume_deadline": "1s"}  # fmt: skip
    daemon = Daemon(hosts.a, authority.issue("hosta"), [fake]).start()
    with Listener(hosts.b, FAKE_PORT, serving(tls_settings(authority.issue("fake"), server=True), script)):
        findings, code = examine(daemon, "fake")
    assert daemon.stop() == 0
    assert "Sanitizer" not in daemon.log_text()
    return findings, code


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"facts": 7, "findings": []},
        {"facts": FACTS, "findings": "none"},
        {"facts": FACTS, "findings": [FINDING] * 25},
        {"facts": FACTS, "findings": [FINDING | {"state": "excellent"}]},
        {"facts": FACTS, "findings": [FINDING | {"check": "a\nb"}]},
        {"facts": FACTS | {"clock_ms": 2**63 - 1}, "findings": []},
        {"facts": FACTS | {"memory_bytes": -1}, "findings": []},
        {"facts": FACTS | {"qemu": "7" * 40}, "findings": []},
        {"facts": FACTS | {"you": "] services"}, "findings": []},
    ],
)
def test_a_peer_whose_answer_is_none_is_bad(hosts, authority, answer):
    findings, code = examine_fake(hosts, authority, answer)
    assert findings[None, "peer"]["state"] == "bad"
    assert [check for host, check in findings if host is None] == ["peer"]
    assert code == BAD_THERE


def test_a_peer_speaks_of_itself_only_and_in_printable_words(hosts, authority):
    finding = FINDING | {"host": "hosta", "text": "\x1b[2J\n\u00e9" + "x" * 2000}
    findings, code = examine_fake(hosts, authority, {"facts": FACTS, "findings": [finding]})
    text = findings["fake", "qemu"]["text"]
    assert text.startswith("?[2J???x") and len(text) < 400
    assert findings["hosta", "qemu"]["text"].startswith("QEMU ")
    assert "1970" not in text and findings[None, "clocks"]["state"] == "warning"
    assert code == 0


def test_all_that_a_peer_may_tell_still_fits_one_line(hosts, authority):
    finding = FINDING | {"state": "bad", "text": '"' * 315, "remedy": "\\" * 315}
    findings, code = examine_fake(hosts, authority, {"facts": FACTS, "findings": [finding] * 24})
    assert findings["fake", "qemu"]["text"].startswith('"""')
    assert code == BAD_THERE


def test_a_peer_may_ask_for_the_whole_once_on_a_channel(hosts, daemons, authority):
    with Peer.dial(hosts.a, hosts.b, authority.issue("hosta")) as peer:
        peer.open("control")
        for _ in range(2):
            answer = peer.ask("doctor", brief=True)["return"]
            assert (answer["findings"], answer["facts"]["qemu"]) == ([], "")
        assert peer.ask("doctor")["return"]["facts"]["you"] == "hosta"
        assert peer.ask("doctor")["error"]["class"] == "USAGE"
        assert peer.ask("doctor", brief=True)["return"]["facts"]["libvirt_permitted"] is False


def test_a_peer_may_not_ask_during_a_migration(hosts, daemons, authority, guest):
    guest("vm", host=hosts.b, incoming=True, memory_mib=64).qmp("query-status")
    with Peer.dial(hosts.a, hosts.b, authority.issue("hosta")) as peer:
        prepare(peer, "vm")
        assert peer.ask("doctor", brief=True)["error"]["class"] == "USAGE"


# With libvirt on both hosts


@pytest.fixture(scope="module")
def libvirt_hosts():
    with LibvirtHosts() as pair:
        yield pair


@pytest.fixture(scope="module")
def libvirt_authority(libvirt_hosts):
    return Authority(libvirt_hosts.directory / "certificates")


@pytest.fixture
def libvirt_daemons(libvirt_hosts, libvirt_authority):
    """libvirt_daemons(services, ...): what hostb permits hosta; both started, and stopped again"""
    started = []

    def start(services="migrate, libvirt", **sections):
        pair = daemon_pair(libvirt_hosts, libvirt_authority, services="migrate, libvirt")
        peer = peer_of(libvirt_hosts.a, services=services)
        pair[1].configure(libvirt_authority.issue("hostb"), [peer], **sections)
        started.extend(daemon.start() for daemon in pair)
        return pair

    yield start
    for daemon in started:
        assert daemon.stop() == 0, daemon.log_text()
    for host in libvirt_hosts:
        host.destroy_domains()


@pytest.fixture
def domain(libvirt_hosts, kernel):
    """domain(memory_mib): web1 on hosta"""

    def start(memory_mib=128):
        return Domain(libvirt_hosts.a, "web1", kernel, memory_mib=memory_mib)

    return start


def assert_refused(result, domain, daemon, hosts, *says):
    assert result.returncode == BAD_THERE, result.stderr
    for words in says:
        assert words in result.stdout + result.stderr
    assert domain.state_on(hosts.a).startswith("running")
    assert domain.state_on(hosts.b) == ""
    (migration,) = daemon.migrations()
    assert (migration["phase"], migration["guest"]) == ("failed", "source")
    assert not list(hosts.a.outside("/run/culvert").glob("m/*"))


def test_two_hosts_with_libvirt_are_ready(libvirt_daemons):
    findings, code = examine(libvirt_daemons()[0], "hostb")
    assert (not_good(findings), code) == ({}, 0)
    assert {"cpu", "machine-types", "libvirt-versions", "permission"} <= {
        check for host, check in findings if host is None
    }


def test_libvirt_that_is_not_permitted_is_bad_and_the_line_is_told(libvirt_daemons):
    findings, code = examine(libvirt_daemons("migrate")[0], "hostb")
    assert list(not_good(findings)) == [(None, "permission")]
    assert (
        "in culvert.conf of hostb, section [peer hosta]: services = migrate, libvirt"
        in findings[None, "permission"]["remedy"]
    )
    assert code == BAD_THERE


@pytest.mark.parametrize(
    "services, section", [("migrate", "section [peer hosta]"), ("libvirt", "in the [peer] section")]
)
def test_a_domain_stays_where_its_destination_does_not_permit_it(
    libvirt_hosts, libvirt_daemons, domain, services, section
):
    daemon, guest = libvirt_daemons(services)[0], domain()
    result = daemon.culvert("migrate", "web1", "hostb")
    assert_refused(
        result, guest, daemon, libvirt_hosts,
        "in culvert.conf of hostb", section, "services = migrate, libvirt",
    )  # fmt: skip


def test_a_domain_stays_where_its_destination_lacks_memory(libvirt_hosts, libvirt_daemons, domain):
    fields = dict(line.split(":") for line in open("/proc/meminfo"))
    total_mib = int(fields["MemTotal"].split()[0]) // 1024
    daemon, guest = libvirt_daemons()[0], domain(memory_mib=total_mib - 64)
    result = daemon.culvert("migrate", "web1", "hostb")
    assert_refused(result, guest, daemon, libvirt_hosts, "MiB of memory free", "make room there")


def test_a_domain_stays_where_the_libvirt_there_does_not_answer(
    libvirt_hosts, libvirt_daemons, domain
):
    daemon, guest = libvirt_daemons()[0], domain()
    socket_path = libvirt_hosts.b.outside("/run/libvirt/libvirt-sock")
    aside = socket_path.with_name("aside")
    socket_path.rename(aside)
    try:
        result = daemon.culvert("migrate", "web1", "hostb")
        findings, code = examine(daemon, "hostb")
    finally:
        aside.rename(socket_path)
    assert_refused(result, guest, daemon, libvirt_hosts, "the libvirt of hostb does not answer")
    assert findings[None, "libvirt-versions"]["state"] == "warning"
