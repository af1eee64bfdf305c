# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching an archive over HTTP or HTTPS."""

from __future__ import annotations

import http.client
import os
from typing import Any, Mapping, Optional
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit, urlunsplit

from ansible.module_utils.urls import ConnectionError as UrlsError
from ansible.module_utils.urls import MissingModuleError, open_url

from .._domain.errors import Unreachable

_CHUNK = 1024 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 10


def printable(url: str) -> str:
    """`url` without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def download(
    url: str,
    path: str,
    headers: Optional[Mapping[str, Any]] = None,
    username: Optional[str] = None,
    password: Optional[str] = None,
    validate_certs: bool = True,
    timeout: float = 30,
) -> None:
    """Fetch `url` into the file `path`.

    Redirects are followed; headers and credentials go to the server they were given for and to no other.

    :param timeout: seconds that the server may be silent.
    :raises Unreachable: when the whole of it did not arrive.
    """
    secrets: dict[str, Any] = {
        "headers": {name: str(value) for name, value in (headers or {}).items()},
        "url_username": username,
        "url_password": password,
        "force_basic_auth": username is not None,
    }
    here = url
    try:
        for _attempt in range(_MOST_REDIRECTS + 1):
            try:
                response = open_url(
                    here,
                    validate_certs=validate_certs,
                    timeout=timeout,
                    follow_redirects="none",
                    # The bytes as they are on the server: they are what a checksum is about.
                    decompress=False,
                    **secrets
                )
            except HTTPError as error:
                location = error.headers.get("Location") if error.headers is not None else None
                if error.code not in _REDIRECTS or not location:
                    raise _failed(url, "the server answered {0} {1}".format(error.code, error.reason))
                there = urljoin(here, location)
                if urlsplit(there).scheme not in ("http", "https"):
                    raise _failed(url, "it redirects to something other than http or https")
                if urlsplit(here).scheme == "https" and urlsplit(there).scheme == "http":
                    raise _failed(url, "it redirects from https to http")
                if _server(there) != _server(here):
                    secrets = {}
                here = there
                continue
            except OSError as error:
                # After HTTPError, which is one: no connection, a time-out, a certificate that is not trusted.
                raise _failed(url, _reason(error, here))
            with response:
                _save(response, path, url)
            return
    # ValueError and the like are what the URL libraries make of a malformed answer or address.
    except (UrlsError, MissingModuleError, http.client.HTTPException, ValueError) as error:
        raise _failed(url, _reason(error, here))
    raise _failed(url, "more than {0} redirects".format(_MOST_REDIRECTS))


def _reason(error: Exception, url: str) -> str:
    reason = getattr(error, "reason", None) or error
    return (str(reason) or type(reason).__name__).replace(url, printable(url))


def _server(url: str) -> tuple[str, Optional[str], Optional[int]]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _save(response: Any, path: str, url: str) -> None:
    expected = response.headers.get("Content-Length")
    with open(path, "wb") as file:
        while True:
            try:
                data = response.read(_CHUNK)
            except OSError as error:
                raise _failed(url, "the connection broke after {0} bytes ({1})".format(file.tell(), error))
            if not data:
                break
            file.write(data)
        received = file.tell()
        file.flush()
        os.fsync(file.fileno())
    if expected is not None and int(expected) != received:
        raise _failed(url, "the connection broke after {0} of {1} bytes".format(received, expected))


def _failed(url: str, why: str) -> Unreachable:
    return Unreachable(
        "{0} could not be fetched: {1}. Nothing was unpacked. Check the address, the credentials and that this host "
        "reaches the server.".format(printable(url), why)
    )
