"""Texts of the errors about random numbers; fields are filled by `errors.message`."""

HINT_PARAMETER = (
    "no derivative flows through {name!r} of {method}: pass it through tracer.stop_gradient(...), or as a number;\n"
    "normal, uniform, exponential, laplace, logistic, gumbel, lognormal, weibull, rayleigh, pareto, power and "
    "triangular have derivatives."
)
UNSEEDED = (
    "a generator without a seed was made while {function!r} is traced: its numbers would be frozen into the compiled "
    "function.\nHINT: make it once, outside of the function: rng = np.random.default_rng()\n"
    "    and draw from it inside, noise = rng.standard_normal(x.shape): every call then draws new numbers."
)
NOT_FOLLOWED = (
    "{function!r} drew from a {kind} that the trace could not follow: its numbers would be frozen into the compiled "
    "function.\nHINT: pass the generator as an argument, keep it in a variable or attribute of its own, or make it "
    "with tracer.random.default_rng(seed), which can be kept anywhere."
)
PLAIN_RANDOM = (
    "{function!r} drew from a generator of Python's random module: its numbers would be frozen into the compiled "
    "function.\nHINT: draw from a NumPy generator, rng = np.random.default_rng(seed): rng.random(), rng.normal(), "
    "rng.integers(n), rng.choice(x), rng.permutation(x)."
)
NO_STATE = (
    "the state of a generator is not known while {function!r} is traced ({what}).\nHINT: {what} outside of the "
    "function, before or after the call: the call advances the generator as NumPy would."
)
LEAKED_GENERATOR = (
    "a generator made while {function!r} was traced cannot be used outside of that trace.\n"
    "HINT: make it outside, rng = tracer.random.default_rng(seed), and use it inside."
)
REAL_TARGET = (
    "{method} was asked to write into a {kind} while {function!r} is traced.\n"
    "HINT: x = rng.permutation(x) or y = rng.random(shape), or pass the array as an argument of the function."
)
SHARED_STREAM = (
    "{function!r} draws from a generator that it reaches in two ways: as an argument, and by itself.\n"
    "HINT: use it in one of these ways."
)
