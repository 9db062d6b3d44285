// Memory of the arrays that calls return, and of what programs compute in between.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <vector>

namespace tracer {

// A new C-contiguous array of NumPy's own, writeable and owning its memory. Large ones take memory that earlier results
// have given back when they were freed: fresh pages from the system cost more than most loops over them.
pybind11::object new_output(pybind11::handle dtype, const std::vector<int64_t>& shape, int64_t bytes);

// Memory aligned for vectors, nullptr if there is none, and what frees it.
void* new_memory(size_t bytes);
void free_memory(void* data);

// Sees to it that results, or what is computed in between, of these sizes will find memory whose pages the system has
// handed out. A thread asks for them until somebody takes a piece of memory; what it has not come to by then is as fast
// as ever.
void prepare_memory(const std::vector<int64_t>& sizes);

}  // namespace tracer
