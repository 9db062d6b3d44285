// Memory of the arrays that calls return.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

namespace tracer {

// A new C-contiguous array of NumPy's own, writeable and owning its memory. Large ones take memory that earlier results
// have given back when they were freed: fresh pages from the system cost more than most loops over them.
pybind11::object new_output(pybind11::handle dtype, const std::vector<int64_t>& shape, int64_t bytes);

}  // namespace tracer
