"""The figures that /metrics shows. One object for the process, made by the assembly."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENESS_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


class Metrics:
    """Counters and histograms; durations in seconds."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.accepted = Counter("postclock_accepted_messages", "Messages accepted", ["dialect"], registry=r)
        self.departed = Counter("postclock_departed_messages", "Attempts that departed", registry=r)
        self.outcomes = Counter(
            "postclock_recipient_outcomes", "What became of recipients, per attempt", ["outcome"], registry=r
        )
        self.uncertain = Counter("postclock_uncertain_messages", "Attempts whose result was lost", registry=r)
        self.held = Counter("postclock_departures_held", "Departures that were not allowed", ["why"], registry=r)
        self.lateness = Histogram(
            "postclock_lateness_seconds", "Departed minus due, at the hand-off", buckets=LATENESS_BUCKETS, registry=r
        )
        self.in_pipeline = Gauge("postclock_pipeline_messages", "Claimed and not yet recorded", registry=r)
        self.clock_held = Gauge(
            "postclock_clock_hold", "1 while a forward clock jump holds scheduled departures", registry=r
        )
        self.engagements = Counter("postclock_engagements", "Opens and clicks taken in", ["kind"], registry=r)
        self.engagements_dropped = Counter(
            "postclock_engagements_dropped", "Opens and clicks that were too many to keep", registry=r
        )
        self.requests = Counter("postclock_http_requests", "Requests answered", ["status"], registry=r)
        self.webhook_posts = Counter("postclock_webhook_posts", "Posts to webhooks", ["outcome"], registry=r)
        self.webhook_deliveries = Counter(
            "postclock_webhook_deliveries", "Events told of, or given up", ["outcome"], registry=r
        )
        self.webhook_waiting = Gauge(
            "postclock_webhook_waiting", "Events that wait for their endpoint, 100,000 at the most", registry=r
        )
