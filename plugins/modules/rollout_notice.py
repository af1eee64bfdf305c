#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_notice
short_description: Tell Prometheus, Grafana and chats of a rollout
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Tells others that a rollout has begun, fails, is rolled back or has ended, with the figures of what users felt.
  - All targets are told side by side, each within its own time. One that cannot be told is a warning and nothing else, so that no
    rollout depends on a chat.
  - U(https://github.com/zero-downtime/deploy/blob/main/docs/notices.md) shows what is sent, and says what never is.
options:
  event:
    description:
      - What has happened.
      - Until V(finish), metrics of the rollout before stay as they are. Then they are replaced as a whole.
    type: str
    choices: [begin, failure, rollback, finish]
    required: true
  record:
    description:
      - What is known of the rollout, the JSON of its report. Whatever is missing is left out of what is told.
      - For V(begin) C(service), C(version), C(strategy), C(id) and C(began) are enough.
    type: dict
    required: true
  past:
    description:
      - Rollouts that ended before, each with C(id), C(service), C(version), C(strategy), C(outcome), C(began), C(ended), C(decided),
        C(undone) and C(felt). From them come the figures of the history, DORA's among them, as metrics. Those of other services are
        passed over.
      - Without it there are none.
    type: list
    elements: dict
  window:
    description: Over how many days the history is told.
    type: float
    default: 90.0
  labels:
    description:
      - Labels of your own, name to value, such as C(environment) with V(production). They are in every metric, in the group of the
        Pushgateway, and in the texts and tags.
      - Give some where services of the same name tell the same targets.
    type: dict
    default: {}
  textfile:
    description:
      - A file for the textfile collector of Prometheus's node_exporter, an absolute path that ends in C(.prom).
      - It is written in one step, with mode 0644. Each service needs a file of its own. One that is there and of another service,
        or not of this module, is left as it is.
    type: path
  pushgateway:
    description: A Pushgateway of Prometheus.
    type: dict
    suboptions:
      url:
        description: Where it is, without C(/metrics).
        type: str
        required: true
      job:
        description: The label C(job) of what is pushed. C(service) and O(labels) are in its group too.
        type: str
        default: zero_downtime
      username:
        description: Name for basic authentication.
        type: str
      password:
        description: Password for basic authentication.
        type: str
      headers:
        description: Headers to send, name to value.
        type: dict
      timeout:
        description: Seconds within which it must be told, a second try included.
        type: float
        default: 5.0
      validate_certs:
        description: Whether the certificate must be trusted.
        type: bool
        default: true
      ca_path:
        description: A file of certificates to trust instead of the system's.
        type: path
  webhooks:
    description: URLs that take JSON by C(POST).
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: Where to. All of it but scheme, host and port is treated as a secret.
        type: str
        required: true
      kind:
        description:
          - 'V(slack) sends C({"text": ...}), as Slack, Mattermost and Rocket.Chat take it.'
          - V(json) sends what is known of the rollout.
        type: str
        choices: [slack, json]
        default: slack
      text:
        description:
          - A text of your own, with C($event), C($text), C($service), C($version), C($strategy), C($id), C($outcome), C($requests),
            C($failed) and C($duration) for what they are. A dollar sign is C($$).
          - With V(slack) what they stand for is escaped, and what you write is not, so that it may mention a channel.
        type: str
      headers:
        description: Headers to send, name to value.
        type: dict
      timeout:
        description: Seconds within which it must be told, a second try included.
        type: float
        default: 5.0
      validate_certs:
        description: Whether the certificate must be trusted.
        type: bool
        default: true
      ca_path:
        description: A file of certificates to trust instead of the system's.
        type: path
  grafana:
    description: A Grafana that gets an annotation.
    type: dict
    suboptions:
      url:
        description: Where it is, without C(/api).
        type: str
        required: true
      token:
        description: The token of a service account that may write annotations.
        type: str
      dashboard_uid:
        description: The dashboard that shows the annotation. Without it, every dashboard that asks for its tags does.
        type: str
      headers:
        description: Headers to send, name to value, such as C(X-Grafana-Org-Id).
        type: dict
      timeout:
        description: Seconds within which it must be told, a second try included.
        type: float
        default: 5.0
      validate_certs:
        description: Whether the certificate must be trusted.
        type: bool
        default: true
      ca_path:
        description: A file of certificates to trust instead of the system's.
        type: path
  on_failure:
    description:
      - V(warn) warns when somebody could not be told, or the options of a target make no sense.
      - V(fail) fails the task. The others have been told all the same.
    type: str
    choices: [warn, fail]
    default: warn
  wait:
    description:
      - Whether the task waits until all have been told.
      - V(false) leaves that to a process that outlives the task. What becomes of it is not known, and nothing waits for it.
    type: bool
    default: true
extends_documentation_fragment:
  - zero_downtime.deploy.attributes
attributes:
  check_mode:
    description: Says whom it would tell, writes nothing and asks nobody.
    support: full
  diff_mode:
    description: Shows the file of O(textfile). What is sent elsewhere is no difference of anything here.
    support: partial
notes:
  - It tells from where the task runs, normally the controller (C(delegate_to) localhost). There it runs in the controller's process.
  - An error of the connection and an answer of 5xx are followed by one second try, as long as there is time. A chat may then
    show the same text twice.
  - Proxies of the environment are not used.
  - URLs, headers, tokens and passwords are treated as secrets. Of a URL, results and warnings show scheme, host and port.
seealso:
  - module: zero_downtime.deploy.rollout
"""

EXAMPLES = r"""
- name: Say that a rollout has begun
  zero_downtime.deploy.rollout_notice:
    event: begin
    record:
      service: shop
      version: 1.4.2
      strategy: rolling
      id: 20261122T041203Z-1.4.2-17
      began: "{{ now(utc=true).timestamp() }}"
    webhooks:
      - {url: "{{ vault_slack_url }}"}
  delegate_to: localhost
  run_once: true

- name: Say how it ended, to everybody
  zero_downtime.deploy.rollout_notice:
    event: finish
    record: "{{ report }}"
    past: "{{ history }}"
    labels: {environment: production}
    pushgateway: {url: "https://pushgateway.example.org", username: deploy, password: "{{ vault_pushgateway_password }}"}
    webhooks:
      - {url: "{{ vault_slack_url }}", text: "<!here> $text"}
      - {url: "https://deploys.example.org/hook", kind: json, headers: {Authorization: "Bearer {{ vault_deploys_token }}"}}
    grafana: {url: "https://grafana.example.org", token: "{{ vault_grafana_token }}"}
  delegate_to: localhost
  run_once: true

- name: Leave the figures for a node_exporter
  zero_downtime.deploy.rollout_notice:
    event: finish
    record: "{{ report }}"
    textfile: /var/lib/prometheus/node-exporter/rollout_shop.prom
  delegate_to: monitor1
  run_once: true
  become: true
"""

RETURN = r"""
text:
  description: What was said, as plain text.
  returned: always
  type: str
  sample: |-
    Rollout of shop to 1.4.2 succeeded: 6 hosts are on it, healthy and in traffic as before.
    It took 1 min. None of 600 requests failed.
targets:
  description: Who was told, in the order textfile, Pushgateway, webhooks, Grafana.
  returned: always
  type: list
  elements: dict
  contains:
    kind: {description: "V(textfile), V(pushgateway), V(slack), V(json) or V(grafana).", type: str, sample: slack}
    where: {description: "The file, or scheme, host and port.", type: str, sample: "https://hooks.slack.com"}
    told: {description: Whether it was told. False in check mode., type: bool, sample: true}
    changed: {description: "Whether anything is different there, or in check mode would be.", type: bool, sample: true}
    tries: {description: How many requests it took. 0 of a file., type: int, sample: 1}
    problem: {description: "Why it was not told, else empty. Ansible shows it as a warning.", type: str, sample: ""}
"""

import copy

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.redaction import MASK
from ansible_collections.zero_downtime.deploy.plugins.module_utils._notices.letter import where_of
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.tell_rollout import ARGUMENT_SPEC, run


def hide_secrets(module: AnsibleModule) -> None:
    """Take the secrets out of the options that the result shows; the use case quotes none.

    Ansible would censor whatever in the result looks like one, and of a URL that is the host, which is to be told.
    """
    for target in [module.params["pushgateway"], module.params["grafana"], *module.params["webhooks"]]:
        if target is None:
            continue
        target["url"] = where_of(target["url"].strip())
        for name in ("password", "token"):
            if target.get(name):
                target[name] = MASK
        if target["headers"]:
            target["headers"] = {name: MASK for name in target["headers"]}
    module.no_log_values.clear()


def main() -> None:
    """Wire the options to the use case."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = copy.deepcopy(module.params)
    hide_secrets(module)
    serve(module, lambda _shown, check_mode, clock: run(params, check_mode, clock))


if __name__ == "__main__":
    main()
