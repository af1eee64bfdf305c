# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that a change of one server comes to.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .._domain.members import DISABLED, DRAINED, ENABLED, Change

WRITTEN_STATE = {ENABLED: "ready", DRAINED: "drain", DISABLED: "maint"}


@dataclass(frozen=True)
class Now:
    """A server at the moment of the write.

    :param own: the state that was written to it.
    :param tracks: whether it tracks another server, and so has no check of its own.
    :param busy: whether it has sessions.
    :param has_agent: whether an agent is configured.
    :param agent_on: whether that agent is switched on.
    :param left_at: the state that was written to it when this task switched its agent off; empty where it did not.
    :param weight_by: who changes its weight, beside us.
    """

    own: str = ENABLED
    tracks: bool = False
    busy: bool = False
    has_agent: bool = False
    agent_on: bool = False
    left_at: str = ""
    weight_by: str = ""


def orders(server: str, change: Change, now: Now, distrust: bool = False, gentle: bool = False) -> list[str]:
    """The commands, in their order.

    A member that leaves does so before its weight changes, one that returns after it.

    :param server: ``backend/server``.
    :param distrust: the result of its check is to be a new one.
    :param gentle: to mark it down would end its sessions, or may.
    """
    weighs = change.weight is not None and not now.weight_by
    weight = [f"set server {server} weight {change.weight}"] if weighs else []
    state = [] if change.state is None else [f"set server {server} state {WRITTEN_STATE[change.state]}"]
    if distrust and not now.tracks and not (gentle and now.busy):
        # Of the ways to make a result fresh this is the only one that holds for every `fall` and needs no second
        # state change. Leaving maintenance resets it, so it comes after that, in the same line.
        state.append(f"set server {server} health down")
    both = weight + state if distrust or change.state == ENABLED else state + weight
    if agent_comes_back(change, now):
        return [*both, f"enable agent {server}"]
    if agent_leaves(change, now):
        # First: an agent that answers `ready` ends the maintenance, and one that answers `75%` changes the weight.
        return [f"disable agent {server}", *both]
    return both


def agent_leaves(change: Change, now: Now) -> bool:
    """Whether the server's agent is switched off with it."""
    return change.state in (DRAINED, DISABLED) and now.agent_on


def agent_comes_back(change: Change, now: Now) -> bool:
    """Whether the server's agent is switched on with it: it was taken out with the server, or is put back as it was.

    HAProxy keeps no note of who switched an agent off. One that is off while its server is in traffic was switched off by an operator.
    """
    if not now.has_agent or now.agent_on or change.state is None:
        return False
    return now.own != ENABLED if change.state == ENABLED else change.state == now.left_at
