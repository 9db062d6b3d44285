// Memory of the arrays that calls return.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

namespace tracer {

// A new C-contiguous array of NumPy's own, writeable and owning its memory. Large ones take memory that earlier results
// have given back when they were freed: fresh pages from the system cost more than most loops over them.
pybind11::object new_output(pybind11::handle dtype, const std::vector<int64_t>& shape, int64_t bytes);

// Memory aligned for vectors, to be given back to `free`; nullptr if there is none. A large piece comes in huge pages
// where the system has them: the first write to each page costs as much as writing it several times.
void* aligned_memory(size_t bytes);

}  // namespace tracer
