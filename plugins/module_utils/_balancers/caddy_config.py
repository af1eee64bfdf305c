# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handlers anywhere in Caddy's configuration, and the servers that they share.  Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, Iterator, List, Tuple

from .._domain.pools import OtherPool
from .caddy_handler import dials, is_note

PROXY = "reverse_proxy"
_NETWORK = re.compile(r"(?:tcp[46]?|udp[46]?)/")


def proxies(configuration: Any) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Every handler that has upstreams, however deep, with its path in the configuration; our own notes left out."""
    left: List[Tuple[str, Any]] = [("", configuration)]
    while left:
        path, value = left.pop()
        entries: Any = ()
        if isinstance(value, dict):
            if "handler" in value and (value["handler"] == PROXY or "upstreams" in value):
                yield path.lstrip("/"), value
            entries = value.items()
        elif isinstance(value, list):
            entries = enumerate(value)
        left += [(f"{path}/{key}", entry) for key, entry in entries if not is_note(entry)]


def is_pool(described: Any) -> bool:
    """Whether this is a ``reverse_proxy`` that has an ``@id``."""
    return isinstance(described, dict) and described.get("handler") == PROXY and "@id" in described


def other_pools(configuration: Any, pool: str, members: List[str]) -> List[OtherPool]:
    """Handlers that dial the addresses of `members`, other than the handler `pool` itself."""
    ours = {server(member): member for member in members}
    found = []
    for path, described in proxies(configuration):
        if is_pool(described) and str(described["@id"]) == pool:
            continue
        shared = {ours[key] for key in map(server, dials(described)) if key in ours}
        if shared:
            named = is_pool(described)
            reason = "same address" if named else "same address; give this handler an `@id` to make a pool of it"
            found.append(
                OtherPool(str(described["@id"]) if named else path, tuple(m for m in members if m in shared), reason)
            )
    return sorted(found, key=lambda other: other.name)


def server(dial: str) -> str:
    """An address in the one form that all its spellings share: ``TCP/LocalHost:80`` is ``127.0.0.1:80``."""
    dial = _NETWORK.sub("", dial.strip().lower(), count=1)
    host, colon, port = dial.rpartition(":")
    if not colon or "/" in dial:
        return dial
    host = host.strip("[]").rstrip(".")
    if host in ("", "localhost"):
        host = "127.0.0.1"
    try:
        host = str(ipaddress.ip_address(host))
    except ValueError:
        pass
    return f"{host}:{port}"
