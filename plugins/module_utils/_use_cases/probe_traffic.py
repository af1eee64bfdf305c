# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts a prober that outlives the task, tells what it has seen, and ends it."""

from __future__ import annotations

import gc
import math
import os
import signal
from typing import Any, Dict, List, Optional

from .._clock import Clock, Deadline
from .._domain import felt
from .._domain.errors import InvalidInput, TimedOut
from .._health.crew import Crew
from .._health.expectations import Expectations
from .._health.http_probe import HttpProbe
from .._health.targets import read_targets
from .._probe.caller import Caller, bare
from .._probe.folder import Folder
from .._probe.mandate import KILLED, Mandate
from .._probe.prober import OVERDUE, Prober
from .._probe.record import Record, Writer, read
from .._processes import call_oneself, leave_behind, look

ARGUMENT_SPEC: Dict[str, Any] = {
    "state": {"type": "str", "choices": ["started", "read", "stopped"], "default": "started"},
    "name": {"type": "str", "required": True},
    "path": {"type": "path", "default": "/var/lib/zero_downtime"},
    "urls": {"type": "list", "elements": "str"},
    "rate": {"type": "float", "default": 10.0},
    "timeout": {"type": "float", "default": 5.0},
    "headers": {"type": "dict", "no_log": True},
    "host": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
    "ca_path": {"type": "path"},
    "keep_alive": {"type": "bool", "default": False},
    "version": {"type": "str"},
    "version_header": {"type": "str"},
    "version_pattern": {"type": "str"},
    "lifetime": {"type": "float", "default": 21600.0},
    "owner_pid": {"type": "int"},
    "owner_started": {"type": "int"},
    "since": {"type": "float"},
}
CONSTRAINTS: Dict[str, Any] = {"required_if": [("state", "started", ("urls",))]}

MOST = 200.0  # requests a second
# What a prober is given, beyond its timeout, to write its last line; in seconds.
GRACE = 5.0
_POLL = 0.02


