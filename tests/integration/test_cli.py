"""`culvert` against a control server that can be told to misbehave.

What a real daemon cannot be brought into easily: dying in the middle, answering rubbish, failing
in every class. The real binary, real sockets, real pseudo-terminals.
"""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CULVERT_BUILD", ROOT / "build"))
CULVERT = BUILD / "src/cli/culvert"

GREETING = {"culvert": {"version": "0.1.0", "host": "hosta"}}
MIB = 1 << 20


def migration(**changes):
    return {
        "id": "3fa91c02", "vm": "web1", "destination_vm": "web1", "direction": "outgoing",
        "host": "hostb", "mode": "hybrid", "switch": "auto", "phase": "precopy", "ended": False,
        "status": "active", "guest": "source", "pass": 1, "ram_total_bytes": 512 * MIB,
        "ram_remaining_bytes": 256 * MIB, "ram_transferred_bytes": 256 * MIB,
        "rate_bytes_per_s": 900 * MIB, "dirty_rate_bytes_per_s": 210 * MIB, "page_requests": 0,
        "expected_downtime_ms": 140, "downtime_ms": 0, "setup_ms": 12, "total_ms": 0,
        "elapsed_ms": 1200, "tunnel_to_peer_bytes": 256 * MIB, "tunnel_to_local_bytes": 4096,
        "error": None, "advice": None,
    } | changes


POSTCOPY = migration(phase="postcopy", status="postcopy-active", guest="destination", **{
    "pass": 2, "ram_remaining_bytes": 64 * MIB, "page_requests": 143, "downtime_ms": 23,
    "elapsed_ms": 3100})
COMPLETED = migration(phase="completed", status="completed", guest="destination", ended=True, **{
    "pass": 2, "ram_remaining_bytes": 0, "ram_transferred_bytes": 640 * MIB, "page_requests": 143,
    "downtime_ms": 23, "total_ms": 4210, "elapsed_ms": 4230,
    "tunnel_to_peer_bytes": 641 * MIB})


def failed(error_class, **changes):
    return migration(**({
        "phase": "failed", "status": "failed", "ended": True,
        "error": {"class": error_class, "desc": "the thing broke: mend it"}} | changes))


class Connection:
    """The server's end of one conversation."""

    def __init__(self, sock):
        self.sock = sock
        self.reader = sock.makefile("rb")

    def put(self, message):
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def get(self):
        line = self.reader.readline()
        return json.loads(line) if line else None

    def answer(self, value):
        """Take a command and return @value."""
        command = self.get()
        self.put({"return": value, "id": command["id"]})
        return command

    def refuse(self, error_class, desc="the thing broke: mend it"):
        command = self.get()
        self.put({"error": {"class": error_class, "desc": desc}, "id": command["id"]})

    def event(self, data):
        self.put({"event": "migration", "data": data})

    def begin(self):
        """`migrate`, then `watch`."""
        return [self.answer(migration(phase="preparing", ram_total_bytes=0)),
                self.answer(migration())]

    def wait_for_end(self):
        while self.get() is not None:
            pass


