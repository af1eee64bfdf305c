# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the files of one probe stand, and who may do what with them.

``<path>/<name>/probe/``: ``lock`` is held by a task while it starts or stops a prober; ``prober`` by the prober for as long as it
lives, so that there is never a second one; ``order.json`` tells the prober what it is there for, and it ends when the order is
withdrawn; the others are records, one for each prober there was.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from typing import Any, Dict, Iterator, List, Optional

from .._clock import Clock
from .._domain.errors import DeployError, Unreachable
from .._journal import files
from .._journal.file_store import FileStore

# How many records are kept.
KEPT = 20
LOCK_SECONDS = 20.0

_RECORD = re.compile(r"\d{10,}\.\d{3}\.jsonl\Z")
_ORDER = "zero_downtime.probe.order"
_FIELDS = {"record": str, "urls": list, "rate": (int, float), "lifetime": (int, float), "owner": dict}


class Folder:
    """The files of the probe of that name.

    :param path: an absolute directory, for all names.
    :raises InvalidInput: the name does not fit into a file name, or `path` is relative.
    """

    def __init__(self, path: str, name: str, clock: Clock) -> None:
        self.path = os.path.join(FileStore(path, name).directory, "probe")
        self.order_path = os.path.join(self.path, "order.json")
        self._lock = os.path.join(self.path, "lock")
        self._prober = os.path.join(self.path, "prober")
        self._clock = clock

    def make(self) -> None:
        """Make the directory."""
        files.make_directory(self.path)

    def expect_writable(self) -> None:
        """For check mode: fail where :meth:`make` would."""
        files.expect_writable(self.path)

    @contextlib.contextmanager
    def alone(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Keep everybody else from starting and stopping.

        :raises TimedOut: somebody does it.
        """
        with files.locked(self._lock, self._clock, seconds):
            yield

    def runs(self) -> bool:
        """Whether there is a prober."""
        # Under the lock: to try is to hold for a moment, and nobody who starts one may mistake that for a prober.
        with files.locked(self._lock, self._clock, LOCK_SECONDS, shared=True):
            descriptor = self.take(os.O_RDONLY)
        if descriptor is None:
            return True
        if descriptor >= 0:
            os.close(descriptor)
        return False

    def take(self, flags: int = os.O_RDWR | os.O_CREAT) -> Optional[int]:
        """The right to be the prober: a descriptor that holds it until it is closed everywhere; None where somebody has it.

        With ``os.O_RDONLY`` nothing is created, and -1 means that there never was a prober.
        """
        try:
            descriptor = os.open(self._prober, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno == errno.ENOENT and not flags & os.O_CREAT:
                return -1
            raise Unreachable(
                "Cannot open %s: %s. Nothing was changed. Become the user who started the probe (become: true)."
                % (self._prober, error.strerror or error)
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def order(self) -> Optional[Dict[str, Any]]:
        """What the prober was told; None where it was told to end, or never to begin."""
        return files.read(self.order_path, _ORDER, 1, _FIELDS)

    def give(self, order: Dict[str, Any]) -> None:
        """Tell the prober: ``record``, ``urls``, ``rate``, ``lifetime`` and ``owner``."""
        files.write(self.order_path, {"kind": _ORDER, "format": 1, **order})

    def withdraw(self) -> None:
        """Tell the prober to end."""
        files.remove(self.order_path)

    def records(self) -> List[str]:
        """The paths of all records, oldest first."""
        return [os.path.join(self.path, name) for name in sorted(files.names(self.path)) if _RECORD.match(name)]

    def new_record(self, began: float) -> str:
        """The path of a record that begins then."""
        return os.path.join(self.path, "%.3f.jsonl" % began)

    def prune(self) -> None:
        """Remove what is too old; that this fails harms nobody."""
        for path in self.records()[:-KEPT]:
            with contextlib.suppress(DeployError):
                files.remove(path)
