# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout on disk: ``releases/ID``, ``shared``, and the links ``current`` and ``previous``.

A release directory that exists is complete: it is filled under a hidden name and renamed, and renamed to a
hidden name before it is removed.  What a crash leaves is therefore hidden, and known by its name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Any, Dict, Iterator, Optional

from .._domain.errors import Refused
from .._domain.shape import wrong
from .decide import State, Switch
from .files import kind_of, make_directories, read_json, remove, switch_link, sync_directory, write_json
from .names import is_version

RECORD = ".release.json"
_LEFT = (".partial", ".download", ".removed")


# What a record tells beside its version; one of an older version may tell less.
_TOLD: Dict[str, Any] = {"checksums": {...: str}, "source": {"kind": str, "name": str}, "unpacked_at": str}


def _given(record: Dict[str, Any]) -> Dict[str, Any]:
    return {name: shape for name, shape in _TOLD.items() if name in record}


class Layout:
    """What is at `path`, an absolute one.  Every method may raise :class:`OSError`."""

    def __init__(self, path: str) -> None:
        self.path = os.path.normpath(path)
        self.releases = os.path.join(self.path, "releases")
        self.shared = os.path.join(self.path, "shared")
        self._switch = os.path.join(self.releases, ".switch.json")

    def release(self, version: str) -> str:
        """The directory of a release."""
        return os.path.join(self.releases, version)

    def partial(self, version: str) -> str:
        """Where a release is filled."""
        return os.path.join(self.releases, ".{0}.partial".format(version))

    def download(self, version: str) -> str:
        """Where its archive is kept until it has been unpacked."""
        return os.path.join(self.releases, ".{0}.download".format(version))

    def record(self, version: str) -> Optional[dict[str, Any]]:
        """What is known about a release; None when it was not put there by the module."""
        record = read_json(os.path.join(self.release(version), RECORD))
        # It lies in the release, which may belong to whom the release is given.
        known = isinstance(record, dict) and not wrong(record, {"version": str, **_given(record)}, "record")
        return record if known and record["version"] == version else None

    # Reading

    def read(self) -> State:
        """What is there; :class:`Refused` when something is in the way that is not ours."""
        kind = kind_of(self.path)
        if kind == "link":
            kind = "directory" if os.path.isdir(self.path) else "link that leads nowhere"
        if kind is None:
            return State()
        if kind != "directory":
            raise Refused(
                "{0}: expected a directory, or nothing, found a {1}. Nothing was touched. Choose another path, or move "
                "it away.".format(self.path, kind)
            )
        names = self._names()
        current, previous = self._linked("current", names), self._linked("previous", names)
        known, unknown = [], []
        for name in names:
            record = self.record(name)
            if record is not None:
                known.append((str(record.get("unpacked_at", "")), name))
            elif name in (current, previous):
                # A release from before this module's time: that it is in use says that it is complete.
                known.append(("", name))
            else:
                unknown.append(name)
        return State(
            True,
            current,
            previous,
            tuple(name for unpacked_at, name in sorted(known)),
            tuple(unknown),
            self._leftovers(),
            self._interrupted(),
        )

    def _names(self) -> list[str]:
        kind = kind_of(self.releases)
        if kind is None:
            return []
        if not os.path.isdir(self.releases):
            raise Refused(
                "{0}: expected a directory of releases, found a {1}. Nothing was touched. Move it away.".format(
                    self.releases, kind
                )
            )
        return sorted(
            name
            for name in os.listdir(self.releases)
            if is_version(name) and kind_of(self.release(name)) == "directory"
        )

    def _linked(self, name: str, names: list[str]) -> Optional[str]:
        link = os.path.join(self.path, name)
        kind = kind_of(link)
        if kind is None:
            return None
        if kind != "link":
            raise Refused(
                "{0}: expected a symbolic link to a release, or nothing, found a {1} that this module did not make. "
                "Nothing was touched. Move it away (for example to {2}) and run again.".format(
                    link, kind, link + ".old"
                )
            )
        target = os.path.join(self.path, os.readlink(link))
        version = os.path.basename(target)
        if not is_version(version) or os.path.realpath(os.path.dirname(target)) != os.path.realpath(self.releases):
            raise Refused(
                "{0}: expected a symbolic link to a release below {1}, found one to {2}. Nothing was touched. "
                "Remove the link if nothing needs it, and run again.".format(link, self.releases, os.readlink(link))
            )
        return version if version in names else None

    def _leftovers(self) -> tuple[str, ...]:
        left = [name for name in (".current.new", ".previous.new") if kind_of(os.path.join(self.path, name))]
        if kind_of(self.releases) is not None:
            left += [
                os.path.join("releases", name)
                for name in sorted(os.listdir(self.releases))
                if name.startswith(".") and name.endswith(_LEFT)
            ]
        return tuple(left)

    def _interrupted(self) -> Optional[Switch]:
        content = read_json(self._switch)
        try:
            switch = Switch(**content)
        except TypeError:
            return None
        names = [name for name in switch[1:] if name is not None]
        fits = isinstance(switch.reverts, bool) and all(isinstance(name, str) and is_version(name) for name in names)
        return switch if fits and switch.to_current is not None else None

    # Writing

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs off this layout; :class:`Refused` when one is at work.  Makes what is missing of it."""
        make_directories(self.releases)
        directory = os.open(self.releases, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                os.close(directory)
                raise Refused(
                    "Another run is at work on {0}. This one did nothing; try again when that one has "
                    "ended.".format(self.path)
                )
            # A file system without locks on directories: the names still keep a release whole.
        try:
            yield
        finally:
            os.close(directory)

    def clear(self, leftovers: tuple[str, ...]) -> None:
        """Remove what a crashed run left."""
        for name in leftovers:
            remove(os.path.join(self.path, name))

    def settle(self, settled: State) -> None:
        """Put `previous` where it belongs after an interrupted switch, and forget that switch."""
        self._link("previous", settled.previous)
        remove(self._switch)

    def switch(self, switch: Switch) -> None:
        """Change the links: first the intention, then `previous`, then `current`, in one step each."""
        write_json(self._switch, switch._asdict(), self._switch + ".partial")
        self._link("previous", switch.to_previous)
        self._link("current", switch.to_current)
        remove(self._switch)

    def forget_previous(self) -> None:
        """Let there be no previous release."""
        self._link("previous", None)

    def remove(self, version: str) -> None:
        """Remove a release: out of sight in one step, then from the disk."""
        hidden = os.path.join(self.releases, ".{0}.removed".format(version))
        remove(hidden)
        os.rename(self.release(version), hidden)
        remove(hidden)

    def _link(self, name: str, version: Optional[str]) -> None:
        link = os.path.join(self.path, name)
        if version is None:
            remove(link)
            sync_directory(self.path)
        else:
            switch_link(link, os.path.join("releases", version), os.path.join(self.path, ".{0}.new".format(name)))
