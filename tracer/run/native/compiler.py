"""From LLVM's language to machine code. The only module that imports llvmlite, and only when something is compiled."""

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Any

from tracer.run.native.generator import FUNCTION, Outline, module_text
from tracer.run.native.linker import USABLE, link
from tracer.run.native.steps import StepsOutline
from tracer.run.native.steps_generator import steps_text

_numbers = count()


class Code:
    """Machine code of a loop, ready to run.

    Parameters
    ----------
    code : bytes
        What `compile_loop` gave for it.

    Attributes
    ----------
    address : int
        Where it is, for as long as this object lives.
    """

    def __init__(self, code: bytes) -> None:
        self._owner: Any = link(code, FUNCTION)
        if self._owner is not None:
            self.address: int = self._owner.address
            return
        import llvmlite.binding as llvm

        library = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(FUNCTION)
        # Rounding is a call of the C library on a processor without an instruction for it.
        self._owner = library.add_current_process().link(_session(), f"{FUNCTION}{next(_numbers)}")
        self.address = self._owner[FUNCTION]


def compile_loop(outline: Outline | StepsOutline) -> bytes:
    """Machine code of a loop, as an object file. Raises ImportError if llvmlite is missing."""
    import llvmlite.binding as llvm

    machine = _machine()
    module = llvm.parse_assembly(module_text(outline) if isinstance(outline, Outline) else steps_text(outline))
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = True
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    # Vectorised loops call functions of vectors, which the passes above have not met yet.
    inlining = llvm.create_new_module_pass_manager()
    inlining.add_always_inliner_pass()
    inlining.add_simplify_cfg_pass()
    inlining.run(module, passes)
    code: bytes = machine.emit_object(module)
    return code


def _new_machine() -> Any:
    """What translates, for the processor that this runs on, with all that it can do."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # Code that runs wherever it is put, where there is a linker for it.
    placed: dict[str, Any] = {"reloc": "pic", "codemodel": "small"} if USABLE else {"jit": True}
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3, **placed)


@cache
def _machine() -> Any:
    return _new_machine()


@cache
def _session() -> Any:
    """LLVM's own linker, which keeps a machine for itself."""
    import llvmlite.binding as llvm

    return llvm.create_lljit_compiler(_new_machine())
