# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request against small servers that do all that goes wrong with a request."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health import json_path
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.expectations import VersionSource
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.redaction import Redactor
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe import caller as caller_module
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.caller import Caller, Unable, bare

# Long for what answers, so that a slow machine changes nothing; short for what never does.
LONG, SHORT = 30.0, 0.3
VERSION = VersionSource(path="$.version", steps=json_path.parse("$.version"))


def caller(url, headers=None, version=None, **options):
    return Caller(url, headers or {}, version, Redactor(headers, url), **options)


def call(url, timeout=LONG, **options):
    return caller(url, **options).call(Clock(), timeout, 1000.0)


def reset(connection):
    """Close so that the other side sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("status", [200, 204, 301, 404, 499])
def test_a_status_below_500_is_good(serve, answer, status):
    seen = call(serve(answer(f"{status} So")).url())
    assert (seen.outcome, seen.why, seen.at) == ("ok", "", 1000.0) and seen.took > 0


@pytest.mark.parametrize("status", [500, 503, 599])
def test_a_status_of_500_and_more_is_not(serve, answer, raw, status):
    seen = call(serve(answer(f"{status} No", b"sorry")).url())
    assert (seen.outcome, seen.why) == ("status", f"HTTP {status}")
    # An error is an error, and its page may break off as it likes.
    seen = call(serve(raw(b"HTTP/1.1 %d No\r\nContent-Length: 10\r\n\r\nsorry" % status)).url())
    assert (seen.outcome, seen.why) == ("status", f"HTTP {status}, but the body was cut off after 5 of 10 bytes")


def test_nobody_listens(closed_port):
    seen = call(f"http://127.0.0.1:{closed_port}/")
    assert (seen.outcome, seen.why) == ("refused", "connection refused")


def test_a_name_that_does_not_exist():
    seen = call("http://nothing.invalid/")
    assert seen.outcome == "name" and "'nothing.invalid' does not resolve" in seen.why


def test_closed_without_an_answer(serve, raw):
    seen = call(serve(raw(b"")).url())
    assert (seen.outcome, seen.why) == ("closed", "the connection was closed without an answer")


def test_reset_without_an_answer(serve):
    seen = call(serve(lambda connection, _request: reset(connection)).url())
    assert (seen.outcome, seen.why) == ("reset", "the connection was reset without an answer")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "cut off after 5 of 10 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "cut off after 5 bytes"),
        (b"HTTP/1.1 200 OK\r\nConte", "within the head"),
    ],
)
def test_an_answer_that_breaks_off(serve, raw, sent, said):
    seen = call(serve(raw(sent)).url())
    assert seen.outcome == "truncated" and said in seen.why


def test_an_answer_that_is_reset_amid_its_body(serve, monkeypatch):
    read = threading.Event()

    def behave(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Version: 7\r\nContent-Length: 10\r\n\r\nhello")
        read.wait(LONG)
        reset(connection)

    real = caller_module._receiver

    def receiver(*arguments):
        receive, calls = real(*arguments), iter((lambda: None, read.set))

        def noticing():
            next(calls)()  # the second wait begins when the first half has been read
            return receive()

        return noticing

    monkeypatch.setattr(caller_module, "_receiver", receiver)
    seen = call(serve(behave).url(), version=VersionSource(header="x-version"))
    assert seen.outcome == "truncated" and "HTTP 200" in seen.why and "reset" in seen.why
    assert seen.version == "7"  # half an answer tells who gave it


def test_no_answer_in_time(serve):
    server = serve(lambda _connection, _request: server.over.wait(LONG))
    seen = call(server.url(), SHORT)
    assert (seen.outcome, seen.why) == ("timeout", "no answer within 0.3 s") and seen.took >= SHORT * 1000


def test_an_answer_that_drips_in_does_not_outlast_the_timeout(serve):
    def behave(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not server.over.wait(0.02):
            connection.sendall(b"x")

    server = serve(behave)
    seen = call(server.url(), SHORT)
    assert (seen.outcome, seen.why) == ("timeout", "HTTP 200, but no whole answer within 0.3 s")


def test_no_connection_in_time():
    """A listener whose queue is full lets nobody in."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with contextlib.ExitStack() as stack:
            for _each in range(4):
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            seen = call("http://127.0.0.1:%d/" % full.getsockname()[1], SHORT)
    assert (seen.outcome, seen.why) == ("timeout", "no connection within 0.3 s")


