# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lease and the journals of a service stand on disk.

``<path>/<service>/lease.json``, ``<path>/<service>/rollouts/<id>.json`` and a file ``lock``.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Iterator, List, Optional

from .._clock import Clock
from .._domain.errors import DeployError, InvalidInput
from . import files, journal, lease, shapes
from .times import epoch

LOCK_SECONDS = 20.0

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


class Store:
    """The files of one service.

    :param path: an absolute directory, for all services.
    :raises InvalidInput: the service's name does not fit into a file name, or `path` is relative.
    """

    def __init__(self, path: str, service: str) -> None:
        if not _SERVICE.match(service):
            raise InvalidInput(
                "'%s' cannot be the name of a service: expected letters, digits, '.', '_' and '-', beginning with a "
                "letter or digit, at most 100 characters. Nothing was touched." % service
            )
        if not os.path.isabs(path):
            raise InvalidInput("The directory of the journals must be absolute, not '%s'. Nothing was touched." % path)
        self.service = service
        self.directory = os.path.join(path, service)
        self._rollouts = os.path.join(self.directory, "rollouts")
        self._lease = os.path.join(self.directory, "lease.json")
        self._lock = os.path.join(self.directory, "lock")

    def exists(self) -> bool:
        """Whether anything was ever written for the service."""
        return os.path.exists(self._lock)

    @contextlib.contextmanager
    def reading(self, clock: Clock) -> Iterator[None]:
        """Keep writers away; creates nothing."""
        with files.locked(self._lock, clock, LOCK_SECONDS, shared=True):
            yield

    @contextlib.contextmanager
    def writing(self, clock: Clock) -> Iterator[None]:
        """Keep everybody away, make the directories, sweep up after killed writers."""
        files.make_directory(self._rollouts)
        with files.locked(self._lock, clock, LOCK_SECONDS):
            files.sweep(self.directory)
            files.sweep(self._rollouts)
            yield

    def expect_writable(self) -> None:
        """For check mode: fail where :meth:`writing` would."""
        files.expect_writable(self._rollouts)

    def lease(self) -> lease.Lease:
        """The lease as it stands; one that nobody holds when there is none yet."""
        data = files.read(self._lease, lease.KIND, lease.FORMAT, lease.FIELDS)
        if data is None:
            return lease.unheld(self.service)
        self._expect(self._lease, data["service"] == self.service, "the lease of another service")
        if data["owner"] is not None:
            self._expect(self._lease, data["fence"] > 0 and _times(data), "a held lease without usable times")
            problem = shapes.wrong_owner(data["owner"])
            self._expect(self._lease, not problem, problem)
        return data

    def journal(self, rollout: str) -> Optional[journal.Journal]:
        """One journal, None when there is none of that id.

        :raises InvalidInput: `rollout` is no id that ``begin`` gave out.
        """
        if journal.fence_of(rollout) is None:
            raise InvalidInput("'%s' is not the id of a rollout: expected the id that begin returned." % rollout)
        path = self._path(rollout)
        data = files.read(path, journal.KIND, journal.FORMAT, journal.FIELDS)
        if data is not None:
            right = (data["id"], data["service"]) == (rollout, self.service)
            self._expect(path, right, "the journal of another rollout")
            problem = shapes.wrong_journal(data)
            self._expect(path, not problem, problem)
        return data

    def journals(self) -> List[journal.Journal]:
        """All journals, oldest first."""
        found = [self.journal(rollout) for rollout in self.ids()]
        return [data for data in found if data is not None]

    def ids(self) -> List[str]:
        """The ids of all journals, oldest first.  Files of other names are somebody else's and left alone."""
        ids = [name[:-len(".json")] for name in files.names(self._rollouts) if name.endswith(".json")]
        return sorted((i for i in ids if journal.fence_of(i) is not None), key=lambda i: (journal.fence_of(i), i))

    def keep_lease(self, data: lease.Lease) -> None:
        """Write the lease."""
        files.write(self._lease, data)

    def keep_journal(self, data: journal.Journal) -> None:
        """Write a journal."""
        files.write(self._path(data["id"]), data)

    def drop_journal(self, rollout: str) -> None:
        """Remove a journal."""
        files.remove(self._path(rollout))

    def _path(self, rollout: str) -> str:
        return os.path.join(self._rollouts, rollout + ".json")

    @staticmethod
    def _expect(path: str, right: bool, found: str) -> None:
        if not right:
            raise DeployError(
                "%s is not what it should be: found %s. Nothing was changed. Look at it, move it away and "
                "try again." % (path, found)
            )


def _times(data: lease.Lease) -> bool:
    try:
        return all(epoch(data[name]) >= 0 for name in lease.TIMES) and bool(data["ttl"])
    except (TypeError, ValueError):
        return False
