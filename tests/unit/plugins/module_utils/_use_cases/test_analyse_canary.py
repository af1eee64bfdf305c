# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A watch from beginning to end, with a clock that moves by sleeping alone and files and pools that change as it does."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    InvalidInput,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import analyse_canary, read_pool
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.analyse_canary import (
    ARGUMENT_SPEC,
    analyse,
    looks,
    run,
)
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.fake_balancer import FakeClock
from hypothesis import given
from hypothesis import strategies as st

ERRORS = {"name": "errors", "kind": "errors", "source": {"balancers": True}, "allowed_increase": "25%"}
BALANCERS = [{"provider": "haproxy", "address": "192.0.2.1:9999", "name": "lb1"}]


def options(**more):
    asked = {
        "groups": {"canary": ["m1"], "baseline": ["m2"]},
        "metrics": [ERRORS],
        "balancers": BALANCERS,
        "pool": "app",
        "on_failure": "report",
        **more,
    }
    result = ArgumentSpecValidator(ARGUMENT_SPEC).validate(
        {key: value for key, value in asked.items() if value is not None}
    )
    assert not result.error_messages, result.error_messages
    return result.validated_parameters


class Traffic:
    """A pool whose counters grow with the clock.

    :param troubles: by the second what goes wrong: an error, or a restart.
    :param down: by member from when to when it is.
    """

    def __init__(self, clock, pace=50.0, canary=0.01, baseline=0.01, troubles=None, down=None):
        self.clock, self.pace, self.rates = clock, pace, {"m1": canary, "m2": baseline}
        self.troubles = dict(troubles or {})
        self.begun, self.since = 0.0, "1"
        self.asked = 0
        self.down = down or {}

    def __call__(self, counters):
        self.asked += 1
        for at in sorted(self.troubles):
            if at <= self.clock.time:
                trouble = self.troubles.pop(at)
                if isinstance(trouble, Exception):
                    raise trouble
                self.begun, self.since = self.clock.time, trouble
        total = 10_000 * (self.since == "1") + self.pace * (self.clock.time - self.begun)
        members = [
            {
                "name": name, "state": "enabled", "health": "down" if self._is_down(name) else "up", "last_check": "L4CON refused",
                "counters": {"requests": int(total), "errors": int(total * rate), "since": self.since},
            }
            for name, rate in self.rates.items()
        ]  # fmt: skip
        return [{"name": "lb1", "members": members}]

    def _is_down(self, name):
        begun, ended = self.down.get(name, (0, 0))
        return begun <= self.clock.time < ended


def watched(clock=None, **how):
    clock = clock or FakeClock()
    asked = {name: how.pop(name) for name in list(how) if name in ARGUMENT_SPEC}
    traffic = Traffic(clock, **how)
    return analyse(options(**asked), clock, traffic), traffic


def test_a_good_canary_passes_at_the_end():
    result, traffic = watched()
    assert (result["verdict"], result["seconds"], result["looks"]) == ("pass", 120, 24)
    assert result["metrics"][0]["canary"]["requests"] == 6000
    assert traffic.asked == 25  # once before, once a look
    assert result["remarks"] == [] and "warnings" not in result and result["changed"] is False


def test_a_failing_canary_ends_the_watch_at_once():
    result, _traffic = watched(pace=25, canary=0.2, baseline=0.0)
    assert (result["verdict"], result["seconds"], result["looks"]) == ("fail", 5, 1)
    assert "25 of 125 requests to the canary failed (20%)" in result["sentence"]


def test_a_canary_that_is_down_fails_and_one_that_was_for_a_look_does_not():
    dead, traffic = watched(watch=60.0, interval=5.0, down={"m1": (12, 99)})
    assert (dead["verdict"], dead["down"], traffic.clock.time) == ("fail", ["m1 on lb1 (L4CON refused)"], 20)
    assert "Down for the balancers' own checks, and the baseline is not: m1 on lb1 (L4CON refused)." in dead["sentence"]
    blinked, _traffic = watched(watch=60.0, interval=5.0, down={"m1": (12, 17)})
    assert (blinked["verdict"], blinked["down"]) == ("pass", [])


