# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the last look at the balancers adds to the end of a rollout."""

from __future__ import annotations

import pytest
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.closing import last_look

ON, OUT = {"state": "enabled", "weight": 100}, {"state": "disabled", "weight": 100}
HOSTS = {"n1": "m1", "n2": "m2"}


def look(first=None, second=None, health="up"):
    members = [{"name": "m1", "health": health, **(first or ON)}, {"name": "m2", "health": "up", **(second or ON)}]
    return {
        "balancers": [
            {"name": "lb1", "members": members},
            {"name": "lb2", "members": [{"name": "m1", "health": "up", **ON}]},
        ]
    }


@pytest.mark.parametrize(
    ("before", "left_out", "seen", "told"),
    [
        ({"lb1": {"m1": ON, "m2": ON}}, [], look(), []),
        ({"lb1": {"m1": OUT, "m2": ON}}, [], look(OUT), ["Out of traffic before the rollout, and left so: n1: disabled on lb1."]),
        ({"lb1": {"m1": ON, "m2": ON}}, [], look(OUT), ["Out of traffic now, by another hand: n1: disabled on lb1."]),
        (
            {"lb1": {"m1": ON, "m2": ON}}, [], look(health="down"),
            ["In traffic, and failing the balancers' checks now: n1: failing its check on lb1."],
        ),
        ({"lb1": {"m1": ON, "m2": ON}}, [], look({**ON, "weight": 0}), ["Out of traffic now, by another hand: n1: of weight 0 on lb1."]),
        ({"lb1": {"m1": ON, "m2": ON}}, ["n1"], look(OUT), []),
        ({}, [], look(OUT, OUT), ["Out of traffic, by no rollout that the journal knows: n1, n2: disabled on lb1."]),
        (
            {"lb1": {"m1": {**ON, "effective": "disabled"}, "m2": ON}}, [], look(OUT, OUT),
            [
                "Out of traffic before the rollout, and left so: n1: disabled on lb1.",
                "Out of traffic now, by another hand: n2: disabled on lb1.",
            ],
        ),
    ],
)  # fmt: skip
def test_who_is_out_is_told_with_the_hand_that_did_it(before, left_out, seen, told):
    assert last_look(HOSTS, before, left_out, seen) == told


def test_balancers_that_do_not_answer_are_told():
    (told,) = last_look(HOSTS, {}, [], {"failed": True, "msg": "lb1: connection refused"})
    assert told.endswith("this is what each step saw: lb1: connection refused.")
