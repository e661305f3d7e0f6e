"""JSON in, JSON out, by a model that gives back what it is fed."""

import json
import types

import numpy as np
import pytest

from kerasdml.serving import ServingError, rest
from kerasdml.serving.signature import Signature, TensorSpec


def echo(outputs=None, **inputs):
    """A model whose one signature, `echo`, gives `outputs` or else its inputs."""
    specs = {
        name: TensorSpec(np.dtype(dtype), shape)
        for name, (dtype, shape) in inputs.items()
    }

    def predict(signature, arrays):
        signature.check_arrays(arrays)
        return arrays if outputs is None else outputs

    return types.SimpleNamespace(
        signature=lambda name: Signature("echo", specs, {}), predict=predict
    )


def predict(model, body):
    form, signature, inputs = rest.read(model, body)
    return rest.answer(form, model.predict(signature, inputs))


def answer(model, request):
    return json.loads(rest.dumps(predict(model, json.dumps(request).encode())))


NUMBERS = {"x": ("float32", (None, 2))}
STRINGS = {"x": (object, (None,))}
PAIR = {"name": (object, (None,)), "signal": ("int32", (None, 2))}


def test_one_input_and_output_go_without_names():
    rows = [[1.5, 2.0], [3.0, -4.0]]
    assert answer(echo(**NUMBERS), {"instances": rows}) == {"predictions": rows}
    assert answer(echo(**NUMBERS), {"inputs": rows}) == {"outputs": rows}


def test_one_input_may_go_by_its_name():
    rows = [[1.5, 2.0]]
    named = {"instances": [{"x": row} for row in rows]}
    assert answer(echo(**NUMBERS), named) == {"predictions": rows}
    assert answer(echo(**NUMBERS), {"inputs": {"x": rows}}) == {"outputs": rows}


def test_several_inputs_and_outputs_go_by_name():
    rows = [{"name": "foo", "signal": [1, 2]}, {"name": "bar", "signal": [3, 4]}]
    columns = {"name": ["foo", "bar"], "signal": [[1, 2], [3, 4]]}
    assert answer(echo(**PAIR), {"instances": rows}) == {"predictions": rows}
    assert answer(echo(**PAIR), {"inputs": columns}) == {"outputs": columns}


def test_scalars_go_by_column():
    model = echo(k=("int64", ()))
    assert answer(model, {"inputs": {"k": 7}}) == {"outputs": 7}
    assert answer(model, {"inputs": 7}) == {"outputs": 7}


def test_scalar_outputs_cannot_go_by_row():
    model = echo({"size": np.float32(3), "x": np.zeros((1, 2))}, **NUMBERS)
    with pytest.raises(ServingError, match=r"share their first axis.*size \(\)"):
        answer(model, {"instances": [[1, 2]]})


def test_any_rank_fits_a_signature_that_leaves_it_open():
    model = echo(x=("float32", None))
    assert answer(model, {"inputs": [[[1.0]], [[2.0]]]})["outputs"] == [[[1]], [[2]]]


def test_strings_are_utf8_and_bytes_are_base64():
    # base64 of the bytes ff 00 is /wA=, and of "é" in UTF-8, c3 a9, it is w6k=.
    model = echo(x_bytes=(object, (None,)))
    sent = [{"b64": "/wA="}, "é"]
    received = [{"b64": "/wA="}, {"b64": "w6k="}]
    assert answer(model, {"instances": sent}) == {"predictions": received}
    assert answer(model, {"inputs": sent}) == {"outputs": received}
    assert answer(echo(**STRINGS), {"inputs": [{"b64": "w6k="}]}) == {"outputs": ["é"]}


def test_text_outputs_are_written_as_utf8():
    body = rest.dumps(predict(echo(**STRINGS), '{"inputs": ["青"]}'.encode()))
    assert body.decode() == '{"outputs": ["青"]}'


