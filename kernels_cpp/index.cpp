// Gather and Scatter: reading and writing through integer index arrays.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "program.hpp"
#include "scalar.hpp"
#include "threads.hpp"

namespace tracer {
namespace {

// Bytes moved from which on threads share the work: some 20 us.
constexpr int64_t SHARED_BYTES = int64_t{1} << 18;
// How many points ahead what the indices address is asked for, and how much of a run.
constexpr int64_t AHEAD = 8;
constexpr int64_t FETCHED_BYTES = 512;
// Points of its part of the table that a thread collects before it moves them.
constexpr int64_t CHOSEN = 256;

// Runs body(part) for every part in [0, parts) on the pool.
template <class Body>
void share(int64_t parts, Body&& body) {
    parallel_run(
        parts, [](void* data, int64_t part) { (*static_cast<std::remove_reference_t<Body>*>(data))(part); }, &body);
}

// Walks over every point of a shape for a fixed number of strided operands.
template <int OPERANDS>
struct Walk {
    Shape shape;
    std::array<Shape, OPERANDS> strides;

    // Drops dimensions of size one and merges neighbours that all operands run through evenly.
    void simplify() {
        int kept = 0;
        for (size_t d = 0; d < shape.size(); ++d) {
            if (shape[d] == 1) {
                continue;
            }
            bool merge = kept > 0;
            for (int i = 0; merge && i < OPERANDS; ++i) {
                merge = strides[i][kept - 1] == shape[d] * strides[i][d];
            }
            const int target = merge ? kept - 1 : kept;
            shape[target] = merge ? shape[target] * shape[d] : shape[d];
            for (Shape& steps : strides) {
                steps[target] = steps[d];
            }
            kept = target + 1;
        }
        shape.resize(kept);
        for (Shape& steps : strides) {
            steps.resize(kept);
        }
    }

    // Calls body(offsets) for every point of the leading `rank` dimensions, in C order.
    template <class Body>
    void run(int rank, Body&& body) const {
        std::array<int64_t, OPERANDS> offsets{};
        std::array<int64_t, 64> position{};
        for (int d = 0; d < rank; ++d) {
            if (shape[d] == 0) {
                return;
            }
        }
        while (true) {
            body(offsets);
            int d = rank - 1;
            for (; d >= 0; --d) {
                const bool inside = ++position[d] < shape[d];
                for (int i = 0; i < OPERANDS; ++i) {
                    offsets[i] += inside ? strides[i][d] : -strides[i][d] * (shape[d] - 1);
                }
                if (inside) {
                    break;
                }
                position[d] = 0;
            }
            if (d < 0) {
                return;
            }
        }
    }
};

struct Copy {
    template <class T>
    static void apply(T& target, const T& value) {
        target = value;
    }
};

struct Add {
    template <class T>
    static void apply(T& target, const T& value) {
        target = add(target, value);
    }
};

// One run of elements: target[i] op= source[i].
template <class T, class Operation>
void transfer(int64_t count, T* target, int64_t target_step, const T* source, int64_t source_step) {
    if (target_step == 1 && source_step == 1) {
        if constexpr (std::is_same_v<Operation, Copy>) {
            std::memcpy(target, source, static_cast<size_t>(count) * sizeof(T));
            return;
        }
        for (int64_t i = 0; i < count; ++i) {
            Operation::apply(target[i], source[i]);
        }
        return;
    }
    for (int64_t i = 0; i < count; ++i) {
        Operation::apply(target[i * target_step], source[i * source_step]);
    }
}

// For operations that only copy: a type of the right size, so that there is one copy of the code per size.
template <class Visitor>
void visit_itemsize(Dtype type, Visitor&& visitor) {
    switch (itemsize(type)) {
        case 1:
            return visitor(TypeTag<uint8_t>{});
        case 2:
            return visitor(TypeTag<uint16_t>{});
        case 4:
            return visitor(TypeTag<uint32_t>{});
        case 8:
            return visitor(TypeTag<uint64_t>{});
        default:
            return visitor(TypeTag<complex128>{});
    }
}

[[noreturn]] void out_of_bounds(int64_t index, int64_t axis, int64_t size) {
    throw std::out_of_range("index " + std::to_string(index) + " is out of bounds for axis " + std::to_string(axis) +
                            " with size " + std::to_string(size));
}

// What Gather and Scatter share. The "table" is the side that the indices address, the "list" the side in index order.
class Indexed : public Instruction {
  public:
    double cost() const override {
        const double points = static_cast<double>(index_count_);
        return 30.0 + points * (2.0 * static_cast<double>(indices_.size()) + 2.0 + static_cast<double>(rest_count_));
    }

