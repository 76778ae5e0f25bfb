"""/health, /ready and /metrics, asked without a credential."""

from tests.support.slow_api import SlowApi


async def test_health_and_readiness_are_two_questions(api: SlowApi) -> None:
    """A process that cannot work is alive: 200 for health, 503 with the reason for ready."""
    assert (await api.client.get("/health")).json() == {"status": "healthy"}
    assert (await api.client.get("/ready")).json() == {"status": "ready"}
    api.ready[0] = "the store does not answer"
    assert (await api.client.get("/health")).status_code == 200
    answer = await api.client.get("/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "reason": "the store does not answer"})
    assert answer.headers["Retry-After"] == "1"


async def test_metrics_are_in_the_text_format(api: SlowApi) -> None:
    """Prometheus reads the answer by its content type."""
    answer = await api.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
