"""What is told to whoever gets something wrong: one line, naming the thing and the remedy, with the
exit code of its class; and the guest is as it was.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import pytest
from peer import Log

from lab.certificates import Authority
from lab.daemon import PORT, Daemon, peer_of
from lab.guest import build_directory
from lab.hosts import Host, Hosts
from lab.machine import Machine
from lab.wait import wait_until

CULVERTD = build_directory() / "src" / "daemon" / "culvertd"
# The guest need not get far: what counts is what its QEMU says.
MEMORY_MIB = 64
LOAD = {"mib": 4, "rate_mib": 1}
GROUP, OUTSIDER = "daemon", "nobody"


@pytest.fixture(scope="module")
def hosts():
    with Hosts() as pair:
        # hostb throws away what is for others without a word.
        pair.a.run("ip", "route", "add", "10.99.0.0/24", "via", pair.b.address)
        yield pair


@pytest.fixture(scope="module")
def authority(hosts):
    return Authority(hosts.directory / "certificates")


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("hosta")


@pytest.fixture(scope="module")
def daemons(hosts, authority, certificate):
    peers = [
        peer_of(hosts.b),
        {"name": "refusing", "address": f"{hosts.b.address}:9", "identity": "refusing.example"},
        {"name": "hole", "address": "10.99.0.1", "identity": "hole.example"},
        {"name": "absent", "address": "10.98.0.77", "identity": "absent.example"},
        {"name": "nameless", "address": "nowhere.invalid", "identity": "nameless.example"},
    ]
    a = Daemon(hosts.a, certificate, peers, control_group=GROUP)
    b = Daemon(hosts.b, authority.issue("hostb"), [peer_of(hosts.a)])
    for daemon in (a, b):
        daemon.start()
    yield a, b
    for daemon in (a, b):
        assert daemon.stop() == 0
        assert "Sanitizer" not in daemon.log_text()


@pytest.fixture(scope="module")
def machine(hosts, kernel):
    """machine(name, host=hosts.a, ...): a QEMU that its QMP socket can be used of"""
    def start(name, host=None, **options):
        started = Machine(
            host or hosts.a, name, kernel, memory_mib=MEMORY_MIB, dirty=LOAD, **options
        )
        started.qmp("query-status")
        return started

    return start


@pytest.fixture(scope="module")
def source(machine):
    """A running guest on hosta that none of these tests may change."""
    return machine("web")


@pytest.fixture(scope="module")
def arrival(machine, hosts):
    """What waits for it on hostb."""
    return machine("web", host=hosts.b, incoming=True)


def state_of(vm):
    """All that a migration could have changed in a QEMU."""
    return {
        "status": vm.status,
        "migration": vm.migration()["status"],
        "capabilities": vm.qmp("query-migrate-capabilities"),
        "parameters": vm.qmp("query-migrate-parameters"),
    }


@contextlib.contextmanager
def untouched(*machines):
    before = [state_of(vm) for vm in machines]
    yield
    # A destination undoes what was prepared when it notices that its source has left.
    wait_until(lambda: [state_of(vm) for vm in machines] == before, "QEMUs as before", 5)


def assert_told(result, exit_code, *words):
    """One line on stderr with these words, and this exit code."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("culvert: ")
    for word in words:
        assert word in lines[0]
    assert result.returncode == exit_code, lines[0]
    return lines[0]


# Virtual machines.


def test_an_unknown_vm_is_told_with_those_there_are(daemons, source):
    with untouched(source):
        result = daemons[0].culvert("migrate", "wbe", "hostb")
    assert_told(result, 3, "no virtual machine 'wbe'", "wbe.sock does not exist", "there are: ",
                "web", "-qmp unix:")  # fmt: skip


def test_a_vm_whose_qemu_has_ended_is_told(hosts, daemons):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(hosts.a.qmp_directory / "ended.sock"))
    result = daemons[0].culvert("migrate", "ended", "hostb")
    assert_told(result, 3, "virtual machine 'ended' is not running", "ended.sock")


