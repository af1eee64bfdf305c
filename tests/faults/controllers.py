# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controllers: machines from which playbooks are run, as far as each has a home, a checkout and a host name of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .ground import BLUE, HOSTS, Ground
from .places import CHECKOUT, HERE

LONGEST = 600.0  # seconds; a playbook that takes longer hangs
COLLECTION = ("ansible_collections", "zero_downtime", "deploy")
PUBLISHED = ("galaxy.yml", "meta", "playbooks", "plugins", "roles")
COMMAND = Path(sys.executable).parent / "ansible-playbook"


class Run:
    """One ansible-playbook; begins with its making, in a process group of its own."""

    def __init__(self, line: list[str], directory: Path, environment: dict[str, str], name: str, logs: Path) -> None:
        self.log, self.trace, self.go = logs / f"{name}.log", logs / f"{name}.trace", logs / f"{name}.go"
        self.began = time.time()
        environment = {**environment, "FAULTS_TRACE": str(self.trace), "FAULTS_GO": str(self.go)}
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, cwd=directory, start_new_session=True
            )  # fmt: skip

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def steps(self) -> list[dict[str, Any]]:
        """The tasks that have begun, in order."""
        if not self.trace.exists():
            return []
        return [json.loads(line) for line in self.trace.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def reach(self, number: int) -> bool:
        """Wait until it stands before that task; False when it has ended before."""
        deadline = time.monotonic() + LONGEST
        while len(self.steps()) <= number:
            if self.process.poll() is not None:
                return len(self.steps()) > number
            if time.monotonic() > deadline:
                raise TimeoutError(f"task {number} was not reached within {LONGEST:g} s, see {self.log}")
            time.sleep(0.01)
        return True

    def let_go(self) -> None:
        """Hold no more."""
        self.go.touch()

    def send(self, number: int, all_of_it: bool) -> None:
        """A signal to the main process, or to the whole group as a terminal sends it."""
        try:
            (os.killpg if all_of_it else os.kill)(self.process.pid, number)
        except ProcessLookupError:
            pass

    def wait(self) -> int:
        """Wait for its end; the exit code, None when it had to be killed."""
        try:
            return self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self.end()
            return -1000

    def end(self) -> None:
        """End it, whatever it does."""
        self.send(signal.SIGKILL, all_of_it=True)
        self.process.wait()

    @property
    def changed(self) -> int:
        """How many tasks changed something."""
        words = self.output.partition("PLAY RECAP")[2].split()
        return sum(int(word.partition("=")[2]) for word in words if word.startswith("changed="))


class Controller:
    """A machine with Ansible.

    :param place: its home, and whatever else it keeps.
    :param host_name: its own, where this machine lets a process have one; else it is this machine's.
    :param own_checkout: with a copy of the collection of its own.
    """

    def __init__(self, ground: Ground, place: Path, host_name: str = "", own_checkout: bool = False) -> None:
        self.ground, self.place, self.host_name = ground, place, host_name
        for name in ("home", "cwd", "tmp"):
            (place / name).mkdir(parents=True)
        (place / "ansible.cfg").touch()
        link = place.joinpath("collections", *COLLECTION)
        link.parent.mkdir(parents=True)
        if own_checkout:
            link.mkdir()
            for name in PUBLISHED:
                source = CHECKOUT / name
                shutil.copytree(source, link / name) if source.is_dir() else shutil.copy(source, link / name)
        else:
            link.symlink_to(CHECKOUT)
        self._count = 0

    def lose(self) -> None:
        """The machine is gone, with all that it kept."""
        shutil.rmtree(self.place, ignore_errors=True)

    def start(self, playbook: str, logs: Path, marker: str, hold: int = -1, **variables: Any) -> Run:
        """Start a playbook.

        :param marker: what the environment of all of its processes says, so that they can be found.
        :param hold: before which task it stops until it is let go.
        """
        self._count += 1
        inventory = self.place / "inventory.json"
        inventory.write_text(json.dumps(self._inventory(), indent=2))
        line = [str(COMMAND), f"zero_downtime.deploy.{playbook}", "-i", str(inventory), "-e", json.dumps(variables)]
        if self.host_name:
            line = ["unshare", "--uts", "sh", "-c", f'hostname {self.host_name} && exec "$@"', "sh", *line]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "FAULTS_"))}
        environment.update(
            PATH=f"{COMMAND.parent}:{os.environ['PATH']}",
            HOME=str(self.place / "home"),
            ANSIBLE_COLLECTIONS_PATH=str(self.place / "collections"),
            ANSIBLE_HOME=str(self.place / "home" / "ansible"),
            ANSIBLE_LOCAL_TEMP=str(self.place / "tmp"),
            ANSIBLE_CONFIG=str(self.place / "ansible.cfg"),
            ANSIBLE_FORKS="10",
            ANSIBLE_REMOTE_TMP=str(self.ground.work / "tmp"),
            ANSIBLE_CALLBACK_PLUGINS=str(HERE / "callback"),
            ANSIBLE_CALLBACKS_ENABLED="boundaries",
            ANSIBLE_CONNECTION_PLUGINS=str(HERE / "connection"),
            ANSIBLE_PIPELINING="true",
            ANSIBLE_NOCOLOR="true",
            ANSIBLE_INJECT_FACT_VARS="false",
            ANSIBLE_LOCALHOST_WARNING="false",
            PYTHONDONTWRITEBYTECODE="1",
            # Where the locks and the records of keepers are.
            TMPDIR=str(self.ground.locks),
            FAULTS_HOLD=str(hold),
            FAULTS_NETWORK=str(self.ground.network),
            FAULTS_CASE=f"{self.ground.mark}/{marker}",
        )
        name = f"{playbook}-{len(list(logs.glob('*.log')))}"
        return Run(line, self.place / "cwd", environment, name, logs)

    def _inventory(self) -> dict[str, Any]:
        ground = self.ground
        hosts = {
            host: {
                "shop_directory": str(ground.directories[host]),
                "shop_port": ground.ports[host],
                "blue_green_color": "blue" if host in BLUE else "green",
            }
            for host in HOSTS
        }
        services = ground.services
        assert services is not None
        here = {"ansible_connection": "breakable", "ansible_python_interpreter": sys.executable}
        shop = {
            "rollout_service": "shop",
            "rollout_balancers": [
                {"name": proxy.name, "provider": "haproxy", "socket": str(proxy.link), "timeout": 2} for proxy in ground.proxies
            ],
            "rollout_health": {"url": "http://127.0.0.1:{{ shop_port }}/health", "version": "$.version"},
            "rollout_health_interval": 0.05,
            "rollout_health_passes": 2,
            "rollout_health_deadline": 20,
            "traffic_health_timeout": 20,
            "traffic_drain_timeout": 20,
            "traffic_min_available": "25%",
            "rollout_journal_host": "app1",
            "rollout_journal_path": str(ground.journal),
            "release_path": "{{ shop_directory }}",
            "release_source": str(ground.work / "releases") + "/shop-{{ release_version }}.tar.gz",
            "release_restart_command": [
                sys.executable, "-S", str(HERE / "services.py"), str(services.path), "{{ inventory_hostname }}",
            ],
            "rolling_batches": [1, 3],
            "rolling_soak": 0,
            "blue_green_bake": 0.3,
            "canary_steps": [{"traffic": 25, "watch": 1}],
            "canary_interval": 0.25,
            # With a balancer that hangs the judge cannot tell, and nobody is there to ask.
            "canary_inconclusive": "undo",
            "canary_metrics": [
                # Quick to be content: what the judge is worth is tried elsewhere.
                {
                    "name": "errors", "kind": "errors", "source": {"balancers": True}, "allowed_increase": "500%", "tolerated": 0.3,
                    "minimum": 12,
                }
            ],
        }  # fmt: skip
        balancers = {f"l{proxy.name}": here for proxy in ground.proxies}
        return {"shop": {"hosts": hosts, "vars": {**shop, **here}}, "balancers": {"hosts": balancers}}
