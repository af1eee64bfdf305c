# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told of a rollout: one small interface, and what is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from .._clock import Clock, Deadline
from .._domain.exposition import Family


@dataclass(frozen=True)
class Notice:
    """What is told.

    :param record: what is known of the rollout, as plain data.
    :param text: for people, plain.
    :param families: for Prometheus.
    :param whole: whether the families take the place of all that were told before; else of those of the same names.
    :param now: seconds since the epoch.
    """

    event: str
    record: Mapping[str, Any]
    labels: Mapping[str, str]
    text: str
    families: List[Family]
    whole: bool
    now: float

    @property
    def service(self) -> str:
        """Whose rollout it is."""
        return str(self.record.get("service") or "")


@dataclass(frozen=True)
class Told:
    """How it went.

    :param changed: whether anything is different there now.
    :param tries: requests that were made.
    :param diff: for ``--diff``, of a file.
    """

    changed: bool = True
    tries: int = 1
    diff: Optional[Dict[str, str]] = None


class Target(ABC):
    """One who is told.

    :cvar kind: as results and warnings call it.
    :ivar where: a file's path, or scheme and host: whatever follows in a URL may be a secret.
    :ivar timeout: seconds within which it must be done.
    """

    kind = ""
    where = ""
    timeout = 5.0

    @abstractmethod
    def tell(self, notice: Notice, clock: Clock, deadline: Deadline) -> Told:
        """Tell it, before the deadline.

        :raises DeployError: that failed; the message is free of secrets.
        """

    def foretell(self, notice: Notice) -> Told:
        """What :meth:`tell` would do, for check mode; touches nothing and asks nobody.

        :raises DeployError: it would fail, as far as can be told beforehand.
        """
        del notice
        return Told(changed=True, tries=0)
