# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP connection, and waits on it, that together end at one deadline.

A socket's own timeout starts anew with each call: a peer that sends one byte a second never exceeds it.
"""

from __future__ import annotations

import io
import os
import socket
from typing import Any

from .._clock import Deadline

# Before Python 3.10 a socket's timeout is no TimeoutError.
TIMEOUTS = (socket.timeout, TimeoutError)


class NoConnection(Exception):
    """Why a connection did not come about, as a sentence."""


def connect(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first address of `host` that answers.

    :raises NoConnection: none did before the deadline.
    """
    try:
        addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except (socket.gaierror, ValueError) as error:  # a part of it that is too long, a zero byte in it
        reason = error.strerror if isinstance(error, socket.gaierror) else error
        raise NoConnection("the name '%s' does not resolve: %s" % (host, reason)) from error
    failure = "the name '%s' has no address" % host
    for tried, (family, kind, protocol, _name, address) in enumerate(addresses):
        # An address that swallows packets must leave time for the next one.
        patience = deadline.left / (len(addresses) - tried)
        if patience <= 0:
            raise NoConnection(no_answer(deadline, "no connection"))
        try:
            connection = socket.socket(family, kind, protocol)
        except OSError as error:
            failure = broken(error)
            continue
        try:
            connection.settimeout(patience)
            connection.connect(address)
            return connection
        except TIMEOUTS:
            failure = no_answer(deadline, "no connection")
        except OSError as error:
            failure = broken(error)
        connection.close()
    raise NoConnection(failure)


def no_answer(deadline: Deadline, what: str = "no answer") -> str:
    """The sentence for a deadline that passed."""
    return "%s within %g s" % (what, deadline.seconds)


def broken(error: OSError) -> str:
    """The sentence for a connection that could not be made, or broke."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError):
        return "connection reset"
    # Errors of TLS carry their reason in other places: see http_probe.
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


class TimedSocket:
    """What ``http.client`` needs of a socket, with every wait ending at `deadline`."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def sendall(self, data: Any) -> None:
        """Send all of `data`, or raise ``socket.timeout``."""
        self._connection.settimeout(time_left(self._deadline))
        self._connection.sendall(data)

    def makefile(self, *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        """A file to read the answer from."""
        return io.BufferedReader(_TimedReader(self._connection, self._deadline))

    def close(self) -> None:
        """Do nothing: ``http.client`` closes before the body is read; who connected closes."""


class _TimedReader(io.RawIOBase):
    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(time_left(self._deadline))
        return self._connection.recv_into(buffer)


def time_left(deadline: Deadline) -> float:
    """Seconds left, above zero, or ``socket.timeout``: a zero would make the socket non-blocking."""
    left = deadline.left
    if left <= 0:
        raise socket.timeout("timed out")
    return left
