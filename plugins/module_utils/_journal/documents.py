# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lease and a journal are as bytes, and whether bytes are one.  Pure.

What is damaged, foreign or of a newer version is an error that names the place, and is never overwritten.
"""

from __future__ import annotations

import json
from typing import Any, Dict, NoReturn

from .._domain.errors import DeployError
from . import journal, lease, shapes
from .times import epoch


def text_of(data: Dict[str, Any]) -> str:
    """A record as it is written."""
    return json.dumps(data, indent=2) + "\n"


def parsed(content: bytes, where: str, away: str, kind: str, version: int, fields: Dict[str, Any]) -> Dict[str, Any]:
    """The object that `content` is.

    :param where: the place, for messages.
    :param away: how to move away what stands there, as a command.
    :param kind: what its member ``kind`` must say.
    :param version: the highest ``format`` that is understood.
    :param fields: the type (or types) of each member that must be there.
    :raises DeployError: it is something else.
    """
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        foreign(where, away, kind, "no valid JSON: %s" % error)
    if not isinstance(data, dict) or data.get("kind") != kind:
        foreign(where, away, kind, "something else")
    if not isinstance(data.get("format"), int) or data["format"] > version:
        foreign(where, away, kind, "format %r, perhaps of a newer version of this collection" % data.get("format"))
    for name, types in fields.items():
        if name not in data or not isinstance(data[name], types) or isinstance(data[name], bool):
            foreign(where, away, kind, "no usable member '%s'" % name)
    return data


def expect_lease(data: lease.Lease, where: str, away: str, service: str) -> None:
    """Pass for a usable lease of `service`; parameters and errors as of :func:`parsed`."""
    if data["service"] != service:
        foreign(where, away, lease.KIND, "the lease of another service")
    if data["owner"] is not None and not (data["fence"] > 0 and _times(data)):
        foreign(where, away, lease.KIND, "a held lease without usable times")
    problem = shapes.wrong_owner(data["owner"] or {})
    if problem:
        foreign(where, away, lease.KIND, problem)


def expect_journal(data: journal.Journal, where: str, away: str, service: str, rollout: str) -> None:
    """Pass for the journal of `rollout`; parameters and errors as of :func:`parsed`."""
    if (data["id"], data["service"]) != (rollout, service):
        foreign(where, away, journal.KIND, "the journal of another rollout")
    problem = shapes.wrong_journal(data)
    if problem:
        foreign(where, away, journal.KIND, problem)


def foreign(where: str, away: str, kind: str, found: str) -> NoReturn:
    """Say what stands at `where` instead of a record of that kind.

    :raises DeployError: always.
    """
    raise DeployError(
        "%s is not what it should be: expected %s, found %s. Nothing was changed. Look at it; once you know that no rollout of this "
        "service is running, move it away (%s) and try again." % (where, kind, found, away)
    )


def _times(data: lease.Lease) -> bool:
    try:
        return all(epoch(data[name]) >= 0 for name in lease.TIMES) and bool(data["ttl"])
    except (TypeError, ValueError):
        return False
