# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of its own, as far as one machine can be two: it was booted at another time, where the system can pretend that."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: elsewhere
short_description: A host of its own
description: For tests.
author: The zero_downtime.deploy authors (@zero-downtime)
options:
  pause:
    description: Name of a file. So many seconds as it says pass before a module begins there, after the host was asked for its time.
    default: ""
    vars: [{name: ansible_elsewhere_pause}]
"""

BOOTED_EARLIER = "unshare --time --boottime 1000000 "


class Connection(Local):
    """As `local`, under another name."""

    transport = "elsewhere"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        """Run it in the other time."""
        pause = self.get_option("pause")
        if pause and "AnsiballZ" in cmd and "chmod" not in cmd:
            time.sleep(float(Path(pause).read_text(encoding="ascii")))
        return super().exec_command(_in_another_time() + cmd, in_data, sudoable)


def _in_another_time():
    if not shutil.which("unshare") or subprocess.run([*BOOTED_EARLIER.split(), "true"], capture_output=True, check=False).returncode:
        return ""
    return BOOTED_EARLIER
