# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop of these tests: the demo's fleet, made quicker, with its states and versions read past the collection."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import fleet
import instance
import pytest
from build_release import build_release

HOSTS = fleet.HOSTS
DEMO = Path(fleet.__file__).resolve().parent
CHECKOUT = DEMO.parents[1]
AS_EVER = ("enabled", 100)
LONGEST = 600.0  # seconds; a playbook that takes longer hangs
RATE = 100.0  # requests a second, of all clients

# For the tests that are worth the time of two runs.
CORES = pytest.mark.parametrize("core", ["core-2.19", "core-2.16"])

# Waits that a test sits out are short; deadlines that it should not meet are not.
QUICK = {
    "rolling_soak": 0.3,
    "rolling_batches": [3],
    "rollout_health_interval": 0.05,
    "rollout_health_passes": 2,
    "rollout_health_deadline": 30,
    "traffic_health_timeout": 30,
    "rollout_accepted_pools": ["shop", "cart"],  # each is the other service's, over the same servers
}

# For the tests in which a batch before or after another one matters.
RAMP = {"rolling_batches": [1, 2]}
# For a release that does not become healthy.
SOON = {"rollout_health_deadline": 4}

ADMIN = {0: "enabled", 1: "disabled", 8: "drained"}  # HAProxy's srv_admin_state, as this collection sets it


def commands(core):
    """Where ansible-playbook of that ansible-core is."""
    here = CHECKOUT / ".venv" / core / "bin"
    if here.is_dir():
        return here
    if core != "core-2.19":
        pytest.skip(f"{core} is not here. To get it: make venv")
    return Path(sys.executable).parent


