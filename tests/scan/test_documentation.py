"""Programs that documentation of Theano shows for `scan`, with the values that it prints."""

import numpy as np

import tracer as theano
import tracer.tensor as T


def test_power():
    k, a = T.iscalar("k"), T.vector("A")
    result, updates = theano.scan(
        fn=lambda prior_result, a: prior_result * a, outputs_info=T.ones_like(a), non_sequences=a, n_steps=k
    )
    power = theano.function(inputs=[a, k], outputs=result[-1], updates=updates)
    np.testing.assert_array_equal(power(range(10), 2), [0, 1, 4, 9, 16, 25, 36, 49, 64, 81])
    np.testing.assert_array_equal(power(range(10), 4), [0, 1, 16, 81, 256, 625, 1296, 2401, 4096, 6561])


def test_polynomial():
    coefficients, x = T.vector("coefficients"), T.scalar("x")
    components, updates = theano.scan(
        fn=lambda coefficient, power, free_variable: coefficient * (free_variable**power),
        outputs_info=None,
        sequences=[coefficients, T.arange(10000)],
        non_sequences=x,
    )
    assert not updates
    calculate_polynomial = theano.function(inputs=[coefficients, x], outputs=components.sum())
    assert calculate_polynomial(np.asarray([1, 0, 2], dtype=np.float32), 3) == 19.0