  protected:
    Dtype dtype_ = Dtype::Bool;
    View table_, list_;
    Shape index_shape_;
    std::vector<View> indices_;
    Shape index_sizes_, index_strides_;  // of the indexed axes of the table
    std::vector<Walk<1>> index_walks_;   // over index points: one index array each
    Walk<1> list_walk_;                  // over index points: list
    Walk<2> rest_walk_;                  // over the remaining axes: table, list
    int64_t index_count_ = 0, rest_count_ = 0;
    int64_t fetched_bytes_ = 0;  // at the beginning of a run; 0 if it is scattered

    // `inner` names the attribute of the table side, `inner_shape` its shape, `outer` the list side.
    void read(py::handle source, BufferTable& buffers, const char* inner, const char* inner_shape, const char* outer,
              bool scatter) {
        const Shape shape = read_shape(source.attr("shape"), "indexing: shape");
        const Shape table_shape = read_shape(source.attr(inner_shape), "indexing: shape of the indexed array");
        const int64_t axes = read_integer(source.attr("axes"), "indexing: axes");
        py::tuple indices = py::tuple(source.attr("indices"));
        if (axes < 1 || axes > static_cast<int64_t>(table_shape.size()) ||
            axes != static_cast<int64_t>(indices.size())) {
            malformed("indexing: the number of indices does not fit the axes");
        }
        const size_t rest = table_shape.size() - static_cast<size_t>(axes);
        if (shape.size() < rest || !std::equal(table_shape.begin() + axes, table_shape.end(), shape.end() - rest)) {
            malformed("indexing: the trailing axes do not match");
        }
        index_shape_.assign(shape.begin(), shape.end() - rest);
        table_ = buffers.view(source.attr(inner), table_shape, scatter ? Access::Write : Access::Read);
        list_ = buffers.view(source.attr(outer), shape, scatter ? Access::Read : Access::Write);
        dtype_ = buffers.dtype(table_);
        if (buffers.dtype(list_) != dtype_) {
            malformed("indexing: source and result differ in dtype");
        }
        if (buffers.may_overlap(table_, table_shape, list_, shape)) {
            malformed("indexing: source and result overlap");
        }
        const View& written = scatter ? table_ : list_;
        for (py::handle index : indices) {
            indices_.push_back(buffers.view(index, index_shape_, Access::Read));
            if (buffers.dtype(indices_.back()) != Dtype::I64) {
                malformed("indexing: an index is not int64");
            }
            if (buffers.may_overlap(indices_.back(), index_shape_, written, scatter ? table_shape : shape)) {
                malformed("indexing: an index overlaps the result");
            }
        }
        prepare(table_shape, static_cast<size_t>(axes));
    }

    // Offsets into the table, one per index point in C order. Checks every index before anything is written.
    const std::vector<int64_t>& offsets(const Context& context) const {
        constexpr size_t KEEP = size_t{1} << 20;
        thread_local std::vector<int64_t> memory;
        const size_t points = static_cast<size_t>(index_count_);
        if (memory.size() > KEEP && memory.size() > points) {
            std::vector<int64_t>().swap(memory);  // one huge call does not hold its memory for the life of the thread
        }
        memory.resize(points);
        for (size_t axis = 0; axis < indices_.size(); ++axis) {
            const int64_t* base = context.resolve_as<int64_t>(indices_[axis]);
            const int64_t size = index_sizes_[axis], stride = index_strides_[axis];
            const Walk<1>& walk = index_walks_[axis];
            const int rank = static_cast<int>(walk.shape.size());
            const int64_t count = rank ? walk.shape[rank - 1] : 1, step = rank ? walk.strides[0][rank - 1] : 0;
            int64_t* target = memory.data();
            walk.run(rank - 1, [&](const std::array<int64_t, 1>& start) {
                for (int64_t i = 0; i < count; ++i) {
                    const int64_t index = base[start[0] + i * step];
                    const int64_t wrapped = index < 0 ? index + size : index;
                    if (static_cast<uint64_t>(wrapped) >= static_cast<uint64_t>(size)) {
                        out_of_bounds(index, static_cast<int64_t>(axis), size);
                    }
                    *target = (axis == 0 ? 0 : *target) + wrapped * stride;
                    ++target;
                }
            });
        }
        return memory;
    }

