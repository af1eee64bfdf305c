# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches a canary beside its baseline, and says whether it is worse."""

from __future__ import annotations

import math
import sys
from typing import Any, Dict, Iterator, List

from .._clock import Clock
from .._domain.errors import DeployError, InvalidInput
from .._domain.findings import FAIL, INCONCLUSIVE, PASS, Values, percent, size
from .._domain.judge import Case, Judge
from .._domain.metrics import ERRORS, SAMPLES, Metric, read_metrics
from .._domain.ranks import MOST
from .._domain.sentences import listed
from .._metrics.balancers import BalancerCounters, BalancerHealth, ReadPool
from .._metrics.command import Command
from .._metrics.feed import BASELINE, CANARY, Feed
from .._metrics.figure_file import FigureFile
from .._metrics.prometheus import Prometheus
from .._metrics.source import Groups, Source
from . import read_pool

ARGUMENT_SPEC: Dict[str, Any] = {
    "groups": {
        "type": "dict",
        "required": True,
        "options": {
            CANARY: {"type": "list", "elements": "str", "required": True},
            BASELINE: {"type": "list", "elements": "str", "required": True},
        },
    },
    "metrics": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "kind": {"type": "str", "choices": [ERRORS, SAMPLES], "required": True},
            "source": {
                "type": "dict",
                "required": True,
                "options": {
                    "balancers": {"type": "bool"},
                    "prometheus": {
                        "type": "dict",
                        "options": {
                            "url": {"type": "str", "required": True},
                            "query": {"type": "str"},
                            "requests": {"type": "str"},
                            "errors": {"type": "str"},
                            "every": {"type": "float"},
                            "username": {"type": "str"},
                            "password": {"type": "str", "no_log": True},
                            "token": {"type": "str", "no_log": True},
                            "validate_certs": {"type": "bool", "default": True},
                            "ca_path": {"type": "path"},
                            "timeout": {"type": "float", "default": 5.0},
                        },
                    },
                    "command": {"type": "list", "elements": "str"},
                    "file": {"type": "path"},
                },
                # That it is exactly one is checked below: Ansible's own check takes a source that two metrics share for wrong.
            },
            "allowed_increase": {"type": "str", "required": True},
            "tolerated": {"type": "float"},
            "critical": {"type": "bool", "default": True},
            "minimum": {"type": "int"},
            "direction": {"type": "str", "choices": ["up", "down", "either"], "default": "up"},
        },
    },
    "watch": {"type": "float", "default": 120.0},
    "interval": {"type": "float", "default": 5.0},
    "false_alarms": {"type": "float", "default": 0.02},
    "on_no_data": {"type": "str", "choices": [INCONCLUSIVE, FAIL], "default": INCONCLUSIVE},
    "on_failure": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
    # As pool_info takes them; needed where a metric's source is the balancers, and for their health.
    "balancers": {**read_pool.ARGUMENT_SPEC["balancers"], "required": False},
    "pool": read_pool.ARGUMENT_SPEC["pool"],
}

# How often a source that is silent at the last look is asked again, an interval apart, before that is the end.
MORE_TRIES = 2
# How many looks in a row find the canary down when it fails by that; at the last look one is enough.
DOWN_LOOKS = 2
# One side with so many times the requests of the other does not take the same share of the traffic.
_UNEQUAL = 2.0


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """The analysis, with balancers that can be reached from here."""

    def read(counters: bool) -> List[Dict[str, Any]]:
        asked = {"balancers": params["balancers"], "pool": params["pool"], "counters": counters, "details": False}
        found: List[Dict[str, Any]] = read_pool.run(asked, check_mode, clock)["balancers"]
        return found

    away = sorted({entry["host"] for entry in params["balancers"] or [] if entry.get("host")})
    if away:
        raise InvalidInput(
            f"The balancers of {listed(away)} are reached by way of other hosts, which the controller alone can do: "
            "run this task there (`delegate_to: localhost`). Nothing was watched."
        )
    return analyse(params, clock, read)


def analyse(params: dict[str, Any], clock: Clock, read: ReadPool) -> dict[str, Any]:
    """Watch, judge and tell; see the module's documentation for options and result.

    :param read: reads the pool from all balancers.
    :raises InvalidInput: an option makes no sense, or a source can never say anything; nothing was watched.
    :raises DeployError: the verdict is no pass, and ``on_failure`` is ``fail``.
    """
    need_scipy()
    groups = read_groups(params["groups"])
    metrics = read_metrics(params["metrics"])
    check_pace(params)
    judge = Judge(metrics, params["false_alarms"], params["on_no_data"] == FAIL)
    feeds = open_feeds(params, groups, judge, read)
    result = watched(judge, feeds, params["watch"], params["interval"], clock)
    if result["verdict"] != PASS and params["on_failure"] == "fail":
        raise DeployError(
            f"{result['sentence']} Nothing was changed by this analysis. "
            + (
                "Undo the canary."
                if result["verdict"] == FAIL
                else "Do not promote the canary on this: watch longer, or look yourself."
            ),
            **result,
        )
    return result


