"""Convolutions against plain loops and SciPy: every border mode, stride, dilation, grouping and flip."""

import pickle
from itertools import product

import numpy as np
import pytest
import scipy.signal
from tensor.symbolically import run, value, variables

import tracer
from tracer.symbolic.program import SymbolicProgram
from tracer.tensor import nnet, signal
from tracer.tensor.nnet.abstract_conv import get_conv_output_shape

MODES = ("valid", "full", "half", 1, (0, 2), ((1, 2), 1))


def padding(mode, kernel, dilation):
    widths = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if isinstance(mode, str):
        sides = {"valid": [0] * len(widths), "full": [w - 1 for w in widths], "half": [w // 2 for w in widths]}[mode]
        return [(side, side) for side in sides]
    mode = (mode,) * len(widths) if isinstance(mode, int) else mode
    return [(side, side) if isinstance(side, int) else side for side in mode]


def by_loops(x, w, mode, steps, dilation, flip, groups, unshared=False):
    rank = x.ndim - 2
    kernel, each = w.shape[-rank:], w.shape[-rank - 1]
    x = np.pad(x, ((0, 0), (0, 0), *padding(mode, kernel, dilation)))
    w = np.flip(w, tuple(range(-rank, 0))) if flip else w
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    output = [(n - span) // s + 1 for n, span, s in zip(x.shape[2:], spans, steps, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *output))
    per_group = w.shape[0] // groups
    for place in product(*map(range, output)):
        starts = [p * s for p, s in zip(place, steps, strict=True)]
        window = tuple(slice(a, a + span, d) for a, span, d in zip(starts, spans, dilation, strict=True))
        patch = x[(slice(None), slice(None), *window)]
        for number in range(w.shape[0]):
            filters = w[(number, *place)] if unshared else w[number]
            first = number // per_group * each
            y[(slice(None), number, *place)] = np.sum(
                patch[:, first : first + each] * filters, tuple(range(1, rank + 2))
            )
    return y


def case(shape, outputs, kernel, mode, steps, dilation, groups, unshared):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    places = get_conv_output_shape(shape, (outputs, None, *kernel), mode, steps, dilation)[2:] if unshared else ()
    return x, rng.standard_normal((outputs, *places, shape[1] // groups, *kernel))


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("steps", [(1, 1), (2, 1), (3, 2)], ids=str)
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 3)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d_and_its_transposes(mode, steps, dilation, groups):
    for flip, unshared in product((True, False), repeat=2):
        x, w = case((2, 4, 7, 6), 4, (3, 2), mode, steps, dilation, groups, unshared)
        options = {"border_mode": mode, "subsample": steps, "filter_dilation": dilation}
        options |= {"filter_flip": flip, "num_groups": groups, "unshared": unshared}
        y = by_loops(x, w, mode, steps, dilation, flip, groups, unshared)

        def convolution(x, w, options=options):
            return nnet.conv2d(x, w, **options)

        np.testing.assert_allclose(tracer.compile(convolution)(x, w), y, atol=1e-12)
        assert get_conv_output_shape(x.shape, w.shape, mode, steps, dilation) == y.shape
        g = np.random.default_rng(1).standard_normal(y.shape)
        gx, gw = tracer.grad(lambda x, w, g=g, f=convolution: np.sum(f(x, w) * g), argnums=(0, 1))(x, w)
        # Convolution is linear in each: its derivative is its transpose.
        assert np.vdot(gx, x) == pytest.approx(np.vdot(g, y))
        assert np.vdot(gw, w) == pytest.approx(np.vdot(g, y))

        def transposes(g, x, w, options=options):
            known = w.shape[1:3] if options["unshared"] else ()
            return (
                nnet.conv2d_grad_wrt_inputs(g, w, (None, None, 7, 6), **options),
                nnet.conv2d_grad_wrt_weights(x, g, (None, *known, None, 3, 2), **options),
            )

        again = tracer.compile(transposes)(g, x, w)
        np.testing.assert_allclose(again[0], gx, atol=1e-12)
        np.testing.assert_allclose(again[1], gw, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "steps", "dilation", "groups"), [("half", (2, 1), (1, 2), 2), ((1, 2), (1, 3), (1, 1), 1)]
)
@pytest.mark.parametrize("unshared", [False, True])
def test_derivatives_to_second_order(mode, steps, dilation, groups, unshared):
    x, w = case((2, 2, 6, 5), 2, (3, 2), mode, steps, dilation, groups, unshared)
    options = {"border_mode": mode, "subsample": steps, "filter_dilation": dilation, "num_groups": groups}
    options["unshared"] = unshared
    tracer.testing.check_grads(lambda x, w: np.tanh(nnet.conv2d(x, w, **options)), (x, w), order=2)
    shape = tuple(w.shape)
    y = by_loops(x, w, mode, steps, dilation, True, groups, unshared)
    inner = lambda g, w: np.tanh(nnet.conv2d_grad_wrt_inputs(g, w, x.shape, **options))  # noqa: E731
    tracer.testing.check_grads(inner, (y, w), order=2)
    inner = lambda x, g: np.tanh(nnet.conv2d_grad_wrt_weights(x, g, shape, **options))  # noqa: E731
    tracer.testing.check_grads(inner, (x, y), order=2)


@pytest.mark.parametrize("mode", ["valid", "full"])
def test_conv2d_is_scipys_convolution(mode):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, 2, 8, 9)), rng.standard_normal((4, 2, 3, 5))
    expected = [
        [sum(scipy.signal.convolve(a, b, mode) for a, b in zip(image, one, strict=True)) for one in w] for image in x
    ]
    np.testing.assert_allclose(value(lambda x, w: nnet.conv2d(x, w, border_mode=mode), x, w), expected, atol=1e-12)
    np.testing.assert_allclose(value(lambda x, w: nnet.conv.conv2d(x, w, border_mode=mode), x, w), expected, atol=1e-12)
    single = value(lambda x, w: signal.conv.conv2d(x, w, border_mode=mode), x[0, 0], w[0, 0])
    np.testing.assert_allclose(single, scipy.signal.convolve(x[0, 0], w[0, 0], mode), atol=1e-12)


@pytest.mark.parametrize(("images", "filters"), [((), ()), ((3,), ()), ((), (2,)), ((3,), (2,))])
def test_signal_conv2d_keeps_the_axes_that_are_there(images, filters):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((*images, 6, 5)), rng.standard_normal((*filters, 2, 3))
    found = value(lambda x, w: signal.conv.conv2d(x, w, subsample=(2, 1)), x, w)
    assert found.shape == (*images, *filters, 3, 3)
    one = scipy.signal.convolve(x[-1] if images else x, w[-1] if filters else w, "valid")[::2]
    np.testing.assert_allclose(found[(-1,) * (len(images) + len(filters))], one, atol=1e-12)


@pytest.mark.parametrize(
    ("mode", "steps", "dilation", "groups"), [("valid", (1, 2, 1), (1, 1, 2), 1), ("full", (2, 1, 1), (1, 1, 1), 2)]
)
def test_conv3d(mode, steps, dilation, groups):
    x, w = case((2, 2, 4, 5, 4), 2, (2, 3, 2), mode, steps, dilation, groups, False)
    options = {"border_mode": mode, "subsample": steps, "filter_dilation": dilation, "num_groups": groups}
    y = by_loops(x, w, mode, steps, dilation, True, groups)
    np.testing.assert_allclose(value(lambda x, w: nnet.conv3d(x, w, **options), x, w), y, atol=1e-12)
    gx, gw = tracer.grad(lambda x, w: np.sum(nnet.conv3d(x, w, **options) * y), argnums=(0, 1))(x, w)
    found = value(lambda g, w: nnet.conv3d_grad_wrt_inputs(g, w, (None, None, 4, 5, 4), **options), y, w)
    np.testing.assert_allclose(found, gx, atol=1e-11)
    found = value(lambda x, g: nnet.conv3d_grad_wrt_weights(x, g, w.shape, **options), x, y)
    np.testing.assert_allclose(found, gw, atol=1e-11)


def test_conv2d_transpose_is_the_transpose():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 5, 5)), rng.standard_normal((3, 4, 3, 2))
    options = {"border_mode": "half", "input_dilation": (2, 2)}
    up = value(lambda x, w: nnet.conv2d_transpose(x, w, (None, None, 9, 8), **options), x, w)
    assert up.shape == (2, 4, 9, 8)
    other = rng.standard_normal(up.shape)
    assert np.vdot(up, other) == pytest.approx(np.vdot(x, by_loops(other, w, "half", (2, 2), (1, 1), True, 1)))


