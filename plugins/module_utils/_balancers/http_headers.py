# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Request headers that a user gives: which of them can be sent, and which of them are no secrets.  Pure."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, Mapping, Set
from urllib.parse import urlsplit

from .._domain.errors import InvalidInput
from .._health.redaction import HARMLESS

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_ADDRESS = re.compile(r"[0-9.]+|.*:.*")
# They say where a request ends and how long the connection lasts, which the client must decide.
_CLIENTS_OWN = frozenset(
    "accept-encoding connection content-length expect te trailer transfer-encoding upgrade".split()
)


def sendable(title: str, given: Mapping[str, Any] | None) -> Dict[str, str]:
    """The headers as text, ready to be sent.

    :param title: of the interface, for messages.
    :raises InvalidInput: for a name or value that no request can have; no value is repeated, because it may be a secret.
    """
    headers: Dict[str, str] = {}
    for number, (name, value) in enumerate((given or {}).items(), 1):
        name = str(name).strip()
        if not _NAME.fullmatch(name):
            raise _impossible(title, "the name of header %d has a character that no header's name can have" % number)
        if name.lower() in _CLIENTS_OWN:
            raise _impossible(title, "%s is set by the client itself" % name)
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise _impossible(title, "the value of %s is neither text nor a number" % name)
        headers[name] = str(value).strip(" \t")
        if not is_value(headers[name]):
            raise _impossible(
                title, "the value of %s has a line break or another character that no header can have" % name
            )
        if name.lower() == "host" and not name_in(headers[name]):
            raise _impossible(title, "the value of %s is not host or host:port" % name)
    if len({name.lower() for name in headers}) < len(given or {}):
        raise _impossible(title, "two of them have the same name; capital letters make no difference")
    return headers


def is_value(text: str) -> bool:
    """Whether a header can have this value."""
    return _VALUE.fullmatch(text) is not None


def merged(given: Mapping[str, str], own: Mapping[str, str]) -> Dict[str, str]:
    """Both, with our `own` in the place of those `given` under the same name."""
    names = {name.lower() for name in own}
    return {**{name: value for name, value in given.items() if name.lower() not in names}, **own}


def value_of(headers: Mapping[str, str], wanted: str) -> str | None:
    """The value of the header `wanted`, in lower case, if it is there."""
    return next((value for name, value in headers.items() if name.lower() == wanted), None)


def name_in(host: str) -> str:
    """The name in ``host:port``, without brackets; empty where there is none."""
    try:
        parts = urlsplit("//" + host)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        return ""
    whole = parts.netloc == host and "@" not in host and not re.search(r"\s", host)
    return (parts.hostname or "") if whole and port_is_fine else ""


def is_address(host: str) -> bool:
    """Whether this is an IP address rather than a name."""
    return _ADDRESS.fullmatch(host) is not None


def readable(entries: Any) -> Set[str]:
    """Values of headers in entries of `balancers` that are no secrets, ``Host`` for example.

    Ansible masks each value of a secret option wherever it occurs in a result: ``Host: lb1`` would take the balancer's name out of it.
    """
    return set(_harmless(entries))


def _harmless(entries: Any) -> Iterator[str]:
    for entry in entries if isinstance(entries, list) else ():
        headers = entry.get("headers") if isinstance(entry, dict) else None
        for name, value in (headers or {}).items() if isinstance(headers, dict) else ():
            if str(name).strip().lower() in HARMLESS:
                yield str(value)


def _impossible(title: str, why: str) -> InvalidInput:
    return InvalidInput("`headers` for %s: %s. Nothing was sent." % (title, why))
