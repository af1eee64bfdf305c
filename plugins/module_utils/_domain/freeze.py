# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freeze windows: whether a moment lies in one, and when it ends.  Pure: the moment and the time zone are given.

A window is said in the time that clocks on the wall show.  A time that a change of the clocks skips or shows twice counts
on the side of the freeze: a beginning from the earlier of its two readings, an end until the later one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Callable, Iterator, List, Optional, Tuple, Union

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
UTC = "UTC"
# What has no end within so many seconds is told as endless; the windows of a whole week follow one another for ever.
HORIZON = 366 * 86400.0

_DAY, _WEEK = 24 * 60, 7 * 24 * 60  # minutes
_CLOCK = re.compile(r"(?:(%s) +)?(\d{1,2}):(\d{2})\Z" % "|".join(DAYS))
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?: +(\d{1,2}:\d{2}))?\Z")

Zones = Callable[[str], tzinfo]


@dataclass(frozen=True)
class Weekly:
    """A window that comes back every week.

    :param start: minutes after Monday 0:00.
    :param minutes: how long it lasts, at most a week.
    """

    start: int
    minutes: int

    def around(self, wall: datetime) -> Iterator[Tuple[datetime, datetime]]:
        """Beginning and end of those that may hold a time on the wall."""
        monday = datetime.combine(wall.date() - timedelta(days=wall.weekday()), datetime.min.time())
        for weeks in (-1, 0, 1):
            start = monday + timedelta(weeks=weeks, minutes=self.start)
            yield start, start + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Once:
    """A window of the calendar, in times on the wall."""

    start: datetime
    end: datetime

    def around(self, _wall: datetime) -> Iterator[Tuple[datetime, datetime]]:
        """Its beginning and end."""
        yield self.start, self.end


@dataclass(frozen=True)
class Freeze:
    """Windows in which nothing may begin, and the time zone of the clock that they are said in."""

    windows: Tuple[Union[Weekly, Once], ...]
    zone: tzinfo
    zone_name: str


def read(options: dict[str, Any], zones: Zones) -> tuple[Optional[Freeze], list[str]]:
    """A freeze from its options, or what is wrong with it.

    :param options: ``days``, ``from``, ``to``, ``dates``, ``timezone``; what is not given is missing or None.
    :param zones: makes a time zone of its name; ValueError says why it cannot.
    :return: the freeze (None when something is wrong), and clauses that say all that is.
    """
    wrong: List[str] = []
    windows: List[Union[Weekly, Once]] = []
    name = options.get("timezone") or UTC
    zone: Optional[tzinfo] = None
    try:
        zone = zones(name)
    except ValueError as error:
        wrong.append(str(error))
    for part in (_weekly, _calendar):
        try:
            windows += part(options)
        except ValueError as error:
            wrong.append(str(error))
    if not windows and not wrong:
        wrong.append("it says no time: give `days`, `from` and `to`, or `dates`")
    return (None, wrong) if wrong or zone is None else (Freeze(tuple(windows), zone, name), [])


def until(freeze: Freeze, moment: float) -> Optional[float]:
    """When the freeze that holds at `moment` ends; windows that follow one another are one.

    :param moment: seconds since the epoch, as is what is returned.
    :return: None when nothing is frozen, infinity when no end is in sight.
    """
    end = _end_of_window(freeze, moment)
    while end is not None:
        following = _end_of_window(freeze, end)
        if following is None:
            return end
        end = following
        if end - moment > HORIZON:
            return math.inf
    return None


def told(freeze: Freeze, end: float) -> str:
    """The end of a freeze in words: ``until Mon 2026-11-23 08:00 (Europe/Berlin)``."""
    if math.isinf(end):
        return "with no end in sight"
    wall = datetime.fromtimestamp(end, freeze.zone)
    # Not strftime's %a, which speaks the controller's language.
    return "until %s %s (%s)" % (DAYS[wall.weekday()].capitalize(), wall.strftime("%Y-%m-%d %H:%M"), freeze.zone_name)


