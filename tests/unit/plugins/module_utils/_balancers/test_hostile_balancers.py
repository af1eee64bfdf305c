# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Balancers that say anything at all, over real connections: every driver ends in a value or in words, and writes no file by halves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils.hostile import (
    briefly,
    http,
    in_words,
    spoilt,
    stranger,
)

M1, M2 = "192.0.2.1:80", "192.0.2.2:80"
QUICK = 0.03  # seconds: a driver that waits for what a stranger never says gives up then

HAPROXY = {
    b"show servers state": b"1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    b"srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id "
    b"srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
    b"3 app 1 m1 192.0.2.1 2 0 100 100 9 15 3 4 6 0 0 0 - 80 - 0 0 - - 0\n"
    b"3 app 2 m2 192.0.2.2 2 0 100 100 9 15 3 4 6 0 0 0 - 80 - 0 0 - - 0\n\n",
    b"show stat": b"# pxname,svname,qcur,scur,stot,status,econ,eresp,tracked,check_status,check_code,last_chk,req_tot,hrsp_5xx,srv_abrt,"
    b'check_desc\napp,m1,0,1,7,UP,0,0,,L7OK,200,"OK, well",7,0,0,x\napp,m2,0,0,5,UP,0,0,,L7OK,200,OK,5,0,0,x\n\n',
    b"show info": b"Name: HAProxy\nVersion: 2.8.5\nPid: 77\nUptime_sec: 12\nStart_time_sec: 1700000000\n\n",
    b"show backend": b"# name\napp\n\n",
    b"set server": b"\n\n",
    b"": b"\n",
}
SERVER = {"id": 0, "server": M1, "name": M1, "weight": 1, "down": False}
PEER = {
    **SERVER,
    "state": "up",
    "active": 0,
    "requests": 7,
    "fails": 1,
    "health_checks": {"last_passed": True},
    "responses": {"5xx": 2},
}
PLUS_INFO = {
    "version": "1.27",
    "build": "r34",
    "ppid": 1,
    "generation": 1,
    "load_timestamp": "2026-01-01T00:00:00.000Z",
    "timestamp": "2026-01-02T00:00:00.000Z",
}
DISABLED_NOTE = {
    "match": {"status_code": [999]},
    "routes": [
        {"handle": [{"handler": "vars", "zero_downtime_out": [{"place": 1, "weight": 1, "upstream": {"dial": M2}}]}]}
    ],
}
CADDY = {
    "@id": "app",
    "handler": "reverse_proxy",
    "upstreams": [{"dial": M1}],
    "handle_response": [DISABLED_NOTE],
    "load_balancing": {"selection_policy": {"policy": "weighted_round_robin", "weights": [3]}},
}
HOST = {
    "address": {"socket_address": {"address": "192.0.2.1", "port_value": 80}},
    "weight": 1,
    "stats": [
        {"name": "rq_active", "value": "2"},
        {"name": "rq_error", "value": "1"},
        {"name": "rq_success", "value": "4"},
    ],
    "health_status": {"eds_health_status": "HEALTHY", "failed_active_health_check": True},
}
EDS = {
    "version_info": "1",
    "resources": [
        {
            "cluster_name": "app",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"hostname": "m1", "address": HOST["address"]}, "load_balancing_weight": 1}
                    ],
                    "metadata": {
                        "filter_metadata": {
                            "zero_downtime.deploy": {
                                "disabled": [
                                    {
                                        "at": 1,
                                        "lb_endpoint": {
                                            "endpoint": {
                                                "hostname": "m2",
                                                "address": {
                                                    "socket_address": {"address": "192.0.2.2", "port_value": 80}
                                                },
                                            }
                                        },
                                    }
                                ]
                            }
                        }
                    },
                }
            ],
        }
    ],
}
TRAEFIK = {
    "http": {
        "services": {
            "app": {"loadBalancer": {"servers": [{"url": f"http://{M1}", "weight": 2}], "healthCheck": {"path": "/"}}},
            "app.zero_downtime-out": {"loadBalancer": {"servers": [{"url": f"http://{M2}#1"}]}},
        }
    }
}
SHOWN = [
    {"name": f"{name}@file", "serverStatus": {f"http://{M1}": "UP"}, **about}
    for name, about in TRAEFIK["http"]["services"].items()
]
APACHE = f"""<html><body><h1>Load Balancer Manager for lb.test</h1><dl><dt>Server Version: Apache/2.4.71 (Debian)</dt></dl>
<h3>LoadBalancer Status for <a href="/balancer-manager?b=app&amp;nonce=n1">balancer://app</a></h3>
<table><tr><th>Worker URL</th><th>Route</th><th>Factor</th><th>Status</th><th>HC Method</th><th>HC Interval</th><th>Passes</th>
<th>Fails</th><th>HC uri</th></tr>
<tr><td><a href="/balancer-manager?b=app&amp;w=http://{M1}&amp;nonce=n1">http://{M1}</a></td><td>m1</td><td>100.00</td><td>Init Ok </td>
<td>GET</td><td>1000ms</td><td>2 (0)</td><td>2 (1)</td><td>/health</td></tr></table>
<h3>Edit worker settings for http://{M1}</h3><input name='w_lf' id='w_lf' type=text value='100.00'>
<input name='w_status_D' id='w_status_D' value='1' type=radio checked></body></html>"""
NGINX = f"upstream app {{\n    # two\n    server {M1} weight=3 max_fails=2;\n    server {M2} down;\n}}\n"


def plain(told):
    return json.dumps(told).encode()


