# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop: a small WSGI application that is deployed by the scenarios and the demo, good or broken at will.

Beside this file, in the release's own directory, lie ``VERSION`` (one line) and perhaps ``FAULT`` (one line):

``no_start``        fails at import; gunicorn gives up
``error_500``       starts, and answers 500 to everything
``wrong_version``   starts, and says another version than ``VERSION``
``dies_after N``    is healthy, then all its processes are killed N seconds after its start
``hangs``           accepts requests and never answers
``fails N``         is healthy, and answers 500 to N percent of the requests, evenly spread

Environment: ``SHOP_MEMBER`` (the name it answers with; the host's by default), ``SHOP_DEATH_LOG`` (the file to which
``dies_after`` appends the moment of death, in seconds since the epoch).
Run: ``gunicorn --worker-class gthread --threads 16 --bind ADDRESS:PORT --chdir RELEASE shop:application``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import parse_qs

RELEASE = Path(__file__).resolve().parent
SWITCH = os.environ.get("SHOP_SWITCH", "")
MEMBER = os.environ.get("SHOP_MEMBER") or socket.gethostname()
PAGE_BYTES = 2048
MAX_ORDER_BYTES = 1024 * 1024
MAX_SLOW_SECONDS = 30.0
WRONG_VERSION = "0.0.0-wrong"
FAULTS = ("no_start", "error_500", "wrong_version", "dies_after", "hangs", "fails")

Environ = dict
StartResponse = Callable[[str, list], object]


def _read_line(name: str) -> str:
    path = RELEASE / name
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _page(version: str, member: str) -> bytes:
    """A page of PAGE_BYTES that differs by version and member, so that a mix-up shows in its digest."""
    line = f"shop {version} on {member}\n".encode()
    return (line * (PAGE_BYTES // len(line) + 1))[:PAGE_BYTES]


def _die_later(seconds: float) -> None:
    """Kill this service's whole process group `seconds` from now, as the kernel's OOM killer would: no goodbye."""
    group = os.getpgid(0)
    if group not in (os.getpid(), os.getppid()):
        # Whoever started us shares the group: it would die with us.
        raise RuntimeError("dies_after needs a process group of its own: start gunicorn in a new session")

    def die() -> None:
        time.sleep(seconds)
        log = os.environ.get("SHOP_DEATH_LOG")
        if log:
            # One write, so that the moment is whole or absent; and last, so that it is close to the death.
            with open(log, "ab", buffering=0) as out:
                out.write(f"{time.time():.6f}\n".encode())
        os.killpg(group, signal.SIGKILL)

    threading.Thread(target=die, name="dies-after", daemon=True).start()


def _load() -> tuple[str, str, float]:
    """Version and fault of this release, and how many percent of its requests fail; begins the fault when it begins at the start."""
    version = _read_line("VERSION")
    if not version:
        raise RuntimeError(f"no version in {RELEASE / 'VERSION'}")
    fault, _space, argument = _read_line("FAULT").partition(" ")
    if fault and fault not in FAULTS:
        raise RuntimeError(f"unknown fault {fault!r} in {RELEASE / 'FAULT'}; known: {', '.join(FAULTS)}")
    if fault == "no_start":
        raise RuntimeError("this release does not start (FAULT no_start)")
    if fault == "wrong_version":
        version = WRONG_VERSION
    if fault == "dies_after":
        _die_later(float(argument))
    return version, fault, float(argument) if fault == "fails" else 0.0


VERSION, FAULT, FAILING = _load()
SERVED = itertools.count(1)
PAGE = _page(VERSION, MEMBER)
PAGE_DIGEST = _digest(PAGE)
NEVER = threading.Event()


def _headers(body: bytes, digest: str, kind: str = "text/plain; charset=utf-8") -> list:
    return [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("X-Digest", digest),
        ("X-Version", VERSION),
        ("X-Member", MEMBER),
        ("Cache-Control", "no-store"),
    ]


def _json(start_response: StartResponse, status: str, answer: dict) -> Iterable[bytes]:
    body = json.dumps(answer).encode() + b"\n"
    start_response(status, _headers(body, _digest(body), "application/json"))
    return [body]


def _slow(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Half a page, a pause, the other half."""
    try:
        seconds = float(parse_qs(environ.get("QUERY_STRING", "")).get("seconds", ["2"])[0])
    except ValueError:
        return _json(start_response, "400 Bad Request", {"error": "seconds must be a number"})
    if not 0 <= seconds <= MAX_SLOW_SECONDS:
        return _json(start_response, "400 Bad Request", {"error": f"seconds must be 0 to {MAX_SLOW_SECONDS:g}"})
    start_response("200 OK", _headers(PAGE, PAGE_DIGEST))

    def halves() -> Iterable[bytes]:
        yield PAGE[: PAGE_BYTES // 2]
        time.sleep(seconds)
        yield PAGE[PAGE_BYTES // 2:]

    return halves()


def _order(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What was received, by length and digest. Nothing is kept."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > MAX_ORDER_BYTES:
        return _json(start_response, "413 Content Too Large", {"error": f"at most {MAX_ORDER_BYTES} bytes"})
    body = environ["wsgi.input"].read(length)
    answer = {"length": len(body), "digest": _digest(body), "version": VERSION, "member": MEMBER}
    return _json(start_response, "201 Created", answer)


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI entry."""
    if FAULT == "hangs":
        NEVER.wait()
    if FAULT == "error_500":
        return _json(start_response, "500 Internal Server Error", {"status": "error", "version": VERSION})
    asked = (environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/"))
    if FAILING and asked[1] not in ("/health", "/ready"):
        number = next(SERVED)
        if number * FAILING // 100 > (number - 1) * FAILING // 100:
            return _json(start_response, "500 Internal Server Error", {"status": "error", "version": VERSION})
    if asked == ("GET", "/"):
        start_response("200 OK", _headers(PAGE, PAGE_DIGEST))
        return [PAGE]
    if asked == ("POST", "/orders"):
        return _order(environ, start_response)
    if asked == ("GET", "/health"):
        return _json(start_response, "200 OK", {"status": "ok", "version": VERSION, "member": MEMBER})
    if asked == ("GET", "/ready"):  # for the balancer: while the switch is set the instance is well, and wants no traffic
        out = bool(SWITCH) and os.path.exists(SWITCH)
        return _json(start_response, "503 Service Unavailable" if out else "200 OK", {"out": out, "version": VERSION})
    if asked == ("GET", "/slow"):
        return _slow(environ, start_response)
    return _json(start_response, "404 Not Found", {"error": "no such page"})
