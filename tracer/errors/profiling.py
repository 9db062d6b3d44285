"""Texts of the errors that profiles raise; fields are filled by `errors.message`."""

UNKNOWN_FORMAT = 'there is no format {format!r}.\nHINT: f.explain("text") or f.explain("html", path="f.html").'
NOT_COMPILED = (
    "{function} is not compiled, so that there is nothing to profile.\n"
    "HINT: tracer.compile(f).profile(x), or tracer.profiling.profile(tracer.compile(f), (x,))."
)
IN_A_TRACE = (
    "a profile needs arrays, but it was asked for within a traced function.\n"
    "HINT: call f.profile(x) outside of it, with the arrays of a real call."
)
OTHER_EXECUTOR = (
    "{function!r} is run op by op, by NumPy: only native programs have a profile.\n"
    'HINT: tracer.compile(f, backend="cpu").profile(x).'
)
