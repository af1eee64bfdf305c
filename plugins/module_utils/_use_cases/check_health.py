# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks many targets side by side until each has proved healthy, or a deadline passes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence

from .._clock import Clock
from .._domain.errors import InvalidInput, TimedOut
from .._health.agenda import Agenda
from .._health.crew import Crew, Report
from .._health.expectations import Verdict, judge
from .._health.streak import Goal, Streak
from .._health.targets import Target, read_targets

ARGUMENT_SPEC: Dict[str, Any] = {
    "targets": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "url": {"type": "str"},
            "tcp": {"type": "str"},
            "command": {"type": "list", "elements": "str"},
            # Only what reads: the module probes in check mode too.
            "method": {"type": "str", "choices": ["GET", "HEAD", "OPTIONS"], "default": "GET"},
            "headers": {"type": "dict", "no_log": True},
            "status": {"type": "list", "elements": "int", "default": [200]},
            "expect_headers": {"type": "dict"},
            "body": {"type": "str"},
            "json": {"type": "dict"},
            "rc": {"type": "int", "default": 0},
            "validate_certs": {"type": "bool", "default": True},
            "ca_path": {"type": "path"},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path", "no_log": False},
            "follow_redirects": {"type": "bool", "default": False},
            "version": {"type": "str"},
            "version_header": {"type": "str"},
            "version_pattern": {"type": "str"},
            "expected_version": {"type": "str"},
        },
    },
    "passes": {"type": "int", "default": 3, "no_log": False},
    "min_healthy_time": {"type": "float", "default": 0.0},
    "interval": {"type": "float", "default": 0.05},
    "timeout": {"type": "float", "default": 2.0},
    "deadline": {"type": "float", "default": 60.0},
    "on_failure": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
}

# How many attempts run at once.
WORKERS = 64
# While a target is not yet healthy it is asked often at first, since most services start within a fraction of a second, and
# then ever later, up to LONGEST_DELAY or the interval between passes, whichever is longer.
FIRST_DELAY, LONGEST_DELAY = 0.05, 0.5
_GROWTH = 2
# An attempt ends by itself at its timeout, except in a name lookup, which nothing can interrupt.
# So much later, in seconds, it is given up on.
_OVERDUE = 0.25
# How many targets a failure's message tells of.
_TOLD = 10


@dataclass(frozen=True)
class Pace:
    """How often and how long to ask; seconds, except `passes`."""

    passes: int
    min_healthy_time: float
    interval: float
    timeout: float
    deadline: float

    @property
    def goal(self) -> Goal:
        """What proves a target healthy."""
        return Goal(self.passes, self.min_healthy_time)


@dataclass
class Watched:
    """A target and what has been seen of it."""

    target: Target
    delay: float
    streak: Streak = field(default_factory=Streak)
    attempts: int = 0
    began: float = 0.0
    latest: Verdict | None = None
    failure: Verdict | None = None
    proven: bool = False

    def note(self, verdict: Verdict, at: float, goal: Goal) -> None:
        """Take an attempt's verdict in, which came at `at`."""
        self.attempts += 1
        self.latest = verdict
        self.streak = self.streak.after(verdict.ok, at)
        self.proven = goal.met(self.streak)
        if not verdict.ok:
            self.failure = verdict


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """Check ``params["targets"]``; see the module's documentation for options and result.

    :raises InvalidInput: an option makes no sense; nothing was probed.
    :raises TimedOut: a target did not prove healthy by the deadline, and ``on_failure`` is ``fail``.
    """
    del check_mode  # A look changes nothing.
    pace = read_pace(params)
    targets = read_targets(params["targets"])
    crew = Crew(lambda job: judge(targets[job].probe(clock, pace.timeout), targets[job].expectations), WORKERS, clock)
    started = clock.monotonic()
    try:
        watched = watch(targets, pace, clock, crew)
    finally:
        crew.dismiss()
    result = told(watched, pace, clock.monotonic() - started)
    if result["unhealthy"] and params["on_failure"] == "fail":
        raise TimedOut(_message(result, pace), **result)
    return result


def read_pace(params: dict[str, Any]) -> Pace:
    """Read and check the options that all targets share.

    :raises InvalidInput: they cannot be kept.
    """
    pace = Pace(*(params[name] for name in ("passes", "min_healthy_time", "interval", "timeout", "deadline")))
    if pace.passes < 1:
        raise InvalidInput("passes: expected at least 1, found %d; nothing was probed" % pace.passes)
    for name in ("interval", "timeout", "deadline"):
        value = getattr(pace, name)
        if not (value > 0 and math.isfinite(value)):
            raise InvalidInput("%s: expected seconds above 0, found %g; nothing was probed" % (name, value))
    if not (pace.min_healthy_time >= 0 and math.isfinite(pace.min_healthy_time)):
        raise InvalidInput(
            "min_healthy_time: expected seconds, 0 or more, found %g; nothing was probed" % pace.min_healthy_time
        )
    takes = pace.goal.takes(pace.interval)
    if takes >= pace.deadline:
        raise InvalidInput(
            "deadline: %g s cannot hold %d passes %g s apart over at least %g s, which take %g s when all goes well; "
            "raise deadline or lower passes, interval or min_healthy_time; nothing was probed"
            % (pace.deadline, pace.passes, pace.interval, pace.min_healthy_time, takes)
        )
    return pace


