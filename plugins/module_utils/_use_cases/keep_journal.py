# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the lease and the journal of a service: begin, record, pause, approve, read and finish a rollout.

Each action is one read-modify-write that nobody else's comes into: in files under the service's lock, in etcd as one transaction.  In
files the order of the writes lets a crash between two of them lose nothing: the lease before what is done under it, a new journal before
the one it inherits from is marked, an outcome before the lease is let go.

``changed`` tells whether the history of the service says something that it did not say before.  The lease is
bookkeeping, and so is a journal in which nothing was ever recorded: a run with nothing to do changes nothing.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

from .._clock import Clock
from .._domain import pauses
from .._domain.errors import DeployError, InvalidInput, Refused
from .._domain.gates import POINTS, VERDICT
from .._journal import journal as journals
from .._journal import lease as leases
from .._journal import owner as owners
from .._journal import shapes
from .._journal.etcd_options import OPTIONS
from .._journal.file_store import FileStore
from .._journal.store import Records, Store

TTL = 900
LONGEST_TTL = 366 * 86400
KEEP = 50

ARGUMENT_SPEC: Dict[str, Any] = {
    "action": {"type": "str", "required": True, "choices": ["begin", "record", "pause", "approve", "read", "finish"]},
    "service": {"type": "str", "required": True},
    "path": {"type": "path", "default": "/var/lib/zero_downtime"},
    "etcd": {"type": "dict", "options": OPTIONS},
    "id": {"type": "str"},
    "fence": {"type": "int"},
    "owner": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "controller": {"type": "str"},
            "pid": {"type": "int"},
            "process_started": {"type": "int"},
            "boot_id": {"type": "str"},
            "pid_namespace": {"type": "str"},
            "machine": {"type": "str"},
        },
    },
    "ttl": {"type": "int"},
    "take_over": {"type": "bool", "default": False},
    "dead_fence": {"type": "int"},
    "version": {"type": "str"},
    "strategy": {"type": "str"},
    "before": {"type": "dict"},
    "plan": {"type": "list", "elements": "list"},
    "event": {"type": "str"},
    "hosts": {"type": "list", "elements": "str"},
    "details": {"type": "dict"},
    "point": {"type": "str", "choices": [*POINTS, VERDICT]},
    "number": {"type": "int"},
    "why": {"type": "str"},
    "waits_for": {"type": "str", "choices": [pauses.APPROVAL, pauses.GATE]},
    "outcome": {"type": "str", "choices": list(journals.OUTCOMES)},
    "summary": {"type": "dict"},
    "history": {"type": "int", "default": 5},
}

CONSTRAINTS: Dict[str, Any] = {
    "required_if": [
        ("action", "begin", ("version", "strategy")),
        ("action", "record", ("id", "fence")),
        ("action", "pause", ("id", "fence", "point", "why", "waits_for")),
        ("action", "finish", ("id", "fence", "outcome")),
    ],
}


def run(params: Dict[str, Any], check_mode: bool, clock: Clock) -> Dict[str, Any]:
    """Do ``params["action"]`` on the lease and journal of ``params["service"]``; return the task's result."""
    store = _store(params)
    params = _checked(params)
    action = params["action"]
    if action == "read":
        return store.look(clock, lambda records, now: _read(records, params["history"], now))

    def work(records: Records, now: float) -> Dict[str, Any]:
        return ACTIONS[action](records, params, check_mode, now)

    if check_mode:
        if action == "begin":
            store.expect_writable(clock)
        return store.look(clock, work)
    # Whoever may not write because nothing was ever begun creates nothing either.
    return store.change(clock, work, creates=action == "begin")


def _store(params: Dict[str, Any]) -> Store:
    """Where the records stand: in etcd when that is asked for, else in files of this host."""
    if params["etcd"]:
        from .._journal.etcd_store import EtcdStore  # with all of HTTP and TLS, which files need nothing of

        return EtcdStore(params["etcd"], params["service"])
    return FileStore(params["path"], params["service"])


def _checked(params: Dict[str, Any]) -> Dict[str, Any]:
    """The options as plain data, as they will be read back from disk."""
    if params["action"] in ("begin", "approve") and not params["owner"]:
        raise InvalidInput(
            "The option owner is missing: who %ss the rollout. The action plugin of this module fills it in; "
            "without the plugin it must be given. Nothing was touched." % params["action"]
        )
    for name in ("version", "strategy"):
        if params["action"] == "begin" and not params[name].strip():
            raise InvalidInput("The option %s is empty. Nothing was touched." % name)
    for name, least in (("ttl", 1), ("history", 0)):
        if params[name] is not None and params[name] < least:
            raise InvalidInput("The option %s is %d; it must be at least %d." % (name, params[name], least))
    if (params["ttl"] or 0) > LONGEST_TTL:
        raise InvalidInput(
            "The option ttl is %d s; it must be at most %d, a year: the lease of an owner that died would never end. Nothing was touched."
            % (params["ttl"], LONGEST_TTL)
        )
    try:
        return json.loads(json.dumps(params, default=str))
    except (TypeError, ValueError) as error:
        raise InvalidInput("The options cannot be written as JSON: %s. Nothing was touched." % error) from None


