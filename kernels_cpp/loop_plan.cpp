// Turns a fused loop into tiles, slots and actions.
#include <algorithm>
#include <map>
#include <new>
#include <numeric>
#include <tuple>
#include <utility>

#include "loop.hpp"
#include "loop_draft.hpp"

namespace tracer {
namespace {

constexpr int64_t BLOCK_BYTES = 24 * 1024;  // of all the blocks in use together: most of a first-level cache
constexpr int64_t SHORTEST_BLOCK = 256;     // values; below that the calls of kernels show
constexpr int64_t LONGEST_BLOCK = 2048;
constexpr int64_t FOLDED_BYTES = 4 * 1024;  // folded together at most: more would push other blocks out of the cache
constexpr int64_t LEAST_FOLDS = 64;         // of a whole loop, so that threads get nearly as much
constexpr int64_t SHORT_ROW = 64;           // rows shorter than this are packed together into one tile
constexpr int64_t LONGEST_ROW = 4096;       // values in the rows of tiles that have whole rows
constexpr size_t ALIGNMENT = 64;

size_t aligned(size_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// A block of one repeated value, shared by all the loops that use the same.
std::shared_ptr<const char> constant_block(py::handle immediate, Dtype type, int64_t count) {
    using Key = std::tuple<Dtype, std::string, int64_t>;
    static auto* blocks = new std::map<Key, std::weak_ptr<const char>>;  // guarded by the GIL
    const int64_t size = itemsize(type);
    const std::string bytes = py::cast<std::string>(py::bytes(immediate.attr("tobytes")()));
    if (static_cast<int64_t>(bytes.size()) != size) {
        malformed("an immediate has the wrong size");
    }
    auto& entry = (*blocks)[{type, bytes, count}];
    if (auto block = entry.lock()) {
        return block;
    }
    char* memory = static_cast<char*>(::operator new(aligned(size * count), std::align_val_t(ALIGNMENT)));
    splat(memory, bytes.data(), size, count);
    std::shared_ptr<const char> block(
        memory, [](const char* p) { ::operator delete(const_cast<char*>(p), std::align_val_t(ALIGNMENT)); });
    entry = block;
    return block;
}

class Planner {
  public:
    Planner(LoopDraft draft, const BufferTable& table) : draft_(std::move(draft)), table_(table) {}

    LoopPlan plan() {
        if (draft_.size() == 0) {
            return plan_empty();
        }
        simplify_axes(draft_);
        find_uses();
        choose_tile();
        make_levels();
        place_operands();
        schedule();
        make_reductions();
        describe_axes();
        lay_out_scratch();
        estimate_cost(draft_, needed_, row_axis_, plan_);
        return std::move(plan_);
    }

  private:
    LoopDraft draft_;
    const BufferTable& table_;
    LoopPlan plan_;
    size_t row_axis_ = 0;
    std::vector<int> last_use_;    // per register: last step that reads it, -1 if none does
    std::vector<bool> needed_;     // per register
    std::vector<int> slot_;        // per register
    std::vector<int> free_;        // register blocks
    std::vector<int> block_;       // per register: its block, -1 if it lives elsewhere
    std::vector<int> level_axes_;  // axis of each level

    size_t axes() const { return draft_.shape.size(); }
    int operand_count() const { return static_cast<int>(draft_.loads.size() + draft_.stores.size()); }

    // A domain without points: only the identities of the reductions are written.
    LoopPlan plan_empty() {
        plan_.empty = true;
        for (const DraftOperand& target : draft_.targets) {
            ReducePlan reduce{};
            reduce.ops = find_reduce_ops(target.kind.c_str(), draft_.registers[target.reg]);
            reduce.target = {target.view.buffer, target.offset};
            describe_totals(target, reduce);
            plan_.reduces.push_back(std::move(reduce));
        }
        return std::move(plan_);
    }

    // Compact totals over all kept axes, and the way from there to the target.
    void describe_totals(const DraftOperand& target, ReducePlan& reduce) {
        reduce.total_cells = 1;
        for (size_t d = 0; d < axes(); ++d) {
            reduce.total_cells *= target.strides[d] != 0 ? draft_.shape[d] : 1;
        }
        int64_t step = reduce.total_cells * reduce.ops.cell;
        if (step == 0) {
            reduce.finish.axes.push_back({0, 0, 0});
            return;
        }
        for (size_t d = 0; d < axes(); ++d) {
            if (target.strides[d] != 0) {
                step /= draft_.shape[d];
                reduce.finish.append(draft_.shape[d], step, target.strides[d]);
            }
        }
    }

    void find_uses() {
        const int first = draft_.first_step(), steps = static_cast<int>(draft_.steps.size());
        needed_.assign(draft_.registers.size(), false);
        last_use_.assign(draft_.registers.size(), -1);
        for (const auto* group : {&draft_.stores, &draft_.targets}) {
            for (const DraftOperand& result : *group) {
                needed_[result.reg] = true;
            }
        }
        for (int t = steps; t-- > 0;) {
            if (needed_[first + t]) {
                for (const int input : draft_.steps[t].inputs) {
                    needed_[input] = true;
                    last_use_[input] = std::max(last_use_[input], t);
                }
            }
        }
    }

    // Values that are alive at once at most, loads and stores included.
    int64_t live_blocks() const {
        int64_t live = operand_count() + static_cast<int64_t>(draft_.immediates.size()), most = live;
        std::vector<int> dying(draft_.steps.size() + 1, 0);
        for (size_t t = 0; t < draft_.steps.size(); ++t) {
            const int reg = draft_.first_step() + static_cast<int>(t);
            if (!needed_[reg]) {
                continue;
            }
            most = std::max(most, ++live);
            ++dying[std::max<size_t>(last_use_[reg] < 0 ? t : last_use_[reg], t)];
            live -= dying[t];
        }
        return most;
    }

    void choose_tile() {
        int64_t size = 1;
        for (size_t r = 0; r < draft_.registers.size(); ++r) {
            size = needed_[r] ? std::max(size, itemsize(draft_.registers[r])) : size;
        }
        const int64_t fitting = BLOCK_BYTES / (size * std::max<int64_t>(live_blocks(), 1)) / 64 * 64;
        const int64_t block = std::clamp(fitting, SHORTEST_BLOCK, LONGEST_BLOCK);
        const Shape& shape = draft_.shape;
        row_axis_ = axes() - 1;
        while (row_axis_ > 0 && plan_.row_size * shape[row_axis_] < SHORT_ROW) {
            plan_.row_size *= shape[row_axis_--];
        }
        while (row_axis_ > 0 && plan_.row_size * shape[row_axis_] <= LONGEST_ROW && has_crossing_targets()) {
            plan_.row_size *= shape[row_axis_--];
        }
        const int64_t length = shape[row_axis_];
        plan_.rows = std::clamp<int64_t>(block / plan_.row_size, 1, length);
    }

    // Whether a target has values along the row axis to which every step along an axis outside adds, while another one
    // is final at each of those steps. Whichever of the two is inside, one is opened and closed with every tile; unless
    // a tile has whole rows.
    bool has_crossing_targets() const {
        const auto& targets = draft_.targets;
        return std::any_of(targets.begin(), targets.end(), [&](const DraftOperand& a) {
            return a.strides[row_axis_] != 0 && std::any_of(targets.begin(), targets.end(), [&](const DraftOperand& b) {
                       bool crossing = false;
                       for (size_t d = 0; d < row_axis_; ++d) {
                           crossing |= a.strides[d] == 0 && b.strides[d] != 0;
                       }
                       return crossing && b.strides[row_axis_] == 0;
                   });
        });
    }

    // One level per axis outside the tile, and one for the pieces of the row axis. Levels that reductions keep come
    // first, so that few targets are open at a time.
    void make_levels() {
        std::vector<int> order(row_axis_ + 1);
        std::iota(order.begin(), order.end(), 0);
        const auto reducing = [&](int axis) {
            return std::count_if(draft_.targets.begin(), draft_.targets.end(),
                                 [&](const DraftOperand& target) { return target.strides[axis] == 0; });
        };
        std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return reducing(a) < reducing(b); });
        for (const int axis : order) {
            Level level;
            level.is_rows = axis == static_cast<int>(row_axis_);
            level.count = draft_.shape[axis];
            if (level.is_rows) {
                level.count = (level.count - 1) / plan_.rows + 1;
                plan_.rows_level = static_cast<int>(plan_.levels.size());
            }
            for (const auto* group : {&draft_.loads, &draft_.stores}) {
                for (const DraftOperand& operand : *group) {
                    level.steps.push_back(operand.strides[axis] * (level.is_rows ? plan_.rows : 1));
                }
            }
            plan_.levels.push_back(std::move(level));
            level_axes_.push_back(axis);
        }
    }

