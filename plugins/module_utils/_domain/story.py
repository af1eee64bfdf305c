# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rollout ended, in plain words.  Pure."""

from __future__ import annotations

from typing import Any

from .gates import place
from .sentences import ended, failures_sentence, listed


NOT_WRITTEN = "Check mode: nothing was written."


def story(
    rollout: dict[str, Any],
    halted: dict[str, Any] | None,
    failures: dict[str, str],
    undone: dict[str, Any],
    undo_failures: dict[str, str],
    check_mode: bool = False,
) -> dict[str, Any]:
    """The end of a rollout that went forward.

    :param rollout: ``service``, ``version``, ``hosts``, ``groups``, ``left_alone``, ``before``, ``touched`` (by the batch
        that was under way last) and ``reached``; and ``paused``, where it has stopped at a gate, as the journal is to know it, else
        missing or empty.
    :param halted: ``hosts`` and ``why`` of the batch that stopped it, else None.
    :param failures: by host, those within the budget included.
    :param undone: the plan by which it was undone: ``hosts``, ``reached``, ``before``.
    :param undo_failures: by host, who could not be brought back.
    :param check_mode: whether all of it was only looked at.
    :return: ``outcome`` (as the journal knows it; ``paused`` is none, and the journal stays unfinished), ``failed``, ``lines``,
        ``left_out``, ``paused``, and who is to ``blame`` and why.
    """
    end = _forward(rollout, halted, failures, undone, undo_failures, check_mode)
    # What an earlier rollout owes to hosts that this one did not reach (--limit), the next one owes them still.
    mine = {*rollout["hosts"], *rollout["left_alone"], *end["left_out"]}
    owed = [host for host in rollout["before"].get("versions", {}) if host not in mine]
    return {**end, "left_out": end["left_out"] + owed, "blame": {**(halted or {}).get("failures", {}), **undo_failures}}


def blamed(end: dict[str, Any], hosts: list[str], more: list[str]) -> dict[str, dict[str, str]]:
    """On which hosts a run fails, and with which messages.

    :param end: of the rollout, see :func:`story`.
    :param hosts: of the service. Where none of them is to blame (a balancer refused, a gate is closed) it is the first.
    :param more: lines after those of the end.
    :return: the ``last`` with all of it, and the ``others`` with what they have done.
    """
    *others, last = [host for host in hosts if host in end["blame"]] or hosts[:1]
    return {"last": {last: " ".join([*end["lines"], *more])}, "others": {host: ended(end["blame"][host]) for host in others}}


def with_lost(failures: dict[str, str], lost: dict[str, str]) -> dict[str, str]:
    """Failures, where those of hosts that cannot be reached say so.

    :param lost: why each of these cannot be reached.
    """
    return {host: f"unreachable: {lost[host]}" if host in lost else why for host, why in failures.items()}


def halted_with_lost(halted: dict[str, Any], lost: dict[str, str]) -> dict[str, Any]:
    """Likewise, why a rollout halted, as far as it is for the failures."""
    failures = with_lost(halted["failures"], lost)
    for_them = halted["why"] == failures_sentence(halted["failures"])
    return {**halted, "failures": failures, "why": failures_sentence(failures) if for_them else halted["why"]}


def _forward(
    rollout: dict[str, Any],
    halted: dict[str, Any] | None,
    failures: dict[str, str],
    undone: dict[str, Any],
    undo_failures: dict[str, str],
    check_mode: bool,
) -> dict[str, Any]:
    name = f"Rollout of {rollout['service']} to {rollout['version']}"
    if halted:
        if check_mode:
            return told("abandoned", f"{name} would FAIL in the batch {listed(halted['hosts'])}: {halted['why']}", NOT_WRITTEN, failed=True)
        return _undone(name, rollout, halted, undone, undo_failures)
    if not rollout["hosts"]:
        return told(
            "nothing_to_do",
            f"{name}: nothing to do. {_count(rollout['left_alone'])} already healthy on it and in traffic as before.",
        )
    if rollout.get("paused"):
        return _paused(name, rollout, failures, check_mode)
    if check_mode:
        batches = "; ".join(listed(group) for group in rollout["groups"])
        return told("succeeded", f"{name} would deploy to {batches}. {NOT_WRITTEN}")
    reached_so_far = {*rollout["reached"]}
    unreached = [host for host in rollout["hosts"] if host not in reached_so_far]
    if unreached:
        return told(
            "abandoned",
            f"{name} ended before it was done with {listed(unreached)}, see above. They may be out of traffic, the playbook status "
            "tells. Run the same command again to go on, or the playbook rollback to undo it.",
            failed=True,
            left_out=unreached,
        )
    reached = [host for host in rollout["hosts"] if host not in failures]
    lines = [f"{name} succeeded: {_count(reached)} on it, healthy and in traffic as before."]
    if rollout["left_alone"]:
        lines.append(f"Left alone, because already there: {listed(rollout['left_alone'])}.")
    if not failures:
        return told("succeeded", *lines)
    lines.append(f"Out of traffic, failed within the budget of rolling_max_failures: {failures_sentence(failures)}")
    lines.append("Mend them and run the same command again: it deploys to them alone.")
    return told("succeeded_with_failures", *lines, left_out=list(failures))


