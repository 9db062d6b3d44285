// Linear systems, inverses and determinants of small matrices, without a call of a library.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "program.hpp"

namespace tracer {

// What a Call reads or writes.
struct Operand {
    View view;
    Shape shape;
    py::object dtype;
};

// A batch of small matrices that are factored one by one, in plain loops.
class SmallMatrices {
  public:
    virtual ~SmallMatrices() = default;
    // False where a matrix is nearly singular, not finite or otherwise out of the ordinary: the outputs then hold
    // nothing of use, and the function that this stands in for must run.
    virtual bool run(const Context& context) const = 0;
    virtual double cost() const = 0;
};

// nullptr where there is no such kernel for these types, sizes and places. Throws std::invalid_argument for an unknown
// name.
std::unique_ptr<SmallMatrices> make_small_matrices(const std::string& kernel, const std::vector<Operand>& inputs,
                                                   const std::vector<Operand>& outputs, const BufferTable& table);

}  // namespace tracer