def test_a_paused_guest_is_not_migrated_and_stays_paused(daemons, source, arrival):
    source.qmp("stop")
    try:
        with untouched(source, arrival):
            result = daemons[0].culvert("migrate", "web", "hostb")
        assert source.status == "paused"
    finally:
        source.qmp("cont")
    assert_told(result, 7, "the guest of 'web' is not running", "'paused'", "cont")


def test_a_destination_without_such_a_vm_is_told_with_its_host(daemons, source):
    with untouched(source):
        result = daemons[0].culvert("migrate", "web", "hostb", "--destination-vm", "web2")
    assert_told(result, 3, "hostb: no virtual machine 'web2'", "-qmp unix:")


def test_a_destination_that_runs_a_guest_is_not_overwritten(daemons, hosts, source, machine):
    busy = machine("busy", host=hosts.b)
    with untouched(source, busy):
        result = daemons[0].culvert("migrate", "web", "hostb", "--destination-vm", "busy")
    assert_told(result, 7, "hostb: 'busy' is not waiting", "'running'", "-incoming defer")
    busy.kill()


def test_a_destination_that_listens_by_itself_is_told(daemons, hosts, source, machine):
    waiting = machine("listening", host=hosts.b, arguments=("-incoming", "tcp:127.0.0.1:0"))
    with untouched(source, waiting):
        result = daemons[0].culvert("migrate", "web", "hostb", "--destination-vm", "listening")
    assert_told(result, 7, "hostb: 'listening' already listens", "-incoming defer")
    waiting.kill()


def test_a_waiting_destination_is_not_a_source(daemons, hosts, machine):
    waiting = machine("waits", incoming=True)
    with untouched(waiting):
        result = daemons[0].culvert("migrate", "waits", "hostb", "--destination-vm", "none")
    assert result.returncode in (3, 7)
    with untouched(waiting):
        there = machine("waits", host=hosts.b, incoming=True)
        result = daemons[0].culvert("migrate", "waits", "hostb")
    assert_told(result, 7, "'waits' is not running", "'inmigrate'", "migrate to it, not from it")
    waiting.kill()
    there.kill()


# QEMUs of other versions. No second version is at hand: a real QEMU's QMP with some words changed.


@contextlib.contextmanager
def posing(vm, name, change):
    """The QMP of `vm` under another name, each line of it through `change(message)`."""
    path = vm.host.qmp_directory / f"{name}.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def copy(reader, target, change):
        with contextlib.suppress(OSError):
            for line in reader:
                target.sendall(json.dumps(change(json.loads(line))).encode() + b"\n")
            target.shutdown(socket.SHUT_WR)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                qemu = socket.socket(socket.AF_UNIX)
                qemu.connect(str(vm.qmp_path))
                back = threading.Thread(
                    target=copy, args=(qemu.makefile("rb"), client, change), daemon=True
                )
                back.start()
                copy(client.makefile("rb"), qemu, lambda message: message)
                back.join()
                client.close()
                qemu.close()

    threading.Thread(target=serve, daemon=True).start()
    yield
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    path.unlink()


def version(major, minor):
    def change(message):
        if "QMP" in message:
            message["QMP"]["version"]["qemu"].update(major=major, minor=minor, micro=0)
        return message

    return change


def without_capability(name):
    def change(message):
        answer = message.get("return")
        if isinstance(answer, list) and answer and "capability" in answer[0]:
            message["return"] = [x for x in answer if x["capability"] != name]
        return message

    return change


def test_an_older_destination_is_told_with_both_versions(daemons, source, arrival):
    with posing(arrival, "older", version(6, 2)), untouched(source, arrival):
        result = daemons[0].culvert("migrate", "web", "hostb", "--destination-vm", "older")
    assert_told(result, 7, "hostb: ", "destination's QEMU is older (6.2) than the source's (7.2)",
                "install the same version or a newer one there")  # fmt: skip


def test_a_newer_source_is_told_with_both_versions(daemons, source, arrival):
    with posing(source, "newer", version(99, 1)), untouched(source, arrival):
        result = daemons[0].culvert("migrate", "newer", "hostb", "--destination-vm", "web")
    assert_told(result, 7, "destination's QEMU is older (7.2) than the source's (99.1)")


