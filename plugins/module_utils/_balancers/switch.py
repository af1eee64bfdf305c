# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch on a member's host that lets its balancer's health check fail: a file, programs of the user's own, or a URL."""

from __future__ import annotations

import os
import stat
from typing import Any
from urllib.parse import urlsplit

from .._domain.errors import InvalidInput, NotApplied, Refused, Unreachable
from .config_file import absolute
from .http_api import HttpApi
from .programs import Ended, run

IN, OUT = "in", "out"


def set_switch(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the switch to `state` and read it back; without a `state`, only read it.

    :param params: the options of `member_switch`.
    :return: the module's result.
    :raises DeployError: when it cannot be read or turned.
    """
    switch = _switch(params)
    before = switch.is_out()
    wanted = before if params["state"] is None else params["state"] == OUT
    if wanted != before and not check_mode:
        switch.turn(wanted)
        if switch.is_out() != wanted:
            raise NotApplied(f"{switch.what} was to be {_word(wanted)} and, read back, is {_word(before)} still.")
    diff = {"before": _word(before) + "\n", "after": _word(wanted) + "\n"}
    return {"changed": wanted != before, "state": _word(wanted), "diff": diff}


def _word(out: bool) -> str:
    return OUT if out else IN


class _File:
    """Out is while the file is there."""

    def __init__(self, path: str) -> None:
        self.path = absolute("file", path)
        self.what = f"The switch {path}"

    def is_out(self) -> bool:
        try:
            mode = os.stat(self.path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise Unreachable(f"{self.what} cannot be looked at: {error.strerror}. Use `become`.") from None
        if not stat.S_ISREG(mode):
            raise InvalidInput(f"{self.path} is no file, so it can be no switch. Nothing was touched.")
        return True

    def turn(self, out: bool) -> None:
        try:
            if not out:
                os.unlink(self.path)
                return
            # Whoever answers the health check must be able to see it, whatever the umask.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
            with open(descriptor, "w", encoding="ascii") as file:
                os.fchmod(descriptor, 0o644)
                file.write("Taken out of traffic by zero_downtime.deploy. Remove this file to bring the host back.\n")
        except (FileExistsError, FileNotFoundError) as error:
            if isinstance(error, FileNotFoundError) and out:
                raise self._refusal(out, error) from None
            # Somebody else was faster; what counts is read back.
        except OSError as error:
            raise self._refusal(out, error) from None

    def _refusal(self, out: bool, error: OSError) -> Refused:
        doing = "made" if out else "removed"
        return Refused(
            f"{self.what} cannot be {doing}: {error.strerror}. Use `become`, and see that its directory is there."
        )


class _Programs:
    """Programs of the user's own: `is_out` ends with 0 for out and with 1 for in."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.what = f"The switch of `{' '.join(params['is_out'])}`"

    def is_out(self) -> bool:
        ended = self._run("is_out")
        if ended.rc not in (0, 1):
            raise Unreachable(
                f"{self.what} ended with {ended.rc}; 0 means out and 1 means in. It said: {ended.said or 'nothing'}."
            )
        return ended.rc == 0

    def turn(self, out: bool) -> None:
        which = "take_out" if out else "bring_back"
        ended = self._run(which)
        if ended.rc:
            raise Refused(
                f"`{' '.join(self.params[which])}` ended with {ended.rc}. It said: {ended.said or 'nothing'}."
            )

    def _run(self, which: str) -> Ended:
        return run(self.params[which], self.params["timeout"])


class _Url:
    """PUT takes out, DELETE brings back, GET answers 200 for out and 404 for in."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self.path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        self.api = HttpApi("the switch", timeout, f"{parts.scheme}://{parts.netloc}")
        self.what = f"The switch {url}"

    def is_out(self) -> bool:
        status = self.api.ask("GET", self.path).status
        if status not in (200, 404):
            raise Unreachable(f"{self.what} answered {status} to GET; 200 means out and 404 means in.")
        return status == 200

    def turn(self, out: bool) -> None:
        method = "PUT" if out else "DELETE"
        status = self.api.ask(method, self.path).status
        if not 200 <= status < 300:
            raise Refused(f"{self.what} answered {status} to {method}.")


def _switch(params: dict[str, Any]) -> Any:
    if params["file"]:
        return _File(params["file"])
    return _Url(params["url"], params["timeout"]) if params["url"] else _Programs(params)
