# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a rollout: all that is known of it, as JSON.  docs/report.md describes it, docs/report.schema.json is its schema.  Pure."""

from __future__ import annotations

from typing import Any

from .errors import InvalidInput

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

_NUMBER = (int, float)
_MAYBE_NUMBER = (int, float, type(None))
_MAYBE_DICT = (dict, type(None))
_TIME, _MAYBE_TIME = "a time", "a time or null"
_LATEST = 253402300800  # the year 10000, from which on calendars give up

# What a reader of a record relies on. A list of one type stands for a list of such things, and ... for every key.
_SERIES = {"began": _TIME, "step": _NUMBER, "requests": [_NUMBER], "failed": [_NUMBER], "p50": [_MAYBE_NUMBER], "p95": [_MAYBE_NUMBER],
           "p99": [_MAYBE_NUMBER], "versions": {...: [_NUMBER]}}  # fmt: skip
_FAILURE = {"time": _TIME, "outcome": str, "url": str, "why": str, "version": str}
_FELT = {
    "began": _TIME, "ended": _TIME, "urls": [str], "rate": _NUMBER, "requests": int, "failed": int, "outcomes": {...: int},
    "versions": {...: int}, "first_failure": _MAYBE_TIME, "last_failure": _MAYBE_TIME, "disturbance": _NUMBER, "failures": [_FAILURE],
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
    "lines": [str], "began": _TIME, "ended": _TIME, "decided": _MAYBE_TIME, "undone": _MAYBE_TIME, "plan": [[str]],
    "events": [{"time": _TIME, "event": str, "hosts": [str], "details": dict}],
    "phases": [{"host": str, "batch": int, "phase": PHASES, "began": _TIME, "ended": _TIME, "ok": bool}],
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
    wrong = _wrong(record, _RECORD, "record")
    for name, shape in (("felt", _FELT), ("counted", _COUNTED)):
        if not wrong and record[name] is not None:
            wrong = _wrong(record[name], shape, f"record.{name}")
    if not wrong and record["felt"]:
        wrong = _timeless(record["felt"]) or _uneven(record["felt"]["series"])
    if wrong:
        raise InvalidInput(
            f"The record of the rollout is not as it must be: {wrong}. Nothing was written. docs/report.md describes a record."
        )


def _wrong(value: Any, shape: Any, where: str) -> str:
    """What is wrong with `value`, in words; empty when nothing is."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where} is {_kind(value)}, not a dictionary"
        if ... in shape:
            shape = dict.fromkeys(value, shape[...])
        for key, inner in shape.items():
            wrong = _wrong(value[key], inner, f"{where}.{key}") if key in value else f"{where} has no {key!r}"
            if wrong:
                return wrong
        return ""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is {_kind(value)}, not a list"
        for index, item in enumerate(value):
            wrong = _wrong(item, shape[0], f"{where}[{index}]")
            if wrong:
                return wrong
        return ""
    if shape in (_TIME, _MAYBE_TIME):
        if value is None and shape == _MAYBE_TIME:
            return ""
        known = isinstance(value, _NUMBER) and not isinstance(value, bool) and 0 <= value < _LATEST
        return "" if known else f"{where} is {value!r}, not {shape} in seconds since 1970"
    types = shape if isinstance(shape, tuple) else (shape,)
    if isinstance(types[0], str):
        return "" if value in types else f"{where} is {value!r}, not one of {', '.join(types)}"
    # A truth value would pass for a number.
    fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    if fits and isinstance(value, float) and not abs(value) < 1e15:
        return f"{where} is {value!r}, which is no number to draw"
    return "" if fits else f"{where} is {_kind(value)}, not {' or '.join(_NAMES[each] for each in types)}"


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


_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "a dictionary",
    list: "a list",
    type(None): "null",
}


def _kind(value: Any) -> str:
    for kind in (bool, int, float, str, dict, list, type(None)):
        if isinstance(value, kind):
            return _NAMES[kind]
    return type(value).__name__
