# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base: a small Debian on which every host of the lab is an overlay. Built once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from .machine import LabError, mounts_under, remove_tree, run, unmount_under

PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "iproute2", "haproxy", "gunicorn", "sudo",
    "ca-certificates",
)
DEFAULT_SUITE = "bookworm"
# Nothing of this helps a test host, and each costs time at the boot of eight of them on two cores.
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "getty@tty1.service", "console-getty.service", "systemd-pstore.service", "systemd-logind.service",
    "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-networkd-wait-online.service",
    "ldconfig.service", "systemd-journal-flush.service", "systemd-journal-catalog-update.service",
)
USERS = """\
set -e
groupadd --gid 990 shop
useradd --system --uid 990 --gid 990 --home-dir /nonexistent --shell /usr/sbin/nologin shop
useradd --uid 1000 --create-home --shell /bin/bash --password '*' deploy
printf 'deploy ALL=(ALL) NOPASSWD:ALL\\n' > /etc/sudoers.d/deploy
chmod 0440 /etc/sudoers.d/deploy
rm -f /etc/systemd/system/multi-user.target.wants/haproxy.service /etc/resolv.conf
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
"""


def mirror_and_keyring(suite: str) -> tuple[str, str]:
    """The mirror that this machine's own apt uses for `suite`, and the key that signs it where apt names one.

    An empty mirror is debootstrap's own choice.
    """
    chosen = os.environ.get("ZD_LAB_MIRROR")
    if chosen:
        return chosen, ""
    asked = run("apt-get", "indextargets", "--format", "$(RELEASE)\t$(COMPONENT)\t$(REPO_URI)\t$(SIGNED_BY)",
                "Created-By: Packages", check=False)
    for line in asked.stdout.splitlines():
        release, component, uri, signed_by = (line.split("\t") + [""] * 4)[:4]
        if (release, component) == (suite, "main") and uri.startswith(("http://", "https://", "file:")):
            return uri.rstrip("/"), signed_by if signed_by.startswith("/") else ""
    return "", ""


def apt_environment(scratch: Path) -> dict[str, str]:
    """The proxies and the CA bundle that apt is told to use, in the words of debootstrap's downloader (wget)."""
    environment = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    asked = run("apt-config", "shell", "http_proxy", "Acquire::http::Proxy", "https_proxy", "Acquire::https::Proxy",
                "ca", "Acquire::https::CAInfo", check=False)
    settings = dict(line.split("=", 1) for line in asked.stdout.splitlines() if "=" in line)
    for name in ("http_proxy", "https_proxy"):
        value = settings.get(name, "").strip("'")
        if value and value != "DIRECT":
            environment[name] = value
    bundle = settings.get("ca", "").strip("'") or os.environ.get("SSL_CERT_FILE", "")
    if bundle and "WGETRC" not in environment:
        wgetrc = scratch / "wgetrc"
        wgetrc.write_text(f"ca_certificate = {bundle}\n", encoding="utf-8")
        environment["WGETRC"] = str(wgetrc)
    return environment


def _recipe(suite: str) -> str:
    parts = json.dumps([suite, PACKAGES, MASKED, USERS])
    return hashlib.sha256(parts.encode()).hexdigest()


def ensure_base(lab: Path, say=print) -> Path:
    """Build the base when it is missing or was built by another recipe; return its directory.

    :raises LabError: debootstrap failed; its log is named. Nothing half-built is left.
    """
    # Whoever comes while it is being built waits, and finds it built.
    with open(lab / "base.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _ensure_base(lab, say)


def _ensure_base(lab: Path, say) -> Path:
    suite = os.environ.get("ZD_LAB_SUITE", DEFAULT_SUITE)
    base, built, stamp = lab / "base", lab / "base.new", lab / "base.json"
    recipe = _recipe(suite)
    if base.is_dir() and stamp.exists() and json.loads(stamp.read_text(encoding="utf-8"))["recipe"] == recipe:
        return base
    if mounts_under(lab / "hosts"):
        raise LabError("the base must be built anew, but hosts run on the old one: `lab.py down` first")
    mirror, keyring = mirror_and_keyring(suite)
    say(f"building the base once: {suite} from {mirror or 'the usual mirror'} (a minute or two)")
    started = time.monotonic()
    remove_tree(built)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--keyring={keyring}"] if keyring else []
    try:
        _debootstrap([*command, suite, str(built), *filter(None, [mirror])], lab)
        run("chroot", built, "sh", "-c", USERS)
        for unit in MASKED:
            (built / "etc/systemd/system" / unit).unlink(missing_ok=True)
            (built / "etc/systemd/system" / unit).symlink_to("/dev/null")
        for unit in ("systemd-networkd.service",):
            wants = built / "etc/systemd/system/multi-user.target.wants" / unit
            wants.symlink_to(f"/lib/systemd/system/{unit}")
        unmount_under(built)
        stamp.unlink(missing_ok=True)
        remove_tree(base)
        built.rename(base)
        stamp.write_text(json.dumps({"recipe": recipe, "mirror": mirror, "suite": suite}) + "\n", encoding="utf-8")
    finally:
        remove_tree(built)
    say(f"base built in {time.monotonic() - started:.0f} s")
    return base


def _debootstrap(command: list[str], lab: Path) -> None:
    """Run debootstrap in a session of its own, so that an interruption ends all of it."""
    log = lab / "debootstrap.log"
    with open(log, "wb") as out:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                              env=apt_environment(lab)) as process:
            try:
                code = process.wait()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
    if code:
        tail = "\n  ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
        raise LabError(f"debootstrap ended with {code}; see {log}. Its last words:\n  {tail}\n"
                       "ZD_LAB_MIRROR names another mirror.")
