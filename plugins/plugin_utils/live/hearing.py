# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what Ansible tells of tasks to what is known of the rollout.  Pure.

A rollout is recognised by the modules of this collection, their arguments and results, and by what its roles set as facts of
localhost.  Names of tasks play no part, and nothing else of arguments and results is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from .state import (
    CHECK,
    DEPLOY,
    DRAIN,
    FORWARD,
    OLD_COLOR,
    PLAIN_STEPS,
    RETURN,
    SHIFT,
    SOAK,
    SWITCH,
    SWITCH_BACK,
    UNDO,
    WATCH,
    Batch,
    Phase,
    Rollout,
)

OURS = "zero_downtime.deploy."
SET_FACT = ("ansible.builtin.set_fact", "ansible.legacy.set_fact", "set_fact")
OK, FAILED, SKIPPED, UNREACHABLE = "ok", "failed", "skipped", "unreachable"

# Events of the journal with which something begins, and what that is.
BEGINNINGS = {"batch_begun": FORWARD, "undoing": UNDO, "switch_begun": SWITCH, "ending": OLD_COLOR}
STEPS = {SWITCH: (CHECK, SHIFT, WATCH), SWITCH_BACK: (CHECK, SHIFT), OLD_COLOR: (DRAIN,)}

UNFINISHED, PAUSED = "it did not come to its end", "paused"

# What is told, in the order in which it happens.
BEGUN, PHASE_ENDED, BATCH_ENDED, ENDED = "begun", "phase ended", "batch ended", "ended"


@dataclass(frozen=True)
class Result:
    """What became of a task on a host.

    :param action: the full name of what it ran.
    :param args: its arguments, with their values; of a task that was skipped they may be templates.
    :param ignored: whether a failure of it is of no consequence.
    """

    kind: str
    action: str
    host: str
    args: Mapping[str, Any]
    result: Mapping[str, Any]
    ignored: bool = False


@dataclass(frozen=True)
class News:
    """Something that is worth a line.

    :param what: BEGUN, PHASE_ENDED, BATCH_ENDED or ENDED.
    """

    what: str
    rollout: Rollout
    batch: Batch | None = None
    phase: Phase | None = None


@dataclass
class _Task:
    """The task that runs: the phase it stands for, since when, and the hosts of which it has told."""

    phase: str = ""
    began: float = 0.0
    told: set[str] = field(default_factory=set)


