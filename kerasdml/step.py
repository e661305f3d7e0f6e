"""What losses, miners and sources may know of a training step beyond its embeddings."""

import contextlib
import threading


class Step(threading.local):
    """The step whose losses are being computed; there is one, `step`, a thread.

    Replicas are threads that wait for one another in the midst of a step.

    Attributes:
        fields: Mapping of what the data set gives beside the embeddings' labels, by
            name, `(q, …)` each.
        training: Whether the step trains.
        recorded: What losses want in the logs of the step, scalars by name.
        labels: What the loss being computed was called with, as it came.
    """

    def __init__(self):
        self.fields = {}
        self.training = False
        self.recorded = {}
        self.labels = None
        self.made = None

    @contextlib.contextmanager
    def of(self, fields, training):
        """Sets `fields` and `training` while the losses of one step are computed.

        Yields:
            The step, in whose `recorded` is afterwards what losses recorded.
        """
        before = self.fields, self.training, self.recorded, self.made
        self.fields, self.training, self.recorded, self.made = fields, training, {}, {}
        try:
            yield self
        finally:
            self.fields, self.training, self.recorded, self.made = before

    @contextlib.contextmanager
    def labelled(self, labels):
        """Sets `labels` while one loss is computed."""
        before, self.labels = self.labels, labels
        try:
            yield
        finally:
            self.labels = before

    def once(self, make, *objects):
        """Returns `make()`, called once a step for the same `objects`.

        So several losses of one step share what a layer makes of their batch.
        """
        if self.made is None:
            return make()
        key = tuple(map(id, objects))
        if key not in self.made:
            # The objects are kept as well, so that no others get their ids.
            self.made[key] = make(), objects
        return self.made[key][0]

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
