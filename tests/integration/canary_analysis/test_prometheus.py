# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zero_downtime.deploy.canary_analysis by a real Prometheus."""

from __future__ import annotations

import math
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._metrics.prometheus import Prometheus
from ansible_collections.zero_downtime.deploy.tests.integration.canary_analysis.conftest import until

GROUPS = {"canary": ["app1"], "baseline": ["app2", "app3"]}
REQUESTS = 'http_requests_total{instance=~"$members"}'
FAILED = 'http_errors_total{instance=~"$members"}'
LATENCY = 'latency_seconds{instance=~"$members"}'


def metrics(server, **how):
    source = {"url": server.url, **how}
    return [
        {
            "name": "errors",
            "kind": "errors",
            "source": {"prometheus": {**source, "requests": REQUESTS, "errors": FAILED}},
            "allowed_increase": "50%",
            "tolerated": 0.01,
        },
        {
            "name": "latency",
            "kind": "samples",
            "source": {"prometheus": {**source, "query": LATENCY}},
            "allowed_increase": "50%",
        },
    ]


def source(server, kind="errors", interval=0.1, whole=False, **queries):
    options = {
        "url": server.url,
        "timeout": 5,
        "username": None,
        "password": None,
        "validate_certs": True,
        "ca_path": None,
    }
    asked = queries or {"requests": REQUESTS, "errors": FAILED}
    return Prometheus({**options, **asked}, kind, interval, whole)


def test_a_good_canary_passes_and_a_slow_one_does_not(scraped, analyse):
    server, exporters = scraped(app1={"pace": 200}, app2={}, app3={})
    told, _output = analyse(groups=GROUPS, metrics=metrics(server), watch=12, interval=0.5)
    assert told["verdict"] == "pass" and not told["failed"], told
    errors, latency = told["metrics"]
    assert errors["canary"]["requests"] >= 600 and errors["canary"]["errors"] == 0
    assert latency["canary"]["samples"] >= 20 and latency["baseline"]["samples"] == 2 * latency["canary"]["samples"]
    exporters["app1"].latency *= 3
    told, output = analyse(groups=GROUPS, metrics=metrics(server), watch=12, interval=0.5)
    assert told["verdict"] == "fail" and told["failed"] and told["metrics"][1]["estimate"] > 2
    assert "latency fails: the median of the canary's" in output


def test_a_canary_that_fails_requests_is_found_by_a_series_that_was_not_there_before(scraped, analyse):
    server, exporters = scraped(app1={"pace": 100}, app2={"pace": 50}, app3={"pace": 50})
    assert server.ask("http_errors_total") == []
    exporters["app1"].restart()  # the new release
    exporters["app1"].errors = 0.2
    told, _output = analyse(groups=GROUPS, metrics=metrics(server)[:1], watch=60, interval=0.5, on_failure="report")
    assert told["verdict"] == "fail" and not told["failed"]
    assert told["seconds"] < 60 and told["looks"] < 100  # at once, not at the end
    assert told["metrics"][0]["canary"]["errors"] > 10 and told["metrics"][0]["baseline"]["errors"] == 0


def test_a_prometheus_that_is_not_there_is_inconclusive(scraped, analyse):
    server, _exporters = scraped(app1={}, app2={}, app3={})
    server.process.terminate()
    server.process.wait()
    told, _output = analyse(
        groups=GROUPS, metrics=metrics(server, timeout=1)[:1], watch=1, interval=0.5, on_failure="report"
    )
    assert told["verdict"] == "inconclusive" and "its source did not answer at the last look" in told["sentence"]
    assert told["remarks"] == ["errors: its source did not answer 4 of 4 times."]


def test_counters_of_each_series_and_a_restart(scraped):
    server, exporters = scraped(app1={"errors": 0.5}, app2={}, app3={})
    until(lambda: server.ask("http_errors_total"), "errors")
    asked = source(server)
    first = asked.read(GROUPS, 0)
    assert len(first["canary"].counters) == 2 and len(first["baseline"].counters) == 2
    exporters["app1"].restart()
    (name,) = [name for name in first["canary"].counters if name.startswith("requests")]
    until(
        lambda: asked.read(GROUPS, 1)["canary"].counters[name].requests < first["canary"].counters[name].requests,
        "the counter begins anew",
    )


def test_values_that_are_no_numbers_are_handed_on_as_such(scraped):
    server, _exporters = scraped(app1={}, app2={}, app3={})
    read = source(server, "samples", query='broken_seconds{instance=~"$members"}').read(GROUPS, 0)
    assert len(read["baseline"].values) == 2 and all(math.isnan(value) for value in read["baseline"].values)
    assert source(server, "samples", query="time()").read(GROUPS, 0)["canary"].values[0] > 1e9
    assert source(server, "samples", query='nothing{group="$group"}').read(GROUPS, 0)["canary"].values == []


def test_values_that_share_data_are_not_taken_twice(scraped):
    server, _exporters = scraped(app1={}, app2={}, app3={})
    asked = source(server, "samples", interval=0.5, query='max_over_time(latency_seconds{instance=~"$members"}[3s])')
    assert [len(asked.read(GROUPS, elapsed)["baseline"].values) for elapsed in (0, 1, 2, 2.9, 4, 5.9, 6)] == [
        2,
        0,
        0,
        2,
        0,
        2,
        0,
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(", "does not answer `sum(`: invalid parameter"),
        ("latency_seconds[1m]", "is a matrix; expected one value for each series"),
    ],
)
def test_queries_that_prometheus_refuses(scraped, query, said):
    server, _exporters = scraped(app1={}, app2={}, app3={})
    with pytest.raises(InvalidInput) as refused:
        source(server, "samples", query=query).read(GROUPS, 0)
    assert said in refused.value.message


@pytest.fixture
def answers():
    """A server that answers what it is told to and remembers what it was sent."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        status, body = 200, b""

        def do_POST(self):
            seen.append(self.headers.get("Authorization"))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(Handler.status)
            self.end_headers()
            self.wfile.write(Handler.body)

        def log_message(self, *_about):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url, server.seen, server.handler = f"http://127.0.0.1:{server.server_port}", seen, Handler
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"Unauthorized", Unreachable),
        (200, b"<html>", Unreachable),
        (200, b'"success"', Unreachable),
        (200, b'{"status": "success", "data": {"resultType": "vector", "result": [{}]}}', Unreachable),
        (503, b'{"status": "error", "error": "query timed out"}', Unreachable),
        (400, b'{"status": "error", "error": "parse error"}', InvalidInput),
    ],
)
def test_strange_answers_are_no_data_and_tell_no_secret(answers, status, body, error):
    answers.handler.status, answers.handler.body = status, body
    with pytest.raises(error) as refused:
        source(answers, "samples", query="up", token="top-secret").read(GROUPS, 0)
    assert answers.seen == ["Bearer top-secret"] and "top-secret" not in refused.value.message
