"""Programs for the tests of the CUDA source, each with its arguments."""

import numpy as np
from kernels.building import DTYPES, argument, random_array, whole
from kernels.test_vm import Case
from lower.graphs import argument as node_argument
from lower.graphs import draw, node

import tracer
from tracer import _kernels
from tracer.graph.graph import Graph
from tracer.lower.program import ArgReduce, Buffer, Cumulative, Gather, Program, Scatter, View
from tracer.lower.schedule import lower
from tracer.rewrite.passes import optimise
from tracer.run.cpu import has_kernel
from tracer.tracing.proxy import unwrap, wrap
from tracer.transform.grad import vjp
from tracer.types import contiguous_strides

SPECIAL = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.nan, np.inf, -np.inf, 1e-310, 1e-30, 1e30, -1e30, 5e9, 1e19]
)
BOOL = np.dtype(bool)
COMPLEX_SPECIAL = np.array([0, 1, -1, 0.5 - 2j, 1j, -1j, 3 + 4j, -0.25 + 0.125j, 1e-8 + 1e-9j, 2 - 1e-12j])


def leaves(found):
    """The arrays of a result, and of results within it, one after another."""
    return [np.asarray(item) for part in found for item in leaves(part)] if isinstance(found, tuple) else [found]


def program_of(function, *args):
    """The program that a function is compiled to for some arguments."""
    return tracer.compile(function).plan(*args).executable.program


def numbers(rng, dtype, count):
    """Random numbers, of integers over the whole range, and special ones before them."""
    values = random_array(rng, dtype, (count,))
    if dtype.kind == "f":
        values[: SPECIAL.size] = SPECIAL.astype(dtype)
        values[SPECIAL.size : 2 * SPECIAL.size] = np.roll(SPECIAL, 5).astype(dtype)
    if dtype.kind == "c":
        values[: COMPLEX_SPECIAL.size] = COMPLEX_SPECIAL.astype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        few = [0, 1, 2, 3, info.min, info.max, info.max - 1, -1 % 2**dtype.itemsize if dtype.kind == "u" else -1]
        values[: len(few)] = few
        values[len(few) : 3 * len(few) : 2] = few
        values[40:80] = rng.integers(0, 9, 40)
    return values


def scalar_program(dtype, count=301):
    """Every operation on a dtype, in one loop; the names in the order of the outputs."""
    rng, case, names = np.random.default_rng(1), Case((count,)), []
    a, b = numbers(rng, dtype, count), np.roll(numbers(rng, dtype, count), 7)
    places = [case.load(rng.integers(0, 2, count).astype(bool)), case.load(a), case.load(b)]
    for name, operand, result, arity in _kernels.list_kernels():
        if operand == dtype.name:
            inputs = places if arity == 3 else places[1 : 1 + arity]
            out = np.dtype(result)
            case.store(case.step(name, dtype, *inputs, out=out), out)
            names.append((name, result))
    return names, case.program(), case.arguments


def infinite_program(dtype):
    """Every operation on pairs of complex numbers of which the parts are infinite, zero, no numbers, or plain."""
    parts = [0.0, -0.0, 1.0, -2.5, 40.0, np.inf, -np.inf, np.nan]
    one = np.array([complex(re, im) for re in parts for im in parts], dtype)
    case, names = Case((one.size**2,)), []
    places = [case.load(np.repeat(one, one.size)), case.load(np.tile(one, one.size))]
    for name, operand, result, arity in _kernels.list_kernels():
        if operand == dtype.name and name not in ("cast", "where"):
            out = np.dtype(result)
            case.store(case.step(name, dtype, *places[:arity], out=out), out)
            names.append((name, arity))
    return names, case.program(), case.arguments


