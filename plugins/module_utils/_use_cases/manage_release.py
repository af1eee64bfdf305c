# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the release layout on a host to a state (a release active, present, reverted or absent) and restart what runs from it."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Any, Callable, Dict, Iterator, Optional

from .._clock import Clock
from .._domain.errors import InvalidInput, Late, Refused
from .._release.archives import Archive
from .._release.decide import ABSENT, ACTIVE, PRESENT, REVERTED, Plan, State, plan
from .._release.files import Ownership
from .._release.install import install
from .._release.layout import Layout
from .._release.restart import Restart, restart_by
from .._release.names import Checksum, parse_checksum, valid_shared, valid_version
from .._release.sources import ARCHIVE, URL, Source, is_url
from .fence import LEASE_OPTION, Fence

CHANGED, ALWAYS, NEVER = "changed", "always", "never"
ARGUMENT_SPEC: Dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "version": {"type": "str"},
    "state": {"type": "str", "default": ACTIVE, "choices": [ACTIVE, PRESENT, REVERTED, ABSENT]},
    "source": {"type": "str"},
    "remote_src": {"type": "bool", "default": False},
    "checksum": {"type": "str"},
    "strip_components": {"type": "int", "default": 0},
    "shared": {"type": "list", "elements": "str", "default": []},
    "keep": {"type": "int", "default": 5},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "validate_certs": {"type": "bool", "default": True},
    "url_username": {"type": "str"},
    "url_password": {"type": "str", "no_log": True},
    "headers": {"type": "dict", "no_log": True},
    "timeout": {"type": "int", "default": 30},
    "service": {"type": "str"},
    "service_state": {"type": "str", "default": "restarted", "choices": ["restarted", "reloaded"]},
    "service_scope": {"type": "str", "default": "system", "choices": ["system", "user"]},
    "restart_command": {"type": "list", "elements": "str", "default": []},
    "restart": {"type": "str", "default": CHANGED, "choices": [CHANGED, ALWAYS, NEVER]},
    **LEASE_OPTION,
}
CONSTRAINTS: Dict[str, Any] = {
    "required_if": [
        ("state", ACTIVE, ("version",)),
        ("state", PRESENT, ("version",)),
        ("state", ABSENT, ("version",)),
    ],
    "required_together": [("url_username", "url_password")],
    "mutually_exclusive": [("service", "restart_command")],
}


def run(params: Dict[str, Any], check_mode: bool, clock: Clock) -> Dict[str, Any]:
    """Do what the options ask for, or say what would be done.

    In check mode nothing is written, fetched or restarted; an archive on this host is read and judged all the same, and the unit or
    program that restarts the service is looked for.

    :returns: ``path``, ``current``, ``previous``, ``releases``, ``activated``, ``unpacked``, ``pruned``, ``restarted``, ``changed``,
        ``diff``, and ``warnings`` when something could not be cleaned up.
    :raises DeployError: when it cannot be done.  The fact ``source_needed`` says that all that is missing is a source.
    """
    request = _Request(params)
    fence = Fence(params.get("lease"), clock)
    with _told(request.layout):
        decided = request.plan(request.layout.read())
        request.check_source(decided, check_mode)
        restart = request.restart(decided)
        if restart:
            restart.check(clock)
        if check_mode:
            return _result(request.layout, decided, decided.after, restart)
        warnings: list[str] = []
        if decided.changes:
            with request.layout.locked():
                # Once more, now that nobody else can change it.
                decided = request.plan(request.layout.read())
                warnings = _carry_out(decided, request, clock, fence)
        result = _result(request.layout, decided, request.layout.read(), restart)
        if warnings:
            result["warnings"] = warnings
        if restart:
            _restarted(restart, result, fence, clock)
        return result


