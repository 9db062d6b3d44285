"""Following plain NumPy code that no protocol shows: a function is rewritten, and every step of it goes through hooks.

`attempts` decides when, `locate` finds the syntax tree of a function, `rewriting` puts calls of hooks into it, `hooks`
are what they call, on the `session` of the trace that is on. `lifting` turns real arrays into traced ones, `reading`
knows what other code may look at of real arrays. `stand_ins` has what is called in the place of functions that take
numbers or arrays of numbers only, with `nests`, `vectorizing` and `iterating` for lists, `np.vectorize` and
`np.nditer`.
"""