def test_a_canary_that_is_down_fails_whatever_the_metrics_source(tmp_path):
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"canary": [1.0] * 90, "baseline": [1.0] * 90}))
    metrics = [{"name": "latency", "kind": "samples", "source": {"file": str(figures)}, "allowed_increase": "50%"}]
    how = {"watch": 60.0, "interval": 5.0, "metrics": metrics}
    assert watched(**how, down={"m1": (12, 99)})[0]["verdict"] == "fail"
    assert watched(**how)[0]["verdict"] == "pass"
    assert watched(**how, balancers=None, down={"m1": (12, 99)})[0]["verdict"] == "pass"


def test_a_canary_that_is_down_at_the_end_does_not_pass():
    assert watched(watch=60.0, interval=5.0, down={"m1": (58, 99)})[0]["verdict"] == "fail"


def test_where_the_baseline_is_down_too_it_is_not_the_canary():
    assert watched(watch=60.0, interval=5.0, down={"m1": (12, 99), "m2": (0, 99)})[0]["verdict"] == "pass"


def test_what_was_before_the_watch_does_not_count():
    result, _traffic = watched(watch=5, pace=1000)
    assert result["metrics"][0]["canary"] == {"requests": 5000, "errors": 50, "rate": 0.01}


@pytest.mark.parametrize(("on_failure", "raises"), [("fail", True), ("report", False)])
@pytest.mark.parametrize("how", [{"canary": 0.2}, {"pace": 0.5}])
def test_anything_but_a_pass_fails_the_task_where_that_was_asked_for(on_failure, raises, how):
    if not raises:
        assert watched(on_failure=on_failure, **how)[0]["verdict"] != "pass"
        return
    with pytest.raises(DeployError) as failed:
        watched(on_failure=on_failure, **how)
    assert failed.value.facts["verdict"] in failed.value.message.replace("fails", "fail")
    assert "Nothing was changed by this analysis" in failed.value.message


def test_too_little_traffic_is_inconclusive():
    result, _traffic = watched(pace=1)
    assert result["verdict"] == "inconclusive" and result["seconds"] == 120
    assert "120 requests on the canary and 120 on the baseline, and each needs 200" in result["sentence"]


def test_a_source_that_does_not_answer_for_a_while_is_tolerated_and_told():
    result, _traffic = watched(troubles={0: Unreachable("Down."), 20: Unreachable("Down."), 25: Unreachable("Down.")})
    assert result["verdict"] == "pass"
    assert result["remarks"] == result["warnings"] == ["errors: its source did not answer 2 of 24 times."]


def test_the_last_look_is_repeated():
    result, _traffic = watched(troubles={116: Unreachable("Down."), 121: Unreachable("Down.")})
    assert (result["verdict"], result["seconds"]) == ("pass", 130)


@pytest.mark.parametrize(("on_no_data", "verdict"), [("inconclusive", "inconclusive"), ("fail", "fail")])
def test_a_source_that_is_gone_at_the_end_is_no_pass(on_no_data, verdict):
    gone = {116 + 5 * time: Unreachable("The balancer is gone.") for time in range(3)}
    result, _traffic = watched(troubles=gone, on_no_data=on_no_data)
    assert result["verdict"] == verdict and "The balancer is gone" in result["sentence"]


def test_a_restart_is_counted_from_there_and_told():
    result, _traffic = watched(troubles={60: "2"})
    (metric,) = result["metrics"]
    assert result["verdict"] == "pass"
    assert metric["canary"]["requests"] == 6000 - 250  # but for what came between two looks
    assert "2 counters began anew" in result["remarks"][0]


def test_members_that_nobody_knows_end_it_before_it_begins():
    clock = FakeClock()
    with pytest.raises(InvalidInput, match="m9: no such member.*The watch did not begin"):
        watched(clock, groups={"canary": ["m9"], "baseline": ["m2"]})
    assert clock.time == 0


def test_a_look_that_takes_long_takes_the_place_of_others():
    clock = FakeClock()
    traffic = Traffic(clock)

    def slowly(counters):
        clock.sleep(17)
        return traffic(counters)

    result = analyse(options(), clock, slowly)
    assert result["verdict"] == "pass" and result["looks"] < 10 and result["seconds"] < 160


