"""What a process answers over HTTP: both dialects over the same services, the public links of mails, the operator's paths.

Here the endpoints of every resource are named, and nowhere else; what each dialect calls a failure comes with them.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from postclock.api.app import build_app
from postclock.api.confirmation import confirmation_routes
from postclock.api.endpoint import Endpoint, Gate
from postclock.api.endpoint import routes as endpoint_routes
from postclock.api.intake import Intake
from postclock.api.limits import Limits
from postclock.api.operations import operation_routes
from postclock.api.scaisend.api_keys import key_endpoints
from postclock.api.scaisend.batches import batch_endpoints
from postclock.api.scaisend.event_settings import event_settings_endpoints
from postclock.api.scaisend.failures import VOICE
from postclock.api.scaisend.mail_send import PATH as MAIL_SEND_PATH
from postclock.api.scaisend.mail_send import MailSend
from postclock.api.scaisend.mail_send_endpoint import MAIL_SEND
from postclock.api.scaisend.messages import message_endpoints
from postclock.api.scaisend.openapi import openapi_route
from postclock.api.scaisend.scopes import scope_endpoints
from postclock.api.scaisend.suppressions import bounce_endpoints, spam_report_endpoints, unsubscribe_endpoints
from postclock.api.scaisend.templates import template_endpoints
from postclock.api.scaisend.tracking_settings import tracking_setting_endpoints
from postclock.api.scaisend.webhooks import webhook_endpoints
from postclock.api.sendara.account import account_endpoints
from postclock.api.sendara.domains import domain_endpoints
from postclock.api.sendara.failures import VOICE as SENDARA_VOICE
from postclock.api.sendara.keys import key_endpoints as sendara_key_endpoints
from postclock.api.sendara.messages import message_endpoints as sendara_message_endpoints
from postclock.api.sendara.openapi import openapi_route as sendara_openapi_route
from postclock.api.sendara.send import PATH as SEND_PATH
from postclock.api.sendara.send import Send, SendOne
from postclock.api.sendara.send_batch import PATH as SEND_BATCH_PATH
from postclock.api.sendara.send_batch import SendBatch
from postclock.api.sendara.send_endpoints import SEND, SEND_BATCH
from postclock.api.sendara.suppressions import suppression_endpoints
from postclock.api.sendara.templates import simple_template_endpoints
from postclock.api.sendara.test_recipients import recipient_endpoints
from postclock.api.sendara.usage import usage_endpoints
from postclock.api.sendara.validate import validate_endpoints
from postclock.api.sendara.webhooks import webhook_endpoints as sendara_webhook_endpoints
from postclock.api.tracking import tracking_routes
from postclock.core.clock import Clock
from postclock.core.errors import Busy
from postclock.engine.supervisor import Engine
from postclock.runtime.entropy import SystemEntropy
from postclock.runtime.metrics import Metrics
from postclock.service.secret_key import DKIM as DKIM
from postclock.service.secret_key import KEY_FILE as KEY_FILE
from postclock.service.secret_key import Rotation as Rotation
from postclock.service.secret_key import check_key as check_key
from postclock.service.tracking import Engagements
from postclock.services import Services
from postclock.stores import Opened

VOICES: Final = {"/v3/": VOICE, "/v1/": SENDARA_VOICE}
"""How each dialect answers, by the prefix of its paths."""


def sendara_endpoints(services: Services, clock: Clock) -> tuple[Endpoint, ...]:
    """/v1: each resource's endpoints, over the services that /v3 has as well."""
    return (
        *usage_endpoints(services.usage),
        *recipient_endpoints(services.test_recipients),
        SEND,
        SEND_BATCH,
        *validate_endpoints(services.validation),
        *sendara_message_endpoints(services.messages, clock),
        *sendara_key_endpoints(services.keys),
        *suppression_endpoints(services.suppressions),
        *account_endpoints(services.domains),
        *simple_template_endpoints(services.simple_templates),
        *domain_endpoints(services.domains),
        *sendara_webhook_endpoints(services.webhooks),
    )


def build_api(
    services: Services,
    store: Opened,
    clock: Clock,
    metrics: Metrics,
    engine: Engine,
    share: Callable[[], float],
    engagements: Engagements,
    console: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """The ASGI app, with the routes of the console."""
    limits, intake = Limits(clock, share), Intake()
    gate = Gate(services.authenticator, limits, intake, VOICE)
    endpoints = (
        MAIL_SEND,
        *batch_endpoints(services.batches),
        *message_endpoints(services.messages),
        *template_endpoints(services.templates),
        *bounce_endpoints(services.suppressions),
        *spam_report_endpoints(services.suppressions),
        *unsubscribe_endpoints(services.suppressions),
        *key_endpoints(services.keys),
        *scope_endpoints(),
        *tracking_setting_endpoints(services.tenants),
        *webhook_endpoints(services.webhooks),
        *event_settings_endpoints(services.webhooks),
    )

    hot = MailSend(
        authenticator=services.authenticator,
        limits=limits,
        intake=intake,
        submit=services.submit,
        clock=clock,
        metrics=metrics,
    )
    # /v1: each resource's endpoints, over the same services.
    sendara_gate = Gate(services.authenticator, limits, intake, SENDARA_VOICE)
    send_one = SendOne(
        submit=services.submit, messages=services.messages, clock=clock, entropy=SystemEntropy(), metrics=metrics
    )
    send = Send(send_one=send_one, authenticator=services.authenticator, limits=limits, intake=intake)
    send_batch = SendBatch(
        send_one=send_one, clock=clock, authenticator=services.authenticator, limits=limits, intake=intake
    )
    of_sendara = sendara_endpoints(services, clock)
    return build_app(
        [
            *operation_routes(_readiness(store, engine), metrics.registry),
            openapi_route(endpoints),
            *endpoint_routes(endpoints, gate),
            sendara_openapi_route(of_sendara),
            *endpoint_routes(of_sendara, sendara_gate),
            *tracking_routes(engagements),
            *confirmation_routes(services.test_recipients),
            *console,
        ],
        {("POST", MAIL_SEND_PATH): hot, ("POST", SEND_PATH): send, ("POST", SEND_BATCH_PATH): send_batch},
        voices=VOICES,
    )


def _readiness(store: Opened, engine: Engine) -> Callable[[], Awaitable[str | None]]:
    async def ready() -> str | None:
        if engine.failure is not None:
            return f"the engine ended: {engine.failure}"
        return None if await store.is_ready() else "the store does not answer"

    return ready


def build_operations(store: Opened, engine: Engine, metrics: Metrics) -> ASGIApp:
    """What an engine without an API answers: /health, /ready and /metrics alone."""
    return build_app(operation_routes(_readiness(store, engine), metrics.registry), {}, voices=VOICES)


def build_waiting(reason: Callable[[], str], clock: Clock) -> ASGIApp:
    """What a process answers while it waits for its store: /health, /ready with the reason, and 503 for everything else."""

    async def not_ready() -> str | None:
        return reason()

    async def busy(_: Request) -> Response:
        raise Busy(f"Not ready yet: {reason()}", retry_after=2)

    routes = operation_routes(not_ready, Metrics().registry)
    every = Route("/{path:path}", busy, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    return build_app([*routes, every], {}, voices=VOICES)
