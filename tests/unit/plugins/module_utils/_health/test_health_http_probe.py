# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health import observation
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.http_probe import USER_AGENT, HttpProbe

# Long for what answers, so that a slow machine changes nothing; short for what never does.
LONG = 30.0
SHORT = 0.5


def ask(url, timeout=LONG, **options):
    return HttpProbe(url, **options)(Clock(), timeout)


def test_a_complete_answer(serve, answer):
    server = serve(answer("200 OK", "grüß".encode(), "X-Version: 1.4", "X-Two: a", "X-Two: b"))
    seen = ask(server.url("/päth?a=b"), headers={"X-Ours": "c", "User-Agent": "me"})
    assert (seen.failure, seen.status, seen.text, seen.cut) == (None, 200, "grüß", False)
    assert (seen.headers["x-version"], seen.headers["x-two"]) == ("1.4", "a, b")
    head = server.requests[0].decode()
    assert head.startswith("GET /p%C3%A4th?a=b HTTP/1.1\r\n")
    for line in (f"Host: 127.0.0.1:{server.port}", "Connection: close", "X-Ours: c", "User-Agent: me"):
        assert f"\r\n{line}\r\n" in head
    assert USER_AGENT not in head


def test_our_own_name_is_sent(serve, answer):
    server = serve(answer())
    ask(server.url())
    assert f"User-Agent: {USER_AGENT}\r\n".encode() in server.requests[0]


def test_user_and_password_of_the_url_are_sent(serve, answer):
    server = serve(answer())
    ask(server.url().replace("127.0.0.1", "me:p%40ss@127.0.0.1"))
    assert b"Authorization: Basic " + base64.b64encode(b"me:p@ss") + b"\r\n" in server.requests[0]


def test_the_charset_is_honoured(serve, answer):
    for charset, body, text in (("latin-1", b"gr\xfc\xdf", "grüß"), ("nonsense", b"ok", "ok")):
        server = serve(answer("200 OK", body, f"Content-Type: text/plain; charset={charset}"))
        assert ask(server.url()).text == text