def test_groups_that_do_not_take_the_same_share_are_told():
    clock = FakeClock()
    traffic = Traffic(clock)

    def unequal(counters):
        (balancer,) = traffic(counters)
        balancer["members"][0]["counters"]["requests"] *= 3
        return [balancer]

    assert "they are to take the same share" in analyse(options(), clock, unequal)["remarks"][0]


def test_several_metrics_of_the_balancers_are_one_reading():
    result, traffic = watched(metrics=[ERRORS, {**ERRORS, "name": "strict", "allowed_increase": "0"}])
    assert (
        traffic.asked == 25
        and [metric["threshold"] for metric in result["metrics"]] == [pytest.approx(0.01 * (0.9 + 0.1 / 24))] * 2
    )


def latencies(path, factor):
    random = numpy.random.default_rng(7)
    groups = {"canary": factor, "baseline": 1.0}
    path.write_text(json.dumps({group: list(by * random.lognormal(0, 0.25, 60)) for group, by in groups.items()}))
    return {"name": "latency", "kind": "samples", "source": {"file": str(path)}, "allowed_increase": "20%"}


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "pass"), (1.6, "fail")])
def test_one_look_at_what_is_there(tmp_path, factor, verdict):
    clock = FakeClock()
    asked = options(metrics=[latencies(tmp_path / "f.json", factor)], watch=0, balancers=None, pool=None)
    result = run(asked, False, clock)
    assert (result["verdict"], result["looks"], clock.time) == (verdict, 1, 0)


def test_values_that_are_no_numbers_are_told(tmp_path):
    metric = latencies(tmp_path / "f.json", 1.0)
    found = json.loads((tmp_path / "f.json").read_text())
    found["canary"] += [None, float("nan")]
    (tmp_path / "f.json").write_text(json.dumps(found))
    result = run(options(metrics=[metric], watch=0), False, FakeClock())
    assert result["remarks"] == ["latency: 2 values were no numbers and are left out."]
    assert result["metrics"][0]["canary"]["dropped"] == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"watch": 0}, "need a `watch` in which they grow"),
        ({"pool": None}, "`balancers` and `pool` are needed"),
        ({"metrics": [{**ERRORS, "kind": "samples"}]}, "a metric of samples needs another source"),
        ({"metrics": [{**ERRORS, "source": {"balancers": False}}]}, "one source of balancers, command, file, prometheus, found none"),
        ({"metrics": [{**ERRORS, "source": {"balancers": True, "file": "/f"}}]}, "found balancers and file"),
        ({"watch": -1}, "watch: expected seconds"),
        ({"watch": float("inf")}, "watch: expected seconds"),
        ({"interval": 0}, "interval: expected seconds above 0"),
        ({"false_alarms": 0}, "false_alarms: expected a chance"),
        ({"groups": {"canary": [], "baseline": ["m2"]}}, "canary has no members"),
        ({"groups": {"canary": ["m2", "m1"], "baseline": ["m2"]}}, "m2 cannot be canary and baseline at once"),
        ({"balancers": [{**BALANCERS[0], "host": "lb1"}]}, "the controller alone can do"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(asked, said, monkeypatch):
    monkeypatch.setattr(read_pool, "run", None)
    with pytest.raises(InvalidInput) as refused:
        run(options(**asked), False, FakeClock())
    assert said in refused.value.message and refused.value.message.endswith("Nothing was watched.")


@given(st.floats(0, 50), st.floats(0.1, 10))
def test_the_last_look_is_at_the_end_and_no_two_are_at_once(watch, interval):
    times = list(looks(watch, interval))
    assert times[-1] == watch and all(early < late for early, late in zip(times, times[1:]))


def test_without_scipy_it_says_what_to_install():
    code = (
        "import sys; sys.path[:] = {path!r}; sys.modules['scipy'] = None\n"
        "from {module} import need_scipy\n"
        "try: need_scipy()\n"
        "except Exception as error: print(type(error).__name__, error)"
    ).format(path=sys.path, module=analyse_canary.__name__)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("InvalidInput canary_analysis needs SciPy") and "-m pip install 'scipy" in said
