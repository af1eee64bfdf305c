# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._health import json_path
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.expectations import (
    Expectations,
    JsonValue,
    VersionSource,
    judge,
    same,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.observation import (
    COMMAND,
    HTTP,
    TCP,
    Observation,
    seconds,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.redaction import Redactor


def http(text="", status=200, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Observation(HTTP, 0.012, status=status, headers=headers, text=text)


def command(text="", rc=0, aside=""):
    return Observation(COMMAND, 0.005, rc=rc, text=text, aside=aside)


def value(path, expected):
    return JsonValue(path, json_path.parse(path), expected)


AT_VERSION = VersionSource(path="$.version", steps=json_path.parse("$.version"))


@pytest.mark.parametrize(
    "seen, expected, sentence",
    [
        (http("fine"), Expectations(), "HTTP 200 in 12 ms"),
        (http(status=204), Expectations(status=(200, 204)), "HTTP 204 in 12 ms"),
        (http(x_role="primary"), Expectations(headers=(("x-role", re.compile("^prim")),)), "HTTP 200 in 12 ms"),
        (http("all ok"), Expectations(body=re.compile("ok$")), "HTTP 200 in 12 ms"),
        (http('{"s": "ok", "n": 3}'), Expectations(json=(value("$.s", "ok"), value("$.n", "3"))), "HTTP 200 in 12 ms"),
        (command(), Expectations(), "exit code 0 in 5 ms"),
        (command(rc=3), Expectations(rc=3), "exit code 3 in 5 ms"),
        (Observation(TCP, 0.0), Expectations(), "connected in <1 ms"),
    ],
)
def test_healthy(seen, expected, sentence):
    verdict = judge(seen, expected)
    assert (verdict.ok, verdict.seen) == (True, sentence)


@pytest.mark.parametrize(
    "seen, expected, sentence",
    [
        (
            http("oh no\n really", status=500),
            Expectations(status=(200, 204)),
            "HTTP 500 in 12 ms, expected 200 or 204: body begins 'oh no really'",
        ),
        (http(status=503), Expectations(), "HTTP 503 in 12 ms, expected 200: body is empty"),
        (
            http(status=302, location="http://u:p@h/x?token=y"),
            Expectations(),
            "HTTP 302 in 12 ms to 'http://***@h/x?***', expected 200: body is empty",
        ),
        (
            http(),
            Expectations(headers=(("x-role", re.compile("a")),)),
            "HTTP 200 in 12 ms, but header x-role is missing, expected to match /a/",
        ),
        (
            http(x_role="standby"),
            Expectations(headers=(("x-role", re.compile("^prim")),)),
            "HTTP 200 in 12 ms, but header x-role is 'standby', expected to match /^prim/",
        ),
        (
            http("starting"),
            Expectations(body=re.compile("ready")),
            "HTTP 200 in 12 ms, but the body does not match /ready/: it begins 'starting'",
        ),
        (
            http("<html>"),
            Expectations(json=(value("$.s", "ok"),)),
            "HTTP 200 in 12 ms, but the body is not JSON: it begins '<html>'",
        ),
        (
            http("{}"),
            Expectations(json=(value("$.s", True),)),
            "HTTP 200 in 12 ms, but $.s is missing, expected 'true'",
        ),
        (
            http('{"s": "starting"}'),
            Expectations(json=(value("$.s", "ok"),)),
            "HTTP 200 in 12 ms, but $.s is 'starting', expected 'ok'",
        ),
        (
            http('{"version": "1.3"}'),
            Expectations(version=AT_VERSION, expected_version="1.4"),
            "version 1.3 runs, expected 1.4",
        ),
        (
            http("{}"),
            Expectations(version=AT_VERSION, expected_version="1.4"),
            "HTTP 200 in 12 ms, but no version at $.version, expected 1.4",
        ),
        (command("out", 1), Expectations(), "exit code 1 in 5 ms, expected 0: it said 'out'"),
        (command("out", 1, "err"), Expectations(), "exit code 1 in 5 ms, expected 0: it said 'err'"),
        (command("", 1), Expectations(), "exit code 1 in 5 ms, expected 0 and no output"),
        (
            command("x"),
            Expectations(body=re.compile("ok")),
            "exit code 0 in 5 ms, but its output does not match /ok/: it begins 'x'",
        ),
        (Observation(TCP, 1, failure="connection refused"), Expectations(), "connection refused"),
    ],
)
def test_not_healthy(seen, expected, sentence):
    verdict = judge(seen, expected)
    assert (verdict.ok, verdict.seen) == (False, sentence)


@pytest.mark.parametrize(
    "seen, source, version",
    [
        (http('{"version": "1.4"}'), AT_VERSION, "1.4"),
        (http('{"version": 7}'), AT_VERSION, "7"),
        (http('{"version": null}'), AT_VERSION, None),
        (http("no json"), AT_VERSION, None),
        (http(x_version=" 1.4 "), VersionSource(header="x-version"), "1.4"),
        (http("shop v1.4 up"), VersionSource(pattern=re.compile("v([0-9.]+)")), "1.4"),
        (command("shop v1.4"), VersionSource(pattern=re.compile("v([0-9.]+)")), "1.4"),
        (http('{"version": "1.4"}', status=500), AT_VERSION, "1.4"),
    ],
)
def test_the_running_version_is_told(seen, source, version):
    assert judge(seen, Expectations(version=source)).version == version


def test_a_missing_version_that_nobody_expects_is_no_failure():
    assert judge(http("{}"), Expectations(version=AT_VERSION)).ok


def test_what_we_sent_is_not_quoted():
    expected = Expectations(redactor=Redactor({"X-Token": "secret"}))
    assert "secret" not in judge(http("you sent secret", status=400), expected).seen


@pytest.mark.parametrize(
    "found, expected, equal",
    [
        (True, True, True),
        (True, "true", True),
        (True, "True", True),
        (True, 1, False),
        (1, True, False),
        (3, "3", True),
        (3, 3.0, True),
        ("3", 3, True),
        ("a", "A", False),
        (None, "null", True),
        ([1, 2], [1, 2], True),
        ({"a": 1}, {"a": 2}, False),
    ],
)
def test_same(found, expected, equal):
    assert same(found, expected) is equal


@pytest.mark.parametrize("value_, text", [(0.0001, "<1 ms"), (0.012, "12 ms"), (0.9999, "1 s"), (2.5, "2.5 s")])
def test_seconds(value_, text):
    assert seconds(value_) == text
