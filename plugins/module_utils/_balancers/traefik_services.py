# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik's services, as its API and its files describe them: who leads to whom, and where their servers are.  Pure.

https://doc.traefik.io/traefik/reference/routing-configuration/http/load-balancing/service/
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, Iterator, List, Set
from urllib.parse import urlsplit

from .._domain.pools import OtherPool, Timing
from .traefik_file import OURS

FILE = "@file"  # how the API ends the name of a service of the file provider
# Kinds of services that have no servers of their own, and lead to other services.
COMPOSITE = ("failover", "weighted", "mirroring", "highestRandomWeight")
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
DURATION = re.compile(r"([0-9]+(?:[.][0-9]+)?)(h|ms|m|us|µs|ns|s)")

Services = Dict[str, Dict[str, Any]]  # by name with provider


def qualified(name: str, provider: str = "file") -> str:
    """The name with its provider, as the API has it."""
    return name if "@" in name else "%s@%s" % (name, provider)


def as_pool(name: str) -> str:
    """A service's name as the option `pool` takes it: without the provider where that is the file provider."""
    return name[: -len(FILE)] if name.endswith(FILE) else name


def in_file(services: Any) -> Services:
    """The services of a file, by their names in the API; those that make no sense are left out."""
    return {qualified(str(name)): about for name, about in _dict(services).items() if isinstance(about, dict)}


def by_name(listed: Any) -> Services:
    """The services that the API lists, by name."""
    return {str(about["name"]): about for about in listed if isinstance(about, dict) and about.get("name")}


def kind(described: Any) -> str:
    """Which of :data:`COMPOSITE` a service is; empty for all others."""
    return next((kind for kind in COMPOSITE if isinstance(_dict(described).get(kind), dict)), "")


def below(services: Services, name: str) -> Dict[str, bool]:
    """The services with servers that a composite one leads to, in its order.

    :return: each name to whether it gets requests only while another service has no server that is up: a failover's fallback.
    """
    found: Dict[str, bool] = {}
    ahead, seen = [(name, False)], set()
    while ahead:
        at, waits = ahead.pop(0)
        if at in seen:
            continue
        seen.add(at)
        about = services.get(at)
        if kind(about):
            fallback = _fallback(about, at)
            ahead = [(child, waits or child == fallback) for child in _children(about, at)] + ahead
        elif at != name:
            found[at] = waits
    return found


def address(where: str) -> str:
    """``host:port`` of a URL or an address, in the one way of writing it; empty when it is none."""
    try:
        parsed = urlsplit(where if "//" in where else "//" + where)
        host, port = parsed.hostname or "", parsed.port or (443 if parsed.scheme == "https" else 80)
    except ValueError:
        return ""
    try:
        ip = ipaddress.ip_address(host)
        host = str(getattr(ip, "ipv4_mapped", None) or ip)
    except ValueError:
        host = host.rstrip(".")
    return ("[%s]:%d" if ":" in host else "%s:%d") % (host, port) if host else ""


def others(own: str, addresses: Dict[str, str], http: Services, tcp: Services) -> List[OtherPool]:
    """The other services that have servers at these addresses.

    :param own: the service that was asked about, with its provider.
    :param addresses: of its servers, each to the member's name.
    """
    used = {child for services in (http, tcp) for name, about in services.items() for child in _children(about, name)}
    found: Dict[str, Set[str]] = {}
    reasons: Dict[str, str] = {}
    for services, prefix in ((http, ""), (tcp, "tcp/")):
        for name, about in services.items():
            service, provider = name.rpartition("@")[::2]
            # What is kept beside a pool, of servers that are out, belongs to that pool.
            home = "%s@%s" % (service.partition(OURS)[0], provider)
            if not prefix and home == own:
                continue
            shared = {addresses[at] for at in _addresses(about) if at in addresses}
            if shared:
                pool = prefix + as_pool(home)
                found.setdefault(pool, set()).update(shared)
                if name == home:
                    reasons[pool] = _reason(bool(prefix), bool(about.get("usedBy")) or name in used)
    order = list(addresses.values())
    return [
        OtherPool(pool, tuple(sorted(members, key=order.index)), reasons.get(pool, "same address"))
        for pool, members in found.items()
    ]


def check_timing(described: Any) -> Timing:
    """How long a check takes that begins now, by the service's `healthCheck`; nothing known without one.

    Traefik checks one server after the other at each interval, the first time when one has passed, and those that are down at
    an interval of their own.
    """
    check = _dict(_dict(_dict(described).get("loadBalancer")).get("healthCheck"))
    given = {key: check[key] for key in ("interval", "unhealthyInterval", "timeout") if seconds(check.get(key))}
    if "interval" not in given or "timeout" not in given:
        return Timing()
    longest = max(seconds(given[key]) or 0.0 for key in ("interval", "unhealthyInterval") if key in given)
    source = ", ".join("%s %s" % (key, value) for key, value in given.items())
    return Timing(None, longest + (seconds(given["timeout"]) or 0.0), "%s of the service's healthCheck" % source)


def seconds(duration: Any) -> float | None:
    """A duration of Traefik's, such as ``1m30s``; None when it is none."""
    if not isinstance(duration, str) or not re.fullmatch("(?:%s)+" % DURATION.pattern, duration):
        return None
    return sum(float(number) * SECONDS[unit] for number, unit in DURATION.findall(duration))


def _fallback(described: Any, name: str) -> str:
    fallback = _dict(_dict(described).get("failover")).get("fallback")
    return qualified(fallback, _provider(name)) if isinstance(fallback, str) else ""


def _children(described: Any, name: str) -> Iterator[str]:
    """The services that one leads to, each with its provider: that of the service where none is named."""
    described = _dict(described)
    failover, mirroring = _dict(described.get("failover")), _dict(described.get("mirroring"))
    named = [failover.get("service"), failover.get("fallback"), mirroring.get("service")]
    lists = [
        mirroring.get("mirrors"),
        *(_dict(described.get(key)).get("services") for key in ("weighted", COMPOSITE[3])),
    ]
    named += [_dict(child).get("name") for children in lists if isinstance(children, list) for child in children]
    return (qualified(child, _provider(name)) for child in named if isinstance(child, str) and child)


def _addresses(described: Any) -> Iterator[str]:
    servers = _dict(_dict(described).get("loadBalancer")).get("servers")
    for server in servers if isinstance(servers, list) else []:
        where = _dict(server).get("url") or _dict(server).get("address")
        if isinstance(where, str):
            yield address(where)


def _reason(is_tcp: bool, is_used: bool) -> str:
    reason = "same address"
    if is_tcp:
        reason += ", a TCP service, which cannot be a pool"
    return reason if is_used else reason + ", no router or other service leads to it at the moment"


def _provider(name: str) -> str:
    return name.rpartition("@")[2]


def _dict(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}
