# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands to HAProxy's runtime API, over a socket: https://docs.haproxy.org/2.8/management.html#9.3"""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address

from .._clock import Clock, Deadline
from .._domain.errors import InvalidInput, Unreachable
from .haproxy_processes import user
from .haproxy_workers import ENDED, Reloading

HOST = re.compile(r"\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]|[\w.:@-]+", re.ASCII)
# Answers that HAProxy's runtime API begins with, for one that was cut short.
BEGINNINGS = ("\n", "1\n# be_id", "# pxname", "# name", "Name: ", "Permission denied", "Can't find", "No such")
# The help of the master's CLI, which no worker's has.
MASTERS_HELP = re.compile(r"Unknown command.*show proc +: show processes status", re.DOTALL)


class RuntimeApi:
    """Commands to one HAProxy process and their answers.

    :param socket_path: the unix socket, or
    :param address: ``host:port`` of a TCP one.
    :param timeout: seconds for one exchange.
    :param master: whether it is the socket of a master, which answers and waits for more.
    """

    def __init__(self, socket_path: str | None, address: str | None, timeout: float, master: bool = False) -> None:
        self.socket_path = socket_path
        self.address = address
        self.timeout = timeout
        self.master = master
        self.label = socket_path or address or ""

    def ask(self, *commands: str) -> list[str]:
        """Send `commands` in one connection and return one answer for each.

        :raises Unreachable: naming the socket, what the system said and what to look at.
        """
        text = self._exchange(";".join(commands) + "\n")
        answers = _answers(text)
        known = any(text.startswith(words) or words.startswith(text) for words in BEGINNINGS)
        if len(answers) > len(commands) or (len(answers) < len(commands) and not known):
            raise self.stranger(commands[0], text.strip())
        if len(answers) < len(commands):
            raise Unreachable(
                f"HAProxy at {self.label} closed the connection after {len(answers)} of {len(commands)} answers. "
                "Is it being reloaded? Run the task again."
            )
        return answers

    def say(self, command: str) -> str:
        """Send one command and return all that comes back: some answers lack the empty line at their end.

        :raises Unreachable: as :meth:`ask` does.
        """
        return self._exchange(command + "\n").strip()

    def stranger(self, command: str, answer: str) -> Unreachable:
        """The error for an answer that no HAProxy gives."""
        if answer.startswith("HTTP/"):
            status = answer.split("\n")[0].strip()
            return Unreachable(
                f"An HTTP server answers at {self.label}, not HAProxy's runtime API: to `{command}` it said {status!r}. Give the address "
                "of a line `stats socket ipv4@HOST:PORT level admin` in HAProxy's `global` section."
            )
        return Unreachable(
            f"What answers at {self.label} is not HAProxy's runtime API: to `{command}` it said {answer[:200]!r}."
        )

    def _is_the_masters(self) -> Unreachable:
        """The error for a master's socket in place of a worker's."""
        option = "address" if self.address else "socket"
        return Unreachable(
            f"{self.label} is the socket of HAProxy's master process (`haproxy -S`), which knows no servers. Give the `stats socket` of "
            f"its `global` section as `{option}`, and this one as `master_{option}`, so that requests of former workers are counted."
        )

    def _exchange(self, line: str) -> str:
        deadline = Deadline(Clock(), self.timeout)
        try:
            with self._connect() as connection:
                connection.sendall(line.encode())
                if self.master:  # it answers, and ends then
                    connection.shutdown(socket.SHUT_WR)
                received = bytearray()
                while True:
                    if deadline.passed:
                        raise socket.timeout
                    connection.settimeout(deadline.left or self.timeout)
                    piece = connection.recv(65536)
                    if not piece:
                        return received.decode(errors="replace")
                    received += piece
                    if self.master and received.startswith(ENDED.encode()):  # the connection stays open then
                        return ""
                    if not self.master and received.startswith(b"Unknown command"):
                        if MASTERS_HELP.match(received.decode(errors="replace")):
                            raise self._is_the_masters()
        except FileNotFoundError:
            raise Unreachable(
                f"There is no socket {self.label}: HAProxy is not running, or its `global` section lacks "
                f"`stats socket {self.label} level admin`."
            ) from None
        except PermissionError:
            raise Unreachable(
                f"User {user()} may not open {self.label}: use `become`, or widen the socket's mode or group."
            ) from None
        except (ConnectionRefusedError, ConnectionResetError) as error:
            if self.master:
                raise Reloading(f"The master of HAProxy does not listen on {self.label}: does it run?") from None
            if isinstance(error, ConnectionResetError):
                raise Unreachable(f"HAProxy at {self.label} cannot be talked to: {error}") from None
            raise Unreachable(f"Nothing listens on {self.label}: is HAProxy running?") from None
        except BlockingIOError:  # of a local socket, whose queue is full
            raise Unreachable(f"HAProxy at {self.label} takes no more connections: it hangs, or has too much to do.") from None
        except socket.timeout:
            raise Unreachable(f"HAProxy at {self.label} did not answer within {self.timeout:g} s.") from None
        except (OSError, UnicodeError) as error:  # the latter for a part of a host's name that is too long
            raise Unreachable(f"HAProxy at {self.label} cannot be talked to: {error}") from None

    @property
    def is_here(self) -> bool:
        """Whether the process may be on this machine."""
        if self.socket_path:
            return True
        host, _port = host_and_port(self.address or "")
        try:
            for family, kind, protocol, _name, where in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
                with socket.socket(family, kind, protocol) as probe:
                    probe.bind(where)  # succeeds for the machine's own addresses alone
                    return True
        except (OSError, UnicodeError):
            pass
        return False

    def _connect(self) -> socket.socket:
        if self.socket_path:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(self.timeout)
            try:
                connection.connect(self.socket_path)
            except OSError:
                connection.close()
                raise
            return connection
        host, port = host_and_port(self.address or "")
        return socket.create_connection((host, port), timeout=self.timeout)


def _answers(text: str) -> list[str]:
    """Cut a connection's output at the empty line that ends each answer."""
    answers: list[str] = []
    lines: list[str] = []
    # Not `splitlines`: the text quotes a member's answer to a check, which may contain other line separators.
    for line in text.split("\n")[:-1]:
        if line:
            lines.append(line)
        else:
            answers.append("\n".join(lines))
            lines = []
    return answers  # lines that no empty one follows are an answer cut short


def host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    # Nothing but what a name or an address is made of: it becomes part of a command.
    if not colon or not HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise InvalidInput(f"`address` is host:port, not {address!r}. Nothing was touched.")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    host, _port = host_and_port(address)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
