// Draws of random numbers without NumPy's Python functions, by the distributions that NumPy offers to C; the numbers
// are the same ones.
#pragma once

#include "bit_generators.hpp"
#include "native_call.hpp"

namespace tracer {

// Whether the kernel of a Call is one of draws.
bool is_draw(const std::string& kernel);

// What a kernel calls a generator; false if it is unknown.
bool state_kind(const std::string& generator, StateKind& kind);

// Draws from one generator in turn: the first input is its state, the first output the state afterwards, the other
// outputs are the samples. The kernel says "draw", the generator, and for each sample the distribution and after a
// slash a letter for each of its inputs: p, a parameter, or s, skipped. nullptr for what there is no kernel for. Throws
// std::invalid_argument where the operands cannot be those of a draw.
std::unique_ptr<NativeCall> make_draws(const std::string& kernel, const std::vector<Operand>& inputs,
                                       const std::vector<Operand>& outputs, const BufferTable& table);

// The memory that a generator of NumPy's keeps its state in.
class GeneratorState {
  public:
    // `kind` as in a kernel, with the address of NumPy's own structure. `store` is called, instead of writing to that
    // memory, while `running` says under "traces" that there are any.
    GeneratorState(const std::string& kind, uintptr_t address, py::object generator, py::object store,
                   py::dict running);
    py::object read() const;
    void write(py::handle words) const;

  private:
    StateKind kind_;
    char* memory_;
    py::object generator_, store_;
    py::dict running_;
};

// The state of a generator that an object is; nullptr for any other object.
const GeneratorState* generator_state(py::handle object);

void bind_draws(py::module_& m);

}  // namespace tracer
