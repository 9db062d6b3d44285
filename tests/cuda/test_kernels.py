"""Loops, reductions, indexing and running folds as CUDA source: played block by block, against the other executors."""

import numpy as np
import pytest
from cuda.cases import Case, along_axis, indexed, one_instruction, random_graph, random_loop, sums
from cuda.player import Library, Player, Refused, needs_compiler

from tracer import _kernels, config
from tracer.lower.program import Cumulative, Scatter
from tracer.run import reference
from tracer.run.cuda.kernels import translate

pytestmark = needs_compiler

LOOPS = [random_loop(seed) for seed in range(60)]
SUMS = [
    sums(shape, axes, dtype)
    for dtype in ("f4", "f8", "c8")
    for shape, axes in [
        ((50000,), (0,)), ((3, 20000), (1,)), ((20000, 3), (0,)), ((300, 40), (0, 1)), ((40, 300), (1,)),
        ((2000, 5), (1,)), ((5, 700, 6), (1,)), ((5, 700, 6), (0, 2)), ((3, 33), (1,)), ((2000, 40), (0,)),
        ((2, 3, 1500), (0, 2)),
    ]
]  # fmt: skip
ALONG = [along_axis(seed) for seed in range(40)]
LINES = [
    ((40000,), 0, "f4", "sum"), ((40000,), 0, "i4", "sum"), ((20001,), 0, "f8", "sum"), ((9001,), 0, "c16", "sum"),
    ((3, 10000), 1, "f8", "max"), ((20000, 3), 0, "f4", "sum"), ((2, 3000, 7), 1, "u1", "sum"),
    ((5000, 3), 0, "f8", "min"), ((300, 200), 1, "f4", "sum"), ((70, 131), 1, "c8", "prod"),
    ((5, 5000), 1, "f8", "sum"), ((8200,), 0, "f8", "prod"), ((300, 65), 1, "i8", "max"),
]  # fmt: skip
INDEXED = [indexed(seed) for seed in range(30)]
WRONG = [indexed(seed, wrong=True) for seed in range(4, 10)]
GRAPHS = [random_graph(seed) for seed in range(12)]


def running(shape, axis, dtype, kind):
    """A running fold of one array."""
    rng, dtype = np.random.default_rng(1), np.dtype(dtype)
    array = np.asarray(rng.normal(size=shape) * 40 if kind != "prod" else 1 + rng.normal(size=shape) / 99).astype(dtype)
    if kind in ("max", "min") and dtype.kind == "f":
        array[(-1,) * array.ndim], array[(0,) * array.ndim] = np.nan, np.inf
    return one_instruction([array], shape, dtype, lambda v, out: Cumulative(kind, shape, axis, v[0], out)), [array]


def players():
    """All of them, to be built together."""
    yield from (Player(case.program(), case.arguments) for case in [*LOOPS, *SUMS])
    yield from (Player(program, arguments) for program, arguments, *_ in [*ALONG, *INDEXED, *WRONG])
    yield from (Player(*running(*case)) for case in LINES)
    yield from (Player(program, arguments) for _, program, arguments in GRAPHS)


@pytest.fixture(scope="module")
def built():
    found = list(players())
    return iter_of(found), Library([player.module for player in found])


def iter_of(found):
    """The players by what they are for, in lists like those above."""
    place, result = 0, {}
    for name in ("LOOPS", "SUMS", "ALONG", "INDEXED", "WRONG", "LINES", "GRAPHS"):
        count = len(globals()[name])
        result[name] = found[place : place + count]
        place += count
    return result


def assert_close(found, expected, rounds=64.0):
    """The same but for so many roundings of the largest element."""
    for one, other in zip(found, expected, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if one.dtype.kind not in "fc":
            np.testing.assert_array_equal(one, other)
        elif one.size:
            finite = np.abs(other[np.isfinite(other)])
            size = rounds * np.finfo(one.dtype).eps
            np.testing.assert_allclose(one, other, rtol=size, atol=size * (finite.max() if finite.size else 0))


@pytest.mark.parametrize("number", range(len(LOOPS)))
def test_loops_over_layouts(built, number):
    player, case = built[0]["LOOPS"][number], LOOPS[number]
    assert player.module.launches[0] is not None
    assert_close(player.run(built[1], number % 3), _kernels.Program(case.program()).run(case.arguments))


@pytest.mark.parametrize("number", range(len(SUMS)))
def test_reductions_give_the_same_in_any_order_of_blocks(built, number):
    player, case = built[0]["SUMS"][number], SUMS[number]
    found = [player.run(built[1], order) for order in (0, 1, 2)]
    for other in found[1:]:
        assert [array.tobytes() for array in other] == [array.tobytes() for array in found[0]]
    # As near to the true value as the sums of the CPU.
    expected = _kernels.Program(case.program()).run(case.arguments)
    assert_close(found[0], expected, rounds=4.0 if case.arguments[0].dtype.kind == "f" else 16.0)


@pytest.mark.parametrize("number", range(len(ALONG)))
def test_along_an_axis(built, number):
    player, (_, _, expected) = built[0]["ALONG"][number], ALONG[number]
    assert_close(player.run(built[1], number % 3), [expected], rounds=4096.0)


@pytest.mark.parametrize("number", range(len(LINES)))
def test_running_folds_give_the_same_in_any_order_of_blocks(built, number):
    player, (shape, axis, dtype, kind) = built[0]["LINES"][number], LINES[number]
    found = [player.run(built[1], order)[0] for order in (0, 1, 2)]
    assert found[1].tobytes() == found[0].tobytes() == found[2].tobytes()
    ufunc = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}[kind]
    (array,) = player.arguments
    wide = {"f4": "f8", "c8": "c16"}.get(dtype, dtype)
    expected = ufunc.accumulate(array.astype(wide), axis=axis, dtype=wide)
    assert_close([found[0]], [expected.astype(dtype)], rounds=64.0 if dtype == wide else 2.0)
    launches = [launch.name.partition("_")[0] for own in player.module.launches for launch in own]
    assert launches == (["fold", "cumulative"] if max(shape) > 1024 and shape != (5, 5000) else ["cumulative"])


