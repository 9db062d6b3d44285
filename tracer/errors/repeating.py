"""Texts of the errors of `f.run` and `f.run_over`; fields are filled by `errors.message`."""

STEPS = "the number of calls must be an int of at least 0, not {steps!r}.\nHINT: f.run(1000, x)"
KEEP = (
    "keep must be 'all', for the results of all calls, or 'last', not {keep!r}.\n"
    "HINT: an argument of the function that has this name can be passed by position."
)
NOTHING_LAST = "there is no call whose result could be the last one.\nHINT: keep='all' gives arrays without rows."
BATCH_SIZE = "batch_size must be an int of at least 1, or None for one row a call, not {size!r}.\nHINT: batch_size=32"
NO_DATA = (
    "run_over needs arrays whose rows the calls take.\n"
    "HINT: f.run_over(x, y, batch_size=32); f.run(n) calls it again and again with the same arguments."
)
NO_ROWS = (
    "run_over hands each call its rows of the arguments that are passed by position, but {name} is {value}.\n"
    "HINT: pass what is the same for all calls by name: f.run_over(x, y, batch_size=32, rate=0.1)"
)
ROW_COUNTS = (
    "the arguments have different numbers of rows: {counts}.\n"
    "HINT: pass what is the same for all calls by name: f.run_over(x, y, batch_size=32, rate=0.1)"
)
ORDER = (
    "order must be integers, the rows in the order in which calls take them, or a generator that shuffles them, not "
    "{order}.\nHINT: order=rng.permutation(len(x)) or order=rng"
)
ORDER_RANGE = "order has the row {row}, but there are {count} rows.\nHINT: order=rng.permutation(len(x))"
UNEQUAL = (
    "the results of the calls differ in shape and cannot be stacked: {one} and {other}.\n"
    "HINT: keep='last' gives those of the last call; with drop_last=True all batches have the same size."
)
IN_TRACE = (
    "{name}.run_over shuffles rows by a generator, which a trace of the function around it cannot follow.\n"
    "HINT: pass order= an array of row numbers."
)