    int64_t tile_size() const { return plan_.rows * plan_.row_size; }

    bool is_contiguous(const DraftOperand& operand) const { return draft_.is_contiguous(operand, row_axis_); }

    Walk block_walk(const DraftOperand& operand) const {
        Walk walk;
        int64_t step = plan_.row_size * operand.size;
        walk.append_rows(operand.strides[row_axis_], step);
        for (size_t d = row_axis_ + 1; d < axes(); ++d) {
            step /= draft_.shape[d];
            walk.append(draft_.shape[d], operand.strides[d], step);
        }
        walk.favour_long_rows(plan_.rows);
        return walk;
    }

    int new_block() {
        if (!free_.empty()) {
            const int block = free_.back();
            free_.pop_back();
            return block;
        }
        return plan_.registers++;
    }

    int block_slot(int block) const { return operand_count() + static_cast<int>(draft_.immediates.size()) + block; }

    void place_operands() {
        slot_.assign(draft_.registers.size(), -1);
        block_.assign(draft_.registers.size(), -1);
        for (const auto* group : {&draft_.loads, &draft_.stores}) {
            for (const DraftOperand& operand : *group) {
                plan_.operands.push_back({operand.view.buffer, operand.offset});
            }
        }
        for (size_t i = 0; i < draft_.loads.size(); ++i) {
            if (needed_[i]) {
                place_load(static_cast<int>(i));
            }
        }
        for (size_t i = 0; i < draft_.immediates.size(); ++i) {
            const int reg = static_cast<int>(draft_.loads.size() + i);
            plan_.kept.push_back(constant_block(draft_.immediates[i], draft_.registers[reg], tile_size()));
            plan_.constants.push_back(plan_.kept.back().get());
            slot_[reg] = operand_count() + static_cast<int>(i);
        }
    }

