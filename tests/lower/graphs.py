"""Random graphs over the whole op table, for the tests of lowering."""

import numpy as np

from tracer.graph.graph import Graph
from tracer.graph.node import constant, input_node, make_node
from tracer.graph.op import OPS
from tracer.types import ArrayType

SHAPES = [(), (3,), (4, 3), (1, 3), (4, 1), (2, 4, 3), (0, 3), (64, 40), (2100,)]
UNARY = ["negative", "sin", "tanh", "square", "absolute", "exp"]
BINARY = ["add", "subtract", "multiply", "maximum", "minimum"]


def node(name, *inputs, **params):
    return make_node(OPS[name], inputs, params)


def argument(*shape, dtype=float):
    return input_node(ArrayType(np.dtype(dtype), shape))


class Maker:
    """Draws a graph: every new node takes earlier ones, with a liking for the latest."""

    def __init__(self, seed, size):
        self.rng = np.random.default_rng(seed)
        self.inputs = [argument(*self.pick(SHAPES), dtype=self.pick(["f8", "f8", "f4", "c16"])) for _ in range(3)]
        self.inputs.append(argument(4, 3))
        self.values = [*self.inputs, constant(0.5), constant(self.rng.standard_normal((4, 3)))]
        self.values.append(node("broadcast_to", constant(0.0), shape=(4, 3)))
        makers = [getattr(self, name) for name in dir(self) if name.startswith("make_")]
        while len(self.values) < size:
            made = self.pick(makers)()
            if made is not None:
                self.values.append(made)
        count = int(self.rng.integers(1, 5))
        outputs = [self.values[-1], *(self.value() for _ in range(count))]
        self.graph = Graph(tuple(self.inputs), tuple(outputs))

    def pick(self, items):
        return items[int(self.rng.integers(len(items)))]

    def value(self, accept=lambda item: True):
        """An earlier value, more likely a late one; None if the few that were tried do not fit."""
        for _ in range(8):
            back = min(int(self.rng.exponential(6)), len(self.values) - 1)
            found = self.values[-1 - back]
            if accept(found):
                return found
        return None

    def same(self, other):
        return self.value(lambda item: item.type == other.type) or other

    def real(self):
        return self.value(lambda item: item.dtype.kind == "f")

    def make_unary(self):
        item = self.value(lambda item: item.dtype.kind == "f")
        return item and node("tanh", node(self.pick(UNARY), item))

    def make_binary(self):
        a, b = self.value(), self.value()
        name = self.pick(BINARY[:3] if "c" in (a.dtype.kind, b.dtype.kind) else BINARY)
        try:
            np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            return None
        dtype = np.result_type(a.dtype, b.dtype)
        return self.tame(node(name, self.cast(a, dtype), self.cast(b, dtype))) if dtype.kind in "fc" else None

    def tame(self, item):
        """Products grow without bound, and the sine of a huge number is anybody's guess."""
        return node("tanh", item) if item.op.name in ("multiply", "prod") and item.dtype.kind == "f" else item

    def cast(self, item, dtype):
        return item if item.dtype == dtype else node("astype", item, dtype=dtype)

    def make_where(self):
        item = self.real()
        return item and node("where", node("less", item, self.same(item)), self.same(item), item)

    def make_reduction(self):
        item = self.real()
        if item is None or 0 in item.shape:
            return None
        axes = tuple(axis for axis in range(len(item.shape)) if self.rng.random() < 0.5)
        kind = self.pick(["sum", "max", "min", "prod"])
        return self.tame(node(kind, item, axes=axes, keepdims=bool(self.rng.random() < 0.5)))

    def make_reshape(self):
        item = self.value()
        shapes = [(item.type.size,), (1, *item.shape), (*item.shape, 1)]
        if len(item.shape) == 2 and item.type.size:
            shapes.append((item.shape[1], item.shape[0]))
        return node("reshape", item, shape=self.pick(shapes))

    def make_transpose(self):
        item = self.value()
        return node("transpose", item, axes=tuple(int(axis) for axis in self.rng.permutation(len(item.shape))))

    def make_broadcast(self):
        item = self.value(lambda item: item.type.size < 500 and len(item.shape) < 4)
        return item and node("broadcast_to", item, shape=(2, *item.shape))

    def index(self, shape):
        index = []
        for size in shape:
            step = self.pick([1, 1, -1, 2])
            count = int(self.rng.integers(0 if size == 0 else 1, -(-size // abs(step)) + 1))
            span = (count - 1) * abs(step) + 1 if count else 0
            low = int(self.rng.integers(0, size - span + 1))
            index.append((low if step > 0 or not count else low + span - 1, count, step))
        return tuple(index)

    def make_slice(self):
        item = self.value()
        return node("slice", item, index=self.index(item.shape))

    def make_unslice(self):
        item = self.value(lambda item: item.type.size < 500)
        if item is None:
            return None
        index = tuple((1, size, 1) for size in item.shape)
        return node("unslice", item, shape=tuple(size + 2 for size in item.shape), index=index)

    def make_slice_write(self):
        base = self.value(lambda item: item.dtype.kind in "fc")
        index = base and self.index(base.shape)
        if not index:
            return None
        shape = tuple(size for _, size, _ in index)
        piece = self.value(lambda item: item.shape == shape and item.dtype == base.dtype)
        if piece is None:
            piece = node("sin", node("slice", base, index=self.pick([index, self.shifted(index, base.shape)])))
        return node(self.pick(["slice_set", "slice_add"]), base, piece, index=index)

    def shifted(self, index, shape):
        return tuple((self.pick([0, size - 1 if step < 0 else start])
                      if count == 1 else start, count, step)
                     for (start, count, step), size in zip(index, shape, strict=True))  # fmt: skip

    def make_concatenate(self):
        item = self.value(lambda item: item.shape and item.type.size < 500)
        if item is None:
            return None
        axis = int(self.rng.integers(len(item.shape)))
        return node("concatenate", item, self.same(item), self.same(item), axis=axis)

    def make_matmul(self):
        a = self.value(lambda item: len(item.shape) >= 2 and item.dtype.kind in "fc" and item.type.size < 5000)
        if a is None:
            return None
        b = self.value(lambda item: item.dtype == a.dtype and len(item.shape) >= 2 and item.shape[-2] == a.shape[-1])
        if b is None or len(b.shape) > 2 < len(a.shape):
            order = (*range(len(a.shape) - 2), len(a.shape) - 1, len(a.shape) - 2)
            b = node("transpose", a, axes=order)
        scale = constant(np.array(0.1, a.dtype))
        product = node("matmul", a, node("multiply", b, scale))
        return node("add", product, self.same(product)) if self.rng.random() < 0.5 else product

    def make_cumulative(self):
        item = self.value(lambda item: item.shape and item.dtype.kind == "f")
        return item and node("cumsum", item, axis=int(self.rng.integers(len(item.shape))))

    def make_positions(self):
        item = self.value(lambda item: item.shape and item.type.size and item.dtype.kind == "f")
        if item is None:
            return None
        axis, keepdims = int(self.rng.integers(len(item.shape))), bool(self.rng.random() < 0.5)
        found = node("argmax", item, axis=axis, keepdims=keepdims)
        return node("astype", found, dtype=np.dtype(float))

    def positions(self, size, shape):
        return constant(self.rng.integers(-size, size, shape))

    def make_gather(self):
        item = self.value(lambda item: item.shape and item.type.size)
        if item is None:
            return None
        if len(item.shape) > 1 and self.rng.random() < 0.5:
            pair = self.positions(item.shape[0], (2, 1)), self.positions(item.shape[1], (3,))
            return node("gather", item, *pair)
        return node("gather", item, self.positions(item.shape[0], (5,)))

    def make_scatter(self):
        base = self.value(lambda item: item.shape and item.type.size and item.dtype.kind == "f")
        if base is None:
            return None
        where = self.positions(base.shape[0], (3,))
        values = node("sin", node("gather", base, where))
        return node(self.pick(["scatter_add", "scatter_set"]), base, values, where)

    def make_call(self):
        item = self.value(lambda item: item.shape and item.dtype.kind == "f")
        return item and node("nextafter", item, self.same(item))


def draw(seed, size=40):
    """A random graph, and arguments for it of various memory layouts."""
    maker = Maker(seed, size)
    arrays = []
    for item in maker.graph.inputs:
        shape = item.shape
        array = maker.rng.standard_normal(tuple(2 * size for size in shape)).astype(item.dtype)
        array = array[tuple(maker.pick([slice(None, None, 2), slice(size, 2 * size)]) for size in shape)]
        if maker.rng.random() < 0.5:
            array = np.array(array, order=maker.pick("CF"))
        if shape and maker.rng.random() < 0.2:
            array = array[::-1]
        arrays.append(np.asarray(array))
    return maker.graph, arrays
