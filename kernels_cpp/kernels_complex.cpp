// Complex numbers, with NumPy's choices for infinities, divisions and small powers. Built once.
#include <cmath>
#include <complex>

#include "loops.hpp"

namespace tracer {
namespace TRACER_ISA {
namespace {

template <class R>
using Complex = std::complex<R>;

template <class R>
Complex<R> multiply(Complex<R> a, Complex<R> b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

// Smith's method (Comm. ACM 5, 1962), which avoids overflow of the squared modulus.
template <class R>
Complex<R> divide(Complex<R> a, Complex<R> b) {
    const R re_size = std::fabs(b.real()), im_size = std::fabs(b.imag());
    if (re_size >= im_size) {
        if (re_size == 0 && im_size == 0) {
            return {a.real() / re_size, a.imag() / re_size};
        }
        const R ratio = b.imag() / b.real();
        const R factor = 1 / (b.real() + b.imag() * ratio);
        return {(a.real() + a.imag() * ratio) * factor, (a.imag() - a.real() * ratio) * factor};
    }
    const R ratio = b.real() / b.imag();
    const R factor = 1 / (b.imag() + b.real() * ratio);
    return {(a.real() * ratio + a.imag()) * factor, (a.imag() * ratio - a.real()) * factor};
}

template <class R>
Complex<R> reciprocal(Complex<R> a) {
    if (std::fabs(a.imag()) <= std::fabs(a.real())) {
        const R ratio = a.imag() / a.real();
        const R size = a.real() + a.imag() * ratio;
        return {1 / size, -ratio / size};
    }
    const R ratio = a.real() / a.imag();
    const R size = a.real() * ratio + a.imag();
    return {ratio / size, -1 / size};
}

template <class R>
R absolute(Complex<R> a) {
    return std::hypot(a.real(), a.imag());
}

template <class R>
Complex<R> sign(Complex<R> a) {
    const R size = absolute(a);
    if (std::isnan(size)) {
        return {size, size};
    }
    if (std::isinf(size)) {
        const bool re_infinite = std::isinf(a.real()), im_infinite = std::isinf(a.imag());
        if (re_infinite && im_infinite) {
            return {static_cast<R>(NAN), static_cast<R>(NAN)};
        }
        return re_infinite ? Complex<R>{a.real() > 0 ? R(1) : R(-1), 0} : Complex<R>{0, a.imag() > 0 ? R(1) : R(-1)};
    }
    return size == 0 ? Complex<R>{0, 0} : Complex<R>{a.real() / size, a.imag() / size};
}

template <class R>
bool is_nan(Complex<R> a) {
    return std::isnan(a.real()) || std::isnan(a.imag());
}

template <class R>
bool is_inf(Complex<R> a) {
    return std::isinf(a.real()) || std::isinf(a.imag());
}

template <class R>
bool is_finite(Complex<R> a) {
    return std::isfinite(a.real()) && std::isfinite(a.imag());
}

template <class R>
bool is_true(Complex<R> a) {
    return a.real() != 0 || a.imag() != 0;
}

// Lexicographic order.
template <class R>
bool less(Complex<R> a, Complex<R> b) {
    return (a.real() < b.real() && !std::isnan(a.imag()) && !std::isnan(b.imag())) ||
           (a.real() == b.real() && a.imag() < b.imag());
}

template <class R>
bool less_equal(Complex<R> a, Complex<R> b) {
    return (a.real() < b.real() && !std::isnan(a.imag()) && !std::isnan(b.imag())) ||
           (a.real() == b.real() && a.imag() <= b.imag());
}

template <class R>
Complex<R> exp2(Complex<R> a) {
    constexpr R LN2 = static_cast<R>(0.693147180559945309417232121458176568);
    return std::exp(Complex<R>{a.real() * LN2, a.imag() * LN2});
}

template <class R>
Complex<R> expm1(Complex<R> a) {
    const R half_sine = std::sin(a.imag() / 2);
    return {std::expm1(a.real()) * std::cos(a.imag()) - 2 * half_sine * half_sine,
            std::exp(a.real()) * std::sin(a.imag())};
}

template <class R>
Complex<R> log2(Complex<R> a) {
    constexpr R LOG2E = static_cast<R>(1.442695040888963407359924681001892137);
    const Complex<R> natural = std::log(a);
    return {natural.real() * LOG2E, natural.imag() * LOG2E};
}

template <class R>
Complex<R> log1p(Complex<R> a) {
    return {std::log(std::hypot(a.real() + 1, a.imag())), std::atan2(a.imag(), a.real() + 1)};
}

template <class R>
Complex<R> rint(Complex<R> a) {
    return {std::rint(a.real()), std::rint(a.imag())};
}

template <class R>
Complex<R> whole_power(Complex<R> base, int exponent) {
    Complex<R> result{1, 0};
    for (int left = exponent < 0 ? -exponent : exponent; left != 0; left >>= 1) {
        if (left & 1) {
            result = multiply(result, base);
        }
        base = multiply(base, base);
    }
    return exponent < 0 ? reciprocal(result) : result;
}

// Small whole exponents by multiplication: exact where possible, and what NumPy does.
template <class R>
Complex<R> power(Complex<R> a, Complex<R> b) {
    if (!is_true(b)) {
        return {1, 0};
    }
    if (!is_true(a)) {
        const R nan = static_cast<R>(NAN);
        return b.real() > 0 ? Complex<R>{0, 0} : Complex<R>{nan, nan};
    }
    if (b.imag() == 0 && std::fabs(b.real()) < 100 && b.real() == std::trunc(b.real())) {
        return b.real() == 1 ? a : whole_power(a, static_cast<int>(b.real()));
    }
    return std::pow(a, b);
}

using std::acos;
using std::acosh;
using std::asin;
using std::asinh;
using std::atan;
using std::atanh;
using std::conj;
using std::cos;
using std::cosh;
using std::exp;
using std::log;
using std::log10;
using std::sin;
using std::sinh;
using std::sqrt;
using std::tan;
using std::tanh;

#define OP_COMPLEX(name, arity, expression) TRACER_OPERATION(name, expression)
#define OP_COMPLEX_REAL OP_COMPLEX
#define OP_COMPLEX_BOOL OP_COMPLEX
#include "ops.def"

constexpr KernelEntry ENTRIES[] = {
#define OP_COMPLEX(name, arity, expression)                             \
    TRACER_ENTRY(name, arity, C64, Complex<float>, C64, Complex<float>) \
    TRACER_ENTRY(name, arity, C128, Complex<double>, C128, Complex<double>)
#define OP_COMPLEX_REAL(name, arity, expression)               \
    TRACER_ENTRY(name, arity, C64, Complex<float>, F32, float) \
    TRACER_ENTRY(name, arity, C128, Complex<double>, F64, double)
#define OP_COMPLEX_BOOL(name, arity, expression)                  \
    TRACER_ENTRY(name, arity, C64, Complex<float>, Bool, uint8_t) \
    TRACER_ENTRY(name, arity, C128, Complex<double>, Bool, uint8_t)
#include "ops.def"
};

// Sums run in eight lanes, products and extremes in order.
template <class R>
void sum_complex(void* accumulator, const void* in, int64_t n) {
    const Complex<R>* x = static_cast<const Complex<R>*>(in);
    double total[8] = {}, lost[8] = {};
    for (int64_t i = 0; i < 2 * n; ++i) {
        // Neumaier's correction per lane keeps any block length as accurate as a pairwise sum.
        const double value = reinterpret_cast<const R*>(x)[i];
        double& lane = total[i % 8];
        const double next = lane + value;
        lost[i % 8] += std::fabs(lane) >= std::fabs(value) ? (lane - next) + value : (value - next) + lane;
        lane = next;
    }
    complex128* result = static_cast<complex128*>(accumulator);
    *result = {0, 0};
    for (int i = 0; i < 8; i += 2) {
        const bool finite_re = std::isfinite(lost[i]), finite_im = std::isfinite(lost[i + 1]);
        result->re += total[i] + (finite_re ? lost[i] : 0);
        result->im += total[i + 1] + (finite_im ? lost[i + 1] : 0);
    }
}

template <class R>
void prod_complex(void* accumulator, const void* in, int64_t n) {
    const Complex<R>* x = static_cast<const Complex<R>*>(in);
    Complex<double> result{1, 0};
    for (int64_t i = 0; i < n; ++i) {
        result = multiply(result, Complex<double>(x[i]));
    }
    *static_cast<complex128*>(accumulator) = {result.real(), result.imag()};
}

template <class R, bool MAXIMUM>
void extreme_complex(void* accumulator, const void* in, int64_t n) {
    const Complex<R>* x = static_cast<const Complex<R>*>(in);
    Complex<R> best = x[0];
    for (int64_t i = 1; i < n && !is_nan(best); ++i) {
        if (is_nan(x[i]) || (MAXIMUM ? less(best, x[i]) : less(x[i], best))) {
            best = x[i];
        }
    }
    *static_cast<Complex<R>*>(accumulator) = best;
}

template <class R, bool ALL>
void truth_complex(void* accumulator, const void* in, int64_t n) {
    const Complex<R>* x = static_cast<const Complex<R>*>(in);
    int64_t i = 0;
    while (i < n && is_true(x[i]) == ALL) {
        ++i;
    }
    const bool result = (i == n) == ALL;
    *static_cast<Complex<R>*>(accumulator) = {result ? R(1) : R(0), 0};
}

constexpr ReduceEntry REDUCE_ENTRIES[] = {
    {"sum", Dtype::C64, Dtype::C128, sum_complex<float>},
    {"sum", Dtype::C128, Dtype::C128, sum_complex<double>},
    {"prod", Dtype::C64, Dtype::C128, prod_complex<float>},
    {"prod", Dtype::C128, Dtype::C128, prod_complex<double>},
    {"max", Dtype::C64, Dtype::C64, extreme_complex<float, true>},
    {"max", Dtype::C128, Dtype::C128, extreme_complex<double, true>},
    {"min", Dtype::C64, Dtype::C64, extreme_complex<float, false>},
    {"min", Dtype::C128, Dtype::C128, extreme_complex<double, false>},
    {"any", Dtype::C64, Dtype::C64, truth_complex<float, false>},
    {"any", Dtype::C128, Dtype::C128, truth_complex<double, false>},
    {"all", Dtype::C64, Dtype::C64, truth_complex<float, true>},
    {"all", Dtype::C128, Dtype::C128, truth_complex<double, true>},
};

}  // namespace

extern const KernelTable<KernelEntry> COMPLEX_TABLE{ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])};
extern const KernelTable<ReduceEntry> COMPLEX_REDUCE_TABLE{REDUCE_ENTRIES,
                                                           sizeof(REDUCE_ENTRIES) / sizeof(REDUCE_ENTRIES[0])};

}  // namespace TRACER_ISA
}  // namespace tracer
