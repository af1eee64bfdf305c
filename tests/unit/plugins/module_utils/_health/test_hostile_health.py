# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications, Prometheus and pages of metrics that say anything at all: one verdict or one sentence each time."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import traefik_metrics
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health import json_path
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.expectations import (
    Expectations,
    JsonValue,
    VersionSource,
    judge,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.http_probe import HttpProbe
from ansible_collections.zero_downtime.deploy.plugins.module_utils._metrics.prometheus import Prometheus
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.probe_traffic import (
    ARGUMENT_SPEC,
    read_callers,
)
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils.hostile import (
    briefly,
    http,
    in_words,
    spoilt,
    stranger,
)

BODY = json.dumps({"version": "1.4.2", "nodes": [{"state": "ok", "load": 0.5}]}).encode()
HEADS = [
    "Content-Type: application/json; charset=utf-8\r\n",
    "Content-Type: text/html; charset=undefined\r\n",
    "Content-Type: text/html; charset=idna\r\n",
    "Content-Type: text/html; charset=punycode\r\n",
    "Content-Type: text/html; charset=base64\r\n",
    "Content-Type: text/html; charset=\0\r\n",
    "Content-Type: text/html; charset*=x''%ff\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 9" + "9" * 30 + "\r\n",
    "Location: http://[::1\r\n",
    "Location: http://" + "a" * 70 + ".invalid/\r\n",
    "Location: //\xe9:99999/\r\n",
    "Location: ftp://x/\r\n",
    "Location: /\x01 y\r\n",
    "X-Version: {{ 1 }}\xff\r\n",
]
EXPECTED = Expectations(
    json=(JsonValue("$.nodes[0].state", json_path.parse("$.nodes[0].state"), "ok"),),
    version=VersionSource(path="$.version", steps=json_path.parse("$.version")),
    expected_version="1.4.2",
)


@pytest.fixture
def says():
    return {"answer": b""}


@st.composite
def answers(draw):
    body = draw(spoilt(BODY))
    whole = http(body, draw(st.sampled_from(["200 OK", "302 Found", "503 \xe9"])), draw(st.sampled_from(HEADS)))
    return draw(spoilt(whole)) if draw(st.integers(0, 3)) == 0 else whole


def test_an_application_that_says_anything(says):
    with stranger(lambda _asked: says["answer"]) as address:
        spec = {name: about.get("default") for name, about in ARGUMENT_SPEC.items()}
        caller = read_callers({**spec, "name": "shop", "urls": [f"http://{address}/"], "version": "$.version"})[0]

        @briefly
        @given(answers(), st.booleans())
        @example(b"HTTP/1.1 302 Found\r\nLocation: /\x01 y\r\nContent-Length: 0\r\n\r\n", True)
        def try_it(answer, follow):
            says["answer"] = answer
            verdict = judge(HttpProbe(f"http://{address}/", follow_redirects=follow)(Clock(), 0.3), EXPECTED)
            assert verdict.ok or verdict.seen
            assert len(verdict.seen) < 1500
            assert verdict.seen.isprintable()
            ended = caller.call(Clock(), 0.3, 0.0)
            assert ended.outcome == "ok" or ended.why

        try_it()


@pytest.mark.parametrize("charset", ["undefined", "idna", "\0", "no-such"])
def test_a_charset_that_nothing_can_be_read_in(charset):
    with stranger(lambda _asked: http(BODY, head=f"Content-Type: text/html; charset={charset}\r\n")) as address:
        assert judge(HttpProbe(f"http://{address}/")(Clock(), 2), EXPECTED).version == "1.4.2"


def test_a_version_as_long_as_a_book_is_told_by_its_beginning():
    with stranger(
        lambda _asked: http(json.dumps({"version": "\x1b[2J" + "9" * 100_000, "nodes": [{"state": "ok"}]}).encode())
    ) as address:
        verdict = judge(HttpProbe(f"http://{address}/")(Clock(), 2), EXPECTED)
    assert not verdict.ok
    assert len(verdict.seen) < 400 and verdict.seen.isprintable()


VECTOR = json.dumps(
    {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"metric": {"instance": "m1"}, "value": [1.5, "7"]}]},
    }
).encode()
FIXED = {"timeout": 0.3, "username": None, "password": None, "validate_certs": True, "ca_path": None}


def test_a_prometheus_that_says_anything(says):
    with stranger(lambda _asked: says["answer"]) as address:

        @briefly
        @given(spoilt(VECTOR), st.sampled_from(["200 OK", "422 No"]))
        def try_it(body, status):
            says["answer"] = http(body, status)
            source = Prometheus({**FIXED, "url": f"http://{address}", "requests": "a", "errors": "b"}, "errors", 1)
            in_words(lambda: source.read({"canary": ["m1"], "baseline": ["m2"]}, 0))

        try_it()


@briefly
@given(
    spoilt(
        b'# TYPE x gauge\ntraefik_service_server_up{service="app@file",url="http://h\\"1"} 1\nprocess_start_time_seconds 1.5e+09\n'
        b'traefik_router_requests_total{code="200",router="r",service="app@file"} 12\n'
    )
)
@example(b"traefik_service_server_up{" + b"A" * 200_000 + b"} 1\n")
@example(b'process_start_time_seconds 1\ntraefik_router_requests_total{code="500",service="app@file"} 1e+999\n')
def test_a_page_of_metrics_of_any_kind(page):
    text = page.decode("utf-8", "replace")
    assert all(isinstance(up, bool) for up in traefik_metrics.checks(text).values())
    got = traefik_metrics.served(text, "app@file")
    assert got is None or got.requests >= 0
