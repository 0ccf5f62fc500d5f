"""Certificates made by openssl: a CA of our own, and what it issues."""

import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.faked_clock import at_moment

HERE = "IP:127.0.0.1,IP:::1,DNS:localhost"


@dataclass(frozen=True, slots=True)
class Certificates:
    """A CA, and a certificate that it issued."""

    ca: Path
    chain: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server speaks TLS by."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


def make_certificates(home: Path, names: str = HERE, at: str | None = None) -> Certificates:
    """Issue a certificate for `names` that is good for 30 days from now on, or from `at` on; the CA for ten years."""
    made = Certificates(home / "ca.pem", home / "server.pem", home / "server.key")
    ecdsa = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    ca = ["-days", "3650", "-subj", "/CN=Authority", "-addext", "keyUsage=critical,keyCertSign"]
    _openssl(None, "req", "-x509", *ecdsa, "-keyout", home / "ca.key", "-out", made.ca, *ca)
    server = ["-days", "30", "-subj", "/CN=packrat", "-addext", "basicConstraints=critical,CA:false"]
    server += ["-addext", f"subjectAltName={names}"]
    by = ("-CA", made.ca, "-CAkey", home / "ca.key")
    _openssl(at, "req", "-x509", *ecdsa, "-keyout", made.key, "-out", made.chain, *by, *server)
    return made


def _openssl(at: str | None, *arguments: str | Path) -> None:
    clock = os.environ | at_moment(f"@{at}") if at else None
    done = subprocess.run(["openssl", *map(str, arguments)], env=clock, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
