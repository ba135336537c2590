// Square roots, which vector extensions lack, and powers made of them.
#pragma once

#include "kernels/vec.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace fastconv {
namespace {

template <class T>
FASTCONV_INLINE Vec<T> square_root(Vec<T> value);

#if defined(__AVX512F__) && FASTCONV_VECTOR_BYTES == 64
// Masked by all lanes, which costs nothing: GCC 12 warns of the unmasked one's undefined operand.
template <>
FASTCONV_INLINE Vec<float> square_root<float>(Vec<float> value) {
    return (Vec<float>)_mm512_maskz_sqrt_ps(static_cast<__mmask16>(0xffff), (__m512)value);
}
template <>
FASTCONV_INLINE Vec<double> square_root<double>(Vec<double> value) {
    return (Vec<double>)_mm512_maskz_sqrt_pd(static_cast<__mmask8>(0xff), (__m512d)value);
}
#elif defined(__AVX2__) && FASTCONV_VECTOR_BYTES == 32
template <>
FASTCONV_INLINE Vec<float> square_root<float>(Vec<float> value) {
    return (Vec<float>)_mm256_sqrt_ps((__m256)value);
}
template <>
FASTCONV_INLINE Vec<double> square_root<double>(Vec<double> value) {
    return (Vec<double>)_mm256_sqrt_pd((__m256d)value);
}
#elif defined(__SSE2__)
template <>
FASTCONV_INLINE Vec<float> square_root<float>(Vec<float> value) {
    return (Vec<float>)_mm_sqrt_ps((__m128)value);
}
template <>
FASTCONV_INLINE Vec<double> square_root<double>(Vec<double> value) {
    return (Vec<double>)_mm_sqrt_pd((__m128d)value);
}
#elif defined(__aarch64__)
template <>
FASTCONV_INLINE Vec<float> square_root<float>(Vec<float> value) {
    return (Vec<float>)vsqrtq_f32((float32x4_t)value);
}
template <>
FASTCONV_INLINE Vec<double> square_root<double>(Vec<double> value) {
    return (Vec<double>)vsqrtq_f64((float64x2_t)value);
}
#endif

// value^-exponent. The exponents of published networks are roots; for others the library's own function does.
template <class T>
FASTCONV_INLINE Vec<T> inverse_power(Vec<T> value, T exponent) {
    if (exponent == T(0.75)) {
        const Vec<T> root = square_root<T>(value);
        return 1 / (root * square_root<T>(root));
    }
    if (exponent == T(0.5)) return 1 / square_root<T>(value);
    if (exponent == T(1)) return 1 / value;
    for (index_t lane = 0; lane < kLanes<T>; ++lane)
        value[lane] = static_cast<T>(__builtin_pow(static_cast<double>(value[lane]), -static_cast<double>(exponent)));
    return value;
}

}  // namespace
}  // namespace fastconv