def need_scipy() -> None:
    """Make sure that the statistics can be done.

    :raises InvalidInput: SciPy is missing.
    """
    try:
        import scipy.stats  # noqa: F401
    except ImportError as error:
        raise InvalidInput(
            f"canary_analysis needs SciPy 1.7 or later for {sys.executable}, and cannot import it ({error}). "
            f"Install it there: {sys.executable} -m pip install 'scipy>=1.7'. Nothing was watched."
        ) from None


def read_groups(asked: dict[str, List[str]]) -> Groups:
    """Check the option `groups`.

    :raises InvalidInput: a group is empty, or both have a member in common.
    """
    for group, members in asked.items():
        if not members:
            raise InvalidInput(f"groups: {group} has no members, so there is nothing to compare. Nothing was watched.")
    both = sorted(set(asked[CANARY]) & set(asked[BASELINE]))
    if both:
        raise InvalidInput(f"groups: {', '.join(both)} cannot be canary and baseline at once. Nothing was watched.")
    return {group: list(dict.fromkeys(asked[group])) for group in (CANARY, BASELINE)}


def check_pace(params: dict[str, Any]) -> None:
    """Check how long and how often to look.

    :raises InvalidInput: it cannot be done.
    """
    watch, interval, alarms = params["watch"], params["interval"], params["false_alarms"]
    if not (watch >= 0 and math.isfinite(watch)):
        raise InvalidInput(f"watch: expected seconds, 0 or more, found {watch:g}. Nothing was watched.")
    if not (interval > 0 and math.isfinite(interval)):
        raise InvalidInput(f"interval: expected seconds above 0, found {interval:g}. Nothing was watched.")
    if not 0 < alarms <= 0.5:
        raise InvalidInput(
            f"false_alarms: expected a chance above 0 and up to 0.5, such as 0.02, found {alarms:g}. Nothing was watched."
        )


def open_feeds(params: dict[str, Any], groups: Groups, judge: Judge, read: ReadPool) -> List[Feed]:
    """The sources with what they feed; the balancers are one source, however many metrics it has.

    :raises InvalidInput: a source does not fit its metric.
    """
    feeds: List[Feed] = []
    counted: List[Case] = []
    for asked, case in zip(params["metrics"], judge.cases):
        given = sorted(kind for kind, value in asked["source"].items() if value)
        if len(given) != 1:
            raise InvalidInput(
                f"Metric {case.metric.name}: expected one source of {', '.join(sorted(asked['source']))}, "
                f"found {' and '.join(given) or 'none'}. Nothing was watched."
            )
        if given == ["balancers"]:
            _check_balancers(params, case.metric)
            counted.append(case)
        else:
            feeds.append(Feed(_open(asked["source"], case.metric, params), [case], groups))
    if counted:
        feeds.insert(0, Feed(BalancerCounters(read), counted, groups))
    elif _pools_named(params) and params["watch"]:
        feeds.append(Feed(BalancerHealth(read), [], groups))
    return feeds


def _pools_named(params: dict[str, Any]) -> bool:
    """Whether there are balancers, and each of them has a pool."""
    entries = params["balancers"] or []
    return bool(entries) and all(entry.get("pool") or params["pool"] for entry in entries)


def _check_balancers(params: dict[str, Any], metric: Metric) -> None:
    wrong = None
    if metric.kind != ERRORS:
        wrong = "balancers count requests and errors; a metric of samples needs another source"
    elif not _pools_named(params):
        wrong = "its source is the balancers, so `balancers` and `pool` are needed"
    elif not params["watch"]:
        wrong = "the balancers' counters tell of the releases before too, so they need a `watch` in which they grow"
    if wrong:
        raise InvalidInput(f"Metric {metric.name}: {wrong}. Nothing was watched.")


def _open(asked: dict[str, Any], metric: Metric, params: dict[str, Any]) -> Source:
    interval, whole = params["interval"], not params["watch"]
    if asked.get("prometheus"):
        return Prometheus(asked["prometheus"], metric.kind, interval, whole)
    if asked.get("command"):
        return Command(asked["command"], metric.kind, interval, whole)
    return FigureFile(asked["file"], metric.kind)


def looks(watch: float, interval: float) -> Iterator[float]:
    """When to look, in seconds from the beginning; the last one is at the end of the watch."""
    number = 1
    while number * interval < watch:
        yield number * interval
        number += 1
    yield watch


