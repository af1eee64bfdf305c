# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zero_downtime.deploy.canary_analysis by the counters of two real HAProxies on two inventory hosts, under load."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Load
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.test_doors import Site

METRIC = {
    "name": "errors",
    "kind": "errors",
    "source": {"balancers": True},
    "allowed_increase": "50%",
    "tolerated": 0.01,
    "minimum": 50,
}


@pytest.fixture
def site(make_haproxy, tmp_path):
    return Site(tmp_path, make_haproxy(), make_haproxy())


def analysis(site, **more):
    options = {"groups": {"canary": ["m1"], "baseline": ["m2"]}, "metrics": [METRIC], "balancers": site.entries(), "pool": "app"}
    return {"zero_downtime.deploy.canary_analysis": {**options, "interval": 1, "on_failure": "report", **more}}


def test_a_canary_that_closes_its_connections_is_found_and_one_that_answers_passes(site, apps):
    with Load(site.lb1.port, clients=1), Load(site.lb2.port, clients=1):
        (good,) = site.play(analysis(site, watch=5))
        apps["m1"].fault = "close"
        (bad,) = site.play(analysis(site, watch=60))
    assert good["verdict"] == "pass" and good["metrics"][0]["canary"]["errors"] == 0, good
    assert bad["verdict"] == "fail" and bad["looks"] < 60, bad
    assert bad["metrics"][0]["canary"]["errors"] > 0 and bad["metrics"][0]["baseline"]["errors"] == 0


def test_a_balancer_that_is_gone_is_no_pass(site):
    site.lb2.close()
    (told,) = site.play(analysis(site, watch=2))
    assert told["verdict"] == "inconclusive" and "did not answer at the last look" in told["sentence"]
