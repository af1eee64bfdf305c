# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One attempt at an HTTP(S) URL.

Built on ``http.client`` and not on ``ansible.module_utils.urls``: that one installs an opener for the whole
process, which is not safe in threads, and bounds each wait rather than the attempt.  It must also run on a host
that has nothing but Python.  A proxy of the environment is not used: health is asked of the host itself.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass, field
from typing import Dict
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from .._clock import Clock, Deadline
from .connecting import TIMEOUTS, NoConnection, TimedSocket, broken, connect, no_answer, time_left
from .observation import HTTP, KEPT, Observation
from .redaction import basic_auth, mask_url

USER_AGENT = "zero-downtime-deploy-health-check"

_CHUNK = 16384
_REDIRECTS = 5
_REDIRECTING = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


class _NoAnswer(Exception):
    """Why there is no complete answer, as a sentence."""


@dataclass(frozen=True)
class HttpProbe:
    """Asks a URL, each time over a connection of its own.

    :param headers: sent beside ours.
    :param context: how the peer of an https URL is verified.
    :param follow_redirects: up to five; `headers` are not sent to another origin, and https is never left for http.
    """

    url: str
    method: str = "GET"
    headers: Dict[str, str] = field(default_factory=dict, repr=False)
    context: ssl.SSLContext | None = None
    follow_redirects: bool = False

    def __call__(self, clock: Clock, timeout: float) -> Observation:
        """Make one attempt of at most `timeout` seconds, redirects and the whole body included."""
        deadline = Deadline(clock, timeout)
        url, headers = self.url, self.headers
        try:
            for _redirect in range(_REDIRECTS + 1):
                seen = self._ask(url, headers, deadline)
                location = seen.headers.get("location")
                if not self.follow_redirects or seen.status not in _REDIRECTING or not location:
                    return seen
                url, headers = _redirected(url, headers, location)
            raise _NoAnswer("more than %d redirects, the last one to %s" % (_REDIRECTS, mask_url(url)))
        except (NoConnection, _NoAnswer) as none:
            return Observation(HTTP, deadline.elapsed, failure=str(none))

    def _ask(self, url: str, headers: dict[str, str], deadline: Deadline) -> Observation:
        parts = urlsplit(url)
        host, port = address(parts)
        connection = connect(host, port, deadline)
        try:
            if parts.scheme == "https":
                connection = self._secured(connection, host, deadline)
            return self._exchange(connection, parts, headers, deadline)
        finally:
            connection.close()

    def _secured(self, connection: socket.socket, host: str, deadline: Deadline) -> socket.socket:
        context = self.context or ssl.create_default_context()
        try:
            connection.settimeout(time_left(deadline))
            return context.wrap_socket(connection, server_hostname=host)
        except TIMEOUTS as error:
            raise _NoAnswer(no_answer(deadline, "no TLS handshake")) from error
        except OSError as error:
            raise _NoAnswer(_untrusted(error)) from error

    def _exchange(
        self, connection: socket.socket, parts: SplitResult, headers: dict[str, str], deadline: Deadline
    ) -> Observation:
        host, port = address(parts)
        client = http.client.HTTPConnection(host, port)
        # The Host header names the port unless it is the scheme's own.
        client.default_port = _PORTS[parts.scheme]
        client.sock = TimedSocket(connection, deadline)  # type: ignore[assignment]
        try:
            client.request(self.method, request_target(parts), headers=_complete(headers, parts))
            answer = client.getresponse()
        except TIMEOUTS as error:
            raise _NoAnswer(no_answer(deadline)) from error
        except http.client.RemoteDisconnected as error:
            raise _NoAnswer("the connection was closed without an answer") from error
        except http.client.HTTPException as error:
            raise _NoAnswer("the answer is not HTTP: %s" % type(error).__name__) from error
        except OSError as error:
            raise _NoAnswer(_untrusted(error) if isinstance(error, ssl.SSLError) else broken(error)) from error
        text, cut = _body(answer, deadline)
        return Observation(
            HTTP,
            deadline.elapsed,
            status=answer.status,
            headers=_joined(answer),
            text=text,
            cut=cut,
        )


