# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real tasks with credentials, told as loudly as Ansible can, against a server that repeats what it is sent: no secret is seen."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

SECRET = "hush7731hush"
OTHER = "mum8842mum"  # of header, token and key, so that one is not masked for the other's sake
BASIC = base64.b64encode(f"kim:{SECRET}".encode()).decode()
SHIPPED = {
    "ansible_become": True,
    "ansible_become_method": "su",
}  # to oneself: it takes the module out of Ansible's own process
USER = {"username": "kim", "password": SECRET}
HEADERS = {"Authorization": f"Bearer {OTHER}"}
RECORD = {"service": "shop", "id": "1", "version": "1.4.2", "strategy": "rolling", "outcome": "succeeded"}


def tasks_of(url, folder):
    """A task with credentials for every module that takes any, and every provider that does."""
    pools = [
        {"provider": provider, "url": url, **USER}
        for provider in ("apache", "caddy", "haproxy_dataplane", "nginx_plus")
    ]
    pools.append({"provider": "traefik", "url": url, "file": str(folder / "app.yml"), "timeout": 0.2, **USER})
    pools.append(
        {
            "provider": "aws_target_group",
            "url": url,
            "region": "r",
            "access_key": "kim",
            "secret_key": SECRET,
            "session_token": OTHER,
        }
    )
    member = {"pool": "app", "members": ["m1"], "state": "disabled"}
    metric = {"name": "errors", "kind": "errors", "source": "prometheus"}
    asked = {"prometheus": {"url": url, "requests": "a", "errors": "b", "token": OTHER}}
    told = {"url": f"{url}/{SECRET}", "headers": HEADERS}
    for pool in pools:
        yield "pool_info", {"pool": "app", "balancers": [pool]}
        yield "pool_member", {**member, "balancers": [pool]}
    yield "pool_persistence", {"pool": "app", "balancers": pools[:1]}
    yield (
        "traffic_split",
        {"pool": "app", "balancers": pools[:1], "groups": {"a": ["m1"], "b": ["m2"]}, "shares": {"a": 1, "b": 99}},
    )
    yield (
        "health_check",
        {"targets": [{"name": "t", "url": f"{url}/?key={SECRET}", "headers": HEADERS}], "deadline": 0.5},
    )
    yield (
        "gate",
        {"gates": [{"name": "g", "url": f"{url}/?key={SECRET}", "headers": HEADERS, "timeout": 1}], "point": "rollout"},
    )
    yield (
        "traffic_probe",
        {
            "name": "shop",
            "path": str(folder),
            "urls": [f"{url}/?key={SECRET}"],
            "headers": HEADERS,
            "lifetime": 1,
            "rate": 1,
        },
    )
    yield (
        "canary_analysis",
        {
            "groups": {"canary": ["a"], "baseline": ["b"]},
            "metrics": [{**metric, **asked}],
            "duration": 0.2,
            "interval": 0.1,
        },
    )
    yield (
        "rollout_notice",
        {
            "event": "begin",
            "record": RECORD,
            "webhooks": [told],
            "grafana": {**told, "token": OTHER},
            "on_failure": "fail",
        },
    )
    yield "rollout_notice", {"event": "begin", "record": RECORD, "pushgateway": {**told, **USER}}
    yield (
        "release",
        {
            "path": str(folder / "app"),
            "version": "1",
            "source": f"{url}/a.tar",
            "url_username": "kim",
            "url_password": SECRET,
        },
    )
    yield "release", {"path": str(folder / "app"), "version": "1", "source": f"{url}/a.tar", "headers": HEADERS}


class CommandLines(threading.Thread):
    """Looks at the command lines of all processes, again and again, for a secret."""

    def __init__(self):
        super().__init__(daemon=True)
        self.found, self.looks, self.done = [], 0, threading.Event()

    def run(self):
        while not self.done.wait(0.02):
            self.looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                self.found += [line for secret in (SECRET, OTHER, BASIC) if secret in line]


@pytest.mark.parametrize(
    "door",
    [
        pytest.param({}, id="in-process"),
        pytest.param(
            SHIPPED,
            id="shipped",
            marks=pytest.mark.skipif(os.getuid() != 0, reason="only root becomes root without being asked"),
        ),
    ],
)
def test_no_secret_is_seen_however_loud_the_task(door, serve, tmp_path):
    server = serve()
    (tmp_path / "app.yml").write_text(
        '{"http": {"services": {"app": {"loadBalancer": {"servers": [{"url": "http://192.0.2.1"}]}}}}}'
    )
    # In variables, as from a vault: what stands in a playbook's own text Ansible prints from there.
    tasks = [
        {"name": f"{number} {module}", f"zero_downtime.deploy.{module}": options, "ignore_errors": True}
        for number, (module, options) in enumerate(tasks_of(f"http://{server.place}", tmp_path))
    ]
    # JSON is YAML.
    text = json.dumps([{"hosts": "all", "gather_facts": False, "vars": door, "tasks": tasks}])
    (tmp_path / "play.yml").write_text(text.replace(SECRET, "{{ secret }}").replace(OTHER, "{{ other }}"))
    (tmp_path / "vault.yml").write_text(yaml.safe_dump({"secret": SECRET, "other": OTHER}))
    watch = CommandLines()
    watch.start()
    done = subprocess.run(
        [
            Path(sys.executable).parent / "ansible-playbook",
            "-vvvv",
            "--diff",
            "-i",
            "here,",
            "-c",
            "local",
            "-e",
            "@vault.yml",
            "play.yml",
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_HOME": str(tmp_path / "home"),
            "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote"),
            "ANSIBLE_LOG_PATH": str(tmp_path / "log"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    watch.done.set()
    watch.join()
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    assert "Traceback" not in output
    assert any(BASIC in asked for asked in server.asked), "they were used"
    assert any(OTHER in asked for asked in server.asked), "they were used"
    for secret in (SECRET, OTHER, BASIC):
        seen = [line for line in output.splitlines() if secret in line]
        assert not seen, seen[0][:2000]
    assert watch.looks > 10
    assert not watch.found
    (tmp_path / "vault.yml").unlink()
    kept = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and any(s.encode() in path.read_bytes() for s in (SECRET, OTHER, BASIC))
    ]
    assert not kept, "a file has it"
