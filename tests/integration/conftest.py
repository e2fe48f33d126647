"""Fixtures: two hosts, a daemon on each, and guests on them. On failure, the logs of both hosts."""

import importlib.util
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from crossing import SLOW, Crossing  # noqa: E402

from lab.certificates import Authority  # noqa: E402
from lab.daemon import daemon_pair  # noqa: E402
from lab.guest import build_kernel  # noqa: E402
from lab.hosts import Hosts  # noqa: E402
from lab.machine import Machine  # noqa: E402

LOG_LINES = 60

# Nova and all it needs are too much to install for one test.
LACKS_NOVA = not all(importlib.util.find_spec(name) for name in ("nova", "libvirt"))
collect_ignore = ["test_nova.py"] if LACKS_NOVA else []


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitized: also run with sanitized binaries")
    # A shell that starts this in the background has it ignored, and so would have what is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter):
    if LACKS_NOVA:
        terminalreporter.write_line("test_nova.py left out: scripts/install-packages nova")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    hosts = item.funcargs.get("hosts") if hasattr(item, "funcargs") else None
    if report.failed and hosts:
        for host in hosts:
            for log in sorted(host.log_directory.glob("*")):
                lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
                report.sections.append((f"{host.name}: {log.name}", "\n".join(lines)))


@pytest.fixture(scope="session")
def kernel():
    return build_kernel()


@pytest.fixture
def hosts():
    with Hosts() as pair:
        yield pair


@pytest.fixture
def authority(hosts):
    return Authority(hosts.directory / "certificates")


@pytest.fixture
def daemons(request, hosts, authority):
    """culvertd on both hosts, each knowing and trusting the other, with the options of daemon_pair()
    that the module has in DAEMONS. Afterwards they must stop cleanly: a sanitizer's report fails the
    test."""
    pair = daemon_pair(hosts, authority, **getattr(request.module, "DAEMONS", {}))
    for daemon in pair:
        daemon.start()
    yield pair
    for daemon in pair:
        if daemon.exit_code is None:
            assert daemon.stop() == 0
        assert "Sanitizer" not in daemon.log_text()
        if daemon.keeper:
            daemon.keeper.close()


@pytest.fixture
def guest(hosts, kernel):
    """guest(name="vm", host=hosts.a, **options of Machine): a QEMU, running its guest or waiting"""

    def start(name="vm", host=None, **options):
        return Machine(host or hosts.a, name, kernel, **options)

    return start


@pytest.fixture
def crossing(hosts, guest, daemons):
    """crossing(rate=SLOW, **options of Crossing): a guest that runs on hosta and may move to hostb"""

    def start(rate=SLOW, **options):
        moving = Crossing(guest, hosts.a, hosts.b, **options).wait_running()
        hosts.shape(rate)
        return moving

    return start