def test_a_destination_that_cannot_do_postcopy_is_told(daemons, source, arrival):
    with posing(arrival, "poor", without_capability("postcopy-ram")), untouched(source, arrival):
        result = daemons[0].culvert("migrate", "web", "hostb", "--destination-vm", "poor")
    assert_told(result, 7, "hostb: ", "no migration capability 'postcopy-ram'", "install a newer")


def test_a_source_without_a_return_path_is_told_and_the_destination_freed(
    daemons, source, arrival
):
    with posing(source, "mute", without_capability("return-path")), untouched(source, arrival):
        result = daemons[0].culvert("migrate", "mute", "hostb", "--destination-vm", "web")
    assert_told(result, 7, "'mute': ", "no migration capability 'return-path'", "install a newer")


# QMP sockets that do not serve.


def test_a_qmp_socket_that_another_client_holds_is_told(daemons, source, arrival):
    with socket.socket(socket.AF_UNIX) as holder:
        holder.connect(str(source.qmp_path))
        assert holder.recv(4096)
        with untouched(source, arrival):
            result = daemons[0].culvert("migrate", "web", "hostb")
    assert_told(result, 7, "no QMP greeting from", "web.sock", "one client at a time",
                "one more -qmp unix:PATH")  # fmt: skip


def test_a_second_migration_of_a_vm_is_told_how_to_watch_the_first(daemons, source, arrival):
    with socket.socket(socket.AF_UNIX) as holder:
        holder.connect(str(source.qmp_path))
        assert holder.recv(4096)
        first = daemons[0].spawn_culvert("migrate", "web", "hostb")
        log = Log(daemons[0])
        wait_until(lambda: any("migration.outgoing" in x for x in log.lines()), "the first", 5)
        with untouched(source, arrival):
            second = daemons[0].culvert("migrate", "web", "hostb")
            line = assert_told(second, 2, "web is being migrated already (to hostb", "watch")
            first.communicate(timeout=15)
    assert line.split()[-1] in log.lines()[0]


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"{}\n", b"[1, 2]\n"])
def test_a_socket_that_is_not_qmp_is_told(hosts, daemons, answer):
    path = hosts.a.qmp_directory / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        migration = daemons[0].spawn_culvert("migrate", "other", "hostb")
        client, _ = listener.accept()
        with client:
            client.sendall(answer)
            client.shutdown(socket.SHUT_WR)
            stderr = migration.communicate(timeout=15)[1]
    path.unlink()
    assert "other.sock" in stderr and len(stderr.splitlines()) == 1
    assert migration.returncode == 7


# Hosts.


def test_an_unknown_host_is_told_where_to_look(daemons, source):
    with untouched(source):
        result = daemons[0].culvert("migrate", "web", "hostz")
    assert_told(result, 2, "unknown host 'hostz'", "culvert peers", "culvert.conf")


def test_a_host_where_nobody_listens_is_told_with_its_port(daemons, source):
    with untouched(source):
        result = daemons[0].culvert("migrate", "web", "refusing")
    assert_told(result, 4, "refusing at 10.98.0.2 port 9", "Connection refused")


def test_a_host_that_swallows_packets_is_told_within_ten_seconds(daemons, source):
    begun = time.monotonic()
    with untouched(source):
        result = daemons[0].culvert("migrate", "web", "hole")
    assert_told(result, 4, "hole at 10.99.0.1 port 16520", "no answer within 10 s")
    assert time.monotonic() - begun < 14


def test_a_host_that_is_not_there_is_told(daemons, source):
    with untouched(source):
        result = daemons[0].culvert("migrate", "web", "absent")
    assert_told(result, 4, "absent at 10.98.0.77 port 16520", "No route to host")


def test_a_name_that_does_not_resolve_is_told(daemons, source):
    with untouched(source):
        result = daemons[0].culvert("migrate", "web", "nameless")
    assert_told(result, 4, "nameless: cannot resolve nowhere.invalid")


# The command line.


