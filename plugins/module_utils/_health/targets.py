# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a task's targets: options in, probes and expectations out.

Everything that can be wrong is found here, before anything is probed; a message names target and option.
"""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Pattern, Sequence, Tuple
from urllib.parse import urlsplit

from .._clock import Clock
from .._domain.errors import InvalidInput
from . import json_path
from .command_probe import CommandProbe
from .expectations import Expectations, JsonValue, VersionSource
from .http_probe import HttpProbe, address
from .observation import Observation
from .redaction import Redactor, mask_url
from .tcp_probe import TcpProbe

KINDS = ("url", "tcp", "command")
VERSIONS = ("version", "version_header", "version_pattern")

# Which options mean something beside which kind, and what an option is when nobody set it.
_ONLY_FOR: Dict[str, Tuple[Tuple[str, ...], Any]] = {
    "method": (("url",), "GET"),
    "headers": (("url",), None),
    "status": (("url",), [200]),
    "expect_headers": (("url",), None),
    "validate_certs": (("url",), True),
    "ca_path": (("url",), None),
    "client_cert": (("url",), None),
    "client_key": (("url",), None),
    "follow_redirects": (("url",), False),
    "rc": (("command",), 0),
    "body": (("url", "command"), None),
    "json": (("url", "command"), None),
    "version": (("url", "command"), None),
    "version_header": (("url",), None),
    "version_pattern": (("url", "command"), None),
    "expected_version": (("url", "command"), None),
}

# What a header may hold: RFC 9110's token, and no line break, which would begin another header.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_HEADER_VALUE = re.compile(r"[^\x00\r\n]*\Z")


@dataclass(frozen=True)
class Target:
    """Something to probe.

    :param probe: makes one attempt: (clock, timeout in seconds) to an observation.
    """

    name: str
    probe: Callable[[Clock, float], Observation]
    expectations: Expectations


class _Wrong(Exception):
    """What is wrong with an option of a target."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(problem)
        self.option = option


def read_targets(targets: Sequence[Mapping[str, Any]]) -> list[Target]:
    """Turn the option ``targets`` into what can be probed and judged.

    :raises InvalidInput: a target makes no sense.
    """
    if not targets:
        # An empty list is what a wrong variable looks like; it must not pass for health.
        raise InvalidInput("targets: there must be at least one; the list is empty, so nothing was probed")
    read, names = [], set()
    trust = _Trust()
    for position, options in enumerate(targets, 1):
        name = options["name"]
        if not name.strip():
            raise InvalidInput("targets: number %d has an empty name; nothing was probed" % position)
        if name in names:
            raise _invalid(name, _Wrong("name", "two targets have this name, and it must be unique"))
        names.add(name)
        try:
            read.append(_target(name, options, trust))
        except _Wrong as wrong:
            raise _invalid(name, wrong) from wrong
    return read


def _invalid(name: str, wrong: _Wrong) -> InvalidInput:
    return InvalidInput("target '%s', option '%s': %s; nothing was probed" % (name, wrong.option, wrong))


def _target(name: str, options: Mapping[str, Any], trust: "_Trust") -> Target:
    kinds = [kind for kind in KINDS if options.get(kind) is not None]
    if len(kinds) != 1:
        found = "none is given" if not kinds else "given are " + " and ".join(kinds)
        raise _Wrong(kinds[1] if kinds else "url", "exactly one of url, tcp and command is needed, %s" % found)
    kind = kinds[0]
    for option, (belongs_to, unset) in _ONLY_FOR.items():
        if kind not in belongs_to and options.get(option) not in (None, unset):
            raise _Wrong(option, "it belongs to %s, and this is a %s target" % (" or ".join(belongs_to), kind))
    headers = _headers(options.get("headers") or {})
    redactor = Redactor(headers, options["url"] if kind == "url" else "")
    probe: Callable[[Clock, float], Observation]
    if kind == "url":
        probe = _http(options, headers, trust)
    elif kind == "tcp":
        probe = _tcp(options["tcp"])
    else:
        probe = _command(options["command"])
    return Target(name, probe, _expectations(options, redactor))


def _headers(headers: Mapping[str, Any]) -> dict[str, str]:
    read = {}
    for name, value in headers.items():
        text = "" if value is None else str(value)
        if not _HEADER_NAME.match(str(name)):
            raise _Wrong("headers", "'%s' is no name of a header" % name)
        if not _HEADER_VALUE.match(text):
            # The value may be a secret: it is not shown.
            raise _Wrong("headers", "the value of %s has a line break in it" % name)
        try:
            text.encode("latin-1")
        except UnicodeError as error:
            raise _Wrong("headers", "the value of %s has characters that no header can hold" % name) from error
        read[str(name)] = text
    return read


