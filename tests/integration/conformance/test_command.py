# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only programs of one's own have: the protocol's strictness, what an entry claims, and the examples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.declaration import Capabilities
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import read, set_pool, until
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.command import EXAMPLES

M1 = {"name": "m1", "address": "127.0.0.1:1", "state": "enabled"}


def written(directory, name, text):
    """A program in Python; the words that run it."""
    path = directory / f"{name}.py"
    path.write_text(
        f"import json, os, pathlib, sys, time\nhere = pathlib.Path(__file__).parent\n{text}\n", encoding="utf-8"
    )
    return [sys.executable, str(path)]


def prints(directory, answer, name="read"):
    """A program that prints `answer`."""
    return written(directory, name, f"print({json.dumps(answer)!r})")


def entry(directory, **options):
    """An entry whose write does nothing, successfully."""
    return {"provider": "command", "write": written(directory, "write", "pass"), **options}


def test_what_each_program_is_given(tmp_path):
    answers = {"read": {"members": [M1], "version": "7"}, "write": None, "in_flight": {"m1": 0}}
    words = {
        name: written(
            tmp_path, name, f"(here / '{name}.json').write_text(sys.stdin.read())\nprint({json.dumps(answers[name])!r})"
        )
        for name in answers
    }
    balancer = open_balancer({"provider": "command", **words, "can": ["fresh_health"], "weights": [0, 9]})
    with pytest.raises(Unreachable, match="`weight` of m1 is None"):
        balancer.apply("shop", [Change("m1", "disabled", 3), Change("m2", weight=0)], distrust=True)
    assert json.loads((tmp_path / "write.json").read_text()) == {
        "pool": "shop",
        "changes": [{"name": "m1", "state": "disabled", "weight": 3}, {"name": "m2", "weight": 0}],
        "distrust": True,
    }
    balancer = open_balancer({"provider": "command", **words})
    balancer.apply("shop", [Change("m1", "enabled")])
    assert json.loads((tmp_path / "write.json").read_text()) == {
        "pool": "shop",
        "changes": [{"name": "m1", "state": "enabled"}],
    }
    for name in ("read", "in_flight"):
        assert json.loads((tmp_path / f"{name}.json").read_text()) == {"pool": "shop"}
    assert balancer.version() == "7"


def test_what_is_not_claimed_is_not_looked_at(tmp_path):
    more = {"weight": 0, "health": "down", "last_check": "no", "in_flight": 7}
    words = prints(tmp_path, {"members": [{**M1, **more}]})
    (member,) = read(entry(tmp_path, read=words))["balancers"][0]["members"]
    assert member == {
        **M1, "own_state": "enabled", "tier": 0, "weight": 1, "weight_by": "", "health": "unknown", "in_flight": None, "checked": False,
        "last_check": "",
    }  # fmt: skip


def test_what_is_claimed_must_be_answered(tmp_path):
    words = prints(tmp_path, {"members": [{**M1, "weight": 5}]})
    with pytest.raises(Unreachable, match="`health` of m1 is None and no text"):
        read(entry(tmp_path, read=words, can=["health_readback"]))
    with pytest.raises(Unreachable, match="`m1` of the answer is None and no whole number"):
        read(entry(tmp_path, read=words, in_flight=prints(tmp_path, {"m2": 1}, "in_flight")))
    assert read(entry(tmp_path, read=words, weights=[0, 9]))["balancers"][0]["members"][0]["weight"] == 5


def test_a_program_that_does_nothing_is_found_by_reading_back(tmp_path):
    words = prints(tmp_path, {"members": [M1, {**M1, "name": "m2"}]})
    with pytest.raises(NotApplied, match=r"m1 was to be disabled and, read back, is enabled.*look at that program"):
        set_pool(entry(tmp_path, read=words), ["m1"], state="disabled")


def test_what_a_failing_program_says_is_told(tmp_path):
    words = prints(tmp_path, {"members": [M1, {**M1, "name": "m2"}]})
    failing = written(tmp_path, "failing", "sys.exit('the change window is closed')")
    with pytest.raises(Refused, match="failing.py` ended with 1: the change window is closed"):
        set_pool(entry(tmp_path, read=words, write=failing), ["m1"], state="disabled")
    with pytest.raises(Unreachable, match="failing.py` ended with 1: the change window is closed"):
        read(entry(tmp_path, read=failing))
    with pytest.raises(Unreachable, match="ended with 3: it said nothing"):
        read(entry(tmp_path, read=written(tmp_path, "silent", "sys.exit(3)")))


