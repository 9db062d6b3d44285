#include "reduce.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace tracer {
namespace {

// Rows of floats that are added without a cell: NumPy's pairwise sums allow about as many roundings in a row.
constexpr int64_t FLOAT_ROUNDS = 16;
constexpr int64_t EXACT_ROUNDS = std::numeric_limits<int64_t>::max();
// Largest accumulator that a block kernel writes.
static_assert(sizeof(complex128) == 16);

template <typename T>
constexpr bool IS_COMPLEX = std::is_same_v<T, complex64> || std::is_same_v<T, complex128>;

// A sum and the error it has made so far (two-sum).
struct Compensated {
    double sum, error;

    void add(double value) {
        const double total = sum + value;
        const double shifted = total - sum;
        error += (sum - (total - shifted)) + (value - shifted);
        sum = total;
    }
    // The error of an infinite or NaN sum is NaN and means nothing.
    double value() const { return std::isfinite(sum) ? sum + error : sum; }
};

template <typename T>
struct FloatSum {
    using Value = T;
    using Accumulator = double;
    Compensated total;

    void clear() { total = {0.0, 0.0}; }
    void add(double value) { total.add(value); }
    void merge(const FloatSum& other) {
        total.add(other.total.sum);
        total.error += other.total.error;
    }
    T finish() const { return static_cast<T>(total.value()); }
};

template <typename T>
struct ComplexSum {
    using Value = T;
    using Accumulator = complex128;
    Compensated re, im;

    void clear() { re = im = {0.0, 0.0}; }
    template <typename C>
    void add(C value) {
        re.add(value.re);
        im.add(value.im);
    }
    void merge(const ComplexSum& other) {
        re.add(other.re.sum);
        im.add(other.im.sum);
        re.error += other.re.error;
        im.error += other.im.error;
    }
    T finish() const {
        using Part = decltype(T::re);
        return {static_cast<Part>(re.value()), static_cast<Part>(im.value())};
    }
};

template <typename T>
struct FloatProduct {
    using Value = T;
    using Accumulator = double;
    double total;

    void clear() { total = 1.0; }
    void add(double value) { total *= value; }
    void merge(const FloatProduct& other) { total *= other.total; }
    T finish() const { return static_cast<T>(total); }
};

template <typename T>
struct ComplexProduct {
    using Value = T;
    using Accumulator = complex128;
    complex128 total;

    void clear() { total = {1.0, 0.0}; }
    template <typename C>
    void add(C value) {
        const double re = total.re * value.re - total.im * value.im;
        total.im = total.re * value.im + total.im * value.re;
        total.re = re;
    }
    void merge(const ComplexProduct& other) { add(other.total); }
    T finish() const {
        using Part = decltype(T::re);
        return {static_cast<Part>(total.re), static_cast<Part>(total.im)};
    }
};

// Integers wrap; the arithmetic is done unsigned and at least 32 bits wide, where wrapping is defined.
template <typename T, bool PRODUCT>
struct Wrapping {
    using Value = T;
    using Accumulator = T;
    using Wide = std::conditional_t<(sizeof(T) > 4), uint64_t, uint32_t>;
    T total;

    void clear() { total = PRODUCT ? 1 : 0; }
    void add(T value) {
        const Wide a = static_cast<Wide>(total), b = static_cast<Wide>(value);
        total = static_cast<T>(PRODUCT ? a * b : a + b);
    }
    void merge(const Wrapping& other) { add(other.total); }
    T finish() const { return total; }
};

template <bool ALL>
struct Logical {
    using Value = uint8_t;
    using Accumulator = uint8_t;
    uint8_t total;

    void clear() { total = ALL; }
    void add(uint8_t value) { total = ALL ? (total != 0 && value != 0) : (total != 0 || value != 0); }
    void merge(const Logical& other) { add(other.total); }
    uint8_t finish() const { return total; }
};

template <typename T>
bool is_nan(T value) {
    if constexpr (IS_COMPLEX<T>) {
        return std::isnan(value.re) || std::isnan(value.im);
    } else if constexpr (std::is_floating_point_v<T>) {
        return std::isnan(value);
    } else {
        return false;
    }
}

// Complex numbers are ordered by real part, then by imaginary part, as NumPy orders them.
template <typename T>
bool is_less(T a, T b) {
    if constexpr (IS_COMPLEX<T>) {
        return a.re < b.re || (a.re == b.re && a.im < b.im);
    } else {
        return a < b;
    }
}

template <typename T, bool MAX>
struct Extreme {
    using Value = T;
    using Accumulator = T;
    T total;

    void clear() {
        using Limits = std::numeric_limits<T>;
        if constexpr (IS_COMPLEX<T>) {
            const auto end = std::numeric_limits<decltype(T::re)>::infinity();
            total = MAX ? T{-end, -end} : T{end, end};
        } else if constexpr (Limits::has_infinity) {
            total = MAX ? -Limits::infinity() : Limits::infinity();
        } else {
            total = MAX ? Limits::lowest() : Limits::max();
        }
    }
    void add(T value) {
        if (!is_nan(total) && (is_nan(value) || (MAX ? is_less(total, value) : is_less(value, total)))) {
            total = value;
        }
    }
    void merge(const Extreme& other) { add(other.total); }
    T finish() const { return total; }
};

template <typename Cell>
struct Functions {
    static Cell* at(char* cells) { return reinterpret_cast<Cell*>(cells); }
    static const Cell* at(const char* cells) { return reinterpret_cast<const Cell*>(cells); }

