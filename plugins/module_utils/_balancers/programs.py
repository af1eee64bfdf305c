# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A balancer's own programs: its checker, its reload; bounded in time, and told apart from each other when they fail."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass

from .._domain.errors import InvalidInput, Unreachable

KEPT = 2000  # characters of what it said that fit into a message


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    :param said: its error output, else its output, shortened for messages.
    :param raw: its output, byte for byte.
    """

    rc: int
    output: str
    said: str
    raw: bytes = b""


def run(words: list[str], timeout: float, stdin: str = "", where: str = "on the balancer's host") -> Ended:
    """Run a program with its arguments, no shell; after `timeout` seconds it is killed with all that it started.

    :param where: it is looked for, in words.
    :raises InvalidInput: there is no such program.
    :raises Unreachable: it did not end in time.
    """
    if not words:
        raise InvalidInput("A command is empty: give the program and its arguments as a list. Nothing was touched.")
    try:
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A process group of its own, so that it can be killed as a whole.
            start_new_session=True,
        )
    except FileNotFoundError:
        raise InvalidInput("There is no program %s %s. Nothing was touched." % (words[0], where)) from None
    except OSError as error:
        raise InvalidInput("%s cannot be run: %s. Nothing was touched." % (words[0], error.strerror)) from None
    try:
        output, errors = process.communicate(stdin.encode(), timeout)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()
        raise Unreachable("`%s` did not end within %s." % (" ".join(words), seconds(timeout))) from None
    text, aside = output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")
    said = " ".join((aside.strip() or text.strip()).split())
    return Ended(process.returncode, text, said if len(said) <= KEPT else "… " + said[-KEPT:], output)


def seconds(number: float) -> str:
    """A duration for messages, in tenths of a second: ``5 s`` for the 4.99244 s that are left of five."""
    return "%g s" % (round(number, 1) or 0.1)
