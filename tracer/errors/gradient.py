"""Texts of the errors about derivatives and ops of symbolic expressions; fields are filled by `errors.message`."""

WRT_IS_SET = "wrt must be a variable, or a list or tuple of them: a set has no order.\nHINT: grad(cost, [w, b])."
WRT_NOT_SYMBOLIC = (
    "wrt must be symbolic or shared variables, not a {kind}.\n"
    "HINT: grad(cost, w), or grad(cost, [w, b]), where cost is computed from w and b."
)
NOTHING_TO_DIFFERENTIATE = (
    "there is nothing to differentiate: cost is None and known_grads is empty.\n"
    "HINT: grad(cost, w), or grad(None, w, known_grads=[(y, gradient_of_y)])."
)
NULL_GRADIENT = (
    "the gradient with respect to {value} is not defined: {why}.\n"
    "HINT: take it with respect to other variables, or pass null_gradients='return' to get a variable of NullType."
)
KNOWN_GRADIENT_SHAPE = (
    "the gradient that was given has type {given}, but the variable has type {value}.\n"
    "HINT: give one number for each element, e.g. T.ones_like(y)."
)
EVAL_POINT_SHAPE = (
    "an evaluation point has type {given}, but its variable has type {value}.\n"
    "HINT: Rop(f, x, v) needs a v of the shape of x, and Lop(f, x, v) one of the shape of f."
)
EVAL_POINT_COUNT = (
    "{function} was given {points} evaluation points for {variables} variables.\n"
    "HINT: Rop(f, [x, y], [dx, dy]), Lop([f, g], x, [df, dg])."
)
JACOBIAN_NDIM = "a Jacobian is taken of a vector, but the expression has type {type}.\nHINT: jacobian(y.flatten(), x)."
HESSIAN_NDIM = (
    "a Hessian is taken with respect to vectors, but {value} has type {type}.\n"
    "HINT: compute the cost from a vector, and the matrix from it: w = v.reshape((3, 4))."
)
SUBGRAPH_START = "subgraph_grad needs a cost or a start.\nHINT: subgraph_grad([w], [x], cost=cost)."
GRADIENT_DIFFERS = (
    "the gradient is not that of finite differences: {val2} instead of {val1} in argument {arg} at {place} of shape "
    "{shape}.\n  absolute error {abs_err} (tolerance {abs_tol}), relative error {rel_err} (tolerance {rel_tol})\n"
    "HINT: check the op's derivative; near a kink such as abs(0) choose another point."
)
NUMERIC_GRADIENT_DTYPE = (
    "finite differences need floating-point arrays, not {dtype}.\nHINT: numpy.asarray(x, dtype='float64')."
)
NOT_ROWS = (
    "sparse_grad takes rows of a variable, x[indices] with a vector of integers, not {value}.\n"
    "HINT: sparse_grad(table[word_numbers])."
)
OP_WITHOUT = "{op} has no method {method}.\nHINT: {hint}"
HINT_OP = (
    "def make_node(self, x):\n"
    "        x = T.as_tensor_variable(x)\n"
    "        return theano.Apply(self, [x], [x.type()])\n"
    "    def perform(self, node, inputs, output_storage):\n"
    "        output_storage[0][0] = 2 * inputs[0]"
)
OP_TYPES = (
    "{op} takes inputs of types {expected}, not {found}.\n"
    "HINT: cast them, T.cast(x, 'float64'), or declare other itypes."
)
OP_SHAPES = (
    "the shapes of the outputs of {op} are not known while a function is traced.\n"
    "HINT: give the op a method infer_shape(self, node, input_shapes), e.g. one that returns input_shapes."
)
OP_GRADIENTS = (
    "the gradient of {op} has {found} items for {inputs} inputs.\n"
    "HINT: return one expression for each input; DisconnectedType()() where there is no connection."
)
AS_OP_RESULTS = "{op} gave {found} results, but has {wanted} otypes.\nHINT: return one array for each output type."
NO_INPUT_NAMED = (
    "{variable} depends on {count} variables named {name!r}.\n"
    "HINT: name the variable itself, x.eval({{y: 2.0}}) instead of x.eval({{'y': 2.0}})."
)
REPLACEMENT_TYPE = (
    "{old} has type {wanted}, and cannot be replaced by {new} of type {found}.\n"
    "HINT: cast the replacement, T.cast(y, 'float64'), or pass strict=False."
)
NOT_IN_GRAPH = "{value} is to be replaced, but the expressions do not use it.\nHINT: pass strict=False to ignore it."
OP_FROM_GRAPH = (
    "OpFromGraph takes symbolic variables, not {value!r}, a {kind}.\n"
    "HINT: OpFromGraph([x, y], [x + y]); shared variables that the outputs use need not be listed."
)
TWO_OVERRIDES = (
    "grad_overrides and lop_overrides both say what the gradient is.\n"
    "HINT: give one of them; lop_overrides gets the outputs too."
)
OVERRIDE_COUNT = (
    "an override gave {found} expressions, but {wanted} are needed.\n"
    "HINT: return one for each input (rop_overrides: for each output), or a list with 'default' where nothing changes."
)
LIST_ITEM_TYPE = "the items of a list need a type, not {value!r}.\nHINT: TypedListType(T.dvector)."
NOT_A_LIST = "{type} takes lists, not a {kind}.\nHINT: f([array, another])."
LIST_ITEM = "a list of {wanted} takes no {found}.\nHINT: cast the item, T.cast(x, 'float64'), or declare another list."
LIST_OF_TYPES = (
    "the items of a list must be of one type, but have {found}.\n"
    "HINT: make_list([x, T.cast(y, x.dtype)]); an empty list is an input of type TypedListType(x.type)."
)
NOT_IN_LIST = "no item of the list is equal to this one.\nHINT: count(items, item) says how many there are."