class Server:
    """Listens on a path and plays @script with whoever connects first."""

    def __init__(self, path, script, greeting=GREETING):
        self.path, self.script, self.greeting = path, script, greeting
        self.result, self.failure = None, None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        sock, _ = self.listener.accept()
        connection = Connection(sock)
        try:
            if self.greeting:
                connection.put(self.greeting)
            self.result = self.script(connection)
        except (BrokenPipeError, ConnectionResetError):
            pass
        except Exception as failure:  # told by finish(), in the test's own thread
            self.failure = failure
        finally:
            connection.reader.close()
            sock.close()

    def finish(self):
        self.thread.join(10)
        self.listener.close()
        assert not self.thread.is_alive(), "the client left the conversation hanging"
        if self.failure:
            raise self.failure
        return self.result


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(script, **options):
        servers.append(Server(tmp_path / "control.sock", script, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.listener.close()


@pytest.fixture
def command(tmp_path):
    return [str(CULVERT), "--socket", str(tmp_path / "control.sock")]


@pytest.fixture
def culvert(command):
    def run(*arguments, **options):
        return subprocess.run(
            command + list(arguments), capture_output=True, text=True, timeout=30, **options)

    return run


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, arguments, columns=120, **environment):
        clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execve(arguments[0], arguments, clean | {"TERM": "xterm"} | environment)
        self.text = ""

    def read(self):
        """@returns  False at the end"""
        ready, _, _ = select.select([self.fd], [], [], 15)
        assert ready, f"silence after {self.text!r}"
        try:
            chunk = os.read(self.fd, 65536)
        except OSError:
            chunk = b""
        self.text += chunk.decode()
        return bool(chunk)

    def expect(self, text):
        while text not in self.text:
            assert self.read(), f"{text!r} is not in {self.text!r}"

    def type(self, keys):
        os.write(self.fd, keys)

    def finish(self):
        """@returns  the exit code"""
        while self.read():
            pass
        os.close(self.fd)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def complete(connection):
    commands = connection.begin()
    connection.event(migration(**{"pass": 2}))
    connection.event(POSTCOPY)
    connection.event(COMPLETED)
    return commands


# --- a migration that works


def test_a_migration_is_told_in_plain_lines_and_a_verdict(serve, culvert):
    server = serve(complete)
    done = culvert("migrate", "web1", "hostb")
    server.finish()
    assert (done.returncode, done.stderr) == (0, "")
    assert "\033" not in done.stdout and "\r" not in done.stdout
    assert "web1 to hostb: post-copy: 87%, 64.0 MiB left" in done.stdout
    verdict = done.stdout.splitlines()[-7:]
    assert verdict == [
        "web1 now runs on hostb",
        "  mode           hybrid",
        "  total          4.21 s, of it setup 12 ms",
        "  downtime       23 ms",
        "  memory sent    640 MiB in 2 passes, the guest has 512 MiB",
        "  page requests  143",
        "  tunnel         641 MiB to hostb, 4.0 KiB from it",
    ]


def test_the_options_become_arguments(serve, culvert):
    server = serve(complete)
    culvert("migrate", "web1", "hostb", "--mode", "hybrid", "--switch", "pass:2",
            "--destination-vm", "web2", "--quit-source", "--bandwidth", "800Mbit")
    migrate, watch = server.finish()
    assert migrate["execute"] == "migrate"
    assert migrate["arguments"] == {
        "vm": "web1", "host": "hostb", "mode": "hybrid", "switch": "pass:2",
        "destination_vm": "web2", "quit_source": True, "bandwidth_bytes_per_s": 100_000_000}
    assert (watch["execute"], watch["arguments"]) == ("watch", {"migration": "3fa91c02"})


def test_what_is_not_asked_for_is_left_to_the_daemon(serve, culvert):
    server = serve(complete)
    culvert("migrate", "web1", "hostb")
    migrate, _ = server.finish()
    assert set(migrate["arguments"]) == {"vm", "host", "quit_source"}


def test_json_is_one_object_a_line_and_the_end_last(serve, culvert):
    server = serve(complete)
    done = culvert("migrate", "web1", "hostb", "--json")
    server.finish()
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [m["phase"] for m in told] == ["precopy", "precopy", "postcopy", "completed"]
    assert told[-1] == COMPLETED


def test_detach_returns_once_the_migration_has_begun(serve, culvert, command):
    server = serve(lambda c: c.answer(migration(phase="preparing")))
    done = culvert("migrate", "web1", "hostb", "--detach")
    server.finish()
    assert done.returncode == 0
    assert f"{' '.join(['culvert'] + command[1:])} watch 3fa91c02" in done.stdout


def test_a_migration_that_has_ended_is_watched_to_its_verdict(serve, culvert):
    server = serve(lambda c: c.answer(COMPLETED))
    done = culvert("watch", "web1")
    server.finish()
    assert done.returncode == 0
    assert done.stdout.startswith("web1 now runs on hostb\n")


def test_events_that_are_not_known_are_passed_over(serve, culvert):
    def script(connection):
        connection.answer(migration())
        connection.put({"event": "weather", "data": {"rain": True}})
        connection.event(COMPLETED)

    server = serve(script)
    assert culvert("watch", "web1").returncode == 0
    server.finish()


# --- failures and exit codes


CLASSES = [("USAGE", 2), ("LOCAL", 3), ("LINK", 4), ("PEER", 5), ("IDENTITY", 6),
           ("HYPERVISOR", 7), ("CANCELLED", 8), ("GUEST", 9), ("OF_THE_FUTURE", 3)]


@pytest.mark.parametrize("error_class, code", CLASSES)
def test_a_refused_command_exits_with_its_class(serve, culvert, error_class, code):
    server = serve(lambda c: c.refuse(error_class))
    done = culvert("migrate", "web1", "hostb")
    server.finish()
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "culvert: the thing broke: mend it\n"


@pytest.mark.parametrize("error_class, code", CLASSES[1:8])
def test_a_failed_migration_exits_with_its_class(serve, culvert, error_class, code):
    server = serve(lambda c: (c.begin(), c.event(failed(error_class))))
    done = culvert("migrate", "web1", "hostb")
    server.finish()
    assert done.returncode == code
    assert "failed: web1 runs on hosta\n" in done.stdout
    assert "what to do" in done.stdout
    assert done.stderr == "culvert: the thing broke: mend it\n"


def test_a_cancelled_migration_exits_with_8(serve, culvert):
    ended = migration(phase="cancelled", status="cancelled", ended=True)
    server = serve(lambda c: (c.begin(), c.event(ended)))
    done = culvert("migrate", "web1", "hostb")
    server.finish()
    assert done.returncode == 8
    assert "cancelled: web1 runs on hosta\n" in done.stdout


@pytest.mark.parametrize("phase, guest", [
    ("lost", "nowhere"), ("failed", "unknown"), ("completed", "unknown")])
def test_a_guest_that_needs_the_operator_exits_with_9(serve, culvert, phase, guest):
    ended = failed("HYPERVISOR", phase=phase, guest=guest, advice="look at both consoles")
    server = serve(lambda c: (c.begin(), c.event(ended)))
    done = culvert("migrate", "web1", "hostb")
    server.finish()
    assert done.returncode == 9
    assert "  what to do     look at both consoles\n" in done.stdout


def test_a_failed_migration_is_the_last_json_line(serve, culvert):
    server = serve(lambda c: (c.begin(), c.event(failed("LINK"))))
    done = culvert("migrate", "web1", "hostb", "--json")
    server.finish()
    assert done.returncode == 4
    assert json.loads(done.stdout.splitlines()[-1])["error"]["class"] == "LINK"


# --- a daemon that misbehaves


def test_a_daemon_that_ends_while_watched_exits_with_3(serve, culvert, command):
    server = serve(lambda c: (c.begin(), c.event(POSTCOPY)))
    done = culvert("migrate", "web1", "hostb")
    server.finish()
    assert done.returncode == 3
    assert "culvertd ended" in done.stderr and "post-copy" in done.stderr
    assert f"culvert --socket {command[2]} status web1" in done.stderr


def test_a_daemon_that_ends_before_it_answers_may_have_begun(serve, culvert):
    server = serve(lambda c: c.get())
    done = culvert("migrate", "web1", "hostb")
    server.finish()
    assert done.returncode == 3
    assert "may have begun" in done.stderr


@pytest.mark.parametrize("rubbish", [
    b"hello\n", b"[]\n", b"{}\n", b'{"return": 1, "error": {}}\n', b"\xff\xfe\n",
    b'{"return": {}, "id": 99}\n', b'{"event": "migration", "data": {}}\n', b"{" * 70000 + b"\n"])
def test_a_rubbish_answer_is_told_and_exits_with_3(serve, culvert, rubbish):
    def script(connection):
        connection.get()
        connection.sock.sendall(rubbish)
        connection.wait_for_end()

    server = serve(script)
    done = culvert("migrate", "web1", "hostb")
    server.finish()
    assert done.returncode == 3
    assert "not understood" in done.stderr


def test_a_rubbish_migration_is_told_and_exits_with_3(serve, culvert):
    server = serve(lambda c: (c.begin(), c.event({"phase": 3}), c.wait_for_end()))
    done = culvert("migrate", "web1", "hostb")
    server.finish()
    assert done.returncode == 3
    assert "without 'id'" in done.stderr


def test_another_program_on_the_socket_is_not_taken_for_culvertd(serve, culvert):
    server = serve(lambda c: c.wait_for_end(), greeting={"QMP": {}})
    done = culvert("status")
    server.finish()
    assert done.returncode == 3
    assert "does not greet" in done.stderr


def test_a_missing_socket_names_the_remedy(culvert, command):
    done = culvert("status")
    assert done.returncode == 3
    assert command[2] in done.stderr and "start culvertd" in done.stderr


def test_a_socket_nobody_listens_on_names_the_remedy(culvert, command):
    left_over = socket.socket(socket.AF_UNIX)
    left_over.bind(command[2])
    left_over.close()
    done = culvert("status")
    assert done.returncode == 3
    assert "not running" in done.stderr


def test_a_socket_without_permission_names_the_group(tmp_path, serve, culvert):
    serve(lambda c: None)
    (tmp_path / "control.sock").chmod(0)
    if os.geteuid() != 0:
        done = culvert("status")
    else:
        # As root, one must become somebody else, who can still reach the binary and the path.
        for directory in [tmp_path, *tmp_path.parents]:
            if directory.stat().st_uid == os.geteuid() and directory != pathlib.Path("/"):
                directory.chmod(directory.stat().st_mode | 0o111)
        os.chown(tmp_path / "control.sock", 0, 12)  # man
        binary = os.open(CULVERT, os.O_RDONLY)
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             f"/proc/self/fd/{binary}", "--socket", str(tmp_path / "control.sock"), "status"],
            capture_output=True, text=True, timeout=30, pass_fds=[binary])
        assert "the group 'man'" in done.stderr
    assert done.returncode == 3
    assert "no permission" in done.stderr and "root" in done.stderr


