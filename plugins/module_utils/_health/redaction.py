# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what we sent (headers, the URL's user and query) out of what we quote from the other side.

A server may echo a request, in an error page say. A quoted answer therefore goes through a :class:`Redactor`.
"""

from __future__ import annotations

import base64
from typing import Iterable, Mapping
from urllib.parse import SplitResult, unquote, unquote_plus, urlsplit

MASK = "***"

# Shorter strings occur everywhere: to mask them would spoil the text and protect nothing.
_SHORTEST = 3
_SNIPPET = 80
_VERSION = 200
# What stands in these is no secret, and often is the very name of the target.
HARMLESS = frozenset(
    (
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-type",
        "host",
        "origin",
        "user-agent",
    )
)


class Redactor:
    """Masks a request's secrets in text of foreign origin.

    :param headers: the headers we send.
    :param url: where to; its user, password and query are masked too.
    :param also: what else is secret.
    """

    def __init__(self, headers: Mapping[str, str] | None = None, url: str = "", also: Iterable[str] = ()) -> None:
        secrets = set(also)
        for name, value in (headers or {}).items():
            if name.lower() not in HARMLESS:
                secrets.update(_header_secrets(value))
        parts = urlsplit(url)
        secrets.update(_user_secrets(parts))
        self._secrets = _longest_first(secrets)
        self._all = _longest_first(secrets | set(_query_values(parts.query)))

    def text(self, text: str) -> str:
        """`text` with everything masked that we sent in headers or URL."""
        return _masked(text, self._all)

    def value(self, text: str) -> str:
        """`text` with credentials masked, but not the query: for short values such as a version."""
        return _masked(text, self._secrets)

    def version(self, text: str) -> str:
        """A version as it is told: credentials masked, printable, and no more of it than anybody calls a version."""
        shown = "".join(char if char.isprintable() else "?" for char in self.value(text))
        return shown if len(shown) <= _VERSION else shown[:_VERSION] + "..."

    def snippet(self, text: str) -> str:
        """The beginning of `text` on one line, printable, in quotes."""
        # Masked before it is cut: half a secret would no longer be recognised.
        line = " ".join(self.text(text).split())
        line = "".join(char if char.isprintable() else "?" for char in line)
        return "'%s'" % (line if len(line) <= _SNIPPET else line[:_SNIPPET] + "...")


def mask_url(url: str) -> str:
    """`url` with its user and its query masked, and ``?`` in the place of what cannot be shown."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    where = parts.netloc
    if "@" in where:
        where = MASK + "@" + where.rpartition("@")[2]
    shown = parts._replace(netloc=where, query=MASK if parts.query else "", fragment="").geturl()
    return "".join(char if char.isprintable() else "?" for char in shown)


def basic_auth(parts: SplitResult) -> str | None:
    """The Authorization header that a URL's user and password stand for; None without a user."""
    if parts.username is None:
        return None
    pair = "%s:%s" % (unquote(parts.username), unquote(parts.password or ""))
    return "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")


def _header_secrets(value: str) -> Iterable[str]:
    yield value
    # 'Bearer abc', 'session=abc; other=def': the parts may be echoed without the rest.
    for word in value.replace(";", " ").replace(",", " ").split()[0 if "=" in value else 1:]:
        yield word
        yield word.partition("=")[2].strip('"')
    scheme, _blank, credentials = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(credentials.strip()).decode("utf-8")
        except ValueError:
            return
        yield pair
        yield pair.partition(":")[2]


def _user_secrets(parts: SplitResult) -> Iterable[str]:
    authorization = basic_auth(parts)
    if authorization:
        yield parts.netloc.rpartition("@")[0]
        yield parts.password or ""
        yield from _header_secrets(authorization)


def _query_values(query: str) -> Iterable[str]:
    if query:
        yield query
    for pair in query.split("&"):
        # '?abc' is a value without a name.
        value = pair.partition("=")[2] if "=" in pair else pair
        yield value
        yield unquote_plus(value)


def _longest_first(secrets: Iterable[str]) -> list[str]:
    return sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=lambda secret: (-len(secret), secret))


def _masked(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
