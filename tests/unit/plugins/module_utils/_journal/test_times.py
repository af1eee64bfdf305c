# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times and spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.times import epoch, iso, span


@given(st.integers(0, 4102444800))
def test_there_and_back(seconds):
    assert epoch(iso(seconds)) == seconds


def test_it_is_utc_whatever_the_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert iso(1795255200.9) == "2026-11-21T10:00:00Z"


@pytest.mark.parametrize(
    "seconds, words", [(0, "0 s"), (-3, "0 s"), (59.7, "1 min"), (450, "7 min 30 s"), (3600, "1 h"), (90061, "1 d 1 h")]
)
def test_spans(seconds, words):
    assert span(seconds) == words