    void place_load(int number) {
        const DraftOperand& load = draft_.loads[number];
        if (is_contiguous(load) && !is_stored_over(number)) {
            slot_[number] = number;
            return;
        }
        GatherPlan gather;
        gather.last_level = -1;
        for (size_t k = 0; k < plan_.levels.size(); ++k) {
            if (plan_.levels[k].steps[number] != 0 && plan_.levels[k].count > 1) {
                gather.last_level = static_cast<int>(k);
            }
        }
        const int block = plan_.registers++;
        // A value that serves several tiles keeps its block; the others give it back after their last use.
        if (gather.last_level == static_cast<int>(plan_.levels.size()) - 1) {
            block_[number] = block;
        }
        slot_[number] = block_slot(block);
        gather.from = number;
        gather.to = slot_[number];
        gather.size = load.size;
        gather.all_rows = load.strides[row_axis_] == 0;
        gather.walk = block_walk(load);
        plan_.gathers.push_back(std::move(gather));
    }

    bool same_memory(int load, const DraftOperand& store) const {
        const DraftOperand& operand = draft_.loads[load];
        return table_.may_overlap(operand.view, {}, store.view, {}) && operand.strides == store.strides;
    }

    // Whether the load is copied by a store and overwritten by another one, as in a swap.
    bool is_stored_over(int load) const {
        bool copied = false, overwritten = false;
        for (const DraftOperand& store : draft_.stores) {
            copied |= store.reg == load;
            overwritten |= same_memory(load, store);
        }
        return copied && overwritten;
    }

    // The last step that reads memory which the store overwrites.
    int last_read(const DraftOperand& store) const {
        int last = -1;
        for (size_t i = 0; i < draft_.loads.size(); ++i) {
            if (needed_[i] && slot_[i] == static_cast<int>(i) && same_memory(static_cast<int>(i), store)) {
                last = std::max(last, last_use_[i]);
            }
        }
        return last;
    }

    // Orders computations, stores and reductions, and gives every value a slot.
    void schedule() {
        const int steps = static_cast<int>(draft_.steps.size()), first = draft_.first_step();
        std::vector<std::vector<int>> stores_after(steps + 1), reduces_after(steps + 1);
        std::vector<int> direct(draft_.registers.size(), -1);
        for (size_t j = 0; j < draft_.stores.size(); ++j) {
            const DraftOperand& store = draft_.stores[j];
            const int made = store.reg - first, read = last_read(store);
            if (made >= 0 && direct[store.reg] < 0 && is_contiguous(store) && read <= made) {
                direct[store.reg] = static_cast<int>(j);
                continue;
            }
            const int when = std::max({made, read, -1});
            stores_after[when + 1].push_back(static_cast<int>(j));
            // The store comes after step `when`, which must not take over the block of what is stored.
            last_use_[store.reg] = std::max(last_use_[store.reg], when > made ? when + 1 : when);
        }
        for (size_t j = 0; j < draft_.targets.size(); ++j) {
            reduces_after[std::max(draft_.targets[j].reg - first, -1) + 1].push_back(static_cast<int>(j));
        }
        for (int t = -1; t < steps; ++t) {
            if (t >= 0 && needed_[first + t]) {
                compute(t, direct[first + t]);
            }
            for (const int j : reduces_after[t + 1]) {
                plan_.actions.push_back({Action::Reduce, 0, static_cast<uint32_t>(j), {}, nullptr});
            }
            for (const int j : stores_after[t + 1]) {
                store(j);
            }
            if (t >= 0) {
                give_back(t);
            }
        }
    }

