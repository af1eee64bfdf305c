# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on loopback that behave as a test wants, and certificates for them."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import socketserver
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Behaviour = Callable[[socket.socket, bytes], None]


class Server(socketserver.ThreadingTCPServer):
    """Reads a request's head and then does with the connection what the test says."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, behaviour: Behaviour, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), None)
        self.behaviour = behaviour
        self.context = context
        self.requests: list[bytes] = []
        self.over = threading.Event()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def url(self, path: str = "/") -> str:
        scheme = "https" if self.context else "http"
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def finish_request(self, request, client_address) -> None:
        # A client that goes away in the middle is what many tests are about.
        with contextlib.suppress(OSError):
            if self.context:
                request = self.context.wrap_socket(request, server_side=True)
            with request:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = request.recv(65536)
                    if not data:
                        return
                    head += data
                self.requests.append(head)
                self.behaviour(request, head)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers; all are stopped after the test."""
    servers = []

    def start(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> Server:
        server = Server(behaviour, context)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def raw() -> Callable[[bytes], Behaviour]:
    """Makes a behaviour: send this and hang up."""
    return lambda data: lambda connection, _request: connection.sendall(data)


@pytest.fixture
def answer(raw) -> Callable[..., Behaviour]:
    """Makes a behaviour: one complete answer."""

    def make(status: str = "200 OK", body: bytes = b"", *headers: str) -> Behaviour:
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
        return raw("\r\n".join(lines).encode() + body)

    return make


@dataclass(frozen=True)
class Certificates:
    """Files: an authority, a server's certificate with its key, a client's certificate and key."""

    authority: Path
    server: Path
    expired: Path
    client: Path
    client_key: Path
    sealed_key: Path

    def context(self, certificate: Path | None = None, ask_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate or self.server)
        if ask_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority)
        return context


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority of our own and what it signed."""
    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of the tests")])

    def issue(name, key, *, authority=False, until=now + day):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * day)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .add_extension(
                x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False),
                critical=True,
            )
        )
        if not authority:
            names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def key_text(key, passphrase=None):
        sealed = (
            serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        )
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)

    def write(name: str, *parts: bytes) -> Path:
        path = folder / name
        path.write_bytes(b"".join(parts))
        return path

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "of the tests")])
    return Certificates(
        authority=write("authority.pem", issue(authority_name, authority_key, authority=True)),
        server=write("server.pem", issue(subject, key), key_text(key)),
        expired=write("expired.pem", issue(subject, key, until=now - day), key_text(key)),
        client=write("client.pem", issue(subject, key)),
        client_key=write("client.key", key_text(key)),
        sealed_key=write("sealed.key", key_text(key, b"passphrase")),
    )
