"""What losses, miners and sources may know of a training step beyond its embeddings."""

import contextlib


class Step:
    """The step whose losses are being computed; there is one, `step`.

    Attributes:
        fields: Mapping of what the data set gives beside the embeddings' labels, by
            name, `(q, …)` each.
        training: Whether the step trains.
        recorded: What losses want in the logs of the step, scalars by name.
    """

    def __init__(self):
        self.fields = {}
        self.training = False
        self.recorded = {}

    @contextlib.contextmanager
    def of(self, fields, training):
        """Sets `fields` and `training` while the losses of one step are computed.

        Yields:
            The step, in whose `recorded` is afterwards what losses recorded.
        """
        before = self.fields, self.training, self.recorded
        self.fields, self.training, self.recorded = fields, training, {}
        try:
            yield self
        finally:
            self.fields, self.training, self.recorded = before

    def field(self, name):
        """Returns the field of that name, or raises a `ValueError` if there is none."""
        if name not in self.fields:
            raise ValueError(
                f"The loss needs the field {name!r}: train with kerasdml.MetricModel, "
                f"on a dict of labels with the keys 'label' and {name!r}. Received: "
                f"{sorted(self.fields)}."
            )
        return self.fields[name]

    def record(self, name, value):
        """Puts a scalar into the logs of the step."""
        self.recorded[name] = value


step = Step()
