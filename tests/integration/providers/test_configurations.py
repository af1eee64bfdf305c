# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole rollouts behind HAProxy as operators configure it: standby servers, agents, sessions that end with the state, reloads."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.zero_downtime.deploy.tests.integration.providers.shop import DEMO, HOSTS, Shop, fleet

CONFIG, WORDS = fleet.HAPROXY_CONFIG, list(fleet.HAPROXY_WORDS)


@pytest.fixture
def make_shop(tmp_path, monkeypatch):
    """Makes the fleet behind a HAProxy with this configuration, version 1.0 on every host."""
    made = []

    def make(config, words=()):
        monkeypatch.setattr(fleet, "HAPROXY_CONFIG", config)
        monkeypatch.setattr(fleet, "HAPROXY_WORDS", list(words or WORDS))
        shop = Shop(tmp_path, "haproxy")
        made.append(shop)
        shop.good(str(DEMO / "first.yml"))
        return shop

    yield make
    for shop in made:
        shop.fleet.stop()


@pytest.fixture
def agent():
    """The port of an agent that reports another load at each question; it ends with the test."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        for percent in itertools.cycle(range(60, 95)):
            try:
                connection, _address = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"up %d%%\n" % percent)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(10)


@contextmanager
def serving(handler):
    """A web server on loopback while the block runs; yields its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def sorry():
    """The port of a server that counts the requests which come to it, and the list of them."""
    paths = []

    class Sorry(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path != "/health":
                paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args):
            return

    with serving(Sorry) as port:
        yield port, paths