# --- terminals


def last_drawing(text):
    return text.split("\r")[-1].removesuffix("\033[K")


def test_progress_is_one_line_that_fits_the_terminal(serve, command):
    go_on = threading.Event()

    def script(connection):
        connection.begin()
        go_on.wait(10)
        connection.event(POSTCOPY)
        connection.event(COMPLETED)

    server = serve(script)
    terminal = Terminal(command + ["migrate", "web1", "hostb"], columns=100)
    terminal.expect("50%")
    assert "\n" not in terminal.text
    drawn = last_drawing(terminal.text)
    assert len(drawn) < 100
    assert re.match(
        r"web1 -> hostb  pre-copy, pass 1  \[=+> +\]   50%   900 MiB/s   256 MiB left  0:0\d",
        drawn)
    # Narrower from the next drawing on; the clock goes on without news.
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    terminal.text = ""
    terminal.expect("\033[K")
    assert len(last_drawing(terminal.text)) < 40
    go_on.set()
    assert terminal.finish() == 0
    server.finish()
    assert "\033[32mweb1 now runs on hostb\033[0m" in terminal.text


def test_no_color_leaves_colours_out(serve, command):
    server = serve(complete)
    terminal = Terminal(command + ["migrate", "web1", "hostb"], NO_COLOR="1")
    assert terminal.finish() == 0
    server.finish()
    assert set(re.findall(r"\033\[[0-9;]*[A-Za-z]", terminal.text)) == {"\033[K"}