def _begin(records: Records, params: Dict[str, Any], check_mode: bool, now: float) -> Dict[str, Any]:
    """Take the lease and go on with the unfinished journal, supersede it, or write a new one."""
    version, strategy, owner = params["version"], params["strategy"], params["owner"]
    held = records.lease()
    known = records.journals()
    unfinished = [journal for journal in known if not journals.finished(journal)]
    ground = leases.claim(held, owner, now, params["take_over"], params["dead_fence"])

    newest = unfinished[-1] if unfinished else None
    running = newest is not None and newest["id"] == held["rollout"] and journals.resumable(newest, version, strategy)
    if ground == "ours" and running:
        renewed = leases.renew(held, now, params["ttl"])
        if not check_mode:
            records.keep_lease(renewed)
        return _begun(renewed, newest, resumed=True)

    fence = _next_fence(held, known)
    beginning = journals.begin(unfinished, _last(known), records.service, version, strategy, owner, fence, now)
    taken = leases.acquire(held, fence, owner, beginning.journal["id"], version, now, params["ttl"] or TTL)
    if not check_mode:
        records.keep_lease(taken)
        records.keep_journal(beginning.journal)
        for journal in beginning.superseded:
            records.keep_journal(journal)
    result = _begun(taken, beginning.journal, beginning.resumed)
    result["changed"] = bool(beginning.superseded) or ground == "take_over"
    if ground in ("expired", "dead", "take_over"):
        result["taken_over_from"] = dict(leases.told(held), reason=ground)
    return result


