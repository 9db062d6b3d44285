// The one binding file: tracer._kernels.
#include "draws.hpp"
#include "program.hpp"

PYBIND11_MODULE(_kernels, m) {
    m.doc() = "Native kernels and the executor of programs.";
    tracer::bind_registry(m);
    tracer::bind_program(m);
    tracer::bind_profile(m);
    tracer::bind_contract(m);
    tracer::bind_dispatch(m);
    tracer::bind_draws(m);
}
