"""What a case consists of as tracer runs it: bytes, matrix products, where the time goes, and the limit to that."""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from benchmarks.cases import Case, find_case
from benchmarks.limits import Limits, least_time, product_seconds
from benchmarks.measure import Child
from benchmarks.peers import find_peer

KINDS = {
    "loop": "fused loops",
    "matmul": "products",
    "gather": "reads by index",
    "scatter": "writes by index",
    "cumulative": "running sums",
    "arg_reduce": "extrema",
    "call": "NumPy, SciPy",
    "scan": "loops of programs",
    "while": "loops of programs",
    "branch": "branches",
}
Product = tuple[str, int, int, int]


@dataclass(frozen=True)
class Anatomy:
    """One case.

    Parameters
    ----------
    seconds : float
        A call: the fastest of many short series.
    bytes_read, bytes_written : int
        Of arguments, shared variables and what is captured; of results and of shared variables' new values.
    flops, product_seconds : float
        Of the matrix products that the program makes, and the time that BLAS alone takes for them, one after the other.
    instructions, temporary : int
        Of the program, and bytes of memory for what is between them.
    shares : dict
        Shares of the time by kinds of instructions.
    """

    seconds: float
    bytes_read: int
    bytes_written: int
    flops: float
    product_seconds: float
    instructions: int
    temporary: int
    shares: dict[str, float]

    def limit(self, limits: Limits) -> tuple[float, str]:
        """The least time that a call can take on the machine, and what sets it."""
        found = {
            "memory": limits.seconds(self.bytes_read, self.bytes_written),
            "products": self.product_seconds,
            "call": limits.call,
        }
        name = max(found, key=found.__getitem__)
        return found[name], name


def products(program: Any) -> Iterator[tuple[Product, int]]:
    """Every matrix product of a program, of those in its loops too, with how often it is made."""
    for instruction in program.instructions:
        match instruction.opcode:
            case "matmul":
                sizes = (
                    "s" if instruction.dtype == numpy.float32 else "d",
                    instruction.m,
                    instruction.n,
                    instruction.k,
                )
                yield sizes, math.prod(instruction.batch)
            case "scan":
                for product, times in products(instruction.program):
                    yield product, times * instruction.steps


def dissect(case: Case) -> Anatomy:
    """Take a case apart, in this process."""
    from tracer.run import jit

    adapter = find_peer("tracer")
    call: Any = adapter.build(case, case.arguments())
    for _ in range(2):
        adapter.warm_up(call)
    seconds = least_time(call, 0.3)
    plan = call.func.plan(*call.args)
    traced, program, native = plan.traced, plan.executable.program, plan.executable.native
    arrays = [*map(numpy.asarray, call.args), *traced.captured, *(item.cell[0] for item in traced.shared)]
    outputs, _ = native.run_timed(arrays)
    jit.wait()
    times = [native.run_timed(arrays)[1] for _ in range(5)]
    spent: Counter[str] = Counter()
    for number, instruction in enumerate(program.instructions):
        spent[KINDS[instruction.opcode]] += min(run[number][0] for run in times)
    counted: Counter[Product] = Counter()
    for product, often in products(program):
        counted[product] += often
    total = sum(spent.values())
    return Anatomy(
        seconds=seconds,
        bytes_read=sum(array.nbytes for array in arrays),
        bytes_written=sum(array.nbytes for array in outputs),
        flops=sum(2.0 * m * n * k * often for (_, m, n, k), often in counted.items()),
        product_seconds=sum(product_seconds(*sizes) * often for sizes, often in counted.items()),
        instructions=len(program.instructions),
        temporary=program.arena,
        shares={kind: share / total for kind, share in spent.most_common() if total and share / total >= 0.005},
    )


def measured(case: Case, scratch: str, limit: float = 120) -> Anatomy:
    """The anatomy of a case, found in a process of its own; `measure.Failed` if that fails."""
    output = Child(["-m", "benchmarks.anatomy", case.name], scratch).output(limit)
    return Anatomy(**json.loads(output.splitlines()[-1]))


if __name__ == "__main__":
    print(json.dumps(asdict(dissect(find_case(sys.argv[1])))))
