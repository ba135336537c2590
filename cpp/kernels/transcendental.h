// Exponentials, the hyperbolic tangent and the normal distribution, a vector at a time, to a few units in the last
// place over the whole range; NaN stays NaN, infinities give limits, and what underflows is zero.
//
// All rest on one reduction (Muller, "Elementary functions", chapter 11): x = n ln 2 + r with |r| <= ln 2 / 2, so that
// exp(x) = 2^n exp(r), and exp(r) - 1 = r + r^2 P(r). The tail of the normal distribution is Q(x) = w T(w)
// exp(-x^2 / 2) with w = 1 / (x + 4), whose T is smooth and nearly constant.
//
// The coefficients come from interpolation in Chebyshev points with 60 digits, mpmath.chebyfit(f, [lo, hi], terms):
// P of (exp(r) - 1 - r) / r^2 on +-1.01 ln 2 / 2; T of Q(x) exp(x^2 / 2) (x + 4) on [-1, 1] as a function of
// v = kTailScale w - kTailShift, exact where x = 0 and v = 1; v = -1 is an x beyond kTailEnd.
#pragma once

#include "kernels/vec.h"

namespace fastconv {
namespace {

template <class T>
struct Constants;

template <>
struct Constants<float> {
    using Bits = std::uint32_t;
    static constexpr int kMantissaBits = 23;
    static constexpr Bits kBias = 127, kSign = 0x80000000U, kUpperHalf = 0xfffff000U;
    static constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer, in the lowest bits
    static constexpr float kLowest = -104.0F, kHighest = 89.0F;  // beyond them exp is 0 or infinite
    static constexpr float kLn2High = 0x1.62e4p-1F, kLn2Low = 1.4286068203094172e-6F;
    static constexpr float kExp[] = {1.98919806e-4F, 1.39345415e-3F, 8.33331048e-3F,
                                     4.16664556e-2F, 1.66666672e-1F, 0.5F};
    static constexpr float kTailEnd = 14, kTailScale = 10, kTailShift = 1.5F;
    static constexpr float kTail[] = {-5.31173282e-6F, 1.71285319e-5F, 8.26476171e-5F, -2.27730081e-4F,
                                      -1.43163081e-3F, 6.86411338e-4F, 2.67944355e-2F, 1.2145219e-1F,
                                      3.28995079e-1F,  6.29695833e-1F, 8.93940926e-1F};
};

template <>
struct Constants<double> {
    using Bits = std::uint64_t;
    static constexpr int kMantissaBits = 52;
    static constexpr Bits kBias = 1023, kSign = 0x8000000000000000U, kUpperHalf = 0xfffffffff8000000U;
    static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double kLowest = -746.0, kHighest = 710.0;
    static constexpr double kLn2High = 0x1.62e42fefa4p-1, kLn2Low = -1.7239444525614835e-13;
    static constexpr double kExp[] = {2.0915442297780116e-9,
                                      2.5106274733573296e-8,
                                      2.75572718102198e-7,
                                      2.755725283351691e-6,
                                      2.4801587327007187e-5,
                                      1.9841269876864356e-4,
                                      1.3888888888883327e-3,
                                      8.333333333325544e-3,
                                      4.166666666666667e-2,
                                      1.666666666666667e-1,
                                      0.5};
    static constexpr double kTailEnd = 39, kTailScale = 8.75, kTailShift = 1.1875;
    static constexpr double kTail[] = {
        -1.5041229771603135e-10, -2.7937793821817556e-10, 2.1077856706072616e-09, 1.457716815378861e-09,
        -1.635325399924004e-08,  6.187129551346923e-09,   9.495573459971252e-08,  -1.42312342735765e-07,
        -4.710363103946088e-07,  1.4011963842528976e-06,  2.2620896511060813e-06, -1.1653724704155261e-05,
        -1.3745730782801255e-05, 9.623703726933472e-05,   0.00015008691715989457, -0.0007898574113317752,
        -0.0025809445951957733,  0.0035171394574215133,   0.04416810103027383,    0.1587663011097473,
        0.36597095711338756,     0.6203686559461561,      0.8103555849878943};
};

template <class T>
using BitsOf = Vec<typename Constants<T>::Bits>;

template <class T>
FASTCONV_INLINE Vec<T> at_least(Vec<T> value, T least) {
    return value < least ? splat(least) : value;  // NaN compares false and stays
}

template <class T>
FASTCONV_INLINE Vec<T> at_most(Vec<T> value, T most) {
    return value > most ? splat(most) : value;
}

template <class T>
FASTCONV_INLINE Vec<T> magnitude(Vec<T> value) {
    return (Vec<T>)((BitsOf<T>)value & ~Constants<T>::kSign);
}

template <class T>
FASTCONV_INLINE Vec<T> with_sign_of(Vec<T> value, Vec<T> sign) {
    return (Vec<T>)((BitsOf<T>)magnitude<T>(value) | ((BitsOf<T>)sign & Constants<T>::kSign));
}

// Highest power first.
template <class T, int terms>
FASTCONV_INLINE Vec<T> polynomial(const T (&coefficients)[terms], Vec<T> x) {
    Vec<T> value = splat(coefficients[0]);
#pragma GCC unroll 32
    for (int i = 1; i < terms; ++i) value = value * x + coefficients[i];
    return value;
}

// 2^n, where shifted is n + kRound: n is in the lowest bits, and goes where the exponent is.
template <class T>
FASTCONV_INLINE Vec<T> power_of_two(Vec<T> shifted) {
    return (Vec<T>)(((BitsOf<T>)shifted + Constants<T>::kBias) << Constants<T>::kMantissaBits);
}

template <class T>
struct Reduced {
    Vec<T> n;          // an integer
    Vec<T> minus_one;  // exp(r) - 1
};

// Of x + low, where low is small and keeps what x couldn't hold.
template <class T>
FASTCONV_INLINE Reduced<T> reduced(Vec<T> x, Vec<T> low) {
    using C = Constants<T>;
    constexpr T inverse_ln2 = static_cast<T>(1.4426950408889634);
    const Vec<T> n = ((x + low) * inverse_ln2 + C::kRound) - C::kRound;
    const Vec<T> r = (x - n * C::kLn2High) + (low - n * C::kLn2Low);
    return {n, r + r * r * polynomial<T>(C::kExp, r)};
}

// exp(x + low)
template <class T>
FASTCONV_INLINE Vec<T> exponential(Vec<T> x, Vec<T> low = Vec<T>{}) {
    using C = Constants<T>;
    const Reduced<T> part = reduced<T>(at_most<T>(at_least<T>(x, C::kLowest), C::kHighest), low);
    // In two factors, because 2^n itself may be too large or too small.
    const Vec<T> half = part.n * T(0.5) + C::kRound;
    const Vec<T> rest = (part.n - (half - C::kRound)) + C::kRound;
    return (1 + part.minus_one) * power_of_two<T>(half) * power_of_two<T>(rest);
}

// tanh(x) = (1 - e) / (1 + e) with e = exp(-2 |x|): from exp(-2 |x|) - 1, which keeps small x.
template <class T>
FASTCONV_INLINE Vec<T> hyperbolic_tangent(Vec<T> x) {
    constexpr T enough = -50;  // 1 - exp(-50) is 1
    const Reduced<T> part = reduced<T>(at_least<T>(magnitude<T>(x) * T(-2), enough), Vec<T>{});
    const Vec<T> scale = power_of_two<T>(part.n + Constants<T>::kRound);
    const Vec<T> minus_one = scale * part.minus_one + (scale - 1);
    return with_sign_of<T>(minus_one / (2 + minus_one), x);
}

// 1 / (1 + exp(-x))
template <class T>
FASTCONV_INLINE Vec<T> logistic(Vec<T> x) {
    return 1 / (1 + exponential<T>(-x));
}

template <class T>
struct Normal {
    Vec<T> below;    // the probability of less than x: (1 + erf(x / sqrt 2)) / 2
    Vec<T> density;  // exp(-x^2 / 2) / sqrt(2 pi)
};

template <class T>
FASTCONV_INLINE Normal<T> normal_distribution(Vec<T> x) {
    using C = Constants<T>;
    const Vec<T> a = at_most<T>(magnitude<T>(x), C::kTailEnd);
    // a^2 in two parts, the first of which is exact: an exponential makes a relative error of an absolute one.
    const Vec<T> upper = (Vec<T>)((BitsOf<T>)a & C::kUpperHalf);
    const Vec<T> bell = exponential<T>(upper * upper * T(-0.5), (upper - a) * (upper + a) * T(0.5));
    const Vec<T> w = 1 / (a + 4);
    const Vec<T> tail = bell * (w * polynomial<T>(C::kTail, w * C::kTailScale - C::kTailShift));
    return {x < 0 ? tail : 1 - tail, bell * static_cast<T>(0.3989422804014327)};
}

}  // namespace
}  // namespace fastconv
