# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a lease is renewed, and what is made of a keeper that refuses or cannot be reached."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Late, Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.fence import held, left
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.fence import read
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils import lease as leases
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils import on_host


def lease(age, ttl=100):
    """One that was asked for so many seconds ago."""
    about = {"service": "shop", "rollout": "r-7", "fence": 7, "ttl": ttl, "kept_by": "lb1", "path": "/j"}
    return held(about, read(Clock()).later(-age))


def action(transport="ssh", check_mode=False, command=None):
    def ask(script, sudoable):
        answer = subprocess.run(["/bin/sh", "-c", command or script], capture_output=True, text=True, check=False)
        return {"stdout": answer.stdout, "stderr": answer.stderr}

    return SimpleNamespace(
        _task=SimpleNamespace(check_mode=check_mode),
        _connection=SimpleNamespace(transport=transport),
        _low_level_execute_command=ask,
    )


@pytest.fixture
def keeper(monkeypatch):
    """What the keeper answers, and what it was asked for."""
    told = SimpleNamespace(answer=None, asked=[])

    def answers(_action, host, _vars, module, args):
        told.asked.append((host, module, args))
        return told.answer

    monkeypatch.setattr(on_host, "module_on_host", answers)
    return told


def test_one_that_is_good_for_long_is_left_alone(keeper):
    assert leases.renewed(action(), {"lease": lease(40)}, {}) is None
    assert leases.renewed(action(check_mode=True), {"lease": lease(400)}, {}) is None
    assert leases.renewed(action(), {}, {}) is None
    assert keeper.asked == []


@pytest.mark.parametrize("age", [50, 500])
def test_one_that_wanes_or_is_over_is_renewed_by_whoever_keeps_it(keeper, age):
    keeper.answer = {"lease": {"renewed": "2026-11-22T10:00:00Z", "ttl": 100}}
    new = leases.renewed(action(), {"lease": lease(age)}, {})
    assert 88 < left(new, read(Clock())) <= 89 and new["renewed"] == "2026-11-22T10:00:00Z" and new["fence"] == 7
    asked = {"action": "record", "id": "r-7", "path": "/j", "service": "shop", "fence": 7, "ttl": 100}
    assert keeper.asked == [("lb1", "zero_downtime.deploy.rollout", asked)]


def test_one_that_another_controller_has_is_not(keeper):
    keeper.answer = {"failed": True, "msg": "number 8 is held by kim.", "holder": {"fence": 8}}
    with pytest.raises(Late, match="Nothing was touched. number 8 is held by kim") as caught:
        leases.renewed(action(), {"lease": lease(50)}, {})
    assert caught.value.facts["holder"] == {"fence": 8}


def test_a_keeper_that_cannot_be_reached_is_done_without_as_long_as_the_lease_is_good(keeper):
    keeper.answer = {"failed": True, "msg": "lb1 cannot be reached."}
    assert leases.renewed(action(), {"lease": lease(50)}, {}) is None
    with pytest.raises(Late, match="another controller may be at work.*could not be renewed: lb1 cannot be reached"):
        leases.renewed(action(), {"lease": lease(500)}, {})


def test_whoever_does_not_say_who_keeps_it_has_what_is_left(keeper):
    bare = {key: value for key, value in lease(50).items() if key != "kept_by"}
    assert leases.renewed(action(), {"lease": bare}, {}) is None
    with pytest.raises(Late):
        leases.renewed(action(), {"lease": {**bare, "until": 1.0}}, {})
    with pytest.raises(InvalidInput, match="`lease` is a dictionary"):
        leases.renewed(action(), {"lease": "r-7"}, {})
    assert keeper.asked == []


def test_another_host_is_asked_for_its_time_and_this_one_not():
    args = {"lease": lease(10), "pool": "app"}
    assert leases.by_its_clock(action("local"), args) is args
    there = leases.by_its_clock(action(), args)
    assert 77.5 < left(there["lease"], read(Clock())) <= 79 and there["pool"] == "app"
    with pytest.raises(Late, match="Before anything was sent to the host: nothing is written any more"):
        leases.by_its_clock(action(), {"lease": lease(100)})
    with pytest.raises(Unreachable, match="could not be asked for its time.*it said date: not here"):
        leases.by_its_clock(action(command="echo date: not here >&2"), args)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("1795255200\n5000.25 100.0\n", (1795255200.0, 5000.25)),
        ("Welcome to 3 hosts\n1795255200\n5000.25 100.0\n", (1795255200.0, 5000.25)),
        ("1795255200\n", (1795255200.0, None)),
        ("1795255200\nno such file\n", (1795255200.0, None)),
        ("", None),
        ("date: not found\n", None),
    ],
)
def test_what_a_host_says_of_its_time(answer, expected):
    assert leases.reading(answer) == expected
