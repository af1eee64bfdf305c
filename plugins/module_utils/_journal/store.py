# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lease and the journals of a service stand: what every such place can do.

A use case hands over its `work`, a function from :class:`Records` and the time to the task's result, and the place calls it where nobody
else writes: under a lock, or again, with what stands then, when somebody was faster.  So work has no effects but what it keeps.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, Callable, Dict, List, Optional

from .._clock import Clock
from .._domain.errors import InvalidInput
from . import journal, lease

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


class Records(ABC):
    """The records of one service, as work sees and keeps them."""

    service: str

    @abstractmethod
    def lease(self) -> lease.Lease:
        """The lease as it stands; one that nobody holds when there is none yet.  Its times are by the clock of work's time."""

    @abstractmethod
    def journal(self, rollout: str) -> Optional[journal.Journal]:
        """One journal, None when there is none of that id.

        :raises InvalidInput: `rollout` is no id that ``begin`` gave out.
        """

    @abstractmethod
    def ids(self) -> List[str]:
        """The ids of all journals, oldest first.  Whatever has another name is somebody else's and left alone."""

    @abstractmethod
    def keep_lease(self, data: lease.Lease) -> None:
        """Write the lease."""

    @abstractmethod
    def keep_journal(self, data: journal.Journal) -> None:
        """Write a journal."""

    @abstractmethod
    def drop_journal(self, rollout: str) -> None:
        """Remove a journal."""

    def journals(self) -> List[journal.Journal]:
        """All journals, oldest first."""
        found = [self.journal(rollout) for rollout in self.ids()]
        return [data for data in found if data is not None]


# Records and the time, in seconds since the epoch -> the task's result
Work = Callable[[Records, float], Dict[str, Any]]


class Store(ABC):
    """The place where the records of one service stand.

    :raises InvalidInput: the service's name does not fit into a file name or a key.
    """

    def __init__(self, service: str) -> None:
        if not _SERVICE.match(service):
            raise InvalidInput(
                "'%s' cannot be the name of a service: expected letters, digits, '.', '_' and '-', beginning with a "
                "letter or digit, at most 100 characters. Nothing was touched." % service
            )
        self.service = service

    @abstractmethod
    def look(self, clock: Clock, work: Work) -> Dict[str, Any]:
        """The result of `work` on records that nobody changes meanwhile.  Writes nothing; `work` must keep nothing.

        :raises DeployError: the place cannot be read.
        """

    @abstractmethod
    def change(self, clock: Clock, work: Work, creates: bool) -> Dict[str, Any]:
        """The result of `work`, after what it keeps is written.

        :param creates: whether the place may be made; where nothing was ever written, `work` else finds nothing and writes nothing.
        :raises DeployError: from `work`, or because it could not be written.
        """

    @abstractmethod
    def expect_writable(self, clock: Clock) -> None:
        """For check mode: fail where :meth:`change` would, as far as can be told beforehand; writes nothing."""


def in_order(rollouts: List[str]) -> List[str]:
    """Those of the names that are ids of rollouts, oldest first."""
    return sorted((i for i in rollouts if journal.fence_of(i) is not None), key=lambda i: (journal.fence_of(i), i))


def expect_id(rollout: str) -> None:
    """Pass for an id.

    :raises InvalidInput: it is none that ``begin`` gave out.
    """
    if journal.fence_of(rollout) is None:
        raise InvalidInput("'%s' is not the id of a rollout: expected the id that begin returned." % rollout)
