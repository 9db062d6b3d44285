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

//@ scan_warp
// Every thread's cell becomes what comes before it in the warp, and `total` what there is in all.
template <class Cell>
DEVICE void scan_warp(Cell& cell, Cell& total) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
        Cell before = shuffle_words(cell, distance, 32, true);
        if (lane >= distance) {
            before.merge(cell);
            cell = before;
        }
    }
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
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
        Cell before = shuffle_words(cell, distance, 32, true);
        if (lane >= distance) {
            before.merge(cell);
            cell = before;
        }
    }
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

//@ factor_matrix
// Both triangular factors of a matrix of N rows in their place, and the row that each was exchanged for, by a warp.
template <int N, class T>
DEVICE void factor_matrix(T* m, int32* pivots) {
    constexpr int LEADING = N | 1;
    const int lane = threadIdx.x % 32;
    for (int k = 0; k < N; ++k) {
        int best = k;
        T largest = ::fabs(m[k * LEADING + k]);
        for (int i = k + 1; i < N; ++i) {
            const T size = ::fabs(m[i * LEADING + k]);
            if (size > largest) {
                largest = size;
                best = i;
            }
        }
        __syncwarp();
        if (lane == 0) {
            pivots[k] = best;
        }
        for (int j = lane; j < N && best != k; j += 32) {
            const T other = m[k * LEADING + j];
            m[k * LEADING + j] = m[best * LEADING + j];
            m[best * LEADING + j] = other;
        }
        __syncwarp();
        const T pivot = m[k * LEADING + k];
        for (int i = k + 1 + lane; i < N && pivot != 0; i += 32) {
            m[i * LEADING + k] /= pivot;
        }
        __syncwarp();
        for (int j = k + 1 + lane; j < N; j += 32) {
            const T top = m[k * LEADING + j];
            for (int i = k + 1; i < N; ++i) {
                m[i * LEADING + j] -= m[i * LEADING + k] * top;
            }
        }
        __syncwarp();
    }
}

//@ cholesky_matrix
// The lower triangular factor of a matrix of N rows, of which the lower triangle is read, in its place, by a warp.
template <int N, class T>
DEVICE bool cholesky_matrix(T* m) {
    constexpr int LEADING = N | 1;
    bool good = true;
    for (int j = 0; j < N; ++j) {
        for (int i = j + static_cast<int>(threadIdx.x % 32); i < N; i += 32) {
            T rest = m[i * LEADING + j];
            for (int k = 0; k < j; ++k) {
                rest -= m[i * LEADING + k] * m[j * LEADING + k];
            }
            m[i * LEADING + j] = rest;
        }
        __syncwarp();
        const T square = m[j * LEADING + j];
        good = good && square > 0;
        const T root = ::sqrt(square);
        __syncwarp();
        for (int i = j + static_cast<int>(threadIdx.x % 32); i < N; i += 32) {
            m[i * LEADING + j] = i == j ? root : m[i * LEADING + j] / root;
        }
        __syncwarp();
    }
    return good;
}

//@ is_regular
template <int N, class T>
DEVICE bool is_regular(const T* m) {
    bool regular = true;
    for (int k = 0; k < N; ++k) {
        regular = regular && m[k * (N | 1) + k] != 0;
    }
    return regular;
}

//@ solve_triangle solve_factored
// A column of right sides becomes that of the solutions, with one triangle of a matrix of N rows or of its transpose.
template <int N, class T>
DEVICE void solve_triangle(const T* m, T (&x)[N], bool lower, bool unit, bool transposed = false) {
    const int row = transposed ? 1 : (N | 1), column = transposed ? (N | 1) : 1;
    if (lower != transposed) {
        for (int i = 0; i < N; ++i) {
            for (int j = 0; j < i; ++j) {
                x[i] -= m[i * row + j * column] * x[j];
            }
            x[i] = unit ? x[i] : x[i] / m[i * (row + column)];
        }
    } else {
        for (int i = N - 1; i >= 0; --i) {
            for (int j = i + 1; j < N; ++j) {
                x[i] -= m[i * row + j * column] * x[j];
            }
            x[i] = unit ? x[i] : x[i] / m[i * (row + column)];
        }
    }
}

