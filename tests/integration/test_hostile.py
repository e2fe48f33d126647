"""Connections, clients and peers that mean harm. Whatever they do, culvertd lives, serves others,
and afterwards holds no descriptor, thread or memory of theirs.
"""

import contextlib
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import time

import pytest
from peer import (
    ACCEPT, ACK, DATA, ENDED, EOF, PING, PONG, PROTOCOL, RATE, REFUSE, RESET, RESUMED,
    FIRST_WINDOW_BYTES, WINDOW_BYTES, Listener, Log, Peer, descriptors_of, frame, limit_frame, open_frame, reason_frame,
    resident_kib, resume_frame, serving, tcp_to, tls_settings,
)  # fmt: skip

from lab.certificates import Authority
from lab.daemon import Daemon, peer_of
from lab.guest import build_directory
from lab.hosts import Hosts
from lab.wait import wait_until

FAKE_PORT = 17001
HUGE = 2**64 - 1
SEED = 20160413
# A sanitizer keeps freed memory for a while: with one, less can be said.
SANITIZED = b"libasan" in (build_directory() / "src" / "daemon" / "culvertd").read_bytes()
KEPT_KIB = 300 * 1024 if SANITIZED else 0


@pytest.fixture(scope="module")
def hosts():
    with Hosts() as pair:
        yield pair


@pytest.fixture(scope="module")
def authority(hosts):
    return Authority(hosts.directory / "certificates")


@pytest.fixture(scope="module")
def daemons(hosts, authority):
    fake = {"name": "fake", "address": f"{hosts.b.address}:{FAKE_PORT}",
            "identity": "fake.example", "services": "migrate",
            "resume_deadline": "1s"}  # fmt: skip
    mallory = {"name": "mallory", "address": "10.98.0.66", "identity": "mallory.example",
               "services": "migrate", "resume_deadline": "1s"}  # fmt: skip
    a = Daemon(hosts.a, authority.issue("hosta"), [peer_of(hosts.b), fake])
    b = Daemon(hosts.b, authority.issue("hostb"), [peer_of(hosts.a), mallory])
    for daemon in (a, b):
        daemon.start()
    ping(a)
    yield a, b
    for daemon in (a, b):
        assert daemon.stop() == 0
        assert "Sanitizer" not in daemon.log_text()


@pytest.fixture(scope="module")
def mallory(authority):
    """A certificate that hostb trusts."""
    return authority.issue("mallory")


def ping(daemon):
    """A good peer is served, and sooner than any of the deadlines that others may sit out."""
    begun = time.monotonic()
    daemon.culvert("ping", "hostb", "--count", "3", check=True)
    assert time.monotonic() - begun < 5


def holdings(daemon):
    return descriptors_of(daemon), len(os.listdir(f"/proc/{daemon.pid}/task"))


@pytest.fixture(autouse=True)
def tidy(daemons):
    """After every test, the daemons serve each other and hold what they held before."""
    before = [holdings(daemon) for daemon in daemons]
    yield
    assert [daemon.exit_code for daemon in daemons] == [None, None]
    ping(daemons[0])
    wait_until(lambda: [holdings(daemon) for daemon in daemons] == before,
               f"descriptors and threads as before: {before}", 20)  # fmt: skip


@contextlib.contextmanager
def crowd(hosts, count, **options):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(tcp_to(hosts.a, hosts.b, **options)) for _ in range(count)]


def has_ended(connection):
    connection.setblocking(False)
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


# Without a certificate: anyone who reaches the port.


