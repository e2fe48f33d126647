"""Any local program reaches a permitted unix-socket service of another host."""

import os
import resource
import signal
import socket
import threading
import time

import pytest
from crossing import break_connections

from lab.daemon import Daemon, peer_of
from lab.wait import wait_until

MIB = 1 << 20


class Echo:
    """A service: what comes goes back, and the end of one direction ends the other."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _serve(connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass


@pytest.fixture
def daemons(hosts, authority):
    """hostb offers services `echo`, `nobody` and `secret`; hosta may use the first two."""
    certificates = [authority.issue(host.name) for host in hosts]
    pair = (
        Daemon(hosts.a, certificates[0], [peer_of(hosts.b)]),
        Daemon(hosts.b, certificates[1], [peer_of(hosts.a, services="echo, nobody")]),
    )
    with open(pair[0].configuration_path, "a") as file:
        file.write(f"[forward fixed]\nlisten = {hosts.a.directory}/fixed\nhost = hostb\nservice = echo\n")
    with open(pair[1].configuration_path, "a") as file:
        for name in ("echo", "nobody", "secret"):
            file.write(f"[service {name}]\nsocket = {hosts.b.directory}/{name}\n")
    Echo(hosts.b.directory / "echo")
    Echo(hosts.b.directory / "secret")
    for daemon in pair:
        daemon.start()
    yield pair
    for daemon in pair:
        if daemon.exit_code is None:
            assert daemon.stop() == 0
        assert "Sanitizer" not in daemon.log_text()


@pytest.fixture
def forward(hosts, daemons):
    """forward(SERVICE): `culvert forward hostb SERVICE` in the background, and its socket's path"""
    processes = []

    def start(service, path=hosts.a.directory / "here"):
        process = daemons[0].spawn_culvert("forward", "hostb", service, "--listen", path)
        processes.append(process)
        assert process.stdout.readline().startswith(f"listening on {path}")
        return process, path

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(path))
    return connection


def receive(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(65536)
        if not piece:
            raise EOFError(f"{len(data)} of {count} bytes")
        data += piece
    return data


def exchange(path, data=b"hello"):
    with connect(path) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        got = receive(connection, len(data))
        assert connection.recv(1) == b""
    return got


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


@pytest.mark.sanitized
def test_bytes_pass_both_ways_and_an_end_of_one_direction_leaves_the_other(forward):
    _, path = forward("echo")

    with connect(path) as connection:
        connection.sendall(b"first")
        assert receive(connection, 5) == b"first"
        connection.sendall(b"last")
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 4) == b"last"
        assert connection.recv(1) == b""


def test_a_forward_of_the_configuration_is_there_from_the_start(hosts, daemons):
    path = hosts.a.directory / "fixed"

    assert exchange(path) == b"hello"
    assert path.stat().st_mode & 0o777 == 0o660
    assert daemons[0].stop() == 0
    assert not path.exists()


