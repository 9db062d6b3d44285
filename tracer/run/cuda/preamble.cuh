// What generated kernels use. A section "//@ words" is copied into a module whose source contains one of its words;
// "core" always is. Everything also compiles as plain C++ under the shim of the tests.
//@ core
#define DEVICE static __device__ __forceinline__
using int8 = signed char;
using int16 = short;
using int32 = int;
using int64 = long long;
using uint8 = unsigned char;
using uint16 = unsigned short;
using uint32 = unsigned int;
using uint64 = unsigned long long;
using float32 = float;
using float64 = double;
template <class T>
constexpr bool IS_COMPLEX = false;
template <class T>
constexpr bool IS_FLOAT = static_cast<T>(0.5) != T{};
template <class T>
constexpr bool IS_SIGNED = static_cast<T>(-1) < T{};
template <bool WIDE>
struct Unsigned {
    using type = uint32;
};
template <>
struct Unsigned<true> {
    using type = uint64;
};
// Signed overflow is undefined: arithmetic that wraps around is done in an unsigned type.
template <class T>
using Wide = typename Unsigned<(sizeof(T) > 4)>::type;

//@ float16 half_rounded
// Numbers of 16 bits in memory are float32 in registers.
#ifdef __CUDACC__
DEVICE float half_to_float(uint16 bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
DEVICE uint16 to_half(float value) {
    uint16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
DEVICE uint16 to_half(double value) {
    uint16 bits;
    asm("cvt.rn.f16.f64 %0, %1;" : "=h"(bits) : "d"(value));
    return bits;
}
#endif

//@ half_rounded
template <class T>
DEVICE float half_rounded(T value) {
    return half_to_float(to_half(value));
}

//@ float16
struct float16 {
    uint16 bits;
    __device__ __forceinline__ operator float() const { return half_to_float(bits); }
    __device__ __forceinline__ float16& operator=(float value) {
        bits = to_half(value);
        return *this;
    }
};

//@ bfloat16
// The upper half of a float32, rounded to even.
struct bfloat16 {
    uint16 bits;
    __device__ __forceinline__ operator float() const { return __int_as_float(bits << 16); }
    __device__ __forceinline__ bfloat16& operator=(float value) {
        const uint32 word = static_cast<uint32>(__float_as_int(value));
        const uint32 rounded = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
        bits = static_cast<uint16>(value == value ? rounded : word >> 16 | 0x40u);
        return *this;
    }
};

//@ minus
template <class T>
DEVICE T minus(T a) {
    return static_cast<T>(Wide<T>{} - static_cast<Wide<T>>(a));
}

//@ Pack
template <class T, int COUNT>
struct alignas(sizeof(T) * COUNT) Pack {
    T v[COUNT];
};

//@ NAN32 NAN64 INF32 INF64 Complex Extreme complex64 complex128 log_determinant
#define NAN32 __int_as_float(0x7fc00000)
#define INF32 __int_as_float(0x7f800000)
#define NAN64 __longlong_as_double(0x7ff8000000000000ll)
#define INF64 __longlong_as_double(0x7ff0000000000000ll)
DEVICE float infinity(float) {
    return INF32;
}
DEVICE double infinity(double) {
    return INF64;
}

//@ Complex complex64 complex128
template <class R>
struct alignas(2 * sizeof(R)) Complex {
    R re, im;
    __device__ __forceinline__ R real() const { return re; }
    __device__ __forceinline__ R imag() const { return im; }
};
template <class R>
constexpr bool IS_COMPLEX<Complex<R>> = true;
using complex64 = Complex<float>;
using complex128 = Complex<double>;
template <class R>
DEVICE Complex<R> operator+(Complex<R> a, Complex<R> b) {
    return {a.re + b.re, a.im + b.im};
}
template <class R>
DEVICE Complex<R> operator-(Complex<R> a, Complex<R> b) {
    return {a.re - b.re, a.im - b.im};
}
template <class R>
DEVICE Complex<R> operator-(Complex<R> a) {
    return {-a.re, -a.im};
}
template <class R>
DEVICE bool operator==(Complex<R> a, Complex<R> b) {
    return a.re == b.re && a.im == b.im;
}
template <class R>
DEVICE bool operator!=(Complex<R> a, Complex<R> b) {
    return !(a == b);
}
template <class R>
DEVICE bool is_less(Complex<R> a, Complex<R> b) {
    return a.re < b.re || (a.re == b.re && a.im < b.im);
}

//@ convert
template <class From>
DEVICE int32 to_int32(From from) {
    return from > static_cast<From>(-2147483904.0) && static_cast<double>(from) > -2147483649.0 &&
                   static_cast<double>(from) < 2147483648.0
               ? static_cast<int32>(from)
               : -2147483647 - 1;
}
template <class From>
DEVICE int64 to_int64(From from) {
    return from >= static_cast<From>(-0x1p63) && from < static_cast<From>(0x1p63) ? static_cast<int64>(from)
                                                                                  : -9223372036854775807ll - 1;
}
// Floats that an integer type cannot hold become what they become on x86-64.
template <class To, class From>
DEVICE To convert(From from) {
    if constexpr (IS_FLOAT<From> && !IS_FLOAT<To>) {
        if constexpr (sizeof(To) < 4 || (sizeof(To) == 4 && IS_SIGNED<To>)) {
            return static_cast<To>(to_int32(from));
        } else if constexpr (sizeof(To) == 4 || IS_SIGNED<To>) {
            return static_cast<To>(to_int64(from));
        } else {
            const bool high = from >= static_cast<From>(0x1p63);
            const uint64 low = static_cast<uint64>(to_int64(high ? from - static_cast<From>(0x1p63) : from));
            return low ^ (high ? 0x8000000000000000ull : 0ull);
        }
    } else {
        return static_cast<To>(from);
    }
}

//@ is_nan is_less Extreme Place
template <class T>
DEVICE bool is_nan(T a) {
    return a != a;
}
template <class T>
DEVICE bool is_less(T a, T b) {
    return a < b;
}

//@ FloatSum
// float32 in float64, which rounds no worse than a pairwise sum would.
template <class T>
struct FloatSum {
    double total;
    __device__ __forceinline__ void clear() { total = -0.0; }
    __device__ __forceinline__ void add(T value, int64 = 0) { total += value; }
    __device__ __forceinline__ void merge(const FloatSum& other) { total += other.total; }
    __device__ __forceinline__ T finish() const { return static_cast<T>(total); }
};

//@ CompensatedSum ComplexSum
// float64 with the rounding errors added up beside it.
template <class T>
struct CompensatedSum {
    double total, error;
    __device__ __forceinline__ void clear() {
        total = -0.0;
        error = 0;
    }
    __device__ __forceinline__ void add(double value, int64 = 0) {
        const double next = total + value;
        const double shifted = next - total;
        error += (total - (next - shifted)) + (value - shifted);
        total = next;
    }
    __device__ __forceinline__ void merge(const CompensatedSum& other) {
        add(other.total);
        error += other.error;
    }
    // The error of an infinite sum is no number, and one that is nothing would take the sign of a zero.
    __device__ __forceinline__ T finish() const {
        return static_cast<T>(error == 0 || total - total != 0 ? total : total + error);
    }
};

//@ ComplexSum
template <class T>
struct ComplexSum {
    CompensatedSum<decltype(T::re)> re, im;
    __device__ __forceinline__ void clear() {
        re.clear();
        im.clear();
    }
    __device__ __forceinline__ void add(T value, int64 = 0) {
        re.add(value.re);
        im.add(value.im);
    }
    __device__ __forceinline__ void merge(const ComplexSum& other) {
        re.merge(other.re);
        im.merge(other.im);
    }
    __device__ __forceinline__ T finish() const { return {re.finish(), im.finish()}; }
};

//@ FloatProduct
template <class T>
struct FloatProduct {
    double total;
    __device__ __forceinline__ void clear() { total = 1; }
    __device__ __forceinline__ void add(T value, int64 = 0) { total *= value; }
    __device__ __forceinline__ void merge(const FloatProduct& other) { total *= other.total; }
    __device__ __forceinline__ T finish() const { return static_cast<T>(total); }
};

//@ ComplexProduct
template <class T>
struct ComplexProduct {
    double re, im;
    __device__ __forceinline__ void clear() {
        re = 1;
        im = 0;
    }
    template <class C>
    __device__ __forceinline__ void add(C value, int64 = 0) {
        const double next = re * value.re - im * value.im;
        im = re * value.im + im * value.re;
        re = next;
    }
    __device__ __forceinline__ void merge(const ComplexProduct& other) { add(other); }
    __device__ __forceinline__ T finish() const {
        return {static_cast<decltype(T::re)>(re), static_cast<decltype(T::re)>(im)};
    }
};

//@ WrappingSum WrappingProduct
template <class T>
struct WrappingSum {
    T total;
    __device__ __forceinline__ void clear() { total = 0; }
    __device__ __forceinline__ void add(T value, int64 = 0) {
        total = static_cast<T>(static_cast<Wide<T>>(total) + static_cast<Wide<T>>(value));
    }
    __device__ __forceinline__ void merge(const WrappingSum& other) { add(other.total); }
    __device__ __forceinline__ T finish() const { return total; }
};
template <class T>
struct WrappingProduct {
    T total;
    __device__ __forceinline__ void clear() { total = 1; }
    __device__ __forceinline__ void add(T value, int64 = 0) {
        total = static_cast<T>(static_cast<Wide<T>>(total) * static_cast<Wide<T>>(value));
    }
    __device__ __forceinline__ void merge(const WrappingProduct& other) { add(other.total); }
    __device__ __forceinline__ T finish() const { return total; }
};

//@ Any All
struct Any {
    uint8 total;
    __device__ __forceinline__ void clear() { total = 0; }
    __device__ __forceinline__ void add(uint8 value, int64 = 0) { total |= value != 0; }
    __device__ __forceinline__ void merge(const Any& other) { add(other.total); }
    __device__ __forceinline__ uint8 finish() const { return total; }
};
struct All {
    uint8 total;
    __device__ __forceinline__ void clear() { total = 1; }
    __device__ __forceinline__ void add(uint8 value, int64 = 0) { total &= value != 0; }
    __device__ __forceinline__ void merge(const All& other) { add(other.total); }
    __device__ __forceinline__ uint8 finish() const { return total; }
};

//@ Extreme
// Of complex numbers by the real part, then by the imaginary one; what is no number wins.
template <class T, bool GREATEST>
struct Extreme {
    T total;
    __device__ __forceinline__ void clear() {
        if constexpr (IS_COMPLEX<T>) {
            const auto end = infinity(decltype(T::re){});
            total = GREATEST ? T{-end, -end} : T{end, end};
        } else if constexpr (IS_FLOAT<T>) {
            total = GREATEST ? -infinity(T{}) : infinity(T{});
        } else if constexpr (IS_SIGNED<T>) {
            const T low = static_cast<T>(static_cast<Wide<T>>(1) << (8 * sizeof(T) - 1));
            total = GREATEST ? low : static_cast<T>(~low);
        } else {
            total = GREATEST ? T{} : static_cast<T>(~T{});
        }
    }
    __device__ __forceinline__ void add(T value, int64 = 0) {
        if (!is_nan(total) && (is_nan(value) || (GREATEST ? is_less(total, value) : is_less(value, total)))) {
            total = value;
        }
    }
    __device__ __forceinline__ void merge(const Extreme& other) { add(other.total); }
    __device__ __forceinline__ T finish() const { return total; }
};

//@ Place
// Where the first of the extremes is; what is no number is one.
template <class T, bool GREATEST>
struct Place {
    T best;
    int64 place;
    __device__ __forceinline__ void clear() {
        best = T{};
        place = -1;
    }
    __device__ __forceinline__ void add(T value, int64 at) {
        const bool first = at < place;
        bool better = GREATEST ? is_less(best, value) : is_less(value, best);
        better |= value == best && first;
        if (is_nan(value) || is_nan(best)) {
            better = is_nan(value) && (!is_nan(best) || first);
        }
        if (place < 0 || better) {
            best = value;
            place = at;
        }
    }
    __device__ __forceinline__ void merge(const Place& other) {
        if (other.place >= 0) {
            add(other.best, other.place);
        }
    }
    __device__ __forceinline__ int64 finish() const { return place; }
};

//@ shuffle_down merge_lanes merge_adjacent scan_block scan_warp
template <class Cell>
DEVICE Cell shuffle_words(const Cell& cell, int distance, int width, bool up) {
    constexpr int WORDS = (sizeof(Cell) + 3) / 4;
    uint32 words[WORDS] = {};
    memcpy(words, &cell, sizeof(Cell));
    for (int i = 0; i < WORDS; ++i) {
        words[i] = up ? __shfl_up_sync(0xffffffffu, words[i], distance, width)
                      : __shfl_down_sync(0xffffffffu, words[i], distance, width);
    }
    Cell result;
    memcpy(&result, words, sizeof(Cell));
    return result;
}
// Folds the cells of LANES neighbouring threads of a warp into that of the first one.
template <int LANES, class Cell>
DEVICE void merge_lanes(Cell& cell) {
#pragma unroll
    for (int distance = LANES / 2; distance > 0; distance /= 2) {
        cell.merge(shuffle_words(cell, distance, LANES, false));
    }
}

//@ merge_adjacent
// The same for LANES neighbouring threads of a block of THREADS.
template <int THREADS, int LANES, class Cell>
DEVICE void merge_adjacent(Cell& cell, unsigned char* memory) {
    if constexpr (LANES <= 32) {
        merge_lanes<LANES>(cell);
    } else {
        merge_lanes<32>(cell);
        Cell* cells = reinterpret_cast<Cell*>(memory);
        const int warp = threadIdx.x / 32;
        if (threadIdx.x % 32 == 0) {
            cells[warp] = cell;
        }
        __syncthreads();
        if (threadIdx.x % LANES == 0) {
            for (int i = 1; i < LANES / 32; ++i) {
                cell.merge(cells[warp + i]);
            }
        }
        __syncthreads();
    }
}

//@ merge_apart
// Folds the cells of threads that are POINTS apart, in a block of THREADS, into those of the first POINTS.
template <int THREADS, int POINTS, class Cell>
DEVICE void merge_apart(Cell& cell, unsigned char* memory) {
    Cell* cells = reinterpret_cast<Cell*>(memory);
    const int at = threadIdx.x;
    cells[at] = cell;
    __syncthreads();
    for (int half = THREADS / 2; half >= POINTS; half /= 2) {
        if (at < half) {
            cells[at].merge(cells[at + half]);
        }
        __syncthreads();
    }
    cell = cells[at];
    __syncthreads();
}

//@ scan_warp scan_block
// Every thread's cell is merged behind those of the lanes before it.
template <class Cell>
DEVICE void add_lanes_before(Cell& cell, int lane) {
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
        Cell before = shuffle_words(cell, distance, 32, true);
        if (lane >= distance) {
            before.merge(cell);
            cell = before;
        }
    }
}

//@ scan_warp
// Every thread's cell becomes what comes before it in the warp, and `total` what there is in all.
template <class Cell>
DEVICE void scan_warp(Cell& cell, Cell& total) {
    const int lane = threadIdx.x % 32;
    add_lanes_before(cell, lane);
    constexpr int WORDS = (sizeof(Cell) + 3) / 4;
    uint32 words[WORDS] = {};
    memcpy(words, &cell, sizeof(Cell));
    for (int i = 0; i < WORDS; ++i) {
        words[i] = __shfl_sync(0xffffffffu, words[i], 31);
    }
    memcpy(&total, words, sizeof(Cell));
    cell = shuffle_words(cell, 1, 32, true);
    if (lane == 0) {
        cell.clear();
    }
}

//@ scan_block
// Every thread's cell becomes what comes before it in the block, and `total` what there is in all.
template <int THREADS, class Cell>
DEVICE void scan_block(Cell& cell, Cell& total, unsigned char* memory) {
    Cell* cells = reinterpret_cast<Cell*>(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    add_lanes_before(cell, lane);
    if (lane == 31) {
        cells[warp] = cell;
    }
    Cell before = shuffle_words(cell, 1, 32, true);
    if (lane == 0) {
        before.clear();
    }
    __syncthreads();
    cell.clear();
    total.clear();
    for (int i = 0; i < THREADS / 32; ++i) {
        if (i < warp) {
            cell.merge(cells[i]);
        }
        total.merge(cells[i]);
    }
    cell.merge(before);
    __syncthreads();
}

//@ report_index
// Keeps the first failure: its instruction, the axis, and the place among the index's elements.
DEVICE void report_index(uint64* error, uint64 instruction, uint64 axis, uint64 place) {
    const uint64 limit = (1ull << 40) - 1;
    atomicMin(error, instruction << 48 | axis << 40 | (place < limit ? place : limit));
}
