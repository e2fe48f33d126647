"""Two hosts with a libvirt each, and domains on them that run the test guest of guest/.

Such a host has mounts of its own, so that both have the same paths, as libvirt wants it: what it
keeps in /run, /etc/libvirt and the like lies below its directory.
"""

import contextlib
import json
import os
import pathlib
import signal
import string
import subprocess
import uuid

from lab.console import Console
from lab.hosts import Host, Hosts
from lab.machine import KERNEL_OPTIONS, ODD_KIB
from lab.wait import wait_until

URI = "qemu:///system"
TCP_PORT = 16509
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
MOUNTS = {
    "run": "/run",
    "etc-libvirt": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}


def _propagation():
    """Mounts of one host are not to be seen on others. In a chroot unshare cannot see to that, for the
    root is no mount there; what is mounted below a private mount is private all the same."""
    private = ["unshare", "--mount", "--propagation", "private", "true"]
    if subprocess.run(private, stderr=subprocess.DEVNULL).returncode == 0:
        return "private"
    return "unchanged"


class LibvirtHost(Host):
    """Before up():

    qemu_settings  more lines for its qemu.conf
    qemu_user      who its QEMUs are; any but root is confined to what Debian's settings leave it
    names          {name: address}, for its /etc/hosts
    """

    def __init__(self, name, namespace, address, directory):
        super().__init__(name, namespace, address, directory)
        self.root = self.directory / "root"
        self._holder = None
        self.qemu_settings = []
        self.qemu_user = "root"
        self.names = {}

    def command(self, *words):
        if not self._holder:
            return super().command(*words)
        return ["nsenter", "-t", str(self._holder.pid), "-r", "-m", "-n", "-u", "-i", *map(str, words)]

    def outside(self, path):
        """Where a path of this host is for everybody else."""
        for name, mount in MOUNTS.items():
            if pathlib.Path(path).is_relative_to(mount):
                return self.root / name / pathlib.Path(path).relative_to(mount)
        raise ValueError(f"{path} is not this host's own")

    def separate(self, others):
        """Give it mounts of its own. others: {name: address}, for /etc/hosts"""
        for name in MOUNTS:
            (self.root / name).mkdir(parents=True)
        self._write_settings()
        hosts = self.root / "hosts"
        names = {"localhost": "127.0.0.1", **others, **self.names}
        hosts.write_text("".join(f"{address} {name}\n" for name, address in names.items()))
        ready = self.root / "ready"
        mounts = "".join(f"mount --bind {self.root / name} {where}; "
                         for name, where in MOUNTS.items() if name != "run")  # fmt: skip
        script = (
            f"set -e; hostname {self.name}; mkdir -p {' '.join(MOUNTS.values())}; {mounts}"
            f"mount --bind {hosts} /etc/hosts; "
            f"mount --bind {self.root / 'run'} /run; mkdir -p /run/lock /run/libvirt; "
            "mkdir -p /var/lib/libvirt/qemu /var/lib/libvirt/images; "
            f"touch {ready}; exec sleep infinity"
        )
        self._holder_log = self.log_directory / "holder.log"
        holder = self.spawn(
            "unshare", "--mount", "--uts", "--ipc", "--propagation", _propagation(), "--",
            "sh", "-c", script, log=self._holder_log,
        )  # fmt: skip
        wait_until(ready.exists, f"{self.name}: mounts of its own", timeout=20)
        self._holder = holder
        self.run_directory = pathlib.Path("/run/culvert")
        self.qmp_directory = pathlib.Path("/run/culvert/qmp")

    def _write_settings(self):
        etc = self.root / "etc-libvirt"
        (etc / "libvirtd.conf").write_text(
            f'host_uuid = "{uuid.uuid5(uuid.NAMESPACE_DNS, self.name)}"\n'
            'auth_unix_rw = "none"\n'
            # For clients that go to it without Culvert
            f'listen_tls = 0\nlisten_tcp = 1\nlisten_addr = "{self.address}"\nauth_tcp = "none"\n'
            'log_outputs = "2:file:/var/log/libvirt/libvirtd.log"\n'
        )
        root = self.qemu_user == "root"
        # No security driver, cgroups or mounts of its own: what this machine may lack.
        (etc / "qemu.conf").write_text(
            f'security_driver = "none"\nuser = "{self.qemu_user}"\ngroup = "{self.qemu_user}"\n'
            "namespaces = []\ncgroup_controllers = []\n"
            'stdio_handler = "file"\nremember_owner = 0\n'
            + ("dynamic_ownership = 0\nclear_emulator_capabilities = 0\n" if root else "")
            + "".join(f"{line}\n" for line in self.qemu_settings)
        )

    def start_libvirt(self):
        self.libvirtd = self.spawn(
            "libvirtd", "--listen", "--timeout", "0", log=self.log_directory / "libvirtd.out"
        )
        wait_until(lambda: self.virsh("version", check=False).returncode == 0,
                   f"{self.name}: libvirtd", timeout=30)  # fmt: skip
        return self

    def stop_libvirt(self, number=signal.SIGTERM, timeout=30):
        """Its domains go on without it. It does not end before its calls do, unless it is killed."""
        self.libvirtd.send_signal(number)
        wait_until(lambda: self.libvirtd.poll() is not None, f"{self.name}: libvirtd's end", timeout)

    @contextlib.contextmanager
    def hung_libvirt(self):
        """It takes connections, and says nothing."""
        self.libvirtd.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.libvirtd.send_signal(signal.SIGCONT)

    def virsh(self, *words, check=True, timeout=120):
        return self.run("virsh", "-q", "-c", URI, *words, check=check, timeout=timeout)

    def destroy_domains(self):
        """And undefine them"""
        listed = self.virsh("list", "--all", "--name", check=False)
        for name in listed.stdout.split():
            self.virsh("destroy", name, check=False)
            self.virsh("undefine", name, check=False)

    def monitor(self, domain, command, **arguments):
        """A command of QMP; its answer"""
        words = json.dumps({"execute": command, "arguments": arguments})
        answer = json.loads(self.virsh("qemu-monitor-command", domain, words).stdout)
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def end_processes(self):
        if self._holder:
            self.destroy_domains()
            self._end_hypervisors()
        super().end_processes()
        self._holder = None


    def _end_hypervisors(self):
        """Those that are left where no libvirt was there to destroy them"""
        for file in self.outside("/run/libvirt/qemu").glob("*.pid"):
            with contextlib.suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)