def test_binary_outputs_need_a_name_that_says_so():
    with pytest.raises(ServingError, match="not UTF-8 text.*'_bytes'") as caught:
        answer(echo(**STRINGS), {"inputs": [{"b64": "/wA="}]})
    assert caught.value.status == 500


def test_floats_are_as_short_as_their_dtype_allows():
    values = [0.2, 1e-8, 16777216.0, 1 / 3]
    model = echo({"y": np.array(values, np.float32)}, **NUMBERS)
    body = rest.dumps(predict(model, b'{"inputs": [[1, 2]]}')).decode()
    assert "[0.2, 1e-08, 16777216.0, 0.33333334]" in body
    model = echo({"y": np.array(values)}, **NUMBERS)
    assert answer(model, {"inputs": [[1, 2]]})["outputs"] == values


def test_every_float32_survives():
    bits = np.random.default_rng(0).integers(0, 2**32, 2000, dtype=np.uint32)
    values = bits.view(np.float32)
    model = echo({"y": values}, **NUMBERS)
    received = np.array(answer(model, {"inputs": [[1, 2]]})["outputs"], np.float32)
    np.testing.assert_array_equal(received, values)


def test_values_that_are_not_finite_are_tokens_both_ways():
    body = b'{"inputs": [[NaN, Infinity], [-Infinity, 1]]}'
    reply = rest.dumps(predict(echo(**NUMBERS), body)).decode()
    assert reply == '{"outputs": [[NaN, Infinity], [-Infinity, 1.0]]}'


def test_large_integers_stay_exact():
    model = echo(x=("int64", (None,)))
    values = [2**63 - 1, -(2**63), 2**53 + 1]
    assert answer(model, {"instances": values})["predictions"] == values


def test_booleans_stay_booleans():
    model = echo(x=("bool", (None,)))
    assert answer(model, {"instances": [True, False]})["predictions"] == [True, False]


def test_a_batch_may_be_empty_in_column_form():
    assert answer(echo(**STRINGS), {"inputs": []}) == {"outputs": []}


