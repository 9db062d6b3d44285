"""The texts of errors about convolution, pooling and what is near them."""

BORDER_MODE = (
    "{function} does not know border_mode={mode}.\n"
    "HINT: use 'valid', 'full', 'half', an int, or a tuple of {rank} ints or pairs (before, after)."
)
CONVOLUTION_NDIM = (
    "{function} needs arrays of {wanted[0]} and {wanted[1]} dimensions, not {input} and {filters}.\n"
    "HINT: add axes of size 1 for a single image or channel, x[None, None] or x.dimshuffle('x', 'x', 0, 1)."
)
CONVOLUTION_CHANNELS = (
    "{function}: the channels of an input of shape {input} do not fit filters of shape {filters} in {groups} "
    "group(s).\n"
    "HINT: the input has shape (samples, channels, ...), the filters (outputs, channels // groups, ...), and outputs "
    "is a multiple of the groups."
)
UNSHARED_PLACES = (
    "{function}: unshared filters are for output places {given}, but the output has {output}.\n"
    "HINT: unshared filters have shape (outputs, *output places, channels, *filter)."
)
OUTPUT_GRADIENT = (
    "{function}: the gradient of the output has shape {given}, but the output has shape {output}.\n"
    "HINT: border_mode, subsample and the given shape must be those of the convolution itself."
)
SIGNAL_NDIM = (
    "signal.conv.conv2d needs images and filters of 2 or 3 dimensions, not {input} and {filters}.\n"
    "HINT: for images with channels use tensor.nnet.conv2d(images, filters)."
)
PATCHES_NDIM = (
    "images2neibs needs images (samples, channels, rows, columns), not {type}.\nHINT: x[None, None] adds axes."
)
PATCHES_WRAPPED = (
    "images2neibs: mode 'wrap_centered' needs patches of odd size, no larger than the images; got {size} for a length "
    "of {length}.\nHINT: neib_shape=(3, 3)."
)
PATCHES_DO_NOT_FIT = (
    "images2neibs: patches of size {size}, {step} apart, do not fit a length of {length} in mode {mode!r}.\n"
    "HINT: mode='ignore_borders' leaves out what is left over."
)
BOTH_NAMES = "{name} and {old} were both given, but {old} is only the old name of {name}.\nHINT: give {name}."
POOL_NDIM = "pooling needs at least {rank} dimensions, not {type}.\nHINT: x[None, :] adds one."
POOL_PAD_BORDER = (
    "padding works only with ignore_border=True.\nHINT: pool_2d(x, (2, 2), ignore_border=True, pad=(1, 1))."
)
POOL_PAD_SIZE = (
    "the padding {pad} must be smaller than the windows {ws}.\nHINT: pad=(1, 1) for windows of (2, 2) or more."
)
CTC_NDIM = (
    "ctc needs activations (time, samples, symbols), labels (samples, length) and input_lengths (samples,), "
    "not {types}.\nHINT: fill shorter labels up with -1; x.dimshuffle(1, 0, 2) exchanges time and samples."
)
