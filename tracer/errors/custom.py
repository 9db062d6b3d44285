"""Texts of the errors about derivatives and ops of one's own; fields are filled by `errors.message`."""

RULE_MISSING = (
    "a derivative of {function} was asked, but it has no {mode} rule.\n"
    "HINT: give it one before it is differentiated:\n    {hint}"
)
HINT_VJP = "{function}.defvjp(forward, backward)    # forward: *args -> (result, kept); backward: kept, g -> (dx, ...)"
HINT_JVP = "{function}.defjvp(rule)    # rule: (primals, tangents) -> (result, tangent of the result)"
CLOSED_OVER = (
    "{function} has derivative rules for its arguments, but it also uses {value}, with respect to which a derivative "
    "is taken.\n"
    "HINT: make it an argument, so that the rules can say what its derivative is: {function}(x, w) instead of a "
    "function that uses w of its surroundings."
)
ARGUMENT_WRITTEN = (
    "{function} writes into its argument {number}, which a function with rules of its own cannot.\n"
    "HINT: write into a copy: x = x.copy(); x[0] = 0.0"
)
NONDIFF_ARGUMENT = (
    "nondiff_argnums={given} does not fit {function}, which takes {count} positional arguments.\n"
    "HINT: count from 0: nondiff_argnums=(1,) for the function f(x, n)."
)
KEYWORD_ONLY = (
    "{function} takes {name} by keyword only, and so it cannot be handed to the rules.\n"
    "HINT: def f(x, n), and nondiff_argnums=(1,) if it has no derivative."
)
FORWARD_RESULT = (
    "the forward rule of {function} returned {found}, not a pair (result, kept values).\n"
    "HINT: def forward(x): return np.sin(x), np.cos(x)"
)
RULE_STRUCTURE = (
    "the {rule} rule of {function} returned {found} for {what}, which has {wanted}.\n"
    "HINT: return the same nest of arrays as {what}; None stands for zero."
)
RULE_SHAPE = (
    "the {rule} rule of {function} gave {found} for {what} of type {wanted}.\n"
    "HINT: sum over the axes along which it was broadcast, e.g. np.sum(g * x, axis=0)."
)
RULE_COUNT = (
    "the {rule} rule of {function} returned {found}, but a tuple with {wanted} is needed.\n"
    "HINT: one for each argument, also if there is one: return (g * kept,)"
)
NOT_CONVERGED = (
    "fixed_point has not converged in {iterations} iterations: the last one changed a value by {distance:.3g}.\n"
    "HINT: pass a larger max_iterations or tolerance; iterating converges where the function is a contraction, e.g.\n"
    "    tracer.fixed_point(lambda x: 0.5 * x + 0.5 * f(x), guess)    # damped"
)
ITERATE_TYPE = (
    "{function} was given {wanted} and returned {found}; an iterate keeps its structure, shapes and dtypes.\n"
    "HINT: start with values of the type of the result, e.g. np.zeros(3) instead of 0."
)
COMPLEX_ROOT = (
    "the derivative of a complex root needs a tangent_solve.\n"
    "HINT: tracer.custom_root(f, guess, solve, tangent_solve=lambda g, y: y / g(1.0)), or write f with real and "
    "imaginary parts."
)
CALLBACK_DERIVATIVE = (
    "a derivative of the callback {function} was asked, but what it does is not known.\n"
    "HINT: say what its derivative is with tracer.custom_vjp:\n"
    "    f = tracer.custom_vjp(lambda x: tracer.pure_callback({function}, x, x))\n"
    "    f.defvjp(lambda x: (f(x), x), lambda x, g: (g * derivative(x),))\n"
    "or pass it tracer.stop_gradient(x) where it counts as constant."
)
CALLBACK_STRUCTURE = (
    "the callback {function} returned {found}, but {wanted} was announced.\n"
    "HINT: return the nest of arrays that result_shape_dtypes describes."
)
FOREIGN_RESULT = (
    "{function} gave {found}, but {wanted} was announced.\n"
    "HINT: cast or reshape the result, np.asarray(y, np.float64), or announce what it is: ((3,), np.float32)."
)
RESULT_SPEC = (
    "{value!r} does not say what type a result has.\n"
    "HINT: give a pair (shape, dtype), ((3, 4), np.float64), or an array of that type."
)
RESULT_UNKNOWN = (
    "the op {function} was run on arrays of ones, of types {types}, to find what it returns, and raised {error}.\n"
    "HINT: say what it returns: custom_op(function, result=lambda x: (x.shape, x.dtype))"
)
OP_DERIVATIVE = (
    "the op {function} has neither a vjp nor a jvp rule, and a derivative of it was asked.\n"
    "HINT: tracer.custom_op({function!r}, function, vjp=lambda g, y, x: g * slope(x)), or pass it "
    "tracer.stop_gradient(x) where it counts as constant."
)
OP_DERIVS = (
    "the elementwise op {function} takes {count} inputs, but deriv has {found} rules.\n"
    "HINT: one for each input, deriv=(lambda y, a, b: b, lambda y, a, b: a); None where the derivative is zero."
)
OP_ELEMENTWISE_OPTIONS = (
    "the op {function} is {kind} and takes no {option}.\n"
    "HINT: elementwise ops have deriv=, a local derivative for each input; others have vjp=, jvp=, batch= and result=."
)
OP_PARAMS = (
    "the op {function} was given {name}={value!r}, which cannot be hashed.\n"
    "HINT: arrays go by position; what goes by keyword is static: numbers, strings, tuples."
)
SPARSE_IN_TRACE = (
    "{kind} of {function} was called in a traced function, where there are no sparse matrices.\n"
    "HINT: call it outside of tracer.compile, and hand what it gives to a solver: scipy.sparse.linalg.spsolve(J, r)."
)
