# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One case from its beginning to its verdict."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from .cases import RELEASES, STRATEGIES, Case
from .controllers import Controller, Run
from .ground import HOSTS, NEW, OLD, Ground
from .injection import Fault
from .judge import Seen, forced, untrue, violations
from .places import CHECKOUT, HERE, OUT

GRACE = 1.5  # seconds within which what a run has left behind ends by itself
# A keeper of blue-green holds the colour that is out for as long as traffic_hold says.
KEEPS = ("blue_green",)


class Campaign:
    """The ground, and the cases that are run on it.

    :param work: an empty directory of its own.
    """

    def __init__(self, work: Path) -> None:
        self.work, self.ground = work, Ground(work / "ground")
        self.count = 0
        self.runs: list[Run] = []
        self.other_name = "elsewhere" if _may_have_a_name() else ""

    def begin(self) -> None:
        """Start what all cases share."""
        self.ground.begin()

    def close(self) -> None:
        """End everything."""
        for run in self.runs:
            if run.process.poll() is None:
                run.end()
        self.ground.close()

    def steps(self, strategy: str) -> list[dict[str, Any]]:
        """The tasks of a rollout without any fault; it must be faultless. Run once for each state of the playbooks.

        :raises RuntimeError: it is not.
        """
        place = OUT / "steps" / f"{strategy}-{_state()}.json"
        if not place.exists():
            told = self.run(Case(strategy, "none", None, None, "again"))
            if told["violations"]:
                raise RuntimeError(f"without any fault: {told['violations']}, see {told['logs']}")
            place.parent.mkdir(parents=True, exist_ok=True)
            own = place.with_suffix(f".{os.getpid()}")
            own.write_text(json.dumps(told["steps"]))
            own.replace(place)  # others may be reading
        steps: list[dict[str, Any]] = json.loads(place.read_text())
        return steps

    def run(self, case: Case) -> dict[str, Any]:
        """Run a case; everything that is to be told of it."""
        self.count += 1
        ground, logs = self.ground, self.work / f"{self.count:04}"
        marker = f"{self.count}/"
        logs.mkdir(parents=True)
        began = time.time()
        fault = Fault(case, ground)
        told: dict[str, Any] = {"case": str(case), "family": case.family, "logs": str(logs), "step": "", "end": "", "skipped": False}
        ground.reset(case.strategy)
        first = Controller(ground, logs / "first")
        ground.begin_load(logs)
        found: list[str] = []
        watch = Watch(ground, case)
        try:
            if not fault.prepare():
                return {**told, "skipped": True, "violations": [], "forced": 0, "failed": 0, "requests": 0, "seconds": 0.0}
            given = {"rollout_hosts": "shop", **fault.variables()}
            watch.start()
            run = self._start(first, case.strategy, logs, marker, -1 if case.step is None else case.step, **given)
            try:
                self._let_it_happen(run, case, fault)
            except TimeoutError as error:
                found.append(str(error))
                run.end()
            code = run.wait()
            told["code"], told["steps"], told["said"] = code, run.steps(), _said(run.output)
            told["step"] = _step(told["steps"], case)
            found += self._after_the_run(run, case, fault, code)
            fault.end()
            if case.recovery != "itself":
                found += self._recover(case, first, logs, marker, given)
                told["said"] += _said(self.runs[-1].output)
            done = case.recovery == "again"
            found += self._verdict(case, marker, done)
            time.sleep(0.5)  # clients have met things as they are now
        finally:
            watch.end()
            fault.end()
            samples = ground.end_load()
        found += watch.found
        by_fault, others = forced(samples, fault.windows, ground.deaths())
        if others:
            reasons = sorted({f"{sample['why']} {sample['status'] or ''} {sample['detail'][:60]}" for sample in others})
            found.append(f"{len(others)} of {len(samples)} requests failed and were not forced: {reasons[:3]}")
            told["failures"] = others[:20]
        told |= {"requests": len(samples), "forced": len(by_fault), "failed": len(others), "violations": found}
        told["seconds"] = round(time.time() - began, 1)
        told["end"] = "as it must be" if not found else "NOT as it must be"
        if not found:
            for path in (*logs.glob("samples"), *(logs / "first", logs / "second")):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return told

    def _start(self, controller: Controller, playbook: str, logs: Path, marker: str, hold: int = -1, **variables: Any) -> Run:
        run = controller.start(playbook, logs, marker, hold, **variables)
        self.runs = [each for each in self.runs if each.process.poll() is None] + [run]
        return run

    @staticmethod
    def _let_it_happen(run: Run, case: Case, fault: Fault) -> None:
        if case.step is None:
            return
        if run.reach(case.step):
            if case.delay is not None:
                run.let_go()
                time.sleep(case.delay / 1000)
            if run.process.poll() is None:
                fault.happen(run)
        run.let_go()

    def _after_the_run(self, run: Run, case: Case, fault: Fault, code: int) -> list[str]:
        """What must hold while the fault lasts."""
        output, found = run.output, []
        found += self._untrue(case, run, code)
        if code == -1000:
            found.append("the rollout did not end by itself")
        found += _unreadable(output, "the rollout")
        versions = self.ground.versions()
        if case.fault in RELEASES and code == 0:
            found.append(f"a broken release ({case.fault}) was rolled out, exit code 0")
        if case.fault in ("slow_start", "none") and code != 0:
            found.append(f"exit code {code} without a reason: {_last_words(output)}")
        if case.fault == "endless-cut" and code != 0:
            found.append(f"exit code {code}, though what does not end may be cut: {_last_words(output)}")
        if case.fault == "endless-fail" and (code == 0 or set(versions.values()) != {OLD}):
            found.append(f"exit code {code}, {versions}: a drain that does not end is to keep the host from being touched")
        if fault.lost and code != 0 and fault.lost not in _last_words(output):
            found.append(f"{fault.lost} is lost, and the last words do not name it: {_last_words(output)}")
        if fault.lost and fault.lost != "app1" and case.strategy != "blue_green":  # app1 has the journal
            others = {version for host, version in versions.items() if host != fault.lost}
            if len(others) > 1:
                found.append(f"with {fault.lost} lost ({fault.what}), the others are in mixed versions: {versions}")
        return found

    def _recover(self, case: Case, first: Controller, logs: Path, marker: str, given: dict[str, Any]) -> list[str]:
        controller, found = first, []
        if case.elsewhere:
            first.lose()
            controller = Controller(self.ground, logs / "second", self.other_name, own_checkout=True)
        playbook = case.strategy if case.recovery == "again" else "rollback"
        # What was right for the fault is right afterwards too, but for a drain that may end now.
        dropped = {"traffic_drain_timeout", *(() if case.recovery == "again" else ("rollout_version",))}
        variables = {name: value for name, value in given.items() if name not in dropped}
        run = self._start(controller, playbook, logs, marker, **variables)
        code = run.wait()
        found += _unreadable(run.output, "the recovery")
        lease = self.ground.lease()
        if code and case.elsewhere and "is held by" in run.output and lease and lease["expires"]:
            # Nobody elsewhere can know that the first one is dead; the lease says until when it is in the way.
            time.sleep(max(0.0, _epoch(lease["expires"]) - time.time()) + 0.1)
            run = self._start(controller, playbook, logs, marker, **variables)
            code = run.wait()
        found += self._untrue(case, run, code)
        if code:
            found.append(f"the recovery ({playbook}) ended with exit code {code}: {_last_words(run.output)}")
        elif random.Random(str(case)).random() < 0.2:
            more = self._start(controller, playbook, logs, marker, **variables)
            if more.wait() or more.changed:
                found.append(f"after the recovery, {playbook} once more: exit code {more.process.returncode}, {more.changed} changed")
        return found

    def _untrue(self, case: Case, run: Run, code: int) -> list[str]:
        """What a run has said in the end, and is not so; blue-green counts no hosts."""
        if case.strategy == "blue_green":
            return []
        ends = [_last_words(run.output)] if code else re.findall(r'"(Roll(?:out|back) of [^"]*)"', run.output)
        return untrue(ends[-1] if ends else "", self._seen({}), self.ground.before, OLD, NEW)

    def _seen(self, strangers: dict[int, str]) -> Seen:
        ground = self.ground
        lease, outcomes = ground.lease(), ground.outcomes()
        owner = lease["owner"] if lease else None
        return Seen(ground.versions(), ground.current(), ground.pools(), owner, outcomes[-1] if outcomes else "", strangers)

    def _verdict(self, case: Case, marker: str, done: bool) -> list[str]:
        ground = self.ground
        deadline = time.monotonic() + GRACE
        while True:
            seen = self._seen(ground.strangers(marker, keepers=case.strategy not in KEEPS))
            found = violations(seen, ground.before, case.strategy, NEW if done else OLD, done)
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


