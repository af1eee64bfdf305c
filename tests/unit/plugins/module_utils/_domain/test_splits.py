# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.groups import groups_in
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import DISABLED, ENABLED, UP, Member
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.splits import split_into

BLUE, GREEN = ("app1", "app2"), ("app3", "app4")


def pool(**weights):
    return [
        Member(name, f"{name}:80", DISABLED if name in BLUE else ENABLED, weights.get(name, 100), UP, 0, True, "") for name in BLUE + GREEN
    ]


def weights(members, **more):
    groups = groups_in({"blue": {"members": BLUE, "share": 100, **more}, "green": {"members": GREEN, "share": 0}})
    return {change.name: change.weight for change in split_into(groups, members, DISABLED, (0, 256)).wanted}


def test_a_group_that_gets_all_of_the_traffic_keeps_the_weights_of_its_members():
    assert weights(pool(app2=30)) == {"app1": 100, "app2": 30, "app3": None, "app4": None}


@pytest.mark.parametrize(
    ("members", "more"), [(pool(app2=30), {"weights": {"app1": 1}}), (pool(app2=0), {})], ids=["it says so", "one would get nothing"]
)
def test_unless_it_must_not(members, more):
    assert weights(members, **more) == {"app1": 1, "app2": 1, "app3": None, "app4": None}
