// The blocked vector machine: runs a planned loop tile by tile, on one thread or several.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "loop.hpp"
#include "threads.hpp"

namespace tracer {
namespace {

constexpr double PARALLEL_ABOVE = 15e3;  // nanoseconds of estimated work
constexpr double PART_AT_LEAST = 6e3;
constexpr int MAX_LEVELS = 66;

// What the threads of one run of a loop share.
struct Job {
    const LoopPlan& plan;
    const Context& context;
    NativeLoop native;  // computes a tile, if there is one
    int split = 0;      // the level that is divided among the parts
    int64_t parts = 1;
    std::vector<std::vector<char>> totals;  // per reduction; empty if targets are final when flushed
    std::atomic<bool> out_of_memory{false};
};

// The part of a reduction's state that a thread keeps while it walks the nest.
struct Carried {
    char* destination;     // target or totals of the current tile
    const int64_t* steps;  // how levels move it
    char* cells;
    char* row;       // rows added up in the type reduced, or tiles that are folded together
    int64_t filled;  // rows that `row` holds
    int64_t rounds;
    bool to_totals;
};

void fold(const ReducePlan& reduce, const char* values, char* cells, int64_t rows) {
    for_each_row(reduce.fold, rows, const_cast<char*>(values), cells,
                 [&](char* from, char* to, int64_t count, int64_t, int64_t to_step) {
                     if (to_step != 0) {
                         reduce.ops.add_row(to, from, count);
                         return;
                     }
                     alignas(16) char accumulator[16];
                     reduce.ops.block(accumulator, from, count);
                     reduce.ops.add_block(to, accumulator);
                 });
}

// Folds the rows added up so far. If the row axis itself is reduced, halves are added to each other first: that is
// fast, and as accurate as a pairwise sum.
void fold_carried(const ReducePlan& reduce, Carried& carried, int64_t row_size) {
    int64_t rows = carried.filled;
    while (reduce.rows_reduced && rows > 1) {
        const int64_t half = rows / 2;
        rows -= half;
        const void* in[2] = {carried.row, carried.row + rows * row_size * reduce.size};
        reduce.add_rows(carried.row, in, half * row_size);
    }
    fold(reduce, carried.row, carried.cells, rows);
    carried.filled = carried.rounds = 0;
}

void add_tile(const ReducePlan& reduce, Carried& carried, const char* values, int64_t rows, int64_t row_size) {
    if (reduce.whole || reduce.immediate || reduce.add_rows == nullptr) {
        fold(reduce, values, carried.cells, rows);
        return;
    }
    const int64_t common = std::min(rows, carried.filled);
    if (common > 0) {
        const void* in[2] = {carried.row, values};
        reduce.add_rows(carried.row, in, common * row_size);
    }
    if (rows > common) {
        const int64_t start = common * row_size * reduce.size;
        std::memcpy(carried.row + start, values + start, (rows - common) * row_size * reduce.size);
        carried.filled = rows;
    }
    if (++carried.rounds >= reduce.ops.rounds) {
        fold_carried(reduce, carried, row_size);
    }
}

// Keeps a tile until it is folded with others, of which it may be the last.
void append_tile(const ReducePlan& reduce, Carried& carried, const char* values, int64_t rows, int64_t row_size,
                 bool last) {
    std::memcpy(carried.row + carried.filled * row_size * reduce.size, values, rows * row_size * reduce.size);
    carried.filled += rows;
    if (last) {
        fold(reduce, carried.row, carried.cells, carried.filled);
        carried.filled = 0;
    }
}

void flush(const ReducePlan& reduce, Carried& carried, int64_t rows, int64_t row_size) {
    if (carried.filled > 0) {
        fold_carried(reduce, carried, row_size);
    }
    const ReduceOps& ops = reduce.ops;
    if (carried.to_totals) {
        for_each_row(reduce.to_totals, rows, carried.cells, carried.destination,
                     [&](char* cells, char* totals, int64_t count, int64_t cells_step, int64_t totals_step) {
                         ops.merge(totals, totals_step, cells, cells_step, count);
                     });
    } else {
        for_each_row(reduce.to_target, rows, carried.cells, carried.destination,
                     [&](char* cells, char* target, int64_t count, int64_t cells_step, int64_t target_step) {
                         ops.finish(target, target_step, cells, cells_step, count);
                     });
    }
    ops.clear(carried.cells, reduce.cells);
}

void finish_totals(const ReducePlan& reduce, char* totals, char* target) {
    for_each_row(reduce.finish, 1, totals, target,
                 [&](char* cells, char* out, int64_t count, int64_t cells_step, int64_t out_step) {
                     reduce.ops.finish(out, out_step, cells, cells_step, count);
                 });
}

void store_tile(const StorePlan& store, char* const* slots, int64_t rows, int64_t n) {
    if (store.contiguous) {
        std::memcpy(slots[store.to], slots[store.from], n * store.size);
    } else {
        scatter_block(store.walk, store.size, rows, slots[store.to], slots[store.from]);
    }
}

// What a level can be divided into.
int64_t pieces(const LoopPlan& plan, int level) {
    const int64_t count = plan.levels[level].count;
    return level == plan.rows_level ? (count - 1) / plan.fold_tiles + 1 : count;
}

// One thread's walk over its part of the nest.
class Walker {
  public:
    Walker(Job& job, int64_t part)
        : plan_(job.plan),
          native_(job.native),
          levels_(static_cast<int>(job.plan.levels.size())),
          tiles_(job.native != nullptr ? job.plan.fold_tiles : 1) {
        for (int k = 0; k < levels_; ++k) {
            low_[k] = 0;
            high_[k] = plan_.levels[k].count;
        }
        if (job.parts > 1) {
            const int64_t count = pieces(plan_, job.split);
            const int64_t piece = job.split == plan_.rows_level ? plan_.fold_tiles : 1;
            low_[job.split] = count * part / job.parts * piece;
            high_[job.split] = std::min(high_[job.split], count * (part + 1) / job.parts * piece);
        }
        std::copy(low_, low_ + levels_, index_);
        char* memory = scratch(plan_.scratch_bytes);
        slots_ = reinterpret_cast<char**>(memory);
        place_slots(job, memory);
        if (!plan_.reduces.empty()) {
            place_reductions(job, part, memory);
        }
    }

