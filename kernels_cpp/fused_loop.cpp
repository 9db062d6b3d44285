// The instruction of a fused loop: planned blocks at first, native code once somebody has made it.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "loop.hpp"

namespace tracer {
namespace {

py::tuple integers(const Shape& values) {
    py::tuple result(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
        result[i] = values[i];
    }
    return result;
}

}  // namespace

FusedLoop::FusedLoop(py::handle description, BufferTable& table)
    : plan_(plan_loop(description, table)), description_(py::reinterpret_borrow<py::object>(description)) {
    for (const Memory& operand : plan_.operands) {
        operand_types_.push_back(table.buffers[operand.buffer].dtype);
    }
}

void FusedLoop::run(const Context& context) const {
    run_loop(plan_, context, native_.load(std::memory_order_acquire));
}

std::string FusedLoop::name() const {
    return "loop of " + std::to_string(py::len(description_.attr("steps"))) + " steps, tiles of " +
           std::to_string(plan_.rows) + " x " + std::to_string(plan_.row_size) + ", " +
           std::to_string(plan_.registers) + " blocks" + (native_.load() != nullptr ? ", native" : "");
}

void FusedLoop::find_loops(std::vector<FoundLoop>& found, double times) const {
    found.push_back({this, times * cost()});
}

py::tuple FusedLoop::outline() const {
    py::list operands;
    for (size_t i = 0; i < plan_.operands.size(); ++i) {
        const Memory& memory = plan_.operands[i];
        operands.append(
            py::make_tuple(i, dtype_name(operand_types_[i]), memory.buffer, memory.offset, integers(plan_.strides[i])));
    }
    py::list blocks;
    for (const ReducePlan& reduce : plan_.reduces) {
        blocks.append(reduce.native_slot);
    }
    const int axis = plan_.reduces.empty() ? 0 : plan_.row_axis;
    return py::make_tuple(description_, integers(plan_.shape), axis, py::tuple(operands), py::tuple(blocks));
}

void FusedLoop::use_native(uintptr_t function, py::object owner) const {
    if (plan_.empty || native_.load() != nullptr) {
        malformed("the loop has no points, or runs by native code already");
    }
    owner_ = std::move(owner);
    native_.store(reinterpret_cast<NativeLoop>(function), std::memory_order_release);
}

int64_t FusedLoop::tiles(const std::vector<bool>& changing) const {
    if (plan_.empty || !plan_.reduces.empty() || plan_.shape.size() != 1 || plan_.levels.size() != 1) {
        return 0;
    }
    for (size_t i = 0; i < plan_.operands.size(); ++i) {
        const Memory& memory = plan_.operands[i];
        const bool own = memory.offset == 0 && plan_.strides[i][0] == static_cast<int64_t>(itemsize(operand_types_[i]));
        if (changing[memory.buffer] && !own) {
            return 0;
        }
    }
    return plan_.levels[0].count;
}

bool FusedLoop::has_tiles_of(const FusedLoop& other) const {
    return plan_.shape == other.plan_.shape && plan_.rows == other.plan_.rows;
}

int64_t FusedLoop::bytes(std::vector<bool>& counted) const {
    int64_t sum = 0;
    for (size_t i = 0; i < plan_.operands.size(); ++i) {
        const int buffer = plan_.operands[i].buffer;
        if (!counted[buffer]) {
            counted[buffer] = true;
            sum += std::abs(plan_.strides[i][0]) * plan_.shape[0];
        }
    }
    return sum;
}

LoopPart FusedLoop::part(int64_t number, int64_t of) const {
    const int64_t tiles = plan_.levels[0].count;
    const auto start = [&](int64_t k) { return std::min(tiles * k / of * plan_.rows, plan_.shape[0]); };
    return {number, of, start(number), start(number + 1)};
}

void FusedLoop::run_part(const Context& context, const LoopPart& part) const {
    run_loop_part(plan_, context, native_.load(std::memory_order_acquire), part);
}

std::unique_ptr<Instruction> make_loop(py::handle description, BufferTable& table) {
    return std::make_unique<FusedLoop>(description, table);
}

}  // namespace tracer
