# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headers that a user gives to a balancer's HTTP interface, over real connections."""

from __future__ import annotations

import http.server
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import http_headers
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import DECLARED, open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    InvalidInput,
    Unreachable,
)

NAME = "lb.example.org"
SECRET = "s3cr3t-value"
# Of each provider that talks HTTP, an entry for the server at `url`.
ENTRIES = {
    "apache": {},
    "caddy": {},
    "envoy": {"file": "/nowhere/eds.json"},
    "traefik": {"file": "/nowhere/pool.yml"},
    "nginx_plus": {},
    "haproxy_dataplane": {"username": "me", "password": "secret-word"},
}


class Named:
    """A server that answers to one host name alone, and keeps the requests that it got.

    :param context: for TLS; the names that clients ask for are kept too.
    """

    def __init__(self, name=NAME, context=None):
        self.requests, self.asked_for = [], []
        kept = self.requests

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                kept.append(self.headers)
                body = b"{}"
                self.send_response(200 if self.headers.get_all("Host") == [name] else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PATCH = do_GET

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if context:
            scheme = "https"
            context.sni_callback = lambda _socket, asked, _context: self.asked_for.append(asked)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.port = self.server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def named():
    server = Named()
    yield server
    server.close()


def test_a_host_takes_the_place_of_the_one_of_the_url(named):
    assert HttpApi("It", 5, named.url).ask("GET", "/").status == 404
    assert HttpApi("It", 5, named.url, headers={"hOST": NAME}).ask("GET", "/").status == 200
    assert [request.get_all("Host") for request in named.requests] == [[f"127.0.0.1:{named.port}"], [NAME]]


def test_every_provider_that_talks_http_takes_headers():
    having = {provider.name for provider in DECLARED if "headers" in provider.options}
    assert having == {*ENTRIES} and all(
        provider.options["headers"].secret for provider in DECLARED if provider.name in having
    )


@pytest.mark.parametrize("provider", ENTRIES)
def test_a_provider_sends_them_with_each_request(named, provider):
    entry = {"provider": provider, "url": named.url, "headers": {"Host": NAME, "X-Token": SECRET, "X-Number": 7}}
    driver = open_balancer({**entry, **ENTRIES[provider]})
    for ask in (driver.version, lambda: driver.members("app")):
        try:
            ask()
        except DeployError as error:
            assert SECRET not in str(error)
    assert named.requests
    for request in named.requests:
        assert (request["X-Token"], request["X-Number"], request.get_all("Host")) == (SECRET, "7", [NAME])


@pytest.mark.parametrize("same", [True, False])
def test_the_metrics_of_traefik_get_them_where_they_are_the_same_server(named, same):
    other = Named()
    where = named if same else other
    driver = open_balancer(
        {
            "provider": "traefik",
            "file": "/nowhere/pool.yml",
            "url": named.url,
            "metrics_url": where.url + "/metrics",
            "headers": {"Host": NAME},
        }
    )
    driver.metrics.ask("GET", "")
    assert (where.requests[-1].get("Host") == NAME) == same
    other.close()


@pytest.mark.parametrize("provider", sorted({provider.name for provider in DECLARED} - {*ENTRIES}))
def test_a_provider_without_http_refuses_them(provider):
    with pytest.raises(InvalidInput, match=f"provider {provider} has no `headers`"):
        open_balancer({"provider": provider, "headers": {"Host": NAME}})


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Host": "a\r\nX: b"}, "the value of Host has a line break"),
        ({"X-A": f"{SECRET}\nB: c"}, "the value of X-A has a line break"),
        ({"X-A": "\u20ac"}, "the value of X-A has a line break or another character"),
        ({"X-A": "\0"}, "the value of X-A has a line break or another character"),
        ({f"Authorization: Bearer {SECRET}": ""}, "the name of header 1 has a character"),
        ({"X-B": "b", "X\r\nA": "a"}, "the name of header 2 has a character"),
        ({"": "a"}, "the name of header 1 has a character"),
        ({"X-A": None}, "the value of X-A is neither text nor a number"),
        ({"X-A": True}, "the value of X-A is neither text nor a number"),
        ({"X-A": [SECRET]}, "the value of X-A is neither text nor a number"),
        ({"X-A": "a", "x-a": "b"}, "two of them have the same name"),
        ({"Content-Length": "5"}, "Content-Length is set by the client itself"),
        ({"connection": "keep-alive"}, "connection is set by the client itself"),
        ({"Host": ""}, "the value of Host is not host or host:port"),
        ({"Host": "http://lb"}, "the value of Host is not host or host:port"),
        ({"Host": "lb:http"}, "the value of Host is not host or host:port"),
        ({"Host": "me@lb"}, "the value of Host is not host or host:port"),
    ],
)
@pytest.mark.parametrize("provider", ["caddy", "envoy"])
def test_what_cannot_be_sent_is_refused_before_anything_is(named, provider, headers, said):
    entry = {"provider": provider, "url": named.url, "headers": headers, **ENTRIES[provider]}
    with pytest.raises(InvalidInput) as error:
        open_balancer(entry)
    assert said in error.value.message and error.value.message.endswith("Nothing was sent.")
    assert SECRET not in error.value.message and named.requests == []