class Run:
    """One ansible-playbook; begins with its making, in a process group of its own."""

    def __init__(self, line, log, environment, directory):
        self.log = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment,
                cwd=directory,
                start_new_session=True,
            )

    @property
    def output(self):
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait(self):
        """Wait for its end; returns itself."""
        try:
            self.process.wait(LONGEST)
        finally:
            self.send(signal.SIGKILL)
        return self

    def send(self, number):
        """A signal to all of its processes, as a terminal sends it, and wait for the end."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass
        self.process.wait(LONGEST)

    @property
    def code(self):
        """Its exit code."""
        return self.process.returncode

    @property
    def recap(self):
        """The counts by host."""
        lines = re.findall(r"^(\S+) +: (ok=.*)$", self.output.partition("PLAY RECAP")[2], re.MULTILINE)
        return {
            host: {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in lines
        }

    @property
    def changed(self):
        """How many tasks changed something."""
        return sum(counts["changed"] for counts in self.recap.values())

    @property
    def last_words(self):
        """The message of the last task that failed, and was not rescued by a later play."""
        said = re.findall(r"^(?:fatal|failed): .*? => (\{.*\})$", self.output, re.MULTILINE)
        assert said, f"no task failed:\n{self.output}"
        return str(json.loads(said[-1])["msg"])

    def assert_good(self):
        """Exit code 0; returns itself."""
        assert self.code == 0, self.output[-3000:]
        return self

    def assert_bad(self, *words):
        """Another exit code, with these words in the last message; returns itself."""
        assert self.code not in (0, None), self.output[-3000:]
        for each in words:
            assert each in self.last_words, self.output[-3000:]
        return self


class Shop:
    """The fleet, and what is run on it."""

    def __init__(self, work):
        fleet.PATIENCE = LONGEST
        # Quicker checks; and a second pool of the same servers, for a second service.
        fleet.HAPROXY_CONFIG = fleet.HAPROXY_CONFIG.replace("inter 500ms fastinter 200ms", "inter 300ms fastinter 50ms")
        if "backend cart" not in fleet.HAPROXY_CONFIG:
            fleet.HAPROXY_CONFIG += "backend cart\n    balance roundrobin\n{servers}\n"
        self.fleet = fleet.Fleet(work)
        self.top = self.fleet.run
        self.journal = self.top / "journal"
        self.runs = []
        self.pristine = {}

    def begin(self):
        """HAProxy, and 1.0 on every host."""
        self.fleet.prepare()
        for version in ("2.1", "2.0.1"):
            build_release(version, self.top / "releases")
        build_release("3.1", self.top / "releases", "fails 20")
        self.fleet.start_haproxy()
        self.directory, self.bin = self.fleet.work, commands("core-2.19")
        self.play(str(DEMO / "first.yml")).assert_good()
        for host in HOSTS:
            shutil.copytree(self.top / host / "releases", self.top / "first" / host, symlinks=True)
            self.pristine[host] = self.pid(host)

    def end(self):
        """Stop everything."""
        self.end_runs()
        self.fleet.stop()

    def end_runs(self):
        """Stop the playbooks that are still running."""
        while self.runs:
            self.runs.pop().send(signal.SIGKILL)

    def reset(self, directory, bin_directory):
        """1.0 everywhere, all enabled, no journal; hosts that nobody touched are left alone."""
        self.directory, self.bin = directory, bin_directory
        shutil.rmtree(self.journal, ignore_errors=True)
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            list(pool.map(self._first_release, HOSTS))
        for pool in ("shop", "cart"):
            for host in HOSTS:
                self.ask(f"set server {pool}/{host} state ready")
                self.ask(f"set server {pool}/{host} weight 100")
        fleet.until(lambda: set(self.versions().values()) == {"1.0"}, "1.0 does not come up everywhere")
        fleet.until(lambda: self.ask("show stat").count(",UP,") >= 2 * len(HOSTS), "HAProxy does not see all of them")

    def _first_release(self, host):
        place = self.top / host
        if self.pid(host) != self.pristine[host]:
            self.stop(host)
            shutil.rmtree(place)
            place.mkdir()
        shutil.rmtree(place / "shared", ignore_errors=True)
        releases = place / "releases"
        for left in releases.glob("*") if releases.exists() else ():
            if left.name != "1.0":
                shutil.rmtree(left)
        if not releases.exists():
            shutil.copytree(self.top / "first" / host, releases, symlinks=True)
            (place / "current").symlink_to("releases/1.0")
            instance.start(place, str(self.fleet.ports[host]), host)
            self.pristine[host] = self.pid(host)

    def stop(self, host):
        """Kill the instance."""
        if self.pid(host):
            try:
                os.killpg(int(self.pid(host)), signal.SIGKILL)
            except ProcessLookupError:
                pass
        instance.stop(self.top / host)

    def bring_back(self, host):
        """Start again, with the release that it had, an instance that was killed, and wait until HAProxy sends it requests."""
        instance.start(self.top / host, str(self.fleet.ports[host]), host)
        server = f"shop,{host},"
        fleet.until(
            lambda: any(server in row and ",UP," in row for row in self.ask("show stat").splitlines()),
            f"{host} does not come up",
        )

    def ask(self, command):
        """HAProxy's answer to a runtime command."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.connect(str(self.fleet.socket))
            line.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: line.recv(65536), b"")).decode()

    # What is

    def pool(self, name="shop"):
        """State and weight of every member, from HAProxy itself."""
        lines = [line.split() for line in self.ask(f"show servers state {name}").splitlines()[2:] if line]
        return {line[3]: (ADMIN[int(line[6])], int(line[7])) for line in lines}

    def versions(self):
        """What each host answers with."""
        with ThreadPoolExecutor(len(HOSTS)) as pool:
            return dict(zip(HOSTS, pool.map(lambda host: fleet._version(self.fleet.ports[host]), HOSTS)))

    def pid(self, host):
        """The instance's process, as text; empty when there is none."""
        record = self.top / host / "pid"
        return record.read_text() if record.exists() else ""

    def journals(self, service="shop"):
        """Those of a service, oldest first."""
        found = [json.loads(path.read_text()) for path in (self.journal / service / "rollouts").glob("*.json")]
        return sorted(found, key=lambda journal: journal["fence"])

    def lease(self):
        """Whoever holds it, None when nobody does."""
        return json.loads((self.journal / "shop" / "lease.json").read_text())["owner"]

    def all_of_it(self):
        """Everything that a rollout could change: pools, processes, files, journals."""
        digest = hashlib.sha256()
        for top in [*(self.top / host for host in HOSTS), self.journal]:
            for path in sorted(top.rglob("*")):
                # The application's log and the cache of its bytecode are its own.
                if path.name == "log" or not (path.is_symlink() or path.is_file()):
                    continue
                content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
                digest.update(repr(str(path)).encode() + content)
        pids = {host: self.pid(host) for host in HOSTS}
        return {"shop": self.pool(), "cart": self.pool("cart"), "pids": pids, "files": digest.hexdigest()}

    def assert_as_ever(self, versions="1.0", **members):
        """Every host on that version (or by host), every member enabled at weight 100 but for `members`."""
        expected = versions if isinstance(versions, dict) else dict.fromkeys(HOSTS, versions)
        assert self.versions() == {**dict.fromkeys(HOSTS, "1.0"), **expected}
        assert self.pool() == {**dict.fromkeys(HOSTS, AS_EVER), **members}

    # What is done

    def start(self, playbook, *words, config=None, inventory=None, native=False, home=None, **variables):
        """Start a playbook; a variable that is None is not given.

        :param native: with jinja2_native.
        :param home: another controller, as far as it is one by its directories.
        """
        places = {"demo_socket": str(self.fleet.socket), "demo_run": str(self.top), "demo_scripts": str(DEMO)}
        given = {name: value for name, value in {**places, **QUICK, **variables}.items() if value is not None}
        line = [str(self.bin / "ansible-playbook"), playbook, *words, "-e", json.dumps(given)]
        line += ["-i", str(inventory or self.top / "inventory.json")]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment.update(
            PATH=f"{self.bin}:{os.environ['PATH']}",
            ANSIBLE_COLLECTIONS_PATH=os.environ["ANSIBLE_COLLECTIONS_PATH"],
            ANSIBLE_CONFIG=str(config or DEMO / "ansible.cfg"),
            ANSIBLE_HOME=str((home or self.fleet.work) / "ansible"),
            ANSIBLE_LOCAL_TEMP=str((home or self.fleet.work) / "tmp"),
            ANSIBLE_REMOTE_TMP=str((home or self.fleet.work) / "tmp"),
            ANSIBLE_PIPELINING="true",
            ANSIBLE_NOCOLOR="true",
            ANSIBLE_INJECT_FACT_VARS="false",
            ANSIBLE_JINJA2_NATIVE=str(native),
            PYTHONDONTWRITEBYTECODE="1",
        )
        if home is not None:
            environment["HOME"] = str(home)
        log = self.directory / f"run-{len(list(self.directory.glob('run-*')))}.log"
        run = Run(line, log, environment, home or log.parent)
        self.runs.append(run)
        return run

    def play(self, playbook, *words, **variables):
        """Run a playbook to its end."""
        return self.start(playbook, *words, **variables).wait()

    def roll(self, version, *words, hosts="app1:app2:app3", **variables):
        """Run the playbook `rolling`, on half of the fleet unless told otherwise."""
        return self.start_rolling(version, *words, hosts=hosts, **variables).wait()

    def start_rolling(self, version, *words, hosts="app1:app2:app3", **variables):
        """Start the playbook `rolling`."""
        return self.start(
            "zero_downtime.deploy.rolling", *words, rollout_hosts=hosts, rollout_version=version, **variables
        )

    def roll_back(self, *words, hosts="app1:app2:app3", **variables):
        """Run the playbook `rollback`."""
        return self.play("zero_downtime.deploy.rollback", *words, rollout_hosts=hosts, **variables)

    def promote(self, *words, hosts="app1:app2:app3", **variables):
        """Run the playbook `promote`."""
        return self.play("zero_downtime.deploy.promote", *words, rollout_hosts=hosts, **variables)

    @contextmanager
    def under_load(self, rate=RATE, least=500, clients=""):
        """Mixed clients through the balancer while the block runs; yields a dictionary that is their report when it has ended.

        :param rate: at most so many requests a second.
        :param least: at least so many requests.
        :param clients: of which kinds, as the load's option takes them.
        """
        name = f"{self.directory.name}-{len(list(self.directory.glob('run-*')))}"
        report = {}
        began = time.time()
        self.fleet.start_load(name, least, LONGEST, rate, clients)
        try:
            fleet.until(self.fleet.load_files[0]["samples"].exists, "the load does not begin")
            yield report
        finally:
            report.update(self.fleet.finish_load((began, time.time()))[0])


