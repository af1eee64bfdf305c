# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done to a layout, given what is there.  Pure."""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

from .._domain.errors import Refused

ACTIVE, PRESENT, REVERTED, ABSENT = "active", "present", "reverted", "absent"


class Switch(NamedTuple):
    """A change of the two links, written down before it begins; found again, it was interrupted."""

    # Whether it goes back (state `reverted`) rather than to a version that was asked for.
    reverts: bool
    from_current: Optional[str]
    from_previous: Optional[str]
    to_current: str
    to_previous: Optional[str]


class State(NamedTuple):
    """What is there."""

    exists: bool = False
    current: Optional[str] = None
    previous: Optional[str] = None
    # Complete ones, oldest first.
    releases: tuple[str, ...] = ()
    # Directories beside them that were not put there by the module, so that nobody knows whether they are complete.
    unknown: tuple[str, ...] = ()
    # What a crashed run left, relative to the layout's path.
    leftovers: tuple[str, ...] = ()
    interrupted: Optional[Switch] = None


class Plan(NamedTuple):
    """What a run does, in the order of the fields, and what is there afterwards."""

    before: State
    # What `before` is once an interrupted switch has been dealt with.
    settled: State
    clear: tuple[str, ...]
    unpack: bool
    switch: Optional[Switch]
    forget_previous: bool
    remove: tuple[str, ...]
    after: State

    @property
    def activates(self) -> bool:
        """Whether the running release is another one afterwards, or an interrupted run had made it so."""
        interrupted = self.before.interrupted
        finished = interrupted is not None and self.before.current == interrupted.to_current
        return self.switch is not None or (finished and self.after.current == self.before.current)

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(
            self.clear
            or self.unpack
            or self.switch
            or self.forget_previous
            or self.remove
            or self.before.interrupted is not None
        )


def settle(state: State) -> State:
    """What is there once an interrupted switch has been finished, or taken back when it had not reached `current`.

    `current` is where it is in either case: what runs is not changed behind anybody's back.
    """
    interrupted = state.interrupted
    if interrupted is None:
        previous = state.previous
    elif state.current == interrupted.to_current:
        previous = interrupted.to_previous
    else:
        previous = interrupted.from_previous
    if previous not in state.releases or previous == state.current:
        previous = None
    return state._replace(previous=previous, interrupted=None)


def plan(state: State, wanted: str, version: Optional[str], keep: int) -> Plan:
    """Decide what to do.

    :param state: what is there.
    :param wanted: one of the four states.
    :param version: the release it is about; None for `reverted`.
    :param keep: how many releases to keep, the current and the previous one included.
    :raises Refused: when it is not possible or not allowed; nothing has been touched then.
    """
    if wanted == REVERTED:
        return _revert(state, keep)
    if wanted == ABSENT:
        return _remove(state, version)
    settled = settle(state)
    if version in settled.unknown:
        raise Refused(
            "The directory of release {0} is there, and without the .release.json that this module leaves in a "
            "complete one: nobody knows whether it is complete. Nothing was touched. Remove it (state: absent) and "
            "run again, or choose another version.".format(version)
        )
    unpack = version not in settled.releases
    releases = settled.releases + ((version,) if unpack else ())
    if wanted == PRESENT:
        return _planned(state, settled, releases, unpack=unpack)
    return _planned(state, settled, releases, unpack=unpack, switch=_switch(settled, version, False), keep=keep)


def prune(releases: Sequence[str], protected: set[str], keep: int) -> tuple[str, ...]:
    """Which of `releases` (oldest first) to remove so that `keep` are left; never a protected one."""
    spare = [release for release in releases if release not in protected]
    kept = len(releases) - len(spare)
    surplus = len(spare) - max(0, keep - kept)
    return tuple(spare[: max(0, surplus)])


def _switch(settled: State, version: str, reverts: bool) -> Optional[Switch]:
    if settled.current == version:
        return None
    previous = settled.current if settled.current is not None else settled.previous
    return Switch(
        reverts, settled.current, settled.previous, version, None if previous == version else previous
    )


def _revert(state: State, keep: int) -> Plan:
    settled = settle(state)
    interrupted = state.interrupted
    if interrupted is not None and interrupted.reverts and state.current == interrupted.to_current:
        # This very revert had been interrupted after it had switched; to switch again would undo it.
        return _planned(state, settled, settled.releases)
    if settled.previous is None or settled.previous == settled.current:
        raise Refused(
            "There is no previous release to go back to: current is {0}, and on the host are {1}. Nothing was "
            "touched. Name the release to go back to with state: active and version.".format(
                settled.current or "none", ", ".join(settled.releases) or "none"
            )
        )
    return _planned(state, settled, settled.releases, switch=_switch(settled, settled.previous, True))


def _remove(state: State, version: str) -> Plan:
    settled = settle(state)
    if version == settled.current:
        raise Refused(
            "Release {0} is the current one and is not removed. Nothing was touched. Activate or revert to another "
            "release first.".format(version)
        )
    present = version in settled.releases or version in settled.unknown
    return _planned(
        state,
        settled,
        settled.releases,
        remove=(version,) if present else (),
        forget_previous=version == settled.previous,
    )


def _planned(
    before: State,
    settled: State,
    releases: tuple[str, ...],
    unpack: bool = False,
    switch: Optional[Switch] = None,
    keep: Optional[int] = None,
    remove: tuple[str, ...] = (),
    forget_previous: bool = False,
) -> Plan:
    current, previous = settled.current, settled.previous
    if switch is not None:
        current, previous = switch.to_current, switch.to_previous
    if forget_previous:
        previous = None
    if keep is not None:
        remove = prune(releases, {name for name in (current, previous) if name}, keep)
    after = State(
        exists=settled.exists or unpack,
        current=current,
        previous=previous,
        releases=tuple(release for release in releases if release not in remove),
        unknown=tuple(name for name in settled.unknown if name not in remove),
    )
    return Plan(before, settled, before.leftovers, unpack, switch, forget_previous, remove, after)
