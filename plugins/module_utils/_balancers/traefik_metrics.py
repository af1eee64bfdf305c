# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page of Traefik's metrics says, in Prometheus's format.  Pure.

https://doc.traefik.io/traefik/reference/install-configuration/observability/metrics/
"""

from __future__ import annotations

import math
import re
from typing import Dict, Iterable, Iterator, Tuple

from .._domain.counters import Served

SERVER_UP = "traefik_service_server_up"
BY_ROUTER, BY_SERVICE = "traefik_router_requests_total", "traefik_service_requests_total"
STARTED = re.compile(r"^process_start_time_seconds (\S+)$", re.MULTILINE)
RELOADED = re.compile(r"^traefik_config_last_reload_success (\S+)$", re.MULTILINE)
RELOADS = re.compile(r"^traefik_config_reloads_total (\S+)$", re.MULTILINE)
NUMBER = re.compile(r"[0-9]+(?:[.][0-9]+)?(?:e[+][0-9]{1,2})?")
LABEL = re.compile(r'\b(\w+)="((?:[^"\\]|\\.)*)"')
CLIENT_LEFT = 499  # the status that Traefik writes down for who did not wait


def checks(text: str) -> Dict[Tuple[str, str], bool]:
    """Whether each server's last check passed, by service and URL; nothing of those that have not been checked."""
    return {
        (labels.get("service", ""), labels.get("url", "")): value == 1 for labels, value in _series(text, SERVER_UP)
    }


def tells_checks(text: str, service: str, urls: Iterable[str]) -> bool | None:
    """Whether a page tells of the checks of these servers, which are in traffic; None when it cannot be told yet.

    :param service: with the name of its provider, as in ``shop@file``.
    """
    labels, wanted = list(checks(text)), set(urls)
    if any(name == service and url in wanted for name, url in labels):
        return True
    # Traefik 3.0 and 3.1 name the service by a hash: 132ed4dda3adf540.
    return False if any("@" not in name and url in wanted for name, url in labels) else None


def reloads(text: str) -> float | None:
    """How often Traefik has taken a new configuration; None when it does not tell."""
    found = RELOADS.search(text)
    return float(found.group(1)) if found and NUMBER.fullmatch(found.group(1)) else None


def unchanged_since(text: str) -> float | None:
    """When Traefik began to run its present configuration, in seconds since 1970 by its own clock; None when it does not tell."""
    times = [float(found) for found in (*STARTED.findall(text), *RELOADED.findall(text)) if NUMBER.fullmatch(found)]
    return max(times) if times else None


def served(text: str, service: str) -> Served | None:
    """What users got of a service; None where Traefik does not count by router.

    :param service: with the name of its provider, as in ``shop@file``.
    """
    by_router, by_service = (list(_of(text, name, service)) for name in (BY_ROUTER, BY_SERVICE))
    started = STARTED.search(text)
    # A series begins with the first request.
    if started is None or (by_service and not by_router):
        return None
    errors = sum(count for status, count in by_router if status >= 500)
    left = sum(count for status, count in by_router if status == CLIENT_LEFT)
    return Served(sum(count for _status, count in by_router), errors, 0, 0, left, started.group(1))


def _of(text: str, name: str, service: str) -> Iterator[Tuple[int, int]]:
    """Status and requests, of one service."""
    for labels, value in _series(text, name):
        code = labels.get("code", "")
        if labels.get("service") == service:
            yield (int(code) if re.fullmatch("[0-9]{3}", code) else 0), int(value)


def _series(text: str, name: str) -> Iterator[Tuple[Dict[str, str], float]]:
    """The labels of each series, and its value."""
    for labels, value in re.findall(r"^%s\{(.*)\} ([0-9]+(?:[.][0-9]+)?(?:e[+][0-9]+)?)$" % name, text, re.MULTILINE):
        if math.isfinite(float(value)):
            yield {key: re.sub(r"\\(.)", r"\1", said) for key, said in LABEL.findall(labels)}, float(value)
