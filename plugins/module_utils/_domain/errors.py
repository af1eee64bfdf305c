# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error family of the collection.

Whatever goes wrong below a module is raised as one of these; it becomes a failed task in one place
(``_doors.py``).  A message says what was expected, what was found, in what state things were left and
what to do next.  ``facts`` travel to the task's result, so that a playbook can act on them.
"""

from __future__ import annotations

from typing import Any


class DeployError(Exception):
    """Something that a user can act on; never a bug of ours."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class InvalidInput(DeployError):
    """What was asked for makes no sense here; nothing was touched."""


class Refused(DeployError):
    """The request makes sense and is not allowed: a guard, a missing permission, a foreign lease."""


class Late(Refused):
    """The lease under which was to be written is over; whatever there is now is perhaps somebody else's."""


class Unreachable(DeployError):
    """A balancer, host or file could not be talked to at all."""


class NotApplied(DeployError):
    """A write was accepted and, read back, had not taken place."""


class TimedOut(DeployError):
    """A deadline passed; the message carries what was last seen."""