    void run() {
        int changed = -1;
        do {
            const int64_t left = plan_.shape[plan_.row_axis] - index_[plan_.rows_level] * plan_.rows;
            const int64_t rows = std::min(tiles_ * plan_.rows, left);
            if (native_ != nullptr) {
                compute_natively(rows);
            } else {
                gather(rows, changed);
                compute(rows);
            }
            changed = advance(rows);
        } while (changed >= 0);
    }

  private:
    const LoopPlan& plan_;
    const NativeLoop native_;
    const int levels_;
    const int64_t tiles_;  // computed at once
    char** slots_;
    Carried* carried_ = nullptr;
    int64_t index_[MAX_LEVELS], low_[MAX_LEVELS], high_[MAX_LEVELS];

    void place_slots(const Job& job, char* memory) {
        char** slot = slots_;
        for (const Memory& operand : plan_.operands) {
            *slot++ = job.context.base[operand.buffer] + operand.offset;
        }
        if (job.parts > 1 && low_[job.split] > 0) {
            const std::vector<int64_t>& steps = plan_.levels[job.split].steps;
            for (size_t i = 0; i < steps.size(); ++i) {
                slots_[i] += steps[i] * low_[job.split];
            }
        }
        for (const char* constant : plan_.constants) {
            *slot++ = const_cast<char*>(constant);
        }
        for (int i = 0; i < plan_.blocks; ++i) {
            *slot++ = memory + plan_.registers_at + i * plan_.register_bytes;
        }
    }

    void place_reductions(Job& job, int64_t part, char* memory) {
        carried_ = reinterpret_cast<Carried*>(memory + plan_.carried_at);
        for (size_t i = 0; i < plan_.reduces.size(); ++i) {
            const ReducePlan& reduce = plan_.reduces[i];
            Carried& carried = carried_[i];
            carried = {nullptr, nullptr, memory + reduce.cells_at, memory + reduce.rows_at, 0, 0, false};
            carried.to_totals = !job.totals.empty() && !job.totals[i].empty();
            if (carried.to_totals) {
                // Parts that share their targets have totals of their own.
                const bool apart = job.parts > 1 && reduce.total_steps[job.split] == 0;
                carried.destination =
                    job.totals[i].data() + (apart ? part * reduce.total_cells * reduce.ops.cell : int64_t{0});
                carried.steps = reduce.total_steps.data();
            } else {
                carried.destination = job.context.base[reduce.target.buffer] + reduce.target.offset;
                carried.steps = reduce.target_steps.data();
            }
            carried.destination += carried.steps[job.split] * low_[job.split];
            reduce.ops.clear(carried.cells, reduce.cells);
            if (plan_.fold_tiles > 1) {
                slots_[reduce.native_slot] = carried.row;
            }
        }
    }

