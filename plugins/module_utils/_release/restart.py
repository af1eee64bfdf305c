# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarting the service that runs from a release: a systemd unit, or a command."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import List, Optional, Sequence

from .._clock import Clock
from .._domain.errors import InvalidInput, Refused
from .._health.command_probe import CommandProbe
from .._health.observation import Observation

_KEPT = 500  # characters of the output that a message has
_STATES = {"restarted": "restart", "reloaded": "reload"}


class Restart:
    """One way to restart a service.

    :param words: the command and its arguments.
    :param unit: the systemd unit that the command restarts; None for a command of the user's own.
    """

    def __init__(self, words: Sequence[str], unit: Optional[str] = None) -> None:
        self._words, self._unit = list(words), unit

    def __str__(self) -> str:
        return " ".join(map(shlex.quote, self._words))

    def check(self, clock: Clock) -> None:
        """Find the program, and the unit in systemd's configuration; start nothing.

        :raises InvalidInput: there is no such program or unit.
        """
        program = self._words[0]
        if shutil.which(program) is None:
            there = (
                "{0} cannot be executed".format(program)
                if os.path.exists(program)
                else "There is no program {0}".format(program)
            )
            raise InvalidInput("{0} on this host, to restart the service with. Nothing was touched.".format(there))
        if self._unit is None:
            return
        seen = self._done([*self._words[:-2], "show", "--property=LoadState", "--", self._unit], clock)
        state = seen.text.strip().rpartition("=")[2]
        if seen.rc != 0 or not state:
            raise InvalidInput(
                "systemd did not say whether it has the unit {0}: {1}. Nothing was touched.".format(
                    self._unit, _said(seen)
                )
            )
        if state != "loaded":
            raise InvalidInput(
                "systemd cannot restart the unit {0} on this host: it is {1}. Nothing was touched.".format(
                    self._unit, state
                )
            )

    def run(self, clock: Clock) -> None:
        """Restart the service; wait until the command has ended.

        :raises Refused: it failed.
        """
        seen = self._done(self._words, clock)
        if seen.rc != 0:
            raise Refused("`{0}` {1}".format(self, _said(seen)))

    @staticmethod
    def _done(words: List[str], clock: Clock) -> Observation:
        return CommandProbe(tuple(words))(clock, float("inf"))


def restart_by(service: Optional[str], state: str, scope: str, command: Sequence[str]) -> Optional[Restart]:
    """The restart that the options name; None where they name none."""
    if service:
        scoped = ["--user"] if scope == "user" else []
        return Restart(["systemctl", *scoped, _STATES[state], service], service)
    return Restart(command) if command else None


def _said(seen: Observation) -> str:
    if seen.failure:
        return seen.failure
    output = " ".join((seen.aside.strip() or seen.text.strip()).split())
    output = output if len(output) <= _KEPT else "… " + output[-_KEPT:]
    return "exited with {0}{1}".format(seen.rc, ": " + output if output else "")