@pytest.mark.parametrize("words, told", [
    (["--mode", "teleport"], ["'teleport'", "precopy", "postcopy", "hybrid"]),
    (["--switch", "soon"], ["'soon'", "auto", "pass:N", "after:DURATION"]),
    (["--switch", "pass:0"], ["'0'", "number"]),
    (["--switch", "pass:-1"], ["'-1'", "number"]),
    (["--switch", "pass:99999999999999999999"], ["number"]),
    (["--switch", "pass:1x"], ["'1x'"]),
    (["--switch", "after:"], ["duration"]),
    (["--switch", "after:5parsecs"], ["'5parsecs'", "duration"]),
    (["--mode", "precopy", "--switch", "pass:1"], ["switch", "hybrid"]),
    (["--mode", "postcopy", "--switch", "auto"], ["switch", "hybrid"]),
    (["--destination-vm", "../web"], ["'../web' is not a name", "use letters"]),
    (["--destination-vm", ""], ["destination_vm", "empty"]),
    (["--destination-vm", "x" * 64], ["is not a name"]),
    (["--no-such-option"], ["--no-such-option"]),
    (["another"], ["usage: culvert migrate VM HOST"]),
])  # fmt: skip
def test_a_bad_argument_is_told_and_nothing_begins(daemons, source, arrival, words, told):
    log = Log(daemons[0])
    with untouched(source, arrival):
        result = daemons[0].culvert("migrate", "web", "hostb", *words)
    assert_told(result, 2, *told)
    assert log.lines() == []


@pytest.mark.parametrize("name", [
    "../web", "..", ".", "/etc/passwd", "web/../web", "a b", "web.sock\n", "\x1b[2Jweb", "w\xe9b",
    "-web", "x" * 300, "%s%n", '"', "web;id",
])  # fmt: skip
def test_a_name_that_could_be_a_path_or_worse_is_refused(daemons, source, name):
    log = Log(daemons[0])
    with untouched(source):
        result = daemons[0].culvert("migrate", "--", name, "hostb")
    line = assert_told(result, 2, "is not a name", "use letters")
    assert line.isprintable()
    assert log.lines() == []


def test_an_empty_name_is_refused(daemons):
    assert_told(daemons[0].culvert("migrate", "", "hostb"), 2, "'vm'", "empty")


def test_a_host_that_could_be_a_path_is_refused(daemons):
    result = daemons[0].culvert("migrate", "web", "../hostb")
    assert_told(result, 2, "'../hostb' is not a name")


def test_a_control_character_in_a_host_does_not_reach_the_terminal(daemons):
    line = assert_told(daemons[0].culvert("ping", "host\x1b[2Jb"), 2, "unknown host")
    assert line.isprintable()


@pytest.mark.parametrize("count", ["0", "1001", "-1", "many"])
def test_a_bad_count_is_told_with_the_range(daemons, count):
    assert_told(daemons[0].culvert("ping", "hostb", "--count", count), 2, "1", "1000")


@pytest.mark.parametrize("command", ["switch", "cancel", "watch"])
def test_a_migration_that_does_not_exist_is_told(daemons, command):
    assert_told(daemons[0].culvert(command, "0badcafe"), 2, "0badcafe", "culvert status")


# The control socket.


def test_no_control_socket_means_that_culvertd_does_not_run(daemons, tmp_path):
    command = daemons[0].command("status")
    command[command.index("--socket") + 1] = str(tmp_path / "control.sock")
    result = subprocess.run(command, capture_output=True, text=True)
    assert_told(result, 3, f"no control socket {tmp_path}/control.sock", "start culvertd")


