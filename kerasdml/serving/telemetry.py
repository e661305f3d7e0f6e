"""What a server counts, for Prometheus."""

try:
    import prometheus_client as prometheus
except ImportError as error:
    raise ImportError(
        "The local server needs prometheus-client: pip install kerasdml[serve]. "
        "`serving.Client` needs nothing."
    ) from error

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Telemetry:
    """Counters of one server, in a registry of its own."""

    def __init__(self):
        self._registry = registry = prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "kerasdml_requests",
            "Requests that were answered.",
            ["protocol", "method", "status"],
            registry=registry,
        )
        self._seconds = prometheus.Histogram(
            "kerasdml_request_seconds",
            "From the head of a request to the end of its answer.",
            ["protocol", "method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._rows = prometheus.Histogram(
            "kerasdml_batch_rows",
            "Rows of a call of the model.",
            buckets=_ROWS,
            registry=registry,
        )
        self._loads = prometheus.Counter(
            "kerasdml_version_loads",
            "Versions that were loaded or refused.",
            ["result"],
            registry=registry,
        )
        self.in_flight = prometheus.Gauge(
            "kerasdml_predictions_in_flight",
            "Predictions under way.",
            registry=registry,
        )
        self._available = prometheus.Gauge(
            "kerasdml_version_available",
            "1 for each version that is served.",
            ["version"],
            registry=registry,
        )

    def request(self, protocol: str, method: str, status: str, seconds: float):
        """Counts a request that was answered."""
        self._requests.labels(protocol, method, status).inc()
        self._seconds.labels(protocol, method).observe(seconds)

    def batch(self, rows: int):
        """Counts a call of the model."""
        self._rows.observe(rows)

    def load(self, version: int, loaded: bool):
        """Counts a version that was loaded or refused."""
        self._loads.labels("loaded" if loaded else "refused").inc()

    def text(self, versions) -> bytes:
        """All of it in Prometheus' text format.

        Args:
            versions: Numbers of the versions that are served now.
        """
        self._available.clear()
        for number in versions:
            self._available.labels(str(number)).set(1)
        return prometheus.generate_latest(self._registry)
