"""Texts about paths through a function: tests on traced values, and sizes that are found at run time."""

BRANCHES = "branches must be 'raise' or 'guard', not {branches!r}"
IN_BODY = (
    "{what} needs a number, but {value} differs from step to step of a loop, or from example to example of a mapped "
    "function: it has no single number.\n"
    "HINT: choose with np.where(condition, a, b), or with tracer.cond(condition, f, g, ...); keep sizes fixed, e.g.\n"
    "    np.where(mask, x, 0.0)      np.sum(x, where=mask)      x[mask] = 0.0"
)
PATH = "another path: {what} is {answer} ({line})"
MANY_PLANS = (
    "tracer: {function!r} has met {count} different paths and sizes; each new one costs a trace.\n"
    "HINT: f.explain() lists them. np.where(condition, a, b) and np.sum(x, where=mask) need one program for all."
)
MANY_NUMBERS = (
    "tracer: {function!r} is compiled again for every value of {text} ({line}), {count} so far.\n"
    "HINT: compute with NumPy on the traced value, np.sqrt(x) instead of math.sqrt(x), which needs no number."
)
