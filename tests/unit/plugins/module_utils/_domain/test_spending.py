# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks may spend."""

from __future__ import annotations

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.spending import KEPT, Budget, spent_by
from hypothesis import given
from hypothesis import strategies as st

fractions = st.floats(0, 1.5)


@given(st.lists(fractions, max_size=50), st.floats(1e-6, 0.5))
def test_all_looks_together_never_spend_more_than_the_budget_whatever_their_order(times, total):
    budget = Budget(total)
    levels = [budget.spend(time) for time in times]
    assert all(level >= 0 for level in levels)
    assert sum(levels) <= total * (1 + 1e-9)


@given(st.lists(fractions, max_size=50), st.floats(1e-6, 0.5))
def test_the_last_look_has_all_that_is_left(times, total):
    budget = Budget(total)
    before = sum(budget.spend(min(time, 0.99)) for time in times)
    assert budget.spend(1) == pytest.approx(total - before)
    assert budget.spend(1) == 0


@given(fractions, fractions, st.floats(1e-6, 0.5))
def test_what_is_spent_never_falls(one, other, total):
    early, late = sorted((one, other))
    assert 0 <= spent_by(early, total) <= spent_by(late, total) <= total


def test_a_look_that_was_left_out_leaves_its_part_to_the_next():
    every, some = Budget(0.02), Budget(0.02)
    levels = [every.spend(time / 4) for time in (1, 2, 3)]
    assert some.spend(3 / 4) == pytest.approx(sum(levels)) == pytest.approx(0.02 * (1 - KEPT) * 3 / 4)
