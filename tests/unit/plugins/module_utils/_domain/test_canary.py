# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a canary and what follows a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import canary
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput

SIX = [f"app{number}" for number in range(1, 7)]
ISSUE = [{"traffic": 5, "watch": "2m"}, {"traffic": 25, "watch": "5m"}, {"hosts": "50%", "watch": 60}]


def test_the_first_step_has_one_host_and_what_is_not_said_stays():
    one, two, three = canary.steps(ISSUE, 6)
    assert (one.hosts, one.traffic, one.watch) == (1, 5, 120)
    assert (two.hosts, two.traffic, two.watch) == (1, 25, 300)
    assert (three.hosts, three.traffic, three.watch, three.pause) == (3, None, 60, 0)


def test_who_is_compared_with_whom_at_the_same_share():
    one, two, three = canary.parts(SIX, canary.steps(ISSUE, 6))
    assert (one["canary"], one["baseline"], one["rest"]) == (["app1"], ["app6"], ["app2", "app3", "app4", "app5"])
    assert one["shares"] == {"canary": 5, "baseline": 5, "rest": 90}
    assert two["shares"] == {"canary": 25, "baseline": 25, "rest": 50}
    assert (three["canary"], three["baseline"], three["rest"]) == (SIX[:3], SIX[3:], [])
    assert three["shares"] is None


def test_where_nobody_is_left_the_baseline_takes_the_rest():
    (only,) = canary.parts(["a", "b"], canary.steps([{"traffic": 10, "watch": 1}], 2))
    assert only["shares"] == {"canary": 10, "baseline": 90}


def test_a_smaller_baseline_takes_as_much_for_each_host():
    (only,) = canary.parts(SIX, canary.steps([{"hosts": 4, "traffic": 40, "watch": 1}], 6))
    assert (len(only["canary"]), len(only["baseline"]), only["rest"]) == (4, 2, [])


def test_steps_without_new_hosts_belong_to_the_batch_before():
    steps = canary.steps(ISSUE, 6)
    assert canary.groups(SIX, steps) == [["app1"], ["app2", "app3"]]
    assert canary.steps_of_group(steps) == [[0, 1], [2]]


@pytest.mark.parametrize(
    "asked, words",
    [
        ([], "canary_steps is empty"),
        (None, "canary_steps is empty"),
        ([{}], "a step has some of hosts, traffic, watch, pause"),
        ([{"trafic": 5}], "a step has some of"),
        ([{"traffic": 0}], "above 0 and up to 50 percent"),
        ([{"traffic": 60}], "above 0 and up to 50 percent"),
        ([{"traffic": "much"}], "above 0 and up to 50 percent"),
        ([{"hosts": 0}], "a count such as 2 or a share"),
        ([{"hosts": "100%"}], "none would be left to compare them with"),
        ([{"hosts": 3}, {"hosts": 2}], "a canary only grows"),
        ([{"watch": "soon"}], r"canary_steps\[0\].watch is a length of time"),
        ([{"watch": "soon"}, {"traffic": 99}], r"canary_steps\[1\].traffic"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked, words):
    with pytest.raises(InvalidInput, match=words):
        canary.steps(asked, 6)


def test_a_single_host_has_nobody_to_be_compared_with():
    with pytest.raises(InvalidInput, match="none would be left"):
        canary.steps([{"traffic": 5}], 1)


STEPS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "hosts": st.one_of(st.integers(1, 9), st.integers(1, 100).map("{}%".format)),
            "traffic": st.floats(0.1, 50),
            "watch": st.integers(0, 600),
        },
    ).filter(bool),
    min_size=1,
    max_size=6,
)


@given(STEPS, st.integers(2, 12))
def test_never_more_canary_than_asked_and_everybody_is_somewhere_once(asked, total):
    order = [f"h{number}" for number in range(total)]
    try:
        steps = canary.steps(asked, total)
    except InvalidInput:
        return
    for step, part in zip(steps, canary.parts(order, steps)):
        assert len(part["canary"]) == step.hosts < total and part["baseline"]
        assert sorted(part["canary"] + part["baseline"] + part["rest"]) == sorted(order)
        if part["shares"]:
            assert part["shares"]["canary"] == step.traffic
            assert sum(part["shares"].values()) == pytest.approx(100)
            assert all(share > 0 or not part[name] for name, share in part["shares"].items())
    grown = [host for group in canary.groups(order, steps) for host in group]
    assert grown == order[: steps[-1].hosts]
    assert [n for numbers in canary.steps_of_group(steps) for n in numbers] == list(range(len(steps)))


@given(
    st.sampled_from([canary.FAIL, canary.INCONCLUSIVE, "", "passed", "PASS", "error"]),
    st.sampled_from(canary.AFTER_INCONCLUSIVE),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
)
def test_nothing_but_a_pass_goes_on(verdict, policy, waited, longest):
    action = canary.decision(verdict, "because", policy, waited, longest)["action"]
    assert action != canary.GO_ON
    assert (action == canary.UNDO) == (verdict == canary.FAIL or policy == canary.UNDO)
    # Waiting ends.
    assert action != canary.WAIT or waited < longest


@given(st.sampled_from(canary.AFTER_INCONCLUSIVE))
def test_a_pass_goes_on(policy):
    assert canary.decision(canary.PASS, "well", policy, 1, 2) == {"action": canary.GO_ON, "why": "well"}
