# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request to somebody who is told, with one retry, and without a word of its secrets in what is said of it.

A path may be as secret as a password: who knows that of a Slack webhook may write to the channel.  So of a URL only scheme, host
and port are ever quoted, and what an answer quotes of the rest is masked.
"""

from __future__ import annotations

import math
from typing import Any, Dict, Mapping
from urllib.parse import quote, unquote, urlsplit

from .._balancers.http_api import HttpApi
from .._clock import Clock, Deadline
from .._domain.errors import InvalidInput, Unreachable
from .._health.redaction import MASK, Redactor

TRIES = 2
PAUSE = 1.0  # seconds before the second try, or a quarter of the time that is left


def where_of(url: str) -> str:
    """Scheme, host and port of a URL: all of it that may be shown."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return MASK
    if (
        parts.scheme not in ("http", "https")
        or not host
        or any(not char.isprintable() or char.isspace() for char in host)
    ):
        return MASK  # whatever it is, somebody may have put a secret in the wrong place
    return "%s://%s" % (parts.scheme, host)


class Letterbox:
    """Where letters are put: a URL, how to get in, and what not to quote.

    :param title: what it is called in messages, such as ``Grafana``.
    :param options: ``url`` and perhaps ``username``, ``password``, ``headers``, ``validate_certs``, ``ca_path``, ``timeout``.
    :param headers: of ours, beside those of the options.
    :raises InvalidInput: the URL or a header is none.
    """

    def __init__(self, title: str, options: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        url = str(options["url"]).strip()
        self.where = where_of(url)
        if self.where == MASK:
            raise InvalidInput("The URL of %s is to begin with http:// or https:// and a host." % title)
        parts = urlsplit(url)
        self._path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~-._")
        self._query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
        username = options.get("username") or (unquote(parts.username) if parts.username else None)
        password = options.get("password") or (unquote(parts.password) if parts.password else None)
        sent = {str(name): str(value).strip() for name, value in (options.get("headers") or {}).items()}
        sent.update(headers)
        for name, value in sent.items():
            if not (name.isascii() and name.isprintable() and value.isascii() and value.isprintable()):
                raise InvalidInput("A header of %s has characters that no header may have." % title)
        self._api = HttpApi(
            title,
            options["timeout"],
            url=self.where,
            username=username,
            password=password,
            headers=sent,
            verify=options.get("validate_certs", True),
            ca=options.get("ca_path"),
        )
        secrets = [*parts.path.split("/"), unquote(parts.path), username or "", password or "", *sent.values()]
        self._redactor = Redactor(self._api.headers, url, secrets)

    def put(self, method: str, path: str, body: bytes, clock: Clock, deadline: Deadline) -> int:
        """Send `body`, and once more after an error that may pass.

        :param path: below the URL's own, percent-encoded.
        :return: how often it was sent.
        :raises Unreachable: it was not taken; says why.
        """
        target = self._path + path or "/"
        if self._query:
            target += "?" + self._query
        for attempt in range(1, TRIES + 1):
            problem, passing = self._once(method, target, body, deadline)
            if not problem:
                return attempt
            last = attempt == TRIES or not passing
            if not last:
                clock.sleep(min(PAUSE, deadline.left / 4))
            if last or deadline.passed:
                break
        raise Unreachable(problem)

    def _once(self, method: str, target: str, body: bytes, deadline: Deadline) -> "tuple[str, bool]":
        """What went wrong, if anything, and whether it may go better the next time."""
        self._api.timeout = max(0.1, math.ceil(deadline.left * 10) / 10)  # a message says it
        try:
            answer = self._api.ask(method, target, body)
        except Unreachable as error:
            return error.message, True
        if 200 <= answer.status <= 299:
            return "", False
        said = ", and its body begins %s" % self._redactor.snippet(answer.text) if answer.text.strip() else ""
        return "%s at %s answers HTTP %d%s." % (self._api.title, self.where, answer.status, said), answer.status >= 500


def authorization(token: Any) -> Dict[str, str]:
    """The header of a bearer token; none without one."""
    return {"Authorization": "Bearer %s" % str(token).strip()} if token else {}