def test_many_connections_at_once_do_not_mix(forward):
    _, path = forward("echo")
    wrong = []

    def talk(index):
        data = bytes([index]) * 100_000
        if exchange(path, data) != data:
            wrong.append(index)

    threads = [threading.Thread(target=talk, args=(x,)) for x in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert wrong == []


@pytest.mark.sanitized
def test_reset_connections_in_the_midst_lose_no_byte(hosts, forward):
    _, path = forward("echo")
    data = os.urandom(8 * MIB)
    hosts.shape("100mbit")

    with connect(path) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        got = receive(connection, MIB)
        for _ in range(3):
            break_connections(hosts.a)
            time.sleep(0.2)
        got += receive(connection, len(data) - len(got))
        sender.join()
    assert got == data


def refusal(daemons, forward, service):
    process, path = forward(service)
    with connect(path) as connection:
        assert connection.recv(1) == b""
    line = process.stderr.readline()
    process.kill()
    return line


def test_a_service_that_is_not_permitted_is_refused_like_one_that_is_not_there(daemons, forward):
    secret = refusal(daemons, forward, "secret")
    unknown = refusal(daemons, forward, "unknown")
    path = refusal(daemons, forward, "migration")

    assert "no such service for this host" in secret
    assert secret == unknown == path
    assert "event=channel.refused" in daemons[1].log_text()


def test_a_service_that_nobody_serves_is_told(daemons, forward):
    assert "nobody serves it there" in refusal(daemons, forward, "nobody")
    assert "event=service.unreachable service=nobody" in daemons[1].log_text()


def test_an_ended_forward_takes_its_socket_along_and_leaves_connections_open(forward):
    process, path = forward("echo")
    with connect(path) as connection:
        connection.sendall(b"one")
        assert receive(connection, 3) == b"one"

        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert not path.exists()

        connection.sendall(b"two")
        assert receive(connection, 3) == b"two"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nowhere", "echo", "--listen", "{dir}/x"), 2, "unknown host 'nowhere'"),
        (("hostb", "echo"), 2, "--listen PATH is missing"),
        (("hostb", "echo", "--listen", "/" + "x" * 120), 3, "too long for a unix socket"),
        (("hostb", "echo", "--listen", "{dir}/fixed"), 3, "listens on"),
        (("hostb", "echo", "--listen", "{dir}/none/x"), 3, "No such file"),
    ],
)
def test_a_wrong_command_line_is_told(hosts, daemons, words, code, told):
    result = daemons[0].culvert("forward", *[x.format(dir=hosts.a.directory) for x in words])

    assert (result.returncode, told in result.stderr) == (code, True), result.stderr


def test_descriptors_that_nobody_asked_for_are_closed(hosts, daemons):
    before = descriptors(daemons[0])
    spare = [socket.socketpair() for _ in range(4)]
    with connect(daemons[0].socket_path) as control:
        control.recv(65536)
        for line in (b'{"execute": "status"}\n', b'{"execute": "connect"}\n', b"x" * 100):
            socket.send_fds(control, [line], [x[0].fileno() for x in spare])
            socket.send_fds(control, [line], [spare[0][0].fileno()])
            time.sleep(0.1)
    for pair in spare:
        pair[0].close()
        pair[1].settimeout(5)
        assert pair[1].recv(1) == b"", "the daemon holds the other end"
        pair[1].close()
    wait_until(lambda: descriptors(daemons[0]) <= before, "all descriptors closed", 10)


def test_connections_that_have_ended_leave_no_descriptor_behind(daemons, forward):
    _, path = forward("echo")
    exchange(path)
    before = [descriptors(x) for x in daemons]

    for _ in range(30):
        exchange(path)

    wait_until(lambda: [descriptors(x) for x in daemons] <= before, "descriptors closed", 10)


def memory_kib(daemons):
    lines = [
        line
        for daemon in daemons
        for line in open(f"/proc/{daemon.pid}/smaps_rollup")
        if line.startswith("Pss:")
    ]
    return sum(int(line.split()[1]) for line in lines)


@pytest.fixture
def many_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_thousand_channels_are_open_and_cost_little_while_they_are_idle(hosts, daemons, many_descriptors):
    path = hosts.a.directory / "fixed"
    connections = []

    exchange(path)
    before = memory_kib(daemons)
    try:
        for number in range(1000):
            connection = connect(path)
            connections.append(connection)
            connection.sendall(number.to_bytes(4, "big"))
            assert receive(connection, 4) == number.to_bytes(4, "big")
        if "asan" not in os.environ.get("CULVERT_BUILD", ""):
            assert (memory_kib(daemons) - before) / 1000 <= 64
        for number, connection in enumerate(connections):
            connection.sendall(number.to_bytes(4, "big"))
        for number, connection in enumerate(connections):
            assert receive(connection, 4) == number.to_bytes(4, "big")
    finally:
        for connection in connections:
            connection.close()
