// Linear systems, inverses and determinants of batches of small matrices, which are factored one by one, in plain
// loops: they give up where a matrix is nearly singular or not finite.
#pragma once

#include "native_call.hpp"

namespace tracer {

// nullptr where there is no such kernel for these types, sizes and places. Throws std::invalid_argument for an unknown
// name.
std::unique_ptr<NativeCall> make_small_matrices(const std::string& kernel, const std::vector<Operand>& inputs,
                                                const std::vector<Operand>& outputs, const BufferTable& table);

}  // namespace tracer
