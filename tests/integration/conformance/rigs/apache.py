# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Apache httpds, of every version that this machine has."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.apache import Apache
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    OTHER_POOL,
    POOL,
    Maker,
    Rig,
    Server,
    Settings,
    until,
)
from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

# Some are compiled in, which differs between distributions.
MODULES = (
    "mpm_event unixd watchdog authn_core authn_file auth_basic authz_core authz_host authz_user headers env ssl slotmem_shm"
    " proxy proxy_http proxy_balancer proxy_hcheck lbmethod_byrequests"
).split()


def rigs() -> dict[str, Maker]:
    """What the suite runs against: label to maker."""
    can = PROVIDERS["apache"].capabilities
    return {
        f"apache-{label}": Maker(partial(ApacheRig, path), can, standby=True) for label, path in found("apache").items()
    }


class ApacheRig(Rig):
    """Apache with a balancer-manager that may do everything, and one that may look alone.

    :param member_options: more words for a member's line, instead of those of its check.
    :param extra: more lines for the configuration.
    :param balancer_options: more words for the balancer's `ProxySet`.
    :param without: modules that are not loaded.
    :param modules: modules that are loaded beside the usual ones.
    :param one_pass: whether one pass may bring a member up.
    """

    refusal = "Apache answered 403 to a POST"

    def __init__(
        self,
        binary: str,
        directory: Path,
        settings: Settings,
        member_options: dict[str, str] | None = None,
        extra: str = "",
        balancer_options: str = "",
        without: tuple[str, ...] = (),
        one_pass: bool = False,
        modules: tuple[str, ...] = (),
    ) -> None:
        super().__init__(directory, settings)
        directory.mkdir(parents=True, exist_ok=True)
        self.binary, self.member_options = binary, member_options or {}
        self.extra, self.balancer_options = extra, balancer_options
        self.without, self.one_pass, self.modules = without, one_pass, modules
        self.port, self.other_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}/balancer-manager"
        self.server = Server(directory / "error.log")

    def start(self) -> None:
        (self.directory / "httpd.conf").write_text(self.configuration(), encoding="utf-8")
        self.server.start([*self.command, "-D", "FOREGROUND"], self._answers)

    @property
    def command(self) -> list[str]:
        """Without the word for what it is to do."""
        return [self.binary, "-f", str(self.directory / "httpd.conf")]

    def reload(self) -> None:
        """Let it read its configuration anew, requests under way being served to their end."""
        (self.directory / "httpd.conf").write_text(self.configuration(), encoding="utf-8")
        before = self._processes()
        subprocess.run([*self.command, "-k", "graceful"], check=True, timeout=60)
        until("its processes are others", self._processes, lambda now: now and not now & before)

    def _processes(self) -> set[str]:
        """Those that serve."""
        parent = self.server.process.pid
        return set(Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split())

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                return b"Load Balancer Manager" in answer.read()
        except OSError:
            return False

    def stop(self) -> None:
        self.server.stop()
        (self.directory / "httpd.pid").unlink(missing_ok=True)

    def close(self) -> None:
        self.stop()

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    def entry(self, **more: Any) -> dict[str, Any]:
        return {"provider": "apache", "url": self.url, **more}

    def read_only_entry(self, **more: Any) -> dict[str, Any]:
        return {"provider": "apache", "url": f"http://127.0.0.1:{self.port}/balancer-view", **more}

    def missing_entry(self, **more: Any) -> dict[str, Any]:
        return {"provider": "apache", "url": "http://127.0.0.1:1/nothing", **more}

    def driver(self) -> Apache:
        """The driver, as what it is."""
        return self.balancer()

    def check_passed(self, member: Member) -> bool:
        return "Ok" in member.last_check

    def check_failed(self, member: Member) -> bool:
        return "HcFl" in member.last_check

    def configuration(self) -> str:
        """The file."""
        settings, directory = self.settings, self.directory
        root = Path(self.binary).resolve().parents[1]
        modules = next(path for path in (root / "lib/apache2/modules", root / "lib64/httpd/modules") if path.exists())
        load = "\n".join(
            f"LoadModule {name}_module {modules}/mod_{name}.so"
            for name in (*MODULES, *self.modules)
            if name not in self.without and (modules / f"mod_{name}.so").exists()
        )
        # With one pass, a check that was under way would do: see the driver.
        passes = settings.rise if self.one_pass else max(2, settings.rise)
        check = (
            f"hcmethod=GET hcuri=/health hcinterval={settings.interval * 1000:.0f}ms hcpasses={passes} hcfails={settings.fall}"
            if settings.checked
            else ""
        )
        # `retry=0`: whoever failed a request is not kept out for a minute; the check decides.
        members = "\n".join(
            f"    BalancerMember http://127.0.0.1:{port} route={name} loadfactor=100 retry=0 {self.member_options.get(name, check)}"
            f"{' status=+H' if name in settings.standby else ''}"
            for name, port in settings.members.items()
        )
        others = "\n".join(
            f"    BalancerMember http://127.0.0.1:{port} route={name} loadfactor=100 retry=0 {check}"
            for name, port in settings.other.items()
        )
        proxied = f'ProxyPass "/" "balancer://{POOL}/"'
        # Both balancers are the main server's, so that the balancer-manager shows them. Clients come by virtual hosts, which inherit them:
        # a `ProxyPass` of the main server is tried before any of a virtual host.
        other_pool = f"""
<Proxy "balancer://{OTHER_POOL}">
{others}
    ProxySet lbmethod=byrequests stickysession=ROUTEID
</Proxy>
Listen 127.0.0.1:{self.other_port}
<VirtualHost 127.0.0.1:{self.port}>
    {proxied}
</VirtualHost>
<VirtualHost 127.0.0.1:{self.other_port}>
    ProxyPass "/" "balancer://{OTHER_POOL}/"
</VirtualHost>"""
        # Files and not semaphores, which outlive a killed process. Root gives its rights away, others keep theirs.
        owner = "User www-data\nGroup www-data" if os.getuid() == 0 else ""
        return f"""
ServerRoot {directory}
PidFile {directory}/httpd.pid
DefaultRuntimeDir {directory}
Mutex file:{directory} default
ErrorLog {directory}/error.log
LogLevel warn
ServerName lb.test
{owner}
{load}
Listen 127.0.0.1:{self.port}
# Enough from the start: where every worker is busy, a child closes the clients' kept connections.
StartServers 4
ServerLimit 8
ThreadsPerChild 32
MaxRequestWorkers 256
# Fewer than there are from the start: a child that is forked for spare between our look at the processes and a graceful restart
# would be taken for one of the new generation.
MinSpareThreads 32
MaxSpareThreads 256
MaxKeepAliveRequests 0
ProxyRequests Off
Header add Set-Cookie "ROUTEID=.%{{BALANCER_WORKER_ROUTE}}e; path=/" env=BALANCER_ROUTE_CHANGED
<Proxy "balancer://{POOL}">
{members}
    ProxySet lbmethod=byrequests stickysession=ROUTEID {"" if settings.forgiving else "maxattempts=0"} {self.balancer_options}
</Proxy>
ProxyPass "/balancer-manager" "!"
ProxyPass "/balancer-view" "!"
{other_pool if settings.other else proxied}
<Location "/balancer-manager">
    SetHandler balancer-manager
    Require local
</Location>
<Location "/balancer-view">
    SetHandler balancer-manager
    <LimitExcept GET>
        Require all denied
    </LimitExcept>
</Location>
{self.extra}
"""
