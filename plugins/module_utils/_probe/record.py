# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file into which a prober writes what it sees.

The first line says what is probed.  Each second one line is added: what has ended since the line before it, by the second in which
it began.  So it can be read while it grows, and what a killed prober leaves is whole but for its last second.  The last line
says why the prober ended.  No secret gets in: URLs come without user and query, request headers not at all.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional

from .._domain.errors import Unreachable
from .._domain.felt import Second
from .._domain.shape import NUMBER, TIME, wrong

FILE_MODE = 0o600
_HEADER = {"began": TIME, "urls": [str], "rate": NUMBER, "timeout": NUMBER}
_LINE = {"until": TIME, "seconds": [dict]}
KIND, FORMAT = "zero_downtime.probe", 1


class Writer:
    """Adds lines to a new file of mode 0600.

    :param header: what is probed: ``began``, ``urls``, ``rate`` and ``timeout``.
    :raises Unreachable: it cannot be made.
    """

    def __init__(self, path: str, header: Dict[str, Any]) -> None:
        self.path = path
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self.descriptor = os.open(path, flags, FILE_MODE)
            self._add({"kind": KIND, "format": FORMAT, **header})
        except OSError as error:
            raise Unreachable(
                "Cannot write %s: %s. Nothing is probed. Become a user who may (become: true), or choose another directory "
                "(option path)." % (path, error.strerror or error)
            ) from None

    def add(self, until: float, seconds: Iterable[Second], ended: Optional[str] = None) -> bool:
        """Add a line; False where that failed, and then nothing of it is in the file.

        :param until: when everything had ended that is told by now.
        :param ended: why nothing follows.
        """
        line: Dict[str, Any] = {"until": round(until, 3), "seconds": [second.plain() for second in seconds]}
        if ended is not None:
            line["ended"] = ended
        try:
            self._add(line)
        except OSError:  # the disk is full, say
            return False
        return True

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.descriptor)

    def _add(self, line: Dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")).encode("utf-8") + b"\n"
        size = os.fstat(self.descriptor).st_size
        if os.write(self.descriptor, text) != len(text):
            # Half a line would spoil the next one.
            os.ftruncate(self.descriptor, size)
            raise OSError("no room for a whole line")


@dataclass
class Record:
    """What a file tells.

    :param until: when everything had ended that is told.
    :param ended: why the prober ended; None while it runs, and where it was killed.
    :param lost: how many lines cannot be read.
    """

    path: str
    began: float
    until: float
    urls: List[str]
    rate: float
    timeout: float
    seconds: List[Second] = field(default_factory=list)
    ended: Optional[str] = None
    lost: int = 0


def read(path: str, since: Optional[float] = None) -> Optional[Record]:
    """What is in the file; None where it is none of ours, or has not even a first line yet.

    :param since: seconds before this one are left out.
    :raises Unreachable: it may not be read.
    """
    try:
        with open(path, "rb") as stream:
            lines = stream.read().split(b"\n")
    except OSError as error:
        raise Unreachable(
            "Cannot read %s: %s. Nothing was changed. Become the user who started the probe (become: true)."
            % (path, error.strerror or error)
        ) from None
    # What follows the last line break is nothing, or a line that is being written or was torn.
    header = _line(lines[0]) if len(lines) > 1 else None
    if not header or header.get("kind") != KIND or header.get("format") != FORMAT or wrong(header, _HEADER, "header"):
        return None
    began = header["began"]
    record = Record(path, began, began, header["urls"], header["rate"], header["timeout"])
    for line in lines[1:-1]:
        told = _line(line)
        try:
            if wrong(told, _LINE, "line"):
                raise ValueError
            seconds = [Second.read(plain) for plain in told["seconds"]]
        except ValueError:
            record.lost += 1
            continue
        record.seconds += [second for second in seconds if since is None or second.at >= int(since)]
        record.until, record.ended = told["until"], told.get("ended")
    return record


def _line(text: bytes) -> Dict[str, Any]:
    try:
        told = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
