# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Death is proven or not claimed."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.owner import (
    FIRST_PID_NAMESPACE,
    described,
    proof_of_death,
    same,
)

HERE = {
    "name": "kim", "controller": "c1", "pid": 10, "process_started": 500, "boot_id": "boot-1",
    "pid_namespace": FIRST_PID_NAMESPACE, "machine": "m1",
}


def lives(pid):
    return True, 500


def gone(pid):
    return False, None


def test_the_same_process_is_the_same_whatever_its_name():
    assert same(HERE, dict(HERE, name="somebody else"))


@pytest.mark.parametrize("key", ["controller", "pid", "process_started", "boot_id", "pid_namespace", "machine"])
def test_one_difference_makes_another_owner(key):
    assert not same(HERE, dict(HERE, **{key: 7}))


@pytest.mark.parametrize("key", ["controller", "pid", "process_started"])
def test_what_is_unknown_is_not_the_same(key):
    unknown = dict(HERE, **{key: None})
    assert not same(unknown, dict(unknown))


def test_a_process_that_is_gone_is_dead():
    assert proof_of_death(HERE, HERE, gone) == "process 10 no longer runs on c1"


def test_a_process_that_lives_is_not():
    assert proof_of_death(HERE, HERE, lives) is None


def test_a_reused_process_id_is_dead():
    assert "another one" in proof_of_death(HERE, HERE, lambda pid: (True, 501))


def test_a_start_that_cannot_be_read_proves_nothing():
    assert proof_of_death(HERE, HERE, lambda pid: (True, None)) is None
    assert proof_of_death(dict(HERE, process_started=None), HERE, lives) is None


@pytest.mark.parametrize("key", ["controller", "boot_id", "pid_namespace", "pid"])
def test_nothing_is_concluded_from_what_is_unknown(key):
    assert proof_of_death(dict(HERE, **{key: None}), HERE, gone) is None


@pytest.mark.parametrize("key", ["controller", "boot_id", "pid_namespace"])
def test_nothing_is_concluded_when_this_side_is_unknown(key):
    assert proof_of_death(HERE, dict(HERE, **{key: None}), gone) is None


def test_another_controller_is_never_proven_dead():
    assert proof_of_death(dict(HERE, controller="c2"), HERE, gone) is None


def test_another_container_of_the_same_name_is_never_proven_dead():
    assert proof_of_death(dict(HERE, pid_namespace="pid:[4026532001]"), HERE, gone) is None


def test_a_process_from_before_the_reboot_is_dead():
    assert proof_of_death(dict(HERE, boot_id="boot-0"), HERE, lives) == "c1 was restarted since"


@pytest.mark.parametrize(
    "differing", [{"machine": "m2"}, {"machine": None}, {"controller": "c2"}, {"pid_namespace": "pid:[4026532001]"}]
)
def test_another_boot_of_a_perhaps_different_system_proves_nothing(differing):
    holder = dict(HERE, boot_id="boot-0", **differing)
    assert proof_of_death(holder, HERE, gone) is None


def test_another_boot_seen_from_two_containers_proves_nothing():
    inside = dict(HERE, pid_namespace="pid:[4026532001]")
    assert proof_of_death(dict(inside, boot_id="boot-0"), inside, gone) is None


def test_in_words():
    assert described(HERE) == "kim on c1 (process 10)"
    assert described({"name": None}) == "somebody"
