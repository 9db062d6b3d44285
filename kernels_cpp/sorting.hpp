// Sorting along an axis with the places from which the numbers came, equal ones in their order.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "native_call.hpp"

namespace tracer {

// Whether the kernel of a Call is one of these.
bool is_sorting(const std::string& kernel);

// The kernel says "sorted" and along which axis. The outputs are the numbers, if there are two, and the places. nullptr
// for types that it is not for, and where a comparison sort of short rows is as good. Throws std::invalid_argument
// where the operands cannot be those of a sort.
std::unique_ptr<NativeCall> make_sorting(const std::string& kernel, const std::vector<Operand>& inputs,
                                         const std::vector<Operand>& outputs, const BufferTable& table);

}  // namespace tracer
