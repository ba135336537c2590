// Vec<T>: one SIMD register of T, as a GCC/Clang vector extension: arithmetic operators work lane by
// lane, a * b + c contracts into a fused multiply-add, and no intrinsic ties it to a machine.
// FASTCONV_VECTOR_BYTES comes with the compiler flags of each instruction set.
#pragma once

#include "kernels/index.h"

#if !defined(FASTCONV_VECTOR_BYTES)
#error "compile the kernels through fastconv_add_kernels() in CMakeLists.txt"
#endif

#define FASTCONV_INLINE inline __attribute__((always_inline))

namespace fastconv {
namespace {

template <class T>
struct VecOf {
    typedef T Type __attribute__((vector_size(FASTCONV_VECTOR_BYTES)));
    // The same register where memory need not be aligned to it, and may be read as T as well.
    typedef T Unaligned __attribute__((vector_size(FASTCONV_VECTOR_BYTES), aligned(alignof(T)), may_alias));
};

template <class T>
using Vec = typename VecOf<T>::Type;

template <class T>
constexpr index_t kLanes = FASTCONV_VECTOR_BYTES / sizeof(T);

template <class T>
FASTCONV_INLINE Vec<T> load(const T* source) {
    return *reinterpret_cast<const typename VecOf<T>::Unaligned*>(source);
}

template <class T>
FASTCONV_INLINE void store(T* target, Vec<T> value) {
    *reinterpret_cast<typename VecOf<T>::Unaligned*>(target) = value;
}

// s - 0 compiles to one broadcast from memory; s + 0 would cost an addition (it turns -0 into +0).
template <class T>
FASTCONV_INLINE Vec<T> splat(T value) {
    return value - Vec<T>{};
}

// Copies `count` values and fills up to `width` with zeros. Not inlined: a kernel's tail needs it in
// dozens of places, and none of them is hot.
template <class T>
__attribute__((noinline)) void copy_first(const T* source, index_t count, T* target, index_t width) {
    for (index_t i = 0; i < count; ++i) target[i] = source[i];
    for (index_t i = count; i < width; ++i) target[i] = 0;
}

// NaN compares false and stays: max(0, NaN) is NaN here, as everywhere in this library.
template <class T>
FASTCONV_INLINE Vec<T> relu(Vec<T> value) {
    return value < Vec<T>{} ? Vec<T>{} : value;
}

FASTCONV_INLINE index_t smaller(index_t a, index_t b) { return a < b ? a : b; }

}  // namespace
}  // namespace fastconv
