"""Versions that come and go, by a loader that reads what a file says."""

import shutil
import threading
import time
import weakref

import pytest

from kerasdml.serving import ServingError
from kerasdml.serving.live import LiveModel


class Loaded:
    def __init__(self, version):
        text = (version.path / "saved_model.pb").read_text()
        if text == "corrupt":
            raise ValueError("must be a SavedModel, but it is damaged")
        self.number, self.closed = version.number, threading.Event()

    def close(self):
        self.closed.set()


@pytest.fixture
def home(tmp_path):
    put(tmp_path / "birds", 1)
    return tmp_path / "birds"


def put(home, number, text="fine"):
    path = home / str(number)
    path.mkdir(parents=True, exist_ok=True)
    (path / "saved_model.pb").write_text(text)


def live(home, policy="latest", labels=(), load=Loaded):
    return LiveModel(home, None, policy, dict(labels), load)


def states(model):
    return {state.version: state.state for state in model.states()}


def test_a_new_version_takes_over(home):
    model = live(home)
    with model.lease() as first:
        assert first.number == 1
    put(home, 2)
    model.refresh()
    with model.lease() as second:
        assert second.number == 2
    assert first.closed.is_set()
    assert states(model) == {2: "AVAILABLE", 1: "END"}


def test_the_old_serves_until_the_new_is_loaded(home):
    loading, go = threading.Event(), threading.Event()

    def load(version):
        if version.number == 2:
            loading.set()
            assert go.wait(10)
        return Loaded(version)

    model = live(home, load=load)
    put(home, 2)
    refresh = threading.Thread(target=model.refresh)
    refresh.start()
    assert loading.wait(10)
    assert states(model) == {2: "LOADING", 1: "AVAILABLE"}
    with model.lease() as lent:
        assert lent.number == 1
        go.set()
        while model.numbers != [2]:
            time.sleep(0.001)
        assert states(model)[1] == "UNLOADING"
        assert not lent.closed.is_set(), "its last request is still under way"
    refresh.join(10)
    assert lent.closed.is_set()


def test_a_corrupt_version_is_refused_until_its_files_change(home):
    loads = []
    model = live(home, load=lambda v: loads.append(v.number) or Loaded(v))
    put(home, 2, "corrupt")
    for _ in range(3):
        model.refresh()
    assert loads == [1, 2], "it is not tried over and over"
    assert model.numbers == [1]
    (state,) = model.states(2)
    assert (state.state, state.code) == ("END", "DATA_LOSS")
    assert "damaged" in state.message
    put(home, 2, "mended!")
    model.refresh()
    assert model.numbers == [2]


def test_nothing_is_kept_of_a_version_that_was_refused(home):
    loaded = []

    def load(version):
        model = Loaded(version)
        if version.number == 2:
            loaded.append(weakref.ref(model))
            try:
                raise ValueError(model.number)
            except ValueError as error:
                raise RuntimeError("does not answer") from error
        return model

    model = live(home, load=load)
    put(home, 2)
    model.refresh()
    assert states(model) == {1: "AVAILABLE", 2: "END"}
    assert [alive() for alive in loaded] == [None]


def test_the_next_newest_stands_in_at_the_start(home):
    put(home, 2, "corrupt")
    put(home, 3, "corrupt")
    assert live(home).numbers == [1]


def test_nothing_that_loads_is_an_error(home):
    put(home, 1, "corrupt")
    with pytest.raises(ValueError, match="it is damaged"):
        live(home)
    with pytest.raises(FileNotFoundError, match=r"`versions=\[9\]` serves"):
        live(home, [9])


def test_removing_the_newest_rolls_back(home):
    put(home, 2)
    model = live(home)
    shutil.rmtree(home / "2")
    model.refresh()
    assert model.numbers == [1]
    model.refresh()
    assert states(model) == {1: "AVAILABLE"}, "what is gone is forgotten"


def test_what_is_loaded_stays_if_the_directory_is_gone(home):
    model = live(home)
    away = home.rename(f"{home}.away")
    with pytest.raises(FileNotFoundError):
        model.refresh()
    model.poll(0.01)
    time.sleep(0.05)
    assert model.numbers == [1]
    away.rename(home)
    put(home, 2)
    while model.numbers != [2]:
        time.sleep(0.01)
    model.close()
    assert model.numbers == []


@pytest.mark.parametrize(
    "policy, labels, served",
    [
        ("latest", {}, [4]),
        ("latest:2", {}, [4, 3]),
        ("latest:9", {}, [4, 3, 2, 1]),
        ("all", {}, [4, 3, 2, 1]),
        ([1, 3], {}, [3, 1]),
        ("latest", {"stable": 2}, [4, 2]),
    ],
)
def test_policies(home, policy, labels, served):
    for number in (2, 3, 4):
        put(home, number)
    assert live(home, policy, labels).numbers == served


def test_versions_and_labels_choose(home):
    put(home, 2)
    model = live(home, "all", {"stable": 1, "canary": 7})
    with model.lease() as a, model.lease(1) as b, model.lease(label="stable") as c:
        assert (a.number, b.number, c.number) == (2, 1, 1)
    assert [s.version for s in model.states(label="stable")] == [1]
    for status, which, message in [
        (404, {"version": 9}, "Unknown version 9 of model 'birds'. It has 1, 2."),
        (404, {"label": "canary"}, "Unknown version 7"),
        (400, {"label": "none"}, "Unknown label 'none'.* It has stable, canary"),
    ]:
        for ask in (model.states, lambda **w: model.lease(**w).__enter__()):
            with pytest.raises(ServingError, match=message) as caught:
                ask(**which)
            assert caught.value.status == status


def test_swaps_under_load_fail_nobody(home):
    model, failures, stop = live(home), [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                with model.lease() as lent:
                    assert not lent.closed.is_set()
                    time.sleep(0)
                    assert not lent.closed.is_set()
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(2, 30):
        put(home, number)
        model.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures and model.numbers == [29]