# By the beginning of what is asked, the longest first: what each balancer really says.
REAL = {
    "haproxy": HAPROXY,
    "haproxy_dataplane": {
        b"GET /v3/info": plain({"api": {"version": "v3.0.4 0123abc"}}),
        b"GET /v3/services/haproxy/runtime/info": plain({"info": {"pid": 7, "uptime": 12}}),
        b"GET /v3/services/haproxy/runtime/backends": plain(
            [{"name": "m1", "address": "192.0.2.1", "port": 80, "admin_state": "ready"}]
        ),
        b"GET /v3/services/haproxy/stats": plain(
            {
                "stats": [
                    {
                        "type": "server",
                        "name": "m1",
                        "backend_name": "app",
                        "stats": {
                            "status": "UP",
                            "chkfail": 0,
                            "scur": 1,
                            "qcur": 0,
                            "stot": 7,
                            "econ": 0,
                            "check_status": "* L7OK",
                            "weight": 1,
                        },
                    }
                ]
            }
        ),
        b"": plain({"message": "no"}),
    },
    "nginx_plus": {
        b"GET /api/9/http/upstreams/app/servers": plain([SERVER]),
        b"GET /api/9/http/upstreams/app": plain({"peers": [PEER]}),
        b"GET /api/9/http/upstreams": plain(["app"]),
        b"GET /api/9/nginx": plain(PLUS_INFO),
        b"GET /api/ ": plain([1, 8, 9]),
        b"PATCH": plain(SERVER),
        b"": plain({"error": {"text": "no", "code": "No"}}),
    },
    "caddy": {
        b"GET /id/": plain(CADDY),
        b"GET /reverse_proxy/upstreams": plain([{"address": M1, "num_requests": 2}]),
        b"GET /metrics": b"process_start_time_seconds 1.7e+09\n",
        b"GET /config/": plain({"apps": [CADDY]}),
        b"": b"{}",
    },
    "apache": {b"": APACHE.encode()},
    "envoy": {
        b"GET /clusters": plain(
            {"cluster_statuses": [{"name": "app", "observability_name": "app", "host_statuses": [HOST]}]}
        ),
        b"GET /stats": plain(
            {
                "stats": [
                    {"name": "cluster.app.version_text", "value": "1"},
                    {"name": "cluster.app.health_check.attempt", "value": 3},
                ]
            }
        ),
        b"GET /server_info": plain({"version": "abc/1.40.0/Clean"}),
        b"": b'{"BootstrapConfigDump", "last_updated": "2026-01-01"}',
    },
    "traefik": {
        b"GET /api/version": plain({"Version": "3.7"}),
        b"GET /api/http/services": plain(SHOWN),
        b"": (
            '# TYPE traefik_service_server_up gauge\ntraefik_service_server_up{service="app@file",url="http://%s"} 1\n'
            % M1
        ).encode(),
    },
}
NAMES = {"haproxy": "m1", "haproxy_dataplane": "m1", "apache": "m1", "envoy": "m1"}
# Files that a driver reads and writes: the option, its name, what stands there.
FILES = {
    "envoy": ("eds.json", plain(EDS)),
    "traefik": ("watched/app.yml", plain(TRAEFIK)),
    "nginx": ("app.conf", NGINX.encode()),
}


def entry_of(provider, address, folder):
    entry = {"provider": provider, "timeout": QUICK, "name": "lb1"}
    if provider == "haproxy":
        return {**entry, "address": address, "state_file": str(folder / "state")}
    entry["url"] = f"http://{address}" + {"nginx_plus": "/api", "apache": "/balancer-manager"}.get(provider, "")
    if provider == "haproxy_dataplane":
        entry.update(username="u", password="p")
    if provider == "traefik":
        entry["metrics_url"] = f"http://{address}/metrics"
    if provider in FILES:
        entry["file"] = str(folder / FILES[provider][0])
    return entry


def ways_to_ask(driver, name):
    yield driver.version
    yield driver.running
    yield lambda: driver.members("app")
    yield lambda: driver.counters("app")
    yield lambda: driver.members("other")
    yield lambda: driver.apply("app", [Change(name, "disabled", 5)])
    yield lambda: driver.apply("app", [Change(name, "drained")], True)
    yield lambda: driver.settle("app", [name])
    yield lambda: driver.persist("app")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "watched").mkdir()
    return folder


@pytest.mark.parametrize("provider", sorted(REAL))
def test_what_a_stranger_answers_ends_in_words(provider, folder):
    real, file, says = REAL[provider], FILES.get(provider), {}

    def reply(asked):
        said = next(begin for begin in sorted(real, key=len, reverse=True) if asked.startswith(begin))
        text = says.get(said, real[said])
        return text if provider == "haproxy" else http(text, head=says["head"])

    with stranger(reply) as address:

        @briefly
        @given(st.data())
        def try_it(data):
            says.clear()
            says["head"] = data.draw(
                st.sampled_from(["ETag: x\r\n", "", "ETag: \x01é\r\n y\r\n", "Transfer-Encoding: chunked\r\n"])
            )
            for begin in data.draw(st.sets(st.sampled_from(sorted(real)), min_size=1, max_size=2)):
                says[begin] = data.draw(spoilt(real[begin]))
            if file:
                (folder / file[0]).write_bytes(file[1])
            for ask in ways_to_ask(open_balancer(entry_of(provider, address, folder)), NAMES.get(provider, M1)):
                in_words(ask)
                if file:
                    assert whole((folder / file[0]).read_bytes()), "a file was written by halves"
            assert not list(folder.rglob("*.tmp"))

        try_it()


def whole(content):
    try:
        return bool(json.loads(content))
    except ValueError:
        return False
