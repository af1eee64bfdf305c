# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the judge of canaries on simulated traffic: false alarms, and what it finds. scripts/judge starts it.

Prints tables in Markdown and writes build/bench/judge.json; see docs/canary-analysis.md. The same seed gives the same figures.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Sequence

import numpy
from traffic import Requests, Samples, heavy, lognormal, queue, with_outliers

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.findings import FAIL, INCONCLUSIVE, PASS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.judge import Judge
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.metrics import ERRORS, SAMPLES, Metric
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.analyse_canary import looks

OUT = Path(__file__).resolve().parents[3] / "build" / "bench" / "judge.json"
FALSE_ALARMS, STEPS, WATCH, INTERVAL = 0.02, 3, 120.0, 5.0
LOOKS = len(list(looks(WATCH, INTERVAL)))


@dataclass(frozen=True)
class Canary:
    """One canary of several steps: its metrics, each with its traffic.

    :param allowed: by kind of metric.
    """

    name: str
    traffic: Sequence[Requests | Samples]
    errors_allowed: float = 0.25
    values_allowed: float = 0.2
    tolerated: float = 0.0
    steps: int = STEPS
    judged: int = STEPS  # how many of them are gone through
    watch: float = WATCH
    interval: float = INTERVAL
    number: int = 400  # of them that are simulated

    def metrics(self) -> list[Metric]:
        """As a user would ask for them."""
        return [
            Metric(f"errors {number}", ERRORS, self.errors_allowed, self.tolerated, minimum=200)
            if isinstance(each, Requests)
            else Metric(f"samples {number}", SAMPLES, self.values_allowed, minimum=20)
            for number, each in enumerate(self.traffic)
        ]


def run(canary: Canary, seed: Sequence[int]) -> dict[str, Any]:
    """One of them: the verdict, after how long, and how many requests to the canary had failed."""
    random = numpy.random.default_rng(seed)
    verdict = INCONCLUSIVE
    failed, passed = 0, 0.0
    for _step in range(canary.judged):
        judge = Judge(canary.metrics(), FALSE_ALARMS / canary.steps)
        before = 0.0
        for at in looks(canary.watch, canary.interval):
            for case, traffic in zip(judge.cases, canary.traffic):
                traffic.feed(case, random, at - before)
            before = at
            verdict = judge.look(at / canary.watch)
            if verdict == FAIL:
                break
        failed += max((case.canary.errors for case in judge.cases if case.metric.kind == ERRORS), default=0)
        passed += before
        if verdict != PASS:
            break
    return {"verdict": verdict, "seconds": passed, "failed": failed}


def measure(canary: Canary, number: int | None, pool: Any) -> dict[str, Any]:
    """So many of them, and what they came to."""
    number = number or canary.number
    scenario = sum(canary.name.encode())  # a scenario's figures are its own, whatever runs before it
    began = time.monotonic()
    done = pool.map(partial(run, canary), [(scenario, each) for each in range(number)], chunksize=10)
    verdicts = [each["verdict"] for each in done]
    seconds = [each["seconds"] for each in done if each["verdict"] == FAIL]
    failed = [each["failed"] for each in done if each["verdict"] == FAIL]
    told = {
        "name": canary.name,
        "canaries": number,
        **{verdict: verdicts.count(verdict) for verdict in (PASS, FAIL, INCONCLUSIVE)},
        "failing": verdicts.count(FAIL) / number,
    }
    if seconds:
        told["seconds"] = {name: float(numpy.quantile(seconds, share)) for name, share in QUANTILES.items()}
        told["failed_requests"] = {name: float(numpy.quantile(failed, share)) for name, share in QUANTILES.items()}
    return {**told, "took": round(time.monotonic() - began, 1)}


QUANTILES = {"median": 0.5, "95%": 0.95, "longest": 1.0}


def unchanged() -> list[Canary]:
    """Canaries that are exactly like their baseline; with no increase allowed, the hardest case, but for the last one."""
    strict = {"errors_allowed": 0.0, "values_allowed": 0.0, "number": 2000}
    latency = Samples(lognormal, 3)
    return [
        Canary(
            "errors 1%, a second count of them, latency",
            [Requests(50, 0.01, 0.01), Requests(50, 0.01, 0.01), latency],
            **strict,
        ),
        Canary(
            "errors 0.1%, latency with heavy tails",
            [Requests(50, 0.001, 0.001), Samples(heavy, 6)],
            interval=10,
            **strict,
        ),
        Canary(
            "errors 5%, lengths of a queue (ties)",
            [Requests(50, 0.05, 0.05), Samples(queue, 6)],
            interval=10,
            **{**strict, "number": 6000},
        ),
        Canary("the first one with 25% and 20% allowed", [Requests(50, 0.01, 0.01), Requests(50, 0.01, 0.01), latency]),
    ]