class Watch(threading.Thread):
    """Looks at the balancers all the time: there is always somebody to serve."""

    def __init__(self, ground: Ground, case: Case) -> None:
        super().__init__(name="watch", daemon=True)
        self.ground, self.case, self.found = ground, case, []
        self._ended = threading.Event()

    def run(self) -> None:
        """Until the end."""
        while not self._ended.wait(0.1):
            for proxy in self.ground.proxies:
                try:
                    left = proxy.available()
                except (OSError, ValueError, IndexError):  # down, hung or just starting: that is the fault
                    continue
                if left < 1 and not self.found and self.case.family not in ("balancer", "host"):
                    self.found.append(f"{proxy.name} had no available member at {time.time():.2f}: {proxy.pool()}")

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        if self.is_alive():
            self.join(5)


def _state() -> str:
    """What decides which tasks a rollout has."""
    digest = hashlib.sha256()
    for top in (CHECKOUT / "playbooks", CHECKOUT / "roles", HERE):
        for path in sorted((*top.rglob("*.yml"), *top.glob("*.py"))):
            digest.update(str(path.relative_to(CHECKOUT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _may_have_a_name() -> bool:
    """Whether a process may have a host name of its own here."""
    line = ["unshare", "--uts", "hostname", "elsewhere"]
    try:
        return subprocess.run(line, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _step(steps: list[dict[str, Any]], case: Case) -> str:
    if case.step is None or not steps:
        return ""
    # With a delay the run has gone on; what stood last is what was hit.
    at = steps[-1] if case.family == "controller" else steps[min(case.step, len(steps) - 1)]
    return re.sub(r"^zero_downtime\.deploy\.", "", at["task"])


def _unreadable(output: str, whose: str) -> list[str]:
    """A traceback is nothing for a person.

    Left out is ansible-core 2.19's own, which its signal handler meets in a process that was forked at that very moment.
    """
    ours = re.sub(
        r"^Exception ignored in: .*_after_at_fork.*\nTraceback.*\n(?:(?: .*)?\n)+AssertionError: can only test a child process$",
        "",
        output,
        flags=re.MULTILINE,
    )
    return [f"{whose} shows a traceback"] if "Traceback (most recent call last)" in ours else []


def _said(output: str) -> list[str]:
    """What tasks that failed have said, each once."""
    said = re.findall(r"^(?:fatal|failed): .*? => (\{.*\})$", output, re.MULTILINE)
    return list(dict.fromkeys(_message(text) for text in said))


def _last_words(output: str) -> str:
    return (_said(output) or [output[-300:]])[-1]


def _message(text: str) -> str:
    try:
        return str(json.loads(text).get("msg", ""))
    except ValueError:
        return text


def _epoch(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


__all__ = ["HOSTS", "STRATEGIES", "Campaign"]