//@ solve_factored
// The same with both factors.
template <int N, class T>
DEVICE void solve_factored(const T* m, const int32* pivots, T (&x)[N], bool transposed) {
    for (int n = 0; n < N && !transposed; ++n) {
        const T other = x[n];
        x[n] = x[pivots[n]];
        x[pivots[n]] = other;
    }
    solve_triangle<N>(m, x, !transposed, !transposed, transposed);
    solve_triangle<N>(m, x, transposed, transposed, transposed);
    for (int n = N - 1; n >= 0 && transposed; --n) {
        const T other = x[n];
        x[n] = x[pivots[n]];
        x[pivots[n]] = other;
    }
}

//@ determinant log_determinant
template <int N, class T>
DEVICE T determinant(const T* m, const int32* pivots) {
    T product = 1;
    for (int k = 0; k < N; ++k) {
        product *= pivots[k] != k ? -m[k * (N | 1) + k] : m[k * (N | 1) + k];
    }
    return product;
}
// As in NumPy, the sign of what is no number is 1.
template <int N, class T>
DEVICE void log_determinant(const T* m, const int32* pivots, T* sign, T* logarithm) {
    bool negative = false, singular = false;
    T sum = 0;
    for (int k = 0; k < N; ++k) {
        const T pivot = m[k * (N | 1) + k];
        negative ^= (pivot < 0) != (pivots[k] != k);
        singular |= pivot == 0;
        sum += ::log(::fabs(pivot));
    }
    *sign = singular ? T(0) : negative ? T(-1) : T(1);
    *logarithm = singular ? -infinity(T()) : sum;
}

//@ report_index
// Keeps the first failure: its instruction, the axis, and the place among the index's elements.
DEVICE void report_index(uint64* error, uint64 instruction, uint64 axis, uint64 place) {
    const uint64 limit = (1ull << 40) - 1;
    atomicMin(error, instruction << 48 | axis << 40 | (place < limit ? place : limit));
}

