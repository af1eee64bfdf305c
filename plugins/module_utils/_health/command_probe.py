# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One attempt with a command: what does it print, and how does it end?"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from dataclasses import dataclass
from typing import Tuple

from .._clock import Clock, Deadline
from .connecting import no_answer
from .observation import COMMAND, KEPT, Observation

_CHUNK = 65536
# How often to look whether the command has ended while something it left behind holds its output open.
_GLANCE = 0.05


@dataclass(frozen=True)
class CommandProbe:
    """Runs a program with its arguments; no shell."""

    words: Tuple[str, ...]

    def __call__(self, clock: Clock, timeout: float) -> Observation:
        """Run it once; after `timeout` seconds it is killed, with all that it started in its process group."""
        deadline = Deadline(clock, timeout)
        try:
            process = subprocess.Popen(  # pylint: disable=consider-using-with
                self.words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A process group of its own, so that it can be killed as a whole.
                start_new_session=True,
            )
        except FileNotFoundError:
            return Observation(COMMAND, deadline.elapsed, failure="command not found: %s" % self.words[0])
        except OSError as error:
            reason = "%s cannot be run: %s" % (self.words[0], error.strerror)
            return Observation(COMMAND, deadline.elapsed, failure=reason)
        try:
            output, aside, complete = _read(process, deadline)
            rc = process.wait(deadline.left) if complete else None
        except subprocess.TimeoutExpired:
            rc = None
        finally:
            if process.poll() is None:
                _kill(process)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        if rc is None:
            return Observation(COMMAND, deadline.elapsed, failure=no_answer(deadline, "the command did not end"))
        return Observation(
            COMMAND,
            deadline.elapsed,
            rc=rc,
            text=output.decode("utf-8", "replace"),
            cut=len(output) >= KEPT,
            aside=aside.decode("utf-8", "replace"),
        )


def _read(process: subprocess.Popen[bytes], deadline: Deadline) -> tuple[bytes, bytes, bool]:
    """Read until both streams end or the command has; return its output, its errors, and whether that was in time.

    ``communicate`` would keep whatever a command writes; here the first :data:`KEPT` bytes are kept.
    """
    output, aside = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream, kept in ((process.stdout, output), (process.stderr, aside)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, kept)
        while selector.get_map() and not deadline.passed:
            ended = process.poll() is not None
            ready = selector.select(0 if ended else min(_GLANCE, deadline.left))
            if ended and not ready:
                # Something the command left behind still holds the pipe.
                break
            for key, _events in ready:
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                key.data.extend(chunk[: KEPT - len(key.data)])
        complete = not selector.get_map() or process.poll() is not None
    return bytes(output), bytes(aside), complete


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        # In the kernel's hands (a hung file system, say): it dies when it gets out of there.
        pass
