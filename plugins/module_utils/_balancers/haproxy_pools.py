# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which other backends of a HAProxy the servers of one are too.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Dict, Iterable, Iterator, List, Set, Tuple

from .._domain.pools import OtherPool

Place = Tuple[str, str]  # backend and server


@dataclass(frozen=True)
class Listed:
    """A server of any backend.

    :param address: where it is; None where it has no address at the moment, or none that tells it from others.
    :param tracked: the server that it tracks, ``backend/server``, or empty.
    """

    pool: str
    name: str
    address: str | None
    tracked: str = ""


def comparable(host: str, port: str) -> str | None:
    """An address in the one form that can be compared; None for a server without one.

    A slot of a `server-template` that has not been resolved shows ``-`` or ``0.0.0.0``; so does a server at a unix socket, and one to
    which HAProxy passes the client's own destination.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return None if address.is_unspecified else f"{address} {port}"


def others(pool: str, servers: Iterable[Listed]) -> List[OtherPool]:
    """The other backends through which requests reach servers of `pool`, in HAProxy's order.

    By the same address, and by tracking: a server that tracks another leaves and returns with it, so both are the same to who set
    that up, whatever their addresses are.
    """
    known = list(servers)
    ours = [server for server in known if server.pool == pool]
    at: Dict[str, List[str]] = {}
    for server in ours:
        if server.address:
            at.setdefault(server.address, []).append(server.name)
    tracks = {(server.pool, server.name): _place(server.tracked) for server in known if server.tracked}
    above: Dict[Place, List[str]] = {}
    for server in ours:
        for place in _chain((pool, server.name), tracks):
            above.setdefault(place, []).append(server.name)
    found: Dict[str, Dict[str, Set[str]]] = {}
    for other in known:
        if other.pool == pool:
            continue
        here = (other.pool, other.name)
        reasons = found.setdefault(other.pool, {})
        for name in at.get(other.address or "", ()):
            reasons.setdefault("same address", set()).add(name)
        for theirs, name in _chain(here, tracks):
            if theirs == pool:
                reasons.setdefault(f"tracks {pool}/{name}", set()).add(name)
        for name in above.get(here, ()):
            reasons.setdefault(f"{name} tracks {other.pool}/{other.name}", set()).add(name)
    return [_other(name, reasons, ours) for name, reasons in found.items() if reasons]


def _place(text: str) -> Place:
    # A colon or a dot may be in a name, a slash may not.
    pool, _slash, name = text.partition("/")
    return pool, name


def _chain(start: Place, tracks: Dict[Place, Place]) -> Iterator[Place]:
    """All that it tracks, by way of others too."""
    seen = {start}
    while start in tracks and tracks[start] not in seen:
        start = tracks[start]
        seen.add(start)
        yield start


def _other(name: str, reasons: Dict[str, Set[str]], ours: Iterable[Listed]) -> OtherPool:
    members = tuple(server.name for server in ours if any(server.name in names for names in reasons.values()))
    words = [reason for reason in reasons if reason == "same address"]
    tracking = [reason for reason in reasons if reason != "same address"]
    if tracking:
        more = f" and {len(tracking) - 1} more" if len(tracking) > 1 else ""
        words.append(tracking[0] + more)
    return OtherPool(name, members, ", ".join(words))
