// Copies between a strided window in memory and a contiguous block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tracer {

// One axis of a walk over two pieces of memory; steps in bytes.
struct Axis {
    int64_t count;
    int64_t a, b;
};

// A nest of axes, outermost first. The count of one of them may be known only at run time: `rows` times what it says.
struct Walk {
    std::vector<Axis> axes;
    int rows_axis = -1;

    // Appends an axis inside the others, merged with the one before it if both memories allow.
    void append(int64_t count, int64_t a, int64_t b);
    // Starts the walk with the axis whose count is `rows`.
    void append_rows(int64_t a, int64_t b);
    // For copies, whose order is free: makes the longer of the two inner axes the inner one if the other is very short.
    void favour_long_rows(int64_t rows);
    int64_t count(size_t axis, int64_t rows) const {
        return static_cast<int>(axis) == rows_axis ? axes[axis].count * rows : axes[axis].count;
    }
};

// Calls run(a, b, count, a_step, b_step) for every innermost row of the walk.
template <typename Run>
void for_each_row(const Walk& walk, int64_t rows, char* a, char* b, Run run) {
    const size_t dims = walk.axes.size();
    if (dims == 0) {
        run(a, b, int64_t{1}, int64_t{0}, int64_t{0});
        return;
    }
    const Axis& inner = walk.axes[dims - 1];
    const int64_t length = walk.count(dims - 1, rows);
    int64_t index[66] = {0};
    for (;;) {
        run(a, b, length, inner.a, inner.b);
        size_t d = dims - 1;
        for (; d > 0; --d) {
            const Axis& axis = walk.axes[d - 1];
            a += axis.a;
            b += axis.b;
            if (++index[d - 1] < walk.count(d - 1, rows)) {
                break;
            }
            a -= axis.a * index[d - 1];
            b -= axis.b * index[d - 1];
            index[d - 1] = 0;
        }
        if (d == 0) {
            return;
        }
    }
}

// Strided memory to and from a contiguous block; `walk.axes` step memory by `a` and the block by `b`.
void gather_block(const Walk& walk, int64_t size, int64_t rows, char* memory, char* block);
void scatter_block(const Walk& walk, int64_t size, int64_t rows, char* memory, char* block);

// block[i] = value for 0 <= i < count.
void splat(char* block, const void* value, int64_t size, int64_t count);

}  // namespace tracer
