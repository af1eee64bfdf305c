# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view of real rollouts: as lines in place of the usual output, and redrawn beside it."""

from __future__ import annotations

import re

import pytest
import runs
import shops

RAMP = {"rolling_batches": [1, 2]}


@pytest.fixture
def roll(shop, config, monkeypatch):
    """Run the playbook `rolling` with the view beside the usual output or in its place."""
    for name in ("ZERO_DOWNTIME_LIVE", "ZERO_DOWNTIME_LIVE_RECORD", *runs.FOREIGN):
        monkeypatch.delenv(name, raising=False)

    def run(how, in_terminal, **variables):
        with monkeypatch.context() as patch:
            if in_terminal:
                patch.setattr(shops, "Run", runs.InTerminal)
            return shop.roll("2.0", config=config(how), **RAMP, **variables)

    return run


def test_a_bad_rollout_as_lines_in_place_of_the_usual_output(shop, roll, hooks):
    run = roll("stdout_callback", False, rollout_hooks=hooks(before_enable=[shops.fails("app3")])).assert_bad()
    shop.assert_as_ever("1.0")
    masked = re.sub(r"(?:\d+ min )?\d+(?:\.\d)? s\b", "N s", run.output)
    told = [
        line for line in masked.splitlines() if line.startswith(("shop", "Rollout", "3 hosts", "fatal", "TASK", "PLAY"))
    ]

    def phases(place, *names):
        return [f"shop 2.0 | {place} | {name} N s" for name in names]

    why = "app3: hook before_enable, task 'Say no': no, not here"
    deployed = ("drain", "deploy", "check")
    assert told == [
        f"TASK [zero_downtime.deploy.rollout : Show the plan] {'*' * 28}",
        "shop 2.0 | batch 1 of 2 | begins: app1",
        *phases("batch 1 of 2", *deployed, "return", "soak"),
        "shop 2.0 | batch 2 of 2 | begins: app2, app3",
        *phases("batch 2 of 2", *deployed),
        "TASK [zero_downtime.deploy.rolling : Say no] ***********************************",
        'fatal: [app3]: FAILED! => {"changed": false, "msg": "no, not here"}',
        f"shop 2.0 | batch 2 of 2 | FAILED after N s: {why}",
        "shop 2.0 | undo 1 of 2 | begins: app2, app3",
        *phases("undo 1 of 2", *deployed, "return"),
        "shop 2.0 | undo 2 of 2 | begins: app1",
        *phases("undo 2 of 2", *deployed, "return"),
        "shop 2.0 | rolled back after N s",
        f"Rollout of shop to 2.0 FAILED in the batch app2, app3: {why}.",
        "3 hosts are back on 1.0, states and weights as before.",
        "PLAY RECAP *********************************************************************",
    ]
    assert (run.recap["app3"]["rescued"], run.recap["app3"]["failed"], run.recap["app1"]["failed"]) == (1, 1, 0)
    # Nothing that a log could not hold.
    assert not set(run.output) & {"\x1b", "\r", "\b"}


def test_a_good_rollout_redrawn_beside_the_usual_output(shop, roll):
    run = roll("callbacks_enabled", True).assert_good()
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"})
    # What was to be seen on the way, at one moment each.
    assert run.ever("shop 2.0, rolling", "0 of 3 hosts", "batch 1 of 2", "✓ drain", "▸ deploy", "deploy: app1")
    assert run.ever("about", " left", "1 of 3 hosts", "batch 2 of 2", "▸ deploy", "deploy: app2, app3")
    # Never more than once, and all of it.
    assert all(moment.count("shop 2.0, rolling") <= 1 for moment in run.moments)
    # What is left: the usual output, whole and in order, and between it a line for each batch and one for the end.
    left = run.seen
    assert "of 3 hosts" not in left and "▸" not in left
    first, second, end = re.findall(r"^[✓✗] .*$", left, re.MULTILINE)
    assert first.startswith("✓ batch 1 of 2: app1, ")
    assert second.startswith("✓ batch 2 of 2: app2, app3, ")
    assert end.startswith("✓ shop 2.0 | succeeded after ")
    assert left.index("TASK [zero_downtime.deploy.rolling : Count the batch as done]") < left.index(first)
    assert (
        left.index(end)
        < left.index("TASK [zero_downtime.deploy.rollout : Say how it ended]")
        < left.index("PLAY RECAP")
    )
    assert "3 hosts are on it, healthy and in traffic as before" in left.replace("\n", "")
    # At most ten redraws a second.
    seconds = float(re.search(r"succeeded after (\d+(?:\.\d)?) s", end).group(1))
    assert run.raw.count("shop 2.0, rolling") <= 10 * seconds + 1


def test_in_place_of_the_usual_output_what_is_asked_for_is_said_and_with_v_everything(shop, roll, config):
    status = {"config": config("stdout_callback"), "rollout_hosts": "app1:app2"}
    run = shop.play("zero_downtime.deploy.status", **status).assert_good()
    assert run.output.count("TASK [") == 1 and "TASK [zero_downtime.deploy.rollout : Show the service]" in run.output
    assert "app1" in run.output and "PLAY RECAP" in run.output and "shop 1.0 |" not in run.output
    talkative = shop.play("zero_downtime.deploy.status", "-v", **status).assert_good()
    assert (
        "PLAY [Show the service]" in talkative.output and " : Read the pool on every balancer]" in talkative.output
    )
    assert 'ok: [app1 -> localhost] => {"balancers"' in talkative.output
