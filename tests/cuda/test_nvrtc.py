"""The sources of the other tests are what NVIDIA's compiler takes; it needs no GPU."""

import warnings

import pytest
from cuda.cases import along_axis, indexed, program_of, random_graph, random_loop, scalar_program, sums, traced
from cuda.test_bodies import CASES as BODIES
from cuda.test_draws import drawing
from cuda.test_groups import CASES, updates
from cuda.test_halves import cast_program, half_program, stored_programs
from cuda.test_kernels import LINES, repeated, running
from cuda.test_matrices import CASES as MATRICES
from cuda.test_recurrences import CASES as RECURRENCES
from kernels.building import DTYPES

from tracer import config
from tracer.run.cuda.kernels import OPTIONS, translate

with warnings.catch_warnings():
    # CuPy warns where it finds no driver.
    warnings.simplefilter("ignore")
    nvrtc = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", exc_type=ImportError)

PROGRAMS = {
    **{f"every operation of {dtype}": lambda dtype=dtype: scalar_program(dtype)[1] for dtype in DTYPES},
    **{f"loop {seed}": lambda seed=seed: random_loop(seed).program() for seed in range(12)},
    **{f"sums of {dtype}": lambda dtype=dtype: sums((3, 9000), (1,), dtype).program() for dtype in ("f4", "f8", "c8")},
    **{f"along an axis {seed}": lambda seed=seed: along_axis(seed)[0] for seed in range(8)},
    **{f"indexed {seed}": lambda seed=seed: indexed(seed)[0] for seed in range(6)},
    **{name: lambda case=case: traced(*case)[1] for name, case in CASES.items()},
    **{f"running fold {case}": lambda case=case: running(*case)[0] for case in LINES},
    **{f"recurrence: {name}": lambda case=case: program_of(case[0], *case[1]) for name, case in RECURRENCES.items()},
    **{f"matrices: {name}": lambda case=case: program_of(*case) for name, case in MATRICES.items()},
    **{f"sums over repeated indices of {t}": lambda t=t: repeated(t, (3,))[0] for t in ("f4", "f8", "i4", "i8")},
    **{f"a body: {name}": lambda case=case: program_of(*case) for name, case in BODIES.items()},
    "every operation of float16": lambda: half_program()[1].program(),
    "casts of float16": lambda: cast_program()[0].program(),
    **{f"stored in 16 bits {number}": lambda number=number: stored_programs()[number][0] for number in range(4)},
    **{f"draws of {kind}": lambda kind=kind: drawing(kind) for kind in ("PCG64", "Philox")},
    "updates": lambda: updates([(100, 70), (70, 90), (5001,)])[0],
    **{f"graph {seed}": lambda seed=seed: random_graph(seed)[1] for seed in range(6)},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_compiles(name):
    with config.changed(gpu_scatter="atomic" if name.startswith("sums over") else "ordered"):
        source = translate(PROGRAMS[name]()).source
    program = nvrtc.createProgram(source, "kernels.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*OPTIONS, "--gpu-architecture=compute_90"))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program)[:2000])
    finally:
        nvrtc.destroyProgram(program)
