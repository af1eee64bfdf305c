# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of balancer there is, what it can do and what it must be told.

A driver is imported inside a function, so that a module on a host loads the one it needs; the import statement itself must
stand here, because from such statements Ansible works out what to pack.
"""

from __future__ import annotations

from typing import Any

from .declaration import Capabilities, Option, Provider


def _haproxy() -> Any:
    from .haproxy import HAProxy

    return HAProxy


def _nginx() -> Any:
    from .nginx import Nginx

    return Nginx


def _apache() -> Any:
    from .apache import Apache

    return Apache


def _envoy() -> Any:
    from .envoy import Envoy

    return Envoy


def _caddy() -> Any:
    from .caddy import Caddy

    return Caddy


def _traefik() -> Any:
    from .traefik import Traefik

    return Traefik


def _health_endpoint() -> Any:
    from .health_endpoint import HealthEndpoint

    return HealthEndpoint


def _command() -> Any:
    from .command import Command

    return Command


def _aws_target_group() -> Any:
    from .aws_target_group import AwsTargetGroup

    return AwsTargetGroup


def _nginx_plus() -> Any:
    from .nginx_plus import NginxPlus

    return NginxPlus


def _haproxy_dataplane() -> Any:
    from .haproxy_dataplane import HAProxyDataPlane

    return HAProxyDataPlane


HEADERS = {
    "headers": Option(
        (
            "Headers that are sent with each request, name to value, for an interface that asks for them.",
            "C(Host) takes the place of the URL's own, for an interface behind a rule on the host name.",
            "Over C(https) the certificate must have the name in the URL, or the one in C(Host) where the URL has an address.",
            "Headers that the provider itself needs, C(Content-Type), C(If-Match) and C(Referer), are not replaced.",
            "The values are secret, but those of C(Host), C(Origin), C(User-Agent), C(Cache-Control) and the C(Accept) headers.",
        ),
        type="dict",
        secret=True,
    ),
}
# Of balancers that are talked to over HTTP.
HTTP = {
    **HEADERS,
    "username": Option("For basic authentication."),
    "password": Option("For basic authentication.", secret=True),
    "validate_certs": Option("Whether a certificate must be one that is trusted.", type="bool", default=True),
    "ca_path": Option("File of the certificates to trust instead of the system's.", type="path"),
}


DECLARED = (
    Provider(
        name="haproxy",
        title="HAProxy",
        driver=_haproxy,
        capabilities=Capabilities(
            sticky_drain=True,
            in_flight=True,
            weight_range=(0, 256),
            counters=True,
            served=True,
            health_readback=True,
            fresh_health=True,
            cut=True,
            membership=True,
            finds_pools=True,
        ),
        options={
            "socket": Option(
                "Path of the runtime API's socket, declared as C(stats socket PATH level admin).", type="path"
            ),
            "address": Option(
                (
                    "C(host:port) of the runtime API, declared as C(stats socket ipv4@HOST:PORT level admin).",
                    "It has no authentication of its own. Bind it to an address that only the controller reaches.",
                )
            ),
            "master_socket": Option(
                (
                    "Path of the master's socket, which C(haproxy -W -S PATH) opens. Through it the requests of former workers, which a "
                    "reload leaves behind, are counted.",
                    "Without it the master's socket is taken from HAProxy's command line where HAProxy runs on the same machine, else the "
                    "connections of former workers are counted in C(/proc).",
                ),
                type="path",
            ),
            "master_address": Option("C(host:port) of the master's socket, where it is one of TCP."),
            "state_file": Option(
                (
                    "Path of the file that HAProxy's C(server-state-file) names, with C(load-server-state-from-file global).",
                    "The states of all servers are written there after each change, so that a reload or a restart brings them back.",
                ),
                type="path",
            ),
            "server_options": Option(
                "The words of a server line that an added member gets, beside its name and address. `default-server` is not applied to it.",
                default="check inter 2s",
            ),
            "config": Option(
                (
                    "Paths of HAProxy's configuration, files or directories where the module runs. It tells what the runtime API does not.",
                    "By default they are those on the command line of HAProxy's process, if it is on the same machine and can be read.",
                    "Without a configuration C(on-marked-down shutdown-sessions) counts as possible, and the time of checks is not known.",
                ),
                type="list",
                elements="path",
            ),
            "on_marked_down": Option(
                (
                    "Whether HAProxy ends the sessions of a member that is marked down: C(on-marked-down shutdown-sessions).",
                    "Where it does, or may, a member is drained until it is idle before it is disabled, and one that has requests "
                    "under way is not marked down for a fresh check.",
                    "C(auto) goes by the configuration, and supposes that it does where the configuration cannot be read.",
                ),
                default="auto",
                choices=("auto", "shutdown_sessions", "none"),
            ),
        },
        one_of=(("socket", "address"),),
        minimum="2.2",
        verified="HAProxy 2.6, 2.8 and 3.0",
        remarks={
            "counters": "in HTTP mode",
            "served": "in HTTP mode",
            "weight_range": "not with static algorithms, which know 0 and 100 % alone",
            "in_flight": "requests of former workers after a reload by way of the master's socket or `/proc`",
            "survives_reload": "yes with `state_file`",
            "membership": "until the next reload; from 2.5 on",
        },
    ),
    Provider(
        name="nginx",
        title="NGINX (open source)",
        driver=_nginx,
        capabilities=Capabilities(
            sticky_drain=True,
            in_flight=True,
            weight_range=(1, 65535),
            survives_reload=True,
            membership=True,
            reloads=True,
            finds_pools=True,
        ),
        minimum="1.9.2",
        options={
            "file": Option(
                (
                    "Path of the configuration file that has the C(upstream) block. NGINX must read it, and see it replaced: not a copy, "
                    "a hard link or a single file that is mounted into its container.",
                    "Of the block's C(server) lines nothing but C(weight=), C(down) and C(drain) is changed, "
                    "and nothing at all of the rest of the file.",
                ),
                type="path",
                required=True,
            ),
            "test": Option(
                (
                    "The command that checks the configuration.",
                    "With C(-T) in place of its last word C(-t) it must print the configuration: by that NGINX is asked which files it "
                    "reads, and in which other pools a member's server is. Of a command without the word C(-t) neither is asked.",
                ),
                type="list",
                elements="str",
                default=["nginx", "-t"],
            ),
            "reload": Option(
                "The command that makes the balancer read its configuration anew. It must not return before the signal is sent.",
                type="list",
                elements="str",
                default=["nginx", "-s", "reload"],
            ),
            "pid_file": Option(
                "Path of the file with the number of the master process, by which it is seen whether a reload took effect.",
                type="path",
                default="/run/nginx.pid",
            ),
        },
        verified="NGINX 1.22 and 1.31",
        remarks={
            "counters": "NGINX open source counts nothing by server",
            "sticky_drain": "1.29.6 or later, in upstreams with `sticky`, for members written as IP addresses",
            "in_flight": "worker processes from before the last reload, and of earlier masters; those of drained members also the "
            "connections open to them",
            "finds_pools": "upstreams of `http` and `stream`, and addresses without one; with `nginx -T`",
            "weight_range": "with the method `hash` all weights together at most 32768",
        },
    ),
    Provider(
        name="apache",
        title="Apache httpd",
        driver=_apache,
        capabilities=Capabilities(
            sticky_drain=True,
            weight_range=(1, 100),
            health_readback=True,
            fresh_health=True,
            finds_pools=True,
        ),
        options={
            "url": Option(
                (
                    "URL of the balancer-manager, for example V(http://127.0.0.1/balancer-manager).",
                    "It shows the balancers of its own virtual host and those that this inherits from the main server, and no others.",
                    "Whoever may POST to it may change every balancer that it shows. Let C(Require) allow nobody else.",
                ),
                required=True,
            ),
            **HTTP,
        },
        verified="Apache httpd 2.4.68 and 2.4.71",
        remarks={
            "counters": "Apache counts how often it chose a member, and not what became of it",
            "sticky_drain": "members need a `route`",
            "in_flight": "its `Busy` count goes astray under load, and leaves out children from before a graceful restart",
            "finds_pools": "balancers of the virtual host that the balancer-manager is in, and those that it inherits",
            "weight_range": "not for an only member, and whole numbers alone",
            "health_readback": "with mod_proxy_hcheck",
            "fresh_health": "with mod_proxy_hcheck and `hcpasses=2` or more",
            "survives_reload": "clean ones with `BalancerPersist On`, as long as no member goes",
            "membership": "it can add, and not remove",
        },
    ),
    Provider(
        name="caddy",
        title="Caddy",
        driver=_caddy,
        capabilities=Capabilities(
            in_flight=True, weight_range=(0, 65535), membership=True, clean_writes=False, finds_pools=True
        ),
        options={
            "url": Option(
                (
                    "Of the admin API, such as C(http://127.0.0.1:2019). The pool is the C(@id) of a handler C(reverse_proxy).",
                    "It has no authentication of its own. Keep it on an address that nobody else reaches.",
                )
            ),
            "socket": Option("Path of the admin API's socket, declared as C(admin unix//PATH).", type="path"),
            **HTTP,
        },
        one_of=(("url", "socket"),),
        minimum="2.8",
        verified="Caddy 2.8, 2.9, 2.10 and 2.11",
        remarks={
            "counters": "Caddy counts by kind of handler, and forgets at each write",
            "in_flight": "by address: the same one in another pool counts too",
            "weight_range": "with the policy weighted_round_robin alone, or cookie that falls back to it",
            "health_readback": "it forgets at each write",
            "survives_reload": "with `caddy run --resume`",
            "membership": "until a restart without `--resume`",
            "clean_writes": "each write breaks a few connections; the provider health_endpoint makes none",
        },
    ),
    Provider(
        name="envoy",
        title="Envoy",
        driver=_envoy,
        capabilities=Capabilities(
            sticky_drain=True,
            in_flight=True,
            weight_range=(1, 65535),
            counters=True,
            uncounted="answers that break off",
            health_readback=True,
            fresh_health=True,
            survives_reload=True,
            membership=True,
            finds_pools=True,
        ),
        options={
            "file": Option(
                (
                    "Path of the EDS file, the C(path_config_source) of the cluster. It is JSON, and the pool is its C(cluster_name).",
                    "For several pools, each with a file of its own, C({pool}) in the file's name stands for the pool.",
                    "A member's name is the C(hostname) of its endpoint, else C(host:port).",
                    "Without it Envoy is only read, whatever its endpoints come from: for O(balancers[].seen_by) and for checks.",
                ),
                type="path",
            ),
            "socket": Option("Path of the admin interface's socket, the C(pipe) of its address.", type="path"),
            "url": Option(
                "The admin interface, C(http://host:port). It has no authentication of its own: bind it to a loopback address."
            ),
            **HEADERS,
        },
        one_of=(("socket", "url"),),
        minimum="1.23",
        verified="Envoy 1.40; 1.36 by hand",
        remarks={
            "counters": "an answer that breaks off counts as a success",
            "sticky_drain": "with DRAINING in `override_host_status`",
            "in_flight": "before 1.39 with all requests of the cluster that wait for a connection",
        },
    ),
    Provider(
        name="traefik",
        title="Traefik",
        driver=_traefik,
        capabilities=Capabilities(
            weight_range=(1, 2147483647),
            served=True,
            uncounted="answers that break off",
            health_readback=True,
            fresh_health=True,
            survives_reload=True,
            membership=True,
            finds_pools=True,
        ),
        options={
            "file": Option(
                (
                    "The dynamic configuration file of its file provider that has the pool's service, an absolute path.",
                    "It is written in JSON and named C(.yml), as JSON is YAML. Routers may stay in other files of the same folder.",
                    "Without it Traefik is only read, for O(balancers[].seen_by) and for checks.",
                    "A pool of another provider is called C(name@docker), and is only read as well.",
                ),
                type="path",
            ),
            "url": Option(
                (
                    "Of the API, such as C(http://127.0.0.1:8080). Nothing is written there.",
                    "It shows whether Traefik runs what the file says, and the health of the members.",
                ),
                required=True,
            ),
            "metrics_url": Option(
                (
                    "Of the metrics for Prometheus, such as C(http://127.0.0.1:8080/metrics), declared as C(metrics.prometheus).",
                    "They alone tell a check that has passed from one that has not begun.",
                    "Without them members can return with C(health: none) alone.",
                    "With C(metrics.prometheus.addRoutersLabels) they tell what users got as well.",
                    "The name, password and headers are sent there too where host and port are those of O(balancers[].url).",
                )
            ),
            **HTTP,
        },
        counts_with="metrics_url",
        minimum="3.0",
        verified="Traefik 3.0, 3.2, 3.4, 3.6, 3.7",
        remarks={
            "counters": "Traefik counts nothing by server",
            "served": "with `metrics_url` and `addRoutersLabels`; an answer that breaks off is not counted at all",
            "in_flight": "Traefik counts no requests by server: `drain_wait`",
            "weight_range": "none with the strategies p2c and leasttime",
            "fresh_health": "with `metrics_url`, and 3.2 or later",
        },
    ),
    Provider(
        name="health_endpoint",
        title="a member that fails its balancer's health check",
        driver=_health_endpoint,
        capabilities=Capabilities(survives_reload=True, returns_by_check=True),
        options={
            "hosts": Option(
                (
                    "The members' hosts in the inventory.",
                    "By default all members that O(balancers[].seen_by) have. They are called like their hosts; see O(balancers[].names).",
                ),
                type="list",
                elements="str",
            ),
            "file": Option(
                (
                    "Path of a file on the member's host. While it is there, the health check must fail.",
                    "Here, and in the other ways, C({name}) stands for the member's name: of several on one host each has its own.",
                    "Either this, O(balancers[].url), or O(balancers[].take_out) with its siblings.",
                ),
                type="path",
            ),
            "url": Option(
                "An address that the member's host asks. PUT takes it out, DELETE brings it back, GET answers 200 or 404."
            ),
            "take_out": Option(
                "A program on the member's host, with its arguments, that takes it out.", type="list", elements="str"
            ),
            "bring_back": Option("The program that brings it back.", type="list", elements="str"),
            "is_out": Option(
                "The program that tells. It ends with 0 for out and with 1 for in.", type="list", elements="str"
            ),
            "seen_by": Option(
                (
                    "The balancers that check the members, each an entry as in O(balancers). They are only read.",
                    "They are reached from where the task runs, so they have no C(host).",
                    "Without them nothing tells what is in flight or healthy: see O(zero_downtime.deploy.pool_member#module:drain_wait).",
                ),
                type="list",
                elements="dict",
            ),
            "notice": Option(
                "Seconds that the balancer may take to notice. Without O(balancers[].seen_by), seconds that are always waited, out and in.",
                type="float",
                default=10.0,
            ),
        },
        one_of=(("file", "url", "take_out"),),
        verified="HAProxy as the balancer that is read",
        remarks={
            "counters": "a switch counts nothing; ask the balancers themselves",
            "in_flight": "as the balancers that are read",
            "health_readback": "as the balancers that are read",
            "fresh_health": "where balancers are read",
        },
    ),
    Provider(
        name="command",
        title="programs of your own, for any other balancer",
        driver=_command,
        capabilities=Capabilities(),  # what its entry says that it can do
        options={
            "read": Option(
                (
                    "Program, with its arguments, that prints a pool's members. No shell is involved.",
                    "How these programs are spoken to is in C(examples/command/README.md), with two of them.",
                    "Arguments show in the list of processes and in messages, so a secret has no place there.",
                ),
                type="list",
                elements="str",
                required=True,
            ),
            "write": Option(
                "Program, with its arguments, that changes members. It ends when the change is in effect.",
                type="list",
                elements="str",
                required=True,
            ),
            "in_flight": Option(
                (
                    "Program, with its arguments, that prints how many requests each member has under way.",
                    "Without it nobody knows, and every drain takes as long as C(drain_wait) says.",
                ),
                type="list",
                elements="str",
            ),
            "running": Option(
                (
                    "Program, with its arguments, that prints which process of the balancer runs, and for how many seconds.",
                    "By it a restart is noticed that would bring back who is out. See C(hold).",
                ),
                type="list",
                elements="str",
            ),
            "other_pools": Option(
                (
                    "Program, with its arguments, that prints in which other pools of the balancer a pool's servers are members too.",
                    "Without it no other pool is looked for: name all of them in C(pool).",
                ),
                type="list",
                elements="str",
            ),
            "counters": Option(
                (
                    "Program, with its arguments, that prints how many requests each member was given and how many it failed, "
                    "and, if it can, what users got of the pool.",
                    "Without it nobody counts.",
                ),
                type="list",
                elements="str",
            ),
            "can": Option(
                (
                    "What the balancer can do by way of these programs, in the words of C(capabilities) that C(pool_info) returns.",
                    "What is not named is taken to be impossible, and refused where it is asked for.",
                ),
                type="list",
                elements="str",
                choices=("sticky_drain", "health_readback", "fresh_health", "survives_reload"),
            ),
            "weights": Option(
                "The smallest and the largest weight, such as V([0, 256]). Without it members have no weights.",
                type="list",
                elements="int",
            ),
        },
        counts_with="counters",
        verified="the programs in examples/command, in front of a real HAProxy",
        remarks={
            "counters": "yes with `counters`",
            "served": "yes with `counters`, if the program tells it",
            "sticky_drain": "yes where `can` says so",
            "in_flight": "yes with `in_flight`",
            "weight_range": "as `weights` says",
            "health_readback": "yes where `can` says so",
            "fresh_health": "yes where `can` says so",
            "survives_reload": "yes where `can` says so",
        },
    ),
    Provider(
        name="aws_target_group",
        title="a target group of an AWS Application or Network Load Balancer",
        driver=_aws_target_group,
        capabilities=Capabilities(
            in_flight=True,
            health_readback=True,
            fresh_health=True,
            survives_reload=True,
            returns_by_check=True,
            membership=True,
            finds_pools=True,
        ),
        options={
            "region": Option("AWS region. boto3 looks for one where it always does when it is not given."),
            "url": Option("URL of another endpoint than the region's own, for EC2 too, which is asked whether an instance still exists."),
            "profile": Option("Profile of the AWS configuration files."),
            "access_key": Option(
                (
                    "Id of the access key.",
                    "Without it boto3 looks for credentials where it always does: environment, files, the role of the machine.",
                ),
                secret=True,
            ),
            "secret_key": Option("The access key itself.", secret=True),
            "session_token": Option("Token that belongs to a temporary access key.", secret=True),
        },
        verified="moto, which stands in for AWS, carries no traffic and checks no target; never AWS itself",
        remarks={
            "counters": "AWS counts by target group, in CloudWatch",
            "sticky_drain": "a target is registered or not",
            "in_flight": "not how much: a target is draining until the deregistration delay has passed (300 s unless changed), busy or "
            "not; no for target groups of a Network Load Balancer, whose connections outlast it",
            "weight_range": "AWS gives weights to target groups alone",
            "fresh_health": "a target that is registered anew starts with new checks; untried on AWS",
            "membership": "a member that is added is a tag until it is registered",
            "survives_reload": "who is out is in tags of the target group, at most 50 less its other tags",
        },
    ),
    Provider(
        name="nginx_plus",
        title="NGINX Plus",
        driver=_nginx_plus,
        capabilities=Capabilities(
            sticky_drain=True,
            in_flight=True,
            weight_range=(1, 65535),
            counters=True,
            health_readback=True,
            membership=True,
            finds_pools=True,
        ),
        options={
            "url": Option(
                "URL of the location that has C(api write=on;), such as V(http://lb1:8080/api).",
                required=True,
            ),
            **HTTP,
        },
        verified="a stand-in that answers as the documentation of the API, version 9, says; never an NGINX Plus",
        remarks={
            "counters": "by the documented fields `requests`, `responses` and `fails`; untried",
            "sticky_drain": "with `sticky` in the upstream; that a drain is undone by `drain: false` is not documented and untried",
            "in_flight": "the count of active connections, of which a reload forgets those under way; untried under load",
            "finds_pools": "upstreams with a `zone`; an address in `proxy_pass` itself is not shown",
            "fresh_health": "not of a server that has been there before",
            "health_readback": "with `health_check`; without it after failed requests alone",
            "survives_reload": "yes with a `state` file in the upstream",
            "membership": "without a `state` file until the next reload",
        },
    ),
    Provider(
        name="haproxy_dataplane",
        title="HAProxy by way of its Data Plane API",
        driver=_haproxy_dataplane,
        capabilities=Capabilities(
            sticky_drain=True,
            in_flight=True,
            health_readback=True,
            fresh_health=True,
            counters=True,
            served=True,
            finds_pools=True,
        ),
        options={
            "url": Option(
                "URL of the Data Plane API, version 3, such as V(https://lb1:5555); V(/v3) after it may be left out.",
                required=True,
            ),
            **HTTP,
            "username": Option("A user of the API's user list.", required=True),
            "password": Option("That user's password.", secret=True, required=True),
        },
        minimum="3.0",
        verified="a stand-in that answers as the API's published source does, with a real HAProxy behind it; never the API itself",
        remarks={
            "counters": "in HTTP mode",
            "served": "in HTTP mode",
            "in_flight": "of the process that answers the API; unknown for 30 s after a reload, as former processes cannot be seen",
            "weight_range": "the API writes no weights at run time; `haproxy` does",
            "fresh_health": "a returning member counts as up for the moment between two requests, for clients that are bound to it alone",
            "membership": "the API adds members whose checks never start (its issue 299)",
        },
    ),
)
