"""The model that trains an embedder."""

import keras

from kerasdml.losses import MetricLoss
from kerasdml.metrics import evaluate
from kerasdml.metrics.evaluate import metric_names
from kerasdml.models.embedding import embed
from kerasdml.models.monitors import check_monitors
from kerasdml.ops import check_similarity
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.models")
class MetricModel(keras.Model):
    """Trains an embedder with a metric-learning loss, and evaluates it by retrieval.

    It is the embedder, with two things added. `compile` attaches what the loss trains
    or remembers (proxies, memories), so that it trains, saves and restores with the
    model. And `evaluate`, hence the validation of `fit`, embeds the whole set once and
    returns retrieval metrics: `val_recall_at_1`, `val_precision_at_1`, …,
    `val_r_precision` and `val_map_at_r` are in the logs, whatever the callbacks' order.

    Labels are `(q,)` integers, or a dict with the key `"label"` and the further fields
    that a loss asks for.

    Args:
        embedder: Built `keras.Model` from inputs to embeddings `(q, d)`. It stays an
            ordinary model, in the attribute of its name: save it, export it.
        ks: The k of recall@k, precision@k and others at k.
        similarity: How `evaluate` compares: "cosine", "dot", or minus a distance, as in
            `ops.similarities`.
        metrics: Names of what `evaluate` computes, as `metrics.evaluate` takes them:
            "recall_at_k", "map_at_r", "mrr", … of retrieval, and "nmi", "ami",
            "pairwise_f1", … of clustering, which run k-means.
        **kwargs: Keras' `name` and `trainable`.

    Raises:
        ValueError: If the embedder is not built or does not give `(q, d)`, or a metric
            or the similarity is unknown.

    Example:

    >>> model = kerasdml.MetricModel(kerasdml.models.Embedder("conv4", dim=64))
    >>> model.compile("adam", loss=kerasdml.losses.ProxyAnchor(num_classes=100))
    >>> model.fit(train, epochs=10, validation_data=validation)
    """

    def __init__(
        self,
        embedder,
        ks=(1, 10),
        similarity="cosine",
        metrics=("recall_at_k", "precision_at_k", "r_precision", "map_at_r"),
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_embedder(embedder)
        metric_names(metrics, ks)
        self.embedder = embedder
        self.ks = list(ks)
        self.similarity = check_similarity(similarity)
        self.evaluated = list(metrics)  # `metrics` is Keras' own
        self.attached = _Attached(name="loss_layers")
        self.built = True

    def build(self, input_shape):
        """Does nothing: the embedder is built, and `compile` builds the loss."""

    def call(self, inputs, training=None):
        return self.embedder(inputs, training=training)

    def compute_output_shape(self, input_shape):
        return self.embedder.compute_output_shape(input_shape)

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        *,
        metrics=None,
        weighted_metrics=None,
        **kwargs,
    ):
        """Configures training, and attaches the weights of the loss to the model.

        Compiling again with another loss leaves only that loss's weights.

        Args:
            optimizer: Keras optimizer or its name.
            loss: A loss of `kerasdml.losses`, or any Keras loss of `(q, d)` embeddings.
            metrics: Must be `None`: `evaluate` computes retrieval metrics.
            weighted_metrics: Likewise.
            **kwargs: As in `keras.Model.compile`.

        Raises:
            ValueError: If `metrics` or `weighted_metrics` are given.
        """
        if metrics or weighted_metrics:
            raise ValueError(
                "`metrics` of Keras average over batches, which says nothing about "
                "retrieval: pass `validation_data` to `fit`, or call `evaluate`, for "
                "recall@k, precision@k, R-precision and MAP@R of the whole set."
            )
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        losses = self._metric_losses()
        for metric_loss in losses:
            metric_loss.build(self.embedder.output_shape[-1])
        layers = [layer for metric_loss in losses for layer in metric_loss.layers]
        parts = [part.name for metric_loss in losses for part in metric_loss.parts]
        self.attached.replace(layers, parts)
        # Before weights are read from a file, so that the slots find their place.
        self.optimizer.build(self.trainable_variables)
        if self._compile_loss is not None:
            # Or Keras would, under `tf.distribute` from a mean of the replicas' labels.
            labels = keras.KerasTensor((None,), "int32")
            self._compile_loss.build(
                labels, keras.KerasTensor(self.embedder.output_shape)
            )

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        fields = _fields(y)
        self._check_fields(fields)
        with step.of({**fields, "x": x}, training) as now:
            labels = keras.tree.map_structure(lambda _: fields["label"], y_pred)
            loss = super().compute_loss(x, labels, y_pred, sample_weight, training)
            self.attached.track(now.recorded)
        return loss

    def fit(self, x=None, y=None, *args, steps_per_epoch=None, **kwargs):
        """Trains the model, as `keras.Model.fit` does.

        An endless data set that says how long its epoch is, by an attribute
        `steps_per_epoch` as those of `kerasdml.data.images` do, needs no
        `steps_per_epoch` here.

        Args:
            x: As in Keras.
            y: As in Keras; integer labels, or a dict with the key `"label"`.
            *args: As in Keras.
            steps_per_epoch: As in Keras; by default what `x` says.
            **kwargs: As in Keras.

        Returns:
            Keras' `History`.

        Raises:
            ValueError: If a field is missing or of another length, if array labels are
                none that the loss can have, if a k is larger than the arrays to
                validate on, or if a callback monitors what validation does not give.
        """
        if y is not None:
            self._check_fields(_fields(y))
            _check_lengths(_fields(y))
            labels = _fields(y)["label"]
            batch_size = (args[0] if args else kwargs.get("batch_size")) or 32
            with step.of(_fields(y), training=False):
                for metric_loss in self._metric_losses():
                    metric_loss.check_labels(labels)
                    metric_loss.check_batch_size(min(batch_size, len(labels)))
        self._check_validation(kwargs.get("validation_data"))
        check_monitors(kwargs.get("callbacks"), self._validation_names(kwargs))
        if hasattr(x, "steps_per_epoch"):
            steps_per_epoch = steps_per_epoch or x.steps_per_epoch
            # Keras warns that it cannot shuffle what it did not ask to be shuffled.
            kwargs.setdefault("shuffle", False)
        return super().fit(x, y, *args, steps_per_epoch=steps_per_epoch, **kwargs)

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        loss=False,
        gallery=None,
        **kwargs,
    ):
        """Embeds a data set once and returns its metrics of retrieval and clustering.

        Every example is a query against all others, or against a `gallery`. The loss is
        left out by default: classes of validation are unseen, so that a loss with
        proxies has no value for them, and that of a pair loss depends on how the
        batches happen to be made.

        Args:
            x: Images, or a data set of `(images, labels)` batches.
            y: `(n,)` labels where `x` are arrays, or a dict with the key `"label"`.
            batch_size: Images a batch where `x` are arrays; 32 by default.
            verbose: 0 is silent, 1 shows a progress bar; "auto" is 1, and 0 in `fit`.
            sample_weight: Not used by retrieval metrics; only by the loss.
            steps: Batches to take, which an endless data set needs.
            callbacks: As in Keras.
            return_dict: Whether to return a dict; otherwise a list of its values.
            loss: Whether to add the loss of `x`, in a second pass over it.
            gallery: What to search, `(images, labels)` arrays or a data set of such
                batches; None: `x` itself. `callbacks.Retrieval` validates with one.
            **kwargs: What Keras' own `fit` passes; nothing of interest.

        Returns:
            A dict of `recall_at_{k}` and `precision_at_{k}` for every k of `ks`,
            `r_precision` and `map_at_r`, each 0 … 1, or of the `metrics` of the model,
            and `loss` if asked for; or a list of their values.

        Raises:
            ValueError: If the embeddings are not finite, or a k is larger than the set
                that is searched.
        """
        in_fit = kwargs.pop("_use_cached_eval_dataset", False)
        if kwargs:
            raise ValueError(f"Arguments not recognized: {sorted(kwargs)}.")
        verbose = int(not in_fit) if verbose == "auto" else int(verbose != 0)
        callbacks = self._callback_list(callbacks)
        callbacks.on_test_begin()
        queries = x if y is None else (x, y)
        embeddings, labels = embed(self, queries, batch_size or 32, steps, verbose)
        searched = None, None
        if gallery is not None:
            searched = embed(self, gallery, batch_size or 32, verbose=verbose)
        logs = evaluate(
            embeddings,
            labels,
            *searched,
            metrics=self.evaluated,
            ks=self.ks,
            similarity=self.similarity,
        )
        if loss:
            with_loss = super().evaluate(
                x, y, batch_size, 0, sample_weight, steps, return_dict=True
            )
            logs = {"loss": with_loss["loss"], **logs}
        callbacks.on_test_end(logs)
        return logs if return_dict else list(logs.values())

    def get_config(self):
        return {
            "name": self.name,
            "embedder": keras.saving.serialize_keras_object(self.embedder),
            "ks": self.ks,
            "similarity": self.similarity,
            "metrics": self.evaluated,
        }

    @classmethod
    def from_config(cls, config):
        embedder = keras.saving.deserialize_keras_object(config["embedder"])
        return cls(**{**config, "embedder": embedder})

    def _metric_losses(self):
        losses = keras.tree.flatten(self.loss)
        return [item for item in losses if isinstance(item, MetricLoss)]

    def _check_fields(self, fields):
        for metric_loss in self._metric_losses():
            missing = {"label", *metric_loss.fields} - fields.keys()
            if missing:
                raise ValueError(
                    f"{type(metric_loss).__name__} needs the fields {sorted(missing)} "
                    "in `y`, a dict with the key 'label' and one key a field. "
                    f"Received: {sorted(fields)}."
                )

    def _check_validation(self, validation):
        """Raises before an epoch is trained, where the size is known by then."""
        if not isinstance(validation, tuple) or len(validation) < 2:
            return
        others = len(_fields(validation[1])["label"]) - 1
        at_k = any(name.endswith("_at_k") for name in self.evaluated)
        if at_k and max(self.ks, default=0) > others:
            raise ValueError(
                f"`ks` must not be larger than the {others} others that each example "
                f"of `validation_data` has. Received: ks={self.ks}."
            )

    def _validation_names(self, kwargs):
        """Returns what validation will log in a `fit` with these arguments."""
        if kwargs.get("validation_data") is None and not kwargs.get("validation_split"):
            return []
        return [f"val_{name}" for name in metric_names(self.evaluated, self.ks)]

    def _callback_list(self, callbacks):
        if isinstance(callbacks, keras.callbacks.CallbackList):
            return callbacks
        return keras.callbacks.CallbackList(callbacks, model=self)


class _Attached(keras.layers.Layer):
    """Holds a loss's layers and the means of its parts. Never called, never locked.

    An attribute of the model would not do: replaced, it leaves the old layers tracked.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.items = []
        self.means = []
        self.built = True

    def replace(self, layers, parts):
        self.items.clear()
        self.items.extend(layers)
        self.means.clear()
        self.means.extend(keras.metrics.Mean(name) for name in parts)

    def track(self, values):
        for mean in self.means:
            mean.update_state(values[mean.name])


def _fields(y):
    return y if isinstance(y, dict) else {"label": y}


def _check_lengths(fields):
    lengths = {name: len(rows) for name, rows in fields.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            "The fields of `y` must have as many rows as 'label' has. "
            f"Received: {lengths}."
        )


def _check_embedder(embedder):
    if not getattr(embedder, "built", False):
        raise ValueError(
            "`embedder` must be built: give it a `keras.Input`, or call it once. "
            f"Received: {embedder!r}."
        )
    shape = embedder.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            "`embedder` must give embeddings of shape (q, d). "
            f"Received: output shape {shape}."
        )