def test_a_control_socket_of_a_dead_culvertd_is_told(daemons, tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
    command = daemons[0].command("status")
    command[command.index("--socket") + 1] = str(tmp_path / "control.sock")
    result = subprocess.run(command, capture_output=True, text=True)
    assert_told(result, 3, "culvertd is not running", "start it")


def test_the_control_socket_is_for_root_and_its_group_only(daemons):
    status = os.stat(daemons[0].socket_path)
    assert oct(status.st_mode & 0o777) == "0o660"
    assert status.st_uid == 0
    assert pathlib.Path(daemons[0].socket_path).group() == GROUP


@pytest.fixture
def culvert_as(hosts, daemons, tmp_path):
    """culvert_as(group, *words): as a user without rights, in that group"""
    # The way to the socket must be open to all: what is tested is the socket's own mode.
    for directory in (hosts.directory, hosts.a.directory, hosts.a.run_directory):
        directory.chmod(0o755)
    binary = pathlib.Path("/tmp") / f"culvert-{os.getpid()}"
    shutil.copy(build_directory() / "src" / "cli" / "culvert", binary)
    binary.chmod(0o755)

    def run(group, *words):
        return subprocess.run(
            ["setpriv", f"--reuid={OUTSIDER}", f"--regid={group}", "--clear-groups", binary,
             "--socket", daemons[0].socket_path, *words],
            capture_output=True, text=True, timeout=15,
        )  # fmt: skip

    yield run
    binary.unlink()


def test_a_user_outside_the_control_group_is_told_which_to_join(culvert_as):
    result = culvert_as("nogroup", "status")
    assert_told(result, 3, "no permission for", f"the group '{GROUP}'", "join that group")


def test_a_user_of_the_control_group_is_served(culvert_as):
    result = culvert_as(GROUP, "status", "--json")
    assert (result.returncode, result.stderr) == (0, "")


# Starting culvertd.


@pytest.fixture
def fresh(hosts):
    """A host to start another culvertd on: hosta's network, its own directories."""
    # Not tmp_path: what is too long for the sockets of migrations is refused.
    with tempfile.TemporaryDirectory(prefix="culvert-") as directory:
        yield Host(hosts.a.name, hosts.a.namespace, hosts.a.address, directory)


def refused_start(daemon):
    """The one line that a culvertd that does not start logs, and its exit code."""
    daemon.start(wait=False)
    code = daemon._process.wait(timeout=15)
    lines = daemon.log_lines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("<3>event=start.failed reason=")
    return lines[0], code


def test_a_second_culvertd_on_the_same_socket_does_not_start(hosts, daemons, certificate, fresh):
    second = Daemon(fresh, certificate, listen=f"{hosts.a.address}:16530",
                    runtime_directory=hosts.a.run_directory)  # fmt: skip
    line, code = refused_start(second)
    assert code == 3
    assert "control.sock already: is culvertd running twice?" in line
    daemons[0].culvert("status", check=True)  # the first still has its socket


def test_a_port_in_use_is_told_with_its_address(hosts, daemons, certificate, fresh):
    line, code = refused_start(Daemon(fresh, certificate))
    assert code == 3
    assert f"cannot listen on {hosts.a.address}:{PORT}: Address already in use" in line
    assert not (fresh.run_directory / "control.sock").exists()


def test_an_address_of_another_host_is_told(certificate, fresh):
    line, code = refused_start(Daemon(fresh, certificate, listen="192.0.2.1:16530"))
    assert code == 3
    assert "cannot listen on 192.0.2.1:16530: Cannot assign requested address" in line


def test_a_listen_name_that_does_not_resolve_is_told(certificate, fresh):
    line, code = refused_start(Daemon(fresh, certificate, listen="nowhere.invalid"))
    assert code == 3
    assert "cannot resolve nowhere.invalid" in line


def test_a_runtime_directory_that_cannot_be_made_is_told(certificate, fresh):
    line, code = refused_start(Daemon(
        fresh, certificate, listen="127.0.0.1:16530", runtime_directory="/nowhere/at/all"
    ))  # fmt: skip
    assert code == 3
    assert "cannot make /nowhere/at/all: No such file or directory" in line


def test_a_control_socket_of_a_killed_culvertd_is_replaced(certificate, fresh):
    daemon = Daemon(fresh, certificate, listen="127.0.0.1:16530").start()
    daemon.kill()
    assert daemon.socket_path.exists()
    daemon.start()
    assert json.loads(daemon.culvert("status", "--json", check=True).stdout)["migrations"] == []
    assert daemon.stop() == 0
    assert not daemon.socket_path.exists()


# `culvertd --check`: certificates and keys.


@pytest.fixture
def check(certificate, fresh):
    """check(paths=certificate, **keys of [host]): what `culvertd --check` says of them"""

    def run(paths=certificate, **host_keys):
        return run_check(Daemon(fresh, paths, **host_keys).configuration_path)

    return run


def run_check(path, binary=CULVERTD, prefix=()):
    return subprocess.run(
        [*prefix, binary, "--config", path, "--check"], capture_output=True, text=True, timeout=15
    )


def assert_rejected(result, *words):
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("culvertd: ")
    for word in words:
        assert word in lines[0]
    assert result.stdout == ""
    assert result.returncode == 3
    return lines[0]


def test_a_good_configuration_is_called_good(check):
    result = check()
    assert (result.returncode, result.stderr) == (0, "")
    assert "good; this host is 'hosta'" in result.stdout


@pytest.mark.parametrize("key", ["ca", "certificate", "key"])
def test_a_missing_file_is_told_with_its_key(check, certificate, tmp_path, key):
    missing = tmp_path / "none.pem"
    result = check(certificate._replace(**{key: missing}))
    assert_rejected(result, "culvert.conf", f"{key} = {missing}: No such file or directory")


@pytest.mark.parametrize("key", ["ca", "certificate", "key"])
def test_a_file_without_pem_is_told_with_its_key(check, certificate, tmp_path, key):
    text = tmp_path / "text.pem"
    text.write_text("not PEM at all\n")
    assert_rejected(check(certificate._replace(**{key: text})), f"{key} = {text}: not usable PEM")


def test_a_directory_in_place_of_a_key_is_told(check, certificate, tmp_path):
    assert_rejected(check(certificate._replace(key=tmp_path)), f"key = {tmp_path}: ")


def test_a_key_that_culvertd_may_not_read_is_told(authority, certificate, hosts):
    directory = hosts.directory / "readable"
    directory.mkdir(mode=0o755)
    hosts.directory.chmod(0o755)
    paths = type(certificate)(*(shutil.copy(path, directory) for path in certificate))
    for path in (paths.ca, paths.certificate):
        os.chmod(path, 0o644)
    os.chmod(paths.key, 0o600)
    host = Host("hosta", hosts.a.namespace, hosts.a.address, directory / "host")
    configuration = Daemon(host, paths).configuration_path
    binary = shutil.copy(CULVERTD, directory)
    prefix = ("setpriv", f"--reuid={OUTSIDER}", "--clear-groups")
    result = run_check(configuration, binary, prefix)
    assert_rejected(result, f"key = {paths.key}: Permission denied")


def test_a_key_of_another_certificate_is_told(check, certificate, authority):
    other = authority.issue("other")
    line = assert_rejected(check(certificate._replace(key=other.key)), f"key = {other.key}")
    assert "the key does not belong to the certificate" in line


def test_a_key_with_a_passphrase_is_told(check, certificate, tmp_path):
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "pkey", "-aes256", "-passout", "pass:secret", "-in",
                    certificate.key, "-out", locked], check=True, capture_output=True)  # fmt: skip
    line = assert_rejected(check(certificate._replace(key=locked)), "passphrase", "openssl pkey")
    assert "secret" not in line


