# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last look at the balancers, before anything is said of how a rollout ended: who is out of traffic, and by whose hand.  Pure."""

from __future__ import annotations

from typing import Any, Collection, Mapping

from .members import DOWN, ENABLED
from .sentences import ended, failures_sentence

AS_FOUND = "Out of traffic before the rollout, and left so"
UNKNOWN = "Out of traffic, by no rollout that the journal knows"
CHANGED = "Out of traffic now, by another hand"
FAILING = "In traffic, and failing the balancers' checks now"


def last_look(
    members: Mapping[str, str],
    before: Mapping[str, Mapping[str, Mapping[str, Any]]],
    left_out: Collection[str],
    look: Mapping[str, Any],
) -> list[str]:
    """Sentences about hosts that are out of traffic now; none where all of them are in traffic.

    :param members: of the hosts that the end speaks of, by host.
    :param before: what each member was before the rollout, by balancer; empty where there was no rollout.
    :param left_out: hosts of which the end says already that they are out.
    :param look: what `pool_info` returned, failed or not.
    """
    if "balancers" not in look:
        why = ended(str(look.get("msg") or "no answer"))
        return [f"The balancers could not be read once more at the end, so this is what each step saw: {why}"]
    found: dict[str, dict[str, str]] = {title: {} for title in (AS_FOUND, UNKNOWN, CHANGED, FAILING)}
    for host, member in members.items():
        out = {
            one["name"]: seen
            for one in look["balancers"]
            for seen in one["members"]
            if seen["name"] == member and _out(seen)
        }
        if not out or host in left_out:
            continue
        if all(seen["state"] == ENABLED and seen["health"] == DOWN for seen in out.values()):
            title = FAILING
        elif not before:
            title = UNKNOWN
        else:
            title = AS_FOUND if all(_was_out(before.get(name, {}).get(member)) for name in out) else CHANGED
        found[title][host] = " and ".join(f"{_out(seen)} on {name}" for name, seen in out.items())
    return [f"{title}: {failures_sentence(hosts)}" for title, hosts in found.items() if hosts]


def _was_out(kept: Mapping[str, Any] | None) -> bool:
    """Whether a member that was kept so took no requests; see :func:`.members.kept_state`."""
    return kept is not None and not (kept.get("effective", kept["state"]) == ENABLED and kept["weight"] != 0)


def _out(seen: Mapping[str, Any]) -> str:
    """Why a member takes no new requests, in a word; empty when it does."""
    if seen["state"] != ENABLED:
        return str(seen["state"])
    if seen["health"] == DOWN:
        return "failing its check"
    return "of weight 0" if seen["weight"] == 0 else ""
