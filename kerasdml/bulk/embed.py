"""From a collection of images to files of embeddings."""

import dataclasses
import os
import posixpath
from collections.abc import Sequence

import keras

from kerasdml.bulk.files import absolute, remove_drafts, replaced
from kerasdml.bulk.plan import Plan
from kerasdml.bulk.sources import LIST, collection
from kerasdml.bulk.worker import Job, Worker, model_sha256


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What `embed` wrote.

    Args:
        paths: The files, in the order of the collection.
        embeddings: How many embeddings they hold.
        damaged: How many images were left out.
    """

    paths: list[str]
    embeddings: int
    damaged: int


def embed(
    model: str | os.PathLike,
    source: str | os.PathLike | Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    *,
    shards: int = 1,
    batch_size: int = 64,
    skip_damaged: bool = False,
    image_key: str = "image/encoded",
    id_key: str | None = None,
    label_key: str | None = None,
    runner: str | None = None,
    runner_options: Sequence[str] = (),
    verbose: int = 1,
) -> Embedded:
    """Embeds a collection of images, however large, into files of embeddings.

    Writes `embeddings-00000-of-00010.npz` and so on to `folder`, which `kerasdml index`
    takes: arrays `embeddings (n, d)` float32, `ids (n,)`, `labels (n,)` if there are
    any, and `embedder`, the fingerprint that `index.load(embedder=...)` checks. What
    they hold is fixed before, in `plan.json`, and is the same on one machine and by any
    runner. A file appears whole or not at all, so that whatever ends the work, the same
    call goes on with it: files that are there are checked and kept.

    A batch of images and the embeddings of one file are in memory, for each process:
    `n d` × 4 bytes, 205 MB of 100,000 of size 512, and for a moment twice that.

    Args:
        model: Name in the zoo, or path of a `.keras` file.
        source: One of

            - a list of image files, `.txt` or `.tsv`: a path a line, below the list's
              folder if it is relative, and if wanted a tab and a label;
            - a folder that has a folder of images for every class, the label;
            - TFRecord files of `tf.train.Example`: a path, a pattern such as
              `"train-*.tfrecord"`, or several of either.

            Ids are the paths as they are listed; of TFRecords see `id_key`. An index
            needs ids that differ.
        folder: Where to write: new, empty, or that of the same call begun earlier.
        shards: How many files to write, at least 1; at most as many as there are
            images, or TFRecord files, which are not divided. A shard is what one
            worker does at a time, and what is done again after an interruption.
        batch_size: Images that go through the model at once, > 0.
        skip_damaged: Whether to leave out images that are missing or cannot be read.
            They are counted, and listed with the reason in
            `embeddings-00000-of-00010.damaged.tsv` beside the file.
        image_key: Of TFRecords, the feature with a JPEG, PNG, GIF or BMP file.
        id_key: The feature with the id, bytes or integers; "" for the file and the
            position in it, such as `train-7.tfrecord:41`; None for `image/filename`
            where the first record has it, else as "".
        label_key: The feature with the label, likewise; "" for no labels; None for
            `image/class/text` or `image/class/label`, which the first record has.
        runner: The Apache Beam runner that spreads shards over workers, such as
            `"DirectRunner"` or `"DataflowRunner"`; None for this process, with
            `tf.data`. `"DirectRunner"` is Beam's `FnApiRunner`, which downloads
            nothing. Every worker must see `model`, `source` and `folder` under the
            same paths: shared ones, or for all but a model and a folder of images
            those of a store that TensorFlow opens, such as `gs://`.
        runner_options: Further words for Beam, such as `"--direct_num_workers=2"`.
        verbose: 0 is silent, 1 shows a progress bar where there is no runner.

    Returns:
        An `Embedded`: the paths, and how many embeddings and damaged images there are.

    Raises:
        ImportError: If there is a runner, and not the apache-beam package.
        FileExistsError: If `folder` holds something else, or was begun with another
            collection, model or number of shards.
        ValueError: If `source` is none of these, an image cannot be read (it is named),
            or the model does not embed images of one size.

    Example:

    >>> kerasdml.bulk.embed("runs/1/embedder.keras", "photos.tsv", "photos", shards=10)
    >>> kerasdml.bulk.embed(
    ...     "/nfs/embedder.keras",
    ...     "/nfs/photos/*.tfrecord",
    ...     "/nfs/embedded",
    ...     shards=100,
    ...     runner="DirectRunner",
    ...     runner_options=[
    ...         "--direct_num_workers=4",
    ...         "--direct_running_mode=multi_processing",
    ...     ],
    ... )
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}.")
    model, folder = os.fspath(model), absolute(folder)
    if model.endswith(".keras"):
        model = absolute(model)
    found = collection(source, folder, shards, image_key, id_key, label_key)
    plan = Plan(found.sha256, model_sha256(model), shards, found.features)
    job = Job(model, folder, plan, batch_size, skip_damaged)
    if runner is not None:
        from kerasdml.bulk import pipeline
    plan.claim(folder)
    if found.text is not None:
        with replaced(posixpath.join(folder, LIST)) as file:
            file.write(found.text)
    if runner is None:
        _embed_here(job, found, verbose)
    else:
        pipeline.run(job, found.parts, runner, runner_options)
    remove_drafts(folder)
    counts = [plan.counts(folder, number) for number in range(shards)]
    paths = [plan.path(folder, number) for number in range(shards)]
    return Embedded(paths, *map(sum, zip(*counts, strict=True)))


def _embed_here(job, found, verbose):
    worker = Worker(job)
    bar = keras.utils.Progbar(found.rows, verbose=verbose, unit_name="image")
    seen = 0

    def progress(rows):
        nonlocal seen
        seen += rows
        bar.update(seen, finalize=False)

    for number, part in enumerate(found.parts):
        worker.embed(number, part, progress)
    bar.update(seen, finalize=True)
