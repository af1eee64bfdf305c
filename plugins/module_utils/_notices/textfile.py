# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file for the textfile collector of Prometheus's node_exporter.

https://github.com/prometheus/node_exporter#textfile-collector: it reads all files whose names end in ``.prom`` whenever it is
asked, so that a file must be whole at every instant.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from typing import Any, Dict, Mapping

from .._clock import Clock, Deadline
from .._domain.errors import InvalidInput, Refused, Unreachable
from .._domain.exposition import blocks, render
from .target import Notice, Target, Told

MODE = 0o644  # the collector runs as a user of its own
LARGEST = 1024 * 1024  # bytes
MARK = "# Written by zero_downtime.deploy.rollout_notice for the service "


class TextFile(Target):
    """One service's file.

    :param options: ``path``.
    :raises InvalidInput: no collector would read it there.
    """

    kind = "textfile"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.where = str(options["path"])
        if not os.path.isabs(self.where) or not os.path.basename(self.where).endswith(".prom"):
            raise InvalidInput("`textfile` is to be an absolute path that ends in .prom, found '%s'." % self.where)

    def tell(self, notice: Notice, clock: Clock, deadline: Deadline) -> Told:
        """See :class:`Target`."""
        del clock, deadline
        told = self.foretell(notice)
        if told.diff and told.changed:
            self._write(told.diff["after"])
        return told

    def foretell(self, notice: Notice) -> Told:
        """See :class:`Target`."""
        directory = os.path.dirname(self.where)
        if not os.path.isdir(directory):
            raise Unreachable(
                "The directory %s is not there; the collector's is its --collector.textfile.directory." % directory
            )
        if not os.access(directory, os.W_OK | os.X_OK):
            raise Unreachable("This user may not write to %s; use `become`, or widen its mode or group." % directory)
        earlier = self._read()
        mark = MARK + json.dumps(notice.service) + "\n"
        if earlier and not earlier.startswith(mark):
            raise Refused(
                "%s is there already and not of the service %s: each service needs a file of its own. It was left as it is."
                % (self.where, notice.service)
            )
        text = mark + self._merged(earlier, notice)
        diff = {"before": earlier, "after": text, "before_header": self.where, "after_header": self.where}
        return Told(changed=text != earlier or self._mode() != MODE, diff=diff)

    @staticmethod
    def _merged(earlier: str, notice: Notice) -> str:
        new = blocks(render(notice.families))
        known: Dict[str, str] = {} if notice.whole else blocks(earlier)
        return "".join({**known, **new}.values())

    def _mode(self) -> int:
        try:
            return os.stat(self.where).st_mode & 0o7777
        except OSError:
            return 0

    def _read(self) -> str:
        try:
            with open(self.where, encoding="utf-8", errors="replace") as file:
                return file.read(LARGEST)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise Unreachable("%s cannot be read: %s." % (self.where, error.strerror or error)) from None

    def _write(self, text: str) -> None:
        directory, name = os.path.split(self.where)
        temporary = None
        try:
            # Its name does not end in .prom, so that the collector passes it over.
            descriptor, temporary = tempfile.mkstemp(prefix=".%s." % name, suffix=".tmp", dir=directory)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode("utf-8", "replace"))
                os.fchmod(file.fileno(), MODE)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, self.where)
            temporary = None
        except OSError as error:
            raise Unreachable(
                "%s cannot be written: %s. It is as it was." % (self.where, error.strerror or error)
            ) from None
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