def test_one_authorization_is_enough(named):
    entry = {"provider": "caddy", "url": named.url, "headers": {"authorization": "Bearer x"}}
    with pytest.raises(InvalidInput, match="`headers` has an Authorization, and `username` stands for another"):
        open_balancer({**entry, "username": "me", "password": SECRET})
    open_balancer(entry).api.ask("GET", "/")
    assert named.requests[0].get_all("Authorization") == ["Bearer x"]


def test_headers_of_the_driver_itself_stay(named):
    api = HttpApi("It", 5, named.url, headers={"if-match": "*", "X-A": "1"})
    api.ask("PATCH", "/", "{}", {"If-Match": '"7"', "Content-Type": "application/json"})
    assert named.requests[0].get_all("If-Match") == ['"7"'] and named.requests[0]["X-A"] == "1"


@pytest.mark.parametrize(
    ("url_name", "host", "asked_for"),
    [
        ("127.0.0.1", None, None),
        ("127.0.0.1", f"{NAME}:8443", NAME),
        ("127.0.0.1", "127.0.0.1", None),
        ("localhost", None, "localhost"),
        ("localhost", NAME, "localhost"),
    ],
)
def test_the_name_that_tls_is_asked_for(certificates, url_name, host, asked_for):
    server = Named(context=certificates.context())
    headers = {"Host": host} if host else None
    api = HttpApi("It", 5, f"https://{url_name}:{server.port}", headers=headers, verify=False)
    api.ask("GET", "/")
    assert server.asked_for == [asked_for]
    if host == f"{NAME}:8443":
        trusting = HttpApi("It", 5, server.url, headers=headers, ca=str(certificates.authority))
        with pytest.raises(Unreachable, match=f"certificate is not trusted: .*{NAME}"):
            trusting.ask("GET", "/")
    server.close()


@given(
    st.dictionaries(st.text(max_size=8), st.none() | st.text(max_size=8) | st.integers() | st.booleans(), max_size=4)
)
def test_anything_is_sent_whole_or_refused(headers):
    try:
        sent = http_headers.sendable("It", headers)
    except InvalidInput:
        return
    assert len(sent) == len(headers)
    for name, value in sent.items():
        f"{name}: {value}".encode("latin-1")
        assert not {"\r", "\n", "\0"}.intersection(name + value)


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (
            [{"headers": {"host": "lb1", "Origin": "http://lb1", "Authorization": "Bearer x"}}, {"headers": None}, {}],
            {"lb1", "http://lb1"},
        ),
        (None, set()),
        (["x", {"headers": "x"}], set()),
    ],
)
def test_which_values_are_no_secrets(entries, found):
    assert http_headers.readable(entries) == found
