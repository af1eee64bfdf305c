# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy before two members that can be killed, and its log, which has a line for each request."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import probe_traffic
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import Server, until
from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

PROGRAM = Path(__file__).with_name("member.py")


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


class Member:
    """A process that serves, and that may be killed and started again."""

    def __init__(self, name: str) -> None:
        self.name = name
        (self.port,) = free_ports(1)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(PROGRAM), str(self.port), self.name])
        until(f"{self.name} listens", lambda: listens(self.port))

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def spoil(self, **kinds: int) -> dict[str, int]:
        """Have it spoil so many requests more; what is left to spoil."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/spoil?" + "&".join(f"{kind}={count}" for kind, count in kinds.items()))
        left: dict[str, int] = json.loads(connection.getresponse().read())
        connection.close()
        return left


class Balancer:
    """HAProxy, with a line in its log for each request: client, status, how it ended, path."""

    def __init__(self, binary: str, directory: Path, members: list[Member]) -> None:
        self.binary, self.directory, self.members = binary, directory, members
        self.port, self.garbage_port, self.nobodys_port = free_ports(3)
        self.server = Server(directory / "haproxy.log")

    def start(self) -> None:
        servers = "\n".join(f"    server {one.name} 127.0.0.1:{one.port} check" for one in self.members)
        config = self.directory / "haproxy.cfg"
        config.write_text(
            f"""
global
    # Two threads that write a line at the same moment lose one of them.
    nbthread 1
    log stdout format raw local0 info
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout queue 2s
    retries 0
    default-server inter 100ms fall 1 rise 1
frontend shop
    bind 127.0.0.1:{self.port}
    log global
    http-request capture req.hdr(User-Agent) len 40
    log-format "request %[capture.req.hdr(0)] %ST %ts %HP"
    http-request reject if {{ path /reject }}
    http-request silent-drop if {{ path /drop }}
    http-request return status 503 if {{ path /unavailable }}
    default_backend app
backend app
    balance roundrobin
{servers}
frontend garbage
    mode tcp
    bind 127.0.0.1:{self.garbage_port}
    tcp-request inspect-delay 50ms
    tcp-request content accept if WAIT_END
    default_backend garbage
backend garbage
    mode tcp
    server garbage 127.0.0.1:{self.members[0].port}
""",
            encoding="utf-8",
        )
        self.server.start([self.binary, "-db", "-f", str(config)], lambda: listens(self.port))

    def logged(self, user_agent: str, requests: int) -> Counter[str]:
        """How that client's requests ended, in the probe's words.

        :param requests: how many it has sent: HAProxy writes down a request when its client has had the answer already.
        """
        until(f"{requests} requests are logged", lambda: self._logged(user_agent), lambda ends: sum(ends.values()) >= requests)
        return self._logged(user_agent)

    def _logged(self, user_agent: str) -> Counter[str]:
        ends: Counter[str] = Counter()
        for line in self.server.log.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:2] == ["request", user_agent]:
                status, ended = int(words[2]), words[3]
                ends["status" if status >= 500 else "truncated" if ended[0] == "S" else "ok"] += 1
        return ends


class Probe:
    """The module's use case, under a name of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, state: str, **options: Any) -> dict[str, Any]:
        given = {"name": "shop", "path": str(self.path), "state": state, **options}
        read = ArgumentSpecValidator(probe_traffic.ARGUMENT_SPEC, **probe_traffic.CONSTRAINTS).validate(given)
        assert not read.error_messages, read.error_messages
        return probe_traffic.run(read.validated_parameters, False, Clock())

    def start(self, *urls: str, **options: Any) -> dict[str, Any]:
        return self.run("started", urls=list(urls), lifetime=120.0, owner_pid=os.getpid(), **options)

    def felt(self) -> dict[str, Any]:
        return self.run("read")["felt"]

    def wait_for(self, requests: int) -> None:
        """Until so many more have ended, as the record has it."""
        until("it has begun", self.felt)
        enough = self.felt()["requests"] + requests
        until(f"{enough} requests have ended", lambda: self.felt()["requests"], lambda ended: ended >= enough)


@pytest.fixture
def members() -> Iterator[list[Member]]:
    """Two of them, serving."""
    made = [Member("m1"), Member("m2")]
    for member in made:
        member.start()
    yield made
    for member in made:
        member.kill()


@pytest.fixture(params=sorted(found("haproxy").items()), ids=lambda version: f"haproxy-{version[0]}")
def balancer(request: pytest.FixtureRequest, tmp_path: Path, members: list[Member]) -> Iterator[Balancer]:
    """One of every version that is here, running."""
    made = Balancer(request.param[1], tmp_path, members)
    made.start()
    yield made
    made.server.stop()


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[Probe]:
    """Ended after the test, whatever became of it."""
    made = Probe(tmp_path / "state")
    yield made
    made.run("stopped")