def test_garbage(serve, raw):
    seen = call(serve(raw(b"220 mail.example.org ESMTP\r\n")).url())
    assert (seen.outcome, seen.why) == ("garbled", "the answer is not HTTP/1: it begins '220 mail.example.org ESMTP'")


def test_the_next_address_is_tried_where_the_first_refuses(serve, answer, closed_port, monkeypatch):
    server = serve(answer())
    family = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    addresses = [(*family, ("127.0.0.1", port)) for port in (closed_port, server.port)]
    monkeypatch.setattr(caller_module.socket, "getaddrinfo", lambda *_arguments: addresses)
    assert call("http://shop.example/").outcome == "ok"


def test_a_name_is_looked_up_again_after_a_second_and_a_failure_is_not_remembered(serve, answer, monkeypatch):
    server, looked, clock = serve(answer()), [], Clock()
    times = iter([0.0, 0.5, 2.0, 2.1])
    real = socket.getaddrinfo

    def look(*arguments):
        looked.append(now)
        if now == 2.0:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(*arguments)

    monkeypatch.setattr(caller_module.socket, "getaddrinfo", look)
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    asked = caller(server.url())
    outcomes = []
    for now in times:
        outcomes.append(asked.call(clock, LONG, now).outcome)
    assert outcomes == ["ok", "ok", "name", "ok"] and looked == [0.0, 2.0, 2.1]


def test_what_this_machine_lacks_is_nobody_elses_failure(monkeypatch):
    def no_socket(*_arguments):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(caller_module.socket, "socket", no_socket)
    with pytest.raises(Unable, match="Too many open files"):
        call("http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (VERSION, "1.4.2"),
        (VersionSource(header="x-version"), "1.4.1"),
        (VersionSource(pattern=re.compile(r"on ([a-z]+)")), "app"),
        (VersionSource(header="x-other"), ""),
        (None, ""),
    ],
)
def test_the_version_that_answered(serve, answer, source, told):
    body = b'{"version": "1.4.2", "where": "on app"}'
    assert call(serve(answer("200 OK", body, "X-Version: 1.4.1")).url(), version=source).version == told


def test_what_is_sent(serve, answer):
    server = serve(answer())
    call(server.url("/p%C3%A4th?a=b").replace("127", "me:pw@127"), headers={"X-Ours": "c", "user-agent": "me"})
    assert server.requests == [
        b"GET /p%%C3%%A4th?a=b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nuser-agent: me\r\nAccept: */*\r\n"
        b"Authorization: Basic bWU6cHc=\r\nX-Ours: c\r\nConnection: close\r\n\r\n" % server.port
    ]


def test_nothing_secret_is_told(serve, answer):
    body = b'{"version": "Bearer top-secret"}'
    server = serve(answer("200 OK", body))
    url = server.url("/?key=top-secret#part").replace("127", "me:top-secret@127")
    seen = call(url, headers={"Authorization": "Bearer top-secret"}, version=VERSION)
    assert "top-secret" not in repr(seen) and seen.version
    assert (seen.url, bare(url)) == (server.url(), server.url())
    long = "top-secret" * 20  # what is cut must not be what is masked
    echo = serve(lambda connection, _request: connection.sendall(b"You said " + long.encode()))
    assert "top-secret" not in repr(call(echo.url("/?key=" + long)))


def test_long_versions_and_reasons_are_cut(serve, answer):
    seen = call(
        serve(answer("200 OK", b"", "X-Version: " + "9" * 500)).url(), version=VersionSource(header="x-version")
    )
    assert seen.version == "9" * caller_module.VERSION_MOST