def test_a_dumb_terminal_gets_plain_lines(serve, command):
    server = serve(complete)
    terminal = Terminal(command + ["migrate", "web1", "hostb"], TERM="dumb")
    assert terminal.finish() == 0
    server.finish()
    assert "\033" not in terminal.text
    assert "web1 to hostb: post-copy" in terminal.text


def test_control_characters_of_the_daemon_do_not_reach_the_terminal(serve, command):
    nasty = "web\033]0;title\007\u009b2J"
    server = serve(lambda c: (c.answer(migration(vm=nasty)), c.event(
        failed("PEER", vm=nasty, advice="a\033[2Jb",
               error={"class": "PEER", "desc": "x\033[31my"}))))
    terminal = Terminal(command + ["watch", "web1"], NO_COLOR="1")
    assert terminal.finish() == 5
    server.finish()
    assert set(re.findall(r"\033.", terminal.text)) <= {"\033["}
    assert "\007" not in terminal.text and "\u009b" not in terminal.text
    assert "culvert: x?[31my" in terminal.text


@pytest.mark.parametrize("arguments", [["migrate", "web1", "hostb"], ["watch", "web1"]])
def test_ctrl_c_detaches_and_says_how_to_go_on(serve, command, arguments):
    def script(connection):
        if arguments[0] == "migrate":
            connection.answer(migration(phase="preparing"))
        connection.answer(migration())
        rest = connection.get()
        return "closed" if rest is None else rest

    server = serve(script)
    terminal = Terminal(command + arguments)
    terminal.expect("50%")
    terminal.type(b"\x03")
    assert terminal.finish() == 10
    assert server.finish() == "closed"  # nothing was cancelled
    assert f"watch it: culvert --socket {command[2]} watch 3fa91c02" in terminal.text
    assert f"cancel it: culvert --socket {command[2]} cancel 3fa91c02" in terminal.text


