# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written into the hosts, and the names and addresses of all of them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

APP_PORT = 8080
FRONT_PORT = 8000
ADMIN_PORT = 9999


MOST_APPS, MOST_BALANCERS = 200, 9  # what the addresses of a /24 have room for


@dataclass(frozen=True)
class Plan:
    """How many hosts, and on which network."""

    apps: int
    balancers: int
    bridge: str
    network: str

    def address(self, name: str) -> str:
        """app1 is .11, lb1 is .2, the controller is .1."""
        first = ipaddress.ip_network(self.network).network_address
        if name == "controller":
            return str(first + 1)
        return str(first + (10 + int(name[3:]) if name.startswith("app") else 1 + int(name[2:])))

    @property
    def app_names(self) -> list[str]:
        """app1, app2, …"""
        return [f"app{number}" for number in range(1, self.apps + 1)]

    @property
    def balancer_names(self) -> list[str]:
        """lb1, lb2, …"""
        return [f"lb{number}" for number in range(1, self.balancers + 1)]

    @property
    def names(self) -> list[str]:
        """All hosts."""
        return self.app_names + self.balancer_names

    @property
    def prefix(self) -> int:
        """The network's length in bits."""
        return ipaddress.ip_network(self.network).prefixlen


def network_unit(plan: Plan, name: str) -> str:
    """systemd-networkd's file for the host's only interface."""
    return (f"[Match]\nName=host0\n\n[Network]\nAddress={plan.address(name)}/{plan.prefix}\n"
            "LinkLocalAddressing=no\nIPv6AcceptRA=no\n")


def hosts_file(plan: Plan) -> str:
    """/etc/hosts: everyone knows everyone."""
    lines = ["127.0.0.1 localhost"]
    lines += [f"{plan.address(name)} {name}" for name in [*plan.names, "controller"]]
    return "\n".join(lines) + "\n"


# UsePAM and UseDNS cost each login time and give a test host nothing; many sessions start at once.
SSHD = """\
UsePAM no
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
PrintMotd no
"""

JOURNALD = "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n"

SHOP_SERVICE = f"""\
[Unit]
Description=The shop
After=network.target
ConditionPathExists=/srv/shop/current/shop.py

[Service]
Type=notify
User=shop
Group=shop
RuntimeDirectory=shop
RuntimeDirectoryPreserve=yes
WorkingDirectory=/srv/shop/current
Environment=SHOP_MEMBER=%H SHOP_DEATH_LOG=/run/shop/death PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/gunicorn --bind 0.0.0.0:{APP_PORT} --workers 1 --worker-class gthread --threads 24 \\
  --backlog 512 --keep-alive 75 --timeout 60 --graceful-timeout 5 --worker-tmp-dir /dev/shm shop:application
KillMode=mixed
TimeoutStopSec=15
Restart=no

[Install]
WantedBy=multi-user.target
"""


def haproxy_cfg(plan: Plan, name: str) -> str:
    """The balancer's configuration: one frontend, one backend with every application host."""
    servers = "\n".join(
        f"    server {app} {plan.address(app)}:{APP_PORT} cookie {app}" for app in plan.app_names)
    return f"""\
global
    log stdout format raw daemon notice
    user haproxy
    group haproxy
    maxconn 8000
    hard-stop-after 10s
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats socket ipv4@{plan.address(name)}:{ADMIN_PORT} level admin
    stats timeout 30s

defaults
    mode http
    log global
    retries 3
    option redispatch 1
    option dontlognull
    option idle-close-on-response
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout queue 5s
    timeout check 1s
    timeout http-request 10s
    timeout http-keep-alive 30s

frontend web
    bind :{FRONT_PORT}
    maxconn 4000
    default_backend shop

backend shop
    balance roundrobin
    cookie SRV insert indirect nocache
    option httpchk GET /health
    http-check expect status 200
    default-server check inter 500ms fastinter 200ms fall 2 rise 2 weight 100 maxconn 1000
{servers}
"""


SSH_OPTIONS = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"


def inventory(plan: Plan, key: str, control_path_dir: str) -> str:
    """The Ansible inventory of the lab, in YAML."""
    def group(name: str, members: list[str]) -> str:
        lines = [f"    {name}:", "      hosts:"]
        lines += [f"        {member}:\n          ansible_host: {plan.address(member)}" for member in members]
        return "\n".join(lines)

    return f"""\
---
all:
  vars:
    ansible_user: deploy
    ansible_ssh_private_key_file: {key}
    ansible_ssh_common_args: {SSH_OPTIONS}
    ansible_control_path_dir: {control_path_dir}
    ansible_python_interpreter: /usr/bin/python3
  children:
{group("shop", plan.app_names)}
{group("balancers", plan.balancer_names)}
"""


def ansible_cfg(inventory_path: str) -> str:
    """Settings for ansible runs against the lab, for ANSIBLE_CONFIG."""
    return f"""\
[defaults]
inventory = {inventory_path}
host_key_checking = false
forks = 10
retry_files_enabled = false

[connection]
pipelining = true

[ssh_connection]
pipelining = true
"""
