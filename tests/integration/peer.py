"""docs/PROTOCOL.md written down a second time, for peers that err or mean harm.

It shares nothing with src/: where the two disagree, one of them misreads the specification.
"""

import contextlib
import ctypes
import itertools
import json
import os
import secrets
import socket
import ssl
import struct
import threading
from typing import NamedTuple

from lab.daemon import PORT
from lab.wait import wait_until

OPEN, ACCEPT, REFUSE, RESUME, RESUMED, DATA, ACK, EOF, RESET, PING, PONG, RATE = range(1, 13)

GONE, STOPPING, NOT_PERMITTED, NO_SERVICE, VERSION, PROTOCOL, ENDED, TOO_MANY = range(1, 9)

LONGEST_DATA_BYTES = 65520
# What these peers are ready to hold, and what culvertd is at first
WINDOW_BYTES = 2 << 20
FIRST_WINDOW_BYTES = 128 << 10

_HEADER = struct.Struct("!BBHIQ")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Frame(NamedTuple):
    type: int
    offset: int
    payload: bytes

    @property
    def number(self):
        """The limit that ACCEPT, RESUMED and ACK carry."""
        return struct.unpack("!Q", self.payload)[0]

    @property
    def reason(self):
        return self.payload[0]

    @property
    def text(self):
        return self.payload[2:].decode("ascii")


def frame(type, offset=0, payload=b"", flags=0, reserved=0, length=None):
    """Any frame, a wrong one too: `length` may say something else than the payload has."""
    length = len(payload) if length is None else length
    return _HEADER.pack(type, flags, reserved, length, offset) + payload


def _text(text):
    encoded = text if isinstance(text, bytes) else text.encode()
    return bytes([len(encoded)]) + encoded


def open_frame(service, argument="", version=1, limit=WINDOW_BYTES, channel=None, secret=None):
    return frame(OPEN, payload=(
        struct.pack("!H", version) + (channel or secrets.token_bytes(16))
        + (secret or secrets.token_bytes(32)) + struct.pack("!Q", limit)
        + _text(service) + _text(argument)
    ))  # fmt: skip


def resume_frame(channel=None, secret=None, epoch=1, delivered=0, version=1):
    return frame(RESUME, delivered, (
        struct.pack("!H", version) + (channel or secrets.token_bytes(16))
        + (secret or secrets.token_bytes(32)) + struct.pack("!QQ", WINDOW_BYTES, epoch)
    ))  # fmt: skip


def limit_frame(type, offset=0, limit=WINDOW_BYTES):
    return frame(type, offset, struct.pack("!Q", limit))


def reason_frame(type, reason, text=""):
    return frame(type, 0, bytes([reason]) + _text(text))


@contextlib.contextmanager
def standing_on(host):
    """Sockets that this thread makes meanwhile belong to `host`."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{host.namespace}") as there:
        _enter(there)
        try:
            yield
        finally:
            _enter(home)


def _enter(namespace):
    if _libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def tcp_to(host, target, port=PORT, timeout=15):
    """A connection from `host` to `target`'s port."""
    with standing_on(host):
        plain = socket.socket()
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.settimeout(timeout)
    plain.connect((target.address, port))
    return plain