def test_accumulate_over_arange():
    up_to = T.iscalar("up_to")
    seq = T.arange(up_to)
    outputs_info = T.as_tensor_variable(np.asarray(0, seq.dtype))
    result, _ = theano.scan(
        fn=lambda arange_val, sum_to_date: sum_to_date + arange_val, outputs_info=outputs_info, sequences=seq
    )
    triangular_sequence = theano.function(inputs=[up_to], outputs=result)
    assert triangular_sequence(15).tolist() == [n * (n + 1) // 2 for n in range(15)]
    assert triangular_sequence(3).tolist() == [0, 1, 3]


def test_set_values_at_positions():
    location, values, output_model = T.imatrix("location"), T.vector("values"), T.matrix("output_model")

    def set_value_at_position(a_location, a_value, output_model):
        zeros = T.zeros_like(output_model)
        zeros_subtensor = zeros[a_location[0], a_location[1]]
        return T.set_subtensor(zeros_subtensor, a_value)

    result, _ = theano.scan(
        fn=set_value_at_position, outputs_info=None, sequences=[location, values], non_sequences=output_model
    )
    assign = theano.function(inputs=[location, values, output_model], outputs=result)
    locations = np.asarray([[1, 1], [2, 3]], dtype=np.int32)
    found = assign(locations, np.asarray([42, 50], dtype=np.float32), np.zeros((5, 5), dtype=np.float32))
    wanted = np.zeros((2, 5, 5))
    wanted[0, 1, 1], wanted[1, 2, 3] = 42, 50
    np.testing.assert_array_equal(found, wanted)


def test_updates_of_a_shared_variable():
    a = theano.shared(1)
    values, updates = theano.scan(lambda: {a: a + 1}, n_steps=10)
    assert values is None
    f = theano.function([], [a + 1, updates[a] + 1], updates=updates)
    assert [int(item) for item in f()] == [2, 12]
    assert a.get_value() == 11


def test_accumulator():
    k, n = theano.shared(0), T.iscalar("n_sym")
    _, updates = theano.scan(lambda: {k: (k + 1)}, n_steps=n)
    accumulator = theano.function([n], [], updates=updates, allow_input_downcast=True)
    assert k.get_value() == 0
    assert accumulator(5) == []
    assert k.get_value() == 5


def recurrence_arguments():
    """Values for the echo state network of the documentation."""
    rng = np.random.default_rng(0)
    shapes = [(9, 2), (3, 4), (3,), (4, 4), (2, 4), (2, 4), (3, 4), (4, 3)]
    return [0.5 * rng.standard_normal(shape) for shape in shapes]


def test_taps_of_sequences_and_outputs():
    u, x0, y0 = T.matrix("u"), T.matrix("x0"), T.vector("y0")
    weights = T.matrices("W", "W_in_1", "W_in_2", "W_feedback", "W_out")

    def one_step(u_tm4, u_t, x_tm3, x_tm1, y_tm1, w, w_in_1, w_in_2, w_feedback, w_out):
        x_t = T.tanh(T.dot(x_tm1, w) + T.dot(u_t, w_in_1) + T.dot(u_tm4, w_in_2) + T.dot(y_tm1, w_feedback))
        return [x_t, T.dot(x_tm3, w_out)]

    ([x_vals, y_vals], updates) = theano.scan(
        fn=one_step,
        sequences={"input": u, "taps": [-4, -0]},
        outputs_info=[{"initial": x0, "taps": [-3, -1]}, y0],
        non_sequences=list(weights),
        strict=True,
    )
    assert not updates
    values = recurrence_arguments()
    found_x, found_y = theano.function([u, x0, y0, *weights], [x_vals, y_vals])(*values)
    u_, x0_, y, w, w_in_1, w_in_2, w_feedback, w_out = values
    x, wanted_y = list(x0_), []
    for t in range(4, len(u_)):
        new = np.tanh(x[-1] @ w + u_[t] @ w_in_1 + u_[t - 4] @ w_in_2 + y @ w_feedback)
        y = x[-3] @ w_out
        x.append(new)
        wanted_y.append(y)
    np.testing.assert_allclose(found_x, x[3:], rtol=1e-13)
    np.testing.assert_allclose(found_y, wanted_y, rtol=1e-13)


def test_elementwise_affine_map():
    x, w, b = T.matrix("X"), T.matrix("W"), T.vector("b_sym")
    results, _ = theano.scan(lambda v: T.tanh(T.dot(v, w) + b), sequences=x)
    compute = theano.function(inputs=[x, w, b], outputs=results)
    found = compute(np.eye(2), np.ones((2, 2)), [1, 2])
    np.testing.assert_allclose(found, [[0.96402758, 0.99505475]] * 2, rtol=1e-7)


def test_recurrence_with_reversed_sequence():
    x, w, y, u, p, v = T.vector("X"), *T.matrices("W", "Y", "U", "P", "V")
    results, _ = theano.scan(
        lambda y, p, x_tm1: T.tanh(T.dot(x_tm1, w) + T.dot(y, u) + T.dot(p, v)),
        sequences=[y, p[::-1]],
        outputs_info=[x],
    )
    compute_seq = theano.function(inputs=[x, w, y, u, p, v], outputs=results)
    ones = np.ones((2, 2))
    y_, p_ = np.ones((5, 2)), np.ones((5, 2))
    y_[0], p_[0] = -3, 3
    found = compute_seq([0, 1], ones, y_, ones, p_, ones)
    wanted = [-0.99505475, 0.96471973, 0.99998585, 0.99998771, 1.0]
    np.testing.assert_allclose(found, np.transpose([wanted, wanted]), rtol=1e-7)


def test_norms_of_lines():
    x = T.matrix("X")
    rows, _ = theano.scan(lambda x_i: T.sqrt((x_i**2).sum()), sequences=[x])
    columns, _ = theano.scan(lambda x_i: T.sqrt((x_i**2).sum()), sequences=[x.T])
    found = theano.function(inputs=[x], outputs=[rows, columns])(np.diag(np.arange(1.0, 6), 1))
    np.testing.assert_allclose(found[0], [1, 2, 3, 4, 5, 0])
    np.testing.assert_allclose(found[1], [0, 1, 2, 3, 4, 5])


def test_trace():
    x = T.matrix("X")
    results, _ = theano.scan(
        lambda i, j, t_f: T.cast(x[i, j] + t_f, "float32"),
        sequences=[T.arange(x.shape[0]), T.arange(x.shape[1])],
        outputs_info=np.asarray(0.0, dtype="float32"),
    )
    value = np.eye(5)
    value[0] = np.arange(5)
    found = theano.function(inputs=[x], outputs=results[-1])(value)
    assert found == 4.0
    assert found.dtype == np.float32


def test_two_lags():
    x, u, w, v, b, n = T.matrix("X"), *T.matrices("U", "W", "V"), T.vector("b_sym"), T.iscalar("n_sym")
    results, _ = theano.scan(
        lambda x_tm2, x_tm1: T.dot(x_tm2, u) + T.dot(x_tm1, v) + T.tanh(T.dot(x_tm1, w) + b),
        n_steps=n,
        outputs_info=[{"initial": x, "taps": [-2, -1]}],
    )
    compute_seq2 = theano.function(inputs=[x, u, v, w, b, n], outputs=results)
    halves = 0.5 * np.ones((2, 2))
    start = np.array([[0.0, 0.0], [0.0, 1.0]])
    found = compute_seq2(start, 0.5 * (np.ones((2, 2)) - np.eye(2)), halves, halves, np.ones(2), 10)
    wanted = [
        [1.40514825, 1.40514825],
        [2.88898899, 2.38898899],
        [4.34018291, 4.34018291],
        [6.53463142, 6.78463142],
        [9.82972243, 9.82972243],
        [14.22203814, 14.09703814],
        [20.07439936, 20.07439936],
        [28.12291843, 28.18541843],
        [39.1913681, 39.1913681],
        [54.28407732, 54.25282732],
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_jacobian_by_scan():
    v, a = T.vector("v"), T.matrix("A")
    y = T.tanh(T.dot(v, a))
    results, _ = theano.scan(lambda i: T.grad(y[i], v), sequences=[T.arange(y.shape[0])])
    compute_jacobian = theano.function([a, v], results, allow_input_downcast=True)
    w = np.eye(5, 3)
    w[2] = 1
    wanted = [
        [0.41997434, 0.0, 0.41997434, 0.0, 0.0],
        [0.0, 1.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0, 0.0],
    ]
    np.testing.assert_allclose(compute_jacobian(w, np.eye(5)[0]), wanted, rtol=1e-7, atol=1e-12)


def test_hessian_by_scan():
    x = T.dvector("x")
    gradient = T.grad(T.sum(x**3), x)
    hessian, updates = theano.scan(
        lambda i, gy, x: T.grad(gy[i], x), sequences=T.arange(gradient.shape[0]), non_sequences=[gradient, x]
    )
    f = theano.function([x], hessian, updates=updates)
    np.testing.assert_allclose(f([4, 4]), [[24.0, 0.0], [0.0, 24.0]])


def test_random_numbers_are_drawn_at_each_step():
    x, w, b = T.matrix("X"), T.matrix("W"), T.vector("b_sym")
    stream = T.shared_randomstreams.RandomStreams(1234)
    d = stream.binomial(size=w[1].shape)
    results, updates = theano.scan(lambda v: T.tanh(T.dot(v, w) + b) * d, sequences=x)
    compute = theano.function(inputs=[x, w, b], outputs=results, updates=updates, allow_input_downcast=True)
    found = compute(np.eye(10, 2), np.ones((2, 2)), np.ones(2))
    wanted = [
        [0.96402758, 0.0],
        [0.0, 0.96402758],
        [0.0, 0.0],
        [0.76159416, 0.76159416],
        [0.76159416, 0.0],
        [0.0, 0.76159416],
        [0.0, 0.76159416],
        [0.0, 0.76159416],
        [0.0, 0.0],
        [0.76159416, 0.76159416],
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_random_numbers_of_non_sequences_are_drawn_once():
    x = T.matrix("X")
    d = T.shared_randomstreams.RandomStreams(1234).uniform(size=(2,))
    results, updates = theano.scan(lambda v, d: v + d, sequences=x, non_sequences=d)
    found = theano.function([x], results, updates=updates)(np.zeros((4, 2)))
    assert np.unique(found, axis=0).shape == (1, 2)


def test_gibbs_sampling():
    rng = np.random.RandomState(0)
    w_, bvis_, bhid_ = rng.uniform(-1, 1, (6, 4)), rng.uniform(-1, 1, 6), rng.uniform(-1, 1, 4)
    w, bvis, bhid = (theano.shared(value) for value in (w_, bvis_, bhid_))
    trng = T.shared_randomstreams.RandomStreams(1234)

    def one_step(vsample):
        hmean = T.nnet.sigmoid(T.dot(vsample, w) + bhid)
        hsample = trng.binomial(size=hmean.shape, n=1, p=hmean)
        vmean = T.nnet.sigmoid(T.dot(hsample, w.T) + bvis)
        return trng.binomial(size=vsample.shape, n=1, p=vmean, dtype=theano.config.floatX)

    sample = T.vector()
    values, updates = theano.scan(one_step, outputs_info=sample, n_steps=10)
    gibbs10 = theano.function([sample], values, updates=updates)

    seeds = np.random.RandomState(1234).randint(2**30, size=2)
    hidden, visible = (np.random.RandomState(int(seed)) for seed in seeds)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    v = np.ones(6)
    for _ in range(2):  # the second call goes on where the first one stopped
        found = gibbs10(np.ones(6))
        v = np.ones(6)
        for step in range(10):
            h = hidden.binomial(1, sigmoid(v @ w_ + bhid_))
            v = visible.binomial(1, sigmoid(h @ w_.T + bvis_)).astype(float)
            np.testing.assert_array_equal(found[step], v)


def test_until():
    def power_of_2(previous_power, max_value):
        return previous_power * 2, theano.scan_module.until(previous_power * 2 > max_value)

    max_value = T.scalar()
    values, _ = theano.scan(power_of_2, outputs_info=T.constant(1.0), non_sequences=max_value, n_steps=1024)
    f = theano.function([max_value], values)
    np.testing.assert_array_equal(f(45), [2, 4, 8, 16, 32, 64])
    np.testing.assert_array_equal(f(3), [2, 4])
