"""QEMU's own migration over bare TCP: the control, and the baseline to compare with."""

from lab.wait import wait_until

PORT = 4444
UNLIMITED_BYTES_PER_S = 1 << 40


def migrate(source, destination, mode="precopy", timeout=120):
    """Migrate and return the source's query-migrate when both sides have completed.

    mode  "precopy", "postcopy" (switch at once) or "hybrid" (switch after one pass)
    """
    uri = f"tcp:{destination.host.address}:{PORT}"
    for machine in (destination, source):
        machine.qmp("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": name != "postcopy-ram" or mode != "precopy"}
            for name in ("events", "return-path", "postcopy-ram")
        ])  # fmt: skip
        machine.qmp("migrate-set-parameters", max_bandwidth=UNLIMITED_BYTES_PER_S)
    destination.qmp("migrate-incoming", uri=uri)
    source.qmp("migrate", uri=uri)
    if mode != "precopy":
        _switch(source, passes=1 if mode == "hybrid" else 0)
    finished = source.wait_for_migration("completed", "failed", timeout=timeout)
    if finished["status"] == "failed":
        raise RuntimeError(f"native migration failed: {finished.get('error-desc', 'no reason')}")
    destination.wait_for_migration("completed", timeout=timeout)
    return finished


def _switch(source, passes):
    def ready():
        migration = source.migration()
        if migration["status"] in ("failed", "completed"):
            return True
        # The count is 1 during the first pass.
        return migration["status"] == "active" and migration["ram"]["dirty-sync-count"] > passes

    wait_until(ready, f"{source.name}: {passes} passes", timeout=120, interval=0.005)
    if source.migration()["status"] == "active":
        source.qmp("migrate-start-postcopy")