def test_sizes_may_be_symbolic():
    x, w = np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3))

    def function(x, w):
        y = nnet.conv2d(x, w)
        return nnet.conv2d_grad_wrt_inputs(y, w, x.shape), nnet.conv2d_grad_wrt_weights(x, y, w.shape)

    inputs = variables((x, w))
    found = SymbolicProgram(inputs, list(function(*inputs)), {}, "test")(x, w)
    assert [item.shape for item in found] == [x.shape, w.shape]
    assert found[1].sum() == 9 * 9 * 9


def test_separable_convolutions():
    rng = np.random.default_rng(0)
    x, deep, mix = (
        rng.standard_normal((2, 3, 6, 5)),
        rng.standard_normal((6, 1, 3, 2)),
        rng.standard_normal((4, 6, 1, 1)),
    )
    options = {"border_mode": "half", "subsample": (2, 1), "filter_dilation": (1, 2)}
    found = value(lambda x, d, m: nnet.separable_conv2d(x, d, m, 3, **options), x, deep, mix)
    first = by_loops(x, deep, "half", (2, 1), (1, 2), True, 3)
    np.testing.assert_allclose(found, by_loops(first, mix, "valid", (1, 1), (1, 1), True, 1), atol=1e-12)
    x, deep, mix = (np.expand_dims(item, 2) for item in (x, deep, mix))
    options = {name: mode if name == "border_mode" else (1, *mode) for name, mode in options.items()}
    again = value(lambda x, d, m: nnet.separable_conv3d(x, d, m, 3, **options), x, deep, mix)
    np.testing.assert_allclose(again[:, :, 0], found, atol=1e-12)


