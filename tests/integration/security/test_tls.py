# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every client of ours that speaks HTTPS, against certificates that nobody should believe: no request is sent then."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.zero_downtime.deploy.plugins.module_utils import _doors
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._metrics.prometheus import Prometheus
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.download import download
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import (
    check_health,
    probe_traffic,
    read_pool,
    tell_rollout,
)
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._domain.test_rollout_metrics import RECORD

USER = {"username": "u", "password": "hush-hush"}


def said(use_case, **options):
    found = ArgumentSpecValidator(use_case.ARGUMENT_SPEC, **getattr(use_case, "CONSTRAINTS", {})).validate(options)
    assert not found.error_messages, found.error_messages
    return str(_doors.outcome(use_case.run, found.validated_parameters, False))


def balancer(provider, **more):
    def ask(url, trust):
        entry = {"provider": provider, "url": url, **more, **trust}
        if provider == "traefik":
            entry["metrics_url"] = url
        return said(read_pool, pool="app", balancers=[entry])

    return ask


def traefik(tmp_path):
    (tmp_path / "app.yml").write_text(
        '{"http": {"services": {"app": {"loadBalancer": {"servers": [{"url": "http://192.0.2.1"}]}}}}}'
    )
    return balancer("traefik", file=str(tmp_path / "app.yml"), timeout=1, **USER)


def health(url, trust):
    target = {"name": "t", "url": url, "headers": {"Authorization": "hush-hush"}, **trust}
    return said(check_health, targets=[target], passes=1, deadline=1)


def probe(url, trust):
    spec = ArgumentSpecValidator(probe_traffic.ARGUMENT_SPEC)
    params = spec.validate({"name": "shop", "urls": [url], **trust}).validated_parameters
    return probe_traffic.read_callers(params)[0].call(Clock(), 2, 0.0).why


def notice(kind):
    def ask(url, trust):
        target = {"url": url, **trust}
        return said(
            tell_rollout,
            event="begin",
            record=RECORD,
            on_failure="fail",
            **{kind: [target] if kind == "webhooks" else target},
        )

    return ask


def prometheus(url, trust):
    options = {"url": url, "timeout": 2, **USER, "validate_certs": True, "ca_path": None, "query": "up", **trust}
    try:
        return str(Prometheus(options, "samples", 1).read({"canary": ["m1"], "baseline": ["m2"]}, 0))
    except DeployError as error:
        return error.message


CLIENTS = {
    "apache": balancer("apache", **USER),
    "caddy": balancer("caddy", **USER),
    "haproxy_dataplane": balancer("haproxy_dataplane", **USER),
    "nginx_plus": balancer("nginx_plus", **USER),
    "traefik": traefik,
    "health": health,
    "probe": probe,
    "webhook": notice("webhooks"),
    "grafana": notice("grafana"),
    "pushgateway": notice("pushgateway"),
    "prometheus": prometheus,
}


@pytest.fixture
def client(request, tmp_path):
    return traefik(tmp_path) if request.param == "traefik" else CLIENTS[request.param]


@pytest.mark.parametrize("client", CLIENTS, indirect=True)
def test_who_cannot_prove_who_they_are_is_not_talked_to(client, serve, certificates):
    good, late = serve(certificates.server), serve(certificates.expired)
    trusted = {"ca_path": str(certificates.authority)}
    for server, url, trust, why in (
        (good, f"https://{good.place}/", {}, "certificate"),
        (good, f"https://localhost:{good.server_address[1]}/", trusted, "mismatch"),
        (late, f"https://{late.place}/", trusted, "expired"),
    ):
        told = client(url, trust)
        assert why in told, told
        assert "hush-hush" not in told
        assert server.asked == []
    for trust in (trusted, {"validate_certs": False}):
        told = client(f"https://{good.place}/", trust)
        assert good.asked, told
        good.asked.clear()


def test_a_release_is_not_fetched_from_who_cannot_prove_who_they_are(serve, certificates, tmp_path):
    server = serve(certificates.server)
    with pytest.raises(DeployError, match="could not be fetched.*ertificate"):
        download(
            f"https://{server.place}/app.tar.gz", str(tmp_path / "app"), username="u", password="hush-hush", timeout=5
        )
    assert server.asked == []
    with pytest.raises(DeployError, match="the server answered 400"):
        download(f"https://{server.place}/app.tar.gz", str(tmp_path / "app"), validate_certs=False, timeout=5)
    assert server.asked
