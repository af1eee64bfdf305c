# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs print, in the design's words; without a program."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import command, programs
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Capabilities
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.counters import Served
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import STATES

ALL = Capabilities(weight_range=(0, 256), health_readback=True)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["members", "pools", "version", "name", "state"]) | st.text(), inner, max_size=4
        )
    ),
    max_leaves=12,
)
ROW = st.fixed_dictionaries(
    {
        "name": st.text(min_size=1),
        "address": st.text(),
        "state": st.sampled_from(STATES),
        "weight": st.integers(0, 1000),
        "health": st.sampled_from(command.HEALTH),
    },
    optional={"checked": st.booleans(), "last_check": st.text()},
)


@given(st.lists(ROW, unique_by=lambda row: row["name"]))
def test_what_is_as_agreed_is_taken_word_for_word(rows):
    members = command.members_in({"members": rows}, ALL)
    for row, member in zip(rows, members):
        assert (member.name, member.address, member.state, member.weight) == (
            row["name"],
            row["address"],
            row["state"],
            row["weight"],
        )
        assert member.checked is row.get("checked", True)
        assert member.health == (row["health"] if member.checked else "unknown")


GOT = {"requests": 9, "errors": 1, "broken": 0, "unanswered": 2, "left": 3}


def test_what_users_got_is_taken_as_told_or_not_told():
    assert command.served_in({"since": "a", "served": GOT}) == Served(since="a", **GOT)
    assert command.served_in({"since": "a", "members": {}}) is None


@pytest.mark.parametrize(
    "answer", [{"served": [1]}, {"served": {**GOT, "left": -1}}, {"served": {"requests": 9}}, {"since": 7, "served": GOT}]
)
def test_what_users_got_is_no_answer_otherwise(answer):
    with pytest.raises(command.NotAsAgreed, match="`(served|since|left|errors)`"):
        command.served_in({"since": "a", **answer})


@given(ROW, st.sampled_from(["name", "address", "state", "weight", "health", "checked", "last_check"]), JSON)
def test_one_wrong_value_is_found_or_was_right(row, key, value):
    row.pop("checked", None)  # of a member that is not checked, its health is not looked at
    try:
        (member,) = command.members_in({"members": [{**row, key: value}]}, ALL)
    except command.NotAsAgreed as error:
        assert key in str(error)
    else:
        assert isinstance(value, (bool if key == "checked" else int if key == "weight" else str))
        assert not (key == "weight" and isinstance(value, bool))
        assert member.state in STATES and member.health in command.HEALTH


@given(st.text() | JSON.map(command.json.dumps), st.sampled_from([[], ["fresh_health"]]))
def test_whatever_is_printed_ends_in_members_or_in_words(printed, can):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "run", lambda *words: programs.Ended(0, printed, ""))
        balancer = open_balancer({"provider": "command", "read": ["r"], "write": ["w"], "can": can, "weights": [0, 9]})
        try:
            balancer.members("app")
        except DeployError as error:
            assert error.message.startswith("Balancer ")


@pytest.mark.parametrize("pool", ["", "a\nb", "a\x00b", "\x1b[2J"])
def test_what_can_be_no_name_runs_no_program(pool, monkeypatch):
    monkeypatch.setattr(programs, "run", None)
    with pytest.raises(DeployError, match="no name of a pool"):
        open_balancer({"provider": "command", "read": ["r"], "write": ["w"]}).members(pool)
