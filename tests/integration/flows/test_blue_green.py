# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The idle colour gets the release, then all of the traffic, and gives it back when it is bad."""

from __future__ import annotations

import json
import re
import signal

import fleet
import pytest
from shops import CORES, HOSTS, phases, record

BLUE, GREEN = HOSTS[:3], HOSTS[3:]
GREEN_NEW = {**dict.fromkeys(BLUE, "1.0"), **dict.fromkeys(GREEN, "2.0")}


@pytest.fixture
def colors(shop, tmp_path):
    """app1 to app3 are blue and serve, app4 to app6 are green."""
    for host in GREEN:
        shop.ask(f"set server shop/{host} state maint")
        shop.ask(f"set server cart/{host} state maint")
    inventory = json.loads((shop.top / "inventory.json").read_text())
    for host, variables in inventory["shop"]["hosts"].items():
        variables["blue_green_color"] = "blue" if host in BLUE else "green"
    return placed(shop, tmp_path, inventory)


def placed(shop, tmp_path, inventory):
    place = tmp_path / "inventory.json"
    place.write_text(json.dumps(inventory))
    (tmp_path / "group_vars").symlink_to(shop.top / "group_vars")
    return place


def run(shop, inventory, version, *words, playbook="blue_green", hosts="shop", **variables):
    given = {"blue_green_bake": 1, "rollout_hosts": hosts, **variables}
    if version:
        given["rollout_version"] = version
    return shop.start(f"zero_downtime.deploy.{playbook}", *words, inventory=inventory, **given)


def serving(shop, pool="shop"):
    return [host for host, (state, _weight) in shop.pool(pool).items() if state == "enabled"]


@CORES
def test_there_and_back_and_there_again(shop, colors, core):
    with shop.under_load() as load:
        there = run(shop, colors, "2.0").wait().assert_good()
        assert serving(shop) == GREEN and shop.versions() == GREEN_NEW
        back = shop.roll_back(hosts="shop", inventory=colors).assert_good()
        assert serving(shop) == BLUE and shop.versions() == GREEN_NEW
        again = run(shop, colors, "2.0").wait().assert_good()
        assert serving(shop) == GREEN
    assert load["failed"] == 0 and load["by_kind"]["sticky"]["requests"] > 500, load
    # From the decision until every balancer had been read back.
    for output, words in ((there.output, "switched from blue in"), (back.output, "has its traffic back, on 1.0, in")):
        assert float(re.search(rf"{words} (\d+\.\d+) s", output).group(1)) < 1
    assert "green is live" in again.output
    # What is live already is left alone.
    before = shop.pool()
    nothing = run(shop, colors, "2.0").wait().assert_good()
    assert nothing.changed == 0 and "nothing to do. green is live on it" in nothing.output and shop.pool() == before


def test_what_fails_after_the_switch_is_switched_back(shop, colors, hooks, tmp_path):
    with shop.under_load() as load:
        no = hooks(after_switch=[{"name": "Say no", "ansible.builtin.fail": {"msg": "orders do not arrive"}}])
        given = {"rollout_hooks": no, "rollout_report": str(tmp_path / "reports")}
        run(shop, colors, "2.0", **given).wait().assert_bad("orders do not arrive", "blue has its traffic back")
    assert load["failed"] == 0, load["why"]
    assert serving(shop) == BLUE
    assert shop.journals()[-1]["outcome"] == "rolled_back" and shop.lease() is None
    told = record(tmp_path / "reports", "rolled_back")
    assert phases(told, "app4") == ["drain", "deploy", "check", "switch"] and phases(told, "app1") == ["undo_switch"]
    assert {*told["failures"]} == {*GREEN} and told["decided"] < told["undone"]


@pytest.mark.thorough
def test_a_release_that_does_not_bake_is_switched_back(shop, colors, hooks):
    # It answers nobody any more once it is live; what is cut off with it is forced by its death.
    stop = {"name": "Kill it", "ansible.builtin.shell": "kill -9 -$(cat {{ shop_directory }}/pid)", "when": "inventory_hostname == 'app4'"}
    given = {"rollout_hooks": hooks(after_switch=[stop]), "blue_green_bake": 2}
    run(shop, colors, "2.0", **given).wait().assert_bad("app4: not healthy", "blue has its traffic back")
    assert serving(shop) == BLUE