def run(params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    """Do what ``params["state"]`` says; see the module's documentation for options and result.

    :raises InvalidInput: an option makes no sense; nothing was touched.
    :raises TimedOut: the prober did not end.
    """
    folder = Folder(params["path"], params["name"], clock)
    return {"started": _start, "read": _read, "stopped": _stop}[params["state"]](folder, params, check_mode, clock)


def _start(folder: Folder, params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    callers = read_callers(params)
    if check_mode:
        folder.expect_writable()
        runs = folder.runs() and folder.order() is not None
        return {**_told(folder), "changed": not runs}
    folder.make()
    with folder.alone():
        prober = folder.take()
        changed = prober is not None or folder.order() is None
        if changed:
            if prober is None:
                prober = _wait_for_end(folder, clock)
            try:
                _begin(folder, params, callers, prober, clock)
            finally:
                os.close(prober)
        else:
            warnings = _adopt(folder, params)
    if changed:
        # Not before: a process with threads is no good one to fork.
        warnings = _first_look(callers, params, clock)
    return {**_told(folder), "changed": changed, "warnings": warnings}


def read_callers(params: dict[str, Any]) -> List[Caller]:
    """Read and check what is to be probed, and how.

    :raises InvalidInput: it cannot be kept.
    """
    if not (0 < params["rate"] <= MOST):
        raise InvalidInput(
            "rate: expected requests a second, above 0 and at most %g, found %g; nothing is probed"
            % (MOST, params["rate"])
        )
    for name in ("timeout", "lifetime"):
        if not (params[name] > 0 and math.isfinite(params[name])):
            raise InvalidInput("%s: expected seconds above 0, found %g; nothing is probed" % (name, params[name]))
    shared = ("headers", "validate_certs", "version", "version_header", "version_pattern")
    targets = read_targets(
        [
            {
                "name": "urls[%d]" % number,
                "url": url,
                "status": [200],
                **{name: params[name] for name in shared},
                "ca_path": params["ca_path"] if url.startswith("https:") else None,
            }
            for number, url in enumerate(params["urls"])
        ]
    )
    return [_caller(target.probe, target.expectations, params["host"], params["keep_alive"]) for target in targets]


def _caller(probe: Any, expectations: Expectations, host: Optional[str], keep_alive: bool) -> Caller:
    asked: HttpProbe = probe
    return Caller(
        asked.url, asked.headers, expectations.version, expectations.redactor, asked.context, host, keep_alive
    )


def _order(params: dict[str, Any], record: str) -> Dict[str, Any]:
    return {
        "record": os.path.basename(record),
        "urls": [bare(url) for url in params["urls"] or []],
        "rate": params["rate"],
        "lifetime": params["lifetime"],
        "owner": {"pid": params["owner_pid"] or None, "started": params["owner_started"]},
    }


def _begin(folder: Folder, params: dict[str, Any], callers: List[Caller], prober: int, clock: Clock) -> None:
    """Leave a prober behind, which holds `prober`."""
    began, origin = clock.now(), clock.monotonic()
    path = folder.new_record(began)
    order = _order(params, path)
    about = {"began": began, "urls": order["urls"], "rate": order["rate"], "timeout": params["timeout"]}
    writer = Writer(path, about)
    try:
        folder.give(order)
        folder.prune()

        def probe() -> None:
            call_oneself("zd-probe")
            # What this process has inherited lives as long as it does; to look through it again and again would cost more than
            # the requests.
            gc.freeze()
            signals: List[int] = []
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.signal(number, lambda received, _frame: signals.append(received))
            mandate = Mandate(folder, path, look, clock)

            def over() -> Optional[str]:
                return "it was sent signal %d" % signals[0] if signals else mandate.over()

            try:
                Prober(callers, params["rate"], params["timeout"], began, origin, writer, over, clock).run()
            except BaseException as error:
                writer.add(clock.now(), [], "it failed: %s" % type(error).__name__)
                raise

        leave_behind(probe, keep=(prober, writer.descriptor))
    finally:
        writer.close()


def _adopt(folder: Folder, params: dict[str, Any]) -> List[str]:
    """Have the prober that runs belong to this owner, too, from now on; what it does differently than asked for."""
    running = folder.order() or {}
    wanted = _order(params, running["record"])
    folder.give({**running, "owner": wanted["owner"], "lifetime": wanted["lifetime"]})
    different = [name for name in ("urls", "rate") if running[name] != wanted[name]]
    if not different:
        return []
    return [
        "The probe runs already and goes on as it is, with other %s than asked for here. Stop it first (state: stopped), "
        "if these are to count." % " and ".join(different)
    ]


def _wait_for_end(folder: Folder, clock: Clock) -> int:
    """The right to be the prober, once the one that was told to end has ended."""
    deadline = Deadline(clock, _patience(folder))
    while True:
        prober = folder.take()
        if prober is not None:
            return prober
        if deadline.passed:
            raise TimedOut(
                "The probe in %s was told to end and still runs after %g s. It goes on to be told so. Find its process "
                "(fuser -v '%s/prober') and end it." % (folder.path, deadline.seconds, folder.path)
            )
        clock.sleep(_POLL)


def _patience(folder: Folder) -> float:
    latest = _latest(folder)
    return (latest.timeout if latest else 0.0) + OVERDUE + GRACE


def _first_look(callers: List[Caller], params: dict[str, Any], clock: Clock) -> List[str]:
    """What is wrong with the first answer of each URL, in sentences."""
    crew = Crew(lambda job: callers[job].call(clock, params["timeout"], clock.now()), len(callers), clock)
    for number in range(len(callers)):
        crew.start(number)
    deadline = Deadline(clock, params["timeout"] + OVERDUE)
    wrong = {number: "no answer within %g s" % params["timeout"] for number in range(len(callers))}
    waited = set(wrong)
    asks_version = any(params[name] for name in ("version", "version_header", "version_pattern"))
    while waited and not deadline.passed:
        for report in crew.collect(deadline.left):
            waited.discard(report.job)
            seen: Optional[felt.Ended] = report.result
            if seen is None:
                wrong[report.job] = str(report.error)
            elif seen.outcome not in felt.FINE:
                wrong[report.job] = seen.why
            elif asks_version and not seen.version:
                wrong[report.job] = "it answers, but tells no version"
            else:
                del wrong[report.job]
    crew.dismiss()
    return [
        "The first request to %s: %s. The probe has begun all the same." % (callers[number].url, wrong[number])
        for number in sorted(wrong)
    ]


def _read(folder: Folder, params: dict[str, Any], _check_mode: bool, _clock: Clock) -> dict[str, Any]:
    return {**_told(folder), **_felt(folder, params["since"]), "changed": False}


def _stop(folder: Folder, params: dict[str, Any], check_mode: bool, clock: Clock) -> dict[str, Any]:
    changed = folder.runs()
    if changed and not check_mode:
        with folder.alone():
            changed = folder.order() is not None
            folder.withdraw()
            os.close(_wait_for_end(folder, clock))
    return {**_told(folder), **_felt(folder, params["since"]), "changed": changed}


def _latest(folder: Folder) -> Optional[Record]:
    paths = folder.records()
    return read(paths[-1]) if paths else None


def _told(folder: Folder) -> dict[str, Any]:
    """The part of the task's result that is there in any case."""
    paths = folder.records()
    return {"running": folder.runs(), "path": paths[-1] if paths else None, "felt": None, "ended": None}


def _felt(folder: Folder, since: Optional[float]) -> dict[str, Any]:
    """What users have felt: from `since` on, over all probers there were; without it, while the last one ran."""
    runs = folder.runs()  # asked first: what ends after this is told as running still
    records: List[Record] = []
    for path in reversed(folder.records()):
        record = read(path, since)
        if record is not None:
            records.insert(0, record)
            if since is None or record.began <= since:
                break
    if not records:
        return {}
    latest = records[-1]
    began = records[0].began if since is None else max(since, records[0].began)
    ended = max(began, latest.until)
    urls = list(dict.fromkeys(url for record in records for url in record.urls))
    result: Dict[str, Any] = {
        "felt": felt.summary(
            (second for record in records for second in record.seconds), began, ended, urls, latest.rate
        )
    }
    if not runs:
        result["ended"] = latest.ended or KILLED
    lost = sum(record.lost for record in records)
    if lost:
        result["warnings"] = [
            "%d seconds of what the probe wrote cannot be read (%s); what is told is without them."
            % (lost, ", ".join(record.path for record in records if record.lost))
        ]
    return result
