#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: health_check
short_description: Wait until many targets have proved healthy
version_added: 0.1.0
description:
  - Asks HTTP(S) URLs, TCP ports and commands, all side by side, until each has passed several times in a row,
    or a deadline passes.
  - A target that has proved healthy is not asked again in this task.
  - On failure it tells for each target what was last seen.
author:
  - The zero_downtime.deploy authors (@zero-downtime)
options:
  targets:
    description:
      - What to check. Each target has exactly one of O(targets[].url), O(targets[].tcp) and O(targets[].command).
      - An empty list is an error, so that a wrong variable does not pass for health.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the target is called in the result. Unique within the task.
        type: str
        required: true
      url:
        description:
          - An C(http://) or C(https://) URL. Proxies of the environment are not used.
          - A user and password in it are sent as basic authentication. They and the query are masked
            wherever the result quotes them.
        type: str
      tcp:
        description: A port that must take a connection, as C(host:port) or C([IPv6 address]:port).
        type: str
      command:
        description:
          - A program and its arguments, one list item each. There is no shell.
          - It runs where the task runs. At O(timeout) it is killed, with all that it started in its process group.
          - It must only look. It runs in check mode too, and several times.
        type: list
        elements: str
      method:
        description: The HTTP method. Only for O(targets[].url).
        type: str
        choices: [GET, HEAD, OPTIONS]
        default: GET
      headers:
        description:
          - Headers to send, name to value. Only for O(targets[].url).
          - The values are treated as secret. They are never shown, and masked where an answer echoes them
            (except in headers that hold no secret, such as C(Host) and C(Accept)).
        type: dict
      status:
        description: The HTTP statuses that count as healthy. Only for O(targets[].url).
        type: list
        elements: int
        default: [200]
      expect_headers:
        description:
          - Headers that the answer must have, name to regular expression, which is searched for in the value.
          - Only for O(targets[].url).
        type: dict
      body:
        description: A regular expression that is searched for in the body or standard output.
        type: str
      json:
        description:
          - Values that must stand in the body or standard output, read as JSON. Path to expected value,
            as in C($.status) to C(ok).
          - A path begins with C($) and goes on with C(.name), C(['name']) or C([0]).
          - Values of different types are compared as text, so that C(true) equals C("true") and C(3) equals
            C("3").
        type: dict
      rc:
        description: The exit code that counts as healthy. Only for O(targets[].command).
        type: int
        default: 0
      validate_certs:
        description: Whether the certificate of an C(https) URL must be valid and trusted. Only for O(targets[].url).
        type: bool
        default: true
      ca_path:
        description:
          - A file or directory of certificates (PEM) to trust instead of the system's. Only for O(targets[].url).
          - This and the next two are read where the task runs.
        type: path
      client_cert:
        description: A client certificate (PEM) to present; it may hold the key too. Only for O(targets[].url).
        type: path
      client_key:
        description: The key of O(targets[].client_cert), without passphrase. Only for O(targets[].url).
        type: path
      follow_redirects:
        description:
          - Whether to follow redirects, up to five. Only for O(targets[].url).
          - O(targets[].headers) are not sent to another origin, and C(https) is never left for C(http).
        type: bool
        default: false
      version:
        description:
          - Where the running version stands in the JSON body or standard output,
            as a path such as C($.version) or C($.build[0].id).
          - At most one of O(targets[].version), O(targets[].version_header) and
            O(targets[].version_pattern).
        type: str
      version_header:
        description: The header that tells the running version. Only for O(targets[].url).
        type: str
      version_pattern:
        description: A regular expression with one group, the running version, in the body or standard output.
        type: str
      expected_version:
        description:
          - When given, the target is healthy only if exactly this version runs.
            Quote it, or YAML makes 1.1 of 1.10.
          - Needs one of O(targets[].version), O(targets[].version_header) and O(targets[].version_pattern).
        type: str
  passes:
    description: How many times in a row a target must pass.
    type: int
    default: 3
  min_healthy_time:
    description:
      - For how many seconds it must go on passing, from the first to the last pass in a row. A failure resets it.
    type: float
    default: 0.0
  interval:
    description:
      - Seconds from the end of a pass to the next attempt.
      - As long as a target fails, attempts follow after 0.05 s (or O(interval), if that is shorter) and then ever later, up to
        0.5 s (or O(interval), if that is longer).
    type: float
    default: 0.05
  timeout:
    description: Seconds that one attempt may take as a whole, a body that drips in slowly included.
    type: float
    default: 2.0
  deadline:
    description:
      - Seconds until all targets must have proved healthy. No attempt begins later; one that runs then may end,
        so that the task ends at most one O(timeout) after it.
      - Must be able to hold O(passes) and O(min_healthy_time).
    type: float
    default: 60.0
  on_failure:
    description:
      - V(fail) fails the task when a target did not prove healthy.
      - V(report) does not; look at RV(unhealthy).
    type: str
    choices: [fail, report]
    default: fail
attributes:
  check_mode:
    description: It only looks, so it looks in check mode too.
    support: full
  diff_mode:
    description: It changes nothing, so there is no difference to show.
    support: none
notes:
  - Up to 64 attempts run at once. Targets that hang cannot take the places of all others.
  - Needs nothing but Python on the host where it runs.
seealso:
  - module: zero_downtime.deploy.pool_info
"""

EXAMPLES = r"""
- name: Two hosts answer, asked from the controller
  zero_downtime.deploy.health_check:
    targets:
      - {name: app1, url: "http://{{ hostvars.app1.ansible_host }}:8080/health"}
      - {name: app2, url: "http://{{ hostvars.app2.ansible_host }}:8080/health"}
  delegate_to: localhost
  run_once: true

- name: This host answers with the new version, healthy for ten seconds on end
  zero_downtime.deploy.health_check:
    targets:
      - name: "{{ inventory_hostname }}"
        url: http://127.0.0.1:8080/health
        json: {$.status: ok}
        version: $.version
        expected_version: "1.4.2"
    min_healthy_time: 10

- name: A page over TLS with an own authority, a port and a command, side by side
  zero_downtime.deploy.health_check:
    targets:
      - name: shop
        url: https://shop.example.org/health
        headers: {Authorization: "Bearer {{ shop_token }}"}
        ca_path: /etc/ssl/own-ca.pem
        status: [200, 204]
      - name: database
        tcp: "[2001:db8::5]:5432"
      - name: queue
        command: [rabbitmq-diagnostics, -q, ping]
    timeout: 5

- name: Look once and decide later
  zero_downtime.deploy.health_check:
    targets:
      - {name: app, url: "http://app1.example.org:8080/health", version_header: X-Version}
    passes: 1
    deadline: 5
    on_failure: report
  register: app_health
"""

RETURN = r"""
began:
  description: When the task began, in seconds since 1970 by the controller's clock.
  returned: always
  type: float
ended:
  description: When it ended.
  returned: always
  type: float
targets:
  description: What was seen of each target, in the order of the option. Also present when the task fails.
  returned: when the options make sense
  type: list
  elements: dict
  contains:
    name:
      description: The target's name.
      type: str
      sample: app1
    healthy:
      description: Whether it proved healthy.
      type: bool
    version:
      description: The running version that the last answer told; null when it told none.
      type: str
      sample: 1.4.2
    passes:
      description: How many times in a row it had passed at the end.
      type: int
      sample: 3
    attempts:
      description: How many attempts were made.
      type: int
      sample: 4
    healthy_for:
      description: Seconds from the first to the last of these passes.
      type: float
      sample: 1.013
    seen:
      description: What was last seen, in one sentence.
      type: str
      sample: "HTTP 500 in 12 ms, expected 200: body begins 'database is not there'"
healthy:
  description: The names of the targets that proved healthy.
  returned: when the options make sense
  type: list
  elements: str
  sample: [app1]
unhealthy:
  description: The names of those that did not.
  returned: when the options make sense
  type: list
  elements: str
  sample: [app2]
elapsed:
  description: Seconds that the check took.
  returned: when the options make sense
  type: float
  sample: 1.02
"""

import copy

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.redaction import MASK, mask_url
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.check_health import ARGUMENT_SPEC, run


def hide_requests(module: AnsibleModule) -> None:
    """Take the secrets out of the options that the result shows, and stop Ansible from censoring the rest by them.

    Ansible masks each value of a `no_log` option wherever it occurs in the result: a header ``X-Attempt: 1``
    would turn every number with a 1 in it into text. The use case masks what it quotes itself.
    """
    for target in module.params["targets"]:
        if target["headers"]:
            target["headers"] = {name: MASK for name in target["headers"]}
        if target["url"]:
            target["url"] = mask_url(target["url"])
    module.no_log_values.clear()


def main() -> None:
    """The module's door to the use case."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = copy.deepcopy(module.params)
    hide_requests(module)
    serve(module, lambda _shown, check_mode, clock: run(params, check_mode, clock))


if __name__ == "__main__":
    main()
