"""A QEMU on one of the hosts, running the test guest of guest/ or waiting for it to arrive."""

import signal
import subprocess
import time
from typing import NamedTuple

from lab.console import Console
from lab.qmp import Qmp
from lab.wait import wait_until

# A guest that boots under emulation in three seconds needs none of what these leave out.
KERNEL_OPTIONS = "console=ttyS0 quiet mitigations=off cryptomgr.notests random.trust_cpu=on"

# QEMU 7.2 under emulation loses writes of the guest in pre-copy, with or without a tunnel, when its
# memory is a multiple of 256 KiB: its quick way to read the dirty bitmap then forgets to arm the
# emulator's write barrier again. A little more memory makes it take the other way.
ODD_KIB = 8


class Kernel(NamedTuple):
    vmlinuz: str
    initrd: str


class Machine(Console):
    """One QEMU process.

    name          also of its QMP socket, <host.qmp_directory>/<name>.sock
    dirty         options of the guest's program: {"mib": 64, "pattern": "mixed", ...}
    incoming      wait for a migration instead of booting; nothing but the memory's size must match
    trace_faults  write the time of every page request and arrival to `log_path`
    userfaultfd   False takes away the right to use it, so that post-copy is impossible
    arguments     more words for QEMU's command line
    """

    def __init__(self, host, name, kernel, memory_mib=160, dirty=None, incoming=False, vcpus=1,
                 trace_faults=False, userfaultfd=True, arguments=()):  # fmt: skip
        self.host = host
        self.name = name
        self.qmp_path = host.qmp_directory / f"{name}.sock"
        self.serial_path = host.log_directory / f"{name}.serial"
        self.log_path = host.log_directory / f"{name}.qemu.log"
        self._test_qmp_path = host.directory / f"{name}.test.sock"
        self.console_path = host.directory / f"{name}.console"
        self._qmp = None
        self._process = host.spawn(
            *([] if userfaultfd else _without_userfaultfd()),
            *self._command(kernel, memory_mib, dirty or {}, incoming, vcpus, trace_faults),
            *arguments,
            log=self.log_path,
        )

    def _command(self, kernel, memory_mib, dirty, incoming, vcpus, trace_faults):
        options = " ".join(f"dirty.{key}={value}" for key, value in dirty.items())
        words = [
            "qemu-system-x86_64", "-name", self.name,
            "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "pc", "-accel", "tcg", "-cpu", "qemu64",
            "-m", f"{memory_mib * 1024 + ODD_KIB}K", "-smp", str(vcpus),
            "-kernel", kernel.vmlinuz, "-initrd", kernel.initrd,
            "-append", f"{KERNEL_OPTIONS} {options}",
            # The log file has every line even while nobody is connected to the console.
            "-chardev", f"socket,id=console,path={self.console_path},server=on,wait=off,"
                        f"logfile={self.serial_path}",
            "-serial", "chardev:console",
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
            "-qmp", f"unix:{self._test_qmp_path},server=on,wait=off",
        ]  # fmt: skip
        if incoming:
            words += ["-incoming", "defer"]
        if trace_faults:
            words += ["-msg", "timestamp=on", "-trace", "postcopy_page_req_*"]
        return words

    @property
    def pid(self):
        return self._process.pid

    @property
    def exit_code(self):
        """None while QEMU runs."""
        return self._process.poll()

    def kill(self, number=signal.SIGKILL):
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(timeout=30)
        if self._qmp:
            self._qmp.close()
        self._qmp = None

    def wait_for_exit(self, timeout=30):
        return self._process.wait(timeout=timeout)

    # QMP, over a socket of our own: the other one belongs to culvertd.

    def qmp(self, command, **arguments):
        if not self._qmp:
            self._qmp = self._connect_qmp()
        return self._qmp.execute(command, **arguments)

    def _connect_qmp(self):
        def connected():
            if self.exit_code is not None:
                raise RuntimeError(f"{self.name}: QEMU ended: {self.log_path.read_text()}")
            try:
                return Qmp(self._test_qmp_path)
            except (FileNotFoundError, ConnectionRefusedError):
                return None

        return wait_until(connected, f"{self.name}: QMP socket")

    @property
    def status(self):
        """"running", "paused", "inmigrate", "postmigrate", ..."""
        return self.qmp("query-status")["status"]

    def migration(self):
        """query-migrate's answer; "status" is "none" when there has been no migration."""
        return {"status": "none", **self.qmp("query-migrate")}

    def wait_for_migration(self, *statuses, timeout=120):
        def reached():
            migration = self.migration()
            return migration if migration["status"] in statuses else None

        return wait_until(reached, f"{self.name}: migration {' or '.join(statuses)}", timeout)

    def check_alive(self):
        if self.exit_code is not None:
            raise RuntimeError(f"{self.name}: QEMU ended: {self.log_path.read_text()}")


def _without_userfaultfd():
    # Root without this capability is refused by the kernel unless
    # vm.unprivileged_userfaultfd=1; Debian's default is 0.
    return ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