def watched(judge: Judge, feeds: List[Feed], watch: float, interval: float, clock: Clock) -> dict[str, Any]:
    """Look until something fails or the watch is over; return the task's result."""
    for feed in feeds:
        feed.begin()
    started = clock.monotonic()
    count = 0
    verdict = INCONCLUSIVE
    down: List[str] = []
    for due in looks(watch, interval):
        elapsed = clock.monotonic() - started
        if due < watch and elapsed > due + interval:
            continue  # the look before took that long
        clock.sleep(due - elapsed)
        count += 1
        elapsed = clock.monotonic() - started
        _read(feeds, elapsed)
        if due >= watch:
            elapsed = watch
            _try_again(feeds, interval, clock, started)
        verdict = judge.look(1.0 if due >= watch else min(elapsed / watch, 0.999999))
        # Nobody is sent to whom a balancer finds down, so no metric would ever tell. Once may be a restart.
        patience = 1 if due >= watch else DOWN_LOOKS
        down = [words for feed in feeds if feed.down_looks >= patience for words in feed.down]
        if verdict == FAIL or down:
            break
    return told(judge, feeds, FAIL if down else verdict, count, clock.monotonic() - started, down)


def _read(feeds: List[Feed], elapsed: float) -> None:
    for feed in feeds:
        feed.read(elapsed)


def _try_again(feeds: List[Feed], interval: float, clock: Clock, started: float) -> None:
    for _time in range(MORE_TRIES):
        silent = [feed for feed in feeds if feed.silent]
        if not silent:
            return
        clock.sleep(interval)
        _read(silent, clock.monotonic() - started)


def told(judge: Judge, feeds: List[Feed], verdict: str, count: int, seconds: float, down: List[str]) -> dict[str, Any]:
    """The task's result.

    :param down: members of the canary, in words.
    """
    metrics = judge.told()
    remarks = [remark for feed in feeds for remark in remarks_on(feed)]
    return {
        "changed": False,
        "verdict": verdict,
        "sentence": sentence(verdict, metrics, count, seconds, down),
        "seconds": round(seconds, 3),
        "looks": count,
        "down": down,
        "metrics": metrics,
        "remarks": remarks,
        # Ansible shows these, and keeps them from the result in some versions.
        **({"warnings": remarks} if remarks else {}),
    }


def sentence(verdict: str, metrics: List[dict[str, Any]], count: int, seconds: float, down: List[str]) -> str:
    """What the analysis comes to, and by which metrics, or by whom it is down."""
    decisive = [metric["sentence"] for metric in metrics if metric["verdict"] == verdict] if verdict != PASS else []
    if verdict == PASS:
        decisive = [metric["sentence"] for metric in metrics]
    elif verdict == INCONCLUSIVE and not decisive:
        decisive = [metric["sentence"] for metric in metrics]
    took = f"after {seconds:.1f} s and {count} look{'s' if count != 1 else ''}"
    said = {
        PASS: f"The canary passes {took}.",
        FAIL: f"The canary fails {took}.",
        INCONCLUSIVE: f"Whether the canary is worse is inconclusive {took}.",
    }[verdict]
    if down:
        said += f" Down for the balancers' own checks, and the baseline is not: {', '.join(down)}."
    return " ".join([said, *(f"{each[0].upper()}{each[1:]}" for each in decisive)])


def remarks_on(feed: Feed) -> Iterator[str]:
    """What a reader of the verdict should know beside it."""
    names = ", ".join(case.metric.name for case in feed.cases) or "health"
    if feed.missed:
        yield f"{names}: its source did not answer {feed.missed} of {feed.asked} times."
    if feed.restarts:
        yield (
            f"{names}: {feed.restarts} counters began anew while we watched (a restart); what was counted between the reading "
            "before and the one after it is left out."
        )
    for case in feed.cases:
        yield from _remarks_on_case(case)


def _remarks_on_case(case: Case) -> Iterator[str]:
    name, canary, baseline = case.metric.name, case.canary, case.baseline
    ours, theirs = size(canary), size(baseline)
    if case.finding.verdict == FAIL and not case.metric.critical:
        yield f"{name}: fails, and is not critical."
    if isinstance(canary, Values) and isinstance(baseline, Values):
        dropped = canary.dropped + baseline.dropped
        if dropped:
            yield f"{name}: {dropped} values were no numbers and are left out."
        if max(ours, theirs) > MOST:
            yield f"{name}: of {ours:,} and {theirs:,} values, {MOST:,} a side at most are compared, evenly chosen."
    elif min(ours, theirs) >= case.metric.minimum and max(ours, theirs) > _UNEQUAL * min(ours, theirs):
        yield (
            f"{name}: the canary had {ours:,} requests and the baseline {theirs:,} ({percent(ours / (ours + theirs))} of both); "
            "they are to take the same share of the traffic at the same time."
        )