class LibvirtHosts(Hosts):
    host_class = LibvirtHost

    def up(self):
        super().up()
        try:
            for host in self:
                host.separate({other.name: other.address for other in self})
            for host in self:
                host.start_libvirt()
        except BaseException:
            self.down()
            raise
        return self


class Domain(Console):
    """A domain that runs the test guest on `host`, and its console wherever it is then.

    dirty       options of the guest's program, as for lab.machine.Machine
    disks       paths of images, the same on both hosts
    format      of all of them
    persistent  False: it is gone with its end
    """

    def __init__(self, host, name, kernel, memory_mib=160, dirty=None, disks=(), format="raw",
                 persistent=False):  # fmt: skip
        self.name = name
        self._serial = f"/var/log/libvirt/{name}.serial"
        self._console = f"/run/{name}.console"
        path = host.root / f"{name}.xml"
        path.write_text(self._xml(kernel, memory_mib, dirty or {}, disks, format))
        self.now_on(host)
        for log in host.log_directory.parent.parent.glob(f"*/root/log/{name}.serial"):
            log.unlink()  # of an earlier domain of that name, on either host
        if persistent:
            host.virsh("define", path)
            host.virsh("start", name)
        else:
            host.virsh("create", path)

    def _xml(self, kernel, memory_mib, dirty, disks, format):
        options = " ".join(f"dirty.{key}={value}" for key, value in dirty.items())
        return f"""<domain type='qemu' xmlns:qemu='{QEMU_NAMESPACE}'><name>{self.name}</name>
 <memory unit='MiB'>{memory_mib}</memory><vcpu>1</vcpu>
 <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
  <kernel>{kernel.vmlinuz}</kernel><initrd>{kernel.initrd}</initrd>
  <cmdline>{KERNEL_OPTIONS} {options}</cmdline></os>
 <cpu mode='custom' match='exact'><model fallback='allow'>qemu64</model></cpu>
 <features><acpi/></features><on_crash>preserve</on_crash>
 <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
  <controller type='usb' model='none'/>{_disks(disks, format)}
  <serial type='unix'><source mode='bind' path='{self._console}'/>
   <log file='{self._serial}' append='on'/></serial>
  <memballoon model='none'/></devices>
{_odd_memory(memory_mib)}
</domain>
"""

    def now_on(self, host):
        """It has come to this host."""
        self.host = host
        self.serial_path = host.outside(self._serial)
        self.console_path = host.outside(self._console)

    def check_alive(self):
        if self.state_on(self.host) == "":
            raise RuntimeError(f"{self.name} is not on {self.host.name} any more")

    def state_on(self, host):
        """"running (booted)", "paused (post-copy)", ...; "" where it is unknown"""
        return host.virsh("domstate", "--reason", self.name, check=False).stdout.strip()


def _odd_memory(mib):
    """libvirt makes whole MiB of a domain's memory, with which this QEMU loses writes: see lab.machine."""
    size = f"{mib * 1024 + ODD_KIB}k"
    words = ["-m", f"size={size}", "-object", f"memory-backend-ram,id=odd,size={size}",
             "-machine", "memory-backend=odd"]  # fmt: skip
    arguments = "".join(f"<qemu:arg value='{word}'/>" for word in words)
    return f" <qemu:commandline>{arguments}</qemu:commandline>"


def _disks(paths, format):
    return "".join(
        f"<disk type='file' device='disk'><driver name='qemu' type='{format}'/>"
        f"<source file='{path}'/><target dev='vd{letter}' bus='virtio'/></disk>"
        for letter, path in zip(string.ascii_lowercase, paths)
    )
