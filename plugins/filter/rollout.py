# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of the rollout roles: from Ansible's variables to the pure functions of the domain, and back."""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Provider
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS, problems
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import (
    canary,
    canary_plan,
    closing,
    color_story,
    colors,
    counted,
    course,
    felt_lines,
    fence,
    gates,
    history_lines,
    pauses,
    plan,
    recorded,
    sentences,
    standing,
    status,
    story,
    undoing,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.durations import seconds
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.past import pasts
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.times import epoch
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import (
    check_health,
    keep_journal,
    pass_gates,
    read_pool,
    set_members,
    split_traffic,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.fence import read

# Not for the filters: Ansible's main process loads this file with the lookup `rollout_hosts` when it reads a play, and each task's worker,
# a fork of it, then finds imported what it would import anew. Measured: 12 to 27 ms of every task that talks to a balancer, a host or the
# journal, 0.8 s of the processor's time in each run.
IMPORTED_FOR_WORKERS = (check_health, keep_journal, pass_gates, read_pool, set_members, split_traffic)

# Results of tasks, which have the lease as it was taken or renewed.
LEASED = ("__rollout_begun", "__rollback_begun", "__rollout_recorded", "__canary_recorded", "traffic_drained", "traffic_returned")
CANNOT_BE_REACHED = "cannot be reached, so it cannot be checked"
VERSION_OPTIONS = ("version", "version_header", "version_pattern")


def rollout_balancer_problems(balancers: Any) -> list[str]:
    """What is wrong with the balancers of a service, before any of them is asked."""
    return problems(json.loads(json.dumps(balancers, default=str)))


def rollout_members(hosts: list[str], hostvars: Mapping[str, Any]) -> list[str]:
    """What the pool calls each host."""
    return [_member(hostvars[host], host) for host in hosts]


def rollout_checks(
    hosts: list[str], hostvars: Mapping[str, Any], version: Any = "", failed: bool = False
) -> list[dict[str, Any]]:
    """One target of `health_check` for each host that has not failed already.

    :param version: that must run there: one for all, or by host; empty when any will do.
    :param failed: whether those that have failed are asked too.
    """
    targets = []
    for host in hosts:
        variables = hostvars[host]
        if variables.get("__rollout_failed") and not failed:
            continue
        check = dict(variables["rollout_health"])
        wanted = version.get(host) if isinstance(version, Mapping) else version
        if wanted and any(check.get(option) for option in VERSION_OPTIONS):
            check["expected_version"] = wanted
        targets.append({**check, "name": host})
    return targets


def rollout_failures(
    hosts: list[str], hostvars: Mapping[str, Any], checked: bool = True, suspects: list[str] | None = None
) -> dict[str, str]:
    """Who has failed and why: what a step kept, else what the last health check found.

    :param checked: whether the last health check is of this batch.
    :param suspects: who alone may have failed in a step; None when anybody may. To look at a host's variables takes about a
        millisecond.
    """
    failures = {}
    seen = _last_checks(hosts, hostvars) if checked else {}
    watched = {*(hosts if suspects is None else suspects)}
    for host in hosts:
        kept = hostvars[host].get("__rollout_failed") if host in watched else ""
        if kept:
            failures[host] = str(kept)
        elif host in seen and not seen[host]["healthy"]:
            failures[host] = ("" if seen[host].get("unreachable") else "not healthy, last seen: ") + seen[host]["seen"]
    return failures


def rollout_unready(hosts: list[str], hostvars: Mapping[str, Any], name: str) -> dict[str, str]:
    """Who cannot be deployed to and why.

    :param name: of the variable that has the result of the check on the host.
    """
    unready = {}
    for host in hosts:
        result = hostvars[host].get(name) or {}
        if result.get("unreachable") or result.get("failed"):
            unreachable = "unreachable: " if result.get("unreachable") else ""
            unready[host] = sentences.ended(unreachable + str(result.get("msg") or "the check ended without a reason"))
    return unready


def rollout_plan(
    hosts: list[str],
    hostvars: Mapping[str, Any],
    balancers: list[dict[str, Any]],
    before: dict[str, Any],
    options: dict[str, Any],
) -> dict[str, Any]:
    """See `_domain.plan.rollout_plan`; the hosts' versions are those of the last health check."""
    targets = []
    for host in hosts:
        variables = hostvars[host]
        domain = str(variables.get("rollout_domain") or "")
        address = str(variables.get("ansible_host") or "")
        check = None if variables.get("rollout_health_from") == "host" else dict(variables["rollout_health"])
        targets.append({"host": host, "member": _member(variables, host), "domain": domain, "address": address, "check": check})
    return plan.rollout_plan(targets, balancers, rollout_seen(hosts, hostvars), before, options)


def rollout_seen(hosts: list[str], hostvars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the last health check found on each host."""
    seen = _last_checks(hosts, hostvars)
    return [seen.get(host) or {"name": host, "healthy": False, "version": None, "seen": "not checked"} for host in hosts]


def rollout_planned(hostvars: Mapping[str, Any], plan_name: str, key: str, ours: bool = True) -> list[Any]:
    """One key of a plan, which is a fact of localhost; empty before there is a plan, and for a syntax check.

    :param ours: whether the play that asks is of the strategy that is gone on with; see the playbook promote.
    """
    if not ours:
        return []
    return list(hostvars.get("localhost", {}).get(plan_name, {}).get(key) or [])


def rollout_gate_problems(entries: Any, frozen: str, lease: Any) -> list[str]:
    """What is wrong with the gates of a rollout, before any of them is looked at."""
    return pass_gates.problems(json.loads(json.dumps(entries, default=str)), frozen, lease)


def rollout_paused(looked: Mapping[str, Any], point: str, number: Any = None) -> dict[str, Any]:
    """What the journal is to know of a rollout that stops at a gate; empty where the way is open.

    :param looked: the result of the module `gate`. One that failed is a gate that nobody could look at, and is not open.
    """
    if looked.get("state") == gates.OPEN:
        return {}
    asked = looked.get("state") == gates.WAITING
    return {
        "point": point,
        "number": int(number) if number else None,
        "why": str(looked.get("why") or looked.get("msg") or "the gates could not be looked at").rstrip("."),
        "waits_for": pauses.APPROVAL if asked else pauses.GATE,
    }


def rollout_unfinished(hostvars: Mapping[str, Any], ours: bool = True) -> list[str]:
    """The batch that did not come to its end, which is the last that began; nobody when all did, none was planned, or it has paused."""
    if not ours or hostvars.get("localhost", {}).get("__rollout_paused"):
        return []
    reached = {*hostvars.get("localhost", {}).get("__rolling_reached", [])}
    groups = rollout_planned(hostvars, "__rollout", "groups")
    return next((list(group) for group in groups if any(host not in reached for host in group)), [])


def rollout_standing(hostvars: Mapping[str, Any], host: str, suspects: list[str], most: Any) -> dict[str, Any]:
    """Where the batch of this host stands; see `_domain.standing`.

    :param suspects: see :func:`rollout_failures`.
    :param most: how many hosts may fail.
    """
    # Each look at a host's variables makes Ansible gather them anew.
    facts, own = hostvars["localhost"], hostvars[host]
    rollout = facts["__rollout"]
    hosts = list(rollout["groups"][rollout["group_of"][host]])
    known = {
        "reached": facts["__rolling_reached"],
        "failures": facts["__rolling_failures"],
        "canary": facts["__canary"],
        "paused": facts["__rollout_paused"],
    }
    results = [own.get(name) or {} for name in ("__rollout_recorded", "traffic_drained", "traffic_returned")]
    broken = rollout_failures(hosts, hostvars, checked=False, suspects=suspects)
    # Before a batch is drained, nothing of it has been checked, and each of its hosts would be looked at for a result.
    checked = results[1] or host in rollout["there"]
    steps = standing.Steps(*results, broken, rollout_failures(hosts, hostvars, suspects=suspects) if checked else broken)
    return standing.standing(rollout, host, known, steps, int(most))


def rollout_canary_known(begun: dict[str, Any]) -> dict[str, Any]:
    """What an unfinished canary has come to; nothing for one that begins."""
    return canary_plan.known_part(begun["journal"] if begun["resumed"] else None)


def rollout_canary_decision(
    judged: dict[str, Any], policy: str, waited: Any, longest: Any, known: Mapping[str, Any], step: Any, hosts: list[str]
) -> dict[str, Any]:
    """What follows a watch; see `_domain.canary.decision`.

    :param judged: what `canary_analysis` returned.
    :param waited: seconds that this step has been watched.
    :param longest: of canary_inconclusive_wait.
    :param known: what the watches before this one have come to.
    :param step: which step it is, from 0.
    :param hosts: of the canary.
    """
    # A judge that broke off has no verdict, and nothing was seen to be well.
    verdict = judged.get("verdict") or canary.INCONCLUSIVE
    said = judged.get("sentence") or judged.get("problem") or judged.get("msg") or "The judge gave no verdict."
    made = canary.decision(verdict, said, policy, float(waited), seconds(longest, "canary_inconclusive_wait"))
    verdicts = [*known.get("verdicts", []), recorded.verdict(int(step), hosts, judged)]
    return {**made, "watched": float(waited), "verdicts": verdicts}


def rollout_without(before: dict[str, dict[str, Any]], members: list[str]) -> dict[str, dict[str, Any]]:
    """States to go back to, but that these members are out of traffic.

    :param before: by balancer and member.
    """
    return {
        balancer: {name: {**was, "state": "disabled"} if name in members else was for name, was in of.items()}
        for balancer, of in before.items()
    }


def rollout_colors(
    hosts: list[str], hostvars: Mapping[str, Any], balancers: list[dict[str, Any]], begun: dict[str, Any], asked: str
) -> dict[str, Any]:
    """Which colour is live and which one idle; see `_domain.colors.find`."""
    targets = [{"host": host, "members": _colored(hostvars[host], host)} for host in hosts]
    known = (begun["journal"].get("before") or {}).get("colors") or {} if begun["resumed"] else {}
    return colors.find(targets, balancers, known, str(asked or ""))


def rollout_colors_plan(
    found: dict[str, Any],
    balancers: list[dict[str, Any]],
    live: dict[str, Any],
    idle: dict[str, Any],
    begun: dict[str, Any],
    options: dict[str, Any],
) -> dict[str, Any]:
    """See `_domain.colors.plan`.

    :param live, idle: what the health checks of the two colours returned.
    """
    health = {found["live"]: live.get("targets") or [], found["idle"]: idle.get("targets") or []}
    known = begun["journal"].get("before") or {} if begun["resumed"] else {}
    return colors.plan(found, balancers, health, known, {**options, "unfinished": begun["resumed"]})


def rollout_color_groups(split: dict[str, list[str]], to: str) -> dict[str, dict[str, Any]]:
    """The groups of `traffic_split` that give one colour all of the traffic."""
    return {color: {"members": members, "share": 100 if color == to else 0} for color, members in split.items()}


def rollout_switch_hosts(hostvars: Mapping[str, Any], step: str, ours: bool = True) -> list[str]:
    """The hosts of one of blue-green's plays; see `_domain.color_story.hosts_of`."""
    return color_story.hosts_of(step, hostvars.get("localhost", {})) if ours else []


def rollout_switch_back(hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """To which colour the traffic goes back; see `_domain.color_story.switch_back`."""
    return color_story.switch_back(hostvars["localhost"])


def rollout_failed_hosts(hostvars: Mapping[str, Any]) -> list[str]:
    """All hosts that have failed in a rollout, within its budget, beyond it or while it was undone."""
    facts = hostvars["localhost"]
    halted = (facts.get("__rolling_halted") or {}).get("failures") or {}
    return list({**halted, **(facts.get("__rolling_failures") or {}), **(facts.get("__rollback_failures") or {})})


def _lost(hostvars: Mapping[str, Any]) -> dict[str, str]:
    """Which of them cannot be reached now, and why."""
    found = {host: hostvars[host].get("__rollout_reached") or {} for host in rollout_failed_hosts(hostvars)}
    return {host: sentences.ended(f": {result.get('msg')}")[2:] for host, result in found.items() if result.get("unreachable")}


def rollout_story(hostvars: Mapping[str, Any], check_mode: bool, look: Mapping[str, Any]) -> dict[str, Any]:
    """How a rollout ended, from what its plays have left on localhost.

    :param look: what `pool_info` returned, after all else.
    """
    facts = hostvars["localhost"]
    rollout = {
        **facts["__rollout"],
        "reached": facts["__rolling_reached"],
        "touched": facts["__rolling_touched"],
        "paused": facts.get("__rollout_paused") or {},
        "canary_at": (facts.get("__canary") or {}).get("at", ""),
    }
    lost = _lost(hostvars)
    halted = story.halted_with_lost(facts["__rolling_halted"], lost) if facts.get("__rolling_halted") else None
    undo_failures = story.with_lost(facts["__rollback_failures"], lost)
    if rollout["strategy"] == undoing.BLUE_GREEN:
        told = color_story.story(rollout, halted, facts["__blue_green"], undo_failures, check_mode)
        return {**told, "blame": {**(halted or {"failures": {}})["failures"], **undo_failures}}
    undone = {**facts["__rollback"], "reached": facts["__rollback_reached"]}
    end = story.story(rollout, halted, story.with_lost(facts["__rolling_failures"], lost), undone, undo_failures, check_mode)
    if check_mode or end["paused"]:
        return end
    before = rollout["before"]
    return {**end, "lines": end["lines"] + closing.last_look(before["members"], before["balancers"], end["left_out"], look)}


def rollout_undo_story(hostvars: Mapping[str, Any], check_mode: bool, look: Mapping[str, Any], hosts: list[str]) -> dict[str, Any]:
    """How a rollback ended, likewise.

    :param hosts: of the service.
    """
    facts = hostvars["localhost"]
    service, undone = facts["__rollout"]["service"], facts["__rollback"]
    failures = story.with_lost(facts["__rollback_failures"], _lost(hostvars))
    if undone["switch"]:
        return color_story.undo_story(service, undone["switch"], facts.get("__blue_green") or {}, failures, check_mode)
    end = story.undo_story(service, {**undone, "reached": facts["__rollback_reached"]}, failures, check_mode)
    if check_mode and undone["hosts"]:
        return end
    members = dict(zip(hosts, rollout_members(hosts, hostvars)))
    before = undone["before"].get("balancers") or {} if undone["hosts"] else {}
    return {**end, "lines": end["lines"] + closing.last_look(members, before, end["left_out"], look)}


def rollout_way_back(
    known: dict[str, Any], balancers: list[dict[str, Any]], hosts: list[str], hostvars: Mapping[str, Any]
) -> dict[str, Any]:
    """See `_domain.undoing.way_back`."""
    return undoing.way_back(known, balancers, dict(zip(hosts, rollout_members(hosts, hostvars))))


def rollout_course(
    hosts: list[str], hostvars: Mapping[str, Any], batch: Any = 0, failed: bool = False, undo: bool = False
) -> list[dict[str, Any]]:
    """The course of the rollout with what a batch of these hosts has gone through; see `_domain.course`.

    :param batch: its number; one that is undone has that which it had.
    """
    known = hostvars["localhost"].get("__rollout_course") or []
    if undo:
        batch = next((stage["batch"] for stage in known if {*hosts}.intersection(stage["hosts"])), 0)
    first = hostvars[hosts[0]]
    results = {
        course.DRAIN: [first.get("traffic_drained") or {}],
        course.RETURN: [first.get("traffic_returned") or {}],
        course.CHECK: _checks(hosts, hostvars),
        course.CHECKED: [first.get("__rollout_checked") or {}],
    }
    return course.of_batch(known, int(batch), hosts, results, time.time(), failed, undo)


def rollout_course_switched(hosts: list[str], hostvars: Mapping[str, Any], undo: bool = False) -> list[dict[str, Any]]:
    """Likewise, with a switch of all of the traffic to these hosts."""
    known = hostvars["localhost"].get("__rollout_course") or []
    switched = hostvars[hosts[0]].get("__blue_green_switched") or {}
    return course.of_switch(known, hosts, switched, _checks(hosts, hostvars), undo)


def rollout_counting(balancers: list[Mapping[str, Any]]) -> bool:
    """Whether all of them count what fails, at their members or for users."""
    return all(entry.get("provider") in PROVIDERS and _counts(PROVIDERS[entry["provider"]], entry) for entry in balancers)


def _counts(provider: Provider, entry: Mapping[str, Any]) -> bool:
    if provider.counts_with:
        return bool(entry.get(provider.counts_with))
    return provider.capabilities.counters or provider.capabilities.served


def rollout_counted(balancers: list[dict[str, Any]], hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """What the balancers have counted up to this look; see `_domain.counted.looked`."""
    return counted.looked(hostvars["localhost"].get("__rollout_counted") or {}, balancers)


def rollout_figures(hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that the journal keeps of a rollout, for the history of its service."""
    facts = hostvars["localhost"]
    felt, decided = _felt(facts), _instant(facts, "__rollout_decided")
    return {
        "began": _instant(facts, "__rollout_began"),
        "ended": round(time.time(), 3),
        "decided": decided,
        "undone": course.undone(facts.get("__rollout_course") or []) if decided else None,
        "felt": felt_lines.kept(felt),
        "counted": _counted(facts, felt),
    }


def rollout_felt_lines(hostvars: Mapping[str, Any]) -> list[str]:
    """What users felt, for the end of a run; nothing where nobody looked."""
    facts = hostvars["localhost"]
    felt = _felt(facts)
    return felt_lines.lines(felt, _counted(facts, felt))


def rollout_lease(variables: Mapping[str, Any], service: str) -> dict[str, Any]:
    """The lease as it was renewed last, for the option `lease`; empty when there is none.

    :param variables: of a host.
    """
    return fence.newest([(variables.get(name) or {}).get("lease") for name in LEASED], service)


def rollout_lease_wanes(lease: Mapping[str, Any]) -> bool:
    """Whether the lease is to be renewed before anything that takes time is begun."""
    return bool(lease) and fence.wanes(dict(lease), read(Clock()))


def rollout_lease_is_good(lease: Mapping[str, Any]) -> bool:
    """True; where the lease is over, the task whose condition this is fails."""
    try:
        if lease:
            fence.demand(dict(lease), read(Clock()), "This task was not begun")
    except DeployError as error:
        raise AnsibleFilterError(error.message) from None
    return True


def rollout_may_go_on(hostvars: Mapping[str, Any], host: str, service: str) -> bool:
    """Whether a host is to be deployed to; where the lease is over, the task whose condition this is fails.

    It is not where something of it has failed, nor on the way forward where an earlier attempt has deployed to it. This reads what it
    needs by itself: a condition is compiled for each host and task, which takes the longer the longer it is.
    """
    facts, own = hostvars["localhost"], hostvars[host]
    goes_back = (facts.get("__rollback") or {}).get("hosts")
    if own.get("__rollout_failed") or (not goes_back and host in facts["__rollout"]["there"]):
        return False
    return rollout_lease_is_good(rollout_lease(own, service))


def rollout_stats(journal: dict[str, Any] | None, hostvars: Mapping[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """The figures of a rollout for who has started the run: a few words and numbers.

    :param journal: as `rollout` returned it at the end; None where nothing is left to be known.
    :param told: how it ended, see :func:`rollout_story`.
    """
    figures = rollout_figures(hostvars)
    felt = figures.pop("felt") or {}
    return {
        **{key: (journal or {}).get(key) for key in ("id", "version", "strategy")},
        "outcome": told["outcome"],
        **{key: figures[key] for key in ("began", "ended", "decided", "undone")},
        "requests": felt.get("requests"),
        "failed_requests": felt.get("failed"),
    }


def rollout_record(journal: dict[str, Any], hostvars: Mapping[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """All that is known of a rollout at its end; see `_domain.recorded`.

    :param journal: as `rollout` returned it at the end.
    :param told: how it ended, see :func:`rollout_story`.
    """
    facts = hostvars["localhost"]
    figures, felt = journal["summary"] if journal["outcome"] else rollout_figures(hostvars), _felt(facts)
    made = recorded.record(
        {**journal, "events": [{**event, "time": float(epoch(event["time"]))} for event in journal["events"]]},
        told,
        facts.get("__rollout_course") or [],
        (facts.get("__canary") or {}).get("verdicts") or [],
        (facts.get("__rollout_pool_after") or {}).get("balancers") or [],
        _failed(facts),
        {key: figures[key] for key in ("began", "ended", "decided")},
        {"felt": felt, "counted": _counted(facts, felt)},
    )
    # Ansible's own types do not travel, and what is a number to us may be text to an inventory.
    plain: dict[str, Any] = json.loads(json.dumps(made, default=str))
    return plain


def rollout_past(read: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rollouts of a service that have ended, as `rollout_notice` takes them.

    :param read: what `rollout` returned for ``read``.
    """
    return pasts(read["history"])


def rollout_status(
    service: str, balancers: list[dict[str, Any]], health: list[dict[str, Any]], known: dict[str, Any]
) -> list[str]:
    """A service as it is now, and its history; see `_domain.status`."""
    return [*status.status(service, balancers, health, known), *history_lines.history_lines(rollout_past(known), time.time())]


def _instant(facts: Mapping[str, Any], name: str) -> float | None:
    # Text before ansible-core 2.19.
    return round(float(facts[name]), 3) if facts.get(name) else None


def _felt(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    return (facts.get("__rollout_probed") or {}).get("felt") or None


def _failed(facts: Mapping[str, Any]) -> dict[str, str]:
    """Who failed and why: within the budget, in the batch or switch that stopped the rollout, and on the way back."""
    stopped = [facts.get(name) or {} for name in ("__rolling_halted", "__blue_green")]
    found = [facts.get("__rolling_failures"), *(one.get("failures") for one in stopped), facts.get("__rollback_failures")]
    return {host: str(why) for failures in found for host, why in (failures or {}).items()}


def _counted(facts: Mapping[str, Any], felt: dict[str, Any] | None) -> dict[str, Any] | None:
    looks = facts.get("__rollout_counted") or {}
    return counted.compared(looks["balancers"], felt) if looks else None


def _checks(hosts: list[str], hostvars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the last health check of a batch returned: one result for all of its hosts, or one of each host."""
    of_all = hostvars[hosts[0]].get("__rollout_health_controller") or {}
    return [of_all] if "began" in of_all else [hostvars[host].get("__rollout_health_host") or {} for host in hosts]


def _colored(variables: Mapping[str, Any], host: str) -> dict[str, str]:
    # The default of the role `blue_green`, which is out of sight where another host's variables are read.
    members = variables.get("blue_green_members")
    if members:
        return {str(color): str(member) for color, member in members.items()}
    color = str(variables.get("blue_green_color") or "")
    return {color: _member(variables, host)} if color else {}


def _member(variables: Mapping[str, Any], host: str) -> str:
    # The default of the role `rollout`, which is out of sight where another host's variables are read.
    return str(variables.get("rollout_member") or host)


def _last_checks(hosts: list[str], hostvars: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What the last health check found, by host.

    The result of a check from the controller speaks of all hosts at once, and each of them has it: to look at a host's variables takes
    about a millisecond.
    """
    of_all = (hostvars[hosts[0]].get("__rollout_health_controller") or {}) if hosts else {}
    if of_all.get("targets"):
        return {target["name"]: target for target in of_all["targets"]}
    found: dict[str, Mapping[str, Any]] = {}
    for host in hosts:
        if host in found:
            continue
        variables = hostvars[host]
        for name in ("__rollout_health_controller", "__rollout_health_host"):
            result = variables.get(name) or {}
            if result.get("unreachable"):
                found[host] = {"name": host, "healthy": False, "version": None, "seen": CANNOT_BE_REACHED, "unreachable": True}
            for target in result.get("targets") or []:
                found.setdefault(target["name"], target)
    return found


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        return {
            "rollout_balancer_problems": rollout_balancer_problems,
            "rollout_blamed": story.blamed,
            "rollout_canary_decision": rollout_canary_decision,
            "rollout_canary_known": rollout_canary_known,
            "rollout_checks": rollout_checks,
            "rollout_color_groups": rollout_color_groups,
            "rollout_colors": rollout_colors,
            "rollout_colors_plan": rollout_colors_plan,
            "rollout_failed_hosts": rollout_failed_hosts,
            "rollout_failures": rollout_failures,
            "rollout_gate_points": gates.points,
            "rollout_gate_problems": rollout_gate_problems,
            "rollout_counted": rollout_counted,
            "rollout_counting": rollout_counting,
            "rollout_course": rollout_course,
            "rollout_course_switched": rollout_course_switched,
            "rollout_felt_lines": rollout_felt_lines,
            "rollout_figures": rollout_figures,
            "rollout_lease": rollout_lease,
            "rollout_lease_is_good": rollout_lease_is_good,
            "rollout_lease_wanes": rollout_lease_wanes,
            "rollout_may_go_on": rollout_may_go_on,
            "rollout_members": rollout_members,
            "rollout_past": rollout_past,
            "rollout_paused": rollout_paused,
            "rollout_plan": rollout_plan,
            "rollout_planned": rollout_planned,
            "rollout_promotion": pauses.promotion,
            "rollout_seen": rollout_seen,
            "rollout_so_far": pauses.so_far,
            "rollout_states_before": plan.states_before,
            "rollout_record": rollout_record,
            "rollout_sentence": story.failures_sentence,
            "rollout_standing": rollout_standing,
            "rollout_story": rollout_story,
            "rollout_stats": rollout_stats,
            "rollout_status": rollout_status,
            "rollout_switch_back": rollout_switch_back,
            "rollout_switch_hosts": rollout_switch_hosts,
            "rollout_undo_plan": undoing.undo_plan,
            "rollout_undo_story": rollout_undo_story,
            "rollout_unfinished": rollout_unfinished,
            "rollout_unready": rollout_unready,
            "rollout_untouched": sentences.untouched,
            "rollout_way_back": rollout_way_back,
            "rollout_without": rollout_without,
        }
