# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the APIs of AWS, by boto3: bounded in time, patient with a service that limits how often it is asked.

boto3 is imported when it is needed, because a host has it only where it was installed for this.
"""

from __future__ import annotations

import sys
from typing import Any, Callable

from .._clock import Clock
from .._domain.errors import DeployError, InvalidInput, Refused, Unreachable
from . import aws_targets

TRIES = 3  # of one call, by boto3 itself
# Seconds between further tries of a call that AWS refuses because it is asked too often: reads and writes alike, since every
# write that is made here may be repeated.
PAUSES = (1.0, 2.0, 4.0, 5.0)
BUSY = ("Throttling", "ThrottlingException", "RequestLimitExceeded", "ServiceUnavailable", "InternalFailure")


class Declined(Refused):
    """AWS understood a call and does not do it.

    :param code: AWS's own word for the reason.
    """

    def __init__(self, message: str, code: str = "", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.code = code


class Busy(Exception):
    """AWS does not answer a call for the moment, with its words."""


class AwsApi:
    """What is asked of one account in one region.

    :param name: of the balancer, for messages.
    :param endpoint: what is asked, for messages.
    """

    def __init__(self, provider: str, name: str, endpoint: str, region: str, options: dict[str, Any]) -> None:
        self.provider, self.name, self.endpoint, self.region, self._options = provider, name, endpoint, region, options
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """boto3's client, made when it is first needed."""
        if service not in self._clients:
            self._clients[service] = self.connect(service)
        return self._clients[service]

    def connect(self, service: str) -> Any:
        """A new client of a service.

        :raises InvalidInput: boto3 is missing, or its configuration is wrong.
        """
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise InvalidInput(
                f"Balancer {self.name}: provider {self.provider} needs the Python package boto3 where it is talked from, for "
                f"{sys.executable} (Python {sys.version.split()[0]}): {error}. Nothing was touched."
            ) from None
        options = self._options
        patience = Config(
            connect_timeout=options["timeout"],
            read_timeout=options["timeout"],
            retries={"mode": "standard", "total_max_attempts": TRIES},
        )
        try:
            session = boto3.session.Session(
                aws_access_key_id=options["access_key"],
                aws_secret_access_key=options["secret_key"],
                aws_session_token=options["session_token"],
                region_name=self.region or None,
                profile_name=options["profile"],
            )
            return session.client(service, endpoint_url=options["url"], config=patience)
        except (BotoCoreError, ValueError) as error:
            raise InvalidInput(f"Balancer {self.name}: {error} Nothing was touched.") from None

    def call(self, what: str, none: str = "", service: str = "elbv2", **arguments: Any) -> dict[str, Any]:
        """The answer to one call.

        :param what: as boto3 calls it.
        :param none: the error that says that there is no such thing; an empty answer is returned then.
        :raises Declined: AWS does not do it.
        :raises Unreachable: there is no answer, or AWS is asked too often for as long as that is borne.
        """
        clock, pauses = Clock(), list(PAUSES)
        started = clock.monotonic()
        while True:
            try:
                return self._once(what, none, service, arguments)
            except Busy as error:
                if not pauses:
                    tries = (len(PAUSES) + 1) * TRIES
                    raise Unreachable(
                        f"Balancer {self.name}: {error}. It did so {tries} times within {clock.monotonic() - started:.0f} s: the account "
                        "asks more often than AWS allows in this region. Run the task again when less asks at the same time."
                    ) from None
                clock.sleep(pauses.pop(0))

    def pages(self, what: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
        """The rows of an answer that comes in pages."""
        found: list[dict[str, Any]] = []
        marker: dict[str, Any] = {}
        while True:
            answer = self.call(what, **arguments, **marker)
            found += aws_targets.rows(answer, key)
            if not answer.get("NextMarker"):
                return found
            marker = {"Marker": answer["NextMarker"]}

    def told(self, read: Callable[[], Any]) -> Any:
        """What `read` makes of an answer.

        :raises Unreachable: the answer is none of this API.
        """
        try:
            return read()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unreachable(
                f"Balancer {self.name}: {self.endpoint} answered what the ELBv2 API never does ({type(error).__name__}: {error})."
            ) from None

    def gone_instances(self, ids: list[str], witness: str = "") -> set[str]:
        """Those of the instances that are terminated, or known to EC2 no more; none where EC2 may not be asked.

        :param witness: an instance that there is.  Where EC2 does not know it either, it is asked about another account.
        """
        try:
            asked = [{"Name": "instance-id", "Values": sorted({*ids, *filter(None, (witness,))})}]
            answer = self.call("describe_instances", service="ec2", Filters=asked)
            states = self.told(
                lambda: {
                    str(instance["InstanceId"]): str(instance["State"]["Name"])
                    for reservation in aws_targets.rows(answer, "Reservations")
                    for instance in aws_targets.rows(reservation, "Instances")
                }
            )
        except DeployError:  # what is not known to be gone is there
            return set()
        ended = {id_ for id_ in ids if states.get(id_) in ("shutting-down", "terminated")}
        return ended | {id_ for id_ in ids if id_ not in states and witness in states}

    def _once(self, what: str, none: str, service: str, arguments: dict[str, Any]) -> dict[str, Any]:
        client = self.client(service)
        from botocore import exceptions as failures
        from botocore.parsers import ResponseParserError

        try:
            answer = getattr(client, what)(**arguments)
        except failures.ClientError as error:
            told = error.response.get("Error", {})
            code = str(told.get("Code"))
            said = f"AWS answered {code} to {what}: {str(told.get('Message')).rstrip('.')}"
            if none and code == none:
                return {}
            if code in BUSY:
                raise Busy(said) from None
            if code.isdigit():  # without a code that AWS gives, what answers may be anything
                raise Unreachable(f"Balancer {self.name}: {said}.") from None
            raise Declined(f"Balancer {self.name}: {said}.", code) from None
        except (failures.ReadTimeoutError, failures.ConnectTimeoutError):
            patience = f"{TRIES} times within {self._options['timeout']:g} s"
            raise Unreachable(f"Balancer {self.name}: {self.endpoint} did not answer {what}, {patience}.") from None
        except (
            failures.NoCredentialsError,
            failures.PartialCredentialsError,
            failures.CredentialRetrievalError,
        ) as error:
            raise Refused(
                f"Balancer {self.name}: AWS cannot be asked without credentials: {str(error).rstrip('.')}."
            ) from None
        except failures.BotoCoreError as error:
            raise Unreachable(f"Balancer {self.name}: {what} at {self.endpoint}: {str(error).rstrip('.')}.") from None
        except (
            ResponseParserError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:  # botocore's, over garbage
            raise Unreachable(
                f"Balancer {self.name}: the answer of {self.endpoint} to {what} is none of the ELBv2 API: "
                f"{' '.join(str(error).split())[:200]}. Is there a proxy before it, or another service at that address?"
            ) from None
        return answer if isinstance(answer, dict) else {}