def _end_of_window(freeze: Freeze, moment: float) -> Optional[float]:
    wall = datetime.fromtimestamp(moment, freeze.zone).replace(tzinfo=None)
    ends = [
        _readings(end, freeze.zone)[1]
        for window in freeze.windows
        for start, end in window.around(wall)
        if _readings(start, freeze.zone)[0] <= moment < _readings(end, freeze.zone)[1]
    ]
    return max(ends) if ends else None


def _readings(wall: datetime, zone: tzinfo) -> tuple[float, float]:
    """The earliest and the latest moment at which clocks may be said to show this; all but always one and the same."""
    both = [wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)]
    return min(both), max(both)


def _weekly(options: dict[str, Any]) -> List[Union[Weekly, Once]]:
    days, begin, end = options.get("days"), options.get("from"), options.get("to")
    if not (days or begin or end):
        return []
    if options.get("dates") and not days and not _names_a_day(begin):
        raise ValueError("`from` and `to` belong to `days`; a time of `dates` stands in them ('2026-12-24 12:00/2026-12-27')")
    first, start = _clock("from", begin or "0:00")
    last, stop = _clock("to", end or "24:00")
    if (first is None) != (last is None):
        raise ValueError("`from` and `to` name both a day of the week or neither ('fri 16:00' and 'mon 08:00')")
    if first is not None and last is not None:
        if days:
            raise ValueError("`from` and `to` name the days already, so there is no place for `days`")
        length = ((last - first) * _DAY + stop - start) % _WEEK
        if not length:
            raise ValueError("`from` and `to` are the same")
        return [Weekly(first * _DAY + start, length)]
    if start == stop:
        raise ValueError("`from` and `to` are the same")
    # Over midnight when it ends no later than it began.
    length = stop - start if stop > start else stop + _DAY - start
    return [Weekly(DAYS.index(day) * _DAY + start, length) for day in days or DAYS]


def _names_a_day(clock: Optional[str]) -> bool:
    found = _CLOCK.match((clock or "").strip().lower())
    return bool(found and found.group(1))


def _clock(option: str, text: str) -> tuple[Optional[int], int]:
    """The day of the week, if one is named, and the minutes after midnight; 24:00 is the end of a day."""
    found = _CLOCK.match(text.strip().lower())
    minutes = 60 * int(found.group(2)) + int(found.group(3)) if found else _DAY + 1
    if found is None or int(found.group(3)) > 59 or minutes > _DAY - (option == "from"):
        hint = ". YAML makes a number of 16:00 without quotes: put it in quotes" if text.strip().isdigit() else ""
        raise ValueError("`%s` is '%s', and not a time such as '16:00' or 'fri 16:00'%s" % (option, text, hint))
    return (DAYS.index(found.group(1)) if found.group(1) else None), minutes


def _calendar(options: dict[str, Any]) -> List[Union[Weekly, Once]]:
    windows: List[Union[Weekly, Once]] = []
    for text in options.get("dates") or []:
        first, _slash, last = (part.strip() for part in text.partition("/"))
        try:
            start, end = _moment(first, "0:00"), _moment(last or first.split(" ")[0], "24:00")
        except ValueError:
            raise ValueError(
                "`dates` has '%s', and not a day such as '2026-12-24' or days such as '2026-12-24/2026-12-27', each with a time or "
                "without ('2026-12-24 12:00')" % text
            ) from None
        if end <= start:
            raise ValueError("`dates` has '%s', which ends before it begins" % text)
        windows.append(Once(start, end))
    return windows


def _moment(text: str, otherwise: str) -> datetime:
    found = _DATE.match(text)
    if found is None:
        raise ValueError(text)
    _none, minutes = _clock("to", found.group(2) or otherwise)
    return datetime.combine(date.fromisoformat(found.group(1)), datetime.min.time()) + timedelta(minutes=minutes)