def _http(options: Mapping[str, Any], headers: dict[str, str], trust: "_Trust") -> HttpProbe:
    url = options["url"]
    follow = options.get("follow_redirects", False)
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("it must begin with http:// or https://")
        if re.search(r"[\x00-\x20\x7f]", url):
            raise ValueError("it has a blank or a control character in it")
        address(parts)
    except ValueError as error:
        # The parser's own message may quote the user part.
        reason = str(error) if "@" not in str(error) else "it cannot be parsed"
        raise _Wrong("url", "'%s' cannot be asked: %s" % (mask_url(url), reason)) from error
    if options.get("client_key") and not options.get("client_cert"):
        raise _Wrong("client_key", "it needs client_cert beside it")
    context = trust.context(options) if parts.scheme == "https" or follow else None
    return HttpProbe(url, options.get("method") or "GET", headers, context, follow)


def _tcp(where: str) -> TcpProbe:
    match = re.match(r"(?:\[([^\]]+)\]|([^:\s]+)):(\d+)\Z", where)
    if match is None:
        raise _Wrong("tcp", "expected host:port, or [IPv6 address]:port, found '%s'" % where)
    port = int(match.group(3))
    if not 1 <= port <= 65535:
        raise _Wrong("tcp", "a port is between 1 and 65535, found %d" % port)
    return TcpProbe(match.group(1) or match.group(2), port)


def _command(words: Sequence[Any]) -> CommandProbe:
    read = tuple(str(word) for word in words)
    if not read or not read[0]:
        raise _Wrong("command", "expected a program and its arguments as a list, found an empty one")
    if any("\0" in word for word in read):
        raise _Wrong("command", "a word has a null character in it")
    return CommandProbe(read)


def _expectations(options: Mapping[str, Any], redactor: Redactor) -> Expectations:
    body = options.get("body")
    status = tuple(options.get("status") or ())
    if options.get("url") is not None:
        if not status:
            raise _Wrong("status", "expected at least one, found an empty list")
        for one in status:
            if not 100 <= one <= 599:
                raise _Wrong("status", "a status is between 100 and 599, found %d" % one)
    return Expectations(
        status=status,
        rc=options.get("rc") or 0,
        headers=tuple(
            (str(name).lower(), _pattern("expect_headers", str(pattern)))
            for name, pattern in (options.get("expect_headers") or {}).items()
        ),
        body=None if body is None else _pattern("body", body),
        json=tuple(
            JsonValue(str(path), _path("json", str(path)), expected)
            for path, expected in (options.get("json") or {}).items()
        ),
        version=_version(options),
        expected_version=options.get("expected_version"),
        redactor=redactor,
    )


def _version(options: Mapping[str, Any]) -> VersionSource | None:
    given = [option for option in VERSIONS if options.get(option) is not None]
    if len(given) > 1:
        raise _Wrong(given[1], "at most one of %s can be given, and %s is" % (", ".join(VERSIONS), given[0]))
    if not given:
        if options.get("expected_version") is not None:
            raise _Wrong("expected_version", "it needs one of %s, to know which version runs" % ", ".join(VERSIONS))
        return None
    option, value = given[0], options[given[0]]
    if option == "version":
        return VersionSource(path=value, steps=_path(option, value))
    if option == "version_header":
        return VersionSource(header=value.lower())
    pattern = _pattern(option, value)
    if pattern.groups != 1:
        raise _Wrong(option, "expected one group, the version, as in 'version ([0-9.]+)'; found %d" % pattern.groups)
    return VersionSource(pattern=pattern)


def _pattern(option: str, text: str) -> Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise _Wrong(option, "'%s' is no regular expression: %s" % (text, error)) from error


def _path(option: str, text: str) -> json_path.Steps:
    try:
        return json_path.parse(text)
    except ValueError as error:
        raise _Wrong(option, str(error)) from error


class _Trust:
    """Makes TLS contexts, one for each set of options: to load the system's certificates takes its time."""

    def __init__(self) -> None:
        self._contexts: Dict[Tuple[Any, ...], ssl.SSLContext] = {}

    def context(self, options: Mapping[str, Any]) -> ssl.SSLContext:
        names = ("validate_certs", "ca_path", "client_cert", "client_key")
        key = tuple(options.get(name) for name in names)
        if key not in self._contexts:
            self._contexts[key] = _context(*key)
        return self._contexts[key]


def _context(
    validate_certs: bool | None, ca_path: str | None, client_cert: str | None, client_key: str | None
) -> ssl.SSLContext:
    try:
        in_folder = ca_path is not None and os.path.isdir(ca_path)
        context = ssl.create_default_context(
            cafile=None if in_folder else ca_path, capath=ca_path if in_folder else None
        )
    except OSError as error:
        raise _Wrong("ca_path", "%s holds no certificate that can be read: %s" % (ca_path, _why(error))) from error
    if validate_certs is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert is not None:
        option = "client_key" if client_key else "client_cert"
        try:
            # An empty passphrase: without one, OpenSSL would ask for it at the terminal, and wait.
            context.load_cert_chain(client_cert, client_key, password="")
        except (OSError, ValueError) as error:
            problem = "no certificate with its key (without passphrase) could be loaded: %s" % _why(error)
            raise _Wrong(option, problem) from error
    return context


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "unknown format").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
