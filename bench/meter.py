"""What programs and their children cost, as the kernel counts it."""

import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """The fields after the name, or None for a process that is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def family(pids):
    """`pids` and all that descend from them"""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(name)):
            parents.setdefault(int(fields[1]), []).append(int(name))
    found = list(pids)
    for pid in found:
        found.extend(parents.get(pid, ()))
    return found


def cpu_s(pids):
    """User and system time of the family, and of those of it that have ended"""
    stats = filter(None, map(_stat, family(pids)))
    return sum(int(ticks) for fields in stats for ticks in fields[11:15]) / TICKS


def memory_kib(pids):
    """What the family holds, shared pages in shares (PSS)"""
    total = 0
    for pid in family(pids):
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next((int(x.split()[1]) for x in text.splitlines() if x.startswith("Pss:")), 0)
    return total


def machine():
    """(busy, all): what the machine's cores have spent so far, in seconds"""
    fields = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, fields)
    busy = user + nice + system
    return busy / TICKS, (busy + idle + iowait + irq + softirq + steal) / TICKS
