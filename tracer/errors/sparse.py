"""The texts of errors about sparse matrices; `tracer.errors` says what a text consists of."""

FORMAT = "a sparse type has format 'csr' or 'csc', not {format!r}.\nHINT: x.tocsr() converts a matrix of scipy.sparse."
DTYPE = "sparse matrices of dtype {dtype} are not supported.\nHINT: x.astype('float64') or x.astype('int8')."
NOT_SPARSE = "expected {type}, not a {kind}.\nHINT: scipy.sparse.csr_matrix(x), or csr_from_dense(x) of a variable."
STRICT = "expected {type}, not a {format} matrix of {dtype}.\nHINT: strict=False converts it."
PRECISION = "{type} cannot take a matrix of {dtype} and lose no precision.\nHINT: allow_input_downcast=True casts it."
NOT_FOR_SPARSE = (
    "{function} does not work on sparse matrices.\n"
    "HINT: sparse.structured_exp(x) and its kin compute with the stored elements; sparse.dense_from_sparse(x) is dense."
)
NO_SPARSE = "{function} needs a sparse matrix among its arguments.\nHINT: T.{function} is for dense ones."
DENSE_NDIM = "{function} takes {wanted}, not a {type}.\nHINT: x[None] and x[:, None] add a dimension."
INDEX = "a sparse matrix cannot be indexed by {key!r}.\nHINT: x[i, j], x[start:stop, :], or rows by a list: x[[0, 2]]."
SAME_FORMAT = "{function} needs matrices of one format, not {one} and {other}.\nHINT: x.tocsr() before they are given."
PARTS = (
    "the parts do not make a {format} matrix of shape {shape}: {data} elements, {indices} indices.\n"
    "HINT: there is one index for each element, and indptr has one number more than there are rows (csr) or columns."
)
