"""What callbacks watch in the logs, checked before training rather than after it."""

import keras

_WATCHING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)


def check_monitors(callbacks, names):
    """Raises if a callback watches a validation metric that nothing will log.

    Keras would only warn of it, after every epoch, and never stop or save.

    Args:
        callbacks: As `fit` takes them: a list, one callback, or None.
        names: What validation logs, such as "val_recall_at_1"; empty without it.
            Callbacks that write to the logs add their attribute `log_names`, for those
            after them.

    Raises:
        ValueError: If an `EarlyStopping`, `ModelCheckpoint` or `ReduceLROnPlateau`
            watches a name with "val_" that is not there, or does not know whether
            larger is better.
    """
    names = list(names)
    for callback in keras.tree.flatten(callbacks):
        names += getattr(callback, "log_names", [])
        if _may_log_anything(callback):
            return
        if _watches(callback):
            _check(callback, names)


def _may_log_anything(callback):
    library = type(callback).__module__.partition(".")[0]
    return isinstance(
        callback, (keras.callbacks.LambdaCallback, keras.callbacks.CallbackList)
    ) or library not in ("keras", "kerasdml")


def _watches(callback):
    if not isinstance(callback, _WATCHING) or not callback.monitor.startswith("val_"):
        return False
    return getattr(callback, "save_best_only", True)


def _check(callback, names):
    watching = f"{type(callback).__name__} monitors {callback.monitor!r}"
    if not names:
        raise ValueError(
            f"{watching}, which needs `validation_data` in `fit`, or a "
            "`callbacks.Retrieval` before it in the list."
        )
    if callback.monitor not in names:
        raise ValueError(
            f"{watching}, which is not in the logs. In the logs are: "
            f"{', '.join(names)}; and of each `callbacks.Retrieval` what it logs, for "
            "the callbacks after it."
        )
    if callback.mode == "auto":
        raise ValueError(
            f"{watching} and must be told that larger is better: pass `mode='max'`."
        )