def test_causal_conv1d_looks_back():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 8)), rng.standard_normal((4, 3, 3))
    found = value(lambda x, w: nnet.causal_conv1d(x, w, filter_dilation=2), x, w)
    assert found.shape == (2, 4, 8)
    np.testing.assert_allclose(found, by_loops(x, w, ((4, 0),), (1,), (2,), True, 1), atol=1e-12)


def test_types_of_variables():
    x, w = np.ones((1, 3, 5, 5), np.float32), np.ones((2, 3, 2, 2), np.float64)
    flags = [(True, False, False, False), (False,) * 4]
    (found,) = variables([x], flags[:1])
    y = nnet.conv2d(found, *variables([w]))
    assert (y.dtype, y.broadcastable) == ("float64", (True, False, False, False))
    value(nnet.conv2d, x, w, broadcastable=flags)
    again = pickle.loads(pickle.dumps(y))
    assert again.owner.op is nnet.conv2d.operation


def test_single_precision_stays():
    x, w = np.ones((1, 3, 5, 5), np.float32), np.ones((2, 3, 2, 2), np.float32)
    assert value(nnet.conv2d, x, w).dtype == np.float32


@pytest.mark.parametrize("mode", ["same", (1,), -1, (1, -1), 1.5, ((1, 1, 1), 0)], ids=str)
def test_unknown_border_modes(mode):
    x, w = np.ones((1, 1, 5, 5)), np.ones((1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"border_mode(?s:.)*HINT"):
        tracer.compile(lambda x, w: nnet.conv2d(x, w, border_mode=mode))(x, w)


@pytest.mark.parametrize(
    ("shapes", "options", "text"),
    [
        (((5, 5), (1, 1, 2, 2)), {}, "needs arrays of 4"),
        (((1, 3, 5, 5), (1, 2, 2, 2)), {}, "channels"),
        (((1, 4, 5, 5), (3, 2, 2, 2)), {"num_groups": 2}, "channels"),
        (((1, 1, 5, 5), (1, 3, 4, 1, 2, 2)), {"unshared": True}, "output places"),
        (((1, 1, 5, 5), (1, 1, 2, 2)), {"subsample": (1, 0)}, "subsample"),
        (((1, 1, 5, 5), (1, 1, 2, 2)), {"subsample": (1, 1, 1)}, "subsample"),
        (((1, 1, 5, 5), (1, 1, 2, 2)), {"num_groups": 0}, "num_groups"),
        (((1, 1, 5, 5), (1, 1, 2, 2)), {"kshp_logical": (1, 1)}, "kshp_logical"),
        (((1, 1, 5, 5), (1, 1, 2, 2)), {"input_shape": (), "image_shape": ()}, "same time"),
    ],
    ids=str,
)
def test_errors(shapes, options, text):
    x, w = map(np.ones, shapes)
    with pytest.raises(ValueError, match=text):
        tracer.compile(lambda x, w: nnet.conv2d(x, w, **options))(x, w)


def test_a_wrong_number_of_dimensions_is_found_when_the_expression_is_built():
    with pytest.raises(ValueError, match=r"conv2d needs arrays of 4(?s:.)*HINT"):
        nnet.conv2d(*variables([np.ones((2, 2)), np.ones((1, 1, 2, 2))]))
    with pytest.raises(ValueError, match=r"signal(?s:.)*HINT"):
        signal.conv.conv2d(*variables([np.ones((2, 2)), np.ones((1, 1, 2, 2))]))


@pytest.mark.parametrize("function", [nnet.conv2d_grad_wrt_inputs, nnet.conv2d_transpose])
def test_a_gradient_of_the_wrong_shape(function):
    with pytest.raises(ValueError, match=r"gradient of the output(?s:.)*HINT"):
        tracer.compile(lambda g, w: function(g, w, (1, 1, 6, 6)))(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))


