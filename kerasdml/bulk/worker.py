"""Embedding one shard after the other, by an embedder that is loaded once."""

import dataclasses
import os
import pathlib
import re
import shutil
import tempfile

import numpy as np
import tensorflow as tf

from kerasdml import index, zoo
from kerasdml.bulk.files import chunks, replaced, sha256
from kerasdml.bulk.plan import Plan


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a worker must know, but for the parts of the collection.

    Args:
        model: Name in the zoo, or path of a `.keras` file.
        folder: Where the shards are written.
        plan: What they hold.
        batch_size: Images that go through the model at once.
        skip_damaged: Whether images that cannot be read are left out.
    """

    model: str
    folder: str
    plan: Plan
    batch_size: int
    skip_damaged: bool


class Worker:
    """Embeds shards of a job, in one thread or several."""

    def __init__(self, job):
        if model_sha256(job.model) != job.plan.model:
            raise ValueError(
                f"The file of {job.model} here is not that of the plan. Every worker "
                "must read the same."
            )
        self.job = job
        self.model = zoo.load(job.model)
        _check_shapes(self.model)
        # In one thread, before several may ask for it.
        self.model.make_predict_function()
        *self.size, self.channels = self.model.input_shape[1:]
        self.fingerprint = index.fingerprint(self.model)

    def embed(self, number, part, progress=lambda rows: None):
        """Writes a shard, unless it is there; what `part` cannot be read is told.

        Args:
            number: That of the shard.
            part: Its `Lines` or `Records`.
            progress: Called with the number of images after each batch.
        """
        job = self.job
        if job.plan.has(job.folder, number):
            progress(sum(job.plan.counts(job.folder, number)))
            return
        arrays, damaged = self._embedded(part, progress)
        self._write_damaged(number, damaged)
        marks = {"plan": job.plan.sha256, "damaged": len(damaged)}
        self._write(job.plan.path(job.folder, number), {**arrays, **marks})

    def _embedded(self, part, progress):
        """The arrays of a shard, and the id and reason of each damaged image."""
        embeddings, ids, labels, damaged = [], [], [], []
        for names, classes, items, images, whole in self._batches(part):
            if not whole.all():
                images, whole = images.copy(), whole.copy()
                damaged += self._read_again(part, names, items, images, whole)
                images = images[whole]
            if len(images):
                output = self.model.predict_on_batch(images)
                embeddings.append(np.asarray(output, "float32"))
            ids.append(names[whole])
            labels.append(classes[whole])
            progress(len(names))
        none = np.zeros((0, self.model.output_shape[-1]), "float32")
        arrays = {"embeddings": np.concatenate([none, *embeddings])}
        arrays["ids"] = _texts(ids)
        if part.labelled:
            arrays["labels"] = _texts(labels)
        return {**arrays, "embedder": self.fingerprint}, damaged

    def _batches(self, part):
        """Ids, labels, what `part` loads, images, and which of them are whole."""
        shape = *self.size, self.channels

        def tried(name, label, item):
            def load(item):
                return part.load(item, self.size, self.channels), True

            # An error of this image, and of nothing else, gives way to a blank.
            loaded = tf.data.Dataset.from_tensors(item).map(load).ignore_errors()
            blank = tf.data.Dataset.from_tensors((tf.zeros(shape), False))
            one = loaded.concatenate(blank).take(1)
            return one.map(lambda image, whole: (name, label, item, image, whole))

        examples = part.examples().interleave(
            tried,
            cycle_length=2 * (os.cpu_count() or 1),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        batches = examples.batch(self.job.batch_size).prefetch(2)
        try:
            yield from batches.as_numpy_iterator()
        except tf.errors.OpError as error:
            raise ValueError(
                f"{_name(part)} cannot be read: {_reason(error)}"
            ) from None

    def _read_again(self, part, names, items, images, whole):
        """Tells why images could not be read, and takes those that now can be."""
        damaged = []
        for at in np.flatnonzero(~whole):
            name = _text(names[at])
            try:
                images[at] = part.load(items[at], self.size, self.channels)
                whole[at] = True
            except tf.errors.OpError as error:
                if not self.job.skip_damaged:
                    raise ValueError(
                        f"{name} cannot be read as an image: {_reason(error)} "
                        "`skip_damaged` leaves such images out."
                    ) from None
                damaged.append((name, _reason(error)))
        return damaged

    def _write_damaged(self, number, damaged):
        path = self.job.plan.damaged_path(self.job.folder, number)
        if damaged:
            with replaced(path) as file:
                for pair in damaged:
                    file.write(("\t".join(pair) + "\n").encode())
        elif tf.io.gfile.exists(path):
            tf.io.gfile.remove(path)

    def _write(self, path, arrays):
        # Not every file system can go back in a file, which archives need.
        with tempfile.TemporaryFile() as local:
            np.savez(local, **arrays)
            local.seek(0)
            with replaced(path) as file:
                shutil.copyfileobj(local, file, 1 << 20)


def model_sha256(name):
    """The SHA-256 of the file of an embedder, downloaded if need be."""
    path = name if name.endswith(".keras") else zoo.download(name)
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"There is no model file at {path!r}.")
    return sha256(chunks(path))


def _check_shapes(model):
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            "The model must take images of one size, `(b, h, w, channels)`. "
            f"Received: a model of inputs {shape}."
        )
    if not isinstance(model.output_shape, tuple) or len(model.output_shape) != 2:
        raise ValueError(
            "The model must give one embedding `(b, d)` an image. Received: a model "
            f"of outputs {model.output_shape}."
        )


def _texts(batches):
    """Batches of texts as one array of text; of integers as they are."""
    values = np.concatenate(batches) if batches else np.zeros(0, object)
    if values.dtype.kind == "i":
        return values
    return np.array([_text(value) for value in values], dtype=str)


def _text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def _name(part):
    """What a part reads, for people."""
    return getattr(part, "path", None) or f"One of {', '.join(part.paths)}"


def _reason(error):
    """What went wrong, in one line, without where in TensorFlow."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message or str(error), flags=re.S)
    return " ".join(text.split())
