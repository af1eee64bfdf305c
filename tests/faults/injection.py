# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults: how each is brought about, and how it ends."""

from __future__ import annotations

import signal
import socket
import threading
import time
from typing import Any

from .cases import DEATHS, RELEASES, Case
from .controllers import Run
from .ground import NEW, Ground
from .judge import Window
from .proxy import Proxy

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}
HICCUP = 1.0  # seconds
REBOOT = 2.0  # seconds
SLOW_START = 2.0  # seconds
AFTER_RESTART = 1.0  # seconds in which a balancer that has just forgotten everything cannot know better
LONG = 25  # seconds of a download that does not end


class Fault:
    """One fault on the ground.

    :attr windows: in which failures through a balancer are its own.
    :attr lost: the host that is lost, if one is.
    """

    def __init__(self, case: Case, ground: Ground) -> None:
        self.case, self.ground = case, ground
        self.windows: list[Window] = []
        self.threads: list[threading.Thread] = []
        self.name, _dash, self.what = case.fault.partition("-")
        self.lost = self.name if self.name.startswith("app") else ""
        self.proxy = next((proxy for proxy in ground.proxies if proxy.name == self.name), None)
        self.download: socket.socket | None = None

    def variables(self) -> dict[str, Any]:
        """What the playbooks are given for this fault beyond the usual."""
        given: dict[str, Any] = {"rollout_version": RELEASES.get(self.case.fault, NEW)}
        if self.case.fault in RELEASES or self.lost:
            given |= {"rollout_health_deadline": 4, "traffic_health_timeout": 6}
        if self.case.fault in ("dies_at_once", "dies_soon"):
            given |= {"rolling_soak": 3, "blue_green_bake": 4}
        if self.name == "endless":
            given |= {"traffic_drain_timeout": 1.5, "traffic_on_drain_timeout": self.what}
        if self.case.elsewhere:
            given["rollout_lease_ttl"] = 6
        return given

    def prepare(self) -> bool:
        """What is there from the start; False where this machine cannot have it."""
        ground = self.ground
        assert ground.services is not None
        if self.what == "disk":
            return ground.fill_disk(self.lost)
        if self.case.fault == "slow_start":
            ground.services.delays.update(dict.fromkeys(ground.directories, SLOW_START))
        if self.what == "differs":
            ground.before["b2"] |= {"app2": (ground.before["b2"]["app2"][0], 60)}
            if self.case.strategy != "blue_green":
                ground.before["b2"]["app4"] = ("drained", 100)
            self.proxy.set(ground.before["b2"])
        if self.name == "endless":
            self._download()
        return True

    def _download(self) -> None:
        # Somebody who is bound to app1 by the balancer's cookie.
        line = socket.create_connection(("127.0.0.1", self.ground.proxies[0].port))
        line.sendall(f"GET /slow?seconds={LONG} HTTP/1.1\r\nHost: shop\r\nCookie: SRV=app1\r\nConnection: close\r\n\r\n".encode())
        line.recv(1)
        self.download = line

    def happen(self, run: Run) -> None:
        """At its moment: the run stands before the task, or is in the middle of it."""
        name = self.case.fault.removesuffix("-group")
        now = time.time()
        if name in DEATHS:
            run.send(SIGNALS[name], self.case.fault.endswith("-group"))
        elif self.proxy:
            self._balancer(now)
        elif self.what in ("refused", "hangs"):
            self.ground.lose_way(self.lost, "refused" if self.what == "refused" else "hangs 1.5")
        elif self.what in ("power", "reboot"):
            last = [proxy for proxy in self.ground.proxies if proxy.serving() <= {self.lost}]
            self.ground.cut_power(self.lost)
            for proxy in last:
                self._nobody_is_left(proxy, now)
            if self.what == "reboot":
                self._later(REBOOT, lambda: self.ground.power_up(self.lost))

    def _balancer(self, now: float) -> None:
        proxy = self.proxy
        assert proxy is not None
        ended = float("inf")
        if self.what == "down":
            proxy.stop()
        elif self.what == "hung":
            proxy.signal(signal.SIGSTOP)
        elif self.what == "hiccup":
            proxy.signal(signal.SIGSTOP)
            self._later(HICCUP, lambda: proxy.signal(signal.SIGCONT))
            ended = now + HICCUP + AFTER_RESTART
        elif self.what == "restarted":
            proxy.restart()
            proxy.touched = True
            ended = time.time() + AFTER_RESTART
        elif self.what in ("read-only", "unreadable"):
            proxy.lead_to("reader" if self.what == "read-only" else "operator")
            return
        self.windows.append(Window(f"127.0.0.1:{proxy.port}", now, ended))

    def _nobody_is_left(self, proxy: Proxy, now: float) -> None:
        """The host that is lost was the last one in traffic, as `traffic_min_available` allows: until there is one nobody can be served."""
        window = Window(f"127.0.0.1:{proxy.port}", now, float("inf"))
        self.windows.append(window)

        def until_there_is_one() -> None:
            while True:
                time.sleep(0.05)
                try:
                    serving = proxy.serving()
                except (OSError, ValueError, IndexError):
                    return  # it was the last case
                if serving - {self.lost} or (serving and time.time() > now + AFTER_RESTART):
                    window.ended = time.time()
                    return

        threading.Thread(target=until_there_is_one, daemon=True).start()

    def _later(self, seconds: float, what: Any) -> None:
        def wait() -> None:
            time.sleep(seconds)
            what()

        self.threads.append(threading.Thread(target=wait, daemon=True))
        self.threads[-1].start()

    def end(self) -> None:
        """Whatever was broken is mended: balancer, host, disk."""
        for thread in self.threads:
            thread.join()
        if self.download:
            self.download.close()
        if self.lost:
            self.ground.clear_disk(self.lost)
            self.ground.power_up(self.lost)
        if self.proxy:
            if self.proxy.process is None:
                self.proxy.restart()
                self.proxy.touched = True
            self.proxy.signal(signal.SIGCONT)
            self.proxy.lead_to("")
            for window in self.windows:
                window.ended = min(window.ended, time.time() + AFTER_RESTART)