    // Calls body(table element offset, list element offset) for every index point.
    template <class Body>
    void each_point(const int64_t* offsets, Body&& body) const {
        const int rank = static_cast<int>(list_walk_.shape.size());
        const int64_t count = rank ? list_walk_.shape[rank - 1] : 1, step = rank ? list_walk_.strides[0][rank - 1] : 0;
        const int64_t* next = offsets;
        list_walk_.run(rank - 1, [&](const std::array<int64_t, 1>& start) {
            for (int64_t i = 0; i < count; ++i) {
                body(*next++, start[0] + i * step);
            }
        });
    }

    // target op= source between the table and the list, for every index point; TO_TABLE: the table is the target.
    template <class T, class Operation, bool TO_TABLE>
    void move(const Context& context) const {
        const int64_t* in_table = offsets(context).data();
        if (index_count_ == 0 || rest_count_ == 0) {
            return;
        }
        T* table = context.resolve_as<T>(table_);
        T* list = context.resolve_as<T>(list_);
        const int rank = static_cast<int>(rest_walk_.shape.size());
        if (rank == 0) {
            each_point(in_table, [&](int64_t at, int64_t in_list) {
                Operation::apply(TO_TABLE ? table[at] : list[in_list], TO_TABLE ? list[in_list] : table[at]);
            });
            return;
        }
        const bool large = index_count_ * rest_count_ * static_cast<int64_t>(sizeof(T)) >= SHARED_BYTES;
        const int64_t parts = large ? std::min<int64_t>(thread_count(), index_count_) : 1;
        if (!TO_TABLE && list_walk_.shape.size() == 1) {
            const int64_t step = list_walk_.strides[0][0];
            share(parts, [&](int64_t part) {
                const int64_t end = index_count_ * (part + 1) / parts;
                for (int64_t i = index_count_ * part / parts; i < end; ++i) {
                    fetch(table, in_table, i, index_count_);
                    move_rest<T, Operation, TO_TABLE>(table + in_table[i], list + i * step);
                }
            });
            return;
        }
        // Every thread has its own part of the table, so that repeated indices are heeded in order.
        const auto [low, span] = reach();
        share(TO_TABLE ? parts : 1, [&](int64_t part) {
            const int64_t begin = low + span * part / parts,
                          end = TO_TABLE ? low + span * (part + 1) / parts : low + span;
            std::array<int64_t, CHOSEN> at_table, at_list;
            int64_t chosen = 0;
            const auto move_chosen = [&] {
                for (int64_t i = 0; i < chosen; ++i) {
                    fetch(table, at_table.data(), i, chosen);
                    move_rest<T, Operation, TO_TABLE>(table + at_table[i], list + at_list[i]);
                }
                chosen = 0;
            };
            // Points are chosen first, without branches that cannot be foreseen.
            each_point(in_table, [&](int64_t at, int64_t in_list) {
                at_table[chosen] = at;
                at_list[chosen] = in_list;
                chosen += static_cast<int64_t>(at >= begin) & static_cast<int64_t>(at < end);
                if (chosen == CHOSEN) {
                    move_chosen();
                }
            });
            move_chosen();
        });
    }

    // The lowest place that the indices may address, and how many there are from there on.
    std::pair<int64_t, int64_t> reach() const {
        int64_t low = 0, span = 1;
        for (size_t axis = 0; axis < index_sizes_.size(); ++axis) {
            const int64_t last = (index_sizes_[axis] - 1) * index_strides_[axis];
            low += std::min<int64_t>(last, 0);
            span += std::abs(last);
        }
        return {low, span};
    }

