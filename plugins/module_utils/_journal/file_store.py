# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease and the journals of a service as files of one host.

``<path>/<service>/lease.json``, ``<path>/<service>/rollouts/<id>.json`` and a file ``lock``.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Dict, Iterator, List, Optional

from .._clock import Clock
from .._domain.errors import InvalidInput
from . import documents, files, journal, lease
from .store import Records, Store, Work, expect_id, in_order

LOCK_SECONDS = 20.0


class FileStore(Store, Records):
    """The files of one service.

    :param path: an absolute directory, for all services.
    :raises InvalidInput: the service's name does not fit into a file name, or `path` is relative.
    """

    def __init__(self, path: str, service: str) -> None:
        super().__init__(service)
        if not os.path.isabs(path):
            raise InvalidInput("The directory of the journals must be absolute, not '%s'. Nothing was touched." % path)
        self.directory = os.path.join(path, service)
        self._rollouts = os.path.join(self.directory, "rollouts")
        self._lease = os.path.join(self.directory, "lease.json")
        self._lock = os.path.join(self.directory, "lock")

    def look(self, clock: Clock, work: Work) -> Dict[str, Any]:
        """See :class:`Store`; creates nothing."""
        with files.locked(self._lock, clock, LOCK_SECONDS, shared=True):
            return work(self, clock.now())

    def change(self, clock: Clock, work: Work, creates: bool) -> Dict[str, Any]:
        """See :class:`Store`; the order in which work keeps things is the order of the writes."""
        if not creates and not os.path.exists(self._lock):
            return self.look(clock, work)
        with self._writing(clock):
            return work(self, clock.now())

    @contextlib.contextmanager
    def _writing(self, clock: Clock) -> Iterator[None]:
        """Keep everybody away, make the directories, sweep up after killed writers."""
        files.make_directory(self._rollouts)
        with files.locked(self._lock, clock, LOCK_SECONDS):
            files.sweep(self.directory)
            files.sweep(self._rollouts)
            yield

    def expect_writable(self, clock: Clock) -> None:
        """See :class:`Store`."""
        files.expect_writable(self._rollouts)

    def lease(self) -> lease.Lease:
        """See :class:`Records`; times are by this host's clock."""
        data = files.read(self._lease, lease.KIND, lease.FORMAT, lease.FIELDS)
        if data is None:
            return lease.unheld(self.service)
        documents.expect_lease(data, self._lease, files.away(self._lease), self.service)
        return data

    def journal(self, rollout: str) -> Optional[journal.Journal]:
        """See :class:`Records`."""
        expect_id(rollout)
        path = self._path(rollout)
        data = files.read(path, journal.KIND, journal.FORMAT, journal.FIELDS)
        if data is not None:
            documents.expect_journal(data, path, files.away(path), self.service, rollout)
        return data

    def ids(self) -> List[str]:
        """See :class:`Records`."""
        return in_order([name[:-len(".json")] for name in files.names(self._rollouts) if name.endswith(".json")])

    def keep_lease(self, data: lease.Lease) -> None:
        """See :class:`Records`."""
        files.write(self._lease, data)

    def keep_journal(self, data: journal.Journal) -> None:
        """See :class:`Records`."""
        files.write(self._path(data["id"]), data)

    def drop_journal(self, rollout: str) -> None:
        """See :class:`Records`."""
        files.remove(self._path(rollout))

    def _path(self, rollout: str) -> str:
        return os.path.join(self._rollouts, rollout + ".json")
