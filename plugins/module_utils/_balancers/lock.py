# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer at a time for each pool, among the processes of one user on one machine.

A guard that counts and then writes must not be interleaved with another's: two hosts of one play would each find
enough members left, and together take too many.  Writers on other machines are kept apart by the service's lease.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from contextlib import contextmanager
from typing import Iterator

from .._clock import Clock, Deadline
from .._domain.errors import Refused, TimedOut

LONGEST_WAIT = 30.0  # seconds; a writer holds the lock for milliseconds
POLL = 0.02  # seconds between two tries to get the lock


def file_of(what: str, kind: str) -> str:
    """The path of this user's file for `what`, on this machine.

    :param kind: its suffix.
    """
    digest = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return os.path.join(tempfile.gettempdir(), f".zero_downtime-{os.getuid()}-{digest}.{kind}")


def opened(path: str) -> int:
    """A descriptor of that file of ours, which is made when it is not there.

    Its directory is everybody's: a link is not followed, and a file that another user has put there is not used, or they would
    decide what a balancer is held to.

    :raises Refused: when it cannot be opened, or is somebody else's.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"The lock {path} cannot be had: {error}. It keeps writers to the pool apart, so nothing was touched.") from None
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise Refused(
            f"The lock {path} is not ours: user {found.st_uid} has put something there, and would have a say in what is written to the "
            "balancer. Nothing was touched. Look at who that is, remove it, and run the task again."
        )
    return descriptor


@contextmanager
def only_writer(what: str, clock: Clock) -> Iterator[None]:
    """Hold the lock that `what` (balancer and pool) names.

    :raises TimedOut: when another process keeps it for longer than any write takes.
    :raises Refused: when the file cannot be opened.
    """
    path = file_of(what, "lock")
    descriptor = opened(path)
    try:
        deadline = Deadline(clock, LONGEST_WAIT)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if deadline.passed:
                    raise TimedOut(
                        f"Another process has held {path} for {LONGEST_WAIT:g} s, so nothing was touched. Find it with `fuser {path}`."
                    ) from None
                clock.sleep(POLL)
        yield
    finally:
        os.close(descriptor)
