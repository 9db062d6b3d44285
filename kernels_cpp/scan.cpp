// Cumulative sums, products and extrema, and the places of extrema, along one axis.
#include <algorithm>
#include <array>

#include "program.hpp"
#include "scalar.hpp"

namespace tracer {
namespace {

// One line or, where `width` > 1, `width` neighbouring lines that run along the axis side by side.
struct Lines {
    int64_t length, width;
    int64_t in_axis, in_side, out_axis, out_side;
};

// Every line is summed in plain order, so that floats agree with NumPy's accumulate bit for bit.
template <class T, class Operation>
void scan_lines(const Lines& lines, const T* in, T* out, Operation operation) {
    if (lines.width == 1) {
        T total = in[0];
        out[0] = total;
        for (int64_t i = 1; i < lines.length; ++i) {
            total = operation(total, in[i * lines.in_axis]);
            out[i * lines.out_axis] = total;
        }
        return;
    }
    for (int64_t j = 0; j < lines.width; ++j) {
        out[j * lines.out_side] = in[j * lines.in_side];
    }
    for (int64_t i = 1; i < lines.length; ++i) {
        const T* row = in + i * lines.in_axis;
        T* target = out + i * lines.out_axis;
        const T* before = target - lines.out_axis;
        if (lines.in_side == 1 && lines.out_side == 1) {
            for (int64_t j = 0; j < lines.width; ++j) {
                target[j] = operation(before[j], row[j]);
            }
        } else {
            for (int64_t j = 0; j < lines.width; ++j) {
                target[j * lines.out_side] = operation(before[j * lines.out_side], row[j * lines.in_side]);
            }
        }
    }
}

template <class T>
struct Greatest {
    static bool beats(T a, T b) { return a > b; }
};

template <class T>
struct Least {
    static bool beats(T a, T b) { return a < b; }
};

// Place of the extremum of a contiguous line. Finds the block that holds it first, without branches; then the element.
template <class T, class Order>
int64_t find_in_run(int64_t length, const T* in) {
    constexpr int64_t BLOCK = 256, LANES = 16;
    T best = in[0];
    int64_t best_block = 0;
    for (int64_t start = 0; start < length; start += BLOCK) {
        const int64_t count = std::min(BLOCK, length - start);
        const T* block = in + start;
        T tops[LANES];
        std::fill(tops, tops + LANES, block[0]);
        bool nan = is_nan(block[0]);
        int64_t i = 0;
        for (; i + LANES <= count; i += LANES) {
            bool found = false;
            for (int64_t lane = 0; lane < LANES; ++lane) {
                const T value = block[i + lane];
                tops[lane] = Order::beats(value, tops[lane]) ? value : tops[lane];
                found |= is_nan(value);
            }
            nan |= found;
        }
        for (; i < count; ++i) {
            tops[0] = Order::beats(block[i], tops[0]) ? block[i] : tops[0];
            nan |= is_nan(block[i]);
        }
        if (nan) {  // the first NaN wins
            return std::find_if(block, block + count, [](T value) { return is_nan(value); }) - in;
        }
        for (int64_t lane = 1; lane < LANES; ++lane) {
            tops[0] = Order::beats(tops[lane], tops[0]) ? tops[lane] : tops[0];
        }
        if (Order::beats(tops[0], best)) {
            best = tops[0];
            best_block = start;
        }
    }
    return std::find(in + best_block, in + length, best) - in;
}

template <class T, class Order>
int64_t find_in_line(int64_t length, const T* in, int64_t step) {
    T best = in[0];
    int64_t place = 0;
    for (int64_t i = 1; i < length && !is_nan(best); ++i) {
        const T value = in[i * step];
        if (is_nan(value) || Order::beats(value, best)) {
            best = value;
            place = i;
        }
    }
    return place;
}

// Lines side by side: walks the rows in memory order, with the best values so far of a strip of columns at hand.
template <class T, class Order>
void find_side_by_side(const Lines& lines, const T* in, int64_t* out) {
    constexpr int64_t STRIP = 256;
    T best[STRIP];
    int64_t place[STRIP];
    for (int64_t start = 0; start < lines.width; start += STRIP) {
        const int64_t count = std::min(STRIP, lines.width - start);
        const T* strip = in + start * lines.in_side;
        for (int64_t j = 0; j < count; ++j) {
            best[j] = strip[j * lines.in_side];
            place[j] = 0;
        }
        for (int64_t i = 1; i < lines.length; ++i) {
            const T* row = strip + i * lines.in_axis;
            for (int64_t j = 0; j < count; ++j) {
                const T value = row[j * lines.in_side];
                const bool open = !is_nan(best[j]);
                const bool better = open & (is_nan(value) | Order::beats(value, best[j]));
                best[j] = better ? value : best[j];
                place[j] = better ? i : place[j];
            }
        }
        for (int64_t j = 0; j < count; ++j) {
            out[(start + j) * lines.out_side] = place[j];
        }
    }
}

template <class T, class Order>
void find_lines(const Lines& lines, const T* in, int64_t* out) {
    if (lines.width > 1) {
        find_side_by_side<T, Order>(lines, in, out);
    } else if (lines.in_axis == 1) {
        *out = find_in_run<T, Order>(lines.length, in);
    } else {
        *out = find_in_line<T, Order>(lines.length, in, lines.in_axis);
    }
}

// Reads the common part of both instructions and splits the domain into groups of lines.
class AlongAxis : public Instruction {
  public:
    double cost() const override { return 30.0 + static_cast<double>(size_); }

