# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what is on this host, as JSON on stdout. Sent to a host over ssh and run there as root; standard library only."""

import glob
import hashlib
import json
import os
import subprocess

KEPT = ("/srv/shop", "/var/lib/zero_downtime")
LEFT_BEHIND = (
    "/home/*/.ansible/tmp/*",
    "/root/.ansible/tmp/*",
    "/tmp/*nsible*",
    "/var/tmp/*nsible*",
    "/srv/shop/.*",
    "/srv/shop/releases/.*",
)


def fingerprint(top):
    """A digest of every path below `top`: kind, content or target, and when it was last written."""
    digest = hashlib.sha256()
    for directory, directories, files in sorted(os.walk(top)):
        for name in sorted(["", *directories, *files]):
            path = os.path.join(directory, name)
            told = os.lstat(path)
            digest.update(repr((path, told.st_mode, told.st_uid, told.st_size, told.st_mtime_ns)).encode())
            if os.path.islink(path):
                digest.update(os.readlink(path).encode())
    return digest.hexdigest()


def link(path):
    """What a link points at, None when there is none."""
    return os.path.basename(os.readlink(path)) if os.path.islink(path) else None


def unit(name):
    """State and main process of a systemd unit."""
    asked = subprocess.run(
        ["systemctl", "show", name, "--property=ActiveState,MainPID"], stdout=subprocess.PIPE, check=True
    )
    told = dict(line.split("=", 1) for line in asked.stdout.decode().split())
    return {"state": told["ActiveState"], "pid": int(told["MainPID"])}


def read(path):
    """A file of JSON, None when there is none."""
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return json.load(file)


print(
    json.dumps(
        {
            "files": {top: fingerprint(top) for top in KEPT if os.path.exists(top)},
            "left_behind": sorted(path for pattern in LEFT_BEHIND for path in glob.glob(pattern)),
            "current": link("/srv/shop/current"),
            "releases": sorted(os.listdir("/srv/shop/releases")) if os.path.isdir("/srv/shop/releases") else [],
            "shop": unit("shop.service"),
            "haproxy": unit("haproxy.service"),
            "lease": read("/var/lib/zero_downtime/shop/lease.json"),
            "journals": [
                read(path)
                for path in sorted(glob.glob("/var/lib/zero_downtime/shop/rollouts/*.json"), key=os.path.getmtime)
            ],
        }
    )
)
