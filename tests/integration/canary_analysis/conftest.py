# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus, the members that it scrapes, and playbooks that ask the judge."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

CHECKOUT = Path(__file__).parents[3]
PATIENCE = 60.0  # seconds for what takes a fraction of one


def until(holds, what):
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE:g} s: {what}")


class Exporter:
    """What a member tells of itself: counters that grow with time, and the latency of its last requests.

    A series of errors is there only once there are some, as with most client libraries.
    """

    def __init__(self, name, pace=400.0, errors=0.0, latency=0.1):
        self.name, self.pace, self.errors, self.latency = name, pace, errors, latency
        self.begun = time.monotonic()
        self._random = random.Random(name)
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                text = exporter.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_about):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_about: None  # who asks gives up when the machine is busy
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def text(self):
        requests = self.pace * (time.monotonic() - self.begun)
        failed = int(requests * self.errors)
        lines = [f"http_requests_total {int(requests)}"]
        lines += [f'http_errors_total{{code="500"}} {failed}'] if failed else []
        lines += [f"latency_seconds {self.latency * self._random.lognormvariate(0, 0.25)}", "broken_seconds NaN"]
        return "\n".join(lines) + "\n"

    def restart(self):
        """Counters begin at 0 again, as a process's do."""
        self.begun = time.monotonic()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class PrometheusServer:
    """Debian's, scraping often."""

    def __init__(self, binary, directory, exporters):
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        targets = [
            {"targets": [f"127.0.0.1:{each.server.server_port}"], "labels": {"instance": each.name}}
            for each in exporters
        ]
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [{"job_name": "shop", "static_configs": targets}],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self.log = (directory / "prometheus.log").open("wb")
        self.process = subprocess.Popen(
            [
                binary,
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        until(lambda: len(self.ask("http_requests_total")) == len(exporters), "Prometheus scrapes every member")

    def ask(self, query):
        """Series of a query; none while it does not answer."""
        assert self.process.poll() is None, (Path(self.log.name)).read_text(errors="replace")
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?query={query}", timeout=5) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="session")
def prometheus_binary():
    done = subprocess.run([CHECKOUT / "scripts" / "debian-program", "prometheus"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(done.stderr.strip())
    return done.stdout.strip()


@pytest.fixture
def scraped(prometheus_binary, tmp_path):
    """``scraped(app1={...})`` starts members and a Prometheus that scrapes them; returns it and them by name."""
    open_now = []

    def start(**members):
        exporters = {name: Exporter(name, **how) for name, how in members.items()}
        open_now.extend(exporters.values())
        server = PrometheusServer(prometheus_binary, tmp_path, exporters.values())
        open_now.append(server)
        return server, exporters

    yield start
    for each in reversed(open_now):
        each.close()


@pytest.fixture
def analyse(tmp_path):
    """``analyse(**options)`` runs the module in a playbook; its result."""

    def run(keywords=None, **options):
        told = tmp_path / "told.json"
        tasks = [
            {
                "zero_downtime.deploy.canary_analysis": options,
                "register": "told",
                "ignore_errors": True,
                "name": "Analyse",
                **(keywords or {}),
            },
            {
                "ansible.builtin.copy": {"content": "{{ told | to_json }}", "dest": str(told)},
                "check_mode": False,
                "name": "Tell",
                "vars": {"ansible_become": False},
            },
        ]
        (tmp_path / "play.yml").write_text(
            yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8"
        )
        inventory = {
            "all": {
                "hosts": {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
            }
        }
        (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            str(tmp_path / "inventory.yml"),
            str(tmp_path / "play.yml"),
        ]
        env = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_HOME": str(tmp_path / "home")}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(told.read_text(encoding="utf-8")), done.stdout + done.stderr

    return run
