"""Texts of the errors that loops and conditions over plain functions raise; fields are filled by `errors.message`."""

CHANGE_IN_CONDITION = (
    "the condition of a while_loop sets a shared variable, draws random numbers or writes into an array around it; a "
    "condition only decides.\nHINT: do that in the body, and carry what the condition looks at."
)
CARRY_STRUCTURE = (
    "the body of {loop} takes a carry nested as {wanted}, but gives one nested as {found}.\n"
    "HINT: return the carry in the form in which {name} has it{more}."
)
CARRY_TYPE = (
    "the carry {path} of {loop} starts as {wanted}, but the body makes {found} of it.\n"
    "HINT: start with the type that the body gives, {start}, or convert the result: {convert}."
)
NOT_AN_ARRAY = (
    "{path} of {loop} must be an array or a number, not {value!r}.\n"
    "HINT: what is no array can be closed over: lambda c: body(c, options)."
)
SCAN_PAIR = (
    "the function of scan must return a pair (carry, output), but returned {found}.\n"
    "HINT: return carry, None if there is no output for the step."
)
SCAN_LENGTH = "scan needs to know how many steps to do.\nHINT: give it xs, whose rows it takes, or length=10."
ROWS_DIFFER = "{loop} takes rows of arrays that have different numbers of them: {sizes}.\nHINT: cut or pad them."
NO_ROWS = (
    "{path} of {loop} is a single number, so that it has no rows.\n"
    "HINT: pass an array, np.array([1.0, 2.0]), and not a list: the parts of a list are arrays of their own."
)
LENGTH = "length={length} of scan, but the arrays in xs have {rows} rows.\nHINT: leave length out, or cut xs."
BOUNDS = (
    "fori_loop counts from one integer to another, but got {lower!r} and {upper!r}.\n"
    "HINT: fori_loop(0, n, body, init), with n an int or an integer array of shape ()."
)
CONDITION = (
    "the condition of while_loop must give a single truth value, but gave {found}.\n"
    "HINT: reduce it, e.g. np.all(np.abs(x) > 1e-6)."
)
BRANCH_STRUCTURE = (
    "the branches of {loop} return differently nested results: {one} and {two}.\n"
    "HINT: both must return the same nest; np.zeros_like(x) may stand for nothing."
)
BRANCH_SHAPE = (
    "the branches of {loop} differ in {path}: {one} and {two}.\n"
    "HINT: both must return the same shapes; np.broadcast_to(x, shape) or np.reshape(x, shape) may help."
)
NO_BRANCHES = "switch needs at least one branch.\nHINT: switch(index, [first, second], x)"
INDEX = "the index of switch must be one integer, not {found}.\nHINT: switch(i.astype(np.int64), branches, x)"
POSITIVE = "{name} must be a positive int, not {value!r}.\nHINT: {name}=10"
SYMBOLIC = (
    "{loop} works on arrays and traced values, not on symbolic variables.\n"
    "HINT: for these there are scan (with sequences=, outputs_info=, n_steps=) and ifelse; or compile a plain function "
    "of arrays with tracer.compile."
)