def test_head_has_no_body(serve, raw):
    seen = ask(serve(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")).url(), method="HEAD")
    assert (seen.failure, seen.status, seen.text) == (None, 200, "")


def test_chunks_and_a_body_without_length_are_read(serve, raw):
    chunked = serve(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"))
    assert ask(chunked.url()).text == "abc"
    assert ask(serve(raw(b"HTTP/1.0 200 OK\r\n\r\nabc")).url()).text == "abc"


def test_of_a_large_body_the_beginning_is_kept(serve, answer):
    seen = ask(serve(answer("200 OK", b"x" * (observation.KEPT + 5))).url())
    assert (len(seen.text), seen.cut, seen.failure) == (observation.KEPT, True, None)


@pytest.mark.parametrize(
    "data, failure",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "HTTP 200, but the body was cut off after 3 of 9 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HTTP 200, but the body was cut off after 0 of 9 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "HTTP 200, but the body was cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "HTTP 200, but the body was cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc", "HTTP 200, but the body was cut off"),
        (b"", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "the answer is not HTTP: BadStatusLine"),
    ],
)
def test_half_an_answer_is_a_failure(serve, raw, data, failure):
    seen = ask(serve(raw(data)).url())
    assert (seen.failure, seen.status) == (failure, None)


def test_refused(closed_port):
    assert ask(f"http://127.0.0.1:{closed_port}/").failure == "connection refused"


def test_a_name_that_does_not_resolve():
    assert ask("http://no-such-host.invalid/").failure.startswith("the name 'no-such-host.invalid' does not resolve: ")


def silent(server_box):
    return lambda connection, _request: server_box[0].over.wait()


def drip(server_box, first):
    def behave(connection, _request):
        connection.sendall(first)
        # Each byte comes long before the timeout, so that only a limit for the whole attempt ends it.
        while not server_box[0].over.wait(SHORT / 10):
            connection.sendall(b"x")

    return behave


@pytest.mark.parametrize(
    "behaviour, failure",
    [
        (silent, "no answer within 0.5 s"),
        (lambda box: drip(box, b"HTTP/1.1 200 OK\r\nX-Slow: "), "no answer within 0.5 s"),
        (lambda box: drip(box, b"HTTP/1.1 200 OK\r\n\r\n"), "HTTP 200, but no complete body within 0.5 s"),
    ],
)
def test_the_timeout_is_for_the_attempt_as_a_whole(serve, behaviour, failure):
    box = []
    box.append(serve(behaviour(box)))
    assert ask(box[0].url(), SHORT).failure == failure


def test_a_silent_tls_peer():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        assert ask(url, SHORT, context=ssl.create_default_context()).failure == "no TLS handshake within 0.5 s"


def test_a_trusted_certificate(serve, answer, certificates):
    server = serve(answer("200 OK", b"ok"), certificates.context())
    seen = ask(server.url(), context=ssl.create_default_context(cafile=certificates.authority))
    assert (seen.failure, seen.text) == (None, "ok")
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in server.requests[0]


def test_a_certificate_that_nobody_vouches_for(serve, answer, certificates):
    seen = ask(serve(answer(), certificates.context()).url(), context=ssl.create_default_context())
    assert seen.failure.startswith("certificate not trusted: unable to get local issuer certificate")


def test_an_expired_certificate(serve, answer, certificates):
    server = serve(answer(), certificates.context(certificates.expired))
    seen = ask(server.url(), context=ssl.create_default_context(cafile=certificates.authority))
    assert seen.failure == "certificate not trusted: certificate has expired"


def test_a_certificate_of_another_name(serve, answer, certificates):
    server = serve(answer(), certificates.context())
    url = server.url().replace("127.0.0.1", "localhost")
    seen = ask(url, context=ssl.create_default_context(cafile=certificates.authority))
    assert seen.failure.startswith("certificate not trusted: Hostname mismatch")


def test_tls_to_a_port_that_speaks_none():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk():
            connection, _peer = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(65536)

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        seen = ask(f"https://127.0.0.1:{listener.getsockname()[1]}/", context=ssl.create_default_context())
        thread.join()
    assert seen.failure.startswith("TLS failed: ")


def test_a_redirect_is_seen_and_not_followed(serve, answer):
    server = serve(answer("302 Found", b"", "Location: /other"))
    assert ask(server.url()).status == 302
    assert len(server.requests) == 1


def test_a_redirect_is_followed_within_the_origin_with_our_headers(serve, raw):
    def behave(connection, request):
        if b"GET /first" in request:
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /second\r\nContent-Length: 0\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    server = serve(behave)
    seen = ask(server.url("/first"), follow_redirects=True, headers={"X-Token": "secret"})
    assert seen.text == "ok"
    assert [b"X-Token: secret" in request for request in server.requests] == [True, True]


def test_another_origin_does_not_get_our_headers(serve, answer):
    other = serve(answer("200 OK", b"ok"))
    server = serve(answer("302 Found", b"", f"Location: {other.url()}"))
    url = server.url().replace("127.0.0.1", "me:password@127.0.0.1")
    assert ask(url, follow_redirects=True, headers={"X-Token": "secret"}).text == "ok"
    assert b"secret" in server.requests[0] and b"Authorization" in server.requests[0]
    assert b"secret" not in other.requests[0] and b"Authorization" not in other.requests[0]


def test_redirects_in_a_circle_end(serve, answer):
    server = serve(answer("302 Found", b"", "Location: /?token=secret"))
    seen = ask(server.url(), follow_redirects=True)
    assert seen.failure.startswith("more than 5 redirects") and "secret" not in seen.failure


def test_https_is_not_left_for_http(serve, answer, certificates):
    plain = serve(answer())
    server = serve(answer("302 Found", b"", f"Location: {plain.url()}"), certificates.context())
    context = ssl.create_default_context(cafile=certificates.authority)
    seen = ask(server.url(), follow_redirects=True, context=context)
    assert seen.failure == f"redirected to {plain.url()}, which is not followed: it leaves https for http"
    assert not plain.requests
