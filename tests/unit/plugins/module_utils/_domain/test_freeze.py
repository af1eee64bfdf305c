# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freeze windows: nights, weekends, holidays, and the days on which the clocks change."""

from __future__ import annotations

import datetime
import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import freeze
from ansible_collections.zero_downtime.deploy.plugins.module_utils._zones import zone

BERLIN = "Europe/Berlin"  # one hour before UTC in winter; the clocks change on 2026-03-29 and 2026-10-25
# Those whose clocks never change, change by half an hour, and skipped a whole day.
PLACES = ["UTC", BERLIN, "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]


def made(**options):
    found, wrong = freeze.read(options, zone)
    assert not wrong, wrong
    return found


def at(text, place=BERLIN, fold=0):
    """Seconds since the epoch of a time on the wall."""
    return datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(place), fold=fold).timestamp()


def until(text, **options):
    """Until when it is frozen at that time, on the wall in Berlin; None when it is not."""
    end = freeze.until(made(timezone=BERLIN, **options), at(text))
    if end is None or math.isinf(end):
        return end
    return datetime.datetime.fromtimestamp(end, ZoneInfo(BERLIN)).strftime("%Y-%m-%d %H:%M")


NIGHTS = {"days": ["fri", "sat"], "from": "22:00", "to": "6:00"}
WEEKEND = {"from": "fri 16:00", "to": "mon 08:00"}
SUNDAY_NIGHT = {"from": "sun 23:00", "to": "mon 01:00"}
# 2026-11-20 is a Friday.
CASES = [
    ("2026-11-20 15:59", WEEKEND, None),
    ("2026-11-20 16:00", WEEKEND, "2026-11-23 08:00"),
    ("2026-11-22 12:00", WEEKEND, "2026-11-23 08:00"),
    ("2026-11-23 07:59", WEEKEND, "2026-11-23 08:00"),
    ("2026-11-23 08:00", WEEKEND, None),
    # Each night by itself, named for the day on which it begins.
    ("2026-11-20 23:00", NIGHTS, "2026-11-21 06:00"),
    ("2026-11-21 12:00", NIGHTS, None),
    ("2026-11-22 05:59", NIGHTS, "2026-11-22 06:00"),
    ("2026-11-22 23:00", NIGHTS, None),
    ("2026-11-20 05:00", NIGHTS, None),
    ("2026-11-21 15:58", {"days": ["fri"], "from": "16:00", "to": "15:59"}, "2026-11-21 15:59"),
    ("2026-11-20 15:58", {"days": ["fri"], "from": "16:00", "to": "15:59"}, None),
    # Over the end of the week.
    ("2026-11-22 23:30", SUNDAY_NIGHT, "2026-11-23 01:00"),
    ("2026-11-23 00:30", SUNDAY_NIGHT, "2026-11-23 01:00"),
    ("2026-11-23 01:00", SUNDAY_NIGHT, None),
    # Every day; whole days; windows that touch are one.
    ("2026-11-18 12:30", {"from": "12:00", "to": "13:00"}, "2026-11-18 13:00"),
    ("2026-11-21 00:00", {"days": ["sat", "sun"]}, "2026-11-23 00:00"),
    ("2026-11-21 00:00", {"days": ["Sat", "sun"][1:]}, None),
    ("2026-11-20 17:00", {"days": ["fri"], "from": "16:00"}, "2026-11-21 00:00"),
    ("2026-11-18 12:00", {"days": list(freeze.DAYS)}, math.inf),
    # The calendar.
    ("2026-12-23 23:59", {"dates": ["2026-12-24/2026-12-27"]}, None),
    ("2026-12-24 00:00", {"dates": ["2026-12-24/2026-12-27"]}, "2026-12-28 00:00"),
    ("2026-12-24 10:00", {"dates": ["2026-12-24"]}, "2026-12-25 00:00"),
    ("2026-12-24 11:59", {"dates": ["2026-12-24 12:00/2027-01-02 8:00"]}, None),
    ("2027-01-02 07:59", {"dates": ["2026-12-24 12:00/2027-01-02 8:00"]}, "2027-01-02 08:00"),
    # Christmas 2026 ends with a Sunday: the calendar and the week are one freeze.
    ("2026-12-24 10:00", {"dates": ["2026-12-24/2026-12-25"], "days": ["sat", "sun"]}, "2026-12-28 00:00"),
    ("2026-12-26 10:00", {"dates": ["2026-12-24/2026-12-25"], **WEEKEND}, "2026-12-28 08:00"),
    # In March there is no 2:30: an end then is none before the clocks have changed, a beginning none after.
    ("2026-03-29 01:59", {"days": ["sun"], "from": "1:00", "to": "2:30"}, "2026-03-29 03:30"),
    ("2026-03-29 03:00", {"days": ["sun"], "from": "2:30", "to": "5:00"}, "2026-03-29 05:00"),
    # In October 2:30 comes twice: the end is the second one.
    ("2026-10-25 02:15", {"days": ["sun"], "from": "1:00", "to": "2:30"}, "2026-10-25 02:30"),
]


