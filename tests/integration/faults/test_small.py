# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the campaign decides by itself: which cases there are, and what it calls a violation."""

from __future__ import annotations

import pytest
from faults import judge
from faults.cases import Case, catalogue, choose, parse

HERE = {"app1": ("enabled", 100), "app2": ("enabled", 30)}
POOLS = {"b1": HERE, "b2": HERE}
NEW = dict.fromkeys(HERE, "2.0")
GOOD = {"versions": NEW, "current": NEW, "pools": POOLS, "owner": None, "outcome": "succeeded"}


def test_a_case_is_repeated_by_its_name():
    for case in catalogue({"rolling": 3, "blue_green": 2}, 7):
        assert parse(str(case)) == case


@pytest.mark.parametrize("name", ["", "rolling", "rolling/kill/x/again", "swimming/kill/1/again", "rolling/kill/1/never"])
def test_what_is_no_case_is_named(name):
    with pytest.raises(ValueError, match="no case"):
        parse(name)


def test_a_seed_makes_the_same_choice_and_few_cases_are_of_every_kind():
    steps = {"rolling": 20, "blue_green": 20, "canary": 20}
    chosen = choose(catalogue(steps, 5), 5, 12)
    assert chosen == choose(catalogue(steps, 5), 5, 12) != choose(catalogue(steps, 6), 6, 12)
    assert len({(case.family, case.strategy) for case in chosen}) == 12
    assert len(catalogue(steps, 5)) >= 300
    deaths = {(case.fault, case.step) for case in catalogue({"rolling": 20}, 5) if case.delay is None}
    assert deaths >= {(fault, step) for fault in ("kill", "term", "int") for step in range(20)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"versions": {"app1": "2.0", "app2": "1.0"}}, "answers: {'app2': '1.0'}"),
        ({"versions": {"app1": "2.0", "app2": "none"}}, "does not answer"),
        ({"current": {"app1": "2.0", "app2": "1.0"}}, "current on disk"),
        ({"pools": {"b1": HERE, "b2": {**HERE, "app2": ("disabled", 30)}}}, "b2/app2: ('disabled', 30), expected ('enabled', 30)"),
        ({"pools": {"b1": HERE, "b2": {**HERE, "app2": ("enabled", 100)}}}, "b2/app2: ('enabled', 100), expected ('enabled', 30)"),
        ({"pools": {"b1": HERE}}, "b2/app1: None"),
        ({"owner": {"name": "somebody"}}, "the lease is still held"),
        ({"outcome": "unfinished"}, "no outcome"),
        ({"strangers": {1234: "keeper"}}, "left running: 1234 keeper"),
    ],
)
def test_what_is_not_as_it_must_be_is_said(change, words):
    assert judge.violations(judge.Seen(**GOOD), POOLS, "rolling", "2.0", True) == []
    found = judge.violations(judge.Seen(**{**GOOD, **change}), POOLS, "rolling", "2.0", True)
    assert words in "; ".join(found)


@pytest.mark.parametrize(
    ("said", "change", "words"),
    [
        ("Rollout of shop to 2.0 succeeded: 2 hosts are on it, healthy and in traffic as before.", {}, ""),
        ("2 hosts are on it, healthy and in traffic as before.", {"versions": {"app1": "2.0", "app2": "1.0"}}, "they are ['app1']"),
        ("1 host is back on 1.0, states and weights as before.", {"versions": {"app1": "2.0", "app2": "1.0"}}, ""),
        ("1 host is back on 1.0, states and weights as before.", {}, "they are []"),
        (
            "2 hosts are on it, healthy and in traffic as before.",
            {"pools": {"b1": {**HERE, "app1": ("disabled", 100)}}}, "they are ['app2']",
        ),
        ("app1: unreachable: no route. Nothing was touched.", {}, "nothing was touched"),
        ("app1: unreachable: no route. Nothing was touched.", {"versions": {"app1": "1.0", "app2": "none"}}, ""),
        ("app1: deploy: no source. Nothing was touched. 1 host is back on 2.0, states and weights as before.", {}, ""),
    ],
)
def test_what_a_run_says_is_held_against_what_is_seen(said, change, words):
    found = judge.untrue(said, judge.Seen(**{**GOOD, **change}), POOLS, "1.0", "2.0")
    assert words in "; ".join(found) and bool(found) == bool(words)


def test_blue_green_changes_sides_and_only_who_serves_must_have_the_release():
    before = {"b1": {"app1": ("enabled", 100), "app2": ("disabled", 30)}}
    after = {"b1": {"app1": ("disabled", 100), "app2": ("enabled", 30)}}
    versions = {"app1": "1.0", "app2": "2.0"}
    seen = judge.Seen(versions, versions, after, None, "succeeded")
    assert judge.violations(seen, before, "blue_green", "2.0", True) == []
    assert judge.violations(seen, before, "blue_green", "1.0", False) != []


def test_a_failure_is_forced_by_its_fault_alone():
    failed = {"outcome": "failed", "why": "refused", "status": 0, "member": "", "target": "b2:80", "start": 10.0, "end": 10.1}
    lost = judge.Window("b2:80", 9.0, 11.0)
    samples = [failed, {**failed, "target": "b1:80"}, {**failed, "start": 11.5, "end": 11.6}, {**failed, "outcome": "ok"}]
    by_fault, others = judge.forced(samples, [lost], [])
    assert (by_fault, others) == (samples[:1], samples[1:3])


def test_the_catalogue_holds_every_family():
    families = {case.family for case in catalogue({"rolling": 2}, 1)}
    assert families == {"controller", "balancer", "host", "application"} == {
        Case("rolling", fault, None, None, "again").family for fault in ("int-group", "b2-differs", "app3-disk", "endless-cut")
    }
