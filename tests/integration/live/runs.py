# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible-playbook in a terminal, and what somebody sees who sits before it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading

import shops
from terminal import Terminal

# What a person's environment would not have, and what decides how lines are shown.
FOREIGN = ("CI", "NO_COLOR", "ORIGINAL_STDOUT_CALLBACK", "AWX_PRIVATE_DATA_DIR", "AWX_ISOLATED_DATA_DIR")


def environment(**more):
    """This process's environment, without what others have set for Ansible or for the view."""
    mine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANSIBLE_", "ZERO_DOWNTIME_")) and name not in FOREIGN
    }
    return {
        **mine,
        "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


class InTerminal(shops.Run):
    """A run whose output is a terminal of 80 columns and 24 lines.

    :attr moments: what was to be seen after each piece that the run has written, from the first to the last.
    """

    MORE = {"TERM": "xterm-256color"}

    def __init__(self, line, log, environment, directory):
        self.log = log
        self.terminal, self.moments, self.raw = Terminal(80), [], ""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {name: value for name, value in environment.items() if name not in (*FOREIGN, "ANSIBLE_NOCOLOR")}
        self.process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env={**environment, **self.MORE}, cwd=directory,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._reader = threading.Thread(target=self._read, args=(master,), daemon=True)
        self._reader.start()

    def _read(self, master):
        with open(master, "rb", buffering=0) as stream, open(self.log, "wb") as log:
            text = b""
            while True:
                try:
                    piece = stream.read(65536)
                except OSError:  # the last one has closed it
                    piece = b""
                if not piece:
                    return
                log.write(piece)
                log.flush()
                text += piece
                whole = text.decode("utf-8", "ignore")
                text = text[len(whole.encode()) :]
                self.raw += whole
                self.terminal.write(whole)
                self.moments.append("\n".join(self.terminal.lines))

    def wait(self):
        """Wait for its end, and until all of it is read."""
        super().wait()
        self._reader.join(10)
        return self

    @property
    def seen(self):
        """What is to be seen at the end."""
        return "\n".join(self.terminal.lines)

    def ever(self, *words):
        """Whether all of these words were to be seen at one moment."""
        return any(all(word in moment for word in words) for moment in self.moments)