def in_layout(rng, array):
    """The same elements as a permuted, stepped, flipped window; and what it is a window on."""
    order = rng.permutation(array.ndim)
    steps = rng.choice([1, 1, 1, 2, -1, -2], array.ndim)
    pads = rng.choice([0, 0, 4], array.ndim)
    sizes = [array.shape[axis] * abs(steps[axis]) + pads[axis] for axis in order]
    base = np.zeros(sizes, array.dtype)
    view = base.transpose(np.argsort(order))
    view = view[(*(slice(None, None, step) for step in steps), ...)]
    view = view[(*(slice(0, length) for length in array.shape), ...)]
    view[...] = array
    return view, base


SHAPES = [
    (), (1,), (7,), (300,), (1024,), (2053,), (5, 1, 7), (3, 64), (64, 3), (4, 5, 6), (40, 33), (2, 3, 4, 5),
    (0, 3), (3, 0), (130, 70), (1, 9000), (9000, 2), (3, 9000), (257, 40), (6, 1100),
]  # fmt: skip


def random_loop(seed):
    """A loop over random layouts, with stores and reductions over random axes."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    dtype = DTYPES[int(rng.integers(len(DTYPES)))] if seed % 3 else np.dtype(rng.choice(["f4", "f8"]))
    case = Case(shape)
    registers = []
    for _ in range(int(rng.integers(1, 4))):
        kept = tuple(1 if rng.random() < 0.2 else n for n in shape)
        array = random_array(rng, dtype, kept)
        if dtype.kind in "fc":
            array = np.asarray((array * 4).round() / 4, dtype)
        plain = rng.random() < 0.4 or 0 in shape
        registers.append(case.load(*((array,) * 2 if plain else in_layout(rng, array))))
    registers.append(case.immediate(random_array(rng, dtype, ()).reshape(())[()]))
    for _ in range(int(rng.integers(0, 4))):
        name = str(rng.choice(["add", "maximum"] if dtype.kind == "b" else ["add", "subtract", "maximum", "multiply"]))
        registers.append(case.step(name, dtype, int(rng.choice(registers)), int(rng.choice(registers))))
    test = case.step("less", dtype, registers[-1], registers[0], out=BOOL)
    for number in range(int(rng.integers(0, 3))):
        case.store(*((test, BOOL) if number else (registers[-1], dtype)))
    for _ in range(int(rng.integers(0 if case.stores else 1, 4))):
        axes = tuple(axis for axis in range(len(shape)) if rng.random() < 0.5)
        empty = any(shape[axis] == 0 for axis in axes)
        kind = str(rng.choice(["sum", "prod"] if empty else ["sum", "prod", "max", "min", "any", "all"]))
        register = test if kind in ("any", "all") else registers[-1]
        case.reduce(kind, register, BOOL if register == test else dtype, axes)
    return case


def sums(shape, axes, dtype, kinds=("sum", "max", "prod")):
    """Reductions of one array."""
    rng, case = np.random.default_rng(0), Case(shape)
    place = case.load(rng.standard_normal(shape).astype(dtype))
    for kind in kinds:
        case.reduce(kind, place, np.dtype(dtype), axes)
    return case


def one_instruction(inputs, shape, dtype, instruction, before=None):
    """A program of an instruction made from the views of the inputs and of the output."""
    buffers = [argument(array, number) for number, array in enumerate(inputs)]
    buffers.append(Buffer("output", np.dtype(dtype), shape, contiguous_strides(shape), 0))
    views = [whole(array, number) for number, array in enumerate(inputs)]
    out = View(len(inputs), 0, contiguous_strides(shape))
    program = Program(tuple(buffers), (), (*(before(out) if before else ()), instruction(views, out)), 0, 1)
    program.verify()
    return program


def along_axis(seed):
    """A running fold or the place of an extreme."""
    rng = np.random.default_rng(seed)
    shape = [(7,), (5000,), (3, 2500), (2500, 3), (4, 5, 6), (2, 70, 3), (5000, 40), (3, 1, 1030)][seed % 8]
    axis = int(rng.integers(len(shape)))
    dtype = DTYPES[int(rng.integers(len(DTYPES) - 2 * (seed % 2)))]
    array = random_array(rng, dtype, shape)
    if dtype.kind in "fc":
        array = (array * 2).round()
        if rng.random() < 0.3:
            array[tuple(int(rng.integers(n)) for n in shape)] = np.nan
    array = array if rng.random() < 0.4 else in_layout(rng, array)[0]
    if array.base is not None:
        array = np.asarray(array, order=str(rng.choice(["C", "F"])))
    if seed % 2:
        kind, kept = str(rng.choice(["argmax", "argmin"])), shape[:axis] + shape[axis + 1 :]
        program = one_instruction([array], kept, np.int64, lambda v, out: ArgReduce(kind, shape, axis, v[0], out))
        expected = getattr(np, kind)(array, axis=axis)
    else:
        kinds = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}
        kind = str(rng.choice(list(kinds)[dtype.kind == "c" :: 2]))
        program = one_instruction([array], shape, dtype, lambda v, out: Cumulative(kind, shape, axis, v[0], out))
        with np.errstate(all="ignore"):
            expected = kinds[kind].accumulate(array, axis=axis, dtype=dtype)
    return program, [array], expected


def indexed(seed, wrong=False):
    """A gather or scatter of random shapes."""
    rng = np.random.default_rng(seed)
    rest = [(), (5,), (64,), (3, 4), (300,)][seed % 5]
    sizes = tuple(int(n) for n in rng.integers(1, 9, 1 + seed % 2))
    lead = [(), (6,), (300,), (2, 40)][seed // 2 % 4]
    dtype = DTYPES[int(rng.integers(len(DTYPES)))]
    indices = [np.asarray(rng.integers(-n, n, lead), np.int64) for n in sizes]
    if wrong:
        indices[-1][tuple(n // 2 for n in lead)] = sizes[-1]
    table = random_array(rng, dtype, (*sizes, *rest))
    if dtype.kind in "fc":
        table = np.asarray((table * 4).round(), dtype)
    axes, shape = len(sizes), (*lead, *rest)
    if seed % 3 == 0:
        program = one_instruction(
            [table, *indices], shape, dtype, lambda v, out: Gather(shape, v[0], table.shape, axes, tuple(v[1:]), out)
        )
        return program, [table, *indices]
    values = random_array(rng, dtype, shape)
    values = np.asarray((values * 4).round() if dtype.kind in "fc" else values, dtype)
    mode = ["add", "set"][seed % 2]
    case = Case(table.shape)
    case.store(case.load(table), dtype)
    loop = case.loop()

    def first(out):
        return [loop._replace(stores=(loop.stores[0]._replace(view=out),))]

    program = one_instruction(
        [table, values, *indices], table.shape, dtype,
        lambda v, out: Scatter(shape, out, table.shape, axes, tuple(v[2:]), v[1], mode), first,
    )  # fmt: skip
    return program, [table, values, *indices]


def lowered(graph, arrays):
    """The program of a graph for arrays."""
    layouts = [(item.shape, tuple(stride // item.itemsize for stride in item.strides)) for item in arrays]
    return lower(graph, layouts, has_kernel)


def random_graph(seed, size=40):
    """A program of a random graph over the whole op table."""
    graph, arrays = draw(seed, size)
    return graph, lowered(graph, arrays), arrays


def traced(function, *shapes, dtype=np.float32, seed=0):
    """The program of a function's results and of the gradient of the sum of the first one, with its arguments."""
    inputs = [node_argument(*shape, dtype=dtype) for shape in shapes]
    found = function(*map(wrap, inputs))
    outputs = [unwrap(item) for item in (found if isinstance(found, tuple) else (found,))]
    gradients = vjp(outputs[:1], [node("square", outputs[0])], inputs)
    graph = optimise(Graph(tuple(inputs), (*outputs, *gradients)))
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    return graph, lowered(graph, arrays), arrays
