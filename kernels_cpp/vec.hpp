// A vector of the instruction set being compiled for, over the vector extensions that GCC and clang share.
#pragma once

#ifndef TRACER_ISA
#error "define TRACER_ISA as baseline, avx2, avx512 or neon"
#endif

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace tracer {
namespace TRACER_ISA {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

#if defined(__FMA__) || defined(__aarch64__)
constexpr bool HAS_FMA = true;
#else
constexpr bool HAS_FMA = false;
#endif

#define TRACER_INLINE inline __attribute__((always_inline))

typedef float f32v __attribute__((vector_size(VECTOR_BYTES)));
typedef double f64v __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t i32v __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t i64v __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t u32v __attribute__((vector_size(VECTOR_BYTES)));
typedef uint64_t u64v __attribute__((vector_size(VECTOR_BYTES)));
// Half as many bytes: what widens to one f64v.
typedef float f32half __attribute__((vector_size(VECTOR_BYTES / 2)));

// Format facts and companion types of a float vector.
template <class V>
struct Format;

template <>
struct Format<f32v> {
    using Scalar = float;
    using Bits = uint32_t;
    using Int = i32v;
    using Unsigned = u32v;
    static constexpr int MANTISSA = 23;
    static constexpr int BIAS = 127;
    static constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    static constexpr uint32_t ROUND_BITS = 0x4B400000u;
    static constexpr float SMALLEST_NORMAL = 1.17549435e-38f;
};

template <>
struct Format<f64v> {
    using Scalar = double;
    using Bits = uint64_t;
    using Int = i64v;
    using Unsigned = u64v;
    static constexpr int MANTISSA = 52;
    static constexpr int BIAS = 1023;
    static constexpr double ROUND = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr uint64_t ROUND_BITS = 0x4338000000000000ull;
    static constexpr double SMALLEST_NORMAL = 2.2250738585072014e-308;
};

template <class V>
using Scalar = typename Format<V>::Scalar;
template <class V>
using Int = typename Format<V>::Int;
template <class V>
using Unsigned = typename Format<V>::Unsigned;

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
    using type = f32v;
};
template <>
struct VectorOf<double> {
    using type = f64v;
};

template <class V>
constexpr int64_t LANES = VECTOR_BYTES / static_cast<int64_t>(sizeof(Scalar<V>));

// Subtracting zero, unlike adding it, keeps the sign of a negative zero.
template <class V>
TRACER_INLINE V splat(double value) {
    return static_cast<Scalar<V>>(value) - V{};
}

template <class V>
TRACER_INLINE V load(const Scalar<V>* from) {
    V result;
    std::memcpy(&result, from, sizeof(V));
    return result;
}

template <class V>
TRACER_INLINE void store(Scalar<V>* to, V value) {
    std::memcpy(to, &value, sizeof(V));
}

template <class To, class From>
TRACER_INLINE To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From), "same number of bytes");
    return reinterpret_cast<To>(from);
}

template <class Mask, class V>
TRACER_INLINE V select(Mask mask, V yes, V no) {
    return mask ? yes : no;
}

template <class V>
TRACER_INLINE V sign_of(V x) {
    using U = Unsigned<V>;
    const typename Format<V>::Bits top = typename Format<V>::Bits{1} << (sizeof(Scalar<V>) * 8 - 1);
    return bits_as<V>(bits_as<U>(x) & (U{} + top));
}

template <class V>
TRACER_INLINE V with_sign(V magnitude, V sign_bit) {
    using U = Unsigned<V>;
    return bits_as<V>(bits_as<U>(magnitude) | bits_as<U>(sign_bit));
}

template <class V>
TRACER_INLINE V flip_sign(V x, V sign_bit) {
    using U = Unsigned<V>;
    return bits_as<V>(bits_as<U>(x) ^ bits_as<U>(sign_bit));
}

template <class V>
TRACER_INLINE V magnitude(V x) {
    using U = Unsigned<V>;
    const typename Format<V>::Bits top = typename Format<V>::Bits{1} << (sizeof(Scalar<V>) * 8 - 1);
    return bits_as<V>(bits_as<U>(x) & (U{} + ~top));
}

// a * b + c in one rounding where the machine can; where it cannot, see two_product.
TRACER_INLINE f64v fma(f64v a, f64v b, f64v c) {
#if defined(__AVX512F__)
    return (f64v)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
    return (f64v)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
    return (f64v)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
}

