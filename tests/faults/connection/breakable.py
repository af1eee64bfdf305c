# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to a host of this machine, which the campaign can break.

``FAULTS_NETWORK`` is a directory. A file there with the host's name says what is wrong with the way to it: ``refused``, or
``hangs SECONDS``, which is what an ssh with that ConnectTimeout makes of a host that does not answer.
"""

from __future__ import annotations

import os
import time

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import local

DOCUMENTATION = (
    local.DOCUMENTATION.replace("name: local", "name: breakable").replace(
        "    options:\n",
        "    options:\n"
        "        host:\n"
        "            description: The host.\n"
        "            default: inventory_hostname\n"
        "            vars: [{name: inventory_hostname}, {name: ansible_host}]\n",
        1,
    )
)  # fmt: skip


class Connection(local.Connection):
    """See above."""

    transport = "breakable"

    def _reach(self):
        host = self.get_option("host")
        try:
            with open(os.path.join(os.environ["FAULTS_NETWORK"], host), encoding="ascii") as file:
                what, _space, seconds = file.read().strip().partition(" ")
        except FileNotFoundError:
            return
        time.sleep(float(seconds or 0))
        why = "Connection refused" if what == "refused" else "Connection timed out"
        raise AnsibleConnectionFailure(f"Failed to connect to the host via ssh: connect to host {host} port 22: {why}")

    def exec_command(self, cmd, in_data=None, sudoable=True):
        """As `local` does, where there is a way to the host."""
        self._reach()
        return super().exec_command(cmd, in_data, sudoable)

    def put_file(self, in_path, out_path):
        """As `local` does, where there is a way to the host."""
        self._reach()
        return super().put_file(in_path, out_path)

    def fetch_file(self, in_path, out_path):
        """As `local` does, where there is a way to the host."""
        self._reach()
        return super().fetch_file(in_path, out_path)
