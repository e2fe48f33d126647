"""Two hosts whose libvirts are reached by tcp://, through a loopback address for each peer."""

from lab.daemon import PORT, daemon_pair
from lab.libvirt import LibvirtHosts

# Where each host's own QEMUs listen for a migration. Their ports differ from the peer's: libvirt
# calls a port free when nobody listens there on any address of the host.
ADDRESSES = {"hosta": "127.77.0.1", "hostb": "127.77.0.2"}
PORTS = {"hosta": (49152, 49215), "hostb": (49216, 49279)}


def place(host):
    return "{}:{}-{}".format(ADDRESSES[host.name], *PORTS[host.name])


def name_of(host):
    """Its [peer] section's, and what the address has in /etc/hosts"""
    return f"{host.name}.culvert"


def tcp_hosts():
    pair = LibvirtHosts()
    for host in pair:
        first, last = PORTS[host.name]
        host.qemu_settings = [
            f'migration_address = "{ADDRESSES[host.name]}"',
            f"migration_port_min = {first}",
            f"migration_port_max = {last}",
        ]
        host.names = {f"{name}.culvert": address for name, address in ADDRESSES.items()}
    return pair


def start_daemons(hosts, authority, services="migrate, libvirt", peer_keys=None, **host_keys):
    """Each host has an address for the other; `host_keys` are hostb's."""
    pair = daemon_pair(hosts, authority)
    for daemon in pair:
        other = hosts.other(daemon.host)
        peer = {
            "name": name_of(other),
            "address": f"{other.address}:{PORT}",
            "identity": f"{other.name}.example",
            "services": services,
            "loopback": place(other),
            **(peer_keys or {}),
        }
        keys = {"migration_address": place(daemon.host)}
        if daemon.host is hosts.b:
            keys.update(host_keys)
        daemon.configure(authority.issue(daemon.host.name), [peer], **keys)
        daemon.log_path.unlink(missing_ok=True)
        daemon.start()
    return pair


def only_culvert(hosts):
    """Of IP nothing but Culvert passes on eth0; the rest is counted."""
    rules = f"""
        table ip only {{
            counter others {{ }}
            chain output {{
                type filter hook output priority 0;
                oifname "eth0" tcp dport {PORT} accept
                oifname "eth0" tcp sport {PORT} accept
                oifname "eth0" counter name others drop
            }}
        }}"""
    for host in hosts:
        host.run("nft", "-f", "-", input=rules)


def assert_nothing_else(hosts):
    for host in hosts:
        counted = host.run("nft", "list", "counter", "ip", "only", "others").stdout
        assert "packets 0 " in counted


def assert_arrived(domain, source, destination):
    assert domain.state_on(source) == ""
    assert domain.state_on(destination).startswith("running")
    domain.now_on(destination)
    domain.wait_until_alive()
    assert domain.verdict()["corrupt"] == 0
