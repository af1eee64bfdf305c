# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request as a user makes it, and what became of it.  Nothing is tried twice."""

from __future__ import annotations

import collections
import errno
import select
import socket
import ssl
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Tuple
from urllib.parse import SplitResult, urlsplit

from .._clock import Clock, Deadline
from .._domain import felt
from .._health.connecting import TIMEOUTS, broken, no_answer, time_left
from .._health.expectations import VersionSource, version_of
from .._health.http_probe import address, request_target
from .._health.observation import HTTP, KEPT, Observation
from .._health.redaction import Redactor, basic_auth
from .answer import Answer, Spoilt

USER_AGENT = "zero-downtime-deploy-probe"
# For how long an address is used before the name is looked up again; a failed look-up is never remembered.
RESOLVED = 1.0
# Characters of a version, and of a reason, that are told.
VERSION_MOST, WHY_MOST = 100, 300

_RECEIVED = 65536
_IDLE = 20.0  # seconds that a connection is kept without a request
_PORTS = {"http": 80, "https": 443}


# What this machine lacks when it cannot even begin: descriptors, memory, ports.
_OURS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))


class Unable(Exception):
    """The request could not be sent, for a reason that is this machine's own: no user felt anything."""


class Caller:
    """Sends a GET to one URL, again and again, from any number of threads.

    :param headers: sent beside ours.
    :param version: where an answer tells the running version.
    :param redactor: masks in what is quoted what was sent.
    :param context: how the peer of an https URL is verified.
    :param host: the name in the Host header and in TLS, where it is not the URL's.
    :param keep_alive: whether connections are kept for later requests.  One that was closed while nobody used it is replaced, as by
        any client; one that breaks after a request was sent has failed it.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        version: Optional[VersionSource],
        redactor: Redactor,
        context: Optional[ssl.SSLContext] = None,
        host: Optional[str] = None,
        keep_alive: bool = False,
    ) -> None:
        parts = urlsplit(url)
        self.url = bare(url)
        self._host, self._port = address(parts)
        self._context = (context or ssl.create_default_context()) if parts.scheme == "https" else None
        self._server_name = _without_port(host) if host else self._host
        self._version, self._redactor = version, redactor
        self._keep_alive = keep_alive
        self._keep = KEPT if version and version.header is None else 0
        self._request = _request(parts, headers, host, keep_alive)
        self._resolved: Tuple[float, List[Any]] = (-RESOLVED, [])
        self._idle: Deque[Tuple[float, socket.socket]] = collections.deque()

    def call(self, clock: Clock, timeout: float, at: float) -> felt.Ended:
        """Make one request of at most `timeout` seconds from connecting to the last byte.

        :param at: when that is, for what it is told as.
        :raises Unable: it was not sent, and that is no fault of the other side.
        """
        deadline = Deadline(clock, timeout)
        connection = None
        answer = None
        try:
            connection = self._kept(clock) or self._connect(clock, deadline)
            receive = _receiver(connection, deadline)
            answer = Answer(receive, self._keep)
            connection.settimeout(time_left(deadline))
            connection.sendall(self._request)
            answer.read()
            outcome, why = felt.OK, ""
        except Spoilt as spoilt:
            outcome, why = spoilt.outcome, str(spoilt)
            if spoilt.seen:
                why += " " + self._redactor.snippet(spoilt.seen.decode("latin-1"))
        except TIMEOUTS:
            outcome = felt.TIMEOUT
            why = (
                "%s, but %s" % (answer.told(), no_answer(deadline, "no whole answer"))
                if answer and answer.begun
                else no_answer(deadline, "no answer" if answer else "no connection")
            )
        except OSError as error:
            outcome, why = _broken(error, answer)
        if answer is not None and answer.head is not None and answer.head.status >= 500:
            outcome, why = felt.STATUS, why or answer.told()  # whatever became of its body
        took = deadline.elapsed * 1000
        if connection is not None:
            if self._keep_alive and outcome in felt.ANSWERED and answer.reusable:
                self._idle.append((clock.monotonic(), connection))
            else:
                connection.close()
        return felt.Ended(at, outcome, took, self._told(answer), self.url, self._redactor.text(why)[:WHY_MOST])

    def _told(self, answer: Optional[Answer]) -> str:
        """The version, from whatever has come of the answer."""
        if self._version is None or answer is None or answer.head is None:
            return ""
        text = answer.body.decode("utf-8", "replace") if answer.body else ""
        told = version_of(Observation(HTTP, 0.0, headers=answer.head.headers, text=text), self._version)
        return self._redactor.value(told.strip())[:VERSION_MOST] if told else ""

    def _kept(self, clock: Clock) -> Optional[socket.socket]:
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            # Nothing is to be read from an idle connection but its end.
            if clock.monotonic() - since < _IDLE and not select.select([connection], [], [], 0)[0]:
                return connection
            connection.close()
        return None

    def _connect(self, clock: Clock, deadline: Deadline) -> socket.socket:
        addresses = self._addresses(clock)
        failure: Optional[OSError] = None
        for tried, (family, kind, protocol, _name, where) in enumerate(addresses):
            connection = None
            try:
                connection = socket.socket(family, kind, protocol)
                # An address that swallows packets must leave time for the next one.
                connection.settimeout(time_left(deadline) / (len(addresses) - tried))
                connection.connect(where)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                failure = error
                if connection is not None:
                    connection.close()
                if error.errno in _OURS:
                    raise Unable(broken(error)) from error
                continue
            return self._secured(connection, deadline)
        if failure is None or isinstance(failure, TIMEOUTS):
            raise socket.timeout("timed out")
        # Whatever the system calls it, there is no connection.
        raise Spoilt(felt.RESET if isinstance(failure, ConnectionResetError) else felt.REFUSED, broken(failure))

    def _addresses(self, clock: Clock) -> List[Any]:
        since, addresses = self._resolved
        now = clock.monotonic()
        if now - since >= RESOLVED:
            try:
                addresses = socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)
            except (socket.gaierror, UnicodeError) as error:
                reason = error.strerror if isinstance(error, socket.gaierror) else error
                raise Spoilt(felt.NAME, "the name '%s' does not resolve: %s" % (self._host, reason)) from error
            self._resolved = now, addresses
        return addresses

    def _secured(self, connection: socket.socket, deadline: Deadline) -> socket.socket:
        if self._context is None:
            return connection
        try:
            connection.settimeout(time_left(deadline))
            return self._context.wrap_socket(connection, server_hostname=self._server_name)
        except BaseException as error:
            connection.close()
            if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or _bare_end(error):
                raise Spoilt(felt.CLOSED, "the connection was closed amid the TLS handshake") from error
            raise


def bare(url: str) -> str:
    """`url` without user, password, query and fragment."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _receiver(connection: socket.socket, deadline: Deadline) -> Callable[[], bytes]:
    def receive() -> bytes:
        connection.settimeout(time_left(deadline))
        return connection.recv(_RECEIVED)

    return receive


