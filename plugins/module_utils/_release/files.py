# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small things done to files, safely: durable writes, links switched in one step, trees removed or owned."""

from __future__ import annotations

import contextlib
import errno
import grp
import json
import os
import pwd
import shutil
import stat
from typing import Any, Optional

from .._domain import plain_json
from .._domain.errors import InvalidInput

_LARGEST = 1024 * 1024  # bytes of a note; ours have a few hundred


def kind_of(path: str) -> Optional[str]:
    """``directory``, ``file``, ``link`` or ``other``; None when there is nothing.  A link is not followed.

    Unlike the functions of ``os.path`` it raises :class:`PermissionError` rather than calling the invisible absent.
    """
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISLNK(mode):
        return "link"
    return "file" if stat.S_ISREG(mode) else "other"


def make_directories(path: str) -> None:
    """Make the directory `path` and those above it, as far as they are missing, for all to enter whatever the umask."""
    if os.path.isdir(path):
        return
    make_directories(os.path.dirname(path))
    os.mkdir(path)
    os.chmod(path, 0o755)


def sync_directory(path: str) -> None:
    """Make what was created, renamed or removed in the directory `path` survive a power cut."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    except OSError as error:
        # Some network file systems cannot sync a directory, and need not.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(directory)


def write_json(path: str, content: Any, temporary: str) -> None:
    """Put `content` at `path` in one step, by way of the file `temporary` beside it."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    with open(temporary, "x", encoding="utf-8") as file:
        json.dump(content, file, indent=2, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def read_json(path: str) -> Any:
    """The content of a JSON file; None when there is none or it is none.

    It may lie where somebody else may write: a link is not followed, a pipe not waited for, and more than a note not read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):  # the last two: a link, a socket
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return plain_json.loads(file.read(_LARGEST).decode("utf-8"))
    except ValueError:
        return None
    finally:
        os.close(descriptor)


def switch_link(path: str, target: str, temporary: str) -> None:
    """Make `path` a symbolic link to `target`; at every instant it is the old one or the new one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def remove(path: str) -> None:
    """Remove a file, a link or a whole tree; what is not there is fine."""
    kind = kind_of(path)
    if kind != "directory":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        # A directory that its own owner may not write to cannot be emptied.
        for root, directories, _files in os.walk(path):
            for name in [root] + [os.path.join(root, name) for name in directories]:
                if not os.path.islink(name):
                    with contextlib.suppress(OSError):
                        os.chmod(name, 0o700)
        shutil.rmtree(path)


def move(source: str, destination: str, temporary: str) -> None:
    """Move a file or tree, also to another file system, where it appears in one step all the same."""
    try:
        os.rename(source, destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        remove(temporary)
        if kind_of(source) == "directory":
            shutil.copytree(source, temporary, symlinks=True)
        else:
            shutil.copy2(source, temporary, follow_symlinks=False)
        os.rename(temporary, destination)
        remove(source)


class Ownership:
    """Whom files are given to; None and None: they stay whose they are.

    :param owner: a user's name or number.
    :param group: a group's name or number.
    :raises InvalidInput: for a name that this host does not know.
    """

    def __init__(self, owner: Optional[str], group: Optional[str]) -> None:
        self._uid = self._gid = -1
        if owner:
            self._uid = _number(owner, "user", lambda name: pwd.getpwnam(name).pw_uid)
        if group:
            self._gid = _number(group, "group", lambda name: grp.getgrnam(name).gr_gid)

    def give(self, path: str) -> None:
        """Give `path` and all below it; links are given, not followed.

        From the bottom up, and by directories that are held open: from the moment that a directory is somebody else's they may put
        a link into the place of anything in it, and nothing below it is looked for by its path any more.
        """
        if self._uid == self._gid == -1:
            return
        if kind_of(path) == "directory":
            for _root, directories, files, descriptor in os.fwalk(path, topdown=False, follow_symlinks=False):
                for name in directories + files:
                    os.chown(name, self._uid, self._gid, dir_fd=descriptor, follow_symlinks=False)
        os.lchown(path, self._uid, self._gid)


def _number(name: str, what: str, look_up: Any) -> int:
    if name.isdigit():
        return int(name)
    try:
        return int(look_up(name))
    except KeyError:
        raise InvalidInput("There is no {0} {1!r} on this host. Nothing was touched.".format(what, name))
