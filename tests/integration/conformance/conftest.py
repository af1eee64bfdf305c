# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real balancers and real members for the conformance suite.

A provider joins with one file in ``rigs/``, named here.  What it cannot do its capabilities say, and the tests go by them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator

import pytest

from ansible_collections.zero_downtime.deploy.tests.integration.conformance.apps import App
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs import (
    apache,
    aws_target_group,
    caddy,
    command,
    envoy,
    haproxy,
    haproxy_dataplane,
    health_endpoint,
    nginx,
    nginx_plus,
    traefik,
)
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import Maker, Rig, Settings

PROVIDERS = (
    haproxy,
    nginx,
    apache,
    caddy,
    envoy,
    traefik,
    health_endpoint,
    command,
    aws_target_group,
    nginx_plus,
    haproxy_dataplane,
)

# Older versions of a balancer run what reads and writes in that version's own way: these modules, and tests marked
# `each_version`; so do commands, and Traefik without metrics.  The other tests are about what we decide, and run with the newest
# version.  `make test-all` runs all with each.
EACH_VERSION = ("test_reading", "test_pools", "test_haproxy", "test_haproxy_states", "test_haproxy_workers", "test_nginx")

NUMBERS = re.compile(r"-(\d+)\.(\d+)")  # of a version, in a rig's label

# Fixtures for what only one provider has, by name.
OF_ONE = {f"make_{provider.__name__.rpartition('.')[2]}": provider for provider in PROVIDERS}


def pytest_configure(config: pytest.Config) -> None:
    """Explain the marks."""
    config.addinivalue_line(
        "markers", "needs(*names): capabilities without which the test makes no sense; `not_` before a name denies it"
    )
    config.addinivalue_line("markers", "each_version: the test runs with older versions of a balancer too")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test that asks for a balancer runs against every one that is there; none at all is a failure, not a skip."""
    for fixture, providers in (("make_rig", PROVIDERS), *((name, (provider,)) for name, provider in OF_ONE.items())):
        if fixture in metafunc.fixturenames:
            makers = {
                label: maker
                for provider in providers
                for label, maker in _versions(provider.rigs(), metafunc.definition, metafunc.module.__name__)
            }
            if not makers and fixture == "make_rig":
                pytest.fail("No balancer was found. To get them: make deps balancers", pytrace=False)
            # About Ansible, not about versions of a balancer.
            if metafunc.module.__name__.endswith(("test_doors", "test_fencing", "test_canary_analysis")):
                makers = dict(list(makers.items())[:1])
            metafunc.parametrize(fixture, list(makers.values()), ids=list(makers), indirect=True)


def _versions(rigs: dict[str, Maker], test: pytest.Item, module: str) -> Iterable[tuple[str, Maker]]:
    """The rigs of a provider that a test runs with."""
    each = module.rpartition(".")[2] in EACH_VERSION or test.get_closest_marker("each_version")
    if each or os.environ.get("ZD_TESTS") == "all":
        return rigs.items()
    if "make_rig" in test.fixturenames or "rig" in test.fixturenames:
        rigs = {label: maker for label, maker in rigs.items() if not label.startswith("command") and not label.endswith("-unmetered")}
    numbers = {label: NUMBERS.search(label) for label in rigs}
    newest = max((_number(found) for found in numbers.values() if found), default=())
    return [(label, maker) for label, maker in rigs.items() if not (found := numbers[label]) or _number(found) == newest]


def _number(found: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(part) for part in found.groups())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What a balancer cannot do is not skipped: such a test is none for it.  That it says so is tested in test_lacking.py."""
    fitting, others = [], []
    for item in items:
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        maker = next((param for param in params if isinstance(param, Maker)), None)
        needs = [name for mark in item.iter_markers("needs") for name in mark.args]
        (fitting if maker is None or all(maker.can(need) for need in needs) else others).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = fitting


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[dict[str, App]]:
    """Four members' processes, by name."""
    running = {name: App(name) for name in ("m1", "m2", "m3", "m4")}
    for name, app in running.items():
        app.switch = tmp_path / f"{name}.out"
    yield running
    for app in running.values():
        app.stop()


def _maker(request: pytest.FixtureRequest, tmp_path: Path, apps: dict[str, App]) -> Iterator[Callable[..., Rig]]:
    started: list[Rig] = []

    def make(
        members: dict[str, int] | None = None, wait: bool = True, more: dict[str, Any] | None = None, **settings: Any
    ) -> Rig:
        ports = {name: app.port for name, app in apps.items()} if members is None else members
        rig = request.param.make(
            tmp_path / f"balancer{len(started)}", Settings(members=ports, **settings), **(more or {})
        )
        started.append(rig)
        rig.start()
        if wait:
            rig.all_up()
        return rig

    yield make
    for rig in started:
        rig.close()


@pytest.fixture
def make_rig(request: pytest.FixtureRequest, tmp_path: Path, apps: dict[str, App]) -> Iterator[Callable[..., Rig]]:
    """Makes a balancer in front of the apps, with the pool that a test wants."""
    yield from _maker(request, tmp_path, apps)


def _for_one(name: str) -> Any:
    @pytest.fixture(name=name)
    def make(request: pytest.FixtureRequest, tmp_path: Path, apps: dict[str, App]) -> Iterator[Callable[..., Rig]]:
        """The same for what only one provider has; `more`: what its rig takes beside the settings."""
        yield from _maker(request, tmp_path, apps)

    return make


for _name in OF_ONE:
    globals()[_name] = _for_one(_name)


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A balancer with the usual pool, all members up."""
    return make_rig()


@pytest.fixture
def proxy(make_haproxy: Callable[..., Rig]) -> haproxy.HAProxyRig:
    """The same for what only HAProxy has."""
    return make_haproxy()


@pytest.fixture
def engine(make_nginx: Callable[..., Rig]) -> nginx.NginxRig:
    """The same for what only NGINX has."""
    return make_nginx()
