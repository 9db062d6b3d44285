// Functions of complex numbers, at infinities and signed zeros too. Read with preamble.cuh.
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
