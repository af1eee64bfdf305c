# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik's read-only API: what it runs, since when, and what it says when it is asked at the wrong place.

https://doc.traefik.io/traefik/reference/install-configuration/api-dashboard/
"""

from __future__ import annotations

import calendar
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Dict, List, Tuple
from urllib.parse import quote

from .._domain.errors import DeployError, Refused, Unreachable
from .http_api import Answer, HttpApi
from .traefik_services import Services, by_name

PAGE = 100000  # services of one page, so that there is one
PAGES = 1000  # at most: a stranger could go on for ever


class TraefikApi:
    """What is asked of the API.

    :param name: of the balancer, for messages.
    :param has_user: whether a name and password are sent.
    """

    def __init__(self, name: str, http: HttpApi, has_user: bool) -> None:
        self.name, self.http, self.has_user = name, http, has_user

    def services(self, search: str = "", kind: str = "http") -> Services:
        """The services that Traefik runs, of all providers, by name.

        :param search: a part of their names.
        :param kind: ``http`` or ``tcp``.
        """
        path = "/api/%s/services?per_page=%d" % (kind, PAGE)
        path += "&search=%s" % quote(search, safe="") if search else ""
        found: List[Any] = []
        page = 1
        while True:
            answer = self._answer(path if page == 1 else "%s&page=%d" % (path, page))
            listed = self._json(path, answer)
            if not isinstance(listed, list):
                raise self.http.stranger("GET %s" % path, repr(listed))
            found += listed
            following = answer.headers.get("x-next-page", "")
            if not following.isdecimal() or not page < int(following) <= PAGES:
                return by_name(found)
            page = int(following)

    def version(self) -> str:
        """Of Traefik."""
        return str(self._about()[0].get("Version") or "unknown")

    def running(self) -> Tuple[str, float] | None:
        """When Traefik was started, in its own words, and how many seconds ago; None when it does not tell."""
        about, now = self._about()
        started = str(about.get("startDate") or "")
        try:
            began = calendar.timegm(datetime.strptime(started[:19], "%Y-%m-%dT%H:%M:%S").timetuple())
        except (ValueError, OverflowError):
            return None
        return started, max(now - began, 0.0)

    def _about(self) -> Tuple[Dict[str, Any], float]:
        """What it says of itself, and when, by its own clock."""
        answer = self._answer("/api/version")
        found = self._json("/api/version", answer)
        return found if isinstance(found, dict) else {}, clock_of(answer)

    def _answer(self, path: str) -> Answer:
        answer = self.http.ask("GET", path)
        if answer.status in (401, 403):
            raise Refused(
                "Balancer %s: Traefik's API at %s answers %d: %s."
                % (
                    self.name,
                    self.http.endpoint,
                    answer.status,
                    "`username` and `password` are refused, or may not read it"
                    if self.has_user
                    else "give `username` and `password` of a user who may read it",
                )
            )
        return answer

    def _json(self, path: str, answer: Answer) -> Any:
        try:
            if answer.status == 200:
                return answer.json()
        except (ValueError, RecursionError):
            pass
        stranger = self.http.stranger("GET %s" % path, "%d %s" % (answer.status, answer.text.strip()[:100]))
        raise _not_found(stranger, self.http.endpoint) if answer.status == 404 else stranger


def clock_of(answer: Answer) -> float:
    """The time of who answers, in seconds since 1970; our own when it does not tell."""
    try:
        return parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError, IndexError):
        return time.time()


def _not_found(stranger: DeployError, endpoint: str) -> Unreachable:
    """The error with the two likely reasons of a 404, which Traefik answers to whatever no router is for."""
    return Unreachable(
        "%s Either the API is not at this address: it is at the entry point `traefik`, port 8080, with `api.insecure`, and on a path of "
        "its own with `api.basePath`. Or a router leads to it for one host name alone. To tell them apart: "
        "`curl -H 'Host: NAME' %s/api/version`, with the name of that router's rule, answers with the version in the second case; then "
        "have that name in `url`, or as `Host` in `headers`." % (stranger.message, endpoint)
    )