def _restarted(restart: Restart, result: Dict[str, Any], fence: Fence, clock: Clock) -> None:
    """Restart the service.

    :raises Refused: it failed, or the lease is over; with the facts of what was done before.
    """
    facts = {**result, "restarted": False, "changed": result["activated"] or result["unpacked"] or bool(result["pruned"])}
    state = "Release {0} is current in {1}, and the service was not restarted".format(result["current"], result["path"])
    try:
        fence.check(state)
        restart.run(clock)
    except Late as error:
        raise Late(error.message, **facts)
    except Refused as error:
        raise Refused(
            "{0}: {1}. Mend that and run again with restart: always, or go back to the release from before.".format(state, error.message),
            **facts,
        )


class _Request:
    """The options, checked for what can be checked without looking at the layout."""

    def __init__(self, params: Dict[str, Any]) -> None:
        path, version, self.state = params["path"], params["version"], params["state"]
        if not os.path.isabs(path):
            raise InvalidInput("The path {0!r} is not absolute. Nothing was touched.".format(path))
        if self.state == REVERTED and version is not None:
            raise InvalidInput(
                "With state reverted the previous release is activated, whichever that is, and version has no "
                "meaning. Nothing was touched. To go to release {0}, use state: active.".format(version)
            )
        if params["keep"] < 1:
            raise InvalidInput("keep must be 1 or more, found {0}. Nothing was touched.".format(params["keep"]))
        if params["strip_components"] < 0:
            raise InvalidInput(
                "strip_components must be 0 or more, found {0}. Nothing was touched.".format(params["strip_components"])
            )
        self.layout = Layout(path)
        self.version: Optional[str] = valid_version(version) if version is not None else None
        self.keep: int = params["keep"]
        self.strip: int = params["strip_components"]
        self.shared = valid_shared(params["shared"])
        self.ownership = Ownership(params["owner"], params["group"])
        self.checksum: Optional[Checksum] = parse_checksum(params["checksum"]) if params["checksum"] else None
        self.restarts: str = params["restart"]
        self._restart = restart_by(params["service"], params["service_state"], params["service_scope"], params["restart_command"])
        if self.restarts == ALWAYS and self._restart is None:
            raise InvalidInput(
                "restart is always, and neither service nor restart_command says how. Nothing was touched. Name the one or the other, or "
                "set restart to never where what runs reads a new release by itself."
            )
        self.source: Optional[Source] = None
        # Whether the source is still on the controller: the action plugin says so in check mode, having checked it.
        self.source_elsewhere = bool(params["source"]) and not params["remote_src"] and not is_url(params["source"])
        if params["source"]:
            web = {
                "headers": params["headers"],
                "username": params["url_username"],
                "password": params["url_password"],
                "validate_certs": params["validate_certs"],
                "timeout": params["timeout"],
            }
            self.source = Source(params["source"], self.checksum, web)

    def plan(self, state: State) -> Plan:
        """What to do, given what is there."""
        return plan(state, self.state, self.version, self.keep)

    def restart(self, decided: Plan) -> Optional[Restart]:
        """How the service is restarted; None where it is not."""
        wanted = self.restarts == ALWAYS or (self.restarts == CHANGED and decided.activates)
        return self._restart if wanted and self.state in (ACTIVE, REVERTED) else None

    def check_source(self, decided: Plan, check_mode: bool) -> None:
        """Raise :class:`DeployError` when the source is missing, cannot be one, or is another than what is there."""
        if not decided.unpack:
            if self.state in (ACTIVE, PRESENT):
                self._check_same()
            return
        if self.source is None or (self.source_elsewhere and not check_mode):
            raise Refused(
                "Release {0} is not in {1}, and no source on this host was named to take it from. Nothing was touched. "
                "Give a source, or one of the versions that are there: {2}.".format(
                    self.version, self.layout.releases, ", ".join(decided.settled.releases) or "none"
                ),
                source_needed=True,
            )
        if self.source_elsewhere:
            return
        self.source.check()
        if check_mode and self.source.kind != URL:
            self.source.digests()
            if self.source.kind == ARCHIVE:
                Archive(self.source.path, self.strip, self.source.name).close()

    def _check_same(self) -> None:
        """A version that is there must be the one that is asked for."""
        record = self.layout.record(self.version) or {}
        there = record.get("checksums") or {}
        asked = {self.checksum.algorithm: self.checksum.digest} if self.checksum else {}
        if self.source is not None and not self.source_elsewhere and self.source.is_there:
            self.source.check()
            asked.update(self.source.digests())
        for algorithm in sorted(set(asked) & set(there)):
            if asked[algorithm] != there[algorithm]:
                raise Refused(
                    "Release {0} is there already, with other content: it was unpacked from {1}:{2}, and {1}:{3} is "
                    "asked for. Nothing was touched. Give the new content a version of its own, or remove the "
                    "release first (state: absent).".format(
                        self.version, algorithm, there[algorithm], asked[algorithm]
                    ),
                    expected_checksum="{0}:{1}".format(algorithm, asked[algorithm]),
                    found_checksum="{0}:{1}".format(algorithm, there[algorithm]),
                )


