# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON files that are always whole: written aside, synced, renamed, and under a lock.

A reader sees the old content or the new one, also after a crash of the writer or of the machine.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tempfile
from typing import Any, Dict, Iterator, List, Optional

from .._clock import Clock, Deadline
from .._domain.errors import TimedOut, Unreachable
from . import documents

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750

_LEFTOVER = re.compile(r"\..+\.json\.[^.]+\.tmp\Z")


def _unreachable(doing: str, path: str, error: OSError) -> Unreachable:
    advice = ""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = " Become a user who may (become: true), or choose another directory (option path)."
    return Unreachable(
        "Cannot %s %s: %s.%s What stood there before is as it was." % (doing, path, error.strerror or error, advice)
    )


def make_directory(path: str) -> None:
    """Make `path` and what is missing above it, mode 0750, synced."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if parent != path:
        make_directory(parent)
    try:
        os.mkdir(path, DIRECTORY_MODE)
        # The umask has taken its share of the mode.
        os.chmod(path, DIRECTORY_MODE)
        sync_directory(parent)
    except OSError as error:
        # Another begin may have been faster.
        if not os.path.isdir(path):
            raise _unreachable("make the directory", path, error) from None


def expect_writable(path: str) -> None:
    """For check mode: fail as :func:`make_directory` and :func:`write` would, as far as can be told beforehand."""
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise _unreachable("make the directory", path, OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unreachable("write to", there, OSError(errno.EACCES, os.strerror(errno.EACCES)))


def sync_directory(path: str) -> None:
    """Make renames and removals in `path` survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def names(directory: str) -> List[str]:
    """What stands in `directory`; nothing when it is missing."""
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreachable("list", directory, error) from None


def read(path: str, kind: str, version: int, fields: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """The object in `path`, None when there is no such file.

    :raises Unreachable: it may not be read.
    :raises DeployError: it holds something else; see :func:`documents.parsed`, as for the parameters.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreachable("read", path, error) from None
    return documents.parsed(content, path, away(path), kind, version, fields)


def away(path: str) -> str:
    """The command that moves a file away."""
    return "mv '%s' '%s.bad'" % (path, path)


def write(path: str, data: Dict[str, Any]) -> None:
    """Put `data` into `path` atomically and synced, mode 0640.

    :raises Unreachable: that failed; `path` is as it was.
    """
    directory, name = os.path.split(path)
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".%s." % name, suffix=".tmp", dir=directory)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(documents.text_of(data))
            stream.flush()
            os.fchmod(stream.fileno(), FILE_MODE)
            os.fsync(stream.fileno())
        os.rename(temporary, path)
        temporary = None
        sync_directory(directory)
    except OSError as error:
        raise _unreachable("write", path, error) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def remove(path: str) -> None:
    """Remove `path`, synced; a file that is not there is fine."""
    try:
        os.unlink(path)
        sync_directory(os.path.dirname(path))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unreachable("remove", path, error) from None


def sweep(directory: str) -> None:
    """Remove what writers that were killed left aside.  Only under the lock: a living writer holds it."""
    for name in names(directory):
        if _LEFTOVER.match(name):
            remove(os.path.join(directory, name))


@contextlib.contextmanager
def locked(path: str, clock: Clock, seconds: float, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path`; the kernel lets go of it when the holder dies.

    :param seconds: how long to wait for it.
    :param shared: side by side with other readers; then nothing is created, and without a file nobody writes.
    :raises TimedOut: somebody else kept it.
    :raises Unreachable: the file may not be opened.
    """
    if shared and not os.path.exists(path):
        yield
        return
    try:
        # Never removed: two processes could else hold two files of one name.
        descriptor = os.open(path, os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError as error:
        raise _unreachable("open", path, error) from None
    try:
        _wait_for(descriptor, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, Deadline(clock, seconds), clock)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: str, kind: int, deadline: Deadline, clock: Clock) -> None:
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            pass
        except OSError as error:
            raise _unreachable("lock", path, error) from None
        if deadline.passed:
            raise TimedOut(
                "%s was still locked by another process after %g s; a write takes a few milliseconds. Nothing was "
                "changed. Find out who has it open (fuser -v '%s') and try again." % (path, deadline.seconds, path)
            )
        clock.sleep(0.02)
