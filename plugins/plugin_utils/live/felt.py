# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users have felt so far: the figures of a probe, read from its record while it grows."""

from __future__ import annotations

from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.latencies import Latencies
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.record import read


def felt_so_far(path: str) -> dict[str, Any] | None:
    """Sum up the record of a probe.

    :return: ``requests``, ``failed`` and ``p95`` (milliseconds; None where nothing was answered); None where there is no record, or
        nothing in it yet.  A line that is not whole, or makes no sense, is passed over.
    """
    try:
        record = read(path)
    except (DeployError, ValueError, TypeError, KeyError):
        return None
    if record is None or not record.seconds:
        return None
    latencies = Latencies()
    for second in record.seconds:
        latencies.add(second.latencies)
    return {
        "requests": sum(second.requests for second in record.seconds),
        "failed": sum(second.failed for second in record.seconds),
        "p95": latencies.percentile(0.95),
    }