    void compute(int t, int direct) {
        const DraftStep& step = draft_.steps[t];
        const int reg = draft_.first_step() + t;
        Action action{Action::Compute, static_cast<uint8_t>(step.inputs.size()), 0, {}, step.kernel->fn};
        for (size_t i = 0; i < step.inputs.size(); ++i) {
            action.in[i] = slot_[step.inputs[i]];
        }
        if (direct >= 0) {
            slot_[reg] = static_cast<int>(draft_.loads.size()) + direct;
        } else {
            block_[reg] = reusable_block(t);
            slot_[reg] = block_slot(block_[reg]);
        }
        action.out = slot_[reg];
        plan_.actions.push_back(action);
    }

    // The block of an input that dies here, of the same width: kernels may work in place. Otherwise another one.
    int reusable_block(int t) {
        const DraftStep& step = draft_.steps[t];
        for (const int input : step.inputs) {
            if (block_[input] >= 0 && last_use_[input] == t &&
                itemsize(draft_.registers[input]) == itemsize(step.out)) {
                return std::exchange(block_[input], -1);
            }
        }
        return new_block();
    }

    void store(int j) {
        const DraftOperand& store = draft_.stores[j];
        StorePlan result;
        result.from = slot_[store.reg];
        result.to = static_cast<uint32_t>(draft_.loads.size() + j);
        result.size = store.size;
        result.contiguous = is_contiguous(store);
        if (!result.contiguous) {
            result.walk = block_walk(store);
        }
        plan_.actions.push_back({Action::Store, 0, static_cast<uint32_t>(plan_.stores.size()), {}, nullptr});
        plan_.stores.push_back(std::move(result));
    }

    // Frees the blocks of values that nothing reads after step t.
    void give_back(int t) {
        const int reg = draft_.first_step() + t;
        const auto release = [&](int r) {
            if (block_[r] >= 0 && last_use_[r] <= t) {
                free_.push_back(std::exchange(block_[r], -1));
            }
        };
        release(reg);
        for (const int input : draft_.steps[t].inputs) {
            release(input);
        }
    }

    void make_reductions() {
        std::map<int, int> blocks;  // register -> place among those for what native code leaves
        for (const DraftOperand& target : draft_.targets) {
            ReducePlan reduce{};
            const Dtype type = draft_.registers[target.reg];
            reduce.ops = find_reduce_ops(target.kind.c_str(), type);
            const KernelEntry* rows = find_kernel(reduce.ops.row_kernel, type, type);
            reduce.add_rows = rows != nullptr && reduce.ops.rounds > 1 ? rows->fn : nullptr;
            reduce.slot = slot_[target.reg];
            // What is reduced in several ways is left once.
            const auto place = blocks.emplace(target.reg, static_cast<int>(blocks.size())).first->second;
            reduce.native_slot = static_cast<uint32_t>(block_slot(plan_.registers + place));
            reduce.size = target.size;
            reduce.target = {target.view.buffer, target.offset};
            describe_totals(target, reduce);
            describe_levels(target, reduce);
            describe_tile(target, reduce);
            plan_.reduces.push_back(std::move(reduce));
        }
        plan_.blocks = plan_.registers + static_cast<int>(blocks.size());
        choose_fold();
    }

    void choose_fold() {
        int64_t tiles = 1, tile_bytes = 1;
        for (const Level& level : plan_.levels) {
            tiles *= level.count;
        }
        for (const ReducePlan& reduce : plan_.reduces) {
            if (!reduce.whole || reduce.immediate) {
                return;
            }
            tile_bytes = std::max(tile_bytes, tile_size() * reduce.size);
        }
        const int64_t longest = std::min(plan_.levels[plan_.rows_level].count, tiles / LEAST_FOLDS);
        plan_.fold_tiles = std::clamp<int64_t>(FOLDED_BYTES / tile_bytes, 1, std::max<int64_t>(longest, 1));
    }

