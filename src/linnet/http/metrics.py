"""Numbers about the server for Prometheus. Labels are names of ours, never a text of a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from linnet.engines.requests.generation import Generation
from linnet.http.errors import Problem

if TYPE_CHECKING:
    from linnet.engines.llama.pool import EnginePool
    from linnet.http.admission import Admission
    from linnet.http.generations import Generations
    from linnet.http.tracing import Recorder

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_SPEEDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metrics:
    """What happened so far, and what is so now. Safe to use from threads."""

    def __init__(self) -> None:
        here = self.registry = CollectorRegistry()
        self._requests = Counter(
            "linnet_http_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
            registry=here,
        )
        self._seconds = Histogram(
            "linnet_http_request_seconds",
            "From the first byte to the last.",
            ("route",),
            buckets=_SECONDS,
            registry=here,
        )
        self._refusals = Counter(
            "linnet_refusals", "Requests answered with an error, by status and code.", ("status", "code"), registry=here
        )
        self._tokens = Counter(
            "linnet_tokens",
            "Tokens by model and kind: prompt, of these cached, completion.",
            ("model", "kind"),
            registry=here,
        )
        self._ends = Counter(
            "linnet_generations", "Answers by model and how they ended.", ("model", "finish"), registry=here
        )
        self._first = Histogram(
            "linnet_time_to_first_token_seconds",
            "From admission to the first token, loading and waiting included.",
            ("model",),
            buckets=_SECONDS,
            registry=here,
        )
        self._speed = Histogram(
            "linnet_tokens_per_second", "Of decoding, by answer.", ("model",), buckets=_SPEEDS, registry=here
        )

    def watch(self, generations: Generations, admission: Admission, recorder: Recorder) -> None:
        """Tell of the queues, of the loaded models and of the traces too."""
        self.registry.register(_Now(generations, admission, recorder))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method if method in ("GET", "HEAD", "POST") else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, problem: Problem) -> None:
        self._refusals.labels(str(problem.status), problem.code or problem.type).inc()

    def generated(self, model: str, end: Generation, waited_ms: float) -> None:
        """Note one answer; `waited_ms` were spent before its engine was asked."""
        self._ends.labels(model, end.finish_reason).inc()
        self._tokens.labels(model, "prompt").inc(end.prompt_tokens)
        self._tokens.labels(model, "cached").inc(end.cached_tokens)
        self._tokens.labels(model, "completion").inc(end.completion_tokens)
        timings = end.timings
        if timings.first_token_ms is not None:
            self._first.labels(model).observe((waited_ms + timings.first_token_ms) / 1000)
        if timings.decode_ms > 0 and end.completion_tokens > 1:
            self._speed.labels(model).observe(1000 * end.completion_tokens / timings.decode_ms)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _Now(Collector):
    """Gauges that are read when they are asked for."""

    def __init__(self, generations: Generations, admission: Admission, recorder: Recorder) -> None:
        self._generations, self._admission, self._recorder = generations, admission, recorder

    def collect(self) -> Iterator[Metric]:
        inside, running = self._generations.inside, self._generations.running
        yield GaugeMetricFamily("linnet_generations_running", "Requests that hold a slot.", value=running)
        yield GaugeMetricFamily("linnet_queue_depth", "Requests that wait.", value=max(0, inside - running))
        inside, running = self._admission.inside, self._admission.at_work
        yield GaugeMetricFamily("linnet_specialists_running", "Requests of specialists at work.", value=running)
        waiting = max(0, inside - running)
        yield GaugeMetricFamily("linnet_specialists_queue_depth", "Requests of specialists that wait.", value=waiting)
        yield CounterMetricFamily("linnet_traces_written", "Traces written down.", value=self._recorder.written)
        yield CounterMetricFamily("linnet_traces_dropped", "Traces that were lost.", value=self._recorder.dropped)
        yield from _memory(self._generations.pool)


def _memory(pool: EnginePool) -> Iterator[GaugeMetricFamily]:
    bytes_ = GaugeMetricFamily("linnet_model_memory_bytes", "Of a loaded model.", labels=("model", "kind"))
    leases = GaugeMetricFamily("linnet_model_requests", "Requests that hold a loaded model.", labels=("model",))
    for row in pool.ps():
        name = ",".join(row.names) or "(an older version)"
        bytes_.add_metric((name, "planned"), row.planned_bytes)
        bytes_.add_metric((name, "measured"), row.measured_bytes)
        leases.add_metric((name,), row.requests)
    yield bytes_
    yield leases
