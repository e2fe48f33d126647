"""The tests' own instruments: what they call a healthy guest must be one, and a broken one not."""

import time

import pytest

from bench.faults import fault_latencies_ms
from lab import native

DIRTY = {"mib": 64, "pattern": "mixed", "rate_mib": 100}


@pytest.mark.parametrize("mode", ["postcopy", "hybrid"])
def test_qemu_alone_keeps_the_guests_memory(hosts, guest, mode):
    hosts.shape("1gbit")  # pre-copy cannot finish before the switch
    source = guest(dirty={**DIRTY, "rate_mib": 0})
    destination = guest(host=hosts.b, incoming=True, trace_faults=True)
    source.wait_running()

    native.migrate(source, destination, mode)

    destination.wait_until_alive()
    assert destination.verdict()["corrupt"] == 0
    assert source.status == "postmigrate"
    assert len(fault_latencies_ms(destination.log_path.read_text())) > 0


def test_qemu_alone_keeps_the_guests_memory_in_precopy(hosts, guest):
    source = guest(dirty={**DIRTY, "rate_mib": 20})
    destination = guest(host=hosts.b, incoming=True)
    source.wait_running()

    native.migrate(source, destination, "precopy")

    destination.wait_until_alive()
    assert destination.verdict()["corrupt"] == 0


def test_guest_notices_flipped_lost_stale_and_misplaced_pages(guest):
    machine = guest(dirty={**DIRTY, "break": 1})
    machine.wait_for_line(r"^dirtier: CORRUPT")

    assert machine.verdict()["corrupt"] == 4

    found = [line for line in machine.serial_lines() if "CORRUPT" in line]
    flipped, lost, stale, misplaced = sorted(found, key=page_of)
    assert figure(flipped, "wrong_bytes") == 1
    assert figure(lost, "found_version") == 0
    assert figure(stale, "found_page") == page_of(stale)
    assert figure(stale, "found_version") == figure(stale, "expected_version") - 1
    assert figure(misplaced, "found_page") == page_of(misplaced) + 1


def test_guest_knows_for_how_long_its_machine_was_stopped(guest):
    machine = guest(dirty=DIRTY)
    # Its real-time clock has to be seen to change once before.
    machine.wait_for_line(r"uptime_ms=[2-9]\d{3} ")
    before = machine.report()["stopped_ms"]
    machine.qmp("stop")
    began = time.monotonic()
    time.sleep(0.7)
    machine.qmp("cont")
    stopped_ms = (time.monotonic() - began) * 1000
    machine.wait_for_line(r"stopped_ms=[1-9]\d\d", timeout=10)

    after = machine.report()
    assert after["stopped_ms"] - before == pytest.approx(stopped_ms, abs=200)
    assert after["longest_gap_ms"] < 500, "its own clock does not see it"


def page_of(line):
    return figure(line, "page")


def figure(line, name):
    return int(line.split(f" {name}=")[1].split()[0])
