// A fused loop as it is read and put in order, before tiles and slots are chosen.
#pragma once

#include <string>
#include <vector>

#include "program.hpp"
#include "registry.hpp"

namespace tracer {

struct DraftStep {
    const KernelEntry* kernel;
    std::vector<int> inputs;
    Dtype out;
};

// A load, a store or the target of a reduction. Strides and offset in bytes once the loop has been read.
struct DraftOperand {
    View view;
    int64_t size = 0;  // bytes of an element
    int64_t offset = 0;
    Shape strides;
    int reg = -1;      // register loaded into, stored or reduced
    std::string kind;  // of a reduction
};

struct LoopDraft {
    Shape shape;
    std::vector<DraftOperand> loads, stores, targets;
    std::vector<py::object> immediates;
    std::vector<DraftStep> steps;
    std::vector<Dtype> registers;

    int first_step() const { return static_cast<int>(loads.size() + immediates.size()); }
    int64_t size() const;  // points of the domain
    // Whether the memory of a tile, cut from an axis with all of those inside it, is one piece.
    bool is_contiguous(const DraftOperand& operand, size_t row_axis) const;
};

// Reads and verifies a Python Loop.
LoopDraft read_loop(py::handle description, BufferTable& table);

// Drops axes of length 1, turns axes that all operands walk backwards, sorts axes so that the inner ones have the
// smallest strides, and merges axes that are contiguous for every operand. At least one axis is left.
void simplify_axes(LoopDraft& draft);

}  // namespace tracer
