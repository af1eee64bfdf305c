# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting a new release in place: obtained, unpacked, linked with what is shared, owned, synced, renamed."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime, timezone
from typing import Sequence

from .._clock import Clock
from .._domain.errors import Refused
from .archives import Archive
from .files import Ownership, kind_of, make_directories, move, remove, sync_directory, write_json
from .layout import RECORD, Layout
from .sources import DIRECTORY, Source


def install(
    layout: Layout,
    version: str,
    source: Source,
    strip: int,
    shared: Sequence[str],
    ownership: Ownership,
    clock: Clock,
) -> None:
    """Put release `version` in place; whatever fails, it is there complete or not at all."""
    partial, scratch = layout.partial(version), layout.download(version)
    # Before anything is removed: asking for the kind later would find the scratch file.
    kind, name = source.kind, source.name
    try:
        obtained = source.obtain(scratch)
        remove(partial)
        os.mkdir(partial, 0o755)
        with Archive(obtained.path, strip, name) as archive:
            archive.unpack(partial)
            kind = DIRECTORY if archive.was_directory else kind
        made = [share(layout, partial, path) for path in shared]
        record = os.path.join(partial, RECORD)
        # A copy of a release brings its record along.
        remove(record)
        write_json(
            record,
            {
                "version": version,
                "checksums": obtained.digests,
                "source": {"kind": kind, "name": name},
                "unpacked_at": datetime.fromtimestamp(clock.now(), timezone.utc).isoformat(timespec="microseconds"),
            },
            record + ".partial",
        )
        os.chmod(partial, 0o755)
        for path in [partial] + [path for path in made if path]:
            ownership.give(path)
        # One call for all of them: a release has thousands of files.
        os.sync()
        os.rename(partial, layout.release(version))
        sync_directory(layout.releases)
    finally:
        # What cannot be removed now is a leftover that the next run removes.
        for path in (partial, scratch):
            with contextlib.suppress(OSError):
                remove(path)


def share(layout: Layout, release: str, path: str) -> str:
    """Link `path` of a release that is being filled to what is shared.

    What is shared wins.  Where nothing is shared yet, what the release brought becomes it; where it brought
    nothing either, an empty directory does.

    :returns: what was made in the shared directory, with its new parents; empty: nothing was.
    """
    place, common = os.path.join(release, path), os.path.join(layout.shared, path)
    _make_parents(release, path)
    _refuse_planted_links(layout.shared, path)
    made = ""
    if kind_of(common) is None:
        made = _first_missing(layout.shared, path)
        make_directories(os.path.dirname(common))
        if kind_of(place) is None:
            make_directories(common)
        else:
            move(place, common, os.path.join(os.path.dirname(common), ".{0}.partial".format(os.path.basename(common))))
    remove(place)
    up = os.path.join(*[os.pardir] * (path.count("/") + 2))
    os.symlink(os.path.join(up, "shared", path), place)
    return made


def _make_parents(release: str, path: str) -> None:
    here = release
    for part in path.split("/")[:-1]:
        here = os.path.join(here, part)
        kind = kind_of(here)
        if kind is None:
            os.mkdir(here, 0o755)
            os.chmod(here, 0o755)
        elif kind != "directory":
            raise Refused(
                "{0} cannot be shared: in the release, {1} is a {2} and no directory. The release was not "
                "unpacked.".format(path, os.path.relpath(here, release), kind)
            )


def _refuse_planted_links(directory: str, path: str) -> None:
    """What is shared may belong to whom the releases are given: nothing is written through a link that they have made there.

    A link of root's or of our own was made by whoever runs this host, and is followed.
    """
    here = directory
    for part in path.split("/")[:-1]:
        here = os.path.join(here, part)
        owner = os.lstat(here).st_uid if kind_of(here) == "link" else 0
        if owner not in (0, os.geteuid()):
            raise Refused(
                "{0} cannot be shared: {1} is a link that user {2} has made, and what is written below it would be written where that "
                "leads, with the rights of this task. Nothing was unpacked. Put a directory in its place, or give the link to "
                "root (chown -h).".format(path, here, owner)
            )


def _first_missing(directory: str, path: str) -> str:
    here = directory
    for part in path.split("/"):
        here = os.path.join(here, part)
        if kind_of(here) is None:
            return here
    return here