@pytest.mark.parametrize(
    "inputs, request_, message",
    [
        (NUMBERS, [], "must be a JSON object. Received: []"),
        (NUMBERS, {}, "one of the keys 'instances' and 'inputs'. Received: none"),
        (NUMBERS, {"instances": [], "inputs": []}, "Received: instances, inputs"),
        (NUMBERS, {"instances": []}, "at least one example. Received: []"),
        (NUMBERS, {"instances": 5}, "at least one example. Received: 5"),
        (NUMBERS, {"inputs": [], "signature_name": 5}, "must be a string. Received: 5"),
        (NUMBERS, {"inputs": {"y": []}}, "signature 'echo': x. Received: y"),
        (NUMBERS, {"inputs": {"x": [], "y": []}}, "'echo': x. Received: x, y"),
        (NUMBERS, {"inputs": {}}, "'echo': x. Received: none"),
        (NUMBERS, {"inputs": [1, 2]}, "shape (batch, 2). Received: (2,)"),
        (
            {"x": ("uint8", (None, None, 3))},
            {"inputs": [[1]]},
            "shape (batch, any, 3). Received: (1, 1)",
        ),
        (NUMBERS, {"inputs": [[1, 2, 3]]}, "shape (batch, 2). Received: (1, 3)"),
        (NUMBERS, {"instances": [[1, 2], [3]]}, "[3] in `x[1]`, beside 2 values"),
        (NUMBERS, {"instances": [[1, 2], 3]}, "Received: 3 in `x[1]`"),
        (NUMBERS, {"instances": [[1, 2], [3, [4]]]}, "Received: [4] in `x[1]`"),
        (NUMBERS, {"inputs": [[1, 2], [3, "four"]]}, 'Received: "four" in `x[1]`'),
        (NUMBERS, {"inputs": [[1, True]]}, "float32 values, in lists of equal"),
        (NUMBERS, {"inputs": [[1, None]]}, "Received: null in `x[0]`"),
        (NUMBERS, {"inputs": [[1, 1e39]]}, "number beyond the range of float32"),
        (NUMBERS, {"inputs": [[1, 10**400]]}, "number beyond the range of float32"),
        (NUMBERS, {"inputs": [[1, {"b64": ""}]]}, 'Received: {"b64": ""} in `x[0]`'),
        ({"x": ("uint8", (None,))}, {"inputs": [256]}, "beyond the range of uint8"),
        ({"x": ("uint8", (None,))}, {"inputs": [-1]}, "beyond the range of uint8"),
        ({"x": ("int64", (None,))}, {"inputs": [2**63]}, "beyond the range of int64"),
        ({"x": ("int64", (None,))}, {"inputs": [1.0]}, "int64 values"),
        ({"x": ("bool", (None,))}, {"inputs": [1]}, "bool values"),
        ({"k": ("int64", ())}, {"instances": [3]}, "shape (). Received: (1,)"),
        (STRINGS, {"inputs": [5]}, "must hold strings"),
        (STRINGS, {"inputs": ["a", {"b64": "%"}]}, "`x[1]` must be a string or"),
        (STRINGS, {"inputs": [{"b64": "YQ"}]}, "`x[0]` must be a string or"),
        (STRINGS, {"inputs": [{"b64": 5}]}, 'Received: {"b64": 5}'),
        (STRINGS, {"inputs": [{"b64": "", "y": 1}]}, "`x[0]` must be a string or"),
        (STRINGS, {"inputs": ["\ud800"]}, "`x[0]` must be a string or"),
        (PAIR, {"instances": ["foo"]}, "signature 'echo' has 2: name, signal"),
        (PAIR, {"inputs": ["foo"]}, "signature 'echo' has 2: name, signal"),
        (PAIR, {"instances": [{"name": "foo"}]}, "`instances[0]` must have exactly"),
        (
            STRINGS,
            {"instances": [{"x": "foo"}, "bar"]},
            "`instances[1]` plain, `instances[0]` an object",
        ),
    ],
)
def test_says_what_is_wrong_with_a_request(inputs, request_, message):
    with pytest.raises(ServingError) as caught:
        answer(echo(**inputs), request_)
    assert message in caught.value.message
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b'{"inputs": [1,]}', b"[" * 100_000, b"1" * 5000],
    ids=["empty", "cut off", "not UTF-8", "comma", "deep", "long number"],
)
def test_says_that_the_body_is_not_json(body):
    with pytest.raises(ServingError, match="The body must be JSON: ") as caught:
        predict(echo(**NUMBERS), body)
    assert caught.value.status == 400


def test_values_are_cut_short_in_messages():
    with pytest.raises(ServingError) as caught:
        answer(echo(**NUMBERS), {"inputs": "long" * 1000})
    assert len(caught.value.message) < 200


def test_inputs_with_a_default_may_be_left_out():
    specs = {
        "x": TensorSpec(np.dtype("float32"), (None,)),
        "k": TensorSpec(np.dtype("int32"), (None,)),
    }
    signature = Signature("search", specs, {}, {"k": np.int32([7])})
    for form, values, k in [
        ("instances", [1.0, 2.0], [7]),
        ("instances", [{"x": 1.0}, {"x": 2.0}], [7]),
        ("instances", [{"x": 1.0, "k": 3}, {"x": 2.0, "k": 4}], [3, 4]),
        ("inputs", [1.0, 2.0], [7]),
        ("inputs", {"x": [1.0, 2.0], "k": [3, 4]}, [3, 4]),
    ]:
        inputs = rest.arrays(values, form, signature)
        assert {name: array.tolist() for name, array in inputs.items()} == {
            "x": [1.0, 2.0],
            "k": k,
        }
    with pytest.raises(ServingError, match="same inputs. Received: `instances.1.`"):
        rest.arrays([{"x": 1.0}, {"x": 2.0, "k": 4}], "instances", signature)
    with pytest.raises(ServingError, match="exactly the inputs of signature"):
        rest.arrays({"k": [3]}, "inputs", signature)