def test_an_expired_certificate_of_its_own_is_told(check, authority):
    result = check(authority.issue_expired("stale", san="DNS:hosta.example"))
    assert_rejected(result, "certificate = ", "stale.pem", "expired at", "renew it", "clock")


def test_a_certificate_of_its_own_that_is_not_yet_valid_is_told(check, authority):
    result = check(authority.issue_not_yet_valid("fresh", san="DNS:hosta.example"))
    assert_rejected(result, "certificate = ", "fresh.pem", "not valid before", "clocks")


def test_a_certificate_of_its_own_by_another_authority_is_told(check, hosts, authority):
    other = Authority(hosts.directory / "certificates", "other").issue("hosta")
    result = check(other._replace(ca=authority.ca))
    assert_rejected(result, f"certificate = {other.certificate}", "not signed by the configured CA")


def test_a_certificate_of_its_own_that_names_nobody_is_told(check, authority):
    result = check(authority.issue("anonymous", san="IP:10.98.0.1"))
    assert_rejected(result, "anonymous.pem", "names nobody", "DNS or URI subjectAltName")


def test_culvertd_does_not_start_with_an_expired_certificate(authority, fresh):
    stale = authority.issue_expired("stale2", san="DNS:hosta.example")
    line, code = refused_start(Daemon(fresh, stale, listen="127.0.0.1:16530"))
    assert code == 3
    assert "expired at" in line and "renew it" in line


# `culvertd --check`: the file.

HOST = """[host]
name = hosta
"""
PEER = """[peer hostb]
address = 10.98.0.2
identity = hostb.example
"""


