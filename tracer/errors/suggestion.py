"""Texts around code that is suggested in the place of the user's own."""

REWRITTEN = (
    "written for traced values, in your own names:\n{code}\n"
    'or let the function be compiled for each path that calls take: @tracer.compile(branches="guard").'
)