def _paused(name: str, rollout: dict[str, Any], failures: dict[str, str], check_mode: bool) -> dict[str, Any]:
    """It has stopped at a gate, every host whole: for a person, which is as intended, or because the gate is closed."""
    paused, reached = rollout["paused"], {*rollout["reached"]}
    done = [host for host in rollout["hosts"] if host in reached and host not in failures]
    coming = [host for host in rollout["hosts"] if host not in reached]
    where = place(paused["point"], paused["number"])
    asked = paused["waits_for"] == "approval"
    if check_mode:
        return {
            **told("succeeded", f"{name} would pause {where}: {paused['why']}. {NOT_WRITTEN}", failed=not asked),
            "paused": paused,
        }
    lines = [f"{name} {'has paused' if asked else 'HALTED'} {where}: {paused['why']}."]
    on_it = [*done, *rollout["left_alone"]]
    if rollout.get("canary_at"):
        lines.append(f"The canary is on {rollout['version']}: {rollout['canary_at']}. Nothing was undone.")
    elif on_it:
        lines.append(
            f"{_count(on_it)} on {rollout['version']}, healthy and in traffic as before; still to come: {listed(coming)}. "
            "Nothing was undone."
        )
    else:
        lines.append("Nothing was touched.")
    if failures:
        lines.append(f"Out of traffic, failed within the budget of rolling_max_failures: {failures_sentence(failures)}")
    go_on = "approve it and go on" if asked else "go on, once the way is open"
    lines.append(f"To {go_on}, run the playbook promote; to undo it, the playbook rollback.")
    return {**told("paused", *lines, failed=not asked), "paused": paused}


def undo_story(
    service: str, plan: dict[str, Any], undo_failures: dict[str, str], check_mode: bool = False
) -> dict[str, Any]:
    """The end of a rollback that somebody asked for; see :func:`story`."""
    if not plan["hosts"]:
        return told("nothing_to_do", f"Rollback of {service}: nothing to undo.")
    if check_mode:
        batches = "; ".join(listed(group) for group in plan["groups"])
        return told("rolled_back", f"Rollback of {service} would undo {batches}. {NOT_WRITTEN}")
    undo_failures = _all_failures(plan, undo_failures)
    end = told(
        "rollback_failed" if undo_failures else "rolled_back",
        f"Rollback of {service}: {_back(plan, undo_failures)}",
        failed=bool(undo_failures),
        left_out=list(undo_failures),
    )
    return {**end, "blame": undo_failures}


def _undone(
    name: str,
    rollout: dict[str, Any],
    halted: dict[str, Any],
    undone: dict[str, Any],
    undo_failures: dict[str, str],
) -> dict[str, Any]:
    lines = [f"{name} FAILED in the batch {listed(halted['hosts'])}: {halted['why']}"]
    undo_failures = _all_failures(undone, undo_failures)
    touched = list(dict.fromkeys([*rollout["reached"], *rollout["touched"]]))
    if undone["hosts"]:
        lines.append(_back(undone, undo_failures))
    elif touched:
        # Without the lease, or without the journal, there is no right and no plan to undo anything.
        lines.append(
            f"Nothing was undone: {listed(touched)} had been touched before. Run the same command again to go on, or the "
            "playbook rollback to undo it."
        )
        return told("abandoned", *lines, failed=True, left_out=touched)
    else:
        lines.append("No host had been touched: the service is as it was before.")
    outcome = "rollback_failed" if undo_failures else "rolled_back"
    return told(outcome, *lines, failed=True, left_out=list(undo_failures))


def _all_failures(plan: dict[str, Any], failures: dict[str, str]) -> dict[str, str]:
    """Nobody counts as brought back who was not seen to be."""
    reached = {*plan["reached"]}
    missed = [host for host in plan["hosts"] if host not in reached and host not in failures]
    return {**failures, **{host: "the undoing ended before it got here, see above" for host in missed}}


def _back(plan: dict[str, Any], undo_failures: dict[str, str]) -> str:
    versions = plan["before"].get("versions", {})
    back = [host for host in plan["hosts"] if host not in undo_failures]
    runs = ", ".join(sorted({str(versions.get(host) or "what it had") for host in back}))
    parts = [f"{_count(back)} back on {runs}, states and weights as before."] if back else []
    if undo_failures:
        parts.append(
            f"NOT undone, look at them now: {failures_sentence(undo_failures)} They are out of traffic where the balancers "
            "allowed it. Mend them, then run the playbook rollback (or the same rollout) again."
        )
    return " ".join(parts)


def _count(hosts: list[str]) -> str:
    return f"{len(hosts)} host{' is' if len(hosts) == 1 else 's are'}"


def told(outcome: str, *lines: str, failed: bool = False, left_out: list[str] | None = None) -> dict[str, Any]:
    """An end: its outcome, whether the run fails, the lines, and who is left out of traffic."""
    # The next rollout owes the hosts that are left out the states they had before this one.
    said = [ended(line) for line in lines]
    return {"outcome": outcome, "failed": failed, "lines": said, "left_out": left_out or [], "paused": {}, "blame": {}}
