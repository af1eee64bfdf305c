# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a rollout: all that is known of it, as JSON.  docs/report.md describes it, docs/report.schema.json is its schema.  Pure."""

from __future__ import annotations

from typing import Any

from . import shape
from .errors import InvalidInput
from .shape import MAYBE_TIME, NUMBER, TIME

SCHEMA = 1
STRATEGIES = ("rolling", "blue_green", "canary", "rollback")
OUTCOMES = (
    "succeeded",
    "succeeded_with_failures",
    "rolled_back",
    "rollback_failed",
    "nothing_to_do",
    "abandoned",
    "superseded",
    "paused",
)
PHASES = (
    "drain", "deploy", "check", "return", "soak", "switch", "watch", "undo_drain", "undo_deploy", "undo_check", "undo_return",
    "undo_soak", "undo_switch", "undo_watch",
)  # fmt: skip
VERDICTS = ("pass", "fail", "inconclusive")

_MAYBE_NUMBER = (int, float, type(None))
_MAYBE_DICT = (dict, type(None))

# What a reader of a record relies on. A list of one type stands for a list of such things, and ... for every key.
_SERIES = {"began": TIME, "step": NUMBER, "requests": [NUMBER], "failed": [NUMBER], "p50": [_MAYBE_NUMBER], "p95": [_MAYBE_NUMBER],
           "p99": [_MAYBE_NUMBER], "versions": {...: [NUMBER]}}  # fmt: skip
_FAILURE = {"time": TIME, "outcome": str, "url": str, "why": str, "version": str}
_FELT = {
    "began": TIME, "ended": TIME, "urls": [str], "rate": NUMBER, "requests": int, "failed": int, "outcomes": {...: int},
    "versions": {...: int}, "first_failure": MAYBE_TIME, "last_failure": MAYBE_TIME, "disturbance": NUMBER, "failures": [_FAILURE],
    "latency": {"p50": _MAYBE_NUMBER, "p95": _MAYBE_NUMBER, "p99": _MAYBE_NUMBER, "max": _MAYBE_NUMBER}, "late": int, "series": _SERIES,
}  # fmt: skip
_COUNTED = {
    "balancers": [{
        "name": str, "of": ("users", "members", "nothing"), "requests": int, "errors": int, "at_most": int, "left": int,
        "restarted": bool, "uncounted": str, "exact": bool,
    }],
    "requests": int, "errors": int, "at_most": int, "agrees": (bool, type(None)), "said": str,
}  # fmt: skip
_MEMBER = {"balancer": str, "member": str, "before": _MAYBE_DICT, "after": _MAYBE_DICT}
_VERDICT = {"step": int, "verdict": VERDICTS, "why": str, "metrics": [{"name": str, "verdict": VERDICTS, "said": str}]}
_RECORD: dict[str, Any] = {
    "service": str, "id": str, "version": str, "from_versions": [str], "strategy": STRATEGIES, "outcome": OUTCOMES, "failed": bool,
    "lines": [str], "began": TIME, "ended": TIME, "decided": MAYBE_TIME, "undone": MAYBE_TIME, "plan": [[str]],
    "events": [{"time": TIME, "event": str, "hosts": [str], "details": dict}],
    "phases": [{"host": str, "batch": int, "phase": PHASES, "began": TIME, "ended": TIME, "ok": bool}],
    "members": [_MEMBER], "failures": {...: str}, "verdicts": [_VERDICT], "felt": _MAYBE_DICT, "counted": _MAYBE_DICT,
}  # fmt: skip


def expect_record(record: dict[str, Any]) -> None:
    """Refuse what is no record of the schema that this version knows.

    :raises InvalidInput: says the schema that was found, or the first place that is not as it must be.
    """
    schema = record.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        found = "no schema" if schema is None else f"schema {schema!r}"
        raise InvalidInput(
            f"This is no record of a rollout that this version can read: expected schema {SCHEMA}, found {found}. Nothing was written. "
            "Make the report with the version of this collection that made the record."
        )
    wrong = shape.wrong(record, _RECORD, "record")
    for name, of_it in (("felt", _FELT), ("counted", _COUNTED)):
        if not wrong and record[name] is not None:
            wrong = shape.wrong(record[name], of_it, f"record.{name}")
    if not wrong and record["felt"]:
        wrong = _timeless(record["felt"]) or _uneven(record["felt"]["series"])
    if wrong:
        raise InvalidInput(
            f"The record of the rollout is not as it must be: {wrong}. Nothing was written. docs/report.md describes a record."
        )


def _timeless(felt: dict[str, Any]) -> str:
    """Failures have a time."""
    for when in ("first_failure", "last_failure"):
        if felt["failed"] and felt[when] is None:
            return f"record.felt.failed is {felt['failed']} and {when} is null"
    return ""


def _uneven(series: dict[str, Any]) -> str:
    """The columns of a series are of one length, and its seconds go on."""
    if series["step"] <= 0:
        return f"record.felt.series.step is {series['step']!r}, not more than 0"
    columns = {name: series[name] for name in ("failed", "p50", "p95", "p99")}
    for version, column in series["versions"].items():
        columns[f"versions[{version!r}]"] = column
    length = len(series["requests"])
    for name, column in columns.items():
        if len(column) != length:
            return f"record.felt.series.{name} has {len(column)} entries and requests has {length}"
    return ""