class Several:
    """A server of several answers on one connection."""

    def __init__(self, answers_each):
        self.answers_each, self.connections, self.closed = answers_each, 0, threading.Semaphore(0)

    def __call__(self, connection, request):
        self.connections += 1
        for number in range(self.answers_each):
            if number and not self.next_request(connection):
                return
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.close()
        self.closed.release()

    @staticmethod
    def next_request(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65536)
            if not data:
                return False
            head += data
        return True


def test_each_request_has_a_connection_of_its_own(serve):
    several = Several(3)
    asked = caller(serve(several).url())
    assert [asked.call(Clock(), LONG, 0.0).outcome for _each in range(3)] == ["ok"] * 3
    assert several.connections == 3


def test_connections_are_kept_when_asked_for_and_one_that_was_closed_meanwhile_is_replaced(serve):
    several = Several(2)
    server = serve(several)
    asked = caller(server.url(), keep_alive=True)
    for number in range(4):
        assert asked.call(Clock(), LONG, 0.0).outcome == "ok"
        if number % 2:
            several.closed.acquire(timeout=LONG)
    assert several.connections == 2 and b"Connection: keep-alive" in server.requests[0]


def test_a_connection_that_the_server_is_about_to_close_is_not_kept(serve):
    connections = []

    def behave(connection, _request):
        connections.append(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        server.over.wait(LONG)  # it takes its time

    server = serve(behave)
    asked = caller(server.url(), keep_alive=True)
    assert [asked.call(Clock(), LONG, 0.0).outcome for _each in range(2)] == ["ok", "ok"] and len(connections) == 2


def test_a_kept_connection_that_breaks_under_a_request_is_a_failure(serve):
    def behave(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        Several.next_request(connection)

    asked = caller(serve(behave).url(), keep_alive=True)
    assert [asked.call(Clock(), LONG, 0.0).outcome for _each in range(2)] == ["ok", "closed"]


def test_tls(serve, answer, certificates):
    trusting = caller_module.ssl.create_default_context(cafile=str(certificates.authority))
    server = serve(answer("200 OK", b"{}"), certificates.context())
    assert call(server.url(), context=trusting).outcome == "ok"
    seen = call(server.url())
    assert seen.outcome == "tls" and "certificate not trusted" in seen.why
    expired = call(serve(answer(), certificates.context(certificates.expired)).url(), context=trusting)
    assert expired.outcome == "tls" and "expired" in expired.why


def test_the_name_that_users_use(serve, answer, certificates):
    trusting = caller_module.ssl.create_default_context(cafile=str(certificates.authority))
    names = []
    context = certificates.context()
    context.sni_callback = lambda _connection, name, _context: names.append(name)
    seen = call(serve(answer(), context).url(), context=trusting, host="shop.example:8443")
    assert names == ["shop.example"] and seen.outcome == "tls" and "shop.example" in seen.why
    plain = serve(answer())
    call(plain.url(), host="shop.example:8443")
    assert b"\r\nHost: shop.example:8443\r\n" in plain.requests[0]


def test_tls_to_one_who_speaks_none(serve, raw):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def behave():
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=behave, daemon=True).start()
        assert call("https://127.0.0.1:%d/" % listener.getsockname()[1]).outcome == "tls"


@pytest.mark.parametrize(("end", "outcome"), [(socket.socket.close, "closed"), (reset, "reset")])
def test_tls_that_ends_amid_the_handshake(end, outcome):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def behave():
            connection = listener.accept()[0]
            connection.recv(65536)
            end(connection)

        threading.Thread(target=behave, daemon=True).start()
        assert call("https://127.0.0.1:%d/" % listener.getsockname()[1]).outcome == outcome


def test_tls_that_hangs():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = call("https://127.0.0.1:%d/" % listener.getsockname()[1], SHORT)
    assert seen.outcome == "timeout"


def test_a_body_under_tls_that_breaks_off(serve, raw, certificates):
    trusting = caller_module.ssl.create_default_context(cafile=str(certificates.authority))
    server = serve(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), certificates.context())
    assert call(server.url(), context=trusting).outcome == "truncated"