@pytest.mark.parametrize("text, line, told", [
    ("", None, ["[host] lacks 'name'"]),
    ("[host]\nname = hosta\nnonsense\n", 3, ["neither a [section] nor key = value"]),
    ("name = hosta\n", 1, ["[host]"]),
    ("[hosts]\nname = hosta\n", 1, ["'[hosts]'", "only [host], [bandwidth], [peer NAME], [service NAME] and [forward NAME]"]),
    ("[host\nname = hosta\n", 1, []),
    (HOST + "colour = blue\n", 3, ["colour", "is not a key of [host]"]),
    (HOST + "name = again\n", 3, ["name", "given twice"]),
    ("[host]\nname = ../hosta\n", 2, ["name", "'../hosta' is not a name"]),
    ("[host]\nname =\n", 2, ["name"]),
    (HOST + "key = host.key\n", 3, ["key", "'host.key' is not an absolute path"]),
    (HOST + "listen = 10.98.0.1:99999\n", 3, ["listen", "'10.98.0.1:99999' is not an address"]),
    (HOST + "listen = a b;c\n", 3, ["listen", "is not an address"]),
    (HOST + "control_group = no-such-group\n", 3, ["control_group", "no group 'no-such-group'"]),
    (HOST + PEER + "services = migrate, teleport\n", 6, ["services", "no service 'teleport'"]),
    (HOST + PEER + "adress = 10.98.0.3\n", 6, ["adress", "is not a key of a [peer]"]),
    (HOST + PEER + "identity = twice.example\n", 6, ["identity", "given twice"]),
    (HOST + "[peer hostb]\naddress = 10.98.0.2\n", 3, ["[peer hostb] lacks 'identity'"]),
    (HOST + "[peer hostb]\nidentity = x.example\n", 3, ["[peer hostb] lacks 'address'"]),
    (HOST + PEER + PEER.replace("hostb]", "hostc]"), 6,
     ["[peer hostc] has the identity of [peer hostb]"]),
    (HOST + PEER + PEER, 8, ["identity", "given twice"]),
    (HOST + "[peer ]\naddress = 10.98.0.2\n", 3, ["is not a name of a host"]),
    (HOST + "[peer ../b]\naddress = 10.98.0.2\n", 3, ["'../b' is not a name of a host"]),
    (HOST + "[peer " + "b" * 80 + "]\naddress = 10.98.0.2\n", 3, ["too long"]),
    (HOST + "ca = /" + "x" * 5000 + "\n", 3, ["longer than"]),
    (HOST + "listen = " + "10.98.0.1, " * 50 + "\n", 3, []),
])  # fmt: skip
def test_a_malformed_configuration_is_told_with_file_line_and_key(tmp_path, text, line, told):
    path = tmp_path / "culvert.conf"
    path.write_text(text)
    place = f"{path}:{line}: " if line else f"{path}: "
    assert_rejected(run_check(path), place, *told)


def test_a_configuration_that_is_not_there_is_told(tmp_path):
    assert_rejected(run_check(tmp_path / "none.conf"), f"{tmp_path}/none.conf", "No such file")


def test_a_configuration_that_is_a_directory_is_told(tmp_path):
    assert_rejected(run_check(tmp_path), str(tmp_path), "Is a directory")


def test_a_configuration_of_random_bytes_is_rejected(tmp_path):
    path = tmp_path / "culvert.conf"
    path.write_bytes(bytes(range(1, 256)) * 4)
    result = subprocess.run([CULVERTD, "--config", path, "--check"], capture_output=True)
    assert result.returncode == 3
    assert result.stderr.startswith(f"culvertd: {path}:".encode())


def test_culvertd_does_not_start_with_a_malformed_configuration(fresh, certificate):
    line, code = refused_start(Daemon(fresh, certificate, colour="blue"))
    assert code == 2
    assert "culvert.conf:" in line and "colour" in line


def test_an_unknown_option_of_culvertd_is_told_with_its_usage():
    result = subprocess.run([CULVERTD, "--teleport"], capture_output=True, text=True)
    assert result.returncode == 2
    assert "--teleport" in result.stderr and "usage: culvertd" in result.stderr
