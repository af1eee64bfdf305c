# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of rollouts, made up for the tests of the report: the same bytes in every run.

    PYTHONPATH=build/dev python -m ansible_collections.zero_downtime.deploy.tests.support.records.samples DIRECTORY

writes the report of each into DIRECTORY, to be looked at.
"""

from __future__ import annotations

import random
import sys
from typing import Any, Callable, Iterator

BEGAN = 1795320723.0  # 2026-11-22 04:12:03 UTC
OLD, NEW = "1.4.1", "1.4.2"
# Seconds that each phase takes a host, more or less.
PACE = {
    "drain": 6.0, "deploy": 9.0, "check": 4.0, "return": 3.0, "soak": 10.0, "switch": 2.0, "watch": 40.0,
    "undo_drain": 4.0, "undo_deploy": 5.0, "undo_check": 3.0, "undo_return": 2.5,
}  # fmt: skip
FORWARD = ("drain", "deploy", "check", "return", "soak")
BACK = ("undo_drain", "undo_deploy", "undo_check", "undo_return")


class Told:
    """A rollout as it goes: who went through what, and when.

    :param seed: of the small differences between hosts.
    """

    def __init__(self, seed: int, began: float = BEGAN) -> None:
        self.random = random.Random(seed)
        self.began = self.now = began
        self.phases: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    def event(self, name: str, hosts: list[str] | None = None, **details: Any) -> None:
        """The journal notes something."""
        self.events.append({"time": round(self.now, 3), "event": name, "hosts": hosts or [], "details": details})

    def through(
        self, hosts: list[str], batch: int, phases: tuple[str, ...], fails: dict[str, str] | None = None
    ) -> None:
        """`hosts` go through `phases` side by side; all wait for the slowest before the next one.

        :param fails: by host, the phase in which it fails and stops.
        """
        fails = fails or {}
        going = list(hosts)
        for phase in phases:
            ended = self.now
            for host in list(going):
                took = PACE[phase] * self.random.uniform(0.7, 1.35)
                ok = fails.get(host) != phase
                if not ok:
                    took *= 2.2
                    going.remove(host)
                self.phases.append(
                    {
                        "host": host, "batch": batch, "phase": phase, "began": round(self.now, 3),
                        "ended": round(self.now + took, 3), "ok": ok,
                    }
                )  # fmt: skip
                ended = max(ended, self.now + took)
            self.now = ended + 0.4


def felt(
    told: Told,
    share: Callable[[float], float],
    failed: dict[int, int] | None = None,
    rate: int = 10,
    why: str = "truncated",
) -> dict[str, Any]:
    """What a probe has seen from a little before a rollout to a little after it.

    :param share: of the new version among the answers, by seconds since the rollout began.
    :param failed: by second since the probe began, how many requests failed.
    """
    failed = failed or {}
    began, seconds = int(told.began) - 5, int(told.now - told.began) + 12
    series: dict[str, Any] = {"began": began, "step": 1, "requests": [], "failed": [], "p50": [], "p95": [], "p99": []}
    old, new = [], []
    for second in range(seconds):
        bad = failed.get(second, 0)
        part = share(second - 5)
        upgraded = sum(told.random.random() < part for _each in range(rate - bad))
        old.append(rate - bad - upgraded)
        new.append(upgraded)
        middle = told.random.gauss(2.2, 0.15) + (1.1 if 0 < part < 1 else 0) * told.random.random()
        series["requests"].append(rate)
        series["failed"].append(bad)
        series["p50"].append(round(middle, 2))
        series["p95"].append(round(middle * told.random.uniform(1.9, 2.8), 2))
        series["p99"].append(round(middle * told.random.uniform(2.9, 6.5), 2))
    series["versions"] = {version: counts for version, counts in ((OLD, old), (NEW, new)) if any(counts)}
    times = [began + second + 0.2 + 0.1 * each for second in sorted(failed) for each in range(failed[second])]
    bad = len(times)
    if bad:
        series["versions"][""] = [failed.get(second, 0) for second in range(seconds)]
    return {
        "began": float(began), "ended": float(began + seconds), "urls": ["http://shop.example/"], "rate": float(rate),
        "requests": rate * seconds, "failed": bad,
        "outcomes": {"ok": rate * seconds - bad, **({why: bad} if bad else {})},
        "versions": {version: sum(counts) for version, counts in series["versions"].items()},
        "latency": {
            **{name: sorted(series[name])[seconds // 2] for name in ("p50", "p95", "p99")},
            "max": round(max(series["p99"]) * 1.2, 2),
        },
        "first_failure": times[0] if times else None, "last_failure": times[-1] if times else None,
        "disturbance": round(times[-1] - times[0], 3) if times else 0.0,
        "failures": [
            {
                "time": time, "outcome": why, "url": "http://shop.example/", "version": NEW,
                "why": "the answer ended after 512 of 2,048 bytes",
            }
            for time in times[:50]
        ],
        "late": 0, "series": series,
    }  # fmt: skip


def members(
    names: list[str], after: dict[str, dict[str, Any]] | None = None, balancers: tuple[str, ...] = ("lb1", "lb2")
) -> list[dict[str, Any]]:
    """Every member on every balancer, as before but for those in `after`."""
    return [
        {
            "balancer": balancer, "member": name, "before": {"state": "enabled", "weight": 100},
            "after": {"state": "enabled", "weight": 100, "health": "up", **(after or {}).get(name, {})},
        }
        for balancer in balancers
        for name in names
    ]  # fmt: skip


def counted(requests: int, errors: int, said: str, agrees: bool | None = True) -> dict[str, Any]:
    """What two balancers have counted, half each."""
    half, sure = requests // 2, {"left": 0, "restarted": False, "uncounted": "", "exact": True}
    return {
        "balancers": [
            {"name": "lb1", "of": "users", "requests": half, "errors": errors, "at_most": errors, **sure},
            {"name": "lb2", "of": "users", "requests": requests - half, "errors": 0, "at_most": 0, **sure},
        ],
        "requests": requests, "errors": errors, "at_most": errors, "agrees": agrees, "said": said,
    }  # fmt: skip


def record(told: Told, outcome: str, lines: list[str], plan: list[list[str]], **more: Any) -> dict[str, Any]:
    """The whole record; `more` has what differs from a rolling rollout without probe."""
    told.event("finished", outcome=outcome)
    return {
        "schema": 1, "service": "shop", "id": "20261122T041203Z-1a2b", "version": NEW, "from_versions": [OLD], "strategy": "rolling",
        "outcome": outcome, "failed": outcome != "succeeded", "lines": lines, "began": told.began, "ended": round(told.now, 3),
        "decided": None, "undone": None, "plan": plan, "events": told.events, "phases": told.phases, "members": [], "failures": {},
        "verdicts": [], "felt": None, "counted": None, **more,
    }  # fmt: skip


def names(count: int, stem: str = "app") -> list[str]:
    """app1, app2, …"""
    return [f"{stem}{number}" for number in range(1, count + 1)]


def _rolled(told: Told, plan: list[list[str]]) -> Callable[[float], float]:
    """Roll over `plan`; returns the share of the new version by seconds since the rollout began."""
    told.event("planned", batches=len(plan))
    ready, done, total = [], 0, sum(map(len, plan))
    for number, batch in enumerate(plan, 1):
        told.event("batch_begun", batch)
        told.through(batch, number, FORWARD)
        done += len(batch)
        ready.append((told.now - told.began - PACE["soak"], done / total))
    return lambda at: max([share for when, share in ready if when <= at] or [0.0])


def rolling() -> dict[str, Any]:
    """Six hosts, nobody notices."""
    told, plan = Told(1), [["app1"], ["app2", "app3"], ["app4", "app5", "app6"]]
    share = _rolled(told, plan)
    probe = felt(told, share)
    return record(
        told, "succeeded", [f"Rollout of shop to {NEW} succeeded: 6 hosts are on it, healthy and in traffic as before."], plan,
        members=members(names(6)), felt=probe,
        counted=counted(
            probe["requests"] + 41_877, 0,
            "The balancers counted no error among 43,097 requests, and the probe felt none among its own.",
        ),
    )  # fmt: skip


def rolled_back() -> dict[str, Any]:
    """The second batch never gets healthy; everything is undone."""
    told, plan = Told(2), [["app1"], ["app2", "app3"], ["app4", "app5", "app6"]]
    told.event("planned", batches=3)
    told.event("batch_begun", ["app1"])
    told.through(["app1"], 1, FORWARD)
    first = told.now - told.began - PACE["soak"]
    told.event("batch_begun", ["app2", "app3"])
    told.through(["app2", "app3"], 2, ("drain", "deploy", "check"), {"app3": "check"})
    why = "not healthy within 20 s, last seen: status 500 (expected 200), body 'cannot connect to database shop_v2'"
    told.event("halted", ["app2", "app3"], why=why)
    decided = told.now
    told.event("undoing", ["app2", "app3"])
    told.through(["app2", "app3"], 2, BACK[1:])
    told.event("undone", ["app2", "app3"])
    told.event("undoing", ["app1"])
    told.through(["app1"], 1, BACK)
    undone = told.now
    told.event("undone", ["app1"])
    back = undone - told.began - 5
    probe = felt(
        told,
        lambda at: 1 / 6 if first <= at < back else 0.0,
        {int(first) + 9: 1, int(first) + 14: 2, int(first) + 21: 1},
        why="status",
    )
    for failure in probe["failures"]:
        failure["why"] = "status 500"
    return record(
        told, "rolled_back",
        [
            f"Rollout of shop to {NEW} FAILED in the batch app2, app3: app3: {why}",
            f"3 hosts are back on {OLD}, states and weights as before.",
        ],
        plan, decided=decided, undone=undone, members=members(names(6)), failures={"app3": why}, felt=probe,
        counted=counted(
            38_112, 161, "The balancers counted 161 errors among 38,112 requests (0.42 %), the probe 4 among its 1,070: they agree.",
        ),
    )  # fmt: skip


def canary() -> dict[str, Any]:
    """The judge fails a canary in its second step."""
    told, hosts = Told(3), names(8)
    told.event("planned", batches=1)
    told.through(["app1"], 1, ("drain", "deploy", "check", "return"))
    verdicts = []
    metric = (
        "27 of 1,126 requests to the canary failed (2.4 %), and 1 of 1,125 to the baseline (0.09 %); the odds of failing are at least 4.1 "
        "times the baseline's, up to 1.25 times is allowed (p 1.3e-07)."
    )
    errors = {"pass": "0 of 212 requests to the canary failed, and 0 of 208 to the baseline.", "fail": metric}
    latency = {
        "pass": "The canary's values are 0.97 times the baseline's, up to 1.2 times is allowed.",
        "fail": "18 samples, 20 are needed.",
    }
    for step, (share, verdict) in enumerate(((5, "pass"), (25, "fail")), 1):
        told.event("canary_step_begun", ["app1"], step=step, share=f"{share}%")
        told.through(["app1"], 1, ("watch",))
        bad = verdict == "fail"
        verdicts.append(
            {
                "step": step, "verdict": verdict,
                "why": "The canary fails after 35.0 s and 7 looks. Errors fails." if bad else "The canary passes after 40.0 s and 8 looks.",
                "metrics": [
                    {"name": "errors", "verdict": verdict, "said": errors[verdict]},
                    {"name": "latency", "verdict": "inconclusive" if bad else "pass", "said": latency[verdict]},
                ],
            }
        )  # fmt: skip
    decided = told.now
    told.event("undoing", ["app1"], why="the judge says: fail")
    told.through(["app1"], 1, BACK)
    told.event("undone", ["app1"])
    probe = felt(
        told,
        lambda at: 0.05 if 22 < at < 62 else 0.25 if 62 <= at < 105 else 0,
        {72: 1, 78: 1, 81: 2, 90: 1, 97: 3},
        rate=20,
        why="status",
    )
    return record(
        told, "rolled_back",
        [
            f"Rollout of shop to {NEW} FAILED in the canary app1: the judge says fail in step 2.",
            f"1 host is back on {OLD}, states and weights as before.",
        ],
        [["app1"], hosts[1:]], strategy="canary", decided=decided, undone=told.now, verdicts=verdicts, felt=probe,
        members=members(hosts, balancers=("lb1",)), failures={"app1": "the judge says fail in step 2: " + metric},
        counted={**counted(9_120, 31, "The balancers counted 31 errors among 9,120 requests; lb1 began to count anew.", None),
                 "balancers": [{"name": "lb1", "of": "members", "requests": 9_120, "errors": 31, "at_most": 31, "left": 0,
                                "restarted": True, "uncounted": "", "exact": False}]},
    )  # fmt: skip


def blue_green() -> dict[str, Any]:
    """Four hosts of each colour, switched at once."""
    told, green, blue = Told(4), names(4, "green"), names(4, "blue")
    told.event("planned", green, **{"from": "blue", "to": "green"})
    told.through(green, 1, ("deploy", "check"))
    told.event("switch_begun", green)
    switched = told.now - told.began + 1
    told.through(green, 1, ("switch", "watch"))
    told.event("ending", [*green, *blue])
    after = {name: {"state": "drained"} for name in blue}
    pool = members([*blue, *green], after)
    for each in pool:
        each["before"]["state"] = "enabled" if each["member"].startswith("blue") else "drained"
    return record(
        told, "succeeded", [f"Rollout of shop to {NEW} succeeded: green takes all traffic, blue stands by on {OLD}."], [green],
        strategy="blue_green", members=pool, felt=felt(told, lambda at: 1.0 if at >= switched else 0.0),
    )  # fmt: skip


def no_probe() -> dict[str, Any]:
    """Nobody was measuring, one host stayed out, and little is known."""
    told, plan = Told(5), [["app1", "app2"], ["app3", "app4"]]
    told.through(plan[0], 1, FORWARD)
    told.through(plan[1], 2, FORWARD, {"app4": "check"})
    why = "not healthy within 20 s, last seen: connection refused on 10.0.0.4:8080"
    return record(
        told, "succeeded_with_failures",
        [
            f"Rollout of shop to {NEW} succeeded: 3 hosts are on it, healthy and in traffic as before.",
            f"Out of traffic, failed within the budget of rolling_max_failures: app4: {why}.",
            "Mend them and run the same command again: it deploys to them alone.",
        ],
        plan, failed=False, failures={"app4": why}, members=members(names(4), {"app4": {"state": "disabled", "health": "down"}}),
    )  # fmt: skip


def paused() -> dict[str, Any]:
    """Stopped at a gate after the first batch; two hosts still to come."""
    told, plan = Told(6), [["app1"], ["app2", "app3"]]
    told.through(plan[0], 1, FORWARD)
    told.event("paused", [], point="batch", number=2, waits_for="approval")
    return record(
        told, "paused",
        [f"Rollout of shop to {NEW} has paused before batch 2: waiting for approval: the product owner has looked at it."],
        plan, failed=False, felt=felt(told, lambda at: 1 / 3 if at > 25 else 0.0),
    )  # fmt: skip


def nothing() -> dict[str, Any]:
    """Nothing to do, at one instant: no phase, no duration."""
    told = Told(7)
    line = f"Rollout of shop to {NEW}: nothing to do. 6 hosts are already healthy on it and in traffic as before."
    return record(told, "nothing_to_do", [line], [], from_versions=[NEW])


def thousand(hosts: int = 1000, each: int = 100) -> dict[str, Any]:
    """A thousand hosts in ten batches, an hour of samples, two of the hosts slow to get healthy, latencies with spikes."""
    told, all_hosts = Told(8), [f"web{number:04}.eu-central.example.net" for number in range(1, hosts + 1)]
    plan = [all_hosts[at : at + each] for at in range(0, hosts, each)]
    share = _rolled(told, plan)
    took = told.now - told.began
    factor = 3588 / took
    for phase in told.phases:
        phase["began"] = round(told.began + (phase["began"] - told.began) * factor, 3)
        phase["ended"] = round(told.began + (phase["ended"] - told.began) * factor, 3)
    for event in told.events:
        event["time"] = round(told.began + (event["time"] - told.began) * factor, 3)
    told.now = told.began + 3588
    probe = felt(told, lambda at: share(at / factor), {1802: 3, 1803: 6, 1804: 2}, rate=50)
    probe["series"]["p99"][1803] = probe["latency"]["max"] = 2150.0
    why = "not healthy within 60 s, last seen: status 503"
    slow = {all_hosts[347]: why, all_hosts[350]: why} if hosts > 400 else {}
    for phase in told.phases:
        if phase["host"] in slow and phase["phase"] == "check":
            phase["ok"] = False
    told.phases = [
        phase for phase in told.phases if phase["host"] not in slow or phase["phase"] in ("drain", "deploy", "check")
    ]
    return record(
        told, "succeeded_with_failures",
        [f"Rollout of shop to {NEW} succeeded: {hosts - len(slow)} hosts are on it, healthy and in traffic as before."],
        plan, failed=False, felt=probe, failures=slow,
        members=members(all_hosts, {name: {"state": "disabled", "health": "down"} for name in slow}),
        counted=counted(
            18_442_113, 7_961,
            "The balancers counted 7,961 errors among 18,442,113 requests (0.043 %), the probe 11 among its 180,000: they differ.",
            False,
        ),
    )  # fmt: skip


def hostile() -> dict[str, Any]:
    """Whoever names hosts and versions tries to get into the page, and out of the directory."""
    attack = "<script>document.title='broken into'</script>"
    quote = "\"'><img src=x onerror=\"document.title='broken into'\">"
    rollout = rolled_back()
    text = {"app3": attack, "app2": quote, NEW: f"2</title>{attack}", OLD: f"1]]>--></style>{attack}", "lb1": attack}

    def spoilt(value: Any) -> Any:
        if isinstance(value, dict):
            return {text.get(key, key): spoilt(item) for key, item in value.items()}
        if isinstance(value, list):
            return [spoilt(item) for item in value]
        return text.get(value, value) if isinstance(value, str) else value

    return {
        **spoilt(rollout), "service": "../../etc/" + attack, "id": "../x/" + quote, "lines": [attack, quote],
        "verdicts": [{"step": 1, "verdict": "fail", "why": attack, "metrics": [{"name": quote, "verdict": "fail", "said": attack}]}],
    }  # fmt: skip


SAMPLES: dict[str, Callable[[], dict[str, Any]]] = {
    make.__name__: make
    for make in (rolling, rolled_back, canary, blue_green, no_probe, paused, nothing, thousand, hostile)
}


def all_samples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each with its name."""
    for name, make in SAMPLES.items():
        yield name, make()


def main(directory: str) -> None:
    """Write the report of each sample into `directory`."""
    from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
    from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.report.write import run

    for name, sample in all_samples():
        result = run({"record": sample, "directory": directory, "name": name}, False, Clock())
        print(f"{result['html']}: {result['bytes']:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