@pytest.mark.thorough
def test_what_fails_its_smoke_test_never_gets_traffic(shop, colors, hooks, notes):
    no = {"name": "Look at it", "ansible.builtin.fail": {"msg": "the page is empty"}, "when": "inventory_hostname == 'app5'"}
    given = {"rollout_hooks": hooks(smoke_test=[notes.task("smoke"), no], before_switch=[notes.task("before")])}
    run(shop, colors, "2.0", **given).wait().assert_bad("app5: hook smoke_test", "the page is empty")
    assert serving(shop) == BLUE and "switching" not in str(shop.journals()[-1]["events"])
    assert {line.split()[0] for line in notes.read()} == {"smoke"}


@pytest.mark.thorough
def test_a_release_that_does_not_start_moves_nobody(shop, colors):
    run(shop, colors, "3.0", rollout_health_deadline=3).wait().assert_bad("while green was deployed to", "blue serves as before")
    assert serving(shop) == BLUE


@pytest.fixture
def gated(colors, hooks, notes):
    """Variables of a rollout that waits before the switch, and before the old colour ends."""
    gates = [{"before": "switch", "approval": "testers are content"}, {"before": "promotion", "approval": "so is everybody"}]
    return {"rollout_gates": gates, "rollout_hooks": hooks(retire=[notes.task("retire")])}


@pytest.mark.thorough
def test_a_person_before_the_switch_and_one_before_the_end(shop, colors, gated, notes):
    first = run(shop, colors, "2.0", **gated).wait().assert_good()
    assert "has paused before the switch: waiting for approval: testers are content" in first.output and serving(shop) == BLUE
    deployed = shop.pid("app4")
    second = run(shop, colors, "", playbook="promote", **gated).wait().assert_good()
    assert "has paused before the promotion" in second.output and serving(shop) == GREEN
    assert "Paused: " in shop.play("zero_downtime.deploy.status", inventory=colors, rollout_hosts="shop").output
    # Nobody begins anything else meanwhile.
    run(shop, colors, "2.1", **gated).wait().assert_bad("is not finished", "Nothing was touched.")
    assert notes.read() == []
    run(shop, colors, "", playbook="promote", **gated).wait().assert_good()
    assert sorted(notes.read()) == [f"retire {host}" for host in BLUE]
    assert serving(shop) == GREEN and shop.pid("app4") == deployed and shop.journals()[-1]["outcome"] == "succeeded"


@pytest.mark.thorough
def test_one_that_waits_is_rolled_back(shop, colors, gated):
    run(shop, colors, "2.0", **gated).wait().assert_good()
    run(shop, colors, "", playbook="promote", **gated).wait().assert_good()
    assert serving(shop) == GREEN
    shop.roll_back(hosts="shop", inventory=colors).assert_good()
    assert serving(shop) == BLUE and shop.lease() is None


def test_after_a_kill_the_same_command_goes_on(shop, colors, hold):
    with shop.under_load() as load:
        # It is killed when all of the traffic has been moved.
        go = {"rollout_hooks": hold("after_switch")}
        cut = run(shop, colors, "2.0", **{**go, "rollout_hooks": go["rollout_hooks"]})
        fleet.until(lambda: serving(shop) == GREEN or cut.process.poll() is not None, f"no switch, see {cut.log}")
        cut.send(signal.SIGKILL)
        deployed = shop.pid("app4")
        run(shop, colors, "2.0").wait().assert_good()
    assert load["failed"] == 0, load["why"]
    assert serving(shop) == GREEN and shop.pid("app4") == deployed
    shop.roll_back(hosts="shop", inventory=colors).assert_good()
    assert serving(shop) == BLUE