    // Bytes from one total to the next along an axis.
    int64_t total_stride(const DraftOperand& target, const ReducePlan& reduce, size_t axis) const {
        if (target.strides[axis] == 0) {
            return 0;
        }
        int64_t step = reduce.ops.cell;
        for (size_t d = axis + 1; d < axes(); ++d) {
            step *= target.strides[d] != 0 ? draft_.shape[d] : 1;
        }
        return step;
    }

    void describe_levels(const DraftOperand& target, ReducePlan& reduce) {
        const int levels = static_cast<int>(plan_.levels.size());
        reduce.flush_level = -1;
        for (int k = 0; k < levels; ++k) {
            const int axis = level_axes_[k];
            const int64_t rows = plan_.levels[k].is_rows ? plan_.rows : 1;
            reduce.target_steps.push_back(target.strides[axis] * rows);
            reduce.total_steps.push_back(total_stride(target, reduce, axis) * rows);
            if (target.strides[axis] != 0) {
                reduce.flush_level = k;
            }
        }
        reduce.immediate = reduce.flush_level == levels - 1;
        reduce.complete = true;
        for (int k = 0; k <= reduce.flush_level; ++k) {
            reduce.complete &= reduce.target_steps[k] != 0 || plan_.levels[k].count == 1;
        }
    }

    void describe_tile(const DraftOperand& target, ReducePlan& reduce) {
        const auto kept = [&](size_t d) { return target.strides[d] != 0; };
        int64_t row_cells = 1, rows = kept(row_axis_) ? plan_.rows : 1;
        for (size_t d = row_axis_ + 1; d < axes(); ++d) {
            row_cells *= kept(d) ? draft_.shape[d] : 1;
        }
        reduce.cells = rows * row_cells;
        reduce.rows_reduced = !kept(row_axis_);
        reduce.whole = true;
        int64_t cell = row_cells * reduce.ops.cell, value = plan_.row_size * reduce.size;
        for (size_t d = row_axis_; d < axes(); ++d) {
            const bool is_rows = d == row_axis_;
            if (!is_rows) {
                value /= draft_.shape[d];
                cell /= kept(d) ? draft_.shape[d] : 1;
            }
            const int64_t total = total_stride(target, reduce, d);
            if (is_rows) {
                reduce.fold.append_rows(value, kept(d) ? cell : 0);
            } else {
                reduce.fold.append(draft_.shape[d], value, kept(d) ? cell : 0);
            }
            if (!kept(d)) {
                continue;
            }
            reduce.whole = false;
            if (is_rows) {
                reduce.to_target.append_rows(cell, target.strides[d]);
                reduce.to_totals.append_rows(cell, total);
            } else {
                reduce.to_target.append(draft_.shape[d], cell, target.strides[d]);
                reduce.to_totals.append(draft_.shape[d], cell, total);
            }
        }
    }

    // What native code walks over.
    void describe_axes() {
        plan_.shape = draft_.shape;
        plan_.row_axis = static_cast<int>(row_axis_);
        for (const auto* group : {&draft_.loads, &draft_.stores}) {
            for (const DraftOperand& operand : *group) {
                plan_.strides.push_back(operand.strides);
            }
        }
    }

    void lay_out_scratch() {
        size_t at = aligned((operand_count() + plan_.constants.size() + plan_.blocks) * sizeof(char*));
        int64_t size = 1;
        for (const Dtype type : draft_.registers) {
            size = std::max(size, itemsize(type));
        }
        plan_.registers_at = at;
        plan_.register_bytes = aligned(tile_size() * size);
        at += plan_.blocks * plan_.register_bytes;
        for (ReducePlan& reduce : plan_.reduces) {
            reduce.cells_at = at;
            at += aligned(reduce.cells * reduce.ops.cell);
            reduce.rows_at = at;
            if (plan_.fold_tiles > 1 || (!reduce.whole && !reduce.immediate)) {
                at += aligned(plan_.fold_tiles * tile_size() * reduce.size);
            }
        }
        plan_.carried_at = at;
        plan_.scratch_bytes = at + aligned(plan_.reduces.size() * 64);
    }
};

}  // namespace

LoopPlan plan_loop(py::handle description, BufferTable& table) {
    return Planner(read_loop(description, table), table).plan();
}

}  // namespace tracer
