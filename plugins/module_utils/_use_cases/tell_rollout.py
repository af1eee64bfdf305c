# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells others of a rollout, all of them side by side, each within its own time.

Who is told has no part in the rollout: whatever goes wrong here, a target that makes no sense included, is a warning unless the
user wants it otherwise, and no target waits for another.
"""

from __future__ import annotations

import json
import math
import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .._clock import Clock, Deadline
from .._domain.errors import DeployError, Unreachable
from .._domain.exposition import is_label
from .._domain.history import figures
from .._domain.notices import sentences
from .._domain.rollout_metrics import EVENTS, OWN_LABELS, history_families, replaces_all, rollout_families
from .._notices.grafana import Grafana
from .._notices.letter import where_of
from .._notices.pushgateway import Pushgateway
from .._notices.target import Notice, Target, Told
from .._notices.textfile import TextFile
from .._notices.webhook import JSON, SLACK, Webhook
from .._processes import leave_behind

DAY = 86400.0
GRACE = 1.0  # seconds beyond a target's timeout: a name that does not resolve cannot be given up from within

_TLS: Dict[str, Any] = {"validate_certs": {"type": "bool", "default": True}, "ca_path": {"type": "path"}}
_TIMEOUT: Dict[str, Any] = {"type": "float", "default": 5.0}
# A URL is secret as a whole: who knows that of a webhook may write to it.
_URL: Dict[str, Any] = {"type": "str", "required": True, "no_log": True}
_HEADERS: Dict[str, Any] = {"type": "dict", "no_log": True}

ARGUMENT_SPEC: Dict[str, Any] = {
    "event": {"type": "str", "required": True, "choices": list(EVENTS)},
    "record": {"type": "dict", "required": True},
    "past": {"type": "list", "elements": "dict"},
    "window": {"type": "float", "default": 90.0},
    "labels": {"type": "dict", "default": {}},
    "textfile": {"type": "path"},
    "pushgateway": {
        "type": "dict",
        "options": {
            "url": _URL,
            "job": {"type": "str", "default": "zero_downtime"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "headers": _HEADERS,
            "timeout": _TIMEOUT,
            **_TLS,
        },
    },
    "webhooks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "url": _URL,
            "kind": {"type": "str", "choices": [SLACK, JSON], "default": SLACK},
            "text": {"type": "str"},
            "headers": _HEADERS,
            "timeout": _TIMEOUT,
            **_TLS,
        },
    },
    "grafana": {
        "type": "dict",
        "options": {
            "url": _URL,
            "token": {"type": "str", "no_log": True},
            "dashboard_uid": {"type": "str"},
            "headers": _HEADERS,
            "timeout": _TIMEOUT,
            **_TLS,
        },
    },
    "on_failure": {"type": "str", "choices": ["warn", "fail"], "default": "warn"},
    "wait": {"type": "bool", "default": True},
}


def run(params: Dict[str, Any], check_mode: bool, clock: Clock) -> Dict[str, Any]:
    """Tell all targets; see the module's documentation for options and result.

    :raises Unreachable: somebody could not be told, and ``on_failure`` is ``fail``.
    """
    notice, problems = _composed(params, clock.now())
    if not params["wait"] and not check_mode:
        leave_behind(lambda: _tell(params, notice, problems, check_mode, clock))
        found: Dict[str, Any] = {"changed": True, "text": notice.text, "targets": []}
        return {**found, "warnings": problems} if problems else found
    return _tell(params, notice, problems, check_mode, clock)


def _tell(params: Dict[str, Any], notice: Notice, problems: List[str], check_mode: bool, clock: Clock) -> Dict[str, Any]:
    attempts = [_Attempt(entry, notice, check_mode, clock) for entry in _entries(params)]
    for attempt in attempts:
        attempt.start()
    results, diffs = [], []
    for attempt in attempts:
        told, problem = attempt.outcome()
        results.append(
            {
                "kind": attempt.entry.kind,
                "where": attempt.entry.where,
                "told": told is not None and not check_mode,
                "changed": told is not None and told.changed,
                "tries": told.tries if told else 0,
                "problem": problem,
            }
        )
        if told is not None and told.diff and told.changed:
            diffs.append(told.diff)
    problems += [
        "%s %s was not told: %s" % (one["kind"], one["where"], one["problem"]) for one in results if one["problem"]
    ]
    found: Dict[str, Any] = {"changed": any(one["changed"] for one in results), "text": notice.text, "targets": results}
    if diffs:
        found["diff"] = diffs
    if problems and params["on_failure"] == "fail":
        raise Unreachable("%s The rollout itself is as it was." % " ".join(problems), **found)
    if problems:
        found["warnings"] = problems
    return found


class _Entry:
    """What the options say of one target, which may make no sense.

    :param make: the target; raises DeployError when it makes none.
    """

    def __init__(self, kind: str, where: str, timeout: float, make: Callable[[], Target]) -> None:
        self.kind, self.where, self.make = kind, where, make
        self.timeout = min(600.0, max(0.01, timeout)) if math.isfinite(timeout) else 600.0


def _entries(params: Mapping[str, Any]) -> List[_Entry]:
    found = []
    if params["textfile"]:
        path = {"path": params["textfile"]}
        found.append(_Entry("textfile", params["textfile"], TextFile.timeout, lambda: TextFile(path)))
    if params["pushgateway"]:
        found.append(_of_url("pushgateway", params["pushgateway"], Pushgateway))
    for options in params["webhooks"]:
        found.append(_of_url(options["kind"], options, Webhook))
    if params["grafana"]:
        found.append(_of_url("grafana", params["grafana"], Grafana))
    return found


def _of_url(kind: str, options: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Target]) -> _Entry:
    return _Entry(kind, where_of(str(options["url"]).strip()), options["timeout"], lambda: make(options))


class _Attempt:
    """Telling one target, in a thread of its own that nobody waits for too long."""

    def __init__(self, entry: _Entry, notice: Notice, check_mode: bool, clock: Clock) -> None:
        self.entry, self._notice, self._check_mode, self._clock = entry, notice, check_mode, clock
        self._found: Optional[Tuple[Optional[Told], str]] = None
        # A daemon: the resolver may keep it long after we have given it up.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._deadline = Deadline(clock, entry.timeout)

    def start(self) -> None:
        """Begin; the target's time runs from here."""
        self._deadline = Deadline(self._clock, self.entry.timeout)
        self._thread.start()

    def outcome(self) -> Tuple[Optional[Told], str]:
        """How it went, and what went wrong, if anything."""
        self._thread.join(self._deadline.left + GRACE)
        # Read once: the thread may still come to an end.
        found = self._found
        if found is None:
            return None, "no answer within %g s." % self.entry.timeout
        return found

    def _run(self) -> None:
        try:
            target = self.entry.make()
            told = (
                target.foretell(self._notice)
                if self._check_mode
                else target.tell(self._notice, self._clock, self._deadline)
            )
            self._found = told, ""
        except DeployError as error:
            self._found = None, error.message
        except Exception as error:  # whatever it is, it is no reason to fail a rollout; what it says may hold a secret
            self._found = None, "this failed in a way that was not foreseen (%s)." % type(error).__name__


