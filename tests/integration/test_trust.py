"""Who may talk to culvertd, and what those are told who may not.

On the accepting side: the connection ends, the daemon says why in one line of its log, and goes on
serving the peer that it trusts. On the dialling side: the operator is told what to do.
"""

import pathlib
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from datetime import timedelta

import pytest
from peer import (
    ACCEPT, ACK, DATA, EOF, NO_SERVICE, NOT_PERMITTED, PING, PONG, REFUSE, RESUMED, VERSION,
    Listener, Log, Peer, frame, limit_frame, open_frame, prepare, reason_frame, serving, tcp_to,
    tls_settings,
)  # fmt: skip

from lab.certificates import Authority, Certificate
from lab.daemon import PORT, Daemon, peer_of
from lab.hosts import Host, Hosts
from lab.wait import wait_until

FAKE_PORT = 17001


@pytest.fixture(scope="module")
def hosts():
    with Hosts() as pair:
        yield pair


@pytest.fixture(scope="module")
def authority(hosts):
    return Authority(hosts.directory / "certificates")


@pytest.fixture(scope="module")
def foreign(hosts):
    """Another authority, which nobody here trusts."""
    return Authority(hosts.directory / "certificates", "foreign")


@pytest.fixture(scope="module")
def daemons(hosts, authority):
    """Both daemons; hosta also knows wrong names for hostb, hostb also knows other peers."""
    at_b = f"{hosts.b.address}:{PORT}"
    fake = f"{hosts.b.address}:{FAKE_PORT}"
    a = Daemon(hosts.a, authority.issue("hosta"), [
        peer_of(hosts.b),
        {"name": "misnamed", "address": at_b, "identity": "other.example", "services": "migrate"},
        {"name": "fake", "address": fake, "identity": "fake.example", "services": "migrate",
         "resume_deadline": "1s"},
    ])  # fmt: skip
    b = Daemon(hosts.b, authority.issue("hostb"), [
        peer_of(hosts.a),
        {"name": "hostc", "address": "10.98.0.3", "identity": "hostc.example",
         "services": "migrate"},
        {"name": "nobody", "address": "10.98.0.4", "identity": "nobody.example", "services": ""},
        {"name": "silent", "address": "10.98.0.5", "identity": "silent.example"},
        {"name": "uri", "address": "10.98.0.6", "identity": "spiffe://example/host/uri",
         "services": "migrate"},
    ])  # fmt: skip
    for daemon in (a, b):
        daemon.start()
    yield a, b
    for daemon in (a, b):
        assert daemon.stop() == 0
        assert "Sanitizer" not in daemon.log_text()


@pytest.fixture(scope="module")
def hosta(authority, daemons):
    """The certificate of the peer that hostb trusts."""
    return Certificate(authority.ca, authority.directory / "hosta.pem",
                       authority.directory / "hosta.key")  # fmt: skip


@pytest.fixture(scope="module")
def hostc(authority):
    return authority.issue("hostc")


@pytest.fixture
def talkative(daemons):
    """hostb, which limits the lines of what anyone can cause, is free to log more."""
    if daemons[1].log_text().rpartition("event=ready")[2].count(".refused ") > 30:
        assert daemons[1].stop() == 0
        daemons[1].start()


@pytest.fixture
def refusal(daemons, talkative):
    """refusal(*words): hostb has logged one line since the test began, and it has these words;
    nothing else has changed for the peer that it trusts. Returns the line."""
    log = Log(daemons[1])

    def check(*words):
        log.wait_for_warnings()
        daemons[0].culvert("ping", "hostb", "--count", "1", check=True)
        lines = log.warnings()
        assert len(lines) == 1, lines
        for word in words:
            assert word in lines[0]
        return lines[0]

    return check


def dial(hosts, certificate, **settings):
    return Peer.dial(hosts.a, hosts.b, certificate, **settings)


def assert_shut_out(hosts, certificate, **settings):
    """No channel, whatever is tried. Returns the alert, or "closed"."""
    try:
        with dial(hosts, certificate, **settings) as peer:
            # In TLS 1.3 a client believes itself connected before the server has judged it.
            peer.send(open_frame("control"))
            return peer.end()
    except ssl.SSLError as failure:
        return failure.reason
    except ConnectionResetError:
        return "closed"