class Notes:
    """Words that tasks wrote down, in the order in which they did."""

    def __init__(self, path):
        self.path = path

    def task(self, words):
        """A task that writes words and the host's name; one write, so that hosts do not mix."""
        return {"name": "Note", "ansible.builtin.shell": f"echo '{words} {{{{ inventory_hostname }}}}' >> {self.path}"}

    def read(self):
        """All lines."""
        return self.path.read_text().splitlines() if self.path.exists() else []

    def clear(self):
        """Begin anew."""
        self.path.unlink(missing_ok=True)


class Hold:
    """Holds a rollout where app2 is drained, until told to let go."""

    def __init__(self, hooks, directory):
        self.hooks, self.come, self.go = hooks, directory / "come", directory / "go"

    def __call__(self, phase="after_drain"):
        """Hooks that hold in that phase."""
        wait = f"touch {self.come}; until test -e {self.go}; do sleep 0.05; done"
        task = {"name": "Hold app2", "ansible.builtin.shell": wait, "when": "inventory_hostname == 'app2'"}
        return self.hooks(**{phase: [task]})

    def until(self, run):
        """Wait until `run` has come there."""

        def there():
            assert self.come.exists() or run.process.poll() is None, f"it ended before it came to app2:\n{run.output}"
            return self.come.exists()

        fleet.until(there, f"it does not come to app2, see {run.log}")

    def let_go(self):
        """Go on, and hold no more."""
        self.go.touch()


def record(directory, outcome):
    """The record of the only rollout with a report there which ended so."""
    records = [json.loads(path.read_text()) for path in directory.glob("*.json")]
    (told,) = (told for told in records if told["outcome"] == outcome)
    return told


def phases(told, host):
    """What a host went through, by its record."""
    return [phase["phase"] for phase in told["phases"] if phase["host"] == host]


def fails(host):
    """A task that fails on one host."""
    return {
        "name": "Say no",
        "ansible.builtin.fail": {"msg": "no, not here"},
        "when": f"inventory_hostname == '{host}'",
    }