def _composed(params: Mapping[str, Any], now: float) -> Tuple[Notice, List[str]]:
    """What is told, and what of it could not be made out, in sentences."""
    event, record = params["event"], _plain(params["record"])
    labels, problems = _labels(params["labels"])
    families = rollout_families(event, record, labels, now)
    if params["past"] is not None:
        try:
            past = _plain(params["past"])
            mine = [one for one in past if one.get("service") == record.get("service")]
            families += history_families(
                figures(mine, now, params["window"] * DAY), str(record.get("service") or ""), labels
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(
                "The history was not told: `past` is not as docs/notices.md describes it (%s)." % type(error).__name__
            )
    text = sentences(event, record, labels)
    return Notice(event, record, labels, text, families, replaces_all(event, record), now), problems


def _labels(given: Mapping[str, Any]) -> Tuple[Dict[str, str], List[str]]:
    """The user's labels, less those that cannot be any."""
    labels = {str(name): str(value) for name, value in given.items()}
    wrong = [name for name in labels if not is_label(name) or name in OWN_LABELS]
    said = [
        "The labels %s were left out: a label's name has letters, digits and _, and none of %s."
        % (", ".join(repr(name) for name in wrong), ", ".join(OWN_LABELS))
    ]
    return {name: value for name, value in labels.items() if name not in wrong}, said if wrong else []


def _plain(value: Any) -> Any:
    """`value` as plain JSON data: a template may have left strange types, and JSON knows no infinite numbers."""
    return json.loads(json.dumps(value, default=str), parse_constant=lambda _name: None)
