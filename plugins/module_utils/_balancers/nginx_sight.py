# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process reads a file that is replaced by rename: by a path of its own, within its own root and mounts.

``/proc/PID/root`` (https://man7.org/linux/man-pages/man5/proc_pid_root.5.html) leads into both, for root and for who runs the process.
Absolute links in it would lead out of it again, so links are followed here.  A single file that is mounted stays the old one when its
source is replaced (https://github.com/moby/moby/issues/15793); so does a hard link.
"""

from __future__ import annotations

import os
import posixpath
from typing import Iterable, Tuple

LINKS = 40  # as many as the kernel follows
LISTED = 8  # paths in a message


def place(pid: int, file: str, paths: Iterable[str]) -> Tuple[str, str]:
    """By which of `paths` process `pid` reads `file`, and why a replacement of `file` does not reach it; one of both is empty.

    :param file: its real path, without links.
    :param paths: all that the process reads, as it names them.
    """
    root = _root(pid)
    own, folder = os.stat(file), os.stat(os.path.dirname(file))
    known = sorted(paths, key=lambda path: path != file)  # mostly it is that one
    linked = ""
    for path in known:
        there = _followed(root, posixpath.abspath(path))
        try:
            found, around = os.stat(root + there), os.stat(root + posixpath.dirname(there))
        except OSError:
            continue
        same = os.path.samestat(own, found)
        if os.path.samestat(folder, around) and posixpath.basename(there) == os.path.basename(file):
            if same and there not in _mounted(pid):
                return path, ""
            return "", _covered(there)
        if same:
            linked = _covered(there) if there in _mounted(pid) else _linked(there)
    if linked:
        return "", linked
    if file in known and root:
        return "", (
            "NGINX (process %d) does not read %s: in its own root and mounts there is another file at that path. "
            "Set `file` to the path at which this host has the file that NGINX reads" % (pid, file)
        )
    listed = ", ".join(known[:LISTED]) + (", and %d more" % (len(known) - LISTED) if len(known) > LISTED else "")
    return "", "NGINX does not read %s. It reads: %s. Set `file` to the one that has the pool, or include it" % (
        file,
        listed,
    )


def _covered(path: str) -> str:
    return (
        "NGINX does not notice that the file is replaced: where NGINX runs, %s is a single file that is mounted there, and stays the old "
        "one. Mount its directory instead" % path
    )


def _linked(path: str) -> str:
    return (
        "NGINX reads the same file by another name, the hard link %s, which stays the old file. Set `file` to that path"
        % path
    )


def _root(pid: int) -> str:
    """Where the process's own files begin; nothing where this user may not look there."""
    root = "/proc/%d/root" % pid
    try:
        os.stat(root)
    except OSError:
        return ""
    return root


def _followed(root: str, path: str) -> str:
    """`path` below `root` without links; a link that leads nowhere is left as it is."""
    todo, done, links = path.split("/")[::-1], [""], 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done[1:] = done[1:-1]
            continue
        try:
            target = os.readlink(root + "/".join([*done, part]))
        except OSError:
            done.append(part)
            continue
        links += 1
        if links > LINKS:
            return path
        if target.startswith("/"):
            done = [""]
        todo += target.split("/")[::-1]
    return "/".join(done)


def _mounted(pid: int) -> set[str]:
    """Where the process has something mounted."""
    try:
        with open("/proc/%d/mountinfo" % pid, encoding="utf-8", errors="surrogateescape") as file:
            points = [line.split(" ")[4] for line in file]
    except (OSError, IndexError):
        return set()
    for escape, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        points = [point.replace(escape, plain) for point in points]
    return set(points)
