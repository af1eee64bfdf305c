# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, shares, times and lengths of time as a reader of a report wants them, with their units.  Pure."""

from __future__ import annotations

from datetime import datetime, timezone

# Not the system's, whose language is anybody's guess.
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def number(value: float) -> str:
    """``12,345``; what is not whole gets one decimal."""
    return f"{int(value):,}" if value == int(value) else f"{value:,.1f}"


def plural(count: int, one: str, many: str = "") -> str:
    """``1 host``, ``3 hosts``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def share(value: float) -> str:
    """A share of 0 to 1 in percent, with two digits that say something: ``0 %``, ``0.043 %``, ``2.4 %``, ``12 %``.

    What is not 0 is never told as 0, and what is not all never as 100.
    """
    percent = value * 100
    if percent in (0, 100):
        return f"{percent:.0f} %"
    if percent < 0.0001:
        return "< 0.0001 %"
    if percent > 99:
        return "> 99.99 %" if percent > 99.99 else f"{percent:.2f} %"
    if percent >= 9.95:
        return f"{percent:.0f} %"
    digits = 1
    while percent * 10**digits < 9.5:
        digits += 1
    return f"{percent:.{digits}f} %"


def milliseconds(value: float | None) -> str:
    """A latency: ``0.42 ms``, ``2.1 ms``, ``120 ms``, ``1.25 s``; a dash where there is none."""
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value / 1000:,.2f} s"
    if value >= 99.5:
        return f"{value:.0f} ms"
    return f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


def span(seconds: float) -> str:
    """A length of time: ``0.7 s``, ``42 s``, ``2 min 30 s``, ``1 h 5 min``, ``2 d 3 h``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for large, small, of_large, of_small in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= of_large:
            rest = whole % of_large // of_small
            return f"{whole // of_large} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def _moment(time: float) -> datetime:
    return datetime.fromtimestamp(time, timezone.utc)


def clock(time: float) -> str:
    """The time of day, UTC: ``04:12:03``."""
    return _moment(time).strftime("%H:%M:%S")


def day(time: float) -> str:
    """The day, UTC: ``22 November 2026``."""
    moment = _moment(time)
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}"


def short_day(time: float) -> str:
    """The day without its year, UTC: ``22 Nov``."""
    moment = _moment(time)
    return f"{moment.day} {MONTHS[moment.month - 1][:3]}"


def period(began: float, ended: float) -> str:
    """From when to when, the offset said: ``22 November 2026, 04:12:03 to 04:20:11 UTC``."""
    until = clock(ended) if day(began) == day(ended) else f"{day(ended)}, {clock(ended)}"
    return f"{day(began)}, {clock(began)} to {until} UTC"


def machine_time(time: float) -> str:
    """As ``<time datetime>`` wants it: ``2026-11-22T04:12:03Z``."""
    return _moment(time).strftime("%Y-%m-%dT%H:%M:%SZ")
