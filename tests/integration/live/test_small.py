# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view where nothing is deployed: playbooks of others, mistakes of its own, runs that are cut short."""

from __future__ import annotations

import os
import signal

import fleet
import pytest

WAYS = pytest.mark.parametrize("how", ["callbacks_enabled", "stdout_callback"])
CORES = pytest.mark.parametrize("core", ["core-2.19", "core-2.16"])

OTHERS = [
    {"name": "Say it", "ansible.builtin.debug": {"msg": "hello"}},
    {"name": "Change it", "ansible.builtin.command": "true"},
    {"name": "Skip it", "ansible.builtin.command": "true", "when": False},
    {"name": "Try it", "ansible.builtin.fail": {"msg": "not today"}, "ignore_errors": True},
    {"name": "Fail", "ansible.builtin.fail": {"msg": "no"}},
]
CALLED = {
    "name": "Check it",
    "zero_downtime.deploy.health_check": {"targets": [{"name": "app1", "command": ["true"]}], "interval": 0.01},
}
WAITING = {"ansible.builtin.wait_for": {"timeout": 60}}


@CORES
@WAYS
def test_playbooks_of_others_run_as_without_it(play, config, how, core):
    without = play(OTHERS, core=core)
    with_it = play(OTHERS, config(how), core=core)
    assert (with_it.stdout, with_it.stderr, with_it.returncode) == (without.stdout, without.stderr, without.returncode)
    assert with_it.returncode == 2 and "not today" in with_it.stdout


@CORES
@pytest.mark.parametrize(
    ("how", "tasks"), [("callbacks_enabled", OTHERS), ("stdout_callback", [CALLED])], ids=["bad", "good"]
)
def test_a_mistake_of_its_own_disturbs_nobody(play, config, rollout, how, core, tasks):
    without = play(rollout(*tasks), core=core)
    with_it = play(rollout(*tasks), config(how, "broken"), core=core)
    assert with_it.returncode == without.returncode == (2 if tasks is OTHERS else 0)
    assert with_it.stdout == without.stdout
    said = with_it.stderr.replace("\n", " ")
    assert said.count("The live view has ended") == 1 and "broken in v2_playbook_on_start" in said


@CORES
def test_one_that_is_named_both_ways_shows_everything_once(play, config, rollout, core):
    run = play(
        rollout(CALLED), config("callbacks_enabled"), core=core, ANSIBLE_STDOUT_CALLBACK="zero_downtime.deploy.live"
    )
    assert run.stdout.count("begins: app1") == 1 and run.stdout.count("PLAY RECAP") == 1
    assert run.stdout.count("shop 2.0 | batch 1 of 1 | check") == 1


def test_it_can_be_switched_off(play, config, rollout):
    run = play(rollout(), config("callbacks_enabled"), ZERO_DOWNTIME_LIVE="off")
    assert run.stdout == play(rollout()).stdout


def test_what_is_not_to_be_logged_is_not_shown(play, config, rollout):
    run = play(rollout(no_log=True), config("callbacks_enabled"))
    assert run.returncode == 0 and "2.0" not in run.stdout and "All is well" not in run.stdout


def test_what_users_felt_is_read_from_the_record(play, config, rollout, tmp_path):
    seen = '{"at": 100, "outcomes": {"ok": 9, "refused": 1}, "versions": {}, "latencies": {"counts": {"29": 9}, "longest": 4.0}}'
    lines = ['{"kind": "zero_downtime.probe", "format": 1, "began": 100.0, "urls": [], "rate": 10, "timeout": 5}']
    lines += [f'{{"until": 101.0, "seconds": [{seen}]}}', '{"until": 102.0, "seco']
    (tmp_path / "record").write_text("\n".join(lines))
    run = play(rollout(), config("callbacks_enabled"), ZERO_DOWNTIME_LIVE_RECORD=str(tmp_path / "record"))
    assert " | 10 requests, 1 failed, p95 4.0 ms\n" in run.stdout and run.stderr == ""


def begun(run):
    """Wait until a batch is to be seen."""
    fleet.until(
        lambda: run.ever("batch 1 of 1", "0 of 1 host") or run.process.poll() is not None, "no batch is to be seen"
    )
    assert run.process.poll() is None, run.seen


@WAYS
def test_ctrl_c_leaves_nothing_but_a_line_that_tells_where_it_was(play, config, rollout, how):
    run = play(rollout(WAITING), config(how), in_terminal=True, wait=False)
    begun(run)
    os.killpg(run.process.pid, signal.SIGINT)
    run.wait()
    assert run.code == 99
    assert "0 of 1 host" not in run.seen and "shop 2.0, rolling" not in run.seen
    assert "shop 2.0 | the run ended in batch 1 of 1 (app1) after" in run.seen
    assert "User interrupted execution" in run.seen


def test_a_run_that_is_killed_leaves_a_terminal_that_can_be_used(play, config, rollout):
    run = play(rollout(WAITING), config("stdout_callback"), in_terminal=True, wait=False)
    begun(run)
    os.killpg(run.process.pid, signal.SIGTERM)
    run.wait()
    assert run.code == -signal.SIGTERM
    # The cursor is at the beginning of an empty line, and was never hidden.
    assert run.terminal.lines[-1] == "" and "\x1b[?" not in run.raw


@pytest.mark.parametrize(
    ("given", "redrawn", "colored"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"CI": "true"}, False, True),
        ({"CI": "true", "ZERO_DOWNTIME_LIVE": "redrawn"}, True, True),
        ({"ZERO_DOWNTIME_LIVE": "lines", "TERM": "dumb", "ANSIBLE_FORCE_COLOR": "1"}, False, True),
    ],
    ids=str,
)
def test_where_it_redraws_and_where_it_has_colours(play, config, rollout, given, redrawn, colored):
    wait = {"ansible.builtin.wait_for": {"timeout": 1}}
    run = play(rollout(wait), config("callbacks_enabled"), in_terminal=True, **given)
    assert run.code == 0, run.seen
    assert run.terminal.colored == colored
    assert run.ever("shop 2.0, rolling", "batch 1 of 1") == redrawn
    assert run.ever("shop 2.0 | batch 1 of 1 | begins: app1") != redrawn
    assert redrawn or not [sign for sign in ("\x1b[J", "\x1b[K", "A\r") if sign in run.raw]
    assert "shop 2.0, rolling" not in run.seen and "shop 2.0 | succeeded after" in run.seen