    // Asks for the memory of an index point to come, of `count` points: the processor cannot guess it.
    template <class T>
    void fetch(const T* table, const int64_t* in_table, int64_t number, int64_t count) const {
        if (fetched_bytes_ == 0 || number + AHEAD >= count) {
            return;
        }
        const char* run = reinterpret_cast<const char*>(table + in_table[number + AHEAD]);
        for (int64_t at = 0; at < fetched_bytes_; at += 64) {
            __builtin_prefetch(run + at);
        }
    }

    // One index point.
    template <class T, class Operation, bool TO_TABLE>
    void move_rest(T* table, T* list) const {
        const int rank = static_cast<int>(rest_walk_.shape.size());
        const int64_t count = rest_walk_.shape[rank - 1];
        const int64_t table_step = rest_walk_.strides[0][rank - 1], list_step = rest_walk_.strides[1][rank - 1];
        rest_walk_.run(rank - 1, [&](const std::array<int64_t, 2>& start) {
            if constexpr (TO_TABLE) {
                transfer<T, Operation>(count, table + start[0], table_step, list + start[1], list_step);
            } else {
                transfer<T, Operation>(count, list + start[1], list_step, table + start[0], table_step);
            }
        });
    }

  private:
    void prepare(const Shape& table_shape, size_t axes) {
        const size_t index_rank = index_shape_.size();
        index_sizes_.assign(table_shape.begin(), table_shape.begin() + axes);
        index_strides_.assign(table_.strides.begin(), table_.strides.begin() + axes);
        for (const View& index : indices_) {
            index_walks_.push_back({index_shape_, {index.strides}});
            index_walks_.back().simplify();
        }
        list_walk_.shape = index_shape_;
        list_walk_.strides[0].assign(list_.strides.begin(), list_.strides.begin() + index_rank);
        rest_walk_.shape.assign(table_shape.begin() + axes, table_shape.end());
        rest_walk_.strides[0].assign(table_.strides.begin() + axes, table_.strides.end());
        rest_walk_.strides[1].assign(list_.strides.begin() + index_rank, list_.strides.end());
        index_count_ = checked_size(list_walk_.shape);
        rest_count_ = checked_size(rest_walk_.shape);
        list_walk_.simplify();
        rest_walk_.simplify();
        const int rest = static_cast<int>(rest_walk_.shape.size());
        if (rest > 0 && rest_walk_.strides[0][rest - 1] == 1) {
            fetched_bytes_ = std::min(rest_walk_.shape[rest - 1] * itemsize(dtype_), FETCHED_BYTES);
        }
    }
};

class Gather final : public Indexed {
  public:
    Gather(py::handle source, BufferTable& table) { read(source, table, "source", "source_shape", "out", false); }

    void run(const Context& context) const override {
        visit_itemsize(dtype_, [&](auto tag) { move<typename decltype(tag)::type, Copy, false>(context); });
    }

    std::string name() const override { return "gather"; }
};

class Scatter final : public Indexed {
  public:
    Scatter(py::handle source, BufferTable& table) {
        const std::string mode = source.attr("mode").cast<std::string>();
        if (mode != "add" && mode != "set") {
            malformed("Scatter: mode is neither 'add' nor 'set'");
        }
        adds_ = mode == "add";
        read(source, table, "out", "out_shape", "source", true);
    }

    void run(const Context& context) const override {
        if (adds_) {
            visit_dtype(dtype_, [&](auto tag) { move<typename decltype(tag)::type, Add, true>(context); });
        } else {
            visit_itemsize(dtype_, [&](auto tag) { move<typename decltype(tag)::type, Copy, true>(context); });
        }
    }

    void check(const Context& context) const override { offsets(context); }

    std::string name() const override { return adds_ ? "scatter_add" : "scatter_set"; }

  private:
    bool adds_ = false;
};

}  // namespace

std::unique_ptr<Instruction> make_gather(py::handle instruction, BufferTable& table) {
    return std::make_unique<Gather>(instruction, table);
}

std::unique_ptr<Instruction> make_scatter(py::handle instruction, BufferTable& table) {
    return std::make_unique<Scatter>(instruction, table);
}

}  // namespace tracer