def test_connections_that_say_nothing_or_little_are_dropped_after_ten_seconds(
    hosts, daemons, mallory
):
    """Three hundred silent ones, some that speak a byte a second, and some that stop after TLS."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    with crowd(hosts, 300) as silent, crowd(hosts, 20) as slow, contextlib.ExitStack() as stack:
        begun = time.monotonic()
        mute = [stack.enter_context(Peer.dial(hosts.a, hosts.b, mallory)) for _ in range(10)]
        ping(daemons[0])
        for byte in hello[:8]:
            for connection in slow:
                connection.sendall(bytes([byte]))
            time.sleep(1)
        assert not any(has_ended(x) for x in silent + slow)
        for connection in silent + slow:
            wait_until(lambda c=connection: has_ended(c), "a silent connection dropped", 5)
        assert 9 < time.monotonic() - begun < 14
        for peer in mute:
            assert peer.end() == "closed"
        assert time.monotonic() - begun < 14


@pytest.mark.sanitized
def test_more_silent_connections_than_there_is_room_for_do_not_keep_a_peer_out(hosts, daemons):
    with crowd(hosts, 700):
        ping(daemons[0])
        ping(daemons[0])


def test_half_a_client_hello_on_each_of_a_hundred_connections_keeps_nobody_out(hosts, daemons):
    with crowd(hosts, 100) as connections:
        for connection in connections:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 40)
        ping(daemons[0])


def test_random_bytes_on_five_hundred_connections_do_no_harm(hosts, daemons):
    chance = random.Random(SEED)
    log = Log(daemons[1])
    for _ in range(500):
        with tcp_to(hosts.a, hosts.b) as connection:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(chance.randbytes(chance.randrange(1, 3000)))
    ping(daemons[0])
    # What anyone can cause must not fill the disk.
    assert len(log.warnings()) <= 102


@pytest.mark.sanitized
def test_random_bytes_that_look_like_tls_do_no_harm(hosts, daemons):
    chance = random.Random(SEED)
    for _ in range(200):
        body = chance.randbytes(chance.randrange(1, 600))
        record = struct.pack("!BHH", chance.randrange(20, 25), 0x0301, len(body)) + body
        with tcp_to(hosts.a, hosts.b) as connection:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(record)
    ping(daemons[0])


@pytest.mark.sanitized
def test_a_handshake_with_flipped_bits_does_no_harm(hosts, daemons):
    """A real ClientHello, a byte of it changed each time."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls_settings().wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    chance = random.Random(SEED)
    for _ in range(200):
        changed = bytearray(hello)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        with tcp_to(hosts.a, hosts.b) as connection:
            connection.sendall(changed)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                connection.recv(4096)
    ping(daemons[0])


def test_connections_that_are_reset_do_no_harm(hosts, daemons):
    chance = random.Random(SEED)
    for _ in range(300):
        with tcp_to(hosts.a, hosts.b) as connection:
            connection.sendall(b"\x16\x03\x01"[: chance.randrange(1, 4)])
            # Closing sends RST.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ping(daemons[0])


