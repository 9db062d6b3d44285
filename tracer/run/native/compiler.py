"""From LLVM's language to machine code. The only module that imports llvmlite, and only when something is compiled."""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Any

from tracer.run.native.generator import Outline, module_text

_numbers = count()


class Code:
    """Machine code of a loop.

    Attributes
    ----------
    address : int
        Where it is, for as long as this object lives.
    """

    def __init__(self, outline: Outline) -> None:
        import llvmlite.binding as llvm

        machine, session = _compilers()
        module = llvm.parse_assembly(module_text(outline))
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = True
        options.slp_vectorization = True
        passes = llvm.create_pass_builder(machine, options)
        passes.getModulePassManager().run(module, passes)
        library = llvm.JITLibraryBuilder().add_object_img(machine.emit_object(module)).export_symbol("loop")
        # Rounding is a call of the C library on a processor without an instruction for it.
        self._library = library.add_current_process().link(session, f"loop{next(_numbers)}")
        self.address: int = self._library["loop"]


@cache
def _compilers() -> tuple[Any, Any]:
    """What translates, and what holds the results; for the processor that this runs on, with all that it can do."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target, features = llvm.Target.from_default_triple(), llvm.get_host_cpu_features().flatten()
    machines = [
        target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True) for _ in range(2)
    ]
    return machines[0], llvm.create_lljit_compiler(machines[1])
