# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop: each release does what it says, and is the same archive each time."""

from __future__ import annotations

import hashlib
import http.client
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from build_release import build_release

SERVE = """
import socketserver, sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from shop import application
class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
class Handler(WSGIRequestHandler):
    def log_message(self, *_words): pass
server = make_server("127.0.0.1", 0, application, Server, Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Shop:
    """A running shop."""

    def __init__(self, process: subprocess.Popen, port: int, death_log: Path) -> None:
        self.process = process
        self.port = port
        self.death_log = death_log

    def ask(self, method: str, path: str, body: bytes | None = None, timeout: float = 10) -> tuple:
        """Status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Start a shop, of a release built and unpacked for it."""
    processes = []

    def start(fault: str = "", new_session: bool = True) -> Shop:
        release = tmp_path / "release"
        with tarfile.open(build_release("2.1.0", tmp_path, fault)) as archive:
            archive.extractall(release)
        death_log = tmp_path / "death"
        process = subprocess.Popen([sys.executable, "-c", SERVE], cwd=release, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=new_session,
                                   env={"SHOP_MEMBER": "app9", "SHOP_DEATH_LOG": str(death_log)})
        processes.append(process)
        return Shop(process, int(process.stdout.readline() or 0), death_log)

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_good_release(shop: Callable[..., Shop]) -> None:
    running = shop()
    status, _headers, body = running.ask("GET", "/health")
    assert (status, json.loads(body)) == (200, {"status": "ok", "version": "2.1.0", "member": "app9"})
    status, headers, body = running.ask("GET", "/")
    assert (status, len(body), headers["X-Version"], headers["X-Member"]) == (200, 2048, "2.1.0", "app9")
    assert headers["X-Digest"] == hashlib.sha256(body).hexdigest()
    status, _headers, body = running.ask("POST", "/orders", b"two books")
    assert (status, json.loads(body)["digest"]) == (201, hashlib.sha256(b"two books").hexdigest())
    assert running.ask("GET", "/nothing")[0] == 404
    assert running.ask("GET", "/slow?seconds=soon")[0] == 400


def test_slow_takes_its_time_and_says_how_long_it_is(shop: Callable[..., Shop]) -> None:
    running = shop()
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.request("GET", "/slow?seconds=0.5")
    answer = connection.getresponse()
    assert answer.headers["Content-Length"] == "2048"
    first = answer.read(1024)
    between = time.monotonic()
    rest = answer.read()
    assert time.monotonic() - between >= 0.4
    connection.close()
    assert hashlib.sha256(first + rest).hexdigest() == answer.headers["X-Digest"]


def test_error_500(shop: Callable[..., Shop]) -> None:
    running = shop("error_500")
    assert {running.ask("GET", path)[0] for path in ("/", "/health", "/slow")} == {500}


def test_wrong_version(shop: Callable[..., Shop]) -> None:
    _status, headers, body = shop("wrong_version").ask("GET", "/health")
    assert json.loads(body)["version"] == headers["X-Version"] == "0.0.0-wrong"


def test_no_start(shop: Callable[..., Shop]) -> None:
    running = shop("no_start")
    assert running.process.wait(10) != 0
    assert b"does not start" in running.process.stderr.read()


def test_hangs(shop: Callable[..., Shop]) -> None:
    with pytest.raises(TimeoutError):
        shop("hangs").ask("GET", "/health", timeout=0.3)


def test_dies_after(shop: Callable[..., Shop]) -> None:
    begun = time.time()
    running = shop("dies_after 1")
    assert running.ask("GET", "/health")[0] == 200
    assert running.process.wait(10) == -9
    assert begun + 1 <= float(running.death_log.read_text(encoding="utf-8")) <= time.time()


def test_dies_after_takes_nobody_along(shop: Callable[..., Shop]) -> None:
    running = shop("dies_after 1", new_session=False)
    assert running.process.wait(10) == 1
    assert b"process group of its own" in running.process.stderr.read()


def test_the_same_release_is_the_same_archive(tmp_path: Path) -> None:
    one = build_release("1.0.0", tmp_path / "one", "dies_after 3")
    two = build_release("1.0.0", tmp_path / "two", "dies_after 3")
    assert one.read_bytes() == two.read_bytes()
    with tarfile.open(one) as archive:
        assert archive.getnames() == ["FAULT", "VERSION", "shop.py"]


@pytest.mark.parametrize(("version", "fault"), [("../1", ""), ("1", "explodes"), ("1", "dies_after"), ("", "")])
def test_nonsense_is_refused(tmp_path: Path, version: str, fault: str) -> None:
    with pytest.raises(ValueError, match="version|fault"):
        build_release(version, tmp_path, fault)