def test_old_arguments_warn():
    x, w = np.ones((1, 1, 5, 5)), np.ones((1, 1, 2, 2))
    for options, text in (({"image_shape": (1, 1, 5, 5)}, "image_shape"), ({"version": 3}, "version")):
        with pytest.warns(UserWarning, match=text):
            tracer.compile(lambda x, w, options=options: nnet.conv2d(x, w, **options))(x, w)


def test_only_valid_and_full_in_the_old_functions():
    x, w = np.ones((1, 1, 5, 5)), np.ones((1, 1, 2, 2))
    for function, arrays in ((nnet.conv.conv2d, (x, w)), (signal.conv.conv2d, (x[0, 0], w[0, 0]))):
        with pytest.raises(ValueError, match="border_mode"):
            run(lambda x, w, f=function: f(x, w, border_mode="half"), *arrays)


def test_no_place_for_a_filter():
    x, w = np.ones((2, 1, 3, 3)), np.ones((4, 1, 5, 5))
    assert value(nnet.conv2d, x, w).shape == (2, 4, 0, 0)
    gx, gw = tracer.grad(lambda x, w: np.sum(nnet.conv2d(x, w)) + 0 * np.sum(x) + 0 * np.sum(w), argnums=(0, 1))(x, w)
    assert not gx.any() and not gw.any()