def watch(targets: Sequence[Target], pace: Pace, clock: Clock, crew: Crew) -> list[Watched]:
    """Have `crew` make attempts until every target is proven or the deadline passes.

    No attempt begins after the deadline; those that run then may end, so that this returns at the latest one
    timeout after it.
    """
    watched = [Watched(target, min(FIRST_DELAY, pace.interval)) for target in targets]
    agenda = Agenda(crew.size, len(targets))
    began = clock.monotonic()
    end = began + pace.deadline
    for job in range(len(targets)):
        agenda.plan(job, began)
    unproven = len(targets)
    running: Dict[int, Watched] = {}
    hanging: Dict[int, bool] = {}  # job: whether its place was given to others
    while unproven:
        now = clock.monotonic()
        _give_up(running, hanging, agenda, pace, now)
        if now >= end and not running:
            break
        while now < end:
            job = agenda.take(now)
            if job is None:
                break
            watched[job].began = now
            running[job] = watched[job]
            crew.start(job)
        for report in crew.collect(_patience(running, agenda, pace, now, end)):
            if report.error is not None:
                raise report.error
            one = watched[report.job]
            if report.job in hanging:
                # It has been counted as failed already; now it can be asked again.
                del hanging[report.job]
            else:
                del running[report.job]
                one.note(report.result, report.at, pace.goal)
            agenda.done(report.job)
            if one.proven:
                unproven -= 1
            else:
                agenda.plan(report.job, _next_look(one, report, pace), report.took > pace.timeout / 2)
    return watched


def _give_up(
    running: Dict[int, Watched], hanging: Dict[int, bool], agenda: Agenda, pace: Pace, now: float
) -> None:
    overdue = [job for job, one in running.items() if now >= one.began + pace.timeout + _OVERDUE]
    for job in overdue:
        one = running.pop(job)
        seen = "no answer within %g s; the attempt itself hangs, in the lookup of a name perhaps" % pace.timeout
        one.note(Verdict(False, seen), now, pace.goal)
        # Others get its place, within bounds: its thread cannot be had back.
        hanging[job] = sum(hanging.values()) < agenda.size
        if hanging[job]:
            agenda.done(job)


def _patience(running: Dict[int, Watched], agenda: Agenda, pace: Pace, now: float, end: float) -> float:
    """How long to wait for reports before something else is to be done."""
    times = [one.began + pace.timeout + _OVERDUE for one in running.values()]
    if now < end:
        times.append(end)
        if agenda.next_due is not None and agenda.room:
            times.append(agenda.next_due)
    return max(0.0, min(times) - now)


def _next_look(one: Watched, report: Report, pace: Pace) -> float:
    if one.streak.count:
        return pace.goal.next_look(one.streak, pace.interval)
    delay = one.delay
    one.delay = min(max(pace.interval, LONGEST_DELAY), delay * _GROWTH)
    return report.at + delay


def told(watched: List[Watched], pace: Pace, elapsed: float) -> dict[str, Any]:
    """The task's result: what was seen of each target, after `elapsed` seconds."""
    return {
        "changed": False,
        "targets": [
            {
                "name": one.target.name,
                "healthy": one.proven,
                "version": one.latest.version if one.latest else None,
                "passes": one.streak.count,
                "attempts": one.attempts,
                "healthy_for": round(one.streak.lasted, 3),
                "seen": _seen(one, pace),
            }
            for one in watched
        ],
        "healthy": [one.target.name for one in watched if one.proven],
        "unhealthy": [one.target.name for one in watched if not one.proven],
        "elapsed": round(elapsed, 3),
    }


def _seen(one: Watched, pace: Pace) -> str:
    if one.latest is None:
        return "never asked: up to the deadline other targets that hang kept all %d places busy" % WORKERS
    if one.proven or not one.latest.ok:
        return one.latest.seen
    # The last answer was good, and yet it is not proven: say what was missing.
    short = "%s, but only %d of %d passes in a row" % (one.latest.seen, one.streak.count, pace.passes)
    if one.streak.count >= pace.passes:
        short = "%s, but only for %.3g of %g s" % (one.latest.seen, one.streak.lasted, pace.min_healthy_time)
    return short + ("; before that: %s" % one.failure.seen if one.failure else "")


def _message(result: dict[str, Any], pace: Pace) -> str:
    failed = [one for one in result["targets"] if not one["healthy"]]
    seen = "; ".join("%s: %s (%d attempts)" % (one["name"], one["seen"], one["attempts"]) for one in failed[:_TOLD])
    if len(failed) > _TOLD:
        seen += "; and %d more, see 'targets' in the result" % (len(failed) - _TOLD)
    wanted = "%d passes in a row" % pace.passes
    if pace.min_healthy_time:
        wanted += " over at least %g s" % pace.min_healthy_time
    return (
        "%d of %d targets did not prove healthy (%s) by the deadline of %g s. Last seen: %s. "
        "Nothing was changed by this check. See what the service itself logs there; "
        "if it only needs longer to start, raise deadline."
        % (len(failed), len(result["targets"]), wanted, pace.deadline, seen)
    )
