"""A migration through Culvert, as lab/native.py does it over bare TCP."""

from lab.certificates import Authority
from lab.daemon import daemon_pair


def start_daemons(hosts):
    """One on each host, which may migrate to the other."""
    daemons = daemon_pair(hosts, Authority(hosts.directory / "certificates"))
    for daemon in daemons:
        daemon.start()
    return daemons


def migrate(daemons, source, mode="precopy", timeout=120):
    """From the first daemon's host to the second's; return the migration as `culvert status` lists it."""
    origin, target = daemons
    origin.culvert(
        "migrate", source.name, target.host.name, "--mode", mode, check=True, timeout=timeout
    )
    (migration,) = origin.migrations()
    return migration
