"""Certificate authorities that live as long as a run, made with the openssl command."""

import pathlib
import subprocess
import tempfile
from datetime import datetime, timedelta, timezone
from typing import NamedTuple


class Certificate(NamedTuple):
    ca: pathlib.Path
    certificate: pathlib.Path
    key: pathlib.Path


class Authority:
    """One CA; make a second one for a certificate that nobody should trust."""

    def __init__(self, directory, name="ca"):
        self.directory = pathlib.Path(directory) / name
        self.directory.mkdir(parents=True)
        self.ca = self.directory / "ca.pem"
        self._key = self.directory / "ca.key"
        self._settings = self.directory / "ca.cnf"
        (self.directory / "index.txt").touch()
        self._settings.write_text(
            f"""[ca]
default_ca = this
[this]
database = {self.directory}/index.txt
new_certs_dir = {self.directory}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
"""
        )
        _openssl(
            "req", "-x509", *_new_key(self._key), "-out", self.ca, "-days", "400",
            "-subj", f"/CN=culvert lab {name}",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    def issue(self, name, san=None, not_before=None, not_after=None):
        """A certificate and key in files called `name`.

        san         subjectAltName in openssl's words; by default "DNS:<name>.example"
        not_before  a timedelta from now, as is not_after: by default an hour ago until in 100 days
        """
        san = san or f"DNS:{name}.example"
        issued = Certificate(
            self.ca, self.directory / f"{name}.pem", self.directory / f"{name}.key"
        )
        _openssl(
            "req", "-new", *_new_key(issued.key), "-subj", f"/CN={name}",
            "-out", self.directory / f"{name}.csr",
        )  # fmt: skip
        with tempfile.NamedTemporaryFile("w", dir=self.directory, suffix=".ext") as extensions:
            extensions.write(
                f"basicConstraints=CA:FALSE\nsubjectAltName={san}\n"
                "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
            )
            extensions.flush()
            _openssl(
                "ca", "-batch", "-notext", "-config", self._settings, "-name", "this",
                "-cert", self.ca, "-keyfile", self._key, "-extfile", extensions.name,
                "-in", self.directory / f"{name}.csr", "-out", issued.certificate,
                "-startdate", _moment(not_before, timedelta(hours=-1)),
                "-enddate", _moment(not_after, timedelta(days=100)),
            )  # fmt: skip
        return issued

    def issue_expired(self, name, **options):
        return self.issue(
            name, not_before=timedelta(days=-2), not_after=timedelta(days=-1), **options
        )

    def issue_expiring_soon(self, name, **options):
        return self.issue(name, not_after=timedelta(days=10), **options)

    def issue_not_yet_valid(self, name, **options):
        return self.issue(name, not_before=timedelta(days=1), not_after=timedelta(days=2), **options)


def _new_key(path):
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path]


def _moment(offset, default):
    moment = datetime.now(timezone.utc) + (default if offset is None else offset)
    return moment.strftime("%Y%m%d%H%M%SZ")


def _openssl(*words):
    result = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"openssl {words[0]}: {result.stderr.strip()}")