def test_ctrl_c_before_the_answer_says_that_it_may_have_begun(serve, command):
    asked = threading.Event()
    server = serve(lambda c: (c.get(), asked.set(), c.wait_for_end()))
    terminal = Terminal(command + ["migrate", "web1", "hostb"])
    assert asked.wait(10)
    terminal.type(b"\x03")
    assert terminal.finish() == 10
    server.finish()
    assert "may have begun" in terminal.text


def test_sigterm_detaches_too(serve, command):
    server = serve(lambda c: (c.begin(), c.wait_for_end()))
    with subprocess.Popen(command + ["migrate", "web1", "hostb"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert "50%" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=10)
    server.finish()
    assert process.returncode == 10
    assert "goes on" in stderr


def test_a_background_job_that_ignores_sigint_keeps_watching(serve, command):
    go_on = threading.Event()
    server = serve(lambda c: (c.begin(), go_on.wait(10), c.event(COMPLETED)))
    with subprocess.Popen(
            ["sh", "-c", 'trap "" INT; exec "$@"', "sh"] + command + ["migrate", "web1", "hostb"],
            text=True, stdout=subprocess.PIPE) as process:
        assert "50%" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        go_on.set()
        process.communicate(timeout=10)
    server.finish()
    assert process.returncode == 0


def test_a_reader_that_goes_away_is_as_good_as_ctrl_c(serve, command):
    go_on = threading.Event()

    def script(connection):
        connection.begin()
        go_on.wait(10)
        connection.event(POSTCOPY)
        connection.wait_for_end()

    server = serve(script)
    with subprocess.Popen(command + ["migrate", "web1", "hostb"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        go_on.set()
        stderr = process.stderr.read()
    server.finish()
    assert process.returncode == 10
    assert "goes on" in stderr


def test_output_that_cannot_be_written_is_an_error(serve, command):
    server = serve(lambda c: c.answer({"migrations": [migration()]}))
    with open("/dev/full", "w") as full:
        done = subprocess.run(command + ["status"], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=30)
    server.finish()
    assert done.returncode == 3
    assert "cannot write to standard output" in done.stderr


def test_a_closed_standard_output_is_not_the_daemons_socket(serve, command):
    server = serve(complete)
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh"] + command +
                          ["migrate", "web1", "hostb"], timeout=30)
    server.finish()
    assert done.returncode == 0


# --- the other commands


def test_status_lists_what_runs_and_what_ended(serve, culvert):
    incoming = migration(id="00000002", vm="db", destination_vm="sql", direction="incoming",
                         host="hostc", phase="postcopy", guest="destination", ram_total_bytes=0,
                         links_lost=3, linkless_total_ms=4210, replayed_bytes=3 << 20)
    server = serve(lambda c: c.answer({"migrations": [migration(), incoming, COMPLETED]}))
    done = culvert("status")
    server.finish()
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "ID        VM    PEER        PHASE             DONE  LEFT     TIME  LINKS LOST          GUEST",
        "3fa91c02  web1  to hostb    pre-copy, pass 1  50%   256 MiB  0:01  -                   here",
        "00000002  sql   from hostc  post-copy         -     -        0:01  3, 4.21 s, 3.0 MiB  here",
        "3fa91c02  web1  to hostb    completed         -     -        0:04  -                   hostb",
    ]


def test_status_of_one_goes_by_the_name_that_it_has_on_this_host(serve, culvert):
    there = migration(id="00000002", vm="db", destination_vm="sql", direction="incoming")
    server = serve(lambda c: c.answer({"migrations": [migration(), there]}))
    done = culvert("status", "sql", "--json")
    server.finish()
    assert json.loads(done.stdout) == {"migrations": [there]}


def test_status_of_one_leaves_the_others_out(serve, culvert):
    other = migration(id="00000002", vm="db")
    server = serve(lambda c: c.answer({"migrations": [migration(), other]}))
    done = culvert("status", "db", "--json")
    server.finish()
    assert json.loads(done.stdout) == {"migrations": [other]}


def test_status_of_one_that_is_not_known_exits_with_3(serve, culvert):
    server = serve(lambda c: c.answer({"migrations": [migration()]}))
    done = culvert("status", "nobody")
    server.finish()
    assert done.returncode == 3
    assert "'nobody'" in done.stderr


def test_status_without_migrations_says_so(serve, culvert):
    server = serve(lambda c: c.answer({"migrations": []}))
    assert culvert("status").stdout == "no migrations\n"
    server.finish()


@pytest.mark.parametrize("verb", ["switch", "cancel", "recover"])
def test_an_order_names_its_migration(serve, culvert, verb):
    server = serve(lambda c: c.answer({}))
    done = culvert(verb, "web1")
    sent = server.finish()
    assert done.returncode == 0
    assert (sent["execute"], sent["arguments"]) == (verb, {"migration": "web1"})


PEERS = {"peers": [{"name": "hostb", "addresses": ["10.0.0.2:16520", "10.1.0.2:16520"],
                    "identity": "hostb.example", "services": ["migrate", "libvirt"]}]}


def test_peers_are_a_table(serve, culvert):
    server = serve(lambda c: c.answer(PEERS))
    done = culvert("peers")
    server.finish()
    assert done.stdout.splitlines() == [
        "NAME   ADDRESSES                       IDENTITY       SERVICES",
        "hostb  10.0.0.2:16520, 10.1.0.2:16520  hostb.example  migrate, libvirt",
    ]


def test_peers_in_json_are_what_the_daemon_said(serve, culvert):
    server = serve(lambda c: c.answer(PEERS))
    assert json.loads(culvert("peers", "--json").stdout) == PEERS
    server.finish()


def test_ping_tells_identity_and_round_trips(serve, culvert):
    server = serve(lambda c: c.answer({
        "identity": "hostb.example", "address": "10.0.0.2:16520", "connect_us": 1830,
        "round_trip_us": [300, 210, 250]}))
    done = culvert("ping", "hostb", "--count", "3")
    sent = server.finish()
    assert sent["arguments"] == {"host": "hostb", "count": 3}
    assert done.stdout.splitlines() == [
        "hostb answers",
        "  identity    hostb.example",
        "  address     10.0.0.2:16520",
        "  connect     1.83 ms",
        "  round trip  210 us least, 250 us median, 300 us most, of 3",
    ]


# --- the command line


@pytest.mark.parametrize("arguments, told", [
    ([], "which command"),
    (["fly"], "unknown command 'fly'"),
    (["migrate", "web1"], "usage: culvert migrate VM HOST"),
    (["migrate", "web1", "hostb", "hostc"], "usage: culvert migrate VM HOST"),
    (["status", "--mode", "hybrid"], "unknown option '--mode'"),
    (["migrate", "web1", "hostb", "--mode"], "option '--mode' needs a value"),
    (["ping", "hostb", "--count", "0"], "--count"),
    (["--frobnicate"], "unknown option '--frobnicate'"),
])
def test_a_bad_command_line_exits_with_2(culvert, arguments, told):
    done = culvert(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


@pytest.mark.parametrize("name", [
    "migrate", "status", "watch", "switch", "cancel", "peers", "ping"])
def test_every_command_explains_itself(culvert, name):
    done = culvert(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: culvert {name} ")
    assert f"  {name}" in culvert("--help").stdout


def test_the_version_is_told(culvert):
    assert re.fullmatch(r"culvert \d+\.\d+\.\d+\n", culvert("--version").stdout)
