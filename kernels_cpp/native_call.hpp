// What may stand in for the Python function of a Call.
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

class NativeCall {
  public:
    virtual ~NativeCall() = default;
    // False where something is out of the ordinary: the outputs then hold nothing of use, and the function that this
    // stands in for must run.
    virtual bool run(const Context& context) const = 0;
    virtual double cost() const = 0;
};

}  // namespace tracer
