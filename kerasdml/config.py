"""Objects whose configuration is what they were constructed with."""

import inspect

import keras


class Configured:
    """Gives `get_config` and `from_config` to a class with keyword-only arguments.

    By scikit-learn's habit, each keyword argument of `__init__`, the bases' included,
    is kept unchanged in the attribute of its name.
    """

    def get_config(self):
        return {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in _argument_names(type(self))
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{name: _restored(value) for name, value in config.items()})


def _argument_names(cls):
    names = []
    for base in cls.__mro__:
        init = base.__dict__.get("__init__")
        if init is None or not issubclass(base, Configured):
            continue
        names += [
            name
            for name, parameter in inspect.signature(init).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        ]
    return names


def _restored(value):
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if isinstance(value, dict) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    return value
