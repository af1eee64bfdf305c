# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer: the guard, refusals that leave everything as it was, several balancers as one operation."""

from __future__ import annotations

import multiprocessing
import threading
from contextlib import nullcontext

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import place
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.marks import OUT
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, read, set_pool

FORK = multiprocessing.get_context("fork")


def test_the_guard_counts_in_percent_rounded_up(rig):
    for least in ("51%", 3, "100%"):
        with pytest.raises(Refused, match=r"4 of 4 members are available; this would leave 2, .*Nothing was touched"):
            set_pool(rig.entry(), ["m1", "m2"], state="disabled", min_available=least)
    assert {m.state for m in rig.members().values()} == {"enabled"}
    set_pool(rig.entry(), ["m1", "m2"], state="disabled", min_available="50%")


@pytest.mark.parametrize(
    "options",
    [
        {"state": "disabled"},
        pytest.param({"state": "drained"}, marks=pytest.mark.needs("sticky_drain")),
        pytest.param({"weight": 0}, marks=pytest.mark.needs("weight_zero")),
    ],
)
def test_every_way_out_is_guarded_in_check_mode_too(rig, options):
    for check in (True, False):
        with pytest.raises(Refused):
            set_pool(rig.entry(), ["m1"], check=check, min_available=4, **options)
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("enabled", rig.weight)


@pytest.mark.each_version
@pytest.mark.needs("health_readback", "traffic")
def test_the_guard_knows_who_is_down(rig, apps):
    apps["m4"].kill()
    rig.wait_until("m4 is down", lambda pool: pool["m4"].health == "down")
    with pytest.raises(Refused, match=r"Not available already: m4 \(enabled, down\)"):
        set_pool(rig.entry(), ["m1"], state="disabled", min_available=3)
    set_pool(rig.entry(), ["m4"], state="disabled", min_available=4)


def _take_out(entry, name, turns, start, answers):
    for _turn in range(turns):
        start.wait()
        try:
            set_pool(entry, [name], state="disabled", min_available=2)
            answers.put((name, "out"))
        except Refused:
            answers.put((name, "refused"))
        except Exception as error:
            answers.put((name, repr(error)))


