"""Shards embedded by the workers of an Apache Beam runner."""

try:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.utils.shared import Shared
except ImportError as error:
    raise ImportError(
        "A `runner` needs the apache-beam package: pip install 'kerasdml[beam]'."
    ) from error

from kerasdml.bulk.worker import Worker

# Beam's DirectRunner downloads a program for itself, and then runs in one process
# whatever it is told. This is what it falls back on, and heeds `direct_num_workers`.
_LOCAL = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


class EmbedShards(beam.DoFn):
    """Embeds shards `(number, part)`; a process loads the embedder once."""

    def __init__(self, job):
        self.job = job
        self.shared = Shared()

    def setup(self):
        self.worker = self.shared.acquire(lambda: Worker(self.job))

    def process(self, element):
        self.worker.embed(*element)


def run(job, parts, runner, options):
    """Embeds all parts and waits for the end.

    Raises:
        ValueError: If a worker fails; its last line says why.
    """
    runner = _LOCAL if runner == "DirectRunner" else runner
    try:
        with beam.Pipeline(options=PipelineOptions(list(options), runner=runner)) as p:
            shards = p | "Parts" >> beam.Create(list(enumerate(parts)))
            apart = shards | "Spread" >> beam.Reshuffle()
            apart | "Embed" >> beam.ParDo(EmbedShards(job))
    except RuntimeError as error:
        raise ValueError(f"{runner} failed: {_last_line(error)}") from error


def _last_line(error):
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
