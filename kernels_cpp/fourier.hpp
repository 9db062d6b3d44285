// Fourier transforms along one axis by the loops of NumPy's own transforms, shared out over the kernels' threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "native_call.hpp"

namespace tracer {

// Whether the kernel of a Call is a transform.
bool is_transform(const std::string& kernel);

// A transform without scaling of one operand to another one. The kernel says "fourier", which transform ("fft", "ifft",
// "rfft" or "irfft") and along which axis. nullptr for types, sizes and places that it is not for, and where NumPy's
// loops cannot be had. Throws std::invalid_argument where the operands cannot be those of a transform.
std::unique_ptr<NativeCall> make_transform(const std::string& kernel, const std::vector<Operand>& inputs,
                                           const std::vector<Operand>& outputs, const BufferTable& table);

}  // namespace tracer
