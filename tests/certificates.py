"""Throw-away certificates for this machine, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

_NAMES = "subjectAltName=DNS:localhost,DNS:approve.example.org,IP:127.0.0.1"
_CONFIG = """\
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


class KeyPair(NamedTuple):
    """A certificate that signs itself, and its key."""

    cert: Path
    key: Path


def new_pair(folder: Path, name: str = "own", *, begin: str = "20200101000000Z", end: str = "20991231000000Z") -> KeyPair:
    """A certificate for localhost and approve.example.org that is valid between these times."""
    folder.mkdir(exist_ok=True)
    (folder / "ca.cnf").write_text(_CONFIG)
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("01\n")
    pair = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
    asked = folder / f"{name}.csr"
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    _openssl(folder, "req", "-new", *new, "-addext", _NAMES, "-keyout", str(pair.key), "-out", str(asked))
    times = ["-startdate", begin, "-enddate", end]
    files = ["-keyfile", str(pair.key), "-in", str(asked), "-out", str(pair.cert)]
    _openssl(folder, "ca", "-batch", "-notext", "-config", "ca.cnf", "-selfsign", *files, *times)
    pair.key.chmod(0o600)
    return pair


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