@pytest.mark.thorough
def test_sessions_may_finish_on_the_old_colour(shop, colors, hooks, tmp_path):
    state = tmp_path / "states"
    look = {
        "name": "Look at the pool",
        "zero_downtime.deploy.pool_info": {"balancers": "{{ rollout_balancers }}", "pool": "shop"},
        "register": "seen",
        "run_once": True,
        "delegate_to": "localhost",
    }
    keep = {"name": "Keep it", "ansible.builtin.copy": {"dest": str(state), "content": "{{ seen.states | to_json }}"}, "run_once": True}
    given = {"rollout_hooks": hooks(after_switch=[look, keep]), "blue_green_sessions": "finish"}
    with shop.under_load() as load:
        run(shop, colors, "2.0", **given).wait().assert_good()
    assert load["failed"] == 0, load["why"]
    during = json.loads(state.read_text())["haproxy"]
    assert {during[host]["state"] for host in BLUE} == {"drained"}
    assert {shop.pool()[host][0] for host in BLUE} == {"disabled"}


@pytest.mark.thorough
def test_testers_reach_the_idle_colour_by_a_pool_of_their_own(shop, colors, hooks):
    no = hooks(smoke_test=[{"name": "Say no", "ansible.builtin.fail": {"msg": "not yet"}}])
    run(shop, colors, "2.0", rollout_hooks=no, blue_green_preview_pool="cart").wait().assert_bad("not yet")
    assert (serving(shop, "cart"), serving(shop)) == (GREEN, BLUE)


@pytest.mark.thorough
def test_two_instances_on_each_host(shop, tmp_path):
    """Three hosts; the blue instance of host N is app N, the green one app N+3."""
    for host in GREEN:
        shop.ask(f"set server shop/{host} state maint")
    known = json.loads((shop.top / "inventory.json").read_text())["shop"]["hosts"]
    hosts = {}
    for blue, green in zip(BLUE, GREEN):
        two = {"blue": known[blue], "green": known[green]}
        hosts[f"host-{blue}"] = {
            "ansible_connection": "local",
            "blue_green_members": {"blue": blue, "green": green},
            "instances": {color: {"name": name, **two[color]} for color, name in (("blue", blue), ("green", green))},
            "instance": "{{ instances[blue_green_target] }}",
            "shop_directory": "{{ instance.shop_directory }}",
            "shop_port": "{{ instance.shop_port }}",
        }
    inventory = placed(shop, tmp_path, {"shop": {"hosts": hosts}})
    restart = ["{{ ansible_playbook_python }}", "{{ demo_scripts }}/instance.py", "restart", "{{ shop_directory }}"]
    given = {
        "release_restart_command": [*restart, "{{ shop_port | string }}", "{{ instance.name }}"],
        "rollout_journal_host": "host-app1",
    }
    with shop.under_load() as load:
        run(shop, inventory, "2.0", **given).wait().assert_good()
        assert serving(shop) == GREEN and shop.versions() == GREEN_NEW
        run(shop, inventory, "2.1", **given).wait().assert_good()
    assert load["failed"] == 0, load["why"]
    assert serving(shop) == BLUE and shop.versions() == {**GREEN_NEW, **dict.fromkeys(BLUE, "2.1")}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "prepare, given, words",
    [
        (lambda shop: shop.ask("set server shop/app4 state ready"), {}, "both colours have members in traffic"),
        (None, {"hosts": "app1:app2:app3"}, "the hosts have 1: blue"),
        (None, {"blue_green_live": "red"}, "blue_green_live is 'red'"),
        (None, {"blue_green_bake": -1}, "cannot be negative"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_touched(shop, colors, prepare, given, words):
    if prepare:
        prepare(shop)
    before = shop.pool()
    run(shop, colors, "2.0", **given).wait().assert_bad(words, "Nothing was touched.")
    assert shop.pool() == before and set(shop.versions().values()) == {"1.0"}


def test_check_mode_touches_nothing(shop, colors):
    before = shop.all_of_it()
    told = run(shop, colors, "2.0", "--check", "--diff").wait().assert_good()
    assert "would deploy to green (app4, app5, app6) and give it the traffic of blue. Check mode: nothing was written." in told.output
    assert shop.all_of_it() == before