def tls_settings(certificate=None, server=False, version=None, alpn="culvert/1", verify=True):
    """An SSLContext; `certificate` None presents none, `version` is the newest that it speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # identities are compared by the tests
    context.verify_mode = ssl.CERT_REQUIRED if certificate and verify else ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate.certificate, certificate.key)
        context.load_verify_locations(certificate.ca)
    if version:
        context.maximum_version = version
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


class Peer:
    """One link, and the channel on it, of a program that is free to break every rule."""

    def __init__(self, connection):
        self.connection = connection
        self.sent_bytes = 0
        self.received_bytes = 0
        self._heard = b""

    @classmethod
    def dial(cls, host, target, certificate, **settings):
        return cls(tls_settings(certificate, **settings).wrap_socket(tcp_to(host, target)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def send(self, *frames):
        self.connection.sendall(b"".join(frames))

    def _take(self, length):
        taken = b""
        while len(taken) < length:
            piece = self.connection.recv(length - len(taken))
            if not piece:
                return None
            taken += piece
        return taken

    def receive(self):
        """The next frame, or None at the end of the connection."""
        header = self._take(_HEADER.size)
        if header is None:
            return None
        type, flags, reserved, length, offset = _HEADER.unpack(header)
        assert (flags, reserved) == (0, 0)
        payload = self._take(length)
        if payload is None:
            return None
        if type == DATA:
            assert offset == self.received_bytes
            self.received_bytes += length
        return Frame(type, offset, payload)

    def receive_type(self, *types):
        """The next frame of one of these types, or None."""
        while True:
            got = self.receive()
            if got is None or got.type in types:
                return got

    def end(self):
        """How the other side ended it: the reason of a TLS alert, or "closed"."""
        try:
            while self.connection.recv(65536):
                pass
        except ssl.SSLEOFError:
            return "closed"
        except ssl.SSLError as failure:
            return failure.reason
        except (ConnectionResetError, BrokenPipeError):
            return "closed"
        return "closed"

    def open(self, service="control", argument="", **fields):
        """Ask for a channel; the answer is a Frame."""
        self.send(open_frame(service, argument, **fields))
        return self.receive()

    def resume(self, **fields):
        """Ask for a channel back; the answer is a Frame."""
        self.send(resume_frame(**fields))
        return self.receive()

    def finish(self):
        """End the channel as the protocol says; True when the other side does so too."""
        self.send(frame(EOF, self.sent_bytes))
        acknowledged = ended = False
        while got := self.receive():
            if got.type == ACK:
                acknowledged = got.offset == self.sent_bytes + 1
            elif got.type == EOF:
                ended = got.offset == self.received_bytes
                end = self.received_bytes + 1
                self.send(limit_frame(ACK, end, end + WINDOW_BYTES))
        return acknowledged and ended

    # As the opener of a control channel.

    def say(self, line):
        """A line, or any bytes, in DATA frames."""
        data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
        for begin in range(0, len(data), LONGEST_DATA_BYTES):
            piece = data[begin : begin + LONGEST_DATA_BYTES]
            self.send(frame(DATA, self.sent_bytes, piece))
            self.sent_bytes += len(piece)

    def hear(self):
        """The next line of the control channel; None when the stream or the channel has ended."""
        while b"\n" not in self._heard:
            got = self.receive_type(DATA, EOF, RESET)
            if got is None or got.type != DATA:
                return None
            self._heard += got.payload
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)

    def ask(self, command, **arguments):
        self.say({"execute": command, "arguments": arguments})
        return self.hear()


_token_numbers = itertools.count(1)


def prepare(peer, vm, mode="precopy"):
    """Lead the destination's daemon to a token, as a source's would."""
    assert peer.open("control").type == ACCEPT
    answer = peer.ask("prepare", id=f"{next(_token_numbers):08x}", vm=vm, source_vm=vm, mode=mode,
                      qemu="7.2.0")  # fmt: skip
    assert "return" in answer, answer
    return peer.ask("attach")["return"]["token"]


class Listener:
    """A server on `host` that plays `script(plain socket)` with each who connects; a context."""

    def __init__(self, host, port, script):
        with standing_on(host):
            self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host.address, port))
        self._listener.listen()
        self._script = script
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(15)
            # What comes of it is seen by the daemon that dialled, and by its test.
            with plain, contextlib.suppress(OSError):
                self._script(plain)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)


def serving(context, script):
    """A script for Listener: the handshake as a server, then `script(Peer)`."""

    def play(plain):
        with Peer(context.wrap_socket(plain, server_side=True)) as peer:
            script(peer)

    return play


class Log:
    """What a daemon logs from here on."""

    def __init__(self, daemon):
        self._daemon = daemon
        self._begin = len(daemon.log_lines())

    def lines(self):
        return self._daemon.log_lines()[self._begin :]

    def warnings(self):
        return [line for line in self.lines() if line[:3] in ("<0>", "<1>", "<2>", "<3>", "<4>")]

    def wait_for_warnings(self, count=1, timeout=15):
        wait_until(lambda: len(self.warnings()) >= count, f"{count} log lines", timeout, 0.005)
        return self.warnings()


def descriptors_of(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def resident_kib(daemon):
    with open(f"/proc/{daemon.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