def address(parts: SplitResult) -> tuple[str, int]:
    """Host and port of a URL.

    :raises ValueError: the port is none, or there is no host.
    """
    if not parts.hostname:
        raise ValueError("no host in it")
    host = parts.hostname
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    return host, parts.port or _PORTS[parts.scheme]


def request_target(parts: SplitResult) -> str:
    """Path and query as they are sent; what is not ASCII is percent-encoded."""
    target = parts.path or "/"
    if parts.query:
        target += "?" + parts.query
    return quote(target, safe="%/:=&?~#+!$,;'@()*[]|")


def _complete(headers: dict[str, str], parts: SplitResult) -> dict[str, str]:
    complete = {"User-Agent": USER_AGENT, "Accept": "*/*"}
    authorization = basic_auth(parts)
    if authorization:
        complete["Authorization"] = authorization
    ours = {name.lower(): name for name in complete}
    for name, value in headers.items():
        complete.pop(ours.get(name.lower(), ""), None)
        complete[name] = value
    complete = {name: value for name, value in complete.items() if name.lower() != "connection"}
    # A connection of its own for each attempt: a kept one would not notice a dead listener.
    complete["Connection"] = "close"
    return complete


def _redirected(url: str, headers: dict[str, str], location: str) -> tuple[str, dict[str, str]]:
    target = location
    try:
        target = urljoin(url, location)
        here, there = urlsplit(url), urlsplit(target)
        if there.scheme not in _PORTS:
            raise ValueError("its scheme is neither http nor https")
        if here.scheme == "https" and there.scheme == "http":
            raise ValueError("it leaves https for http")
        same_origin = here.scheme == there.scheme and address(here) == address(there)
    except ValueError as error:
        raise _NoAnswer("redirected to %s, which is not followed: %s" % (mask_url(target), error)) from error
    return target, headers if same_origin else {}


def _body(answer: http.client.HTTPResponse, deadline: Deadline) -> tuple[str, bool]:
    kept = bytearray()
    length = 0
    promised = answer.length
    try:
        while True:
            chunk = answer.read(_CHUNK)
            if not chunk:
                break
            length += len(chunk)
            kept += chunk[: KEPT - len(kept)]
    except TIMEOUTS as error:
        raise _NoAnswer("HTTP %d, but %s" % (answer.status, no_answer(deadline, "no complete body"))) from error
    except http.client.HTTPException as error:
        raise _NoAnswer("HTTP %d, but the body was cut off" % answer.status) from error
    except OSError as error:
        raise _NoAnswer("HTTP %d, but the body was cut off: %s" % (answer.status, broken(error))) from error
    if promised is not None and length < promised:
        # http.client is silent about this one when it reads piece by piece.
        raise _NoAnswer("HTTP %d, but the body was cut off after %d of %d bytes" % (answer.status, length, promised))
    charset = answer.headers.get_content_charset() or "utf-8"
    try:
        text = kept.decode(charset, "replace")
    except (LookupError, ValueError):  # no such charset, or one that cannot be read leniently, such as `idna` and `undefined`
        text = kept.decode("utf-8", "replace")
    return text, length > len(kept)


def _joined(answer: http.client.HTTPResponse) -> dict[str, str]:
    headers: Dict[str, str] = {}
    for name, value in answer.getheaders():
        key = name.lower()
        headers[key] = "%s, %s" % (headers[key], value) if key in headers else value
    return headers


def _untrusted(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate not trusted: %s" % error.verify_message.rstrip(".")
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "unknown reason").replace("_", " ").lower()
        return "TLS failed: %s" % reason
    return "TLS failed: %s" % broken(error)
