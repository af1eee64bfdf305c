# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real etcd of one member on loopback, and its keys past the collection."""

from __future__ import annotations

import base64
import json
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports


CHECKOUT = Path(__file__).resolve().parents[3]
PATIENCE = 60.0  # seconds for what takes a fraction of one


def find() -> tuple[str | None, str]:
    """Debian's etcd, unpacked and not installed; None, and why, where it cannot be had."""
    script = CHECKOUT / "scripts" / "debian-program"
    done = subprocess.run([script, "etcd-server"], capture_output=True, text=True, check=False)
    return (None, done.stderr.strip()) if done.returncode else (done.stdout.strip(), "")


class EtcdServer:
    """One etcd in a directory of its own; started when made.

    :param options: more of its options; with ``--cert-file`` it speaks TLS.
    :ivar context: for `ask` over TLS.
    """

    def __init__(self, binary: str, directory: Path, *options: str) -> None:
        self.context: ssl.SSLContext | None = None
        self.port, peer_port = free_ports(2)
        scheme = "https" if any(option.startswith("--cert-file") for option in options) else "http"
        self.url, peer_url = f"{scheme}://127.0.0.1:{self.port}", f"http://127.0.0.1:{peer_port}"
        self._line = [
            binary, "--data-dir", str(directory / "data"),
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
            "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url, "--initial-cluster", f"default={peer_url}",
            # Nobody else votes, so nobody has to be waited for.
            "--heartbeat-interval", "20", "--election-timeout", "200", *options,
        ]  # fmt: skip
        self._log = directory / "etcd.log"
        self.start()

    def start(self) -> None:
        """Start it, also again on the same data; returns once it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._line, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while b"ready to serve client requests" not in self._log.read_bytes():
            assert self.process.poll() is None and time.monotonic() < end, self._log.read_text(errors="replace")[-3000:]
            time.sleep(0.02)

    def hang(self) -> None:
        """Take connections and answer nothing from now on."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End :meth:`hang`."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it, as a crash would."""
        self.process.kill()
        self.process.wait()
        # The next start is recognised by words of its own.
        self._log.write_bytes(b"")

    def ask(self, what: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
        """Its answer to a request of its v3 API."""
        request = urllib.request.Request(f"{self.url}/v3/{what}", json.dumps(body).encode(), {"Authorization": token} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=self.context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{what}: {error.code} {error.read().decode(errors='replace')}") from error

    def keys(self, prefix: str, token: str = "") -> dict[str, bytes]:
        """All keys that begin with `prefix`, which they are told without, and their values."""
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        answer = self.ask("kv/range", {"key": encoded(prefix), "range_end": encoded(last)}, token)
        return {
            base64.b64decode(pair["key"]).decode()[len(prefix):]: base64.b64decode(pair.get("value", ""))
            for pair in answer.get("kvs", [])
        }

    def put(self, key: str, value: bytes, token: str = "") -> None:
        """Write one key."""
        self.ask("kv/put", {"key": encoded(key), "value": base64.b64encode(value).decode()}, token)

    def delete(self, key: str) -> None:
        """Remove one key."""
        self.ask("kv/deleterange", {"key": encoded(key)})

    def pass_time(self, lease: str, seconds: int, token: str = "") -> None:
        """Make a lease of etcd's own as if so much time had passed."""
        left = int(self.ask("lease/timetolive", {"ID": lease}, token).get("TTL", 0))
        if left < 0:
            return
        self.ask("lease/revoke", {"ID": lease}, token)
        # It tells whole seconds, rounded down.
        if left + 1 > seconds:
            self.ask("lease/grant", {"ID": lease, "TTL": str(left + 1 - seconds)}, token)

    def protect(self, prefix: str, user: str, password: str, permission: str = "READWRITE") -> None:
        """Enable authentication, with a user who may do that below `prefix`; root's password is ``root``."""
        for name, word in (("root", "root"), (user, password)):
            self.ask("auth/user/add", {"name": name, "password": word})
            self.ask("auth/role/add", {"name": name})
            self.ask("auth/user/grant", {"user": name, "role": name})
        self.permit(prefix, user, permission)
        self.ask("auth/enable", {})

    def permit(self, prefix: str, user: str, permission: str, token: str = "") -> None:
        """Let a user do that below `prefix`: ``READ`` or ``READWRITE``."""
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        right = {"permType": permission, "key": encoded(prefix), "range_end": encoded(last)}
        self.ask("auth/role/grant", {"name": user, "perm": right}, token)


def encoded(text: str) -> str:
    """A key as the API takes it."""
    return base64.b64encode(text.encode()).decode()