class Hearing:
    """Follows the rollouts of a run, one after the other.

    :attr rollout: the one that is under way, or has ended last; None before the first.
    """

    def __init__(self, check_mode: bool = False) -> None:
        self.rollout: Rollout | None = None
        self._check_mode = check_mode
        self._task = _Task()
        self._shifting = (
            False  # whether the traffic is being given to a canary or a colour, and not just prepared for it
        )
        self._news: list[News] = []

    def started(self, action: str, args: Mapping[str, Any], at: float) -> list[News]:
        """A task begins, on whichever hosts; what it is given may be templates still.

        :return: what there is to be told.
        """
        batch = self._batch()
        self._task = _Task(began=at)
        if batch is not None:
            if action.startswith(OURS):
                self._task.phase = self._phase(action[len(OURS) :], args, batch)
            # Deploying is whatever lies between a drain and the next step of ours; any other phase is one task.
            if batch.running and (self._task.phase or batch.running.name != DEPLOY):
                self._end_phase(batch, at)
            if self._task.phase and not (batch.phases and batch.phases[-1].name == self._task.phase):
                batch.phases.append(Phase(self._task.phase, at))
        return self._told()

    def heard(self, result: Result, at: float) -> list[News]:
        """A task has ended on a host.

        :return: what there is to be told.
        """
        if result.action == OURS + "rollout":
            self._rollout(result, at)
        elif result.action in SET_FACT and result.kind == OK:
            facts = result.result.get("ansible_facts")
            self._facts(facts if isinstance(facts, Mapping) else {}, result.host, at)
        elif self._task.phase and result.action.startswith(OURS):
            self._step(result, at)
        return self._told()

    # Steps

    def _phase(self, module: str, args: Mapping[str, Any], batch: Batch) -> str:
        if module == "traffic_split":
            back = batch.kind == SWITCH_BACK and batch.had(CHECK)
            # Before it is written down that it is switched, the balancers are only asked.
            return SHIFT if self._shifting or back or batch.kind in (FORWARD, UNDO) else CHECK
        if module == "canary_analysis":
            return WATCH
        if module == "pool_member":
            if self._shifting:
                return SHIFT
            return DRAIN if args.get("state") == "disabled" else RETURN
        if module == "health_check":
            if batch.kind == SWITCH:
                return WATCH
            return SOAK if batch.had(RETURN) or (batch.kind == FORWARD and batch.had(SHIFT)) else CHECK
        return ""

    def _step(self, result: Result, at: float) -> None:
        batch = self._batch()
        if batch is None:
            return
        phase = batch.phases[-1] if batch.phases and batch.phases[-1].name == self._task.phase else None
        if result.kind == SKIPPED:
            if phase and phase.ended is None and not self._task.told:
                batch.phases.remove(phase)
            return
        if phase is None:
            phase = Phase(self._task.phase, self._task.began)
            batch.phases.append(phase)
        asked, failed, why = self._judged(result, batch)
        self._task.told |= asked
        phase.why = phase.why or why
        phase.failed += failed
        if phase.ended is not None:
            # The same step in two tasks, such as a canary that is watched for longer: it just has not ended before.
            phase.ended = at
        elif self._task.told >= {*batch.hosts}:
            self._end_phase(batch, at)
            if phase.name == DRAIN and not phase.why and not batch.had(DEPLOY) and batch.kind in (FORWARD, UNDO):
                batch.phases.append(Phase(DEPLOY, at))

    def _judged(self, result: Result, batch: Batch) -> tuple[set[str], list[str], str]:
        """The hosts that a result is about, those that it speaks against, and what it says."""
        said, everybody = result.result, {*batch.hosts}
        if result.action != OURS + "health_check":
            if result.kind != OK:
                return everybody, [], _sentence(said.get("msg")) or "it failed"
            if said.get("verdict") == "fail":
                return everybody, [], _sentence(said.get("sentence"))
            return everybody, [], _sentence(said.get("problem"))
        targets = [target for target in _list(said.get("targets")) if isinstance(target, Mapping)]
        sick = {
            str(target.get("name")): f"not healthy, last seen: {_sentence(target.get('seen'))}"
            for target in targets
            if not target.get("healthy")
        }
        if result.kind != OK and not targets:
            sick[result.host] = _sentence(said.get("msg")) or "not checked"
        batch.failures.update(sick)
        asked = {str(target.get("name")) for target in targets}
        # Who failed before is not asked; a host that asks for itself tells of itself alone.
        told = {result.host, *batch.failures} if asked <= {result.host} else everybody
        return told, [*sick], "; ".join(f"{host}: {why}" for host, why in sick.items())

    def _end_phase(self, batch: Batch, at: float) -> None:
        phase = batch.running
        if phase is None:
            return
        if phase.name == DEPLOY:
            phase.failed = [*batch.failures]
            phase.why = "; ".join(f"{host}: {why}" for host, why in batch.failures.items())
        phase.ended = at
        self._tell(PHASE_ENDED, batch, phase)

    # What the journal is told

    def _rollout(self, result: Result, at: float) -> None:
        action = result.args.get("action")
        if action == "begin" and result.kind == OK:
            self._begin(result.args, at)
        elif self.rollout is None or self.rollout.ended is not None or result.kind == SKIPPED:
            return
        elif action == "record" and result.kind == OK:
            self._record(self.rollout, result.args, at)
        elif action in ("finish", "pause"):
            self._finish(self.rollout, result.args, at)

    def _begin(self, args: Mapping[str, Any], at: float) -> None:
        self._shifting = False
        self.rollout = Rollout(
            service=str(args.get("service", "")),
            version=str(args.get("version", "")),
            strategy=str(args.get("strategy", "")),
            began=at,
            check_mode=self._check_mode,
        )

    def _record(self, rollout: Rollout, args: Mapping[str, Any], at: float) -> None:
        event, hosts = args.get("event"), [str(host) for host in _list(args.get("hosts"))]
        details = args.get("details")
        why = _sentence(details.get("why")) if isinstance(details, Mapping) else ""
        if event in BEGINNINGS:
            self._begin_batch(rollout, BEGINNINGS[str(event)], hosts, at)
        elif event in ("halted", "batch_refused"):
            self._end_batch(at, why or UNFINISHED)
        elif event in ("undone", "switched_back"):
            batch = self._batch()
            left = [host for host in batch.hosts if host not in hosts] if batch else []
            self._end_batch(at, f"{', '.join(left)} not brought back" if left else "")
        elif event in ("canary_step_begun", "switching"):
            self._shifting = True
        elif event == "canary_promoted":
            self._shifting = False

    def _begin_batch(self, rollout: Rollout, kind: str, hosts: list[str], at: float) -> None:
        switched = rollout.switches_back or rollout.strategy == "blue_green"
        if kind == UNDO and switched and hosts not in rollout.undo_groups:
            kind = SWITCH_BACK
        self._end_batch(at, UNFINISHED)
        self._shifting = False
        groups = {FORWARD: rollout.groups, UNDO: rollout.undo_groups}.get(kind, [])
        number = next((place for place, group in enumerate(groups, 1) if {*group} == {*hosts}), 0)
        batch = Batch(kind, hosts, at, number, len(groups), _steps(rollout, kind))
        rollout.batches.append(batch)
        self._tell(BEGUN, batch)

    def _end_batch(self, at: float, why: str) -> None:
        batch = self._batch()
        if batch is None:
            return
        self._end_phase(batch, at)
        batch.ended, batch.why = at, why
        self._tell(BATCH_ENDED, batch)

    def _finish(self, rollout: Rollout, args: Mapping[str, Any], at: float) -> None:
        summary = args.get("summary")
        summary = summary if isinstance(summary, Mapping) else {}
        rollout.outcome = str(args.get("outcome")) if args.get("action") == "finish" else PAUSED
        rollout.lines = [str(line) for line in _list(summary.get("lines"))]
        rollout.failed = bool(summary.get("failed", True))
        batch = self._batch()
        if batch is not None and rollout.outcome == PAUSED:
            batch.ended, batch.why = at, PAUSED
        self._end_batch(at, "" if rollout.outcome == "succeeded" else UNFINISHED)
        rollout.ended = at
        self._tell(ENDED)

    # What the roles set as facts

    def _facts(self, facts: Mapping[str, Any], host: str, at: float) -> None:
        rollout = self.rollout
        if rollout is None or rollout.ended is not None:
            return
        plan, undo = facts.get("__rollout"), facts.get("__rollback")
        if isinstance(plan, Mapping):
            rollout.groups = _groups(plan)
            rollout.asked_back = "groups" not in plan
            lacks = plan.get("lacks")
            rollout.soaks = isinstance(lacks, Mapping) and "soak" not in lacks
        if isinstance(undo, Mapping):
            rollout.undo_groups, rollout.switches_back = _groups(undo), bool(undo.get("switch"))
        batch = self._batch()
        if batch is None:
            return
        if facts.get("__rollout_failed"):
            batch.failures[host] = _sentence(facts["__rollout_failed"])
        reached = _list(facts.get("__rolling_reached"))
        if batch.kind == FORWARD and reached and {*batch.hosts} <= {*reached}:
            self._end_batch(at, "")
        if batch.kind == SWITCH and isinstance(facts.get("__blue_green"), Mapping):
            known = facts["__blue_green"]
            if known.get("why"):
                self._end_batch(at, _sentence(known["why"]))
            elif known.get("baked"):
                self._end_batch(at, "")

    def _batch(self) -> Batch | None:
        return self.rollout.batch if self.rollout is not None and self.rollout.ended is None else None

    def _tell(self, what: str, batch: Batch | None = None, phase: Phase | None = None) -> None:
        if self.rollout is not None:
            self._news.append(News(what, self.rollout, batch, phase))

    def _told(self) -> list[News]:
        news, self._news = self._news, []
        return news


def _steps(rollout: Rollout, kind: str) -> tuple[str, ...]:
    """The phases that such a batch is expected to have."""
    if kind in STEPS:
        return STEPS[kind]
    if kind == FORWARD and rollout.strategy == "blue_green":
        return (DRAIN, DEPLOY, CHECK)
    if kind == FORWARD and rollout.strategy == "canary" and not rollout.batches:
        return (DRAIN, DEPLOY, CHECK, SHIFT, WATCH)
    return PLAIN_STEPS + ((SOAK,) if rollout.soaks and kind == FORWARD else ())


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _groups(plan: Mapping[str, Any]) -> list[list[str]]:
    return [[str(host) for host in _list(group)] for group in _list(plan.get("groups"))]


def _sentence(said: Any) -> str:
    """Words for the middle of a line: in one line, without the stop at the end."""
    return " ".join(str(said or "").split()).rstrip(".")