def test_what_else_is_told_of_a_member_is_taken(tmp_path):
    more = {"tier": 1, "own_state": "enabled", "requests": 7, "check_progress": [1, 3], "health": "down"}
    words = prints(tmp_path, {"members": [{**M1, "state": "disabled", **more}, {**M1, "name": "m2", "health": "up"}]})
    one, two = open_balancer(entry(tmp_path, read=words, can=["health_readback"])).members("shop")
    assert (one.tier, one.state, one.own, one.requests, one.check_progress) == (1, "disabled", "enabled", 7, (1, 3))
    assert (two.tier, two.own, two.requests, two.check_progress) == (0, "enabled", None, None)


def test_a_count_that_is_not_known_is_not_zero(tmp_path):
    words = prints(tmp_path, {"members": [M1, {**M1, "name": "m2"}]})
    counts = prints(tmp_path, {"m1": None, "m2": 0}, "in_flight")
    balancer = open_balancer(entry(tmp_path, read=words, in_flight=counts))
    assert [member.in_flight for member in balancer.members("shop")] == [None, 0]
    assert "in_flight.py" in balancer.in_flight_source


def test_the_balancers_own_timing_is_told_with_its_members(tmp_path):
    told = {"timing": {"leave": 30, "check": 12.5, "source": "the console"}, "drains_first": True}
    balancer = open_balancer(entry(tmp_path, read=prints(tmp_path, {"members": [M1], **told})))
    timing = balancer.timing("shop")
    assert (timing.leave, timing.check, timing.source) == (30, 12.5, "the console") and balancer.drains_first("shop")
    balancer = open_balancer(entry(tmp_path, read=prints(tmp_path, {"members": [M1]})))
    assert balancer.timing("shop").leave is None and not balancer.drains_first("shop")


def test_other_pools_are_told_by_a_program(tmp_path):
    words = prints(tmp_path, {"members": [M1, {**M1, "name": "m2"}]})
    told = {"pools": [{"name": "admin", "members": ["m1"]}, {"name": "ws", "members": ["m1", "m2"], "reason": "same rule"}]}
    balancer = open_balancer(entry(tmp_path, read=words, other_pools=prints(tmp_path, told, "other")))
    assert balancer.capabilities.finds_pools
    found = [(other.name, other.members, other.reason) for other in balancer.other_pools("shop")]
    assert found == [("admin", ("m1",), "same address"), ("ws", ("m1", "m2"), "same rule")]
    for wrong in ({}, {"pools": [1]}, {"pools": [{"name": "a", "members": ["m9"]}]}, {"pools": [{"name": "a", "members": []}]}):
        balancer = open_balancer(entry(tmp_path, read=words, other_pools=prints(tmp_path, wrong, "other")))
        with pytest.raises(Unreachable, match="cannot be used: `(pools|members)`"):
            balancer.other_pools("shop")
    with pytest.raises(Refused, match="cannot tell in which other pools"):
        open_balancer(entry(tmp_path, read=words)).other_pools("shop")


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ('{"members": [{"name": "a", "address": "x", "state": "enabled", "own_state": "up"}]}', "`own_state` of a is 'up'"),
        ('{"members": [{"name": "a", "address": "x", "state": "enabled", "tier": -1}]}', "`tier` of a is -1"),
        ('{"members": [{"name": "a", "address": "x", "state": "enabled", "requests": "7"}]}', "`requests` of a is '7'"),
        ('{"members": [], "timing": 3}', "`timing` is no object"),
        ('{"members": [], "timing": {"leave": -1}}', "`leave` of `timing` is -1"),
        ('{"members": [], "drains_first": "no"}', "`drains_first` of the answer is 'no'"),
        ("", "no JSON"),
        ("hello", "no JSON"),
        ('{"members": [', "no JSON"),
        ("[" * 100000, "no JSON"),
        ("[]", "no object"),
        ("null", "no object"),
        ("{}", "`members` is no list"),
        ('{"members": [1]}', "`members` is no list of objects"),
        ('{"pools": "app"}', "`pools` is no list"),
        ('{"members": [{"name": ""}]}', "a member has `name` ''"),
        ('{"members": [{"name": "a", "checked": 1}]}', "`checked` of a is 1"),
        ('{"members": [{"name": "a", "address": "x", "state": "up"}]}', "none of enabled, drained, disabled"),
        ('{"members": [], "version": 3}', "`version` of the answer is 3"),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(tmp_path, printed, said):
    (tmp_path / "printed").write_text(printed)
    words = written(tmp_path, "read", "print((here / 'printed').read_text())")
    with pytest.raises(Unreachable, match=rf"cannot be used: .*{said}"):
        read(entry(tmp_path, read=words))