    void gather(int64_t rows, int changed) {
        for (const GatherPlan& gather : plan_.gathers) {
            if (gather.last_level >= changed) {
                gather_block(gather.walk, gather.size, gather.all_rows ? plan_.rows : rows, slots_[gather.from],
                             slots_[gather.to]);
            }
        }
    }

    void compute_natively(int64_t rows) {
        native_(slots_, 0, rows);
        for (size_t i = 0; i < plan_.reduces.size(); ++i) {
            const ReducePlan& reduce = plan_.reduces[i];
            add_tile(reduce, carried_[i], slots_[reduce.native_slot], rows, plan_.row_size);
        }
    }

    void compute(int64_t rows) {
        const int64_t n = rows * plan_.row_size;
        char* const* slots = slots_;
        for (const Action& action : plan_.actions) {
            if (action.kind == Action::Compute) {
                const void* in[MAX_ARITY];
                in[0] = slots[action.in[0]];
                in[1] = slots[action.in[1]];
                in[2] = slots[action.in[2]];
                in[3] = slots[action.in[3]];
                action.kernel(slots[action.out], in, n);
            } else if (action.kind == Action::Store) {
                store_tile(plan_.stores[action.out], slots, rows, n);
            } else {
                reduce_tile(plan_.reduces[action.out], carried_[action.out], rows);
            }
        }
    }

    void reduce_tile(const ReducePlan& reduce, Carried& carried, int64_t rows) {
        if (plan_.fold_tiles > 1) {
            const int64_t next = index_[plan_.rows_level] + 1;
            const bool last = next % plan_.fold_tiles == 0 || next == high_[plan_.rows_level];
            append_tile(reduce, carried, slots_[reduce.slot], rows, plan_.row_size, last);
        } else {
            add_tile(reduce, carried, slots_[reduce.slot], rows, plan_.row_size);
        }
    }

    int64_t step_of(int level) const { return level == plan_.rows_level ? tiles_ : 1; }

    // Steps to the next tile; gives the level that moved, -1 if there is no next tile.
    int advance(int64_t rows) {
        int moved = levels_ - 1;
        while (moved >= 0 && index_[moved] + step_of(moved) >= high_[moved]) {
            --moved;
        }
        for (size_t i = 0; i < plan_.reduces.size(); ++i) {
            if (plan_.reduces[i].flush_level >= moved) {
                flush(plan_.reduces[i], carried_[i], rows, plan_.row_size);
            }
        }
        if (moved < 0) {
            return moved;
        }
        for (int k = moved; k < levels_; ++k) {
            const int64_t by = k == moved ? step_of(k) : low_[k] - index_[k];
            index_[k] += by;
            if (by != 0) {
                move(k, by);
            }
        }
        return moved;
    }

