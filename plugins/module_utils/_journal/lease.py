# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease of a service: who may change it, until when, under which fencing number.

Pure functions from data and a time to new data.  The fencing number grows by one each time the lease is
taken and never goes back: a release keeps it.  Whoever writes shows the number, so that an owner who
lost the lease without noticing cannot write.
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from .._domain.errors import Refused
from . import owner as owners
from .times import epoch, iso, span

KIND = "zero_downtime.deploy/lease"
FORMAT = 1
FIELDS = {
    "service": str, "owner": (dict, type(None)), "fence": int, "rollout": (str, type(None)),
    "version": (str, type(None)), "ttl": (int, type(None)), "acquired": (str, type(None)),
    "renewed": (str, type(None)), "expires": (str, type(None)),
}
TIMES = ("acquired", "renewed", "expires")
ROUNDING = 2  # seconds

Lease = Dict[str, Any]


def unheld(service: str, fence: int = 0) -> Lease:
    """The lease of a service that nobody owns; `fence` is the last number given out."""
    return {
        "kind": KIND, "format": FORMAT, "service": service, "owner": None, "fence": fence, "rollout": None,
        "version": None, "ttl": None, "acquired": None, "renewed": None, "expires": None,
    }


def expired(lease: Lease, now: float) -> bool:
    """Whether the lease has an owner whose time has run out: anybody may take it, nobody has yet."""
    return lease["owner"] is not None and now >= epoch(lease["expires"])


def claim(lease: Lease, owner: Dict[str, Any], now: float, take_over: bool, dead_fence: Optional[int]) -> str:
    """On what ground `owner` may have the lease: ``ours``, ``free``, ``expired``, ``dead`` or ``take_over``.

    :param take_over: take a living lease from its owner.
    :param dead_fence: the owner under this fencing number is proven dead.
    :raises Refused: somebody else holds it; the facts carry ``holder``, the lease as told.
    """
    if lease["owner"] is None:
        return "free"
    if owners.same(lease["owner"], owner):
        return "ours"
    if expired(lease, now):
        return "expired"
    if dead_fence is not None and dead_fence == lease["fence"]:
        return "dead"
    if take_over:
        return "take_over"
    raise Refused(
        "The lease of service %s is held by %s. Nothing was changed. Wait until that rollout ends or its lease "
        "expires; or, when you know that its owner is gone, take it over with -e rollout_take_over=true "
        "(the module's option take_over: true)." % (lease["service"], held_by(lease, now)),
        holder=told(lease),
    )


def acquire(lease: Lease, fence: int, owner: Dict[str, Any], rollout: str, version: str, now: float, ttl: int) -> Lease:
    """The lease in the hands of `owner` for `ttl` seconds from `now`, under the new number `fence`."""
    if fence <= lease["fence"]:
        raise ValueError("a fencing number never goes back: %d after %d" % (fence, lease["fence"]))
    return dict(
        lease, owner=owner, fence=fence, rollout=rollout, version=version, ttl=ttl,
        acquired=iso(now), renewed=iso(now), expires=iso(now + ttl),
    )


def renew(lease: Lease, now: float, ttl: Optional[int] = None) -> Lease:
    """The lease good for `ttl` seconds from `now`; without one, for as long as its owner asked for before."""
    ttl = ttl or lease["ttl"]
    return dict(lease, ttl=ttl, renewed=iso(now), expires=iso(now + ttl))


def release(lease: Lease) -> Lease:
    """The lease without an owner; the fencing number stays."""
    return unheld(lease["service"], lease["fence"])


def by_clock(lease: Lease, left: int, now: float) -> Lease:
    """The lease with its times by another clock, which says `now`, when it is known otherwise how long it is still good for.

    Clocks of two controllers differ; only who counts down for all of them knows when a lease ends.

    :param left: whole seconds that it is still good for, rounded up; 0 when its time has run out.
    """
    if lease["owner"] is None:
        return lease
    said = epoch(lease["expires"])
    if left <= 0:
        return dict(lease, expires=iso(min(said, now)))
    apart = int(now) + left - said
    # The clocks agree, but for the rounding.
    if abs(apart) <= ROUNDING and not expired(lease, now):
        return lease
    return dict(lease, **{name: iso(epoch(lease[name]) + apart) for name in TIMES})


def demand(lease: Lease, fence: int, rollout: str, now: float) -> None:
    """Pass for the owner under `fence` only, also after its time when nobody took the lease since.

    :raises Refused: a late owner, a wrong number or another rollout's; the facts carry ``holder``.
    """
    if lease["owner"] is not None and lease["fence"] == fence and lease["rollout"] == rollout:
        return
    if lease["owner"] is None:
        who = "nobody holds it now (last number: %d)" % lease["fence"]
    else:
        who = "number %d is held by %s" % (lease["fence"], held_by(lease, now))
    raise Refused(
        "Rollout %s may not write to the journal of service %s: it showed the fencing number %d, and that lease is no "
        "longer its own; %s. Nothing was written. Stop this run; look at what the service is in (action: read), then "
        "begin again." % (rollout, lease["service"], fence, who),
        holder=told(lease),
    )


def held_by(lease: Lease, now: float) -> str:
    """Who holds the lease, since when, until when and for what, in words."""
    left = epoch(lease["expires"]) - now
    end = "expires in %s" % span(left) if left > 0 else "expired %s ago" % span(-left)
    return "%s since %s until %s (%s), for rollout %s (version %s)" % (
        owners.described(lease["owner"]), lease["acquired"], lease["expires"], end, lease["rollout"], lease["version"],
    )


def told(lease: Lease) -> Dict[str, Any]:
    """The lease as a result shows it: without what only the file needs, with whether anybody holds it."""
    shown = {key: value for key, value in lease.items() if key not in ("kind", "format")}
    return dict(shown, held=lease["owner"] is not None)


def line(lease: Lease) -> str:
    """The lease on one line, for a diff."""
    if lease["owner"] is None:
        return "lease: free\n"
    return "lease: held by %s for %s\n" % (owners.described(lease["owner"]), lease["rollout"])
