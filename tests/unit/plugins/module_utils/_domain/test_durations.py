# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lengths of time as people write them."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import durations
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput


@pytest.mark.parametrize(
    "asked, meant",
    [(0, 0), (90, 90), ("90", 90), ("90s", 90), (1.5, 1.5), ("2m", 120), (" 1.5 h ", 5400), ("1d", 86400)],
)
def test_with_a_unit_or_in_seconds(asked, meant):
    assert durations.seconds(asked, "watch") == meant


@pytest.mark.parametrize("asked", ["", "m", "-1", "2 weeks", "1m30s", None, True, [], "1e3"])
def test_anything_else_is_refused_by_name(asked):
    with pytest.raises(InvalidInput, match=r"canary_steps\[0\].watch is a length of time"):
        durations.seconds(asked, "canary_steps[0].watch")


@pytest.mark.parametrize(
    "length, words", [(0, "0 s"), (0.25, "0.2 s"), (45, "45 s"), (120, "2 min"), (3600, "1 h"), (5400, "1 h 30 min")]
)
def test_told(length, words):
    assert durations.told(length) == words
