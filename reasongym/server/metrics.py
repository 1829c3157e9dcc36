"""What `/metrics` tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0)
"""Seconds."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.open_sessions = Gauge("reasongym_sessions_open", "sessions now", registry=registry)
        self.sessions = Counter("reasongym_sessions", "sessions opened", registry=registry)
        self.timed_out = Counter("reasongym_sessions_timed_out", "sessions closed because nobody used them", registry=registry)
        self.resets = Counter("reasongym_resets", "episodes begun", registry=registry)
        self.steps = Counter("reasongym_steps", "steps taken", registry=registry)
        self.invalid = Counter("reasongym_invalid_actions", "steps whose action was illegal", registry=registry)
        self.episodes = Counter("reasongym_episodes", "episodes finished", ["success"], registry=registry)
        self.waiting = Gauge("reasongym_episodes_waiting", "finished episodes that are not on disk", registry=registry)
        self.seconds = Histogram(
            "reasongym_step_seconds", "seconds in the environment, a step", buckets=BUCKETS, registry=registry
        )
        self.refusals = Counter("reasongym_refusals", "requests that were not served", ["code"], registry=registry)

    def text(self) -> bytes:
        """All of them, in Prometheus's text format."""
        return generate_latest(self.registry)