# Certificates, seen by the side that accepts.


def test_a_certificate_of_another_authority_is_refused(hosts, foreign, refusal):
    assert assert_shut_out(hosts, foreign.issue("hosta"), verify=False) == "TLSV1_ALERT_UNKNOWN_CA"
    refusal("class=IDENTITY", "not signed by the configured CA", "key 'ca'", hosts.a.address)


def test_a_self_signed_certificate_is_refused(hosts, refusal):
    directory = hosts.directory / "self"
    directory.mkdir()
    own = Certificate(directory / "it.pem", directory / "it.pem", directory / "it.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", own.key, "-out", own.certificate, "-subj", "/CN=hosta",
         "-addext", "subjectAltName=DNS:hosta.example"],
        check=True, capture_output=True,
    )  # fmt: skip
    assert_shut_out(hosts, own, verify=False)
    refusal("class=IDENTITY", "not signed by the configured CA")


def test_a_certificate_signed_by_a_trusted_peer_is_refused(hosts, hosta, refusal):
    """A host's own certificate is no authority, though an authority signed it."""
    directory = hosts.directory / "sub"
    directory.mkdir()
    sub = Certificate(hosta.ca, directory / "chain.pem", directory / "it.key")
    (directory / "extensions").write_text("subjectAltName=DNS:hosta.example\n")
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", sub.key, "-out", directory / "it.csr", "-subj", "/CN=hosta"],
        check=True, capture_output=True,
    )  # fmt: skip
    leaf = subprocess.run(
        ["openssl", "x509", "-req", "-in", directory / "it.csr", "-CA", hosta.certificate,
         "-CAkey", hosta.key, "-CAcreateserial", "-extfile", directory / "extensions"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    sub.certificate.write_text(leaf + hosta.certificate.read_text())
    assert_shut_out(hosts, sub)
    refusal("class=IDENTITY", "the peer's certificate is not acceptable")


@pytest.mark.sanitized
def test_an_expired_certificate_is_refused(hosts, authority, refusal):
    expired = authority.issue_expired("old", san="DNS:hosta.example")
    assert assert_shut_out(hosts, expired) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"
    line = refusal("class=IDENTITY", "expired at", "renew it")
    assert re.search(r"expired at \d{4}-\d\d-\d\d \d\d:\d\d UTC", line)


def test_a_certificate_that_is_not_yet_valid_is_refused(hosts, authority, refusal):
    early = authority.issue_not_yet_valid("early", san="DNS:hosta.example")
    assert_shut_out(hosts, early)
    refusal("class=IDENTITY", "not valid before", "compare the clocks of both hosts")


def test_an_identity_that_no_peer_has_is_refused(hosts, authority, refusal):
    with dial(hosts, authority.issue("stranger")) as peer:
        answer = peer.open()
        assert (answer.type, answer.reason) == (REFUSE, NOT_PERMITTED)
        assert "no [peer] section there" in answer.text
        assert peer.receive() is None
    refusal("channel.refused", "stranger.example", "no [peer] section")


def test_a_common_name_is_no_identity(hosts, authority, refusal):
    """Its CN is a peer's name and its only SAN an address: nothing that names a peer."""
    with dial(hosts, authority.issue("hosta.example", san="IP:10.98.0.1")) as peer:
        answer = peer.open()
        assert (answer.type, answer.reason) == (REFUSE, NOT_PERMITTED)
    refusal("channel.refused", "(no name)")


def test_a_wildcard_is_no_identity(hosts, authority, refusal):
    with dial(hosts, authority.issue("wild", san="DNS:*.example")) as peer:
        assert peer.open().reason == NOT_PERMITTED
    refusal("channel.refused", "*.example")


def test_a_longer_name_is_another_identity(hosts, authority, refusal):
    with dial(hosts, authority.issue("long", san="DNS:hosta.example.evil")) as peer:
        assert peer.open().reason == NOT_PERMITTED
    refusal("channel.refused", "hosta.example.evil")


def test_the_case_of_a_dns_name_does_not_matter(hosts, authority, daemons):
    with dial(hosts, authority.issue("upper", san="DNS:HostA.Example")) as peer:
        assert peer.open().type == ACCEPT
        assert peer.finish()


def test_a_uri_can_be_an_identity(hosts, authority, daemons):
    with dial(hosts, authority.issue("uri", san="URI:spiffe://example/host/uri")) as peer:
        assert peer.open().type == ACCEPT
        assert peer.finish()


def test_a_uri_is_compared_exactly(hosts, authority, refusal):
    with dial(hosts, authority.issue("uri2", san="URI:spiffe://example/host/URI")) as peer:
        assert peer.open().reason == NOT_PERMITTED
    refusal("channel.refused")


def test_a_client_without_a_certificate_is_refused(hosts, refusal):
    assert assert_shut_out(hosts, None) == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    refusal("class=IDENTITY", "the peer presented no certificate")


# What is not TLS 1.3, or not this protocol.


def test_a_plain_text_client_is_refused(hosts, refusal):
    with tcp_to(hosts.a, hosts.b) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: hostb\r\n\r\n")
        while plain.recv(4096):
            pass
    refusal("class=PEER", "does not speak this protocol")


def test_an_open_frame_without_tls_is_refused(hosts, refusal):
    with tcp_to(hosts.a, hosts.b) as plain:
        plain.sendall(open_frame("control"))
        while plain.recv(4096):
            pass
    refusal("class=PEER", "does not speak this protocol")


def test_a_tls_1_2_client_is_refused(hosts, hosta, refusal):
    alert = assert_shut_out(hosts, hosta, version=ssl.TLSVersion.TLSv1_2)
    assert alert == "TLSV1_ALERT_PROTOCOL_VERSION"
    refusal("class=PEER", "does not speak TLS 1.3")


def test_a_client_of_openssl_itself_with_tls_1_2_is_refused(hosts, hosta, refusal):
    result = subprocess.run(
        hosts.a.command("openssl", "s_client", "-connect", f"{hosts.b.address}:{PORT}", "-tls1_2",
                        "-cert", hosta.certificate, "-key", hosta.key, "-CAfile", hosta.ca),
        input="", capture_output=True, text=True, timeout=15,
    )  # fmt: skip
    assert "alert protocol version" in result.stderr
    refusal("class=PEER", "does not speak TLS 1.3")


def test_a_client_without_alpn_is_refused(hosts, hosta, refusal):
    assert_shut_out(hosts, hosta, alpn=None)
    refusal("class=PEER", "ALPN")


def test_a_client_of_another_alpn_is_refused(hosts, hosta, refusal):
    assert_shut_out(hosts, hosta, alpn="h2")
    refusal("class=PEER", "does not speak this protocol")


def test_no_session_ticket_is_given_out(hosts, hosta, daemons):
    with dial(hosts, hosta) as peer:
        assert peer.open().type == ACCEPT
        assert not peer.connection.session.has_ticket
        assert not peer.connection.session_reused
        assert peer.finish()


# After the handshake.


def test_garbage_in_place_of_the_first_frame_is_refused(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        peer.send(b"\xa5" * 100)
        assert peer.end() == "closed"
    refusal("class=PEER", "frame of unknown type 165", "hosta.example")


def test_garbage_in_place_of_a_tls_record_is_refused(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        socket.socket.sendall(peer.connection, b"\x17\x03\x03\x00\x40" + b"\xa5" * 64)
        peer.end()
    refusal("class=PEER", "TLS")


@pytest.mark.sanitized
def test_a_truncated_first_frame_is_a_lost_connection(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        peer.send(open_frame("control")[:40])
    refusal("class=LINK", "closed by the peer")


def test_a_client_that_says_nothing_and_leaves_is_logged_once(hosts, refusal):
    tcp_to(hosts.a, hosts.b).close()
    refusal("class=LINK", "closed by the peer", hosts.a.address)


def test_a_first_frame_that_is_not_open_is_refused(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        peer.send(frame(DATA, 0, b"x" * 1000))
        assert peer.end() == "closed"
    refusal("class=PEER", "the first frame is neither OPEN nor RESUME")


def test_an_answer_in_place_of_a_question_is_refused(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        peer.send(limit_frame(ACCEPT))
        assert peer.end() == "closed"
    refusal("class=PEER", "the first frame is neither OPEN nor RESUME")


def test_a_text_in_open_that_is_not_printable_is_refused(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        peer.send(open_frame("con\ntrol"))
        assert peer.end() == "closed"
    refusal("class=PEER", "malformed OPEN")


def test_an_open_with_bytes_to_spare_is_refused(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        payload = open_frame("control")[16:] + b"more"
        peer.send(frame(1, 0, payload))
        assert peer.end() == "closed"
    refusal("class=PEER", "malformed OPEN")


@pytest.mark.sanitized
def test_another_protocol_version_is_refused_with_its_reason(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        answer = peer.open(version=2)
        assert (answer.type, answer.reason) == (REFUSE, VERSION)
        assert "version 1" in answer.text
        assert peer.receive() is None
    refusal("class=PEER", "version 1", "hosta.example")


def test_an_unknown_service_is_refused(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        answer = peer.open("libvirt")
        assert (answer.type, answer.reason) == (REFUSE, NO_SERVICE)
        assert peer.receive() is None
    refusal("channel.refused", "service=libvirt", "no such service")


def test_a_service_is_a_name_and_never_a_path(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        assert peer.open("../../run/culvert/control.sock").reason == NO_SERVICE
    refusal("channel.refused", "no such service")


def test_a_service_cannot_forge_fields_of_the_log(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        assert peer.open('control from="10.0.0.1:1" reason="all is well').reason == NO_SERVICE
    line = refusal("channel.refused")
    assert len(re.findall(r'(?:^|[ ])(?:from|reason)=', line)) == 2, line


def test_an_identity_cannot_forge_fields_of_the_log(hosts, authority, refusal):
    san = r'URI:x\" service=control reason=\"all is well'
    with dial(hosts, authority.issue("forger", san=san)) as peer:
        assert peer.open().reason == NOT_PERMITTED
    line = refusal("channel.refused", "service=control reason=?all is well")
    assert line.count('"') == 4, line


def test_a_peer_without_services_may_use_none(hosts, authority, refusal):
    with dial(hosts, authority.issue("nobody")) as peer:
        answer = peer.open("control")
        assert (answer.type, answer.reason) == (REFUSE, NOT_PERMITTED)
        assert "'services'" in answer.text
        assert peer.receive() is None
    refusal("channel.refused", "nobody.example", "service=control", "not permitted")


def test_a_peer_whose_services_are_not_mentioned_may_use_none(hosts, authority, refusal):
    with dial(hosts, authority.issue("silent")) as peer:
        assert peer.open("control").reason == NOT_PERMITTED
    refusal("channel.refused", "silent.example")


def test_a_peer_without_services_does_not_learn_which_exist(hosts, authority, refusal):
    with dial(hosts, authority.issue("nobody")) as peer:
        assert peer.open("no-such-service").reason == NOT_PERMITTED
    refusal("not permitted")


# Resuming: only with everything right, and whatever is wrong is answered alike.


@pytest.fixture
def broken(hosts, hosta, daemons, talkative):
    """The id and the secret of a channel that has lost its link after one answered question."""
    names = {"channel": secrets.token_bytes(16), "secret": secrets.token_bytes(32)}
    log = Log(daemons[1])
    with dial(hosts, hosta) as peer:
        assert peer.open(**names).type == ACCEPT
        assert peer.ask("ping") == {"return": {}}
        sent, received = peer.sent_bytes, peer.received_bytes
    log.wait_for_warnings()
    yield names
    with dial(hosts, hosta) as peer:
        answer = peer.resume(**names, epoch=2, delivered=received)
        assert (answer.type, answer.offset) == (RESUMED, sent), "the channel came to harm"
        peer.sent_bytes, peer.received_bytes = sent, received
        assert peer.ask("ping") == {"return": {}}
        assert peer.finish()


UNKNOWN = (REFUSE, NO_SERVICE, "no such channel")


def resume(hosts, certificate, **fields):
    with dial(hosts, certificate) as peer:
        answer = peer.resume(**fields)
        assert answer.type == RESUMED or peer.receive() is None
        return (answer.type, answer.reason, answer.text) if answer.type == REFUSE else answer


@pytest.mark.sanitized
def test_a_resume_of_an_unknown_channel_is_refused(hosts, hosta, refusal):
    secret = secrets.token_bytes(32)
    assert resume(hosts, hosta, secret=secret) == UNKNOWN
    assert secret.hex()[:16] not in refusal("service=(resume)", "no such channel", "hosta.example")


def test_a_channel_that_lost_its_link_is_resumed_by_its_opener(broken):
    pass  # what the fixture proves of an untouched one


def test_a_resume_with_a_wrong_secret_is_refused(hosts, hosta, broken, refusal):
    wrong = bytes([broken["secret"][0] ^ 1]) + broken["secret"][1:]
    assert resume(hosts, hosta, channel=broken["channel"], secret=wrong) == UNKNOWN
    line = refusal("no such channel")
    assert broken["secret"].hex()[:8] not in line and wrong.hex()[:8] not in line


def test_a_resume_by_another_peer_is_refused_though_it_has_the_secret(
    hosts, hostc, broken, refusal
):
    assert resume(hosts, hostc, **broken) == UNKNOWN
    refusal("hostc.example", "no such channel")


def test_a_resume_beyond_what_was_sent_is_refused(hosts, hosta, broken, refusal):
    assert resume(hosts, hosta, **broken, delivered=10**6) == UNKNOWN
    refusal("no such channel")


def test_a_resume_before_what_was_acknowledged_is_refused(hosts, hosta, daemons, talkative):
    names = {"channel": secrets.token_bytes(16), "secret": secrets.token_bytes(32)}
    log = Log(daemons[1])
    with dial(hosts, hosta) as peer:
        assert peer.open(**names).type == ACCEPT
        assert peer.ask("ping") == {"return": {}}
        sent, received = peer.sent_bytes, peer.received_bytes
        peer.send(limit_frame(ACK, received), frame(PING))
        assert peer.receive_type(PONG)
    log.wait_for_warnings()
    assert resume(hosts, hosta, **names, delivered=0) == UNKNOWN
    with dial(hosts, hosta) as peer:
        assert peer.resume(**names, delivered=received).type == RESUMED
        peer.sent_bytes, peer.received_bytes = sent, received
        assert peer.finish()
    assert "no such channel" in log.wait_for_warnings(2)[1]


def test_a_resume_of_an_epoch_that_was_is_refused(hosts, hosta, broken, daemons):
    log = Log(daemons[1])
    assert resume(hosts, hosta, **broken, epoch=0) == UNKNOWN
    with dial(hosts, hosta) as peer:
        assert peer.resume(**broken, epoch=1).type == RESUMED
    log.wait_for_warnings(2)
    assert resume(hosts, hosta, **broken, epoch=1) == UNKNOWN
    assert "no such channel" in log.wait_for_warnings(3)[2]


def test_a_stranger_does_not_learn_which_channels_exist(hosts, authority, broken):
    stranger = authority.issue("stranger2")
    assert resume(hosts, stranger, **broken) == resume(hosts, stranger)


# Tokens: each is good once, for the identity that it was given to.


@pytest.fixture
def waiting(hosts, guest):
    machine = guest("arrival", host=hosts.b, incoming=True, memory_mib=64)
    machine.qmp("query-status")
    yield machine
    machine.kill()


def test_a_made_up_token_is_refused(hosts, hosta, refusal):
    token = secrets.token_hex(16)
    with dial(hosts, hosta) as peer:
        answer = peer.open("migration", token)
        assert (answer.type, answer.reason, answer.text) == (REFUSE, NO_SERVICE, "no such token")
        assert peer.receive() is None
    assert token not in refusal("service=migration", "no such token")


def test_a_path_is_no_token(hosts, hosta, refusal):
    with dial(hosts, hosta) as peer:
        assert peer.open("migration", "/run/culvert/control.sock").text == "no such token"
    refusal("service=migration", "no such token")


@pytest.mark.sanitized
def test_a_token_of_another_identity_is_refused_and_stays_good(
    hosts, hosta, hostc, waiting, refusal
):
    with dial(hosts, hosta) as control:
        token = prepare(control, "arrival")
        with dial(hosts, hostc) as thief:
            answer = thief.open("migration", token)
            assert (answer.reason, answer.text) == (NO_SERVICE, "no such token")
        assert token not in refusal("hostc.example", "no such token")
        with dial(hosts, hosta) as owner:
            assert owner.open("migration", token).type == ACCEPT
            assert control.finish()
            assert owner.finish()


def test_a_token_is_good_once(hosts, hosta, waiting, refusal):
    with dial(hosts, hosta) as control:
        token = prepare(control, "arrival")
        with dial(hosts, hosta) as first, dial(hosts, hosta) as second:
            assert first.open("migration", token).type == ACCEPT
            answer = second.open("migration", token)
            assert (answer.reason, answer.text) == (NO_SERVICE, "no such token")
            assert token not in refusal("hosta.example", "no such token")
            assert control.finish()
            assert first.finish()


def test_a_token_dies_with_its_control_channel(hosts, hosta, waiting, daemons):
    log = Log(daemons[1])
    with dial(hosts, hosta) as control:
        token = prepare(control, "arrival")
        assert control.finish()
    (line,) = log.wait_for_warnings()
    assert "hosta withdrew before memory moved" in line
    with dial(hosts, hosta) as peer:
        assert peer.open("migration", token).text == "no such token"
    assert not any(token in line for line in log.lines())


def test_a_start_before_the_stream_is_refused_so_that_nothing_is_held_for_ever(
    hosts, hosta, waiting, daemons
):
    with dial(hosts, hosta) as control:
        prepare(control, "arrival")
        assert "channel" in control.ask("start")["error"]["desc"]
        assert waiting.migration()["status"] == "none"
        assert control.finish()
    wait_until(lambda: all(x["ended"] for x in daemons[1].migrations()), "it is withdrawn")


def test_what_was_prepared_gives_way_to_its_source_though_it_still_holds_the_line(
    hosts, hosta, waiting, daemons
):
    """A source whose host was switched off does not end its channels: the deadline does, minutes later."""
    with dial(hosts, hosta) as first, dial(hosts, hosta) as second:
        token = prepare(first, "arrival")
        assert prepare(second, "arrival") != token
        assert "error" in first.ask("start")
        assert waiting.migration()["status"] == "none"
        assert second.finish()
        assert first.finish()


# The same, seen by the operator on the side that dials.


def assert_told(result, exit_code, *words):
    """One line on stderr, of this class, with these words in it."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("culvert: ")
    for word in words:
        assert word in lines[0]
    assert result.returncode == exit_code, lines[0]


def ping_fake(hosts, daemons, script):
    with Listener(hosts.b, FAKE_PORT, script):
        return daemons[0].culvert("ping", "fake")


def idle(peer):
    peer.end()


def ping_certificate(hosts, daemons, certificate, **settings):
    context = tls_settings(certificate, server=True, **settings)
    return ping_fake(hosts, daemons, serving(context, idle))


def test_a_wrong_identity_is_told_with_both_names(hosts, daemons):
    assert_told(
        daemons[0].culvert("ping", "misnamed"), 6, "misnamed at 10.98.0.2 port 16520",
        "proves to be 'hostb.example', not 'other.example'", "check 'address' and 'identity'",
    )  # fmt: skip


def test_a_migration_to_a_wrong_identity_moves_nothing(hosts, daemons, guest):
    machine = guest("prudent", memory_mib=64)
    before = machine.qmp("query-migrate-capabilities")
    result = daemons[0].culvert("migrate", "prudent", "misnamed")
    assert result.returncode == 6
    assert "proves to be 'hostb.example'" in result.stderr
    assert machine.status == "running"
    assert machine.qmp("query-migrate-capabilities") == before
    assert machine.migration()["status"] == "none"
    machine.kill()


def test_a_server_of_another_authority_is_told(hosts, foreign, daemons):
    result = ping_certificate(hosts, daemons, foreign.issue("fake"), verify=False)
    assert_told(result, 6, "the peer's certificate is not signed by the configured CA", "key 'ca'")


def test_an_expired_server_is_told_with_the_date(hosts, authority, daemons):
    expired = authority.issue_expired("fake-expired", san="DNS:fake.example")
    result = ping_certificate(hosts, daemons, expired)
    assert_told(result, 6, "fake at", "the peer's certificate expired at", "UTC", "renew it")


def test_a_server_that_is_not_yet_valid_is_told_to_compare_clocks(hosts, authority, daemons):
    early = authority.issue_not_yet_valid("fake-early", san="DNS:fake.example")
    result = ping_certificate(hosts, daemons, early)
    assert_told(result, 6, "the peer's certificate is not valid before", "compare the clocks")


def test_a_server_with_a_common_name_only_is_told(hosts, authority, daemons):
    unnamed = authority.issue("fake.example", san="IP:10.98.0.2")
    result = ping_certificate(hosts, daemons, unnamed)
    assert_told(result, 6, "proves to be '(no name)', not 'fake.example'")


def test_a_plain_text_server_is_told(hosts, daemons):
    result = ping_fake(hosts, daemons, lambda plain: plain.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert_told(result, 5, "fake at", "does not speak this protocol")


def test_a_tls_1_2_server_is_told(hosts, authority, daemons):
    result = ping_certificate(
        hosts, daemons, authority.issue("fake-12", san="DNS:fake.example"),
        version=ssl.TLSVersion.TLSv1_2,
    )  # fmt: skip
    assert_told(result, 5, "does not speak TLS 1.3")


def test_a_server_without_alpn_is_told(hosts, authority, daemons):
    certificate = authority.issue("fake-alpn", san="DNS:fake.example")
    result = ping_certificate(hosts, daemons, certificate, alpn=None)
    assert_told(result, 5, "does not speak this protocol")


@pytest.fixture(scope="module")
def fake(authority):
    """A server whose certificate is right; what it says is up to the test."""
    return tls_settings(authority.issue("fake"), server=True)


def test_a_server_that_closes_without_an_answer_is_a_lost_link(hosts, daemons, fake):
    result = ping_fake(hosts, daemons, serving(fake, lambda peer: peer.receive()))
    assert_told(result, 4, "fake at")


def test_garbage_in_place_of_an_answer_is_told(hosts, daemons, fake):
    def script(peer):
        peer.send(b"\xa5" * 64)
        idle(peer)

    result = ping_fake(hosts, daemons, serving(fake, script))
    assert_told(result, 5, "fake at", "frame of unknown type 165")


def test_a_question_in_place_of_an_answer_is_told(hosts, daemons, fake):
    script = serving(fake, lambda peer: (peer.send(open_frame("control")), idle(peer)))
    assert_told(ping_fake(hosts, daemons, script), 5, "not the answer to what was asked")


def test_a_refusal_is_told_in_the_words_of_the_peer(hosts, daemons, fake):
    refuse = reason_frame(REFUSE, VERSION, "this host speaks version 9")
    script = serving(fake, lambda peer: (peer.receive(), peer.send(refuse)))
    assert_told(ping_fake(hosts, daemons, script), 5, "refused there: this host speaks version 9")


@pytest.mark.sanitized
def test_a_refusal_with_control_characters_is_not_shown(hosts, daemons, fake):
    refuse = reason_frame(REFUSE, VERSION, "\x1b[2Jall is well")
    script = serving(fake, lambda peer: (peer.receive(), peer.send(refuse), idle(peer)))
    result = ping_fake(hosts, daemons, script)
    assert_told(result, 5, "malformed reason")
    assert "\x1b" not in result.stderr


def test_a_refusal_for_want_of_permission_is_told_as_one(hosts, daemons, fake):
    refuse = reason_frame(REFUSE, NOT_PERMITTED, "see 'services'")
    script = serving(fake, lambda peer: (peer.receive(), peer.send(refuse)))
    assert_told(ping_fake(hosts, daemons, script), 6, "refused there: see 'services'")


def test_an_accepted_channel_that_breaks_is_told(hosts, daemons, fake):
    script = serving(fake, lambda peer: (peer.receive(), peer.send(limit_frame(ACCEPT))))
    assert_told(ping_fake(hosts, daemons, script), 4, "lost contact with fake")


def test_an_answer_that_is_not_json_is_told(hosts, daemons, fake):
    def script(peer):
        peer.receive()
        peer.send(limit_frame(ACCEPT), frame(DATA, 0, b"\x00\x01 not json\n"))
        peer.receive_type(EOF)

    assert_told(ping_fake(hosts, daemons, serving(fake, script)), 5, "fake", "not JSON")


def test_an_error_of_a_peer_cannot_forge_fields_of_the_log(hosts, daemons, fake, guest):
    answer = {"error": {"class": "LOCAL", "desc": 'no" event=ready host="elsewhere'}}

    def script(peer):
        peer.receive()
        peer.send(limit_frame(ACCEPT))
        peer.receive_type(DATA)
        peer.say({**answer, "id": 1})
        peer.receive_type(EOF)

    log = Log(daemons[0])
    machine = guest("quoted", memory_mib=64)
    machine.qmp("query-status")
    with Listener(hosts.b, FAKE_PORT, serving(fake, script)):
        assert daemons[0].culvert("migrate", "quoted", "fake").returncode != 0
    (line,) = [x for x in log.lines() if "event=migration.ended" in x]
    assert line.endswith("reason=\"fake: no' event=ready host='elsewhere\"")
    machine.kill()


def test_a_server_that_never_answers_is_given_up_after_ten_seconds(hosts, daemons):
    begun = time.monotonic()
    result = ping_fake(hosts, daemons, lambda plain: plain.recv(1 << 20) and plain.recv(1))
    assert_told(result, 4, "no answer within 10 s")
    assert 9 < time.monotonic() - begun < 14


# Two real daemons that do not trust each other.


@pytest.fixture
def pair(hosts):
    """pair(certificate_a, certificate_b, peers_b=None): two more daemons, on ports of their own."""
    started = []
    # Not tmp_path: what is too long for the sockets of migrations is refused.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="culvert-"))

    def start(certificate_a, certificate_b, peers_b=None):
        a, b = (Host(x.name, x.namespace, x.address, directory / x.name) for x in hosts)
        address_a, address_b = f"{a.address}:16531", f"{b.address}:16532"
        peers_a = [peer_of(b, address=address_b)]
        if peers_b is None:
            peers_b = [peer_of(a, address=address_a)]
        for daemon in (
            Daemon(a, certificate_a, peers_a, listen=address_a),
            Daemon(b, certificate_b, peers_b, listen=address_b),
        ):
            started.append(daemon.start())
        return started

    yield start
    for daemon in started:
        daemon.stop()
        assert "Sanitizer" not in daemon.log_text()
    shutil.rmtree(directory)


def test_two_daemons_of_different_authorities_both_say_so(authority, foreign, hosta, pair):
    a, b = pair(hosta, foreign.issue("hostb"))
    log = Log(b)
    assert_told(a.culvert("ping", "hostb"), 6, "hostb at", "not signed by the configured CA")
    (line,) = log.wait_for_warnings()
    assert "the peer does not know the CA that signed this host's certificate" in line


def test_a_daemon_that_is_not_known_to_its_peer_is_told(authority, hosta, pair):
    a, _ = pair(hosta, authority.issue("hostb2", san="DNS:hostb.example"), peers_b=[])
    assert_told(a.culvert("ping", "hostb"), 6, "no [peer] section there has an identity of this")


def test_a_daemon_without_permission_is_told_where_to_give_it(hosts, authority, hosta, pair):
    peers = [peer_of(hosts.a, services="", address=hosts.a.address)]
    a, _ = pair(hosta, authority.issue("hostb3", san="DNS:hostb.example"), peers_b=peers)
    assert_told(a.culvert("ping", "hostb"), 6, "not permitted", "'services'")


def test_a_certificate_that_expires_while_its_daemon_runs_is_refused(authority, hosta, pair):
    """Both ways: the daemon with the expired certificate is told, and so is who dials it."""
    short = authority.issue("short", san="DNS:hostb.example", not_after=timedelta(seconds=3))
    expiry = time.monotonic() + 3
    a, b = pair(hosta, short)
    a.culvert("ping", "hostb", check=True)
    b.culvert("ping", "hosta", check=True)
    time.sleep(max(0, expiry - time.monotonic()) + 1)
    log = Log(a)
    assert_told(a.culvert("ping", "hostb"), 6, "the peer's certificate expired at", "renew it")
    assert_told(b.culvert("ping", "hosta"), 6, "this host's certificate is expired", "clocks")
    (line,) = log.wait_for_warnings()
    assert "the peer's certificate expired at" in line
