"""/health, /ready and /metrics: what machines that watch the process ask. No credential, no tenant, no secret in the answers.

``ready`` asks the store; ``health`` only says that the process answers.
"""

from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Ready = Callable[[], Awaitable[str | None]]
"""None when the process can work, else why it cannot."""


def operation_routes(ready: Ready, registry: CollectorRegistry) -> list[Route]:
    """The three routes."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "healthy"})

    async def readiness(_: Request) -> Response:
        reason = await ready()
        if reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": reason}, 503, {"Retry-After": "1"})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [Route("/health", health), Route("/ready", readiness), Route("/metrics", metrics)]
