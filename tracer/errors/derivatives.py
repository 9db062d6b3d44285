"""Texts of the errors about derivatives of functions; fields are filled by `errors.message`."""

ARGNUMS = (
    "argnums must be an int or a sequence of different ints, not {argnums!r}.\n"
    "HINT: argnums=0, argnums=(0, 1), or argnums=-1 for the last argument."
)
NOT_FLOAT = "{function} cannot differentiate with respect to {name}, which has type {type}.\nHINT: {hint}"
HINT_ARGNUMS = (
    "pass floats, e.g. np.asarray(x, dtype=float), or choose other arguments with argnums; allow_int=True gives zeros."
)
HINT_OBJECT = "pass arrays and floats, or nests of them: tuples, lists, dicts, named tuples and dataclasses."
HINT_PRIMALS = "pass floats, e.g. np.asarray(x, dtype=float); fix other arguments: lambda x: {function}(x, n)."
NOT_SCALAR = (
    "the cost must be a scalar, but {function} returned one of type {type}.\n"
    "HINT: reduce it, e.g. np.sum(cost) or np.mean(cost); tracer.jacobian({function}) gives the derivative of each "
    "element, tracer.elementwise_grad({function}) that of their sum."
)
NOT_AN_ARRAY = "{what} of {function} must be an array, but it is a {type}.\nHINT: {hint}"
HINT_RESULTS = (
    "value_and_grad({function}, has_aux=True) passes further results through; tracer.jacobian({function}) takes nests."
)
NOT_A_PAIR = (
    "with has_aux=True {function} must return (value, auxiliary), but it returned {type}.\n"
    "HINT: return cost, {{'predictions': p}}; what is auxiliary is passed on as it is."
)
NOT_REAL = "the cost must be a real floating-point number, but {function} returned one of type {type}.\nHINT: {hint}"
HINT_NOT_REAL = "take a real part, e.g. np.abs(z) ** 2; or pass holomorphic=True if the function is holomorphic."
HINT_NOT_FLOAT = "compute it from floats, e.g. x.astype(np.float64)."
HOLOMORPHIC = (
    "with holomorphic=True arguments and results are complex, but {name} of {function} has type {type}.\n"
    "HINT: pass z.astype(complex), or leave out holomorphic=True."
)
COMPLEX_JACOBIAN = (
    "{transform}({function}) is not one complex number for each pair of elements: {name} has type {type}.\n"
    "HINT: pass holomorphic=True if the function is holomorphic, or differentiate np.real and np.imag of it; "
    "tracer.jacobian chooses the mode that real arguments or real results need."
)
NEST_DIFFERS = (
    "the {what} for {function} must be a nest like {name}, {wanted}, but is {found}.\n"
    "HINT: give one array for each star."
)
LEAF_DIFFERS = (
    "the {what} for {name} of {function} has type {found}, but {name} has type {wanted}.\n"
    "HINT: give it the same shape, and a dtype that casts to {dtype}."
)
COUNT_DIFFERS = (
    "{function} was given {tangents} tangents for {primals} primals.\nHINT: tracer.jvp(f, (x, y), (dx, dy))."
)
NOT_LINEAR = (
    "{function} is not linear: its derivative depends on where it is taken.\n"
    "HINT: tracer.vjp(f, x)[1] is the transpose of the derivative at x."
)
WRITTEN_TWICE = (
    "{function!r} writes into {name}, which it also knows by another name: a write to one is a write to both.\n"
    "HINT: pass a copy, e.g. x.copy(), or write x = x + y instead of x += y."
)
WRITTEN_OUTSIDE = (
    "{function!r} writes into {name}, which inside another traced function is an array of its surroundings.\n"
    "HINT: pass that array to the outer function as an argument, and from there to {function}."
)
