# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to HAProxy's Data Plane API, and the reasons why one is not answered as version 3 answers it.

An error of the API itself is JSON with `code` and `message`.  Its statistics have `error` where HAProxy's runtime socket is out of its
reach; its information on the process lacks `pid` then, and each backend is "not found" (its issue 401).
"""

from __future__ import annotations

import json
import re
from typing import Any

from .._domain.errors import DeployError, InvalidInput, Refused, Unreachable
from .http_api import Answer, HttpApi

SERVICE = "/v3/services/haproxy"
NEEDED = 3  # the API's own major version


class DataPlaneApi:
    """One Data Plane API.

    :param name: of the balancer, for messages.
    """

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self.name, self._user = name, options["username"]
        self.http = HttpApi.of("HAProxy's Data Plane API", options, re.sub(r"/v[0-9]+/?$", "", options["url"]))
        self.endpoint = self.http.endpoint

    def get(self, path: str, absent: Any = None) -> Any:
        """The JSON that a path has.

        :param absent: what to return instead of an answer that says "not found"; None to take that for an error.
        :raises Unreachable: it is none, or the API has an error.
        """
        answer = self.http.ask("GET", path)
        told = _json(answer)
        if answer.status == 200 and told is not None:
            return told
        if answer.status == 404 and absent is not None and _message(told):
            self._check_version(path, answer)
            return absent
        raise self.error(f"GET {path}", answer)

    def put(self, path: str, body: dict[str, str]) -> Any:
        """Write, and return the JSON that comes back.

        :raises Refused: the API does not do it.
        """
        answer = self.http.ask("PUT", path, json.dumps(body), {"Content-Type": "application/json"})
        if answer.status == 200:
            return _json(answer)
        self._check_login(f"PUT {path}", answer)
        raise Refused(f"Balancer {self.name}: {self._said(f'PUT {path}', answer)}")

    def stats(self, query: str, kind: str) -> list[dict[str, Any]]:
        """Rows of the statistics that are of a kind: objects with `name` and `stats`.

        :raises Unreachable: HAProxy does not answer the API.
        """
        path = f"{SERVICE}/stats/native{query}"
        answer = self.http.ask("GET", path)
        told = _json(answer)
        # One object for the one process that there is; a list of them, for each process, before.
        groups = told if isinstance(told, list) else [told]
        rows: list[dict[str, Any]] = []
        for group in groups:
            if isinstance(group, dict) and isinstance(group.get("error"), str):
                raise self.out_of_reach(group["error"])
            found = group.get("stats") if isinstance(group, dict) else None
            if answer.status != 200 or not isinstance(found, list):
                raise self.error(f"GET {path}", answer)
            rows += [row for row in found if isinstance(row, dict) and row.get("type") == kind]
        return [row for row in rows if isinstance(row.get("name"), str) and isinstance(row.get("stats"), dict)]

    def info(self) -> dict[str, Any]:
        """What HAProxy's process tells of itself, `pid` and `uptime` among it.

        :raises Unreachable: HAProxy does not answer the API.
        """
        path = f"{SERVICE}/runtime/info"
        told = self.get(path)
        found = told[0] if isinstance(told, list) and told else told  # one for each process, before
        info = found.get("info") if isinstance(found, dict) else None
        if not isinstance(info, dict):
            raise self.http.stranger(f"GET {path}", repr(told))
        if not all(isinstance(info.get(key), int) for key in ("pid", "uptime")):
            raise self.out_of_reach(str(found.get("error") or "it tells neither the process nor since when it runs"))
        return info

    def version(self) -> str:
        """The API's own version."""
        told = self.get("/v3/info")
        api = told.get("api") if isinstance(told, dict) else None
        return str(api.get("version", "unknown")).lstrip("v") if isinstance(api, dict) else "unknown"

    def out_of_reach(self, why: str) -> Unreachable:
        """The error for an API that answers, and HAProxy does not answer it."""
        return Unreachable(
            f"Balancer {self.name}: the Data Plane API at {self.endpoint} answers, and HAProxy does not answer it: {why}. Is HAProxy "
            "running, and may the user of the Data Plane API open its runtime socket (`stats socket … level admin`, or the master's)?"
        )

    def error(self, request: str, answer: Answer) -> DeployError:
        """The error for an answer that is not as expected: what is known of the reason."""
        self._check_login(request, answer)
        self._check_version(request, answer)
        said = _message(_json(answer))
        if "dial unix" in said or said.startswith("runtime:"):
            return self.out_of_reach(said)
        if said:
            return Unreachable(f"Balancer {self.name}: {self._said(request, answer)}")
        return self.http.stranger(request, f"{answer.status} {answer.text!r}")

    def _check_login(self, request: str, answer: Answer) -> None:
        if answer.status == 401:
            raise Refused(
                f"Balancer {self.name}: {self._said(request, answer)}. It does not accept the user {self._user} with this password: "
                "compare `username` and `password` with the API's `userlist`."
            )
        if answer.status == 403:
            raise Refused(f"Balancer {self.name}: {self._said(request, answer)}")

    def _check_version(self, request: str, answer: Answer) -> None:
        """Find out whether a path is missing because the API is of another version."""
        if answer.status != 404 or "path" not in _message(_json(answer)):
            return
        older = self.http.ask("GET", "/v2/info")
        told = _json(older)
        api = told.get("api") if isinstance(told, dict) else None
        if older.status != 200 or not isinstance(api, dict):
            return
        version = str(api.get("version", "2")).lstrip("v").split(" ", maxsplit=1)[0]
        raise InvalidInput(
            f"Balancer {self.name}: version {NEEDED} of the Data Plane API is required; this is {version}. Nothing was touched."
        )

    def _said(self, request: str, answer: Answer) -> str:
        said = _message(_json(answer)) or repr(answer.text[:200])
        return f"the Data Plane API answered {answer.status} to {request}: {said}"


def _json(answer: Answer) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None


def _message(told: Any) -> str:
    """What an error of the API says; empty when it is none."""
    message = told.get("message") if isinstance(told, dict) and "code" in told else None
    return message if isinstance(message, str) else ""