def cpu_ticks(daemon):
    with open(f"/proc/{daemon.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_running_out_of_descriptors_is_survived_without_spinning(hosts, daemons):
    pid = str(daemons[1].pid)
    limits = subprocess.run(
        ["prlimit", "--pid", pid, "--nofile", "--output=SOFT", "--noheadings", "--raw"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    few = descriptors_of(daemons[1]) + 20
    subprocess.run(["prlimit", "--pid", pid, f"--nofile={few}:"], check=True)
    try:
        with crowd(hosts, 60):
            time.sleep(0.2)
            begun = cpu_ticks(daemons[1])
            time.sleep(1)
            assert cpu_ticks(daemons[1]) - begun < 30, "hundredths of a second in one"
    finally:
        soft = limits.stdout.strip()
        subprocess.run(["prlimit", "--pid", pid, f"--nofile={soft}:"], check=True)
    wait_until(lambda: daemons[0].culvert("ping", "hostb").returncode == 0, "served again", 15)


# The local control socket.


@contextlib.contextmanager
def control(daemon, timeout=15):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        client.connect(str(daemon.socket_path))
        lines = client.makefile("rb")
        assert "culvert" in json.loads(lines.readline())
        yield client, lines
        lines.close()


@pytest.mark.sanitized
@pytest.mark.parametrize("line", [
    b"not json\n", b"\n", b"{\n", b'{"execute": "status"\n', b'{"execute": "status"}}\n',
    b"\x00\x01\x02\xff\xfe\n", b'{"execute": "\xff\xfe"}\n', b'{"execute": "\\u0000"}\n',
    b'{"execute": "status", "id": NaN}\n', b'{"execute": "status", "id": 1e999}\n',
    b'{"execute": "status", "id": 99999999999999999999999}\n',
    b"[" * 60000 + b"\n", b'{"a":' * 12000 + b"\n", b"[" * 2100 + b"]" * 2100 + b"\n",
    b'"' + b"x" * (1 << 20) + b'"\n', b"x" * (1 << 20),
], ids=lambda line: repr(line[:24]))  # fmt: skip
def test_a_line_that_is_not_json_gets_an_error_and_the_end(daemons, line):
    with control(daemons[0]) as (client, lines):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(line)
        with contextlib.suppress(ConnectionResetError):
            answer = lines.readline()
            assert answer == b"" or json.loads(answer)["error"]["desc"]
            assert lines.readline() == b""
    daemons[0].culvert("status", check=True)


@pytest.mark.sanitized
@pytest.mark.parametrize("command", [
    1, None, "status", [], [{"execute": "status"}], {}, {"execute": None}, {"execute": ["status"]},
    {"execute": ""}, {"execute": "teleport"}, {"execute": "../status"},
    {"execute": "status", "arguments": []}, {"execute": "status", "arguments": {"x": 1}},
    {"execute": "status", "argument": {}}, {"execute": "ping"},
    {"execute": "ping", "arguments": {"host": 1}}, {"execute": "ping", "arguments": {"host": ""}},
    {"execute": "ping", "arguments": {"host": "hostb", "count": -1}},
    {"execute": "ping", "arguments": {"host": "hostb", "count": 1.5}},
    {"execute": "ping", "arguments": {"host": "hostb", "count": 2**62}},
    {"execute": "ping", "arguments": {"host": "x" * 60000}},
    {"execute": "migrate", "arguments": {"vm": "web"}},
    {"execute": "migrate", "arguments": {"vm": "../web", "host": "hostb"}},
    {"execute": "migrate", "arguments": {"vm": "web\nevent=forged", "host": "hostb"}},
    {"execute": "migrate", "arguments": {"vm": "web", "host": "hostb", "quit_source": "yes"}},
    {"execute": "migrate", "arguments": {"vm": "web", "host": "hostb", "mode": {}}},
    {"execute": "watch"}, {"execute": "watch", "arguments": {"migration": "%s%n"}},
    {"execute": "cancel", "arguments": {"migration": [1]}},
    {"execute": "x" * 60000},
], ids=lambda command: json.dumps(command)[:60])  # fmt: skip
def test_a_wrong_command_is_an_error_and_the_next_is_served(daemons, command):
    log = Log(daemons[0])
    with control(daemons[0]) as (client, lines):
        client.sendall(json.dumps(command).encode() + b"\n")
        error = json.loads(lines.readline())["error"]
        assert error["class"] == "USAGE" and error["desc"]
        client.sendall(b'{"execute": "status", "id": [1, {"a": null}]}\n')
        answer = json.loads(lines.readline())
        assert answer["id"] == [1, {"a": None}] and "return" in answer
    assert log.lines() == []


def test_commands_that_come_in_pieces_and_all_at_once_are_served(daemons):
    with control(daemons[0]) as (client, lines):
        for byte in b'{"execute": "peers"}\n':
            client.sendall(bytes([byte]))
        assert "return" in json.loads(lines.readline())
        client.sendall(b'{"execute": "peers"}\n' * 500)
        for _ in range(500):
            assert "return" in json.loads(lines.readline())


def test_a_client_that_leaves_in_the_middle_of_a_line_does_no_harm(daemons):
    for _ in range(50):
        with control(daemons[0]) as (client, _):
            client.sendall(b'{"execute": "stat')


def test_three_hundred_idle_clients_keep_nobody_out(daemons):
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(control(daemons[0]))
        daemons[0].culvert("status", check=True)
        ping(daemons[0])


def test_a_client_that_never_reads_keeps_nobody_out_and_is_dropped(daemons):
    with control(daemons[0]) as (client, _):
        client.settimeout(0.5)
        # Until neither side takes any more.
        with pytest.raises(TimeoutError):
            for _ in range(100000):
                client.sendall(b'{"execute": "peers"}\n' * 100)
        ping(daemons[0])
        client.settimeout(15)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.sendall(b'{"execute": "peers"}\n' * 100000)


@pytest.mark.sanitized
def test_random_bytes_on_the_control_socket_do_no_harm(daemons):
    chance = random.Random(SEED)
    for _ in range(200):
        with control(daemons[0]) as (client, _):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(chance.randbytes(chance.randrange(1, 3000)) + b"\n")
    daemons[0].culvert("status", check=True)


# With a certificate that is trusted: frames that the protocol forbids.


@contextlib.contextmanager
def channel(hosts, mallory, **fields):
    with Peer.dial(hosts.a, hosts.b, mallory) as peer:
        answer = peer.open("control", **fields)
        assert (answer.type, answer.number) == (ACCEPT, FIRST_WINDOW_BYTES)
        yield peer


def assert_reset(daemon, log, peer, *words):
    """The channel ended with RESET for breaking the protocol, and the log says so once."""
    got = peer.receive_type(RESET)
    assert got and got.reason == PROTOCOL
    assert peer.end() == "closed"
    log.wait_for_warnings()
    lines = log.warnings()
    assert len(lines) == 1, lines
    assert "event=channel.ended" in lines[0] and "peer=mallory" in lines[0]
    for word in words:
        assert word in got.text
        assert word in lines[0]


@pytest.mark.sanitized
@pytest.mark.parametrize("bad, told", [
    (frame(0), "unknown type 0"),
    (frame(13), "unknown type 13"),
    (frame(255, HUGE, length=2**32 - 1), "unknown type 255"),
    (frame(PING, flags=1), "unknown flags"),
    (frame(PING, reserved=1), "unknown flags"),
    (frame(DATA), "type 6 with 0 bytes"),
    (frame(DATA, length=65521), "type 6 with 65521 bytes"),
    (frame(DATA, length=2**32 - 1), "type 6 with 4294967295 bytes"),
    (frame(ACK, payload=b"1234567"), "type 7 with 7 bytes"),
    (frame(ACK, payload=b"123456789"), "type 7 with 9 bytes"),
    (frame(EOF, payload=b"x"), "type 8 with 1 bytes"),
    (frame(PING, payload=b"x"), "type 10 with 1 bytes"),
    (frame(PONG, payload=b"x"), "type 11 with 1 bytes"),
    (frame(RATE, payload=bytes(8)), "type 12 with 8 bytes"),
    (frame(RESET), "type 9 with 0 bytes"),
    (frame(RESET, length=2**16), "type 9 with 65536 bytes"),
    (reason_frame(RESET, 0), "malformed reason"),
    (reason_frame(RESET, 9), "malformed reason"),
    (reason_frame(RESET, ENDED, "\x1b[2J"), "malformed reason"),
    (reason_frame(RESET, ENDED, b"\xc3\xa9"), "malformed reason"),
    (frame(RESET, payload=b"\x07\x05four"), "malformed reason"),
    (frame(RESET, payload=b"\x07\x03four"), "malformed reason"),
    (open_frame("control"), "type 1 on an open channel"),
    (limit_frame(ACCEPT), "type 2 on an open channel"),
    (reason_frame(REFUSE, ENDED), "type 3 on an open channel"),
    (resume_frame(), "type 4 on an open channel"),
    (limit_frame(RESUMED), "type 5 on an open channel"),
    (frame(DATA, 1, b"x"), "gap in the stream"),
    (frame(DATA, 2**63, b"x"), "gap in the stream"),
    (frame(DATA, HUGE, b"xx"), "gap in the stream"),
    (frame(EOF, 1), "EOF at the wrong position"),
    (frame(EOF, HUGE), "EOF at the wrong position"),
    (frame(EOF) + frame(EOF, 1), "EOF at the wrong position"),
    (frame(EOF) + frame(DATA, 0, b"x"), "data after the end"),
    (frame(EOF) + frame(DATA, 1, b"x"), "gap in the stream"),
    (limit_frame(ACK, 1), "ACK beyond what was sent"),
    (limit_frame(ACK, HUGE, HUGE), "ACK beyond what was sent"),
    (limit_frame(ACK, 0, WINDOW_BYTES - 1), "limit runs backwards"),
    (limit_frame(ACK, 0, 0), "limit runs backwards"),
    (limit_frame(ACK, 0, HUGE) + limit_frame(ACK, 0, HUGE - 1), "limit runs backwards"),
], ids=lambda value: value if isinstance(value, str) else value.hex()[:40])  # fmt: skip
def test_a_frame_that_the_protocol_forbids_resets_the_channel(hosts, daemons, mallory, bad, told):
    log = Log(daemons[1])
    with channel(hosts, mallory) as peer:
        peer.send(bad)
        assert_reset(daemons[1], log, peer, told)


@pytest.mark.sanitized
def test_the_same_frame_in_single_bytes_resets_the_channel(hosts, daemons, mallory):
    log = Log(daemons[1])
    with channel(hosts, mallory) as peer:
        for byte in frame(PING, flags=1):
            peer.send(bytes([byte]))
        assert_reset(daemons[1], log, peer, "unknown flags")


def test_an_ack_that_runs_backwards_resets_the_channel(hosts, daemons, mallory):
    log = Log(daemons[1])
    with channel(hosts, mallory) as peer:
        assert peer.ask("ping") == {"return": {}}
        peer.send(limit_frame(ACK, peer.received_bytes), limit_frame(ACK, peer.received_bytes - 1))
        assert_reset(daemons[1], log, peer, "ACK runs backwards")


def test_data_beyond_the_limit_resets_the_channel(hosts, daemons, mallory):
    log = Log(daemons[1])
    # Nothing is answered, as our own limit is 0; so soon no question is taken any more. What was taken
    # until then, and what lies in the socket to who takes it, may have been promised anew.
    with channel(hosts, mallory, limit=0) as peer:
        peer.say(b'{"execute": "ping"}\n' * (8 * FIRST_WINDOW_BYTES // 20))
        assert_reset(daemons[1], log, peer, "data beyond the limit")


def test_a_frame_that_is_cut_off_is_a_lost_link(hosts, daemons, mallory):
    log = Log(daemons[1])
    with channel(hosts, mallory) as peer:
        peer.send(frame(DATA, 0, b"x" * 100)[:50])
    lost, ended = log.wait_for_warnings(2)
    assert "event=link.lost" in lost and "peer=mallory" in lost and "connection lost" in lost
    assert "event=channel.ended" in ended and "peer=mallory" in ended


def test_tls_garbage_on_an_open_channel_ends_it(hosts, daemons, mallory):
    log = Log(daemons[1])
    with channel(hosts, mallory) as peer:
        socket.socket.sendall(peer.connection, b"\x17\x03\x03\x00\x40" + b"\xa5" * 64)
        peer.end()
    (line,) = log.wait_for_warnings()
    assert "peer=mallory" in line


@pytest.mark.sanitized
def test_random_frames_after_accept_do_no_harm(hosts, daemons, mallory):
    chance = random.Random(SEED)
    for _ in range(30):
        with channel(hosts, mallory) as peer, contextlib.suppress(OSError):
            for _ in range(chance.randrange(1, 30)):
                payload = chance.randbytes(chance.choice([0, 1, 8, 8, 20, 300]))
                offset = chance.choice([0, 0, 0, 1, 20, HUGE, chance.randrange(HUGE)])
                peer.send(frame(chance.randrange(5, 12), offset, payload))
    ping(daemons[0])


# What looks wrong, and is not.


@pytest.mark.sanitized
def test_data_that_comes_twice_is_delivered_once(hosts, daemons, mallory):
    line = b'{"execute": "ping"}\n'
    with channel(hosts, mallory) as peer:
        peer.send(frame(DATA, 0, line), frame(DATA, 0, line), frame(DATA, 5, line[5:] + line))
        peer.sent_bytes = 2 * len(line)
        assert peer.hear() == {"return": {}}
        assert peer.hear() == {"return": {}}
        assert peer.finish()
        assert peer.received_bytes == 2 * len(b'{"return":{}}\n')


def test_an_eof_that_comes_twice_is_one_end(hosts, daemons, mallory):
    log = Log(daemons[1])
    with channel(hosts, mallory) as peer:
        peer.send(frame(EOF))
        assert peer.finish()  # sends it again
    wait_until(lambda: any("channel.ended" in x for x in log.lines()), "the end", 5)
    assert log.warnings() == []


def test_a_hundred_thousand_pings_are_answered_as_the_link_allows(hosts, daemons, mallory):
    with channel(hosts, mallory) as peer:
        for _ in range(100):
            peer.send(frame(PING, 7) * 1000)
        assert peer.receive_type(PONG).offset == 7
        assert peer.ask("ping") == {"return": {}}
        assert peer.finish()


def test_a_flood_of_rates_does_no_harm_and_a_rate_of_nothing_stops_nobody(hosts, daemons, mallory):
    with channel(hosts, mallory) as peer:
        for _ in range(100):
            peer.send((frame(RATE, HUGE) + frame(RATE, 1)) * 500)
        peer.send(frame(RATE, 0))
        assert peer.ask("ping") == {"return": {}}
        assert peer.finish()


def test_acknowledgements_without_end_do_no_harm(hosts, daemons, mallory):
    with channel(hosts, mallory) as peer:
        for _ in range(100):
            peer.send(limit_frame(ACK, 0) * 1000)
        assert peer.ask("ping") == {"return": {}}
        assert peer.finish()


# The words of a control channel.


@pytest.mark.parametrize("line", [
    b"not json\n", b"\x00\xff\n", b"[" * 60000 + b"\n", b'"' + b"x" * (1 << 20) + b'"\n',
], ids=lambda line: repr(line[:24]))  # fmt: skip
def test_a_peer_whose_lines_are_not_json_is_cut_off(hosts, daemons, mallory, line):
    log = Log(daemons[1])
    with channel(hosts, mallory) as peer:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            peer.say(line)
            assert peer.hear() is None
    log.wait_for_warnings()
    assert any("control.malformed peer=mallory" in x for x in log.warnings())


PREPARE = {"id": "0badcafe", "vm": "none", "source_vm": "none", "mode": "precopy", "qemu": "7.2.0"}


@pytest.mark.sanitized
@pytest.mark.parametrize("command", [
    1, [], {}, {"execute": 1}, {"execute": "teleport"}, {"execute": "quit"},
    {"execute": "attach"}, {"execute": "start"}, {"execute": "postcopy"},
    {"execute": "ping", "arguments": {"x": 1}}, {"execute": "ping", "arguments": []},
    {"execute": "prepare"},
    {"execute": "prepare", "arguments": {**PREPARE, "id": "0BADCAFE"}},
    {"execute": "prepare", "arguments": {**PREPARE, "id": "../../etc"}},
    {"execute": "prepare", "arguments": {**PREPARE, "id": "0badcafe0"}},
    {"execute": "prepare", "arguments": {**PREPARE, "id": 1}},
    {"execute": "prepare", "arguments": {**PREPARE, "vm": "../none"}},
    {"execute": "prepare", "arguments": {**PREPARE, "vm": "n\nevent=forged"}},
    {"execute": "prepare", "arguments": {**PREPARE, "vm": ""}},
    {"execute": "prepare", "arguments": {**PREPARE, "source_vm": "a b"}},
    {"execute": "prepare", "arguments": {**PREPARE, "mode": "teleport"}},
    {"execute": "prepare", "arguments": {**PREPARE, "qemu": None}},
    {"execute": "prepare", "arguments": {**PREPARE, "path": "/etc/passwd"}},
    {"execute": "prepare", "arguments": {**PREPARE, "parallel": 256}},
    {"execute": "prepare", "arguments": {**PREPARE, "parallel": -1}},
    {"execute": "prepare", "arguments": {**PREPARE, "preempt": 1}},
    {"execute": "prepare", "arguments": {**PREPARE, "disks": "all"}},
    {"execute": "prepare", "arguments": {**PREPARE, "disks": [1]}},
    {"execute": "prepare", "arguments": {**PREPARE, "disks": [{"name": "/etc/shadow", "bytes": 1}]}},
    {"execute": "prepare", "arguments": {**PREPARE, "disks": [{"name": "a", "bytes": -1}]}},
    {"execute": "prepare", "arguments": {**PREPARE, "disks": [{"name": "a", "bytes": 1}] * 400}},
    {"execute": "attach", "arguments": {"rendezvous": "../../etc"}},
    {"execute": "copied"}, {"execute": "copied", "arguments": {"x": 1}},
    {"execute": "rendezvous", "arguments": {"id": "0badcafe"}},
    {"execute": "rendezvous", "arguments": {"id": "0BADCAFE", "vm": "a", "mode": "precopy"}},
    {"execute": "rendezvous", "arguments": {"id": "0badcafe", "vm": "../a", "mode": "precopy"}},
    {"execute": "rendezvous", "arguments": {"id": "0badcafe", "vm": "a", "mode": "teleport"}},
    {"execute": "x" * 60000},
], ids=lambda command: json.dumps(command)[-60:])  # fmt: skip
def test_a_wrong_command_of_a_peer_is_an_error_and_changes_nothing(
    hosts, daemons, mallory, command
):
    log = Log(daemons[1])
    with channel(hosts, mallory) as peer:
        peer.say(command)
        assert peer.hear()["error"]["class"] == "USAGE"
        assert peer.ask("ping") == {"return": {}}
        assert peer.finish()
    assert not any("migration" in line for line in log.lines())


@pytest.mark.parametrize("more", [{}, {"more": 1}, {"qemu": "7.2.0"}], ids=json.dumps)
def test_no_words_of_a_peer_lead_out_of_the_qmp_directory(hosts, daemons, mallory, more):
    """A socket that is connected to and closed again may be the end of who listens there."""
    directory = hosts.b.directory / "elsewhere"
    directory.mkdir(exist_ok=True)
    path = directory / f"{len(more)}{'qemu' in more}.sock"
    with socket.socket(socket.AF_UNIX) as listener, channel(hosts, mallory) as peer:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(0.5)
        vm = os.path.relpath(path.with_suffix(""), hosts.b.qmp_directory)
        answer = peer.ask("rejoin", id="0badcafe", vm=vm, **more)
        assert answer.get("error", {}).get("class") == "USAGE", answer
        with pytest.raises(TimeoutError):
            listener.accept()
        assert peer.finish()


def test_a_peer_cannot_prepare_a_vm_that_is_not_there(hosts, daemons, mallory):
    with channel(hosts, mallory) as peer:
        error = peer.ask("prepare", **PREPARE)["error"]
        assert error["class"] == "LOCAL" and "no virtual machine 'none'" in error["desc"]
        assert peer.finish()


def test_a_peer_that_opens_all_the_control_channels_it_can_leaves_some_to_others(
    hosts, daemons, mallory
):
    with contextlib.ExitStack() as stack:
        peers, last = [], ACCEPT
        while last == ACCEPT and len(peers) < 700:
            peers.append(stack.enter_context(Peer.dial(hosts.a, hosts.b, mallory)))
            last = peers[-1].open("control").type
            if len(peers) % 20 == 0:  # or they would be taken for lost
                for peer in peers:
                    peer.send(frame(PING))
        assert last == REFUSE
        ping(daemons[0])


def test_a_peer_that_prepares_in_vain_without_end_does_not_fill_the_log(hosts, daemons, mallory):
    log = Log(daemons[1])
    with channel(hosts, mallory) as peer:
        for number in range(1500):
            assert "error" in peer.ask("prepare", **{**PREPARE, "id": f"{number:08x}"})
        assert peer.finish()
    for event in ("migration.incoming", "migration.ended"):
        assert 0 < sum(event in line for line in log.lines()) < 600


# The dialling side has the same rules.


@pytest.mark.sanitized
@pytest.mark.parametrize("bad, told", [
    (frame(DATA, 1, b"x"), "gap in the stream"),
    (frame(13), "unknown type 13"),
    (limit_frame(ACK, HUGE), "ACK beyond what was sent"),
    (frame(EOF) + frame(DATA, 0, b"x"), "data after the end"),
], ids=lambda value: value if isinstance(value, str) else value.hex()[:40])  # fmt: skip
def test_a_server_that_breaks_the_protocol_is_reset_and_told(
    hosts, authority, daemons, bad, told
):
    context = tls_settings(authority.issue("fake"), server=True)
    resets = []

    def script(peer):
        peer.receive()
        peer.send(limit_frame(ACCEPT), bad)
        resets.append(peer.receive_type(RESET))

    with Listener(hosts.b, FAKE_PORT, serving(context, script)):
        result = daemons[0].culvert("ping", "fake")
    assert result.returncode in (4, 5)
    assert len(result.stderr.splitlines()) == 1
    assert "fake" in result.stderr
    assert told in result.stderr
    assert resets[0].reason == PROTOCOL


# Memory.


@contextlib.contextmanager
def flood(hosts, mallory, count):
    """Peers that ask and never take an answer, until the daemon takes no more."""
    with contextlib.ExitStack() as stack:
        question = b'{"execute": "ping"}\n' * 100
        for _ in range(count):
            peer = stack.enter_context(channel(hosts, mallory, limit=HUGE))
            for _ in range(FIRST_WINDOW_BYTES // len(question)):
                peer.send(frame(DATA, peer.sent_bytes, question))
                peer.sent_bytes += len(question)
        yield


def test_peers_that_never_take_an_answer_cost_a_bounded_amount_of_memory(hosts, daemons, mallory):
    before = resident_kib(daemons[1])
    # A window and a replay buffer each; so often that what one round left behind would show.
    for _ in range(8):
        with flood(hosts, mallory, 8):
            ping(daemons[0])
            assert resident_kib(daemons[1]) - before < 8 * 11 * 1024 + KEPT_KIB


def test_connections_that_come_to_nothing_leave_no_memory_behind(hosts, daemons, mallory):
    def bother(count):
        for _ in range(count):
            with tcp_to(hosts.a, hosts.b) as connection:
                connection.sendall(b"nonsense")
            with Peer.dial(hosts.a, hosts.b, mallory) as peer:
                peer.send(resume_frame())
                assert peer.receive().type == REFUSE
        ping(daemons[0])
        return resident_kib(daemons[1])

    settled = bother(150)
    assert bother(300) < settled + 2048 + KEPT_KIB