    static void clear(char* cells, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            at(cells)[i].clear();
        }
    }
    static void add_block(char* cell, const void* accumulator) {
        at(cell)->add(*static_cast<const typename Cell::Accumulator*>(accumulator));
    }
    static void add_row(char* cells, const char* values, int64_t count) {
        const auto* typed = reinterpret_cast<const typename Cell::Value*>(values);
        for (int64_t i = 0; i < count; ++i) {
            at(cells)[i].add(typed[i]);
        }
    }
    static void merge(char* cells, int64_t step, const char* others, int64_t others_step, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            at(cells + i * step)->merge(*at(others + i * others_step));
        }
    }
    static void finish(char* out, int64_t step, const char* cells, int64_t cells_step, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            *reinterpret_cast<typename Cell::Value*>(out + i * step) = at(cells + i * cells_step)->finish();
        }
    }
};

template <typename Cell>
ReduceOps make(const char* row_kernel, int64_t rounds) {
    using F = Functions<Cell>;
    return {sizeof(Cell), F::clear, F::add_block, F::add_row, F::merge, F::finish, nullptr, row_kernel, rounds};
}

enum class Kind { Sum, Product, Max, Min };

template <typename T>
ReduceOps make_for(Kind kind) {
    switch (kind) {
        case Kind::Sum:
            if constexpr (IS_COMPLEX<T>) {
                return make<ComplexSum<T>>("add", FLOAT_ROUNDS);
            } else if constexpr (std::is_floating_point_v<T>) {
                return make<FloatSum<T>>("add", FLOAT_ROUNDS);
            } else {
                return make<Wrapping<T, false>>("add", EXACT_ROUNDS);
            }
        case Kind::Product:
            // Products leave the range of float32 long before the range of their cells.
            if constexpr (IS_COMPLEX<T>) {
                return make<ComplexProduct<T>>("multiply", sizeof(T) == 8 ? 1 : EXACT_ROUNDS);
            } else if constexpr (std::is_floating_point_v<T>) {
                return make<FloatProduct<T>>("multiply", sizeof(T) == 4 ? 1 : EXACT_ROUNDS);
            } else {
                return make<Wrapping<T, true>>("multiply", EXACT_ROUNDS);
            }
        case Kind::Max:
            return make<Extreme<T, true>>("maximum", EXACT_ROUNDS);
        default:
            return make<Extreme<T, false>>("minimum", EXACT_ROUNDS);
    }
}

ReduceOps make_typed(Kind kind, Dtype type) {
    switch (type) {
        case Dtype::Bool:
            return kind == Kind::Sum || kind == Kind::Max ? make<Logical<false>>("logical_or", EXACT_ROUNDS)
                                                          : make<Logical<true>>("logical_and", EXACT_ROUNDS);
        case Dtype::I8:
            return make_for<int8_t>(kind);
        case Dtype::I16:
            return make_for<int16_t>(kind);
        case Dtype::I32:
            return make_for<int32_t>(kind);
        case Dtype::I64:
            return make_for<int64_t>(kind);
        case Dtype::U8:
            return make_for<uint8_t>(kind);
        case Dtype::U16:
            return make_for<uint16_t>(kind);
        case Dtype::U32:
            return make_for<uint32_t>(kind);
        case Dtype::U64:
            return make_for<uint64_t>(kind);
        case Dtype::F32:
            return make_for<float>(kind);
        case Dtype::F64:
            return make_for<double>(kind);
        case Dtype::C64:
            return make_for<complex64>(kind);
        default:
            return make_for<complex128>(kind);
    }
}

}  // namespace

ReduceOps find_reduce_ops(const char* kind, Dtype type) {
    const std::string name = kind;
    ReduceOps ops{};
    if (name == "any" || name == "all") {
        if (type != Dtype::Bool) {
            throw std::invalid_argument(name + " needs bool, not " + dtype_name(type));
        }
        ops = name == "any" ? make<Logical<false>>("logical_or", EXACT_ROUNDS)
                            : make<Logical<true>>("logical_and", EXACT_ROUNDS);
    } else if (name == "sum" || name == "prod") {
        ops = make_typed(name == "sum" ? Kind::Sum : Kind::Product, type);
    } else if (name == "max" || name == "min") {
        ops = make_typed(name == "max" ? Kind::Max : Kind::Min, type);
    } else {
        throw std::invalid_argument("there is no reduction " + name);
    }
    Dtype accumulator;
    const char* block = type != Dtype::Bool ? kind : ops.row_kernel == std::string("logical_or") ? "any" : "all";
    ops.block = find_reduce(block, type, &accumulator);
    if (ops.block == nullptr) {
        throw std::invalid_argument(name + " has no kernel for " + dtype_name(type));
    }
    return ops;
}

}  // namespace tracer
