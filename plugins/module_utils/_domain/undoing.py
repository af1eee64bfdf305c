# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What undoes a rollout, from its journal.  Pure."""

from __future__ import annotations

from typing import Any, Mapping

from .events import PROMOTED, STEP_BEGUN, SWITCH_BEGUN, SWITCHED_BACK, SWITCHING, TO_UNDO
from .places import under_present_hosts, under_present_names

BLUE_GREEN = "blue_green"
DEPLOYED = ("succeeded", "succeeded_with_failures", "rollback_failed", "abandoned")
UNDONE = ("rolled_back",)  # what came before such a one is not what "the last rollout" means to anybody


def way_back(known: dict[str, Any], balancers: list[dict[str, Any]], members: Mapping[str, str]) -> dict[str, Any]:
    """What a rollback has to undo: the rollout that was never finished, else the last one, unless it is undone already.

    :param known: what `rollout` with `action: read` returned.
    :param balancers: what `pool_info` returned, and
    :param members: of the service's hosts by host; they say what the journal's balancers and hosts are called now.
    :return: ``version`` and ``strategy`` to begin with, ``record`` (what the new journal must be told first, empty
        when an unfinished one is gone on with), and the keys of :func:`undo_plan`.
    """

    def present(journal: dict[str, Any]) -> dict[str, Any]:
        before = under_present_names(journal.get("before") or {}, balancers)
        return {**journal, "before": under_present_hosts(before, members)}

    unfinished = known.get("journal")
    if unfinished:
        return {
            "version": unfinished["version"],
            "strategy": unfinished["strategy"],
            "record": {},
            **undo_plan(present(unfinished)),
        }
    for done in known["history"]:
        if done["outcome"] in UNDONE:
            break
        plan = undo_plan(present(done)) if done["outcome"] in DEPLOYED else {"hosts": [], "switch": {}}
        if plan["hosts"] or plan["switch"]:
            record = {"groups": list(reversed(plan["groups"])), "undoes": done["id"], "switched": bool(plan["switch"])}
            return {"version": done["version"], "strategy": "rollback", "record": record, **plan}
    return {"version": "none", "strategy": "rollback", "record": {}, **undo_plan(None)}


def undo_plan(journal: dict[str, Any] | None) -> dict[str, Any]:
    """Which hosts a rollout has touched, last batch first, and what they are to be again.

    :param journal: of the rollout; None when there is none.
    :return: ``hosts``, ``batches`` (sizes), ``groups``, ``before``, ``shares`` (members of other hosts, which a canary may have left
        at other weights), and ``switch``, what :func:`switch_back` returns: there the hosts
        that were deployed to are out of traffic again, and that is all.
    """
    blue_green = (journal or {}).get("strategy") == BLUE_GREEN
    groups: list[list[str]] = []  # what is touched at this point of the story, in the order in which it was
    fresh: list[str] = []
    names = ((journal or {}).get("before") or {}).get("names") or {}
    for event in (journal or {}).get("events", []):
        gone: set[str] = set()
        hosts = [names.get(host, host) for host in event["hosts"]]
        if event["event"] == TO_UNDO:
            groups += [[names.get(host, host) for host in group] for group in event["details"]["groups"]]
        elif event["event"] == "batch_begun" and not blue_green:
            known = {host for group in groups for host in group}
            fresh = [host for host in hosts if host not in known]
            groups.append(fresh)
        elif event["event"] == "batch_refused":
            # An attempt before this one may have touched the others; they are still to be undone.
            gone = {*fresh}.intersection(hosts)
        elif event["event"] == "undone":
            gone = {*hosts}
        groups = [[host for host in group if host not in gone] for group in groups]
    left = [group for group in reversed(groups) if group]
    return {
        "hosts": [host for group in left for host in group],
        "batches": [len(group) for group in left],
        "groups": left,
        "before": _in_line(journal or {}),
        "shares": _at_odd_shares(journal or {}, left),
        "switch": switch_back(journal or {}),
    }


def _in_line(journal: dict[str, Any]) -> dict[str, Any]:
    """What was before; a host of which nobody knows the version, since it was lost then, is to have the one that all the others had."""
    before: dict[str, Any] = journal.get("before") or {}
    versions = before.get("versions") or {}
    known = {version for version in versions.values() if version}
    if len(known) != 1 or known == {journal.get("version")}:
        return before
    (all_had,) = known
    return {**before, "versions": {host: version or all_had for host, version in versions.items()}}


def _at_odd_shares(journal: dict[str, Any], groups: list[list[str]]) -> list[str]:
    """Members of hosts that are not undone, and whose weights a canary's step may have changed."""
    odd = False
    for event in journal.get("events", []):
        odd = event["event"] == STEP_BEGUN or (odd and event["event"] != PROMOTED)
    undone = {host for group in groups for host in group}
    members = (journal.get("before") or {}).get("members") or {}
    return [member for host, member in members.items() if odd and host not in undone]


def switch_back(journal: dict[str, Any]) -> dict[str, Any]:
    """To which colour a rollback switches, from a blue-green rollout's journal.

    :return: ``hosts`` of the colour that was live before, ``live`` and ``idle`` as before the switch, ``split``, ``versions``;
        empty where nothing was switched, or it is switched back already.
    """
    switched = False
    for event in journal.get("events", []):
        began = event["event"] in (SWITCH_BEGUN, SWITCHING) or bool(event["details"].get("switched"))
        switched = began or (switched and event["event"] != SWITCHED_BACK)
    colors = (journal.get("before") or {}).get("colors") or {}
    if not switched or not colors:
        return {}
    live = colors["live"]
    return {
        "live": live,
        "idle": next(color for color in colors["members"] if color != live),
        "hosts": list(colors["members"][live]),
        "split": {color: list(of.values()) for color, of in colors["members"].items()},
        "versions": colors["versions"].get(live, {}),
    }
