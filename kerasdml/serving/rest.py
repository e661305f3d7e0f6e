"""TF Serving's REST API as JSON to arrays and back; no network and no TensorFlow.

Source: "RESTful API", https://www.tensorflow.org/tfx/serving/api_rest. Differences:
unknown inputs and integers out of range are refused rather than dropped or wrapped.
"""

import base64
import contextlib
import itertools
import json

import numpy as np
from google.protobuf.json_format import MessageToDict

from kerasdml.serving.errors import ServingError
from kerasdml.serving.signature import Signature

# A request holds one of these keys, its response the other.
RESPONSE_KEYS = {"instances": "predictions", "inputs": "outputs"}

# Python types that JSON gives, by the kind of dtype they may go into.
_LEAVES = {
    "f": {int, float},
    "i": {int},
    "u": {int},
    "b": {bool},
    "O": {str, dict},
}


def status(states) -> dict:
    """What `GET /v1/models/NAME` answers.

    Args:
        states: The `VersionState` of each version.
    """
    return {
        "model_version_status": [
            {
                "version": str(state.version),
                "state": state.state,
                "status": {"error_code": state.code, "error_message": state.message},
            }
            for state in states
        ]
    }


def metadata(model) -> dict:
    """What `GET /v1/models/NAME/metadata` answers."""
    signatures = {
        name: MessageToDict(
            definition,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for name, definition in model.signature_defs.items()
    }
    return {
        "model_spec": {
            "name": model.name,
            "signature_name": "",
            "version": str(model.version),
        },
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def read(model, body: bytes) -> tuple[str, Signature, dict[str, np.ndarray]]:
    """What the body of `POST /v1/models/NAME:predict` asks for.

    Args:
        model: A `ServedModel`.
        body: JSON with `instances` (row form) or `inputs` (column form), and
            optionally `signature_name`.

    Returns:
        The form, for `answer`; the signature and its inputs.

    Raises:
        ServingError: If the request is malformed or does not fit the model.
    """
    request = _parse(body)
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise ServingError(
            400, f"`signature_name` must be a string. Received: {_short(name)}."
        )
    form = _form(request)
    signature = model.signature(name)
    return form, signature, arrays(request[form], form, signature)


def arrays(values, form: str, signature: Signature) -> dict[str, np.ndarray]:
    """The inputs of a signature from the JSON of a request.

    Args:
        values: What `instances` or `inputs` hold.
        form: Which of the two.
        signature: The signature to feed.

    Raises:
        ServingError: If they do not fit.
    """
    columns = _from_rows if form == "instances" else _from_columns
    given = {
        name: _to_array(name, value, signature.inputs[name].dtype)
        for name, value in columns(values, signature).items()
    }
    return signature.completed(given)


def answer(form: str, outputs: dict[str, np.ndarray]) -> dict:
    """What `POST /v1/models/NAME:predict` answers to a request of a form."""
    give = _to_rows if form == "instances" else _to_columns
    return {RESPONSE_KEYS[form]: give(outputs)}


def dumps(value) -> bytes:
    """JSON as TF Serving writes it: UTF-8, with `NaN`, `Infinity` and `-Infinity`."""
    return json.dumps(value, ensure_ascii=False).encode()


def _parse(body):
    try:
        request = json.loads(body)
    # Deep nesting runs into Python's recursion limit.
    except (ValueError, RecursionError) as error:
        raise ServingError(400, f"The body must be JSON: {error}.") from error
    if not isinstance(request, dict):
        raise ServingError(
            400, f"The body must be a JSON object. Received: {_short(request)}."
        )
    return request


def _form(request):
    forms = RESPONSE_KEYS.keys() & request.keys()
    if len(forms) != 1:
        raise ServingError(
            400,
            "The request must have one of the keys 'instances' and 'inputs'. "
            f"Received: {', '.join(request) or 'none'}.",
        )
    return next(iter(forms))


def _from_rows(instances, signature):
    """Input name to the list of its values, from a list of examples."""
    if not isinstance(instances, list) or not instances:
        raise ServingError(
            400,
            "`instances` must be a list with at least one example. "
            f"Received: {_short(instances)}.",
        )
    named = [_is_named(instance) for instance in instances]
    if not any(named):
        return {signature.only_input("Each of `instances`"): instances}
    if not all(named):
        raise ServingError(
            400,
            "`instances` must all be objects or all be plain values. Received: "
            f"`instances[{named.index(False)}]` plain, "
            f"`instances[{named.index(True)}]` an object.",
        )
    for i, instance in enumerate(instances):
        signature.check_names(instance, f"`instances[{i}]`")
    names = instances[0].keys()
    for i, instance in enumerate(instances):
        if instance.keys() != names:
            raise ServingError(
                400,
                "`instances` must all have the same inputs. Received: "
                f"`instances[{i}]` with {', '.join(instance)}, beside "
                f"`instances[0]` with {', '.join(names)}.",
            )
    return {name: [instance[name] for instance in instances] for name in names}


def _from_columns(inputs, signature):
    """Input name to its value, from an object or from the only input's value."""
    if not _is_named(inputs):
        return {signature.only_input("`inputs`"): inputs}
    signature.check_names(inputs, "`inputs`")
    return inputs


def _is_named(value):
    return isinstance(value, dict) and value.keys() != {"b64"}


def _to_array(name, value, dtype):
    values, shape = _flatten(name, value)
    allowed = _LEAVES.get(dtype.kind, set())
    if not set(map(type, values)) <= allowed:
        at = next(i for i, v in enumerate(values) if type(v) not in allowed)
        kind = "strings" if dtype.kind == "O" else f"{dtype} values"
        raise ServingError(
            400,
            f"`{name}` must hold {kind}, in lists of equal lengths. "
            f"Received: {_short(values[at])} in {_place(name, at, values, shape)}.",
        )
    if dtype.kind == "O":
        places = (_place(name, i, values, shape) for i in range(len(values)))
        values = [_to_bytes(v, place) for v, place in zip(values, places, strict=True)]
        return np.array(values, dtype=object).reshape(shape)
    return _to_numbers(name, values, dtype).reshape(shape)


def _flatten(name, value):
    """The values of a nested list, in order, and its shape."""
    values, shape = [value], ()
    while values and isinstance(values[0], list):
        length = len(values[0])
        for i, v in enumerate(values):
            if not isinstance(v, list) or len(v) != length:
                raise ServingError(
                    400,
                    f"`{name}` must be lists of equal lengths. Received: {_short(v)} "
                    f"in {_place(name, i, values, shape)}, beside {length} values.",
                )
        shape += (length,)
        values = list(itertools.chain.from_iterable(values))
    return values, shape


def _place(name, at, values, shape):
    """The example that the value number `at` belongs to, as in `images[3]`."""
    return f"`{name}[{at * shape[0] // len(values)}]`" if shape else f"`{name}`"


def _to_bytes(value, place):
    with contextlib.suppress(TypeError, ValueError):
        match value:
            case str():
                return value.encode()
            case {"b64": text, **others} if not others:
                return base64.b64decode(text, validate=True)
    raise ServingError(
        400,
        f'{place} must be a string or {{"b64": "<base64>"}}. '
        f"Received: {_short(value)}.",
    )


def _to_numbers(name, values, dtype):
    try:
        if dtype.kind != "f":
            return np.array(values, dtype=dtype)
        exact = np.array(values, dtype=np.float64)
        with np.errstate(over="ignore"):
            array = exact.astype(dtype)
        if (np.isinf(array) == np.isinf(exact)).all():
            return array
        raise OverflowError
    except OverflowError as error:
        raise ServingError(
            400, f"`{name}` has a number beyond the range of {dtype}."
        ) from error


def _to_rows(outputs):
    lengths = {name: array.shape[:1] for name, array in outputs.items()}
    if () in lengths.values() or len(set(lengths.values())) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in outputs.items())
        raise ServingError(
            400,
            "Outputs must share their first axis to be given by row. "
            f"Received: {shapes}. Send the request with `inputs` instead.",
        )
    columns = {name: _to_json(name, array) for name, array in outputs.items()}
    if len(columns) == 1:
        return next(iter(columns.values()))
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _to_columns(outputs):
    columns = {name: _to_json(name, array) for name, array in outputs.items()}
    return columns if len(columns) > 1 else next(iter(columns.values()))


def _to_json(name, array):
    if array.dtype.kind == "O":
        texts = [_to_text(name, value) for value in array.ravel()]
        return np.array(texts, dtype=object).reshape(array.shape).tolist()
    if array.dtype.kind == "f":
        # By way of text, as float32 0.2 is 0.20000000298023224 in JSON otherwise.
        array = array.astype(str).astype(np.float64)
    return array.tolist()


def _to_text(name, value):
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ServingError(
            500,
            f"Output `{name}` of the model holds bytes that are not UTF-8 text. "
            "A name that ends in '_bytes' would make it base64.",
        ) from error


def _short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