def _last(known: List[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    """The newest of the journals (oldest first) that has an outcome of its own."""
    ended = [journal for journal in known if journal["outcome"] not in (None, journals.SUPERSEDED)]
    return ended[-1] if ended else None


def _begun(lease: Dict[str, Any], journal: Dict[str, Any], resumed: bool) -> Dict[str, Any]:
    return {
        "changed": False, "id": journal["id"], "fence": lease["fence"], "resumed": resumed, "journal": journal,
        "lease": leases.told(lease), "taken_over_from": None,
    }


def _record(records: Records, params: Dict[str, Any], check_mode: bool, now: float) -> Dict[str, Any]:
    """Renew the lease; add what was found, what is planned and what happened."""
    held = records.lease()
    journal = _writable(records, held, params, check_mode, now)
    later = journals.record(
        journal, now, params["before"], params["plan"], params["event"], params["hosts"], params["details"]
    )
    problem = shapes.wrong_journal(later)
    if problem:  # else it would be found when somebody reads it, and nobody could end the rollout
        raise InvalidInput("What is to be recorded of rollout %s cannot be used: %s. Nothing was written." % (params["id"], problem))
    changed = later != journal
    renewed = held
    if _owned(held, params):
        renewed = leases.renew(held, now, params["ttl"])
        if not check_mode:
            if changed:
                records.keep_journal(later)
            records.keep_lease(renewed)
    return {
        "changed": changed, "id": params["id"], "fence": params["fence"],
        "lease": leases.told(renewed), "diff": journals.lines(journal, later),
    }


def _pause(records: Records, params: Dict[str, Any], check_mode: bool, now: float) -> Dict[str, Any]:
    """Write down where the rollout has stopped and let the lease go; the journal stays unfinished."""
    held = records.lease()
    journal = _writable(records, held, params, check_mode, now)
    later = journals.pause(journal, now, params["point"], params["number"], params["why"], params["waits_for"])
    released = held
    if _owned(held, params):
        if not check_mode:
            records.keep_journal(later)
        released = _let_go(records, held, check_mode)
    diff = journals.lines(journal, later)
    diff = {"before": leases.line(held), "after": leases.line(released) + diff["after"]}
    return dict(_finished(released, params, later, changed=True), diff=diff)


def _approve(records: Records, params: Dict[str, Any], check_mode: bool, now: float) -> Dict[str, Any]:
    """Write down who lets the rollout go on. Nobody holds the lease then, and nobody needs it for this."""
    held = records.lease()
    if held["owner"] is not None and not leases.expired(held, now):
        raise Refused(
            "Service %s is at work: its lease is held by %s. Nothing was written. Approve when that run has paused."
            % (records.service, leases.held_by(held, now)),
            holder=leases.told(held),
        )
    unfinished = _unfinished(records.journals())
    later = journals.approve(
        unfinished, records.service, now, owners.described(params["owner"]), params["point"], params["number"]
    )
    if not check_mode:
        records.keep_journal(later)
    return {
        "changed": True, "id": later["id"], "lease": leases.told(held), "journal": later, "waits": pauses.waits(later),
        "diff": journals.lines(unfinished, later),
    }


def _finish(records: Records, params: Dict[str, Any], check_mode: bool, now: float) -> Dict[str, Any]:
    """Give the journal its outcome and let the lease go."""
    held = records.lease()
    journal = records.journal(params["id"])
    outcome = params["outcome"]
    if journal is None and outcome == "nothing_to_do" and held["owner"] is None and held["fence"] == params["fence"]:
        return _finished(held, params, None, changed=False)
    if journal is None and outcome == "nothing_to_do" and _owned(held, params):
        # A finish that was cut off after it had removed the journal.
        return _finished(_let_go(records, held, check_mode), params, None, changed=False)
    if journal is None or journal["outcome"] != outcome or journal["fence"] != params["fence"]:
        journal = _writable(records, held, params, check_mode, now)

    later = journals.finish(journal, outcome, params["summary"], now)
    removed = outcome == "nothing_to_do" and journals.blank(later)
    changed = later != journal and not removed
    diff = journals.lines(journal, later)
    released = held
    if not check_mode:
        if removed:
            records.drop_journal(later["id"])
        elif changed:
            records.keep_journal(later)
    if _owned(held, params):
        released = _let_go(records, held, check_mode)
        diff = {"before": leases.line(held), "after": leases.line(released) + diff["after"]}
    result = _finished(released, params, later, changed)
    if changed:
        result["diff"] = diff
        if not check_mode:
            result.update(_pruned(records))
    return result


def _let_go(records: Records, held: Dict[str, Any], check_mode: bool) -> Dict[str, Any]:
    released = leases.release(held)
    if not check_mode:
        records.keep_lease(released)
    return released


def _finished(lease: Dict[str, Any], params: Dict[str, Any], journal: Any, changed: bool) -> Dict[str, Any]:
    return {
        "changed": changed, "id": params["id"], "fence": params["fence"], "lease": leases.told(lease),
        "journal": journal,
    }


def _pruned(records: Records) -> Dict[str, Any]:
    """Remove what is too old; the rollout is finished, whatever comes of this."""
    try:
        for journal in journals.to_prune(records.journals(), KEEP):
            records.drop_journal(journal["id"])
    except DeployError as error:
        return {"warnings": ["The rollout is finished, but old journals were not removed. %s" % error.message]}
    return {}


def _read(records: Records, history: int, now: float) -> Dict[str, Any]:
    """What is known of the service; nothing is written."""
    held = records.lease()
    known = records.journals()
    unfinished = _unfinished(known)
    done = [journal for journal in reversed(known) if journals.finished(journal)]
    return {
        "changed": False,
        "lease": dict(leases.told(held), expired=leases.expired(held, now)),
        "journal": unfinished,
        "waits": pauses.waits(unfinished),
        "last": _last(known),
        "history": done[:history],
    }


def _unfinished(known: List[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    """The newest of the journals (oldest first) that has no outcome."""
    return next((journal for journal in reversed(known) if not journals.finished(journal)), None)


def _writable(
    records: Records, held: Dict[str, Any], params: Dict[str, Any], check_mode: bool, now: float
) -> Dict[str, Any]:
    """The journal to write to, after its owner has shown that the lease is its own."""
    predicted = check_mode and not _owned(held, params) and params["fence"] == _next_fence(held, records.journals())
    if not predicted:
        leases.demand(held, params["fence"], params["id"], now)
    journal = records.journal(params["id"])
    if journal is None and predicted:
        # In check mode begin has written nothing: this is the journal it would have begun.
        return journals.new(params["id"], records.service, params["version"] or "", "", params["fence"], now)
    if journal is None:
        raise DeployError(
            "The journal of rollout %s of service %s is gone, though its lease is held: somebody has removed it. "
            "Nothing was written. Stop this run and begin again." % (params["id"], records.service)
        )
    return journal


def _owned(lease: Dict[str, Any], params: Dict[str, Any]) -> bool:
    return (
        lease["owner"] is not None and lease["fence"] == params["fence"] and lease["rollout"] == params["id"]
    )


def _next_fence(lease: Dict[str, Any], known: List[Dict[str, Any]]) -> int:
    """One more than any number given out; the journals remember when the lease's file was moved away."""
    return max([lease["fence"]] + [journal["fence"] for journal in known]) + 1


ACTIONS = {"begin": _begin, "record": _record, "pause": _pause, "approve": _approve, "finish": _finish}
