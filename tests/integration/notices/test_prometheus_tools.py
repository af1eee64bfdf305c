# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zero_downtime.deploy.rollout_notice and Prometheus's own programs: promtool, a Pushgateway, and the dashboard's queries."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

CHECKOUT = Path(__file__).parents[3]
PATIENCE = 60.0  # seconds for what takes a fraction of one
HOSTILE = 'quoted " and \\ and <!channel>\nand a second line'


def until(holds, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE:g} s: {what}")


def program(package):
    done = subprocess.run(
        [CHECKOUT / "scripts" / "debian-program", package], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(done.stderr.strip())
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def promtool():
    return program("prometheus").with_name("promtool")


@pytest.fixture
def gateway(tmp_path):
    """The URL of a Pushgateway of its own."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [program("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            until(lambda: process.poll() is not None or answers(f"{url}/-/ready"), "the Pushgateway answers")
            assert process.poll() is None, (tmp_path / "gateway.log").read_text(errors="replace")
            yield url
        finally:
            process.terminate()
            process.wait()


def answers(url):
    try:
        return get(url) is not None
    except OSError:
        return False


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def groups(url):
    """By service: labels of the group, and metrics by their names."""
    found = {}
    for group in json.loads(get(f"{url}/api/v1/metrics"))["data"]:
        metrics = {name: about for name, about in group.items() if isinstance(about, dict) and "metrics" in about}
        found[group["labels"]["service"]] = group["labels"], metrics
    return found


@pytest.fixture
def tell(tmp_path):
    """``tell(**options)`` runs the module in a playbook; its result."""

    def run(keywords=None, **options):
        told = tmp_path / "told.json"
        tasks = [
            {"zero_downtime.deploy.rollout_notice": options, "register": "told", "name": "Tell", **(keywords or {})},
            {"ansible.builtin.copy": {"content": "{{ told | to_json }}", "dest": str(told)}, "name": "Write"},
        ]
        (tmp_path / "play.yml").write_text(
            yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
        )
        (tmp_path / "inventory").write_text(
            f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n"
        )
        command = [sys.executable, "-m", "ansible", "playbook", "-i", tmp_path / "inventory", tmp_path / "play.yml"]
        env = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "home")}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(told.read_text(encoding="utf-8"))

    return run


def record(now, outcome="rolled_back", **other):
    return {
        "service": "shop", "id": "20251122T054000Z-1.4.2-7", "version": "1.4.2", "strategy": "rolling", "outcome": outcome,
        "began": now - 60, "ended": now, "decided": now - 40, "undone": now - 20.5,
        "felt": {
            "requests": 600, "failed": 3, "outcomes": {"ok": 597, "truncated": 3}, "disturbance": 1.75,
            "latency": {"p50": 2.1, "p95": 5.0, "p99": 9.0, "max": 12.0}, "first_failure": now - 42.0, "last_failure": now - 40.25,
        },
        **other,
    }  # fmt: skip


def history(now):
    return [record(now), record(now - 86400, "succeeded", version="1.4.1", committed=now - 90000)]


def test_promtool_has_nothing_against_the_file(promtool, tell, tmp_path):
    path = tmp_path / "shop.prom"
    now = time.time()
    for event in ("begin", "failure", "rollback", "finish"):
        told = tell(
            event=event,
            record=record(now, version=HOSTILE),
            past=history(now),
            labels={"environment": HOSTILE},
            textfile=str(path),
        )
        assert told["targets"][0]["told"], told
        done = subprocess.run([promtool, "check", "metrics"], input=path.read_bytes(), capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_pushgateway_keeps_the_last_end_until_the_next(gateway, tell):
    now = time.time()
    tell(
        event="finish",
        record=record(now),
        past=history(now),
        pushgateway={"url": gateway},
        labels={"environment": HOSTILE},
    )
    labels, metrics = groups(gateway)["shop"]
    assert labels == {"job": "zero_downtime", "service": "shop", "environment": HOSTILE}
    assert metrics["zero_downtime_rollout_success"]["metrics"][0]["value"] == "0"
    latency = metrics["zero_downtime_rollout_latency_seconds"]["metrics"][0]
    assert (latency["quantiles"]["0.99"], latency["count"], latency["sum"]) == ("0.009", "597", "NaN")

    second = record(now + 100, "succeeded", version="1.4.3", decided=None, undone=None)
    tell(event="begin", record=second, pushgateway={"url": gateway}, labels={"environment": HOSTILE})
    _labels, metrics = groups(gateway)["shop"]
    (info,) = metrics["zero_downtime_rollout_info"]["metrics"]
    assert (info["labels"]["version"], info["labels"]["outcome"]) == ("1.4.3", "running")
    assert "zero_downtime_rollout_rollback_seconds" in metrics and "zero_downtime_history_change_fail_ratio" in metrics

    tell(event="finish", record=second, pushgateway={"url": gateway}, labels={"environment": HOSTILE})
    _labels, metrics = groups(gateway)["shop"]
    assert metrics["zero_downtime_rollout_success"]["metrics"][0]["value"] == "1"
    assert "zero_downtime_rollout_rollback_seconds" not in metrics


def test_two_services_do_not_disturb_each_other(gateway, tell):
    for service in ("shop", "a/b é"):
        told = tell(
            event="finish", record=record(time.time(), service=service), pushgateway={"url": gateway, "job": "x/y"}
        )
        assert told["targets"][0]["told"], told
    assert set(groups(gateway)) == {"shop", "a/b é"}


def test_a_pushgateway_that_refuses_says_why(gateway, tell):
    told = tell(event="begin", record={"service": "shop"}, pushgateway={"url": f"{gateway}/elsewhere"})
    assert "answers HTTP 404" in told["warnings"][0] and not told["failed"]


def test_the_dashboard_s_queries_find_what_was_told(gateway, tell, tmp_path):
    now = time.time()
    told = tell(event="finish", record=record(now), past=history(now), pushgateway={"url": gateway})
    assert told["targets"][0]["told"], told
    (port,) = free_ports(1)
    scrape = {
        "job_name": "pushgateway", "honor_labels": True, "scrape_interval": "500ms", "scrape_timeout": "500ms",
        "static_configs": [{"targets": [gateway[len("http://") :]]}],
    }  # fmt: skip
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    command = [
        program("prometheus"), f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip

    def ask(query):
        try:
            found = json.loads(get(f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})))
        except OSError:
            return []
        return found["data"]["result"]

    dashboard = json.loads((CHECKOUT / "examples" / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: process.poll() is not None or ask("zero_downtime_rollout_info"), "Prometheus has scraped")
            assert process.poll() is None, (tmp_path / "prometheus.log").read_text(errors="replace")
            queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
            assert len(queries) > 10
            empty = [query for query in queries if not ask(re.sub(r"\$service\b", ".*", query))]
            assert empty == []
            (share,) = ask("zero_downtime_rollout_failed_requests / (zero_downtime_rollout_requests > 0)")
            assert float(share["value"][1]) == 0.005 and share["metric"]["service"] == "shop"
        finally:
            process.terminate()
            process.wait()