@pytest.mark.parametrize(("moment", "options", "expected"), CASES)
def test_the_end_of_a_freeze(moment, options, expected):
    assert until(moment, **options) == expected


def test_the_night_in_which_the_clocks_go_back_is_an_hour_longer():
    night = made(days=["sat"], **{"from": "22:00", "to": "2:30"}, timezone=BERLIN)
    began = at("2026-10-24 22:00")
    assert freeze.until(night, began) - began == 5.5 * 3600
    # When clocks show 2:15 for the first and for the second time.
    ends = freeze.until(night, at("2026-10-25 02:45"))
    assert ends is not None and ends == freeze.until(night, at("2026-10-25 02:15", fold=1))
    began = at("2026-03-28 22:00")
    assert freeze.until(made(days=["sat"], **{"from": "22:00", "to": "4:00"}, timezone=BERLIN), began) - began == 5 * 3600


def test_the_zone_is_the_freeze_s_own():
    moment = at("2026-11-20 16:30")
    assert freeze.until(made(**WEEKEND, timezone=BERLIN), moment)
    assert freeze.until(made(**WEEKEND), moment) is None  # 15:30 UTC


def test_told():
    weekend = made(**WEEKEND, timezone=BERLIN)
    end = freeze.until(weekend, at("2026-11-21 12:00"))
    assert freeze.told(weekend, end) == "until Mon 2026-11-23 08:00 (Europe/Berlin)"
    assert freeze.told(weekend, math.inf) == "with no end in sight"


