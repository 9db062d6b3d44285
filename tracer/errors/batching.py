"""Texts of the errors about `vmap`; fields are filled by `errors.message`."""

AXES_VALUE = (
    "{name} of vmap must be an int, None, or a nest of them as the {what} are nested, not {value!r}.\n"
    "HINT: vmap(f, in_axes=(0, None)) maps the first of two arguments; vmap(f, in_axes=({{'w': 0, 'b': None}},)) "
    "parts of one."
)
AXES_STRUCTURE = (
    "{name}={axes!r} of vmap does not fit the {what} of {function}: {found}.\n"
    "HINT: give one entry for each: an axis, None, or a nest of them that is nested in the same way."
)
NOT_MAPPED = (
    "vmap of {function} maps axis {axis} of {name}, which is {value}.\n"
    "HINT: pass an array whose axis {axis} counts the examples, or leave the argument out of the map with "
    "in_axes=None at its place."
)
SIZES = (
    "vmap of {function} got different numbers of examples: {sizes}.\n"
    "HINT: the mapped axes must have one length; an argument that all examples share has None in in_axes."
)
NOTHING_MAPPED = (
    "vmap of {function} has no mapped argument, so the number of examples is not known.\n"
    "HINT: give in_axes an axis for at least one argument, or say vmap(f, in_axes=None, axis_size=n)."
)
OUT_AXIS_NONE = (
    "out_axes=None of vmap says that a result of {function} is the same for all examples, but {value} differs.\n"
    "HINT: give it an axis, out_axes=0, or reduce over the examples after the map."
)
OUT_AXIS = (
    "out_axes={axis} of vmap is out of bounds: with the examples the result of {function} has {ndim} axes.\n"
    "HINT: axes count from 0 to {last}, or from the end."
)
UPDATE_BATCHED = (
    "vmap of {function} sets the shared variable {name} to a value that differs from example to example.\n"
    "HINT: return the value, and set the variable once after the map: {name}.set(np.mean(vmap(f)(x), axis=0))."
)
WRITE_BATCHED = (
    "vmap of {function} writes values that differ from example to example into {name}, which all examples share.\n"
    "HINT: write into a copy and return it, out = {name}.copy(); out[...] = value; or map {name} as well."
)
EXAMPLE_LEAKED = (
    "{function!r} uses {value} outside of the vmap that made it: it is the value of one example there.\n"
    "HINT: return it from the mapped function; vmap stacks what the examples return. An array of the surroundings "
    "cannot be written with it either: return the new array."
)
