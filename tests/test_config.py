import keras
import pytest

from kerasdml.config import Configured


class Base(Configured):
    def __init__(self, *, size=1, name=None):
        self.size = size
        self.name = name


@keras.saving.register_keras_serializable(package="kerasdml.tests")
class Part(Base):
    def __init__(self, *, margin=0.5, parts=(), inner=None, **kwargs):
        super().__init__(**kwargs)
        self.margin = margin
        self.parts = list(parts)
        self.inner = inner
        self.derived = margin * 2


def test_the_config_holds_every_argument_the_bases_included():
    config = Part(margin=0.3, size=7, name="a").get_config()
    assert config == {
        "margin": 0.3,
        "parts": [],
        "inner": None,
        "size": 7,
        "name": "a",
    }


def test_what_was_constructed_comes_back():
    twin = Part.from_config(Part(margin=0.3, size=7).get_config())
    assert (twin.margin, twin.size, twin.derived) == (0.3, 7, 0.6)


def test_configured_arguments_come_back_as_objects():
    whole = Part(inner=Part(margin=0.1), parts=[Part(size=2), Part(size=3)])
    config = keras.saving.serialize_keras_object(whole)
    twin = keras.saving.deserialize_keras_object(config)
    assert twin.inner.margin == 0.1
    assert [part.size for part in twin.parts] == [2, 3]
    assert twin.get_config() == whole.get_config()


def test_a_class_may_take_over_an_argument_of_its_base():
    class Narrow(Part):
        def __init__(self, *, size=9, **kwargs):
            super().__init__(size=size, **kwargs)

    config = Narrow().get_config()
    assert config["size"] == 9
    assert Narrow.from_config(config).get_config() == config


def test_an_unknown_argument_is_an_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'radius'"):
        Part.from_config({"radius": 1})