@pytest.mark.parametrize("number", range(len(INDEXED)))
def test_indexed(built, number):
    player, (program, arguments) = built[0]["INDEXED"][number], INDEXED[number]
    expected = _kernels.Program(program).run(arguments)
    for order in (0, 1):
        for one, other in zip(player.run(built[1], order), expected, strict=True):
            np.testing.assert_array_equal(one, other)
        assert player.error == 2**64 - 1


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_an_index_out_of_range_is_reported_and_not_followed(built, number):
    player, (program, arguments) = built[0]["WRONG"][number], WRONG[number]
    with pytest.raises(IndexError):
        _kernels.Program(program).run(arguments)
    player.run(built[1], number % 3)
    last = len(program.instructions) - 1
    node = program.instructions[last]
    axis, lead = node.axes - 1, arguments[-1].shape
    place = np.ravel_multi_index(tuple(n // 2 for n in lead), lead) if lead else 0
    assert (player.error >> 48, player.error >> 40 & 255, player.error & (1 << 40) - 1) == (last, axis, place)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", range(len(GRAPHS)))
def test_random_graphs(built, number):
    player, (graph, _, arrays) = built[0]["GRAPHS"][number], GRAPHS[number]
    found = player.run(built[1], number % 3)
    for one, other in zip(found, reference.run(graph, arrays), strict=True):
        single = any(own.dtype.itemsize == 4 for item in graph.nodes() for own in item.types)
        np.testing.assert_allclose(one, other, rtol=1e-3 if single else 1e-9, atol=1e-3 if single else 1e-9)


def repeated(dtype, rest):
    """Very many values added to few rows."""
    rng, dtype = np.random.default_rng(2), np.dtype(dtype)
    shape, places = (5000, *rest), rng.integers(-7, 7, 5000)
    table, values = (np.asarray(rng.normal(size=s) * 99).astype(dtype) for s in ((7, *rest), shape))
    case = Case(table.shape)
    case.store(case.load(table), dtype)

    def copied(out):
        loop = case.loop()
        return [loop._replace(stores=(loop.stores[0]._replace(view=out),))]

    def added(views, out):
        return Scatter(shape, out, table.shape, 1, (views[2],), views[1], "add")

    return one_instruction([table, values, places], table.shape, dtype, added, copied), [table, values, places]


@pytest.mark.parametrize("rest", [(), (3, 2)], ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u8", "u1", "c8"])
def test_sums_over_repeated_indices(dtype, rest):
    program, arguments = repeated(dtype, rest)
    expected = arguments[0].copy()
    np.add.at(expected, arguments[2], arguments[1])
    player = Player(program, arguments)
    library = Library([player.module])
    for order in (0, 1, 2):  # in order, whatever the order of the blocks
        np.testing.assert_array_equal(player.run(library, order)[0], expected)
    assert ("atomicAdd" in player.module.source) == (dtype in ("i4", "u8"))
    if dtype.startswith("f"):
        with config.changed(gpu_scatter="atomic"):
            player = Player(program, arguments)
        (found,) = player.run(Library([player.module]), 1)
        assert "atomicAdd" in player.module.source
        np.testing.assert_allclose(found, expected, rtol=1e-3 if dtype == "f4" else 1e-9)


def test_equal_programs_have_equal_sources():
    first, second = (translate(random_loop(5).program()) for _ in range(2))
    assert (first.source, first.launches) == (second.source, second.launches)
    assert translate(random_loop(6).program()).source != first.source


def test_the_shim_notices_what_a_kernel_does_wrong(tmp_path):
    module = translate(sums((3, 33), (1,), "f4").program())
    for old, new in [
        ("merge_lanes<32>(c0);", "if (threadIdx.x != 5) merge_lanes<32>(c0);"),
        ("p1[x0] = c0", "p1[x0 + 100] = c0"),
    ]:
        case = sums((3, 33), (1,), "f4")
        player = Player(case.program(), case.arguments)
        assert old in module.source
        texts = {name: text.replace(old, new) for name, text in module.kernels.items()}
        player.module = module._replace(kernels=texts)
        with pytest.raises(Refused):
            player.run(Library([player.module]))
