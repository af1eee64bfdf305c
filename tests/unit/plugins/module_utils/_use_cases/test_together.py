# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of it or none of it."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError, Refused, TimedOut
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.together import all_or_none, side_by_side


@pytest.mark.parametrize("places", [1, 2, 40])
def test_outcomes_come_in_the_order_of_their_places(places):
    assert side_by_side(list(range(places)), lambda place: place * 2) == [place * 2 for place in range(places)]


def test_they_run_at_the_same_time():
    everyone = threading.Barrier(3, timeout=30)
    assert side_by_side(["a", "b", "c"], lambda place: (everyone.wait(), place)[1]) == ["a", "b", "c"]


@pytest.mark.parametrize("places", [1, 3])
def test_errors_of_ours_are_outcomes_and_bugs_are_not(places):
    def refuse(place):
        raise Refused(f"not {place}")

    outcomes = side_by_side(list(range(places)), refuse)
    assert [outcome.message for outcome in outcomes] == [f"not {place}" for place in range(places)]
    with pytest.raises(ZeroDivisionError):
        side_by_side(list(range(places)), lambda place: 1 // 0)


def test_all():
    assert all_or_none(["a", "b"], [1, 2], lambda index: pytest.fail("nothing is to be put back")) == [1, 2]


def test_none():
    back = []
    with pytest.raises(TimedOut) as error:
        all_or_none(["a", "b", "c"], [1, TimedOut("b waited.", in_flight=3), Refused("c refused.")], back.append)
    assert back == [0]
    assert error.value.message == "b waited. c refused. Balancer a is as it was before."
    assert error.value.facts == {"in_flight": 3}


def test_whoever_fails_is_named():
    with pytest.raises(Refused) as error:
        all_or_none(["lb1", "lb2"], [Refused("No socket /run/a."), Refused("Balancer lb2 has no pool.")])
    assert error.value.message == "Balancer lb1: No socket /run/a. Balancer lb2 has no pool."


def test_one_that_cannot_be_put_back_does_not_keep_the_next_from_it():
    back = []

    def put_back(index):
        back.append(index)
        if index == 0:
            raise DeployError("It is gone.")

    with pytest.raises(Refused) as error:
        all_or_none(["a", "b", "c"], [1, 2, Refused("c refused.")], put_back)
    assert back == [0, 1]
    assert (
        error.value.message
        == "c refused. Balancer a could NOT be put back: It is gone. Balancer b is as it was before."
    )
    assert error.value.facts == {"changed": True}


def test_a_change_that_any_of_them_left_is_told():
    with pytest.raises(Refused) as error:
        all_or_none(["a", "b"], [Refused("a."), Refused("b.", changed=True)])
    assert error.value.facts == {"changed": True}


def test_where_nothing_was_written_nothing_is_said():
    with pytest.raises(Refused, match=r"^b\.$"):
        all_or_none(["a", "b"], [1, Refused("b.")])
