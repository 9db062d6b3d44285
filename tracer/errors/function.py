"""Texts of the errors that functions of symbolic variables raise; fields are filled by `errors.message`."""

NOT_PAIRS = (
    "{parameter} must be pairs (variable, expression) or a dict of them, but one item is {item!r}.\n"
    "HINT: function(..., {parameter}=[(w, w - 0.1 * gw), (b, b - 0.1 * gb)])"
)
UPDATE_DUPLICATE = "{name} has two updates in one function; one of the two values would be lost.\nHINT: combine them."
UPDATE_SYMBOLIC_TYPE = (
    "an update must have the type of its variable: {name} has type {old}, but its update {value} has type {new}.\n"
    "HINT: {hint}"
)
HINT_UPDATE_DTYPE = "cast the new value, T.cast(value, '{dtype}'), or make the shared variable with the other dtype."
HINT_UPDATE_NDIM = "reduce or reshape the new value, e.g. value.mean(axis=0), value.reshape(...)."
HINT_UPDATE_BROADCAST = (
    "the two differ in which axes have size 1: T.unbroadcast(value, axis), T.addbroadcast(value, axis), or "
    "shared(value, broadcastable=(...))."
)
NO_DEFAULT_UPDATES = (
    "no_default_updates must be True, False or a list of shared variables, not {value!r}.\n"
    "HINT: no_default_updates=[rv.rng] leaves out one default update, True all of them."
)
NOT_A_VARIABLE = (
    "{what} must be a symbolic variable, not {value!r}.\nHINT: x = T.dvector('x'); f = function([x], x * 2)"
)
IMPLICIT_WITHOUT_VALUE = "the implicit input {name} has no value.\nHINT: In(x, value=shared_variable, implicit=True)"
INPUT_NAME = "the name of an input must be a string, not {name!r}.\nHINT: In(x, name='x')"
INPUT_UPDATE_TYPE = (
    "the input {name} has type {old}, but its update has {new}.\n"
    "HINT: give an expression of the same type, e.g. In(x, value=0.0, update=T.cast(x + y, x.dtype))."
)
MUTABLE_WITHOUT_BORROW = (
    "the input {name} cannot be mutable without being borrowed.\nHINT: In(x, mutable=True), or with borrow=True too."
)
INPUT_SHORT_FORM = (
    "{item!r} is not an input.\nHINT: In(x, name='x', value=0.0), or x itself; short forms are (x, 0.0), ('name', x)."
)
INPUTS_NOT_A_LIST = (
    "the inputs of a function must be in a list, even when there is a single one; they are {inputs!r}.\n"
    "HINT: function([x], x * 2)"
)
SHARED_AS_INPUT = (
    "the shared variable {name} cannot be an input.\n"
    "HINT: replace it by an ordinary variable of its type: x = {name}.type(); function([x], ..., givens=[({name}, x)])"
)
CONSTANT_AS_INPUT = "the constant {name} cannot be an input.\nHINT: x = T.dvector('x'); function([x], ...)"
INPUT_TWICE = (
    "the variable {name} is listed twice among the inputs, at positions {first} and {second}; one of the two values "
    "would be lost.\nHINT: list it once."
)
UNUSED_INPUT = (
    "the input {name} at position {position} is not used: neither the outputs nor the updates depend on it.\n"
    "HINT: leave it out, or pass on_unused_input='warn' or 'ignore' to the function."
)
ON_UNUSED_INPUT = "on_unused_input must be 'raise', 'warn' or 'ignore', not {value!r}.\nHINT: on_unused_input='ignore'"
MISSING_INPUT = (
    "the outputs depend on {name}, which is neither an input nor has a value.\n"
    "HINT: function([..., {name}], ...), or givens=[({name}, value)]."
)
ABSENT_SIZES = (
    "the results do not depend on the values of {names}, but on their sizes, or sizes of the arguments do not fit.\n"
    "HINT: check the arguments, or function([..., {names}], ...)."
)
CONDITION_NDIM = "a condition must be a scalar, not {type}.\nHINT: Assert('negative')(x, T.ge(x, 0).all())"
OUTPUT_KEY = "the keys of a dict of outputs must be strings, not {key!r}.\nHINT: function([x], {{'cost': cost}})"
GIVEN_KEY = "givens replace symbolic variables, and {key!r} is none.\nHINT: givens=[(x, y * 2), (w, other_shared)]"
GIVEN_INPUT = (
    "givens cannot replace {name}, because it is an input of the function: its value would be ignored.\n"
    "HINT: take another input, y = x.type(); function([y], f(x), givens=[(x, g(y))]), or replace it in the "
    "expression: function([x], clone(f(x), replace=[(x, g(x))]))."
)
GIVEN_DEPENDENT = (
    "givens cannot replace {name}, which a replacement before it is computed from: [(a, b), (b, a + 1)] has no "
    "order.\nHINT: replace in two steps: clone(clone(y, replace=[(b, a + 1)]), replace=[(a, b)])."
)
GIVEN_TYPE = (
    "the variable {name} has type {old}, but what replaces it, {value}, has type {new}.\n"
    "HINT: T.cast(value, '{dtype}'), T.addbroadcast(value, axis), or function(..., rebuild_strict=False)."
)
BAD_INPUT = "bad input argument {argument}to {function} at index {index} (0-based): {reason}"
TOO_MANY_ARGUMENTS = "too many parameters passed to {function}: {given}, but it takes {count}.\nHINT: {hint}"
MISSING_ARGUMENT = "missing required input of {function}: {name}.\nHINT: it {inputs}."
MULTIPLE_VALUES = "multiple values for input {name} of {function}.\nHINT: pass it by position or by name, not both."
IMPLICIT_ARGUMENT = (
    "tried to provide a value for the implicit input {name} of {function}.\nHINT: f[{name!r}] = value sets it."
)
UNKNOWN_INPUT = "unknown input or state: {name}. {function} {inputs}.\nHINT: {hint}"
AMBIGUOUS_NAME = (
    "ambiguous name: {name} is the name of several inputs of {function}.\n"
    "HINT: use the variable itself or its position, f[x] or f[0], or give names: In(x, name='x')."
)
NO_SHARED_TO_SWAP = "the function uses no shared variable {name}.\nHINT: it uses {known}."
SWAP_TYPE = "{name} has type {old} and cannot be swapped for {other} of type {new}.\nHINT: use one of the same type."
UNKNOWN_CHOICE = "there is no {what} {value!r}.\nHINT: use one of {known}."
STOCHASTIC_ORDER = "rewriting the graph of {function!r} twice gave different graphs."
DESTROYED = "the program of {function!r} changed its argument {value}."
VIEWED = "output {output} of {function!r} shares memory with an argument or another output."
BAD_OPTIMIZATION = "the pass {label!r} changed output {output} of {function!r}: {detail}"
BAD_THUNK = "the kernels and the reference disagree on {what} in {function!r}: {detail}"
INVALID_TYPE = "{op} should give {type}, but gave {dtype} of shape {shape}."
NOT_FINITE = (
    "{op} in {function!r} gave values that are not finite: {value}\n"
    "HINT: DebugMode(check_isfinite=False) lets them pass; NanGuardMode finds where they come from."
)
NAN_GUARD = "{kind} detected in {what} in the function {function!r}: {count} of {size} values."
