# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when a prober goes on: the order that it was given, its owner's life, and its own lifetime."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, Dict, Optional, Tuple

from .._clock import Clock, Deadline
from .._domain.durations import told
from .._domain.errors import DeployError
from .folder import Folder

STOPPED = "it was told to stop"
OWNER_GONE = "the process that it belongs to has ended"
LIFETIME = "its lifetime of %s was over"
KILLED = "it was killed, or its machine was"


class Mandate:
    """What a prober asks again and again, at the cost of one look at a file and one at a process.

    :param record: the file that it writes; an order that names another one is somebody else's.
    :param look: tells about a process: whether it exists, and when it started.
    """

    def __init__(
        self, folder: Folder, record: str, look: Callable[[int], Tuple[bool, Optional[int]]], clock: Clock
    ) -> None:
        self._folder, self._record, self._look, self._clock = folder, os.path.basename(record), look, clock
        self._seen: Optional[Tuple[int, int]] = None
        self._order: Dict[str, Any] = {}
        self._deadline = Deadline(clock, 0.0)

    def over(self) -> Optional[str]:
        """Why to end; None to go on.  Once it has said so, the order is withdrawn."""
        if not self._ordered():
            return STOPPED
        why = self._outlived()
        if why is None:
            return None
        # A task may be giving the prober a new owner, or more time: whoever holds the lock decides.
        with contextlib.suppress(DeployError), self._folder.alone(0.0):
            if not self._ordered():
                return STOPPED
            why = self._outlived()
            if why is not None:
                self._folder.withdraw()
            return why
        return None

    def _ordered(self) -> bool:
        try:
            about = os.stat(self._folder.order_path)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # what cannot be seen has not been withdrawn
        seen = about.st_ino, about.st_mtime_ns
        if seen != self._seen:
            try:
                order = self._folder.order()
            except DeployError:
                return True
            if order is None or order["record"] != self._record:
                return False
            self._seen, self._order = seen, order
            self._deadline = Deadline(self._clock, order["lifetime"])
        return True

    def _outlived(self) -> Optional[str]:
        if self._deadline.passed:
            return LIFETIME % told(self._deadline.seconds)
        owner = self._order.get("owner") or {}
        if not owner.get("pid"):
            return None
        exists, started = self._look(owner["pid"])
        if not exists or (None not in (started, owner.get("started")) and started != owner["started"]):
            return OWNER_GONE
        return None