TRACER_INLINE f32v fma(f32v a, f32v b, f32v c) {
#if defined(__AVX512F__)
    return (f32v)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (f32v)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    return (f32v)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

TRACER_INLINE f64v sqrt(f64v x) {
#if defined(__AVX512F__)
    return (f64v)_mm512_sqrt_pd((__m512d)x);
#elif defined(__AVX__)
    return (f64v)_mm256_sqrt_pd((__m256d)x);
#elif defined(__SSE2__)
    return (f64v)_mm_sqrt_pd((__m128d)x);
#else
    return (f64v)vsqrtq_f64((float64x2_t)x);
#endif
}

TRACER_INLINE f32v sqrt(f32v x) {
#if defined(__AVX512F__)
    return (f32v)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX__)
    return (f32v)_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE2__)
    return (f32v)_mm_sqrt_ps((__m128)x);
#else
    return (f32v)vsqrtq_f32((float32x4_t)x);
#endif
}

template <class IntVector>
TRACER_INLINE bool any(IntVector mask) {
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_epi8((__m256i)mask) != 0;
#elif defined(__SSE2__)
    return _mm_movemask_epi8((__m128i)mask) != 0;
#else
    const u64v words = (u64v)mask;
    return (words[0] | words[1]) != 0;
#endif
}

// Replaces the lanes that `mask` picks by f(lane); for rare arguments, so speed does not matter.
template <class V, class Mask, class F>
__attribute__((noinline)) V patch_lanes(V result, V x, Mask mask, F f) {
    for (int64_t i = 0; i < LANES<V>; ++i) {
        if (mask[i]) {
            result[i] = f(x[i]);
        }
    }
    return result;
}

TRACER_INLINE f32v join(f32half low, f32half high) {
#if defined(__AVX512F__)
    return (f32v)_mm512_insertf32x8(_mm512_castps256_ps512((__m256)low), (__m256)high, 1);
#elif defined(__AVX__)
    return (f32v)_mm256_insertf128_ps(_mm256_castps128_ps256((__m128)low), (__m128)high, 1);
#else
    const f32half halves[2] = {low, high};
    f32v result;
    std::memcpy(&result, halves, sizeof(result));
    return result;
#endif
}

// Evaluates a float32 function in float64, for the few that need the precision.
template <class F>
TRACER_INLINE f32v in_double(f32v a, f32v b, F f) {
    f32half a_half[2], b_half[2];
    std::memcpy(a_half, &a, sizeof(a));
    std::memcpy(b_half, &b, sizeof(b));
    const f64v low = f(__builtin_convertvector(a_half[0], f64v), __builtin_convertvector(b_half[0], f64v));
    const f64v high = f(__builtin_convertvector(a_half[1], f64v), __builtin_convertvector(b_half[1], f64v));
    return join(__builtin_convertvector(low, f32half), __builtin_convertvector(high, f32half));
}

// Coefficients from the constant term up.
template <class V, int N>
TRACER_INLINE V polynomial(V x, const Scalar<V> (&c)[N]) {
    V result = splat<V>(c[N - 1]);
    for (int i = N - 2; i >= 0; --i) {
        result = result * x + c[i];
    }
    return result;
}

// A value as an unevaluated sum, |lo| at most half an ulp of hi.
template <class V>
struct Pair {
    V hi, lo;
};

// Exact sum; needs |a| >= |b| or a == 0.
template <class V>
TRACER_INLINE Pair<V> quick_two_sum(V a, V b) {
    const V sum = a + b;
    return {sum, b - (sum - a)};
}

// Exact product, by fma or by Dekker's splitting.
TRACER_INLINE Pair<f64v> two_product(f64v a, f64v b) {
    const f64v product = a * b;
    if constexpr (HAS_FMA) {
        return {product, fma(a, b, -product)};
    } else {
        const u64v top = u64v{} + 0xFFFFFFFFF8000000ull;
        const f64v a_hi = bits_as<f64v>(bits_as<u64v>(a) & top), a_lo = a - a_hi;
        const f64v b_hi = bits_as<f64v>(bits_as<u64v>(b) & top), b_lo = b - b_hi;
        return {product, ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo};
    }
}

}  // namespace TRACER_ISA
}  // namespace tracer
