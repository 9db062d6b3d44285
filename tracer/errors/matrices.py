"""Texts of the errors about functions of matrices."""

COMPLEX_RESULT = (
    "{function} of a real matrix gave complex numbers, but a compiled function has results of fixed dtypes.\n"
    "HINT: pass a complex matrix, e.g. a.astype(complex), and take .real where the result is real."
)