def test_writers_in_several_processes_never_take_too_many(rig):
    turns, names = 5, ("m1", "m2", "m3", "m4")
    start, answers = FORK.Barrier(len(names) + 1), FORK.SimpleQueue()
    # Each entry has a name of its own for the same balancer: the lock must not depend on it.
    writers = [
        FORK.Process(target=_take_out, args=(rig.entry(name=f"lb-{name}"), name, turns, start, answers))
        for name in names
    ]
    for writer in writers:  # forked before the watcher thread starts: a child inherits the locks that threads hold
        writer.start()
    least = [4]
    ended = threading.Event()

    def watch():
        balancer = rig.balancer()
        while not ended.is_set():
            least[0] = min(least[0], sum(m.available for m in balancer.members(POOL)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        for _turn in range(turns):
            start.wait(60)
            said = dict(answers.get() for each in writers)
            assert sorted(said.values()) == ["out", "out", "refused", "refused"], said
            health = "fresh" if rig.balancer().capabilities.returns_by_check else "none"
            set_pool(rig.entry(), list(said), state="enabled", health=health)
    finally:
        ended.set()
        watcher.join(20)
        for writer in writers:
            writer.kill()
            writer.join()
    assert least[0] == 2


@pytest.mark.parametrize("state", OUT)
def test_a_writer_that_no_lock_keeps_out_is_noticed_and_ours_is_put_back(rig, monkeypatch, state):
    driver = type(rig.balancer())
    apply = driver.apply

    def behind(self, pool, changes, distrust=False):
        monkeypatch.setattr(driver, "apply", apply)
        apply(self, pool, [Change("m2", state)])  # from another machine, between our count and our write
        return apply(self, pool, changes)

    monkeypatch.setattr(place, "only_writer", lambda *_: nullcontext())
    monkeypatch.setattr(driver, "apply", behind)
    with pytest.raises(Refused, match=r"another writer took members out.*2 of 4.*as they were before \(m1\)"):
        set_pool(rig.entry(), ["m1"], state=state, min_available=3)
    assert {name: m.state for name, m in rig.members().items()} == {
        "m1": "enabled",
        "m2": state,
        "m3": "enabled",
        "m4": "enabled",
    }


@pytest.mark.needs("weights")
def test_a_weight_out_of_range_is_refused_before_anything_is_written(rig):
    low, high = rig.balancer().capabilities.weight_range
    for weight in (low - 1, high + 1):
        with pytest.raises(
            InvalidInput, match=rf"weight {weight} of m1 is outside {low} to {high}\. Nothing was touched"
        ):
            set_pool(rig.entry(), ["m1"], state="disabled", weight=weight)
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("enabled", rig.weight)


@pytest.mark.each_version
@pytest.mark.parametrize("state", OUT)
def test_who_may_not_write_is_told_so_and_nothing_has_changed(rig, state):
    before = rig.written()
    with pytest.raises(Refused, match=rf"{rig.refusal}.*as they were before \(m1\)"):
        set_pool(rig.read_only_entry(), ["m1"], state=state)
    assert rig.written() == before
    assert len(read(rig.read_only_entry())["balancers"][0]["members"]) == 4


def test_check_mode_needs_no_permission_to_write(rig):
    assert set_pool(rig.read_only_entry(), ["m1"], check=True, state="disabled")["changed"] is True


OWN_STATES = pytest.mark.needs("own_states")


@pytest.fixture
def pair(make_rig):
    """Two balancers in front of the same members."""
    return make_rig(), make_rig()


@OWN_STATES
def test_several_balancers_are_one_operation(pair):
    entries = [rig.entry(name=f"lb{number}") for number, rig in enumerate(pair, 1)]
    heavy = pair[0].weight
    light = {"weight": 50} if pair[0].balancer().capabilities.weight_range else {}
    result = set_pool(entries, ["m1", "m2"], state="disabled", **light)
    assert [(b["name"], b["changed"]) for b in result["balancers"]] == [("lb1", True), ("lb2", True)]
    assert [rig.members()["m2"].state for rig in pair] == ["disabled", "disabled"]
    assert result["diff"]["before"].splitlines() == [
        f"lb{number} app/{member}: enabled, weight {heavy}" for number in (1, 2) for member in ("m1", "m2")
    ]
    assert result["diff"]["after"].splitlines() == [
        f"lb{number} app/{member}: disabled, weight {light.get('weight', heavy)}"
        for number in (1, 2)
        for member in ("m1", "m2")
    ]
    set_pool(entries, ["m1", "m2"], state="enabled")
    assert [rig.members()["m2"].available for rig in pair] == [True, True]


@OWN_STATES
@pytest.mark.parametrize("first", [True, False])
def test_when_one_refuses_the_other_is_put_back(pair, first):
    good, bad = pair[0].entry(name="good"), pair[1].read_only_entry(name="bad")
    before = [rig.written() for rig in pair]
    with pytest.raises(Refused, match=rf"Balancer bad: .*{pair[1].refusal}.*Balancer good is as it was before"):
        set_pool([good, bad] if first else [bad, good], ["m1"], state="disabled")
    assert [rig.written() for rig in pair] == before


@OWN_STATES
def test_when_one_is_not_there_the_other_is_put_back(pair):
    pair[1].stop()
    with pytest.raises(Unreachable, match="Balancer one is as it was before"):
        set_pool([pair[0].entry(name="one"), pair[1].entry(name="two")], ["m1"], state="disabled")
    assert pair[0].members()["m1"].state == "enabled"


def test_when_one_lacks_the_member_the_other_is_put_back(make_rig, apps):
    one, two = make_rig(), make_rig(members={"m2": apps["m2"].port})
    with pytest.raises(InvalidInput, match=r"has no member m1.*Balancer one is as it was before"):
        set_pool([one.entry(name="one"), two.entry(name="two")], ["m1"], state="disabled", min_available=0)
    assert one.members()["m1"].state == "enabled"


@OWN_STATES
def test_a_failed_return_takes_the_other_one_back_out(pair, apps):
    entries = [rig.entry(name=f"lb{number}") for number, rig in enumerate(pair, 1)]
    set_pool(entries, ["m1"], state="disabled")
    with pytest.raises(Refused, match="Balancer lb1 is as it was before"):
        set_pool([entries[0], pair[1].read_only_entry(name="lb2")], ["m1"], state="enabled")
    assert [rig.members()["m1"].state for rig in pair] == ["disabled", "disabled"]


def test_the_same_balancer_under_two_names_does_not_lock_itself_out(rig):
    result = set_pool([rig.entry(name="one"), rig.entry(name="two")], ["m1"], state="disabled")
    assert len(result["balancers"]) == 2 and rig.members()["m1"].state == "disabled"