    void move(int level, int64_t by) {
        const std::vector<int64_t>& steps = plan_.levels[level].steps;
        for (size_t i = 0; i < steps.size(); ++i) {
            slots_[i] += steps[i] * by;
        }
        for (size_t i = 0; i < plan_.reduces.size(); ++i) {
            carried_[i].destination += carried_[i].steps[level] * by;
        }
    }
};

void run_part(void* data, int64_t part) {
    Job& job = *static_cast<Job*>(data);
    try {
        Walker(job, part).run();
    } catch (const std::bad_alloc&) {
        job.out_of_memory = true;
    }
}

// The level to divide: the outermost of which all parts get nearly as much, or else the one with the least waiting.
int split_level(const LoopPlan& plan, int64_t parts) {
    constexpr double EVEN = 0.9;
    int best = 0;
    double most = 0.0;
    for (int k = 0; k < static_cast<int>(plan.levels.size()) && most < EVEN; ++k) {
        const int64_t count = pieces(plan, k), longest = (count + parts - 1) / parts;
        const double busy = static_cast<double>(count) / static_cast<double>(longest * parts);
        if (busy > most) {
            best = k;
            most = busy;
        }
    }
    return best;
}

// Targets that are not final when they are flushed are collected in totals.
void make_totals(Job& job) {
    for (size_t i = 0; i < job.plan.reduces.size(); ++i) {
        const ReducePlan& reduce = job.plan.reduces[i];
        const bool shared = job.parts > 1 && reduce.total_steps[job.split] == 0;
        if (reduce.complete && !shared) {
            continue;
        }
        job.totals.resize(job.plan.reduces.size());
        const int64_t cells = reduce.total_cells * (shared ? job.parts : 1);
        job.totals[i].resize(cells * reduce.ops.cell);
        reduce.ops.clear(job.totals[i].data(), cells);
    }
}

void merge_totals(Job& job) {
    for (size_t i = 0; i < job.totals.size(); ++i) {
        if (job.totals[i].empty()) {
            continue;
        }
        const ReducePlan& reduce = job.plan.reduces[i];
        const int64_t bytes = reduce.total_cells * reduce.ops.cell;
        char* totals = job.totals[i].data();
        for (char* part = totals + bytes; part < totals + job.totals[i].size(); part += bytes) {
            reduce.ops.merge(totals, reduce.ops.cell, part, reduce.ops.cell, reduce.total_cells);
        }
        finish_totals(reduce, totals, job.context.base[reduce.target.buffer] + reduce.target.offset);
    }
}

// Parts for work of an estimated length.
int64_t wanted_parts(double cost) {
    return cost > PARALLEL_ABOVE ? std::min<int64_t>(thread_count(), static_cast<int64_t>(cost / PART_AT_LEAST)) : 1;
}

// What the threads of one run of native code share.
struct NativeJob {
    NativeLoop native;
    char* const* slots;
    int64_t count, parts;
};

void run_native_part(void* data, int64_t part) {
    const NativeJob& job = *static_cast<NativeJob*>(data);
    job.native(job.slots, job.count * part / job.parts, job.count * (part + 1) / job.parts);
}

char** native_slots(const LoopPlan& plan, const Context& context) {
    char** slots = reinterpret_cast<char**>(scratch(plan.operands.size() * sizeof(char*)));
    for (size_t i = 0; i < plan.operands.size(); ++i) {
        slots[i] = context.base[plan.operands[i].buffer] + plan.operands[i].offset;
    }
    return slots;
}

void run_native(const LoopPlan& plan, const Context& context, NativeLoop native) {
    NativeJob job{native, native_slots(plan, context), plan.shape[0], 1};
    job.parts = std::clamp<int64_t>(job.count, 1, wanted_parts(plan.native_cost));
    parallel_run(job.parts, run_native_part, &job);
}

}  // namespace

void run_loop_part(const LoopPlan& plan, const Context& context, NativeLoop native, const LoopPart& part) {
    if (native != nullptr) {
        return native(native_slots(plan, context), part.begin, part.end);
    }
    Job job{plan, context, nullptr, 0, part.of, {}, {}};
    Walker(job, part.number).run();
}

void run_loop(const LoopPlan& plan, const Context& context, NativeLoop native) {
    if (native != nullptr && plan.reduces.empty()) {
        return run_native(plan, context, native);
    }
    Job job{plan, context, native, 0, 1, {}, {}};
    // Native code is divided in the same way, so that its sums are the same to the bit.
    const int64_t wanted = plan.empty ? 1 : wanted_parts(plan.cost);
    if (wanted > 1) {
        job.split = split_level(plan, wanted);
        job.parts = std::clamp<int64_t>(pieces(plan, job.split), 1, wanted);
    }
    if (!plan.reduces.empty()) {
        make_totals(job);
    }
    if (job.parts > 1) {
        parallel_run(job.parts, run_part, &job);
        if (job.out_of_memory) {
            throw std::bad_alloc();
        }
    } else if (!plan.empty) {
        Walker(job, 0).run();
    }
    merge_totals(job);
}

}  // namespace tracer
