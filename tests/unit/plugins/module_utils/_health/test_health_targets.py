# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.expectations import judge
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.targets import read_targets
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.check_health import ARGUMENT_SPEC

URL = "http://127.0.0.1/"


def options(*targets):
    """The targets as a module's process gets them, defaults filled in."""
    validated = ArgumentSpecValidator(ARGUMENT_SPEC).validate({"targets": list(targets)})
    assert not validated.error_messages
    return validated.validated_parameters["targets"]


def verdict(**target):
    (read,) = read_targets(options({"name": "a", **target}))
    return judge(read.probe(Clock(), 30.0), read.expectations)


@pytest.mark.parametrize(
    "target, option, problem",
    [
        ({}, "url", "exactly one of url, tcp and command is needed, none is given"),
        ({"url": URL, "tcp": "a:1"}, "tcp", "exactly one of url, tcp and command is needed, given are url and tcp"),
        ({"url": "ftp://me:secret@h/?secret"}, "url", "'ftp://***@h/?***' cannot be asked: it must begin with http"),
        ({"url": "http://"}, "url", "no host"),
        ({"url": "http://h:x/"}, "url", "cannot be asked"),
        ({"url": "http://me:secret@y:x/"}, "url", "cannot be asked"),
        ({"url": "http://h/a b"}, "url", "a blank or a control character"),
        ({"url": URL, "headers": {"a b": "1"}}, "headers", "'a b' is no name of a header"),
        ({"url": URL, "headers": {"A": "secret\r\nB: c"}}, "headers", "the value of A has a line break"),
        ({"url": URL, "headers": {"A": "secret\u20ac"}}, "headers", "the value of A has characters"),
        ({"url": URL, "status": []}, "status", "expected at least one"),
        ({"url": URL, "status": [2000]}, "status", "between 100 and 599, found 2000"),
        ({"url": URL, "body": "("}, "body", "'(' is no regular expression"),
        ({"url": URL, "expect_headers": {"A": "["}}, "expect_headers", "'[' is no regular expression"),
        ({"url": URL, "json": {"status": 1}}, "json", "begins with '$'"),
        ({"url": URL, "version": "$.a[*]"}, "version", "is no JSON path from '[*]' on"),
        ({"url": URL, "version_pattern": "v1"}, "version_pattern", "expected one group"),
        ({"url": URL, "version": "$.a", "version_header": "b"}, "version_header", "at most one of version, "),
        ({"url": URL, "expected_version": "1"}, "expected_version", "it needs one of version, "),
        ({"url": URL, "rc": 1}, "rc", "it belongs to command, and this is a url target"),
        ({"url": URL, "client_key": "/k"}, "client_key", "it needs client_cert"),
        ({"url": "https://h/", "ca_path": "/no/such"}, "ca_path", "No such file"),
        ({"url": "https://h/", "client_cert": "/no/such"}, "client_cert", "No such file"),
        ({"tcp": "h"}, "tcp", "expected host:port"),
        ({"tcp": "::1:80"}, "tcp", "expected host:port"),
        ({"tcp": "h:70000"}, "tcp", "between 1 and 65535"),
        ({"tcp": "h:1", "body": "a"}, "body", "it belongs to url or command, and this is a tcp target"),
        ({"tcp": "h:1", "version": "$.a"}, "version", "it belongs to url or command"),
        ({"command": []}, "command", "found an empty one"),
        ({"command": ["a"], "status": [204]}, "status", "it belongs to url, and this is a command target"),
        ({"command": ["a"], "headers": {"A": "secret"}}, "headers", "it belongs to url"),
    ],
)
def test_what_makes_no_sense_names_target_and_option(target, option, problem):
    with pytest.raises(InvalidInput) as error:
        read_targets(options({"name": "fine", "tcp": "h:1"}, {"name": "app1", **target}))
    message = error.value.message
    assert message.startswith(f"target 'app1', option '{option}': ")
    assert problem in message and message.endswith("; nothing was probed")
    assert "secret" not in message


def test_names_are_unique_and_not_empty():
    with pytest.raises(InvalidInput, match="target 'a', option 'name': two targets have this name"):
        read_targets(options({"name": "a", "tcp": "h:1"}, {"name": "a", "tcp": "h:2"}))
    with pytest.raises(InvalidInput, match="number 1 has an empty name"):
        read_targets(options({"name": " ", "tcp": "h:1"}))


def test_no_targets_are_no_health():
    with pytest.raises(InvalidInput, match="there must be at least one"):
        read_targets([])


def test_http(serve, answer):
    server = serve(answer("204 No Content", b"", "X-Version: 1.4", "X-Role: primary"))
    seen = verdict(
        url=server.url(),
        method="OPTIONS",
        headers={"X-Token": 5},
        status=[200, 204],
        expect_headers={"X-Role": "^prim"},
        version_header="X-Version",
        expected_version="1.4",
    )
    assert (seen.ok, seen.version) == (True, "1.4")
    assert server.requests[0].startswith(b"OPTIONS / ") and b"X-Token: 5\r\n" in server.requests[0]


def test_json(serve, answer):
    server = serve(answer("200 OK", b'{"status": "ok", "nodes": [{"version": "1.3"}]}'))
    seen = verdict(url=server.url(), json={"$.status": "ok"}, version="$.nodes[0].version", expected_version="1.4")
    assert (seen.ok, seen.seen, seen.version) == (False, "version 1.3 runs, expected 1.4", "1.3")


def test_an_echo_of_our_secrets_is_masked(serve, raw):
    def behave(connection, request):
        connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(request) + request)

    server = serve(behave)
    url = server.url("/?key=query-secret").replace("127.0.0.1", "me:url-secret@127.0.0.1")
    seen = verdict(url=url, headers={"A": "Bearer header-secret"}).seen
    assert seen.startswith("HTTP 400 in ") and "***" in seen and "secret" not in seen


@pytest.mark.parametrize("trusted", [True, False])
def test_tls(serve, answer, certificates, trusted):
    server = serve(answer(), certificates.context())
    assert verdict(url=server.url(), **({"ca_path": str(certificates.authority)} if trusted else {})).ok is trusted
    assert verdict(url=server.url(), validate_certs=False).ok


def test_client_certificate(serve, answer, certificates):
    server = serve(answer(), certificates.context(ask_client=True))
    trust = {"ca_path": str(certificates.authority)}
    ours = {"client_cert": str(certificates.client), "client_key": str(certificates.client_key)}
    assert verdict(url=server.url(), **trust, **ours).ok
    assert not verdict(url=server.url(), **trust).ok


def test_a_sealed_key_does_not_ask_at_the_terminal(certificates):
    ours = {"client_cert": str(certificates.client), "client_key": str(certificates.sealed_key)}
    with pytest.raises(InvalidInput, match="option 'client_key': no certificate with its key"):
        verdict(url="https://127.0.0.1/", **ours)


def test_tcp(closed_port):
    assert verdict(tcp=f"127.0.0.1:{closed_port}").seen == "connection refused"
    (read,) = read_targets(options({"name": "a", "tcp": "[::1]:80"}))
    assert (read.probe.host, read.probe.port) == ("::1", 80)


def test_command():
    seen = verdict(command=["echo", "shop v1.4"], body="shop", version_pattern="v(.*)", expected_version="1.4")
    assert (seen.ok, seen.version) == (True, "1.4")
    assert verdict(command=["sh", "-c", "exit 3"], rc=3).ok
    assert verdict(command=["echo", '{"a": true}'], json={"$.a": "True"}).ok