//@ integers
namespace integers {

//@ integers::left_shift integers::right_shift
// Shifts by a negative amount, or by as many bits as there are, shift everything out.
template <class T>
DEVICE T left_shift(T a, T b) {
    return b >= 0 && b < static_cast<T>(8 * sizeof(T)) ? static_cast<T>(static_cast<Wide<T>>(a) << b) : T{};
}
template <class T>
DEVICE T right_shift(T a, T b) {
    return b >= 0 && b < static_cast<T>(8 * sizeof(T)) ? static_cast<T>(a >> b) : static_cast<T>(a < 0 ? -1 : 0);
}

//@ integers::fmod integers::remainder
template <class T>
DEVICE T fmod(T a, T b) {
    return b == 0 || (IS_SIGNED<T> && b == static_cast<T>(-1)) ? T{} : static_cast<T>(a % b);
}

//@ integers::remainder
template <class T>
DEVICE T remainder(T a, T b) {
    const T rest = fmod(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
}

//@ integers::floor_divide
template <class T>
DEVICE T floor_divide(T a, T b) {
    if (b == 0) {
        return T{};
    }
    if (IS_SIGNED<T> && b == static_cast<T>(-1)) {
        return static_cast<T>(Wide<T>{} - static_cast<Wide<T>>(a));
    }
    const T quotient = static_cast<T>(a / b);
    return a % b != 0 && (a < 0) != (b < 0) ? static_cast<T>(quotient - 1) : quotient;
}

//@ integers::power
template <class T>
DEVICE T power(T base, T exponent) {
    if (exponent < 0) {
        return base == 1 ? T{1} : base == static_cast<T>(-1) ? static_cast<T>(exponent % 2 ? -1 : 1) : T{};
    }
    Wide<T> result = 1, factor = static_cast<Wide<T>>(base);
    for (; exponent != 0; exponent = static_cast<T>(exponent >> 1)) {
        if (exponent & 1) {
            result *= factor;
        }
        factor *= factor;
    }
    return static_cast<T>(result);
}

//@ integers::reciprocal
template <class T>
DEVICE T reciprocal(T a) {
    return a == 1 ? T{1} : IS_SIGNED<T> && a == static_cast<T>(-1) ? static_cast<T>(-1) : T{};
}

//@ integers
}  // namespace integers

//@ floats
namespace floats {

//@ floats::remainder
// With the sign of the divisor; a zero takes that sign too.
template <class T>
DEVICE T remainder(T a, T b) {
    const T rest = ::fmod(a, b);
    if (b == 0) {
        return rest;
    }
    if (rest == 0) {
        return ::copysign(T{}, b);
    }
    return (rest < 0) != (b < 0) ? rest + b : rest;
}

//@ floats::floor_divide
template <class T>
DEVICE T floor_divide(T a, T b) {
    if (b == 0) {
        return a / b;
    }
    const T rest = ::fmod(a, b);
    T quotient = (a - rest) / b;
    if (rest != 0 && (rest < 0) != (b < 0)) {
        quotient -= 1;
    }
    if (quotient == 0) {
        return ::copysign(T{}, a / b);
    }
    const T whole = ::floor(quotient);
    return quotient - whole > T(0.5) ? whole + 1 : whole;
}

//@ floats::power
template <class T>
DEVICE T power(T a, T b) {
    return ::pow(a, b);
}

//@ floats::arctan
template <class T>
DEVICE T arctan(T a) {
    return ::atan(a);
}

//@ floats::arctan2
template <class T>
DEVICE T arctan2(T a, T b) {
    return ::atan2(a, b);
}

//@ floats::sigmoid
// The exponential is never of a positive number, so that nothing overflows.
template <class T>
DEVICE T sigmoid(T a) {
    const T small = ::exp(-::fabs(a));
    return (a >= 0 ? T(1) : a < 0 ? small : a) / (1 + small);
}

//@ floats::softplus
template <class T>
DEVICE T softplus(T a) {
    return (a > 0 ? a : a != a ? a : T(0)) + ::log1p(::exp(-::fabs(a)));
}

//@ floats::logaddexp floats::logaddexp2
// Equal infinities have no difference.
template <class T>
DEVICE T logaddexp(T a, T b) {
    if (a == b) {
        return a + T(0.693147180559945309417232121458176568);
    }
    return a > b ? a + ::log1p(::exp(b - a)) : a < b ? b + ::log1p(::exp(a - b)) : a + b;
}
template <class T>
DEVICE T logaddexp2(T a, T b) {
    constexpr T LOG2E = T(1.442695040888963407359924681001892137);
    if (a == b) {
        return a + 1;
    }
    return a > b ? a + LOG2E * ::log1p(::exp2(b - a)) : a < b ? b + LOG2E * ::log1p(::exp2(a - b)) : a + b;
}

//@ floats
}  // namespace floats

//@ complexes
namespace complexes {
template <class R>
DEVICE bool not_number(R a) {
    return a != a;
}
template <class R>
DEVICE bool infinite(R a) {
    return a == a && a - a != a - a;
}
template <class R>
DEVICE Complex<R> multiply(Complex<R> a, Complex<R> b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <class R>
constexpr R HALF_TURN = R(3.141592653589793238462643383279502884);
// -i f(i z), by which the circular functions follow from the hyperbolic ones.
template <class R>
DEVICE Complex<R> turned(Complex<R> z) {
    return {-z.im, z.re};
}
template <class R>
DEVICE Complex<R> turned_back(Complex<R> z) {
    return {z.im, -z.re};
}

//@ complexes::conj
template <class R>
DEVICE Complex<R> conj(Complex<R> a) {
    return {a.re, -a.im};
}

//@ complexes::divide
// Smith's method (Comm. ACM 5, 1962), which avoids overflow of the squared modulus.
template <class R>
DEVICE Complex<R> divide(Complex<R> a, Complex<R> b) {
    const R re_size = ::fabs(b.re), im_size = ::fabs(b.im);
    if (re_size >= im_size) {
        if (re_size == 0 && im_size == 0) {
            return {a.re / re_size, a.im / re_size};
        }
        const R ratio = b.im / b.re;
        const R factor = 1 / (b.re + b.im * ratio);
        return {(a.re + a.im * ratio) * factor, (a.im - a.re * ratio) * factor};
    }
    const R ratio = b.re / b.im;
    const R factor = 1 / (b.im + b.re * ratio);
    return {(a.re * ratio + a.im) * factor, (a.im * ratio - a.re) * factor};
}

//@ complexes::reciprocal complexes::power
template <class R>
DEVICE Complex<R> reciprocal(Complex<R> a) {
    if (::fabs(a.im) <= ::fabs(a.re)) {
        const R ratio = a.im / a.re;
        const R size = a.re + a.im * ratio;
        return {1 / size, -ratio / size};
    }
    const R ratio = a.re / a.im;
    const R size = a.re * ratio + a.im;
    return {ratio / size, -1 / size};
}

//@ complexes::absolute complexes::sign
template <class R>
DEVICE R absolute(Complex<R> a) {
    return ::hypot(a.re, a.im);
}

//@ complexes::sign
template <class R>
DEVICE Complex<R> sign(Complex<R> a) {
    const R size = absolute(a);
    if (not_number(size)) {
        return {size, size};
    }
    if (infinite(size)) {
        const bool re_infinite = infinite(a.re), im_infinite = infinite(a.im);
        if (re_infinite && im_infinite) {
            return {size - size, size - size};
        }
        return re_infinite ? Complex<R>{a.re > 0 ? R(1) : R(-1), 0} : Complex<R>{0, a.im > 0 ? R(1) : R(-1)};
    }
    return size == 0 ? Complex<R>{0, 0} : Complex<R>{a.re / size, a.im / size};
}

//@ complexes::is_nan complexes::maximum complexes::minimum complexes::fmax complexes::fmin
template <class R>
DEVICE bool is_nan(Complex<R> a) {
    return not_number(a.re) || not_number(a.im);
}

//@ complexes::is_inf
template <class R>
DEVICE bool is_inf(Complex<R> a) {
    return infinite(a.re) || infinite(a.im);
}

//@ complexes::is_finite
template <class R>
DEVICE bool is_finite(Complex<R> a) {
    return a.re - a.re == 0 && a.im - a.im == 0;
}

//@ complexes::is_true complexes::power
template <class R>
DEVICE bool is_true(Complex<R> a) {
    return a.re != 0 || a.im != 0;
}

//@ complexes::less
template <class R>
DEVICE bool less(Complex<R> a, Complex<R> b) {
    return (a.re < b.re && !not_number(a.im) && !not_number(b.im)) || (a.re == b.re && a.im < b.im);
}

//@ complexes::less_equal
template <class R>
DEVICE bool less_equal(Complex<R> a, Complex<R> b) {
    return (a.re < b.re && !not_number(a.im) && !not_number(b.im)) || (a.re == b.re && a.im <= b.im);
}

//@ complexes::rint
template <class R>
DEVICE Complex<R> rint(Complex<R> a) {
    return {::rint(a.re), ::rint(a.im)};
}

//@ complexes::exp complexes::exp2 complexes::power
template <class R>
DEVICE Complex<R> exp(Complex<R> a) {
    if (a.im == 0) {
        return {::exp(a.re), a.im};
    }
    if (infinite(a.re) && a.re < 0) {
        const bool known = a.im - a.im == 0;
        return {known ? ::copysign(R(0), ::cos(a.im)) : R(0), ::copysign(R(0), known ? ::sin(a.im) : a.im)};
    }
    if (infinite(a.re) && a.im - a.im != 0) {
        return {a.re, a.im - a.im};
    }
    // In two factors: one alone would overflow before the product does.
    const R half = ::exp(a.re / 2);
    const bool large = a.re > 80;
    const R whole = large ? half : ::exp(a.re), rest = large ? half : R(1);
    return {whole * ::cos(a.im) * rest, whole * ::sin(a.im) * rest};
}

//@ complexes::exp2
template <class R>
DEVICE Complex<R> exp2(Complex<R> a) {
    constexpr R LN2 = R(0.693147180559945309417232121458176568);
    return exp(Complex<R>{a.re * LN2, a.im * LN2});
}

//@ complexes::expm1
template <class R>
DEVICE Complex<R> expm1(Complex<R> a) {
    const R half_sine = ::sin(a.im / 2);
    return {::expm1(a.re) * ::cos(a.im) - 2 * half_sine * half_sine, ::exp(a.re) * ::sin(a.im)};
}

//@ complexes::log complexes::log2 complexes::log10 complexes::power
// Near the unit circle the logarithm of the modulus is taken from what the squares leave of 1.
template <class R>
DEVICE Complex<R> log(Complex<R> a) {
    const R size = ::hypot(a.re, a.im);
    R re = ::log(size);
    if (size > R(0.5) && size < R(2)) {
        const R x = ::fabs(a.re), y = ::fabs(a.im);
        const R large = x > y ? x : y, small = x > y ? y : x;
        re = ::log1p(::fma(small, small, (large - 1) * (large + 1))) / 2;
    }
    return {re, ::atan2(a.im, a.re)};
}

//@ complexes::log2
template <class R>
DEVICE Complex<R> log2(Complex<R> a) {
    constexpr R LOG2E = R(1.442695040888963407359924681001892137);
    const Complex<R> natural = log(a);
    return {natural.re * LOG2E, natural.im * LOG2E};
}

//@ complexes::log10
template <class R>
DEVICE Complex<R> log10(Complex<R> a) {
    constexpr R LOG10E = R(0.434294481903251827651128918916605082);
    const Complex<R> natural = log(a);
    return {natural.re * LOG10E, natural.im * LOG10E};
}

//@ complexes::log1p
template <class R>
DEVICE Complex<R> log1p(Complex<R> a) {
    return {::log(::hypot(a.re + 1, a.im)), ::atan2(a.im, a.re + 1)};
}

//@ complexes::power
// A product with an infinite factor is infinite (C11, G.5.1), which power() goes by and multiplication does not.
template <class R>
DEVICE void make_unit(Complex<R>& a, Complex<R>& other) {
    a = {::copysign(infinite(a.re) ? R(1) : R(0), a.re), ::copysign(infinite(a.im) ? R(1) : R(0), a.im)};
    other.re = not_number(other.re) ? ::copysign(R(0), other.re) : other.re;
    other.im = not_number(other.im) ? ::copysign(R(0), other.im) : other.im;
}
template <class R>
DEVICE Complex<R> multiply_infinite(Complex<R> a, Complex<R> b) {
    const Complex<R> plain = multiply(a, b);
    const bool first = infinite(a.re) || infinite(a.im), second = infinite(b.re) || infinite(b.im);
    if (!not_number(plain.re) || !not_number(plain.im) || (!first && !second)) {
        return plain;
    }
    if (first) {
        make_unit(a, b);
    }
    if (infinite(b.re) || infinite(b.im)) {
        make_unit(b, a);
    }
    const Complex<R> direction = multiply(a, b);
    return {infinity(R{}) * direction.re, infinity(R{}) * direction.im};
}
template <class R>
DEVICE Complex<R> power(Complex<R> a, Complex<R> b) {
    if (!is_true(b)) {
        return {1, 0};
    }
    if (!is_true(a)) {
        const R nan = a.re / a.re;
        return b.re > 0 ? Complex<R>{0, 0} : Complex<R>{nan, nan};
    }
    // Small whole exponents by multiplication: exact where possible.
    if (b.im == 0 && ::fabs(b.re) < 100 && b.re == ::trunc(b.re)) {
        if (b.re == 1) {
            return a;
        }
        Complex<R> result{1, 0}, factor = a;
        for (int left = static_cast<int>(::fabs(b.re)); left != 0; left >>= 1) {
            if (left & 1) {
                result = multiply(result, factor);
            }
            factor = multiply(factor, factor);
        }
        return b.re < 0 ? reciprocal(result) : result;
    }
    return exp(multiply_infinite(b, log(a)));
}

//@ complexes::sqrt complexes::asin complexes::acos complexes::acosh complexes::asinh
template <class R>
DEVICE Complex<R> sqrt(Complex<R> a) {
    if (a.re == 0 && a.im == 0) {
        return {0, a.im};
    }
    if (infinite(a.im)) {
        return {::fabs(a.im), a.im};
    }
    if (infinite(a.re)) {
        const R other = not_number(a.im) ? a.im : R(0);
        return a.re > 0 ? Complex<R>{a.re, ::copysign(other, a.im)}
                        : Complex<R>{other, ::copysign(-a.re, a.im)};
    }
    constexpr R LARGE = sizeof(R) == 8 ? R(0x1p1020) : R(0x1p124), SMALL = sizeof(R) == 8 ? R(0x1p-900) : R(0x1p-90);
    const R size = ::fabs(a.re) + ::fabs(a.im);
    const R factor = size > LARGE ? R(0.0625) : size < SMALL ? R(0x1p60) : R(1);
    const R back = size > LARGE ? R(4) : size < SMALL ? R(0x1p-30) : R(1);
    const R re = a.re * factor, im = a.im * factor;
    const R root = ::sqrt((::fabs(re) + ::hypot(re, im)) / 2);
    const R other = ::fabs(im) / (2 * root);
    return re >= 0 ? Complex<R>{root * back, ::copysign(other * back, a.im)}
                   : Complex<R>{other * back, ::copysign(root * back, a.im)};
}

//@ complexes::sinh complexes::sin
template <class R>
DEVICE Complex<R> sinh(Complex<R> a) {
    if (a.im - a.im != 0 && (a.re == 0 || infinite(a.re))) {
        return {a.re == 0 ? a.re : ::fabs(a.re), a.im - a.im};
    }
    return {a.im == 0 ? ::sinh(a.re) : ::sinh(a.re) * ::cos(a.im), a.im == 0 ? a.im : ::cosh(a.re) * ::sin(a.im)};
}

//@ complexes::cosh complexes::cos
template <class R>
DEVICE Complex<R> cosh(Complex<R> a) {
    if (a.im - a.im != 0 && infinite(a.re)) {
        return {::fabs(a.re), a.im - a.im};
    }
    if (a.im == 0 || a.re == 0) {
        const R sign = (not_number(a.re) ? R(1) : ::copysign(R(1), a.re)) * ::sin(a.im);
        return {::cosh(a.re) * ::cos(a.im), a.im == 0 || a.im - a.im == 0 ? ::copysign(R(0), sign) : R(0)};
    }
    return {::cosh(a.re) * ::cos(a.im), ::sinh(a.re) * ::sin(a.im)};
}

//@ complexes::tanh complexes::tan
// Kahan's formula, in "Branch cuts for complex elementary functions" (1987).
template <class R>
DEVICE Complex<R> tanh(Complex<R> a) {
    constexpr R FAR = sizeof(R) == 8 ? R(22) : R(11);
    const R none = a.im - a.im;
    if (none != 0) {
        return infinite(a.re) ? Complex<R>{::copysign(R(1), a.re), ::copysign(R(0), a.im)}
                              : Complex<R>{a.re == 0 ? a.re : none, none};
    }
    if (::fabs(a.re) > FAR) {
        return {::copysign(R(1), a.re), 4 * ::sin(a.im) * ::cos(a.im) * ::exp(-2 * ::fabs(a.re))};
    }
    if (not_number(a.re)) {
        return {a.re, a.im == 0 ? a.im : a.re};
    }
    const R t = ::tan(a.im), beta = 1 + t * t, s = ::sinh(a.re);
    const R rho = ::sqrt(1 + s * s);
    if (infinite(t)) {
        return {rho / s, 1 / t};
    }
    const R below = 1 + beta * s * s;
    return {beta * rho * s / below, t / below};
}

//@ complexes::sin
template <class R>
DEVICE Complex<R> sin(Complex<R> a) {
    return turned(sinh(turned_back(a)));
}

//@ complexes::cos
template <class R>
DEVICE Complex<R> cos(Complex<R> a) {
    return cosh(turned(a));
}

//@ complexes::tan
template <class R>
DEVICE Complex<R> tan(Complex<R> a) {
    return turned_back(tanh(turned(a)));
}

//@ complexes::asin complexes::asinh
// The inverse functions as in Kahan's paper: exact on the cuts, signs of zeros included.
template <class R>
DEVICE Complex<R> asin(Complex<R> a) {
    if (infinite(a.re) || infinite(a.im)) {
        return {::atan2(a.re, ::fabs(a.im)), ::copysign(infinity(R{}), a.im)};
    }
    if (not_number(a.im) && a.re == 0) {
        return a;
    }
    const Complex<R> below = sqrt(Complex<R>{1 - a.re, -a.im}), above = sqrt(Complex<R>{1 + a.re, a.im});
    return {::atan2(a.re, multiply(below, above).re), ::asinh(below.re * above.im - below.im * above.re)};
}

//@ complexes::acos
template <class R>
DEVICE Complex<R> acos(Complex<R> a) {
    if (infinite(a.re) || infinite(a.im)) {
        return {::fabs(::atan2(a.im, a.re)), -::copysign(infinity(R{}), a.im)};
    }
    if (not_number(a.im) && a.re == 0) {
        return {HALF_TURN<R> / 2, a.im};
    }
    const Complex<R> below = sqrt(Complex<R>{1 - a.re, -a.im}), above = sqrt(Complex<R>{1 + a.re, a.im});
    return {2 * ::atan2(below.re, above.re), ::asinh(above.re * below.im - above.im * below.re)};
}

//@ complexes::acosh
template <class R>
DEVICE Complex<R> acosh(Complex<R> a) {
    if (infinite(a.re) || infinite(a.im)) {
        return {infinity(R{}), ::atan2(a.im, a.re)};
    }
    if (not_number(a.im) && a.re == 0) {
        return {a.im, HALF_TURN<R> / 2};
    }
    const Complex<R> below = sqrt(Complex<R>{a.re - 1, a.im}), above = sqrt(Complex<R>{a.re + 1, a.im});
    return {::asinh(below.re * above.re + below.im * above.im), 2 * ::atan2(below.im, above.re)};
}

//@ complexes::asinh
template <class R>
DEVICE Complex<R> asinh(Complex<R> a) {
    return turned_back(asin(turned(a)));
}

//@ complexes::atanh complexes::atan
template <class R>
DEVICE Complex<R> atanh(Complex<R> a) {
    if (infinite(a.re) || infinite(a.im)) {
        return {::copysign(R(0), a.re), not_number(a.im) ? a.im : ::copysign(HALF_TURN<R> / 2, a.im)};
    }
    if (not_number(a.im) && a.re == 0) {
        return a;
    }
    const R size = ::fabs(a.re);  // the logarithm of what is less than 1 would cancel
    const R below = (1 - size) * (1 - size) + a.im * a.im;
    const R angle = ::atan2(2 * a.im, (1 - a.re) * (1 + a.re) - a.im * a.im);
    return {::copysign(::log1p(4 * size / below) / 4, a.re), angle / 2};
}

//@ complexes::atan
template <class R>
DEVICE Complex<R> atan(Complex<R> a) {
    return turned_back(atanh(turned(a)));
}

//@ complexes
}  // namespace complexes
