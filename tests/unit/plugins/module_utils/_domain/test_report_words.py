# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers and times in words."""

from __future__ import annotations

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import report_words as words
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 %"), (1, "100 %"), (0.00043, "0.043 %"), (4 / 1070, "0.37 %"), (0.024, "2.4 %"), (0.0995, "10 %"), (0.0994, "9.9 %"),
     (0.12, "12 %"), (0.5, "50 %"),
     (0.995, "99.50 %"), (0.99999, "> 99.99 %"), (1e-9, "< 0.0001 %"), (11 / 180_000, "0.0061 %"), (0.001, "0.10 %")],
)  # fmt: skip
def test_shares(value, said):
    assert words.share(value) == said


@given(st.floats(min_value=1e-12, max_value=1 - 1e-12))
def test_a_share_that_is_not_0_or_all_is_never_told_as_such(value):
    assert words.share(value) not in ("0 %", "0.0 %", "0.00 %", "100 %", "100.00 %")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (-1, "0.0 s"), (0.72, "0.7 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min"), (150, "2 min 30 s"), (3600, "1 h"),
     (3900, "1 h 5 min"), (97200, "1 d 3 h")],
)  # fmt: skip
def test_spans(seconds, said):
    assert words.span(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (0.421, "0.42 ms"), (2.14, "2.1 ms"), (120.4, "120 ms"), (99.6, "100 ms"), (1250, "1.25 s")],
)
def test_latencies(value, said):
    assert words.milliseconds(value) == said


def test_numbers():
    assert words.number(12345) == "12,345" and words.number(2.5) == "2.5"
    assert words.plural(1, "host") == "1 host" and words.plural(2000, "batch", "batches") == "2,000 batches"


def test_times_are_utc_wherever_one_is(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert words.period(1795320723.0, 1795320818.2) == "22 November 2026, 04:12:03 to 04:13:38 UTC"
    assert words.period(1795320723.0, 1795407123.0) == "22 November 2026, 04:12:03 to 23 November 2026, 04:12:03 UTC"
    assert words.machine_time(1795320723.9) == "2026-11-22T04:12:03Z"
