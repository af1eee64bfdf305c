# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fewest members that a balancer had for its clients, watched while something else happens."""

from __future__ import annotations

import threading
from typing import Any

from .fleet import pool
from .places import BALANCERS

INTERVAL = 0.1  # seconds between two looks


class Watch:
    """Looks at every balancer in the background, between `with` and its end."""

    def __init__(self) -> None:
        self.fewest = 99
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._watcher.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._over.set()
        self._watcher.join()

    def _look(self) -> None:
        while not self._over.wait(INTERVAL):
            for balancer in BALANCERS:
                members = pool(balancer).values()
                self.fewest = min(self.fewest, sum(m["state"] == "enabled" and m["status"] == "UP" for m in members))