def test_members_of_one_name_are_no_answer(tmp_path):
    with pytest.raises(Unreachable, match="several called m1"):
        read(entry(tmp_path, read=prints(tmp_path, {"members": [M1, M1]})))


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path):
    words = written(
        tmp_path,
        "read",
        "import subprocess\nchild = subprocess.Popen(['sleep', '300'])\n"
        "(here / 'pid').write_text(str(child.pid))\ntime.sleep(300)",
    )
    with pytest.raises(Unreachable, match=r"did not end within 1 s"):
        read(entry(tmp_path, read=words, timeout=1))
    pid = int((tmp_path / "pid").read_text())
    until("the child is gone", lambda: not _runs(pid))


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_words_are_no_shell(tmp_path):
    with pytest.raises(InvalidInput, match="There is no program"):
        read(entry(tmp_path, read=[f"touch {tmp_path}/touched; true"]))
    words = written(tmp_path, "read", f"print({json.dumps({'members': [M1]})!r} if sys.argv[1] == '$(id); *' else '')")
    assert read(entry(tmp_path, read=[*words, "$(id); *"]))["balancers"][0]["members"]
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"read": []}, "`read` is empty"),
        ({"write": []}, "`write` is empty"),
        ({"weights": [5]}, "smallest and the largest weight"),
        ({"weights": [9, 9]}, "smallest and the largest weight"),
        ({"weights": [-1, 9]}, "smallest and the largest weight"),
    ],
)
def test_options_that_make_no_sense(options, said):
    with pytest.raises(InvalidInput, match=f"{said}.*Nothing was touched"):
        open_balancer({"provider": "command", "read": ["r"], "write": ["w"], **options})


def test_a_balancer_is_the_same_whatever_writes_to_it():
    one, two = (open_balancer({"provider": "command", "read": ["/lb", "read"], "write": [word]}) for word in "ab")
    assert one.endpoint == two.endpoint == "/lb read"
    assert one.capabilities == Capabilities()


def test_without_a_program_that_tells_since_when_it_runs_nobody_is_held(tmp_path):
    words = prints(tmp_path, {"members": [M1, {**M1, "name": "m2"}]})
    with pytest.raises(InvalidInput, match=r"Give `running`, or .*survives_reload.*`hold: 0`.*Nothing was touched"):
        set_pool(entry(tmp_path, read=words), ["m1"], state="disabled", hold=5)
    lasting = entry(tmp_path, read=words, can=["survives_reload"])
    assert set_pool(lasting, ["m1"], state="enabled", hold=5)["changed"] is False


@pytest.mark.parametrize("seconds", [-1, True, None, "5"])
def test_since_when_it_runs_is_a_number(tmp_path, seconds):
    running = prints(tmp_path, {"process": "1", "seconds": seconds}, "running")
    with pytest.raises(Unreachable, match="`seconds` is .* and no number from 0"):
        open_balancer(entry(tmp_path, read=["r"], running=running)).running()
    with pytest.raises(Unreachable, match="`process` of the answer is 1 and no text"):
        open_balancer(
            entry(tmp_path, read=["r"], running=prints(tmp_path, {"process": 1, "seconds": 2.5}, "running"))
        ).running()


def test_who_can_check_anew_can_read_health():
    can = open_balancer({"provider": "command", "read": ["r"], "write": ["w"], "can": ["fresh_health"]}).capabilities
    assert can.fresh_health and can.health_readback and not can.sticky_drain


def test_the_example_tells_what_a_tracked_server_and_backups_are(make_command, apps):
    lead = f"backend lead\n    server x 127.0.0.1:{apps['m1'].port} check inter 100ms\n"
    rig = make_command(standby=("m3", "m4"), more={"extra": lead, "server_options": {"m1": "track lead/x"}}, wait=False)
    assert [member.tier for member in rig.members().values()] == [0, 0, 1, 2]
    rig.ask("set server lead/x state maint")
    m1 = rig.members()["m1"]
    assert (m1.state, m1.own) == ("disabled", "enabled") and isinstance(m1.requests, int)
    rig.balancer().apply("app", [Change("m1", "disabled")])
    rig.ask("set server lead/x state ready")
    assert (rig.members()["m1"].state, rig.members()["m1"].own) == ("disabled", "disabled")


def test_two_hundred_members(make_command, apps):
    rig = make_command(members={f"n{number}": apps["m1"].port for number in range(200)}, wait=False)
    names = [f"n{number}" for number in range(0, 200, 2)]
    set_pool(rig.entry(), names, state="disabled", health="none")
    assert [m.name for m in rig.members().values() if m.state == "disabled"] == names


@pytest.mark.parametrize("name", ["inhouse.py", "f5.py"])
def test_an_example_explains_itself(name):
    done = subprocess.run([sys.executable, str(EXAMPLES / name), "--help"], capture_output=True, text=True, check=True)
    assert "in_flight" in done.stdout
