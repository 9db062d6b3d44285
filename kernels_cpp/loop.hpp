// A fused loop in the form in which it runs; loop_plan.cpp makes it, vm.cpp runs it.
//
// The domain is cut into tiles. A tile is a run of `rows` steps along one axis (the row axis) with all of the axes
// inside it, and is held in blocks of contiguous values. The nest walks over the tiles: one level for every axis
// outside the row axis, and one for the pieces of the row axis itself.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "program.hpp"
#include "reduce.hpp"
#include "strided.hpp"

namespace tracer {

struct LoopDraft;  // loop_draft.hpp

constexpr int MAX_ARITY = 4;

struct Memory {
    int buffer;
    int64_t offset;  // bytes
};

// Native code of a loop: computes and stores all points whose place on one axis is in [begin, end). That is the first
// axis, and the operands are at their beginning; or, if there are reductions, the row axis, and the operands are at the
// beginning of a tile. What is reduced is then left in blocks, which follow the other slots.
using NativeLoop = void (*)(char* const* slots, int64_t begin, int64_t end);

// One thing done to a tile. Slots are entries of the pointer table.
struct Action {
    enum Kind : uint8_t { Compute, Store, Reduce };
    Kind kind;
    uint8_t arity;
    uint32_t out;  // slot; for Store and Reduce the number of the store or reduction
    uint32_t in[MAX_ARITY];
    BlockKernel kernel;
};

// A load that needs its values gathered into a block before a tile is computed.
struct GatherPlan {
    uint32_t from, to;  // slots
    int64_t size;
    int last_level;  // innermost level that changes what is loaded: -1 for none
    bool all_rows;   // the same for every piece of the row axis, so it is filled for the longest
    Walk walk;
};

struct StorePlan {
    uint32_t from, to;  // slots
    int64_t size;
    bool contiguous;
    Walk walk;
};

struct ReducePlan {
    ReduceOps ops;
    BlockKernel add_rows;  // adds two rows in the type reduced; nullptr if there is no such kernel
    uint32_t slot;
    uint32_t native_slot;  // where native code leaves the values
    int64_t size;          // bytes of a value
    Memory target;
    bool whole;                // a tile gives one value
    bool complete;             // run by one thread, each target is final when it is flushed
    bool immediate;            // a tile gives final values: nothing is carried to the next one
    bool rows_reduced;         // the row axis is reduced
    int flush_level;           // innermost level that moves the target: -1 for none
    int64_t cells;             // targets in one tile, at most
    size_t cells_at, rows_at;  // places in the scratch memory: of the cells, and of what is still to be folded
    Walk fold;                 // tile (a: bytes of values) to cells (b: bytes)
    Walk to_target;            // cells (a) to target (b)
    Walk to_totals;            // cells (a) to totals (b)
    Walk finish;               // totals (a) to target (b), the whole of both
    int64_t total_cells;
    std::vector<int64_t> target_steps, total_steps;  // bytes per level
};

struct Level {
    int64_t count;
    bool is_rows;
    std::vector<int64_t> steps;  // bytes, for each load and store
};

struct LoopPlan {
    bool empty = false;
    int64_t row_size = 1;  // values in a row of a tile
    int64_t rows = 1;      // rows of a full tile
    // Tiles whose values are folded together, and which native code computes together; more than one only if each
    // reduction makes one value of a tile. What is folded together decides how sums are rounded, so that it must not
    // depend on who computes it.
    int64_t fold_tiles = 1;
    int rows_level = 0;
    std::vector<Level> levels;           // outermost first
    std::vector<Memory> operands;        // loads, then stores: the first slots
    std::vector<const char*> constants;  // the next slots: blocks of immediates
    int registers = 0;                   // the last slots: blocks in the scratch memory
    int blocks = 0;                      // the registers, and those for what native code leaves to be reduced
    size_t registers_at = 0, register_bytes = 0, carried_at = 0;
    size_t scratch_bytes = 0;
    std::vector<GatherPlan> gathers;
    std::vector<Action> actions;
    std::vector<StorePlan> stores;
    std::vector<ReducePlan> reduces;
    Shape shape;                                    // lengths of the axes
    int row_axis = 0;                               // the axis that tiles are cut from
    std::vector<Shape> strides;                     // of the operands, in bytes
    double cost = 0.0;                              // estimated nanoseconds on one core
    double native_cost = 0.0;                       // the same for native code, if there are no reductions
    std::vector<std::shared_ptr<const char>> kept;  // owners of `constants`
};

LoopPlan plan_loop(py::handle description, BufferTable& table);
// Enters the costs into a plan; `needed` are the registers that are computed.
void estimate_cost(const LoopDraft& draft, const std::vector<bool>& needed, size_t row_axis, LoopPlan& plan);
void run_loop(const LoopPlan& plan, const Context& context, NativeLoop native);
// One of so many parts of a loop over one axis without reductions that has as many tiles, at least; which elements.
struct LoopPart {
    int64_t number, of, begin, end;
};
void run_loop_part(const LoopPlan& plan, const Context& context, NativeLoop native, const LoopPart& part);

class FusedLoop final : public Instruction, public Translatable {
  public:
    FusedLoop(py::handle description, BufferTable& table);

    void run(const Context& context) const override;
    double cost() const override { return plan_.cost; }
    std::string name() const override;
    bool is_native() const override { return native_.load(std::memory_order_relaxed) != nullptr; }
    void find_loops(std::vector<FoundLoop>& found, double times) const override;
    py::tuple outline() const override;
    void use_native(uintptr_t function, py::object owner) const override;

    // The number of tiles, if each of them reads and writes nothing but its own elements of the arrays that are
    // `changing`, by buffer; 0 otherwise.
    int64_t tiles(const std::vector<bool>& changing) const;
    // Whether the tiles of two such loops are the same elements.
    bool has_tiles_of(const FusedLoop& other) const;
    // Bytes of the buffers that it uses, but for those that are `counted` already.
    int64_t bytes(std::vector<bool>& counted) const;
    LoopPart part(int64_t number, int64_t of) const;
    void run_part(const Context& context, const LoopPart& part) const;
    // As `cost`, of the code that it runs by now.
    double current_cost() const { return is_native() ? plan_.native_cost : plan_.cost; }

  private:
    LoopPlan plan_;
    py::object description_;
    std::vector<Dtype> operand_types_;
    mutable py::object owner_;
    mutable std::atomic<NativeLoop> native_{nullptr};
};

}  // namespace tracer
