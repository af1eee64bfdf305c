# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to a balancer's own interface: over TCP, TLS or a unix socket, each exchange within one deadline.

Built on ``http.client``, because it must run on a host that has nothing but Python, reach unix sockets, and bound the exchange
as a whole rather than each wait; see `_health/connecting.py`.  A proxy of the environment is not used.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Mapping
from urllib.parse import quote, urlsplit

from .._clock import Clock, Deadline
from .._domain import plain_json
from .._domain.errors import InvalidInput, Unreachable
from .._health.connecting import TIMEOUTS, NoConnection, TimedSocket, broken, connect, no_answer, time_left
from .._health.redaction import Redactor
from .http_headers import is_address, is_value, merged, name_in, sendable, value_of

_SAFE = "%/:@!$&'()*+,;=~-._"  # in a path; the rest, control characters and what is not ASCII, is percent-encoded
LARGEST = 64 * 1024 * 1024  # bytes of an answer; a pool of a thousand members takes about one megabyte


@dataclass(frozen=True)
class Answer:
    """What came back.

    :param headers: names in lower case.
    """

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        """The body as JSON.

        :raises ValueError: when it is none.
        """
        return plain_json.loads(self.text)


class HttpApi:
    """One balancer's HTTP interface.

    :param title: what the thing is called in messages, such as ``Envoy's admin interface``.
    :param url: ``http://…`` or ``https://…``; None with `socket_path`.
    :param socket_path: of a unix socket.
    :param headers: sent with every request, as a user gives them; `Host` in the place of the URL's own. Over TLS its name is the one
        that is asked for, and that the certificate must have, where the URL has an address instead of a name.
    :param ca: a file or directory of certificates to trust instead of the system's.
    :param client_cert: a file with the certificate to present, and its key unless `client_key` has that.
    """

    def __init__(
        self,
        title: str,
        timeout: float,
        url: str | None = None,
        socket_path: str | None = None,
        username: str | None = None,
        password: str | None = None,
        headers: Mapping[str, Any] | None = None,
        verify: bool = True,
        ca: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
    ) -> None:
        self.title, self.timeout, self.socket_path = title, timeout, socket_path
        self._named = ""  # how to give it another host name, for messages
        self.headers = sendable(title, headers)
        self.host, self.port, self.path, self.secure = "localhost", 80, "", False
        if url is not None:
            self._locate(url)
        self.endpoint = socket_path or "%s://%s:%d%s" % (
            "https" if self.secure else "http",
            self.host,
            self.port,
            self.path,
        )
        if username is not None:
            if value_of(self.headers, "authorization") is not None:
                raise InvalidInput(
                    "%s: `headers` has an Authorization, and `username` stands for another one. Leave out one of them. Nothing was sent."
                    % title
                )
            pair = "%s:%s" % (username, password or "")
            self.headers["Authorization"] = (
                "Basic " + base64.b64encode(pair.encode("utf-8", "surrogateescape")).decode()
            )
        self._context = _context(verify, ca, client_cert, client_key) if self.secure else None

    @classmethod
    def of(cls, title: str, options: Mapping[str, Any], url: str | None = None) -> HttpApi:
        """The interface that the options of an entry of `balancers` describe.

        :param url: another one than the option `url`.
        """
        api = cls(
            title,
            options["timeout"],
            url=url or options["url"],
            socket_path=options.get("socket"),
            username=options["username"],
            password=options["password"],
            headers=options.get("headers"),
            verify=options["validate_certs"],
            ca=options["ca_path"],
        )
        if "headers" in options:
            api._named = " (`headers: {Host: ...}`)"
        return api

    def _locate(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        host = _host(parts.hostname or "")
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
            # The URL itself is not repeated: somebody may have put a password in it.
            raise InvalidInput(
                "The URL of %s is to be http://host:port or https://host:port, perhaps with a path, and nothing else in it. "
                "Credentials have options of their own. Nothing was touched." % self.title
            )
        self.secure = parts.scheme == "https"
        self.host, self.port = host, port or (443 if self.secure else 80)
        self.path = quote(parts.path.rstrip("/"), safe=_SAFE)

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request over a connection of its own.

        :param path: below the URL, with its query, percent-encoded.
        :return: whatever the answer's status is.
        :raises Unreachable: when there is no complete answer in time, with the reason.
        :raises InvalidInput: when a header cannot be sent: none of it has been then.
        """
        sent = merged(self.headers, headers or {})
        for name, value in sent.items():
            if not is_value(value):
                # Whatever stands in it may be a secret.
                raise InvalidInput(
                    "%s at %s: the header %s would have a line break or another character in it that no header can hold, so "
                    "nothing was sent." % (self.title, self.endpoint, name)
                )
        deadline = Deadline(Clock(), self.timeout)
        data = body.encode() if isinstance(body, str) else body
        try:
            connection = self._connect(deadline)
            try:
                return self._exchange(connection, deadline, method, self.path + path, data, sent)
            finally:
                connection.close()
        except NoConnection as error:
            raise self._unreachable(str(error)) from None
        except TIMEOUTS:
            raise self._unreachable(no_answer(deadline)) from None
        except http.client.HTTPException as error:
            raise self._unreachable("the answer is not HTTP, or was cut off (%s)" % type(error).__name__) from None
        except ssl.SSLCertVerificationError as error:
            raise self._unreachable("its certificate is not trusted: %s" % error.verify_message.rstrip(".")) from None
        except ssl.SSLError as error:
            raise self._unreachable("TLS failed: %s" % _reason(error)) from None
        except OSError as error:
            raise self._unreachable(broken(error)) from None

    @property
    def origin(self) -> str:
        """The interface itself as an ``Origin``: scheme, host, and the port unless it is the scheme's own."""
        usual = 443 if self.secure else 80
        host = "[%s]" % self.host if ":" in self.host else self.host
        here = host if self.port == usual else "%s:%d" % (host, self.port)
        return "%s://%s" % ("https" if self.secure else "http", value_of(self.headers, "host") or here)

    def stranger(self, request: str, found: str) -> Unreachable:
        """The error for an answer that this balancer is not known to give, with the likely causes."""
        said = Redactor(self.headers).text(found)[:200].rstrip(".")
        return Unreachable(
            "What answers at %s is not %s, or does not answer as expected: to `%s` it said %s. Another program may listen there, a proxy "
            "in front of it may want another path or host name%s, or its version may be one that is not supported."
            % (self.endpoint, self.title, request, said, self._named)
        )

    def _unreachable(self, why: str) -> Unreachable:
        return Unreachable("%s at %s: %s. Is it running, and reachable from here?" % (self.title, self.endpoint, why))

    def _connect(self, deadline: Deadline) -> socket.socket:
        if self.socket_path is None:
            connection = connect(self.host, self.port, deadline)
            if self._context is None:
                return connection
            connection.settimeout(time_left(deadline))
            return self._secured(connection, self._context)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(time_left(deadline))
            connection.connect(self.socket_path)
        except FileNotFoundError:
            connection.close()
            raise NoConnection("there is no such socket") from None
        except PermissionError:
            connection.close()
            raise NoConnection("this user may not open it; use `become`, or widen the socket's mode or group") from None
        except OSError:
            connection.close()
            raise
        return connection

    def _secured(self, connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
        try:
            return context.wrap_socket(connection, server_hostname=self._tls_name())
        except TIMEOUTS:
            raise
        except ssl.SSLError:
            raise
        except OSError as error:
            # Whoever does not speak TLS may just hang up.
            raise NoConnection("TLS failed: %s" % broken(error)) from None

    def _tls_name(self) -> str:
        """The name in the URL; where that is an address, the one that `Host` gives it."""
        named = name_in(value_of(self.headers, "host") or "")
        return named if named and is_address(self.host) else self.host

    def _exchange(
        self,
        connection: socket.socket,
        deadline: Deadline,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        client = http.client.HTTPConnection(self.host, self.port)
        client.default_port = 443 if self.secure else 80
        client.sock = TimedSocket(connection, deadline)  # type: ignore[assignment]
        client.request(method, target, body=body, headers={**headers, "Connection": "close"})
        answer = client.getresponse()
        promised = answer.length
        data = answer.read(LARGEST)
        if promised is not None and len(data) < promised:
            raise http.client.IncompleteRead(data, promised - len(data))
        received = {name.lower(): value for name, value in answer.getheaders()}
        text = data.decode("utf-8", "replace")
        # Whoever refuses a request may echo it, credentials and all, and what is said of a refusal is quoted.
        return Answer(answer.status, received, Redactor(self.headers).text(text) if answer.status >= 400 else text)


def _host(name: str) -> str:
    """A host's name as it is asked for; empty when it is none."""
    try:
        known = name if name.isascii() else name.encode("idna").decode("ascii")
    except ValueError:
        return ""
    return known if re.fullmatch(r"[\x21-\x7e]+", known) else ""


def _context(verify: bool, ca: str | None, client_cert: str | None, client_key: str | None) -> ssl.SSLContext:
    in_folder = ca is not None and os.path.isdir(ca)
    try:
        context = ssl.create_default_context(cafile=None if in_folder else ca, capath=ca if in_folder else None)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            "The certificates in %s cannot be read: %s. Nothing was touched." % (ca, _why(error))
        ) from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert is not None:
        try:
            # An empty passphrase: without one, OpenSSL would ask for it at the terminal, and wait.
            context.load_cert_chain(client_cert, client_key, password="")
        except (OSError, ValueError) as error:
            raise InvalidInput(
                "The client certificate %s with its key (%s, without passphrase) cannot be loaded: %s. Nothing was touched."
                % (client_cert, client_key or "in the same file", _why(error))
            ) from None
    return context


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return _reason(error)
    return getattr(error, "strerror", None) or str(error)


def _reason(error: ssl.SSLError) -> str:
    # An error of TLS has a number of its own family where others have errno.
    if isinstance(error, ssl.SSLEOFError):
        return "the other side has closed the connection; perhaps it asks for a client certificate, or speaks no TLS"
    return (error.reason or "unknown reason").replace("_", " ").lower()