def ask(shop, command):
    """HAProxy's answer to a runtime command."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.connect(str(shop.fleet.socket))
        line.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: line.recv(65536), b"")).decode()


def test_standby_servers_agents_and_sessions_that_end_when_a_member_is_disabled(make_shop, agent, sorry):
    port, asked_of_sorry = sorry
    config = CONFIG.replace(
        "fall 2 rise 2 weight 100",
        f"fall 2 rise 2 weight 100 on-marked-down shutdown-sessions agent-check agent-port {agent} agent-inter 500ms",
    )
    config += f"    server sorry 127.0.0.1:{port} backup no-agent-check\n"
    shop = make_shop(config)
    # The standby server is no reason to let every member leave.
    said = shop.bad("zero_downtime.deploy.rolling", rollout_version="2.0", rolling_batches=[6])
    assert "would leave 0 of 6 members" in said and set(shop.fleet.versions().values()) == {"1.0"}
    # Not by clients that are bound by a cookie: one of these may begin a request at the very moment at which its member is disabled.
    with shop.under_load("awkward", "keepalive=8,connect=6,post=6,slow=6") as load:
        said = shop.good("zero_downtime.deploy.rolling", rollout_version="2.0")
        assert "tier 0: app1" in said and "tier 1: sorry" in said
        said = shop.bad("zero_downtime.deploy.rolling", rollout_version="3.0", rollout_health_deadline=4)
    assert load["failed"] == 0, (load["requests"], load["why"], load["failures"][:5])
    assert (
        "states and weights as before" in said and "NOT" not in said.partition("PLAY RECAP")[0].rpartition("FAILED")[2]
    )
    assert set(shop.fleet.versions().values()) == {"2.0"} and asked_of_sorry == []
    states = {
        line.split()[3]: int(line.split()[6]) for line in ask(shop, "show servers state shop").splitlines()[2:] if line
    }
    assert states == dict.fromkeys([*HOSTS, "sorry"], 0)
    # Agents set the weights again.
    assert all(re.search(rf"^shop,{host},.*\bL7OK\b", ask(shop, "show stat"), re.MULTILINE) for host in HOSTS)


@pytest.fixture
def on_request():
    """The URL of a server that calls what a test puts in the list, at each request."""
    calls = []

    class Caller(BaseHTTPRequestHandler):
        def do_GET(self):
            for call in calls:
                call()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args):
            return

    with serving(Caller) as port:
        yield f"http://127.0.0.1:{port}/", calls


def test_haproxy_is_reloaded_before_each_batch_while_downloads_are_in_flight(make_shop, on_request, tmp_path):
    """The downloads belong to former workers then, which no statistics of the worker that answers show."""
    config = CONFIG.replace("hard-stop-after 5s", "hard-stop-after 120s")
    config = config.replace("level admin", "level admin expose-fd listeners")
    config = config.replace("timeout client 30s", "timeout client 90s").replace(
        "timeout server 30s", "timeout server 90s"
    )
    shop = make_shop(config, ["-W", "-db"])
    url, calls = on_request
    (tmp_path / "hooks").mkdir()
    hook = {
        "name": "Begin downloads and reload",
        "ansible.builtin.uri": {"url": url, "status_code": 204, "timeout": 60},
    }
    (tmp_path / "hooks" / "before_drain.yml").write_text(json.dumps([{**hook, "run_once": True}]))
    downloads = []

    def download():
        with urllib.request.urlopen(f"http://127.0.0.1:{shop.fleet.port}/slow?seconds=30", timeout=100) as answer:
            return len(answer.read())

    def serves_two(host):
        row = re.search(rf"^shop,{host},.*", ask(shop, "show stat"), re.MULTILINE).group().split(",")
        return int(row[4]) >= 2  # one of the load's may be there too

    def begin_and_reload():
        downloads.extend(pool.submit(download) for _each in range(3 * len(HOSTS)))
        fleet.until(lambda: all(map(serves_two, HOSTS)), "the downloads do not begin")
        before = re.search(r"Pid: (\d+)", ask(shop, "show info")).group(1)
        shop.fleet.haproxy.send_signal(signal.SIGUSR2)
        fleet.until(lambda: before not in ask(shop, "show info"), "HAProxy is not reloaded")

    calls.append(begin_and_reload)
    with ThreadPoolExecutor(36) as pool, shop.under_load("reloads", "connect=6,post=6") as load:
        said = shop.good(
            "zero_downtime.deploy.rolling",
            rollout_version="2.0",
            rollout_hooks=str(tmp_path / "hooks"),
            traffic_drain_timeout=90,
        )
        sizes = {task.result() for task in downloads}
    assert len(downloads) == 36 and len(sizes) == 1, sizes
    assert load["failed"] == 0, (load["requests"], load["why"], load["failures"][:5])
    assert "in traffic as before" in said and set(shop.fleet.versions().values()) == {"2.0"}


def test_caddy_is_reloaded_by_someone_else_while_a_batch_is_out(tmp_path):
    """Its configuration knows nothing of what came by the API, so that the members would be back while they are deployed to."""
    shop = Shop(tmp_path, "caddy")
    try:
        entry = shop.fleet.front.rig.entry()
        shop.variables = {"rollout_balancers": [{"name": "caddy", **entry}], "rollout_pools": ["app"]}
        shop.variables.update(traffic_accept_errors=True, traffic_health="none")
        shop.good(str(DEMO / "first.yml"))
        with urllib.request.urlopen(f"{entry['url']}/config/") as answer:
            (tmp_path / "caddy.json").write_bytes(answer.read())
        hooks = tmp_path / "hooks"
        hooks.mkdir()
        reload = {
            "name": "Reload Caddy with the configuration from before",
            "ansible.builtin.uri": {
                "url": f"{entry['url']}/load",
                "method": "POST",
                "src": str(tmp_path / "caddy.json"),
                "headers": {"Content-Type": "application/json", "Cache-Control": "must-revalidate"},
            },
            "run_once": True,
        }
        (hooks / "after_drain.yml").write_text(json.dumps([reload]))
        with shop.under_load("reloaded") as load:
            said = shop.good("zero_downtime.deploy.rolling", rollout_version="2.0", rollout_hooks=str(hooks))
        versions = shop.fleet.versions()
    finally:
        shop.fleet.stop()
    assert "in traffic as before" in said and set(versions.values()) == {"2.0"}
    # Each load of a configuration breaks a few connections, the one of the hook too; no request meets a member that is stopped.
    assert set(load["why"]) <= {"closed", "truncated"}, (load["why"], load["failures"][:5])
