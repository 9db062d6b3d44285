"""The texts of errors in building expressions of tensors; `tracer.errors` says what a text consists of."""

SEVERAL_OUTPUTS = (
    "a call of {op} has {count} outputs: which of them is meant?\nHINT: use one of call.outputs, e.g. call.outputs[0]."
)
NOT_A_TENSOR = "{value} is no tensor but a {type}.\nHINT: use numbers, arrays and tensors, such as T.dmatrix('x')."
TOO_MANY_DIMENSIONS = (
    "{value} has {found} dimensions and cannot become a tensor of {wanted}.\n"
    "HINT: only leading dimensions of size 1 can go; T.flatten(x, n) joins dimensions, x[0] takes one row."
)
NOT_A_CONSTANT = "{value} is a variable and has no constant value.\nHINT: T.as_tensor_variable takes variables too."
COMPLEX_CAST = (
    "casting {value} from {source} to {target} would lose the imaginary part.\n"
    "HINT: say which part is meant: T.real(x), T.imag(x) or T.abs_(x)."
)
NOT_A_SCALAR_CONSTANT = (
    "{value} is not a number that is known while the expression is built.\n"
    "HINT: use a number, or compute with the variable itself."
)
NOT_A_SCALAR = "{value} has {ndim} dimensions and is no scalar.\nHINT: x[0] takes one element of a vector, x.sum() all."
NOT_A_VECTOR = "expected a vector, but {value} is a {type}.\nHINT: T.flatten(x) makes one."
UNKNOWN_LENGTH = (
    "how many elements {value} has is not known while the expression is built.\n"
    "HINT: give a tuple, T.zeros((n, m)), or the number of dimensions, x.reshape(shape, ndim=2)."
)
NOT_A_SUBTENSOR = (
    "{value} is not a part of a tensor, so there is no whole to change.\n"
    "HINT: index the tensor in the call, T.set_subtensor(x[0], value); the result is the whole x, changed."
)
SUBTENSOR_IN_TRACE = (
    "set_subtensor and inc_subtensor are for symbolic variables; in a traced function write to arrays as NumPy does.\n"
    "HINT: y = x.copy(); y[0] = value; y[1] += 1"
)
SUBTENSOR_NDIM = (
    "{value} has {found} dimensions, but the part that it is written to, a {part}, has {wanted}.\n"
    "HINT: the value must broadcast to the part."
)
SUBTENSOR_DTYPE = (
    "a value of dtype {source} cannot be written into {value}, which is {target}.\n"
    "HINT: cast the value, T.cast(y, '{target}'), or make the tensor {source}."
)
TOO_MANY_INDICES = (
    "too many indices: {type} has {ndim} dimensions, but {count} were indexed.\nHINT: x[0, ...] needs one."
)
INDEX_DTYPE = (
    "{value} of dtype {dtype} cannot be an index.\n"
    "HINT: use ints, slices, None, ..., or tensors of ints or truth values: T.cast(i, 'int64')."
)
TAKE_MODE = "take has no mode {mode!r}.\nHINT: mode='raise', 'wrap' or 'clip'."
TAKE_AXIS = "axis {axis} does not exist: {value} has {ndim} dimensions.\nHINT: axes go from 0 to ndim - 1."
NONZERO_SCALAR = "{value} is a scalar and has no positions.\nHINT: T.nonzero(x.dimshuffle('x')) treats it as a vector."
ROUND_MODE = "round has no mode {mode!r}.\nHINT: mode='half_to_even' or mode='half_away_from_zero'."
SHAPE_LENGTH = (
    "the shape {shape} has {length} sizes, but {ndim} dimensions were asked for.\nHINT: give one size a dimension."
)
NDIM_TYPE = "ndim must be an int, not {ndim!r}.\nHINT: x.reshape((2, -1)); the sizes of a shape go into one tuple."
FLATTEN_NDIM = "flatten cannot make {ndim} of {found} dimensions.\nHINT: ndim goes from 1 to the number that there are."
DROPPED_DIMENSION = (
    "dimension {axis} of {value} is not broadcastable and cannot be dropped by the pattern {pattern}.\n"
    "HINT: T.addbroadcast(x, {axis}) says that its size is 1; x.sum(axis={axis}) or x[0] reduce it."
)
DIMSHUFFLE_PATTERN = (
    "{axis} in the pattern {pattern} is mentioned twice or is not one of the {ndim} dimensions.\n"
    "HINT: x.dimshuffle(1, 0) exchanges the dimensions of a matrix, x.dimshuffle(0, 'x') adds one to a vector."
)
REBROADCAST_AXIS = "{value} has {ndim} dimensions, so there is no axis {axis}.\nHINT: axes go from 0 to ndim - 1."
REBROADCAST_SIZE = (
    "dimension {axis} was said to broadcast, but its size is not 1: the shape is {shape}.\n"
    "HINT: T.addbroadcast and T.patternbroadcast are for dimensions that always have size 1."
)
SPECIFIED_SHAPE = "the shape is {found}, but specify_shape says {wanted}.\nHINT: correct the argument or the statement."
TILE_NDIM = "ndim={ndim} is less than the {length} repetitions given.\nHINT: leave ndim out."
JOIN_NOTHING = "there is nothing to join.\nHINT: T.concatenate([x, y], axis=0), T.join(0, x, y), T.stack([x, y])."
JOIN_LIST = "concatenate takes a list of tensors, not a {kind}.\nHINT: T.concatenate([x, y], axis=0)."
JOIN_NDIM = (
    "tensors of different numbers of dimensions cannot be joined: {types}.\n"
    "HINT: T.shape_padleft(x) adds a dimension in front, x.dimshuffle(0, 'x') one at the end."
)
JOIN_AXIS = "axis {axis} does not exist: the tensors have {ndim} dimensions.\nHINT: T.stack joins along a new axis."
NOT_STACKABLE = "{value} is not a matrix.\nHINT: T.join(axis, x, y) takes tensors of any number of dimensions."
SPLIT_COUNT = "{found} sizes were given for {count} parts.\nHINT: T.split(x, [2, 3], n_splits=2)."
SPLIT_SIZES = (
    "the sizes {sizes} do not add up to {size}, the size of axis {axis}.\nHINT: every element belongs to one part."
)
SPLIT_NEGATIVE = "sizes of parts cannot be negative: {sizes}.\nHINT: 0 gives an empty part."
MATMUL_SCALAR = "the product @ is not for scalars: {one} @ {other}.\nHINT: use x * y, or T.dot(x, y)."
BATCHED_AXES = (
    "axes {axes} do not fit a batched tensordot.\n"
    "HINT: as many axes of x as of y, counted with axis 0, which is the batch and not among them."
)
BATCHED_SCALAR = "a batched product needs tensors of at least one dimension.\nHINT: use x * y for scalars."
BATCH_SIZES = (
    "the shapes {one} and {other} differ in the size of axis 0, the batch.\n"
    "HINT: batched_dot multiplies a[i] with b[i]; T.tensordot multiplies all with all."
)
ALLOC_NDIM = (
    "{value} has {found} dimensions and cannot fill a shape of {wanted}.\nHINT: the value must broadcast to the shape."
)
ARANGE_SCALAR = "arange needs scalars, not {value}.\nHINT: T.arange(x.shape[0]) counts the rows of x."
CHOOSE_OUT = "choose takes no out=.\nHINT: use its result."
NOT_A_MATRIX = "{function} takes {wanted}, but {value} is a {type}.\nHINT: T.flatten, x[0] or x[None] change that."
UNKNOWN_STRUCTURE = "A_structure={structure!r} is not known.\nHINT: use one of {known}."
ON_ERROR = "on_error={on_error!r} is not known.\nHINT: use 'raise' or 'nan'."
KRON_NDIM = (
    "kron: the numbers of dimensions must sum to 3 or more; {a} and {b} were given.\nHINT: T.outer multiplies vectors."
)
FFT_NORM = "norm={norm!r} is not known.\nHINT: use None, 'ortho' or 'no_norm'."
FFT_NDIM = (
    "{function} takes a batch of at least {wanted} dimensions, but {value} is a {type}.\n"
    "HINT: the first dimension counts the transforms: x[None] is a batch of one."
)
FILL_NDIM = "a diagonal needs {wanted}, but {value} has {found}.\nHINT: x[None] adds one."
FILL_VALUE = "the value to fill with must be a scalar that casts to {dtype}, not {value} of type {type}.\nHINT: T.cast."
TOPK_AXIS = "axis={axis!r} is not an axis of a {type}.\nHINT: use an int, or None for the flattened tensor."
TOPK_COUNT = "kth must be a number other than 0, at most the size {size} of the axis, but it is {kth}.\nHINT: {hint}"
INTEGER_TENSOR = "{function} takes integers, but {value} is a {type}.\nHINT: T.cast(x, 'int64')."
DIMSHUFFLE_INPUT = (
    "this DimShuffle takes tensors with the pattern {pattern}, not a {type}.\nHINT: x.dimshuffle(...) takes any tensor."
)
REDUCTION_OP = "there is no reduction by {op}.\nHINT: CAReduce takes one of {known}."
FILE_TYPE = (
    "{path} holds an array of dtype {found.dtype} and {found.ndim} dimensions, not {wanted} and {ndim}.\n"
    "HINT: state the type of the file in T.load, and cast what it gives: T.cast(x, 'floatX')."
)
MMAP_MODE = "mmap_mode must be None, 'r' or 'c', not {mode!r}.\nHINT: the file is not written to."
