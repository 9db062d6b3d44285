// One block to one scalar, over several independent lanes.
#include "kernel_tables.hpp"
#include "vec.hpp"

namespace tracer {
namespace TRACER_ISA {
namespace {

constexpr int STREAMS = 4;  // enough chains of additions to hide their latency

template <class V>
TRACER_INLINE Scalar<V> add_lanes(V x) {
    Scalar<V> lanes[LANES<V>];
    store(lanes, x);
    for (int64_t width = LANES<V> / 2; width > 0; width /= 2) {
        for (int64_t i = 0; i < width; ++i) {
            lanes[i] += lanes[i + width];
        }
    }
    return lanes[0];
}

TRACER_INLINE f64v load_double(const double* from) {
    return load<f64v>(from);
}
TRACER_INLINE f64v load_double(const float* from) {
#if defined(__AVX512F__)
    return (f64v)_mm512_cvtps_pd(_mm256_loadu_ps(from));  // one instruction, which GCC does not find by itself
#else
    f32half half;
    std::memcpy(&half, from, sizeof(half));
    return __builtin_convertvector(half, f64v);
#endif
}

// Additions of their own would wait for the conversions on processors that make both in the same units; a fused
// multiply-add gives the same.
TRACER_INLINE f64v plus(f64v total, const float* from) {
    return HAS_FMA ? fma(load_double(from), splat<f64v>(1), total) : total + load_double(from);
}
TRACER_INLINE f64v plus(f64v total, const double* from) {
    return total + load_double(from);
}

// Short runs per lane, as in a pairwise sum, then a compensated total of the runs: no worse for longer blocks.
template <class T>
void sum_float(void* accumulator, const void* in, int64_t n) {
    const T* x = static_cast<const T*>(in);
    constexpr int64_t WIDTH = LANES<f64v> * STREAMS, RUN = 16 * WIDTH;
    double total = 0, lost = 0;
    int64_t i = 0;
    while (n - i >= WIDTH) {
        f64v stream[STREAMS] = {};
        const int64_t end = i + (n - i < RUN ? (n - i) / WIDTH * WIDTH : RUN);
        for (; i < end; i += WIDTH) {
            for (int j = 0; j < STREAMS; ++j) {
                stream[j] = plus(stream[j], x + i + j * LANES<f64v>);
            }
        }
        const double run = add_lanes((stream[0] + stream[1]) + (stream[2] + stream[3]));
        const double next = total + run;
        lost += __builtin_fabs(total) >= __builtin_fabs(run) ? (total - next) + run : (run - next) + total;
        total = next;
    }
    double rest = 0;
    for (; i < n; ++i) {
        rest += static_cast<double>(x[i]);
    }
    lost += rest;
    // Infinities leave NaN among the lost bits.
    const bool compensable = __builtin_isfinite(total) || !__builtin_isnan(rest);
    *static_cast<double*>(accumulator) = __builtin_isfinite(total) ? total + lost : compensable ? total + rest : rest;
}

template <class T>
void prod_float(void* accumulator, const void* in, int64_t n) {
    const T* x = static_cast<const T*>(in);
    constexpr int64_t WIDTH = LANES<f64v> * STREAMS;
    f64v stream[STREAMS];
    for (f64v& lane : stream) {
        lane = splat<f64v>(1);
    }
    int64_t i = 0;
    for (; n - i >= WIDTH; i += WIDTH) {
        for (int j = 0; j < STREAMS; ++j) {
            stream[j] *= load_double(x + i + j * LANES<f64v>);
        }
    }
    double lanes[LANES<f64v>];
    store(lanes, (stream[0] * stream[1]) * (stream[2] * stream[3]));
    double result = 1;
    for (; i < n; ++i) {
        result *= static_cast<double>(x[i]);
    }
    for (const double lane : lanes) {
        result *= lane;
    }
    *static_cast<double*>(accumulator) = result;
}

template <class T, bool MAXIMUM>
void extreme_float(void* accumulator, const void* in, int64_t n) {
    using V = typename VectorOf<T>::type;
    const T* x = static_cast<const T*>(in);
    V best = V{} + x[0];
    Int<V> unordered = best != best;
    int64_t i = 0;
    const auto take = [&](V next) __attribute__((always_inline)) {
        best = MAXIMUM ? select(next > best, next, best) : select(next < best, next, best);
        unordered |= next != next;
    };
    for (; n - i >= LANES<V>; i += LANES<V>) {
        take(load<V>(x + i));
    }
    for (; i < n; ++i) {
        take(V{} + x[i]);
    }
    T result = best[0];
    for (int64_t lane = 1; lane < LANES<V>; ++lane) {
        result = (MAXIMUM ? best[lane] > result : best[lane] < result) ? best[lane] : result;
    }
    *static_cast<T*>(accumulator) = any(unordered) ? static_cast<T>(__builtin_nan("")) : result;
}

struct Add {
    template <class T>
    static TRACER_INLINE T apply(T a, T b) {
        return static_cast<T>(a + b);
    }
    static constexpr bool START_AT_FIRST = false;
    static constexpr int IDENTITY = 0;
};
struct Multiply {
    template <class T>
    static TRACER_INLINE T apply(T a, T b) {
        return static_cast<T>(a * b);
    }
    static constexpr bool START_AT_FIRST = false;
    static constexpr int IDENTITY = 1;
};
struct Maximum {
    template <class T>
    static TRACER_INLINE T apply(T a, T b) {
        return a > b ? a : b;
    }
    static constexpr bool START_AT_FIRST = true;
    static constexpr int IDENTITY = 0;
};
struct Minimum {
    template <class T>
    static TRACER_INLINE T apply(T a, T b) {
        return a < b ? a : b;
    }
    static constexpr bool START_AT_FIRST = true;
    static constexpr int IDENTITY = 0;
};

// Sums and products wrap around (the build passes -fwrapv).
template <class T, class Op>
void reduce_integer(void* accumulator, const void* in, int64_t n) {
    const T* x = static_cast<const T*>(in);
    T result = Op::START_AT_FIRST ? x[0] : static_cast<T>(Op::IDENTITY);
    for (int64_t i = 0; i < n; ++i) {
        result = Op::apply(result, x[i]);
    }
    *static_cast<T*>(accumulator) = result;
}

template <class T, bool ALL>
void reduce_truth(void* accumulator, const void* in, int64_t n) {
    const T* x = static_cast<const T*>(in);
    bool found = false;  // what decides: a true element for any, a false one for all
    for (int64_t i = 0; i < n; ++i) {
        found |= (x[i] != 0) != ALL;
    }
    *static_cast<T*>(accumulator) = static_cast<T>(found != ALL);
}

#define TRUTH_ENTRIES(dtype, T)                                  \
    {"any", Dtype::dtype, Dtype::dtype, reduce_truth<T, false>}, \
        {"all", Dtype::dtype, Dtype::dtype, reduce_truth<T, true>},
#define INTEGER_ENTRIES(dtype, T)                                          \
    {"sum", Dtype::dtype, Dtype::dtype, reduce_integer<T, Add>},           \
        {"prod", Dtype::dtype, Dtype::dtype, reduce_integer<T, Multiply>}, \
        {"max", Dtype::dtype, Dtype::dtype, reduce_integer<T, Maximum>},   \
        {"min", Dtype::dtype, Dtype::dtype, reduce_integer<T, Minimum>}, TRUTH_ENTRIES(dtype, T)
#define FLOAT_ENTRIES(dtype, T)                                                                         \
    {"sum", Dtype::dtype, Dtype::F64, sum_float<T>}, {"prod", Dtype::dtype, Dtype::F64, prod_float<T>}, \
        {"max", Dtype::dtype, Dtype::dtype, extreme_float<T, true>},                                    \
        {"min", Dtype::dtype, Dtype::dtype, extreme_float<T, false>}, TRUTH_ENTRIES(dtype, T)

// On truth values, as on NumPy's: a sum is "or", a product "and".
constexpr ReduceEntry ENTRIES[] = {
    {"sum", Dtype::Bool, Dtype::Bool, reduce_truth<uint8_t, false>},
    {"prod", Dtype::Bool, Dtype::Bool, reduce_truth<uint8_t, true>},
    {"max", Dtype::Bool, Dtype::Bool, reduce_integer<uint8_t, Maximum>},
    {"min", Dtype::Bool, Dtype::Bool, reduce_integer<uint8_t, Minimum>},
    TRUTH_ENTRIES(Bool, uint8_t) INTEGER_ENTRIES(I8, int8_t) INTEGER_ENTRIES(I16, int16_t) INTEGER_ENTRIES(I32, int32_t)
        INTEGER_ENTRIES(I64, int64_t) INTEGER_ENTRIES(U8, uint8_t) INTEGER_ENTRIES(U16, uint16_t) INTEGER_ENTRIES(
            U32, uint32_t) INTEGER_ENTRIES(U64, uint64_t) FLOAT_ENTRIES(F32, float) FLOAT_ENTRIES(F64, double)};

}  // namespace

extern const KernelTable<ReduceEntry> REDUCE_TABLE{ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])};

}  // namespace TRACER_ISA
}  // namespace tracer
