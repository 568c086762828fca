"""A real PostgreSQL for the tests: Debian's binaries, a temporary folder, a Unix socket and TLS on loopback."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Server:
    """`folder` holds the socket; TLS on 127.0.0.1 and 127.0.0.2, whose certificate names only the first."""

    folder: Path
    port: int
    ca_file: Path
    other_ca: Path

    def socket_address(self, database: str, user: str = "owner") -> str:
        return f"postgres://{user}@:{self.port}/{database}?socket={self.folder}"

    def tls_address(self, database: str, ca_file: Path, host: str = "127.0.0.1") -> str:
        return f"postgres://owner@{host}:{self.port}/{database}?ca={ca_file}"


def binaries() -> Path | None:
    """The folder of initdb and postgres, or None where there is no server to test with."""
    folders = [Path(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if on_path := shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


@contextmanager
def running(programs: Path) -> Iterator[Server]:
    """Started with fsync on; as root under another account, for PostgreSQL refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="so8t-pg-"))
    account = _account() if os.geteuid() == 0 else None
    try:
        port = _free_port()
        _certificates(folder)
        _initialise(programs, folder, port, account)
        log = (folder / "log").open("wb")
        process = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(folder / "data")],
            stdout=log, stderr=subprocess.STDOUT, cwd=folder, user=account, group=account and _group(account),
        )  # fmt: skip
        try:
            _wait(folder / "data" / "postmaster.pid", process, folder / "log")
            yield Server(folder, port, folder / "ca.pem", folder / "other.pem")
        finally:
            process.send_signal(signal.SIGINT)  # at once, though somebody is still connected
            process.wait(timeout=30)
            log.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> str:
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ACCOUNTS if name in known)


def _group(account: str) -> int:
    import pwd

    return pwd.getpwnam(account).pw_gid


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return int(s.getsockname()[1])


def _initialise(programs: Path, folder: Path, port: int, account: str | None) -> None:
    for name in (".", "server.key", "server.pem", "ca.pem", "other.pem"):
        if account:
            shutil.chown(folder / name, account)
    (folder / "server.key").chmod(0o600)
    command = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "owner", "-A", "trust", "-E", "UTF8", "-N"]
    group = account and _group(account)
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, user=account, group=group, check=False)
    assert done.returncode == 0, done.stderr
    with (folder / "data" / "postgresql.conf").open("a") as f:
        f.write(
            f"listen_addresses = '127.0.0.1,127.0.0.2'\nport = {port}\nunix_socket_directories = '{folder}'\n"
            f"ssl = on\nssl_cert_file = '{folder}/server.pem'\nssl_key_file = '{folder}/server.key'\n"
        )


def _wait(state: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server writes that it is ready."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if state.exists() and "ready" in state.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


def _certificates(folder: Path) -> None:
    """An authority, a server's certificate for 127.0.0.1, and an authority that signed nothing."""
    for name in ("ca", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(name, key, name, key, x509.BasicConstraints(ca=True, path_length=0))
        (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        if name == "ca":
            authority = key
    server = ec.generate_private_key(ec.SECP256R1())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = _certificate("server", server, "ca", authority, address)
    (folder / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(server.private_bytes(*plain))


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:  # fmt: skip
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in (name, issuer))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    )
    return made.sign(signer, hashes.SHA256())