def _carry_out(decided: Plan, request: _Request, clock: Clock, fence: Fence) -> list[str]:
    """Do what was decided; return what could not be cleaned up, in words.

    :raises Late: the lease is over before all of it is done.
    """
    layout, warnings = request.layout, []

    def may(what: str) -> None:
        fence.check("%s, where %s (%s)" % (layout.path, _runs(layout), what))

    may("nothing was touched")
    if decided.before.interrupted is not None:
        layout.settle(decided.settled)
    for name in decided.clear:
        warnings += _tried("What an earlier run left", name, layout.clear, (name,))
    if decided.unpack:
        install(
            layout, request.version, request.source, request.strip, request.shared, request.ownership, clock
        )
    may("the release that was asked for is there and not activated" if decided.switch is not None else "old releases were not removed")
    if decided.switch is not None:
        layout.switch(decided.switch)
    if decided.forget_previous:
        layout.forget_previous()
    for version in decided.remove:
        if request.state == ABSENT:
            layout.remove(version)
        else:
            # The release that was asked for runs; an old one that will not go is no reason to undo that.
            warnings += _tried("The old release", version, layout.remove, version)
    return warnings


def _tried(what: str, name: str, remove: Callable[[Any], None], argument: Any) -> list[str]:
    try:
        remove(argument)
    except OSError as error:
        return ["{0} {1} could not be removed completely: {2}. The next run tries again.".format(what, name, error)]
    return []


def _result(layout: Layout, decided: Plan, after: State, restart: Optional[Restart]) -> Dict[str, Any]:
    return {
        "changed": decided.changes or restart is not None,
        "path": layout.path,
        "current": after.current,
        "previous": after.previous,
        "releases": list(after.releases),
        "activated": decided.activates,
        "unpacked": decided.unpack,
        "pruned": list(decided.remove),
        "restarted": restart is not None,
        "diff": {"before": _shown(decided.before), "after": _shown(after)},
    }


def _shown(state: State) -> Dict[str, Any]:
    return {
        "current": state.current,
        "previous": state.previous,
        "releases": list(state.releases),
        "leftovers": list(state.leftovers),
    }


@contextlib.contextmanager
def _told(layout: Layout) -> Iterator[None]:
    """Make an operating system's error one that says in what state things are."""
    try:
        yield
    except OSError as error:
        what = "{0}: {1}".format(error.filename or layout.path, error.strerror or error)
        if isinstance(error, PermissionError):
            advice = "Run the task as a user who may do that (become)."
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "Make room, or keep fewer releases, and run again."
        else:
            advice = "Put that right and run again."
        runs = _runs(layout)
        raise Refused("{0}. {1}, and no half-unpacked release is in sight. {2}".format(
            what, runs[0].upper() + runs[1:], advice
        ))


def _runs(layout: Layout) -> str:
    try:
        return "current names {0}".format(os.path.basename(os.readlink(os.path.join(layout.path, "current"))))
    except OSError:
        return "there is no current release"
