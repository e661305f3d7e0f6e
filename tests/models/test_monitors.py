import keras
import pytest
from keras.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

from kerasdml.models.monitors import check_monitors

NAMES = ["val_recall_at_1", "val_map_at_r"]


@pytest.mark.parametrize(
    "callbacks",
    [
        None,
        [],
        EarlyStopping("val_map_at_r", mode="max"),
        [ReduceLROnPlateau("loss"), EarlyStopping("loss")],
        # It monitors "val_loss" by default, but saves every epoch and never looks.
        [ModelCheckpoint("{epoch}.keras")],
        [
            ModelCheckpoint(
                "best.keras", "val_map_at_r", save_best_only=True, mode="max"
            )
        ],
    ],
)
def test_what_is_in_the_logs_may_be_watched(callbacks):
    check_monitors(callbacks, NAMES)


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping("val_recall_at_2", mode="max"),
        ReduceLROnPlateau("val_recall_at_2", mode="max"),
        ModelCheckpoint("x.keras", "val_recall_at_2", save_best_only=True, mode="max"),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_a_name_that_is_not_there_is_refused_with_those_that_are(callback):
    message = (
        f"{type(callback).__name__} monitors 'val_recall_at_2', which is not in the "
        "logs. In the logs are: val_recall_at_1, val_map_at_r; "
    )
    with pytest.raises(ValueError, match=message):
        check_monitors([keras.callbacks.TerminateOnNaN(), callback], NAMES)


def test_without_validation_there_is_nothing_to_watch():
    with pytest.raises(ValueError, match="'val_loss', which needs `validation_data`"):
        check_monitors([EarlyStopping()], [])


def test_the_loss_is_not_in_the_logs_of_validation():
    with pytest.raises(ValueError, match="'val_loss', which is not in the logs"):
        check_monitors([EarlyStopping()], NAMES)


def test_it_must_be_told_that_larger_is_better():
    with pytest.raises(ValueError, match="larger is better: pass `mode='max'`"):
        check_monitors([EarlyStopping("val_recall_at_1")], NAMES)


class Logs(keras.callbacks.Callback):
    """Writes what it likes to the logs, as anybody's callback may."""


class ScoresOfATestSet(keras.callbacks.Callback):
    __module__ = "kerasdml.callbacks"
    log_names = ("val_nmi",)


def test_callbacks_before_it_may_add_to_the_logs():
    watching = EarlyStopping("val_nmi", mode="max")
    for adds in (Logs(), ScoresOfATestSet(), keras.callbacks.LambdaCallback()):
        check_monitors([adds, watching], NAMES)
        with pytest.raises(ValueError, match="not in the logs"):
            check_monitors([watching, adds], NAMES)
    with pytest.raises(ValueError, match="val_map_at_r, val_nmi; and of each"):
        check_monitors([ScoresOfATestSet(), EarlyStopping("val_ami")], NAMES)