WRONG = [
    ({}, "it says no time"),
    ({"timezone": BERLIN}, "it says no time"),
    ({"dates": []}, "it says no time"),
    ({"from": "25:00"}, "`from` is '25:00', and not a time such as '16:00' or 'fri 16:00'"),
    ({"from": "24:00"}, "`from` is '24:00'"),
    ({"from": "24:01"}, "`from` is '24:01'"),
    ({"to": "08:60"}, "`to` is '08:60'"),
    ({"from": "960"}, "YAML makes a number of 16:00 without quotes"),
    ({"from": "fri 16:00"}, "name both a day of the week or neither"),
    ({"from": "fri 16:00", "to": "fri 16:00"}, "are the same"),
    ({"from": "16:00", "to": "16:00"}, "are the same"),
    ({"days": ["mon"], "from": "fri 16:00", "to": "mon 8:00"}, "no place for `days`"),
    ({"from": "16:00", "dates": ["2026-12-24"]}, "`from` and `to` belong to `days`"),
    ({"dates": ["24.12.2026"]}, "`dates` has '24.12.2026', and not a day such as '2026-12-24'"),
    ({"dates": ["2026-02-30"]}, "`dates` has '2026-02-30'"),
    ({"dates": ["2026-12-24 25:00"]}, "`dates` has '2026-12-24 25:00'"),
    ({"dates": ["2026-12-24/"]}, None),
    ({"dates": ["2026-12-27/2026-12-24"]}, "which ends before it begins"),
    ({"from": "1:00", "timezone": "Mars/Olympus"}, "`timezone` is 'Mars/Olympus', which is not in the time zone database"),
    ({"from": "1:00", "timezone": "../etc/passwd"}, "which is not in the time zone database"),
    ({"from": "1:00", "timezone": "Europe"}, "which is not in the time zone database"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_what_makes_no_sense_is_named(options, words):
    found, wrong = freeze.read(options, zone)
    assert (found is None) == bool(wrong) == (words is not None)
    assert not words or words in "; ".join(wrong)


def test_everything_wrong_is_named_at_once():
    _none, wrong = freeze.read({"timezone": "x", "days": ["mon"], "from": "x", "dates": ["x"]}, zone)
    assert len(wrong) == 3


clocks = st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda pair: "%d:%02d" % pair)
days = st.sampled_from(freeze.DAYS)
calendar = st.dates(datetime.date(1999, 1, 1), datetime.date(2037, 12, 31))
weekly = st.fixed_dictionaries({"from": clocks, "to": clocks}, optional={"days": st.lists(days, min_size=1, unique=True)})
spanning = st.tuples(days, clocks, days, clocks).map(lambda t: {"from": f"{t[0]} {t[1]}", "to": f"{t[2]} {t[3]}"})
dated = st.tuples(calendar, st.integers(0, 20)).map(
    lambda pair: {"dates": [f"{pair[0]}/{pair[0] + datetime.timedelta(days=pair[1])}"]}
)
freezes = st.tuples(st.one_of(weekly, spanning, dated), st.sampled_from(PLACES)).map(lambda p: {**p[0], "timezone": p[1]})
moments = st.floats(at("1999-01-05 00:00"), at("2037-12-20 00:00"))


def sound(options):
    found, wrong = freeze.read(options, zone)
    assume(not wrong)
    return found


@given(freezes, moments)
def test_a_freeze_ends_after_now_and_nothing_is_frozen_at_its_end(options, moment):
    window = sound(options)
    end = freeze.until(window, moment)
    assume(end is not None and not math.isinf(end))
    assert end > moment and freeze.until(window, end) is None
    # At every moment up to it the answer is the same.
    assert freeze.until(window, (moment + end) / 2) == end
    assert freeze.until(window, max(moment, end - 1e-3)) == end


@given(st.one_of(weekly, spanning), st.sampled_from(PLACES), moments)
def test_whenever_the_clock_on_the_wall_is_in_the_window_it_is_frozen(options, place, moment):
    """And, but for the days on which clocks change, at no other time."""
    window = sound({**options, "timezone": place})
    wall = datetime.datetime.fromtimestamp(moment, ZoneInfo(place) if place != "UTC" else datetime.timezone.utc)
    minute = wall.weekday() * 1440 + wall.hour * 60 + wall.minute

    def minutes(text, day):
        hours, _colon, rest = text.rpartition(" ")[2].partition(":")
        return freeze.DAYS.index(day) * 1440 + int(hours) * 60 + int(rest)

    spans = []
    if " " in options["from"]:
        spans.append((minutes(options["from"], options["from"][:3]), minutes(options["to"], options["to"][:3])))
    else:
        for day in options.get("days") or freeze.DAYS:
            start, end = minutes(options["from"], day), minutes(options["to"], day)
            spans.append((start, end if end > start else end + 1440))
    inside = any((minute - start) % 10080 < (end - start) % 10080 for start, end in spans)
    frozen = freeze.until(window, moment) is not None
    if inside:
        assert frozen
    hours = (datetime.datetime.fromtimestamp(moment + hour * 3600, wall.tzinfo) for hour in range(-26, 27))
    if all(hour.utcoffset() == wall.utcoffset() for hour in hours):
        assert frozen == inside
