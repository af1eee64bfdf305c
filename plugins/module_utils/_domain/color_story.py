# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a blue-green rollout ended, in plain words; and which hosts its plays are for.  Pure."""

from __future__ import annotations

from typing import Any

from .sentences import ended, failures_sentence, listed
from .story import NOT_WRITTEN, told

SWITCH, FAILED, BACK, END = "switch", "failed", "back", "end"


def hosts_of(step: str, facts: dict[str, Any]) -> list[str]:
    """The hosts of one play; empty when it is not its turn.

    :param step: ``switch`` (to the idle colour), ``failed`` (which keeps why), ``back`` (to the one from before), ``end`` (which
        lets the old colour go).
    :param facts: those of localhost: the plan (``__rollout``) and what the plays before have left there.
    """
    asked = (facts.get("__rollback") or {}).get("switch") or {}
    if step == BACK and asked:
        return list(asked["hosts"])
    plan, now = facts.get("__rollout") or {}, facts.get("__blue_green") or {}
    if not plan.get("live") or not plan["hosts"] or facts.get("__rollout_paused"):
        return []
    deployed = not facts.get("__rolling_halted") and {*plan["hosts"]} <= {*facts.get("__rolling_reached", [])}
    if not deployed:
        return []
    baked = bool(now.get("baked"))
    due = {SWITCH: not baked, FAILED: not baked, BACK: not baked, END: baked}[step]
    of = plan["idle"] if step in (SWITCH, FAILED) else plan["live"]
    return list(plan["before"]["colors"]["members"][of]) if due else []


def switch_back(facts: dict[str, Any]) -> dict[str, Any]:
    """The way back: of a rollback that somebody asked for, else of the rollout that has just failed.

    :return: the keys of :func:`.undoing.switch_back`.
    """
    asked = (facts.get("__rollback") or {}).get("switch") or {}
    if asked:
        return asked
    plan = facts["__rollout"]
    known = plan["before"]["colors"]
    return {
        "live": plan["live"],
        "idle": plan["idle"],
        "hosts": list(known["members"][plan["live"]]),
        "split": plan["split"],
        "versions": known["versions"].get(plan["live"], {}),
    }


def story(
    plan: dict[str, Any], halted: dict[str, Any] | None, now: dict[str, Any], failures: dict[str, str], check_mode: bool
) -> dict[str, Any]:
    """The end of a blue-green rollout; see :func:`.story.story` for what is returned.

    :param plan: of the rollout, with ``service``, ``version`` and, where it stopped at a gate, ``paused``.
    :param halted: ``hosts`` and ``why`` when the deployment to the idle colour stopped, else None.
    :param now: what the plays of the switch have left: ``switched`` and ``back`` (results of `traffic_split`), ``why``, ``left``.
    :param failures: by host, what speaks against switching back.
    """
    live, idle = plan["live"], plan["idle"]
    name = f"Rollout of {plan['service']} to {plan['version']}"
    if not plan["hosts"]:
        return told("nothing_to_do", f"{name}: nothing to do. {live} is live on it, and healthy.")
    if plan.get("paused"):
        return _paused(name, plan, now, check_mode)
    if check_mode and halted:
        return told("abandoned", f"{name} would FAIL while {idle} is deployed to: {halted['why']}", NOT_WRITTEN, failed=True)
    if check_mode:
        return told(
            "succeeded", f"{name} would deploy to {idle} ({listed(plan['hosts'])}) and give it the traffic of {live}. {NOT_WRITTEN}"
        )
    if halted:
        return told(
            "rolled_back",
            f"{name} FAILED while {idle} was deployed to: {halted['why']}",
            f"No traffic was moved: {live} serves as before. {idle} is out of traffic, as it is.",
            failed=True,
        )
    if not now.get("baked"):
        return _failed(name, plan, now, failures)
    lines = [f"{name} succeeded: {idle} is live, switched from {live} in {_seconds(now['switched'])}."]
    if now.get("left"):
        lines.append(f"Not all of {live} could be let go: {now['left']}")
        return told("succeeded_with_failures", *lines, failed=True)
    lines.append(f"{live} is out of traffic. The playbook rollback switches back to it.")
    return told("succeeded", *lines)


def _failed(name: str, plan: dict[str, Any], now: dict[str, Any], failures: dict[str, str]) -> dict[str, Any]:
    live, idle = plan["live"], plan["idle"]
    lines = [f"{name} FAILED: {now.get('why') or 'the switch ended before it was done, see above'}"]
    back = now.get("back") or {}
    if back.get("problem") == "":
        lines.append(f"{live} has its traffic back, in {_seconds(back)}. {idle} is out of traffic, as it is.")
        return told("rolled_back", *lines, failed=True)
    why = back.get("problem") or failures_sentence(failures) or "the way back ended before it was done, see above"
    lines.append(
        f"NOT switched back, look at it now: {ended(why)} The playbook status tells who has the traffic. Mend {live}, then run the "
        "playbook rollback."
    )
    return told("rollback_failed", *lines, failed=True)


def _paused(name: str, plan: dict[str, Any], now: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    paused = plan["paused"]
    asked = paused["waits_for"] == "approval"
    if check_mode:
        said = f"{name} would pause before the {paused['point']}: {paused['why']}. Check mode: nothing was written."
        return {**told("succeeded", said, failed=not asked), "paused": paused}
    live, idle = plan["live"], plan["idle"]
    lines = [f"{name} {'has paused' if asked else 'HALTED'} before the {paused['point']}: {paused['why']}."]
    if now.get("baked"):
        lines.append(f"{idle} is live, switched from {live} in {_seconds(now['switched'])}; {live} is kept as it is.")
    else:
        lines.append(f"{live} serves as before. {idle} is ready, out of traffic.")
    go_on = "approve it and go on" if asked else "go on, once the way is open"
    lines.append(f"To {go_on}, run the playbook promote; to undo it, the playbook rollback.")
    return {**told("paused", *lines, failed=not asked), "paused": paused}


def undo_story(
    service: str, way: dict[str, Any], now: dict[str, Any], failures: dict[str, str], check_mode: bool
) -> dict[str, Any]:
    """The end of a rollback to the colour from before."""
    name = f"Rollback of {service}"
    if check_mode:
        return told("rolled_back", f"{name} would give the traffic back to {way['live']}. Check mode: nothing was written.")
    back = now.get("back") or {}
    if back.get("problem") == "":
        runs = ", ".join(sorted({str(version) for version in way["versions"].values() if version})) or "what it had"
        return told(
            "rolled_back",
            f"{name}: {way['live']} has its traffic back, on {runs}, in {_seconds(back)}. {way['idle']} is out of traffic, as it is.",
        )
    why = back.get("problem") or failures_sentence(failures) or "it ended before it was done, see above"
    return told(
        "rollback_failed",
        f"{name} FAILED, look at it now: {ended(why)} The playbook status tells who has the traffic. Mend {way['live']} and run it again.",
        failed=True,
    )


def _seconds(result: dict[str, Any]) -> str:
    seconds, count = result.get("seconds"), len(result.get("balancers") or [])
    return "no time" if seconds is None else f"{seconds:.2f} s on {count} balancer{'' if count == 1 else 's'}"
