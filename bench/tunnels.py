"""How each tunnel is started: from a unix socket on the source, through mutual TLS 1.3, to a unix socket on
the destination."""

import json
import os
import pathlib
import shutil
import subprocess
from typing import NamedTuple

SUITE = "TLS_AES_128_GCM_SHA256"


class Place(NamedTuple):
    """Where one is to run."""

    directory: pathlib.Path  # to write settings into
    source: pathlib.Path  # the unix socket that the tunnel listens on
    sink: pathlib.Path  # the one that it connects to
    listen: tuple  # (address, port) of its destination
    connect: tuple  # where its source finds that: a relay may stand in between
    certificates: pathlib.Path  # ca.pem, client.pem and .key (SAN mig-src), server.pem and .key (SAN mig-dst)

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def both(self, name):
        """Certificate and key in one file."""
        return self.write(
            f"{name}-both.pem",
            "".join((self.certificates / f"{name}.{end}").read_text() for end in ("pem", "key")),
        )


class Commands(NamedTuple):
    source: list
    destination: list
    environment: dict = {}


def dotted(address):
    return f"{address[0]}:{address[1]}"


def stunnel(place):
    certs = place.certificates
    general = "foreground = yes\npid =\ndebug = 3\n"
    tls = f"CAfile = {certs}/ca.pem\nverifyChain = yes\nsslVersionMin = TLSv1.3\nciphersuites = {SUITE}\n"
    source = place.write(
        "stunnel-source.conf",
        f"{general}[tunnel]\nclient = yes\naccept = {place.source}\nconnect = {dotted(place.connect)}\n"
        f"cert = {certs}/client.pem\nkey = {certs}/client.key\ncheckHost = mig-dst\n{tls}",
    )
    destination = place.write(
        "stunnel-destination.conf",
        f"{general}[tunnel]\naccept = {dotted(place.listen)}\nconnect = {place.sink}\n"
        f"cert = {certs}/server.pem\nkey = {certs}/server.key\n{tls}",
    )
    return Commands(["stunnel4", source], ["stunnel4", destination])


def haproxy(place):
    general = f"""global
  maxconn 5000
  ssl-default-bind-ciphersuites {SUITE}
  ssl-default-server-ciphersuites {SUITE}
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
"""
    ca = place.certificates / "ca.pem"
    source = place.write(
        "haproxy-source.cfg",
        f"{general}frontend f\n  bind unix@{place.source} mode 666\n  default_backend b\n"
        f"backend b\n  server s {dotted(place.connect)} ssl crt {place.both('client')} ca-file {ca} "
        "verify required verifyhost mig-dst\n",
    )
    destination = place.write(
        "haproxy-destination.cfg",
        f"{general}frontend f\n  bind {dotted(place.listen)} ssl crt {place.both('server')} ca-file {ca} "
        f"verify required\n  default_backend b\nbackend b\n  server s unix@{place.sink}\n",
    )
    return Commands(["haproxy", "-db", "-f", source], ["haproxy", "-db", "-f", destination])


def socat(place):
    """With blocks of 64 KiB: its own default of 8 KiB is slower."""
    certs = place.certificates
    settings = place.write(
        "socat-openssl.cnf",
        "openssl_conf = o\n[o]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\n"
        f"MinProtocol = TLSv1.3\nCiphersuites = {SUITE}\n",
    )
    tls = f"cafile={certs}/ca.pem,verify=1,openssl-min-proto-version=TLS1.3,nodelay"
    address, port = place.listen
    return Commands(
        ["socat", "-b", "65536", f"UNIX-LISTEN:{place.source},fork,backlog=512",
         f"OPENSSL:{dotted(place.connect)},cn=mig-dst,cert={certs}/client.pem,key={certs}/client.key,{tls}"],
        ["socat", "-b", "65536",
         f"OPENSSL-LISTEN:{port},bind={address},reuseaddr,fork,backlog=512,"
         f"cert={certs}/server.pem,key={certs}/server.key,{tls}",
         f"UNIX-CONNECT:{place.sink}"],
        {"OPENSSL_CONF": str(settings)},
    )  # fmt: skip


def nginx(place):
    certs = place.certificates

    def settings(end, server):
        return place.write(
            f"nginx-{end}.conf",
            f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
worker_processes 1;
pid {place.directory}/nginx-{end}.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
stream {{ access_log off; proxy_timeout 1h; tcp_nodelay on; server {{ {server} }} }}
""",
        )

    source = settings(
        "source",
        f"listen unix:{place.source} backlog=1024; proxy_pass {dotted(place.connect)}; proxy_ssl on; "
        f"proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites {SUITE}; "
        f"proxy_ssl_certificate {certs}/client.pem; proxy_ssl_certificate_key {certs}/client.key; "
        f"proxy_ssl_trusted_certificate {certs}/ca.pem; proxy_ssl_verify on; proxy_ssl_name mig-dst;",
    )
    destination = settings(
        "destination",
        f"listen {dotted(place.listen)} ssl backlog=1024; ssl_protocols TLSv1.3; "
        f"ssl_conf_command Ciphersuites {SUITE}; ssl_certificate {certs}/server.pem; "
        f"ssl_certificate_key {certs}/server.key; ssl_client_certificate {certs}/ca.pem; "
        f"ssl_verify_client on; proxy_pass unix:{place.sink};",
    )
    return Commands(*(["nginx", "-e", "stderr", "-c", x] for x in (source, destination)))


def ssh(place):
    cipher = "aes128-gcm@openssh.com"
    keys = [place.directory / name for name in ("user-key", "host-key")]
    for key in keys:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    os.makedirs("/run/sshd", exist_ok=True)
    public = (place.directory / "host-key.pub").read_text().split()
    address, port = place.connect
    known = place.write("known-hosts", f"[{address}]:{port} {public[0]} {public[1]}\n")
    settings = place.write(
        "sshd.conf",
        f"Port {place.listen[1]}\nListenAddress {place.listen[0]}\nHostKey {keys[1]}\n"
        f"AuthorizedKeysFile {keys[0]}.pub\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
        f"AllowStreamLocalForwarding yes\nCiphers {cipher}\nMaxStartups 1000\n",
    )
    return Commands(
        ["ssh", "-F", "none", "-N", "-T", "-i", keys[0], "-o", f"UserKnownHostsFile={known}", "-c", cipher,
         "-o", "ExitOnForwardFailure=yes", "-p", str(port), "-L", f"{place.source}:{place.sink}",
         f"root@{address}"],
        ["/usr/sbin/sshd", "-D", "-q", "-f", settings],
    )  # fmt: skip


# What must be installed, and how it is started
RIVALS = {
    "haproxy": ("haproxy", haproxy),
    "stunnel": ("stunnel4", stunnel),
    "socat": ("socat", socat),
    "nginx": ("nginx", nginx),
    "ssh": ("sshd", ssh),
}

# No tunnel: what the network itself gives. Not a rival, for it encrypts nothing.
DIRECT = "direct"


def installed(program):
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def read_file(path):
    """Tunnels of a JSON file: {NAME: {"src": COMMAND, "dst": COMMAND}}, as in bench/culvert.json."""
    here = pathlib.Path(path).resolve().parent

    def starter(words):
        def fill(text, place, address):
            return text.format(
                here=here, s=place.source, d=place.sink, ip=address[0], port=address[1],
                certs=place.certificates, suite=SUITE, dir=place.directory,
            ).split()  # fmt: skip

        return lambda place: Commands(
            fill(words["src"], place, place.connect), fill(words["dst"], place, place.listen)
        )

    return {name: starter(words) for name, words in json.loads(pathlib.Path(path).read_text()).items()}