  protected:
    Dtype dtype_ = Dtype::Bool;
    View source_, out_;
    Lines lines_{};
    Shape outer_, outer_in_, outer_out_;  // the dimensions that are neither the axis nor the side
    int64_t size_ = 0;

    // `out_keeps_axis`: the result has the axis too (its stride is then in out_'s strides).
    void read(py::handle source, BufferTable& table, bool out_keeps_axis) {
        const Shape shape = read_shape(source.attr("shape"), "scan: shape");
        const int64_t axis = read_integer(source.attr("axis"), "scan: axis");
        if (axis < 0 || axis >= static_cast<int64_t>(shape.size())) {
            malformed("scan: the axis is not one of the shape's");
        }
        Shape out_shape = shape;
        if (!out_keeps_axis) {
            out_shape.erase(out_shape.begin() + axis);
        }
        source_ = table.view(source.attr("source"), shape, Access::Read);
        out_ = table.view(source.attr("out"), out_shape, Access::Write);
        dtype_ = table.dtype(source_);
        const bool in_place = out_keeps_axis && source_.buffer == out_.buffer && source_.offset == out_.offset &&
                              source_.strides == out_.strides;
        if (!in_place && table.may_overlap(source_, shape, out_, out_shape)) {
            malformed("scan: source and result overlap");
        }
        Shape out_strides = out_.strides;
        if (!out_keeps_axis) {
            out_strides.insert(out_strides.begin() + axis, 0);
        }
        split(shape, static_cast<size_t>(axis), out_strides);
        size_ = checked_size(shape);
    }