def _bare_end(error: BaseException) -> bool:
    # Before Python 3.10, an end amid the handshake is an OSError without a number.
    return isinstance(error, OSError) and not isinstance(error, (ssl.SSLError, *TIMEOUTS)) and not error.errno


def _broken(error: OSError, answer: Optional[Answer]) -> Tuple[str, str]:
    said = _tls(error) if isinstance(error, ssl.SSLError) else broken(error)
    if answer is not None and answer.begun:
        return felt.TRUNCATED, "%s, but the answer was cut off: %s" % (answer.told(), said)
    if isinstance(error, ssl.SSLError):
        return felt.TLS, said
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return felt.RESET, "the connection was reset without an answer"
    return felt.CLOSED, "the connection broke without an answer: %s" % said


def _tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate not trusted: %s" % error.verify_message.rstrip(".")
    return "TLS failed: %s" % (error.reason or "unknown reason").replace("_", " ").lower()


def _request(parts: SplitResult, headers: Mapping[str, str], host: Optional[str], keep_alive: bool) -> bytes:
    name, port = address(parts)
    where = "[%s]" % name if ":" in name else name
    lines: Dict[str, Tuple[str, str]] = {}
    ours = {
        "Host": host or (where if port == _PORTS[parts.scheme] else "%s:%d" % (where, port)),
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Authorization": basic_auth(parts),
    }
    connection = {"Connection": "keep-alive" if keep_alive else "close"}
    for given in (ours, headers, connection):
        for name, value in given.items():
            if value is not None:
                lines[name.lower()] = (name, value)
    head = "GET %s HTTP/1.1\r\n" % request_target(parts)
    return (head + "".join("%s: %s\r\n" % line for line in lines.values()) + "\r\n").encode("latin-1")


def _without_port(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
