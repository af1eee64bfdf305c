# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The places where a service's lease and journals can stand, each real, asked as a module would ask and looked at past it."""

from __future__ import annotations

import json
import os
import uuid

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.keep_journal import (
    ARGUMENT_SPEC,
    CONSTRAINTS,
    run,
)

KIM = {"name": "kim", "controller": "c1", "pid": 10, "process_started": 5}
ALEX = {"name": "alex", "controller": "c2", "pid": 11, "process_started": 6}


class FakeClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.time = 1795255200.0

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


class Service:
    """One service.

    :ivar given: the options that say where its records stand.
    :ivar bookkeeping: records that say nothing of the service.
    """

    bookkeeping = frozenset()

    def __init__(self, **given):
        self.given = given
        self.clock = FakeClock()

    def __call__(self, action, check_mode=False, **options):
        given = {**self.given, **options, "action": action, "service": "shop"}
        validated = ArgumentSpecValidator(ARGUMENT_SPEC, **CONSTRAINTS).validate(given)
        assert not validated.error_messages, validated.error_messages
        return run(validated.validated_parameters, check_mode, self.clock)

    def begin(self, *owner, version="2", strategy="rolling", **options):
        return self("begin", owner=owner[0] if owner else KIM, version=version, strategy=strategy, **options)

    def record(self, begun, **options):
        return self("record", id=begun["id"], fence=begun["fence"], **options)

    def finish(self, begun, outcome="succeeded", **options):
        return self("finish", id=begun["id"], fence=begun["fence"], outcome=outcome, **options)

    def pass_time(self, seconds):
        """Let time pass, for all."""
        self.clock.time += seconds

    def all(self):
        """Every record, ``lease`` and ``rollouts/<id>`` among others, and its raw content."""
        raise NotImplementedError

    def put(self, name, content):
        """Write a record past the collection; also one of a name that is none."""
        raise NotImplementedError

    def remove(self, name):
        """Remove a record past the collection."""
        raise NotImplementedError

    def nothing_there(self):
        """Whether nothing at all was made."""
        raise NotImplementedError


class InFiles(Service):
    """Its records are files."""

    bookkeeping = frozenset({"lock"})

    def __init__(self, path):
        super().__init__(path=str(path))
        self.path = str(path)

    def _file(self, name):
        known = name == "lease" or name.startswith("rollouts/2")
        return os.path.join(self.path, "shop", name + ".json" if known else name)

    def all(self):
        found = {}
        for directory, _names, names in os.walk(self.path):
            for name in names:
                path = os.path.join(directory, name)
                with open(path, "rb") as stream:
                    found[os.path.relpath(path, os.path.join(self.path, "shop")).replace(".json", "")] = stream.read()
        return found

    def put(self, name, content):
        with open(self._file(name), "wb") as stream:
            stream.write(content)

    def remove(self, name):
        os.unlink(self._file(name))

    def nothing_there(self):
        return not os.path.exists(self.path)


class InEtcd(Service):
    """Its records are keys."""

    bookkeeping = frozenset({"written"})

    def __init__(self, server):
        self.server, self.prefix = server, "/%s" % uuid.uuid4().hex
        super().__init__(etcd={"urls": [server.url], "prefix": self.prefix})

    def _key(self, name):
        return "%s/shop/%s" % (self.prefix, name)

    def pass_time(self, seconds):
        super().pass_time(seconds)
        number = json.loads(self.all().get("lease", b"{}")).get("etcd_lease")
        if number:
            self.server.pass_time(number, seconds)

    def all(self):
        return self.server.keys(self._key(""))

    def put(self, name, content):
        self.server.put(self._key(name), content)

    def remove(self, name):
        self.server.delete(self._key(name))

    def nothing_there(self):
        return self.server.keys(self.prefix + "/") == {}