    // Calls body(in offset, out offset) for every group of lines.
    template <class Body>
    void each_group(Body&& body) const {
        if (size_ == 0) {
            return;
        }
        std::array<int64_t, 64> position{};
        int64_t in = 0, out = 0;
        while (true) {
            body(in, out);
            int d = static_cast<int>(outer_.size()) - 1;
            for (; d >= 0; --d) {
                const bool inside = ++position[d] < outer_[d];
                in += inside ? outer_in_[d] : -outer_in_[d] * (outer_[d] - 1);
                out += inside ? outer_out_[d] : -outer_out_[d] * (outer_[d] - 1);
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

  private:
    // The side is the dimension with the shortest step, if that is shorter than the axis' own and worth a loop.
    void split(const Shape& shape, size_t axis, const Shape& out_strides) {
        constexpr int64_t NARROW = 8;
        const auto step = [&](size_t d) { return std::abs(source_.strides[d]); };
        size_t side = axis;
        for (size_t d = 0; d < shape.size(); ++d) {
            if (d != axis && shape[d] >= NARROW && step(d) != 0 && step(d) < (side == axis ? step(axis) : step(side))) {
                side = d;
            }
        }
        lines_ = {shape[axis], 1, source_.strides[axis], 0, out_strides[axis], 0};
        if (side != axis) {
            lines_.width = shape[side];
            lines_.in_side = source_.strides[side];
            lines_.out_side = out_strides[side];
        }
        for (size_t d = 0; d < shape.size(); ++d) {
            if (d != axis && d != side) {
                outer_.push_back(shape[d]);
                outer_in_.push_back(source_.strides[d]);
                outer_out_.push_back(out_strides[d]);
            }
        }
    }
};

class Cumulative final : public AlongAxis {
  public:
    Cumulative(py::handle source, BufferTable& table) {
        kind_ = source.attr("kind").cast<std::string>();
        if (kind_ != "sum" && kind_ != "prod" && kind_ != "max" && kind_ != "min") {
            malformed("Cumulative: kind is none of sum, prod, max, min");
        }
        read(source, table, true);
        if (table.dtype(out_) != dtype_) {
            malformed("Cumulative: source and result differ in dtype");
        }
    }

    void run(const Context& context) const override {
        visit_dtype(dtype_, [&](auto tag) {
            using T = typename decltype(tag)::type;
            if (kind_ == "sum") {
                scan<T>(context, [](T a, T b) { return add(a, b); });
            } else if (kind_ == "prod") {
                scan<T>(context, [](T a, T b) { return multiply(a, b); });
            } else if (kind_ == "max") {
                scan<T>(context, [](T a, T b) { return maximum(a, b); });
            } else {
                scan<T>(context, [](T a, T b) { return minimum(a, b); });
            }
        });
    }

    std::string name() const override { return "cumulative_" + kind_; }

  private:
    std::string kind_;

    template <class T, class Operation>
    void scan(const Context& context, Operation operation) const {
        const T* in = context.resolve_as<T>(source_);
        T* out = context.resolve_as<T>(out_);
        each_group([&](int64_t from, int64_t to) { scan_lines(lines_, in + from, out + to, operation); });
    }
};

class ArgReduce final : public AlongAxis {
  public:
    ArgReduce(py::handle source, BufferTable& table) {
        const std::string kind = source.attr("kind").cast<std::string>();
        if (kind != "argmax" && kind != "argmin") {
            malformed("ArgReduce: kind is neither argmax nor argmin");
        }
        greatest_ = kind == "argmax";
        read(source, table, false);
        if (table.dtype(out_) != Dtype::I64) {
            malformed("ArgReduce: the result is not int64");
        }
        if (dtype_ == Dtype::C64 || dtype_ == Dtype::C128) {
            malformed("ArgReduce: complex numbers are not supported");
        }
        if (lines_.length == 0) {
            malformed("ArgReduce: the axis is empty");
        }
    }

    void run(const Context& context) const override {
        visit_dtype(dtype_, [&](auto tag) {
            using T = typename decltype(tag)::type;
            if constexpr (!IS_COMPLEX<T>) {
                if (greatest_) {
                    find<T, Greatest<T>>(context);
                } else {
                    find<T, Least<T>>(context);
                }
            }
        });
    }

    std::string name() const override { return greatest_ ? "argmax" : "argmin"; }

  private:
    bool greatest_ = false;

    template <class T, class Order>
    void find(const Context& context) const {
        const T* in = context.resolve_as<T>(source_);
        int64_t* out = context.resolve_as<int64_t>(out_);
        each_group([&](int64_t from, int64_t to) { find_lines<T, Order>(lines_, in + from, out + to); });
    }
};

}  // namespace

std::unique_ptr<Instruction> make_cumulative(py::handle instruction, BufferTable& table) {
    return std::make_unique<Cumulative>(instruction, table);
}

std::unique_ptr<Instruction> make_arg_reduce(py::handle instruction, BufferTable& table) {
    return std::make_unique<ArgReduce>(instruction, table);
}

}  // namespace tracer
