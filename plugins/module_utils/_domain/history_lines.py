# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of a service as lines of plain text, for the playbook `status`.  Pure."""

from __future__ import annotations

import datetime
import textwrap
from typing import Any, Dict, List, Optional

from .durations import told
from .history import DAY, WINDOW, Past, figures

COLUMNS = 100
SHOWN = 10
HEADINGS = ("when (UTC)", "version", "strategy", "outcome", "requests", "failed", "duration")
WIDEST = (16, 40, 10, 23, 10, 9, 11)  # columns each; the version gets what the others leave
VERSION, NUMBERS = 1, 4  # which column it is, and from which on they are set flush right
GAP = "  "


def history_lines(past: List[Past], now: float, window: float = WINDOW, shown: int = SHOWN) -> List[str]:
    """The last rollouts as a table, the newest first, and the figures below it.

    :param past: see :mod:`.history`; with none the lines say so.
    :param now: seconds since the epoch.
    :param window: seconds over which the figures are counted; the table does not mind it.
    :param shown: rows of the table.
    :return: lines of at most 100 columns.
    """
    rows = sorted((one for one in past if one.get("ended") is not None), key=lambda one: -one["ended"])
    if not rows:
        return ["History: no rollout has ended yet."]
    return [*_table([_row(one) for one in rows[:shown]]), *figure_lines(figures(past, now, window))]


def figure_lines(found: Dict[str, Any]) -> List[str]:
    """The figures in words.

    :param found: what :func:`.figures` returned.
    """
    days = _days(found["window"])
    if not found["rollouts"]:
        return [f"In the last {days}: no rollout."]
    lines = [
        f"In the last {days}: {_count(found['rollouts'], 'rollout')}, {_count(found['deployments'], 'deployment')}.",
        f"Without interruption: {_uninterrupted(found)}",
        f"Requests that failed while something was rolled out: {_requests(found)}",
        f"Time to roll back: from the decision {_spread(found['rollback']['decided'])}; from the first bad response until the last "
        f"{_spread(found['rollback']['felt'])}.",
    ]
    if found["deployments"]:
        lines += [
            f"Deployment frequency: {found['frequency']['per_week']:.1f} a week, {found['frequency']['per_day']:.2f} a day (successful "
            f"ones, over {_days(found['days'] * DAY)}).",
            f"Change fail rate: {_percent(found['change_fail_rate'])} ({found['failed']} of {found['deployments']}).",
            f"Failed deployment recovery time: {_recovery(found)}",
            f"Change lead time: {_lead_time(found)}",
        ]
    return [line for text in lines for line in textwrap.wrap(text, COLUMNS, subsequent_indent="  ")]


def _row(one: Past) -> List[str]:
    felt = one.get("felt") or {}
    began, ended = one.get("began"), one["ended"]
    return [
        _when(ended if began is None else began),
        str(one["version"]),
        str(one["strategy"]),
        str(one["outcome"]).replace("_", " "),
        str(felt["requests"]) if felt else "-",
        str(felt["failed"]) if felt else "-",
        "-" if began is None else told(round(max(0.0, ended - began))),
    ]


def _table(rows: List[List[str]]) -> List[str]:
    cells = [[_cut(text, width) for text, width in zip(row, WIDEST)] for row in [list(HEADINGS), *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    others = sum(widths) - widths[VERSION] + len(GAP) * (len(widths) - 1)
    widths[VERSION] = min(widths[VERSION], COLUMNS - others)
    for row in cells:
        row[VERSION] = _cut(row[VERSION], widths[VERSION])
    return [
        GAP.join(
            text.rjust(width) if column >= NUMBERS else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    ]


def _cut(text: str, width: int) -> str:
    """On one line and printable: a version comes from a command line."""
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= width else clean[: width - 3] + "..."


def _when(seconds: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return "?"


def _uninterrupted(found: Dict[str, Any]) -> str:
    seen = found["uninterrupted"] + found["interrupted"]
    unknown = f"{_count(found['unknown'], 'rollout')} without a probe" if found["unknown"] else ""
    if not seen:
        return f"unknown, {unknown}."
    said = f"{_percent(found['uninterrupted_rate'])} ({found['uninterrupted']} of {seen})"
    return f"{said}; unknown: {unknown}." if unknown else f"{said}."


def _requests(found: Dict[str, Any]) -> str:
    if found["error_rate"] is None:
        return "unknown, there was no probe."
    said = f"{found['failed_requests']} of {found['requests']}"
    return f"{said} ({_percent(found['error_rate'])})." if found["failed_requests"] else f"{said}."


def _recovery(found: Dict[str, Any]) -> str:
    if not found["failed"]:
        return "none has failed."
    parts = [_spread(found["recovery"])] if found["recovery"]["count"] else []
    for key, words in (("open", "not recovered yet"), ("unknown", "unknown")):
        if found["recovery"][key]:
            parts.append(f"{words}: {found['recovery'][key]}")
    return "; ".join(parts) + "."


def _lead_time(found: Dict[str, Any]) -> str:
    lead = found["lead_time"]
    if not lead["count"]:
        return "unknown, the time of the commit is not known."
    return _spread(lead) + (f"; unknown: {lead['unknown']}." if lead["unknown"] else ".")


def _spread(found: Dict[str, Any]) -> str:
    if not found["count"]:
        return "unknown"
    if found["count"] == 1:
        return _seconds(found["median"])
    return f"median {_seconds(found['median'])}, worst {_seconds(found['worst'])}"


def _seconds(length: float) -> str:
    return told(round(length, 1))


def _percent(share: Optional[float]) -> str:
    """A share that is not quite everything, or not quite nothing, must not look as if it were."""
    if share is None:
        return "unknown"
    for digits in (1, 2, 3, 4, 5):
        text = f"{100 * share:.{digits}f}"
        if float(text) not in (0.0, 100.0) or share in (0, 1):
            break
    return (f"{100 * share:.0f}" if share in (0, 1) else text) + "%"


def _days(seconds: float) -> str:
    return _count(round(seconds / DAY), "day") if seconds >= DAY else told(seconds)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
