# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching from a real server."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.download import download, printable

CONTENT = b"archive" * 1000


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        if path == "/file":
            self.answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT)
        elif path == "/cut":
            self.answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT[:100])
        elif path == "/gzip":
            # Packed once, in the file itself: it must arrive as it is.
            self.answer(200, {"Content-Encoding": "gzip"}, b"\x1f\x8bnot really")
        elif path == "/same":
            self.answer(302, {"Location": "/file"})
        elif path == "/other":
            self.answer(302, {"Location": self.server.other})
        elif path == "/loop":
            self.answer(302, {"Location": "/loop"})
        elif path == "/local":
            self.answer(302, {"Location": "file:///etc/passwd"})
        elif path == "/hangs":
            self.server.released.wait()
        else:
            self.answer(404, {})

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    servers = []

    def started(other=""):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.seen, server.other, server.released = [], other, threading.Event()
        server.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield started
    for server in servers:
        server.released.set()
        server.shutdown()
        server.server_close()


def test_a_file_is_fetched_as_it_is(serve, tmp_path):
    server = serve()
    download(server.address + "/file", str(tmp_path / "f"))
    assert (tmp_path / "f").read_bytes() == CONTENT
    download(server.address + "/gzip", str(tmp_path / "g"))
    assert (tmp_path / "g").read_bytes() == b"\x1f\x8bnot really"


def test_credentials_and_headers_follow_to_the_same_server_only(serve, tmp_path):
    other = serve()
    server = serve(other.address + "/file")
    secrets = {"headers": {"X-Token": "t0k3n"}, "username": "me", "password": "s3cret"}
    basic = "Basic " + base64.b64encode(b"me:s3cret").decode()
    for path in ("/same", "/other"):
        download(server.address + path, str(tmp_path / "f"), **secrets)
        assert (tmp_path / "f").read_bytes() == CONTENT
    for path, headers in server.seen:
        assert (headers["X-Token"], headers["Authorization"]) == ("t0k3n", basic), path
    ((path, headers),) = other.seen
    assert "X-Token" not in headers and "Authorization" not in headers


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing", "answered 404"),
        ("/cut", "broke after 100 of 7000 bytes"),
        ("/loop", "more than 10 redirects"),
        ("/local", "something other than http"),
        ("/hangs", "timed out"),
    ],
)
def test_what_does_not_arrive_is_told_without_secrets(serve, tmp_path, path, message):
    url = serve().address.replace("//", "//me:s3cret@") + path + "?token=t0k3n"
    with pytest.raises(Unreachable, match=message) as caught:
        download(url, str(tmp_path / "f"), timeout=0.5)
    assert "s3cret" not in caught.value.message and "t0k3n" not in caught.value.message
    assert path in caught.value.message


def test_a_server_that_is_not_there(tmp_path, serve):
    server = serve()
    server.shutdown()
    server.server_close()
    with pytest.raises(Unreachable, match="refused"):
        download(server.address + "/file", str(tmp_path / "f"), timeout=5)


def test_an_address_without_its_secrets():
    assert printable("https://me:pw@example.com:8443/a.tgz?sig=x#y") == "https://example.com:8443/a.tgz"