def unlike() -> list[Canary]:
    """Likewise, but with traffic that is not what the tests take it for: requests or samples that depend on each other."""
    return [
        Canary(
            f"errors in bursts of 5, {allowed:.0%} allowed", [Requests(50, 0.01, 0.01, burst=5)], errors_allowed=allowed
        )
        for allowed in (0.0, 0.25, 0.5)
    ] + [
        Canary(
            f"samples that share {shared:.0%} with the one before, {allowed:.0%} allowed",
            [Samples(lognormal, 1, shared=shared)],
            values_allowed=allowed,
        )
        for shared, allowed in ((0.5, 0.0), (0.9, 0.0), (0.9, 0.2))
    ]


def worse() -> list[Canary]:
    """Canaries that are worse: what is found in one step of three, beside a second metric that is unchanged."""
    pace = 5000 / WATCH
    latency, errors = Samples(lognormal, 60 / LOOKS), Requests(pace, 0.01, 0.01)
    one: dict[str, Any] = {"judged": 1}
    doubled = [
        Canary(
            f"errors 1% to 2%, 5,000 requests a side{place}, {allowed:.0%} allowed",
            [Requests(pace, 0.02, 0.01), latency],
            errors_allowed=allowed,
            **steps,
        )
        for place, steps, shares in (
            ("", one, (0.0, 0.1, 0.25, 0.5)),
            (" in the only step of a canary", {"steps": 1, "judged": 1}, (0.0, 0.1)),
            (" in each of three steps", {}, (0.0, 0.1, 0.25)),
        )
        for allowed in shares
    ]
    slower = [
        Canary(
            f"latency times 1.5, 60 samples a side, {kind}, {allowed:.0%} allowed",
            [errors, Samples(draw, 60 / LOOKS, slower=1.5)],
            values_allowed=allowed,
            **one,
        )
        for kind, draw in (
            ("lognormal 0.25", lognormal),
            ("heavy tails", heavy),
            ("one in twenty times 10", with_outliers),
        )
        for allowed in (0.1, 0.2, 0.25)
    ]
    return doubled + slower


def failing() -> list[Canary]:
    """Canaries that fail one in five of their 25 requests a second."""
    return [
        Canary(
            f"20% errors, baseline {baseline:.1%}, a look every {interval:g} s",
            [Requests(25, 0.2, baseline), Samples(lognormal, 1)],
            tolerated=0.001,
            interval=interval,
            judged=1,
        )
        for baseline in (0.0, 0.01)
        for interval in (1.0, 2.0, 5.0)
    ]


def table(title: str, told: Sequence[dict[str, Any]], timed: bool) -> str:
    """Markdown."""
    head = [title, "canaries", "failed", "passed", "inconclusive"]
    head += ["seconds: median", "95%", "longest", "failed requests: median", "95%", "most"] if timed else []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for one in told:
        cells = [
            one["name"],
            f"{one['canaries']:,}",
            f"{one['failing']:.2%}",
            *(f"{one[of] / one['canaries']:.2%}" for of in (PASS, INCONCLUSIVE)),
        ]
        if timed:
            cells += [f"{one[of][name]:.0f}" for of in ("seconds", "failed_requests") for name in QUANTILES]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


SECTIONS = {
    "unchanged": ("Nothing changed, whole canaries of three steps", unchanged, False),
    "unlike": ("Nothing changed, but the figures depend on each other", unlike, False),
    "worse": ("Worse, one step of three", worse, False),
    "failing": ("Failing, one step of three", failing, True),
}


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", nargs="*", help=f"{', '.join(SECTIONS)} (all)")
    parser.add_argument(
        "--canaries", type=int, help="simulated for each line (400; where nothing changed, mostly 2000)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (as many as there are cores)")
    args = parser.parse_args()
    if strange := set(args.section).difference(SECTIONS):
        parser.error(f"no section {', '.join(sorted(strange))}; there are {', '.join(SECTIONS)}")
    told: dict[str, Any] = {"scipy": version("scipy"), "false_alarms": FALSE_ALARMS, "steps": STEPS, "looks": LOOKS}
    began = time.monotonic()
    with multiprocessing.Pool(args.jobs) as pool:
        for name in args.section or SECTIONS:
            title, canaries, timed = SECTIONS[name]
            told[name] = [measure(canary, args.canaries, pool) for canary in canaries()]
            print(table(title, told[name], timed), flush=True)
            print()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(f"{time.monotonic() - began:.0f} s; written to {OUT}")


if __name__ == "__main__":
    main()
