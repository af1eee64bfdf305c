# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a rollout, observed rather than remembered.  Pure: plain data in, plain data out.

What is observed comes from the balancers (states, weights, health) and from the hosts (the version that runs).  What
cannot be observed, because an earlier attempt has changed it, comes from that attempt's journal and wins.
"""

from __future__ import annotations

import json
from typing import Any, Dict

from . import guard
from .balancer_plan import balancer_problems, plan_lines
from .batches import as_list, batch_sizes, grouped, in_order, of_whole_groups
from .canary_plan import plan_part
from .errors import InvalidInput
from .members import DISABLED, ENABLED, Member, as_recorded, kept_state
from .needs import Asks, unmet
from .places import places, under_present_hosts, under_present_names
from .sentences import listed


def rollout_plan(
    targets: list[dict[str, Any]],
    balancers: list[dict[str, Any]],
    health: list[dict[str, Any]],
    known_before: dict[str, Any],
    options: dict[str, Any],
) -> dict[str, Any]:
    """Which hosts get the release, in which batches, and what they were before.

    :param targets: hosts of the rollout: ``host``, ``member``, ``domain``, ``address`` (as far as the inventory has it), ``check`` (how
        the controller asks for its health; None where it does not).
    :param balancers: what `pool_info` returned.
    :param health: what `health_check` returned for the hosts: ``name``, ``healthy``, ``version``, ``seen``.
    :param known_before: `before` of an unfinished rollout, else empty.
    :param options: ``version``, ``batches``, ``first``, ``min_available``, ``health`` (fresh or none), ``drain_wait``,
        ``on_drain_timeout``, ``warmup``, ``accept_errors``, ``no_way_back`` (refuse or accept), ``undo_hook`` (whether the user
        has a hook that undoes); for a canary also ``canary``, see :func:`.canary_plan.plan_part`.
    :return: ``hosts`` and ``batches`` (sizes), ``groups`` and ``group_of`` (the number of a host's group), ``left_alone``,
        ``there`` (those of the hosts that need no deployment), ``before``, ``canary``, ``problems``: sentences that speak against
        beginning, and ``lines``: the plan as a person reads it.
    """
    watched = options.get("canary") or {}
    before = _before(targets, balancers, health, known_before)
    seen = {balancer["name"]: {member["name"]: member for member in balancer["members"]} for balancer in balancers}
    done = {host["name"] for host in health if _on_version(host, options["version"])}
    done = {t["host"] for t in targets if t["host"] in done and _as_before(t["member"], seen, before)}
    done -= {*watched.get("hosts", [])}  # who was in the canary before the run ended is in it still
    leading: list[str] = []
    if watched and len(done) < len(targets):
        # Whoever else users get the version from cannot be compared with, so they are in the canary too, or wait for their batch.
        leading = [t["host"] for t in targets if t["host"] in done and _in_traffic(t["member"], seen)]
        done -= {*leading}
    left_alone = [target["host"] for target in targets if target["host"] in done]
    working = [target for target in targets if target["host"] not in done]
    problems = _problems(targets, working, balancers, options)
    addresses = {target["member"]: target.get("address", "") for target in targets}
    leaving = [target["member"] for target in working]
    problems += balancer_problems(balancers, leaving, {**options, "addresses": addresses}) if working else []
    problems += _no_way_back(working, health, before, options) + _nobody_healthy(targets, seen, health, options)
    hosts: list[str] = []
    sizes: list[int] = []
    part: dict[str, Any] = {}
    try:
        # Who is out already costs nobody anything, and coming back makes room for the rest.
        idle = [t["host"] for t in working if not _in_traffic(t["member"], seen)]
        domains = {t["host"]: t.get("domain", "") for t in working}
        hosts = in_order([t["host"] for t in working], [*watched.get("hosts", []), *_first(options), *idle, *leading], domains)
        if watched and hosts:
            current = {host["name"] for host in health if _on_version(host, options["version"])}
            there = [t["host"] for t in targets if t["host"] in current and _in_traffic(t["member"], seen)]
            split = {key: options[key] for key in ("health", "accept_errors") if key in options}
            part = plan_part(hosts, targets, balancers, before, there, {**watched, "split": split})
            problems += part.pop("problems")
            sizes = [len(group) for group in part["groups"]]
        sizes += batch_sizes(options["batches"], len(hosts) - sum(sizes))
        if not problems:
            problems += _too_large(grouped(hosts, sizes), targets, balancers, before, options["min_available"])
    except InvalidInput as error:
        problems.append(error.message)
    groups = grouped(hosts, sizes)
    return {
        "hosts": hosts,
        "batches": sizes,
        "groups": groups,
        "group_of": {host: number for number, group in enumerate(groups) for host in group},
        "left_alone": left_alone,
        "before": before,
        # Deployed to by an earlier attempt. Where one of a batch is not, all of it is done anew, so that it goes on together.
        "there": of_whole_groups(groups, [*part.pop("there", []), *leading]),
        "canary": part,
        "problems": problems,
        "lines": plan_lines(options.get("name", "Rollout"), groups, balancers, options),
    }


def states_before(before: dict[str, Any], members: list[str]) -> dict[str, dict[str, Any]]:
    """What these members alone were, by balancer. Ansible goes through all that a task is given, which takes a while for a fleet.

    :param before: of a plan.
    """
    return {
        name: {member: of[member] for member in members if member in of} for name, of in before["balancers"].items()
    }


def _first(options: dict[str, Any]) -> list[str]:
    return as_list(options.get("first") or [])


def _before(
    targets: list[dict[str, Any]],
    balancers: list[dict[str, Any]],
    health: list[dict[str, Any]],
    known: dict[str, Any],
) -> dict[str, Any]:
    members = {target["member"] for target in targets}
    known = under_present_hosts(under_present_names(known, balancers), {target["host"]: target["member"] for target in targets})
    states = {
        b["name"]: {
            m["name"]: kept_state(m) for m in b["members"] if m["name"] in members
        }
        for b in balancers
    }
    for balancer, of_members in (known.get("balancers") or {}).items():
        states.setdefault(balancer, {}).update(of_members)
    versions = versions_before({host["name"]: host.get("version") for host in health}, known.get("versions") or {})
    return {
        "balancers": states,
        "places": places(balancers),
        "versions": versions,
        "members": {t["host"]: t["member"] for t in targets},
        **({"names": known["names"]} if known.get("names") else {}),
    }


def versions_before(seen: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Which release each host had before the rollout, None where nobody can tell.

    A host that could not be asked when the rollout began may be asked now. It is taken at its word where it says what another host has
    or had; anything else may be what an earlier attempt has put there.

    :param seen: what the hosts say now.
    :param known: what an unfinished rollout has found before it, or is owed to those that one has left out.
    """
    others = {version for version in (*known.values(), *(seen[host] for host in seen if host not in known)) if version}
    late = {host: version for host, version in seen.items() if version in others}
    return {**seen, **{host: version or late.get(host) for host, version in known.items()}}


def _on_version(host: dict[str, Any], version: str) -> bool:
    return bool(host["healthy"]) and host.get("version") == version


# What every balancer shows of each member, by name.
Seen = Dict[str, Dict[str, Dict[str, Any]]]


def _as_before(member: str, seen: Seen, before: dict[str, Any]) -> bool:
    for balancer, members in seen.items():
        wanted, now = before["balancers"].get(balancer, {}).get(member), members.get(member)
        if wanted and now and not as_recorded(now, wanted):
            return False
    return True


def _on_each(member: str, seen: Seen) -> list[Member]:
    return [Member(**members[member]) for members in seen.values() if member in members]


def _in_traffic(member: str, seen: Seen) -> bool:
    return any(now.available for now in _on_each(member, seen))


def _problems(
    targets: list[dict[str, Any]],
    working: list[dict[str, Any]],
    balancers: list[dict[str, Any]],
    options: dict[str, Any],
) -> list[str]:
    problems = []
    known_hosts = {target["host"] for target in targets}
    strangers = [host for host in _first(options) if host not in known_hosts]
    if strangers:
        problems.append(f"rolling_first names {', '.join(strangers)}, which the rollout does not reach.")
    by_member: dict[str, list[str]] = {}
    for target in targets:
        by_member.setdefault(target["member"], []).append(target["host"])
    for member, sharing in by_member.items():
        if len(sharing) > 1:
            problems.append(f"{', '.join(sharing)} are all member {member}: give each host its own rollout_member.")
    for sharing in _of_one_check(targets):
        problems.append(
            f"rollout_health asks {' and '.join(sharing)} in one and the same way, so that one answers for the other: give each an address "
            "of its own, or leave out of rollout_hosts what is the same host under another name."
        )
    for balancer in balancers:
        members = {member["name"]: member for member in balancer["members"]}
        where = f"Balancer {balancer['name']}, pool {balancer['pool']}"
        missing = [t["member"] for t in targets if t["member"] not in members]
        if missing:
            problems.append(
                f"{where} has no member {', '.join(missing)}; its members are {', '.join(members) or 'none'}. "
                "Set rollout_member where a host has another name there."
            )
        problems += _unmet(where, balancer, [members[t["member"]] for t in working if t["member"] in members], options)
        blind = [t["member"] for t in working if t["member"] in members and not members[t["member"]]["checked"]]
        if blind and options["health"] == "fresh" and balancer["capabilities"]["fresh_health"]:
            problems.append(
                f"{where} has no health check for {', '.join(blind)}, so nothing tells when they may take traffic again. "
                "Add one, or accept it with traffic_health: none."
            )
    return problems


def _of_one_check(targets: list[dict[str, Any]]) -> list[list[str]]:
    """Hosts whose health checks are the same."""
    by_check: dict[str, list[str]] = {}
    for target in targets:
        if target.get("check"):
            by_check.setdefault(json.dumps(target["check"], sort_keys=True, default=str), []).append(target["host"])
    return [sharing for sharing in by_check.values() if len(sharing) > 1]


def _unmet(where: str, balancer: dict[str, Any], working: list[dict[str, Any]], options: dict[str, Any]) -> list[str]:
    """What a rollout asks of the balancer of each of its hosts: leave for good, and come back."""
    if not working:
        return []
    asks = Asks(
        state=DISABLED,
        returns=True,
        health=options["health"],
        drain_wait=float(options["drain_wait"]),
        on_drain_timeout=options["on_drain_timeout"],
        warmup=tuple(int(step) for step in options["warmup"]),
        own_weights={member["name"]: member["weight"] for member in working},
        writes=True,
        accept_errors=bool(options.get("accept_errors")),
    )
    return unmet(where, balancer["provider"], balancer["capabilities"], asks, prefix="traffic_")


def _no_way_back(
    working: list[dict[str, Any]], health: list[dict[str, Any]], before: dict[str, Any], options: dict[str, Any]
) -> list[str]:
    """A host that serves a release which nobody can name could not be brought back to it."""
    if options.get("undo_hook") or options.get("no_way_back") == "accept":
        return []
    serving = {host["name"] for host in health if host["healthy"]}
    nameless = [t["host"] for t in working if t["host"] in serving and not before["versions"].get(t["host"])]
    if not nameless:
        return []
    return [
        f"Nothing tells which release runs on {', '.join(nameless)}, so a failed rollout could not be undone there. Let "
        "rollout_health name where the version is found (version, version_header or version_pattern), write a hook "
        "on_rollback.yml, or accept it with rolling_no_way_back: accept."
    ]


def _nobody_healthy(
    targets: list[dict[str, Any]], seen: Seen, health: list[dict[str, Any]], options: dict[str, Any]
) -> list[str]:
    """A check that fails on every host while the balancers see them well asks for the wrong thing."""
    if options.get("no_way_back") == "accept" or any(host["healthy"] for host in health):
        return []
    answers = {host["name"]: host["seen"] for host in health}
    well = [t["host"] for t in targets if t["host"] in answers and _seen_well(t["member"], seen)]
    if not well:
        return []
    return [
        f"rollout_health finds none of the hosts healthy ({well[0]}: {answers[well[0]].rstrip('.')}), while every balancer has "
        f"{listed(well)} in traffic with its own check passing. It would find them no healthier after the rollout, or after a way back. "
        "Correct rollout_health, or accept it with rolling_no_way_back: accept."
    ]


def _seen_well(member: str, seen: Seen) -> bool:
    found = _on_each(member, seen)
    return bool(found) and all(now.available and now.checked for now in found)


def _too_large(
    groups: list[list[str]],
    targets: list[dict[str, Any]],
    balancers: list[dict[str, Any]],
    before: dict[str, Any],
    min_available: str,
) -> list[str]:
    """Play the batches through on each balancer: a batch that is out now is back when the next one leaves."""
    member_of = {target["host"]: target["member"] for target in targets}
    for balancer in balancers:
        everyone = [Member(**member) for member in balancer["members"]]
        members = guard.of_tier(everyone, guard.carrying(everyone))
        floor, available = guard.minimum(min_available, len(members)), {m.name for m in members if m.available}
        for number, group in enumerate(groups, 1):
            names = {member_of[host] for host in group}
            left = available - names
            if len(left) < min(floor, len(available)):
                return [
                    f"Batch {number} ({', '.join(group)}) would leave {len(left)} of {len(members)} members of pool {balancer['pool']} "
                    f"available on balancer {balancer['name']}, and the minimum is {floor} (traffic_min_available: {min_available}). "
                    "Make rolling_batches smaller, bring other members back, or lower the minimum."
                ]
            states = before["balancers"][balancer["name"]]
            available = left | {
                name for name in names if states[name]["state"] == ENABLED and states[name]["weight"] > 0
            }
    return []
