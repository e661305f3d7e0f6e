"""What losses, miners and sources may know of a training step beyond its embeddings."""

import contextlib


class Step:
    """The step whose losses are being computed; there is one, `step`.

    Attributes:
        fields: Mapping of what the data set gives beside the embeddings' labels, by
            name, `(q, …)` each.
        training: Whether the step trains.
    """

    def __init__(self):
        self.fields = {}
        self.training = False

    @contextlib.contextmanager
    def of(self, fields, training):
        """Sets `fields` and `training` while the losses of one step are computed."""
        before = self.fields, self.training
        self.fields, self.training = fields, training
        try:
            yield
        finally:
            self.fields, self.training = before


step = Step()
