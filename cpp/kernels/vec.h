// Vec<T>: one SIMD register of T, as a GCC/Clang vector extension: arithmetic operators work lane by
// lane, a * b + c contracts into a fused multiply-add, and no intrinsic ties it to a machine.
// FASTCONV_VECTOR_BYTES comes with the compiler flags of each instruction set.
#pragma once

#include "kernels/index.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if !defined(FASTCONV_VECTOR_BYTES)
#error "compile the kernels through fastconv_add_kernels() in CMakeLists.txt"
#endif

#define FASTCONV_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define FASTCONV_ONE_COPY __attribute__((noinline))
#else
#define FASTCONV_ONE_COPY __attribute__((noinline, noclone))
#endif

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

// A value (a vector, or one number) that several operations use, in a register: GCC 12 would give each of them a load
// of its own as its operand.
template <class V>
FASTCONV_INLINE V in_register(V value) {
#if defined(__SSE2__)
    __asm__("" : "+v"(value));
#elif defined(__aarch64__)
    __asm__("" : "+w"(value));
#endif
    return value;
}

// A pointer whose origin the compiler doesn't know, so that neighbours are constant distances from one register. Of a
// sum of pointer and index, GCC 12 would keep one index for each neighbour, in more registers than there are.
template <class T>
FASTCONV_INLINE T* one_base(T* pointer) {
    __asm__("" : "+r"(pointer));
    return pointer;
}

// Whether one instruction loads or stores some of the lanes.
#if defined(__AVX512F__) && FASTCONV_VECTOR_BYTES == 64
constexpr bool kMasksLanes = true;
#else
constexpr bool kMasksLanes = false;
#endif

// The first `count` lanes, 0 to kLanes, of T with 4 or 8 bytes: no other memory is touched, and the other lanes are
// zero. With AVX2 in pieces of four, two and one: on a Zen 1 a masked load takes 4.5 ns, a whole one 1.2 ns (measured).
template <class T>
FASTCONV_INLINE Vec<T> load_first(const T* source, index_t count) {
#if defined(__AVX512F__) && FASTCONV_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4)
        return (Vec<T>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1), source);
    return (Vec<T>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1U << count) - 1), source);
#elif defined(__AVX2__) && FASTCONV_VECTOR_BYTES == 32
    if (count == kLanes<T>) return load(source);
    const char* bytes = reinterpret_cast<const char*>(source);
    const index_t size = count * static_cast<index_t>(sizeof(T)), end = size & ~index_t{15};
    __m128i rest = _mm_setzero_si128();  // of less than 16 bytes
    if (size & 8) {
        rest = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + end));
        if (size & 4) rest = _mm_unpacklo_epi64(rest, _mm_loadu_si32(bytes + end + 8));
    } else if (size & 4) {
        rest = _mm_loadu_si32(bytes + end);
    }
    if (end == 0) return (Vec<T>)_mm256_zextsi128_si256(rest);
    return (Vec<T>)_mm256_set_m128i(rest, _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
#else
    Vec<T> value{};
    for (index_t i = 0; i < count; ++i) value[i] = source[i];
    return value;
#endif
}

// Stores the first `count` lanes, 0 to kLanes, and touches no other memory. In pieces with AVX2, as above.
template <class T>
FASTCONV_INLINE void store_first(T* target, index_t count, Vec<T> value) {
#if defined(__AVX512F__) && FASTCONV_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4) {
        _mm512_mask_storeu_ps(target, static_cast<__mmask16>((1U << count) - 1), (__m512)value);
    } else {
        _mm512_mask_storeu_pd(target, static_cast<__mmask8>((1U << count) - 1), (__m512d)value);
    }
#elif defined(__AVX2__) && FASTCONV_VECTOR_BYTES == 32
    if (count == kLanes<T>) return store(target, value);
    char* bytes = reinterpret_cast<char*>(target);
    const index_t size = count * static_cast<index_t>(sizeof(T));
    __m128i rest = _mm256_castsi256_si128((__m256i)value);
    if (size & 16) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes), rest);
        bytes += 16;
        rest = _mm256_extracti128_si256((__m256i)value, 1);
    }
    if (size & 8) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(bytes), rest);
        bytes += 8;
        rest = _mm_unpackhi_epi64(rest, rest);
    }
    if (size & 4) _mm_storeu_si32(bytes, rest);
#else
    for (index_t i = 0; i < count; ++i) target[i] = value[i];
#endif
}

// Stores to an aligned address past the caches. What other threads may read then is seen to where tasks end, in
// core/threads.cpp.
template <class T>
FASTCONV_INLINE void store_past_cache(T* target, Vec<T> value) {
#if defined(__AVX512F__) && FASTCONV_VECTOR_BYTES == 64
    _mm512_stream_si512(reinterpret_cast<__m512i*>(target), (__m512i)value);
#elif defined(__AVX2__) && FASTCONV_VECTOR_BYTES == 32
    _mm256_stream_si256(reinterpret_cast<__m256i*>(target), (__m256i)value);
#elif defined(__SSE2__)
    _mm_stream_si128(reinterpret_cast<__m128i*>(target), (__m128i)value);
#else
    store(target, value);
#endif
}

// Lanes in another order, where one instruction does that: order[i] is the 32-bit word that becomes word i.
#if defined(__AVX2__) && FASTCONV_VECTOR_BYTES >= 32
constexpr bool kPermutes = true;
#else
constexpr bool kPermutes = false;
#endif
using WordOrder = Vec<std::int32_t>;

template <class T>
FASTCONV_INLINE Vec<T> permute(Vec<T> value, WordOrder order) {
#if defined(__AVX512F__) && FASTCONV_VECTOR_BYTES == 64
    // Masked by all lanes, which costs nothing: GCC 12 warns of the unmasked one's undefined operand.
    return (Vec<T>)_mm512_maskz_permutexvar_ps(static_cast<__mmask16>(0xffff), (__m512i)order, (__m512)value);
#elif defined(__AVX2__) && FASTCONV_VECTOR_BYTES == 32
    return (Vec<T>)_mm256_permutevar8x32_ps((__m256)value, (__m256i)order);
#else
    static_cast<void>(order);
    return value;
#endif
}

// Lanes of two vectors: where order[i] is kLanes or more, of the second one. Order's lanes are as wide as Value's.
template <class Value, class Order>
FASTCONV_INLINE Vec<Value> permute_pair(Vec<Value> low, Vec<Value> high, Order order) {
#if defined(__AVX512F__) && FASTCONV_VECTOR_BYTES == 64
    if constexpr (sizeof(Value) == 4)
        return (Vec<Value>)_mm512_permutex2var_ps((__m512)low, (__m512i)order, (__m512)high);
    return (Vec<Value>)_mm512_permutex2var_pd((__m512d)low, (__m512i)order, (__m512d)high);
#else
    if constexpr (!kPermutes) return low;
    WordOrder words = (WordOrder)order;
    if constexpr (sizeof(Value) == 8) words = (WordOrder)((order << 1) | ((order << 33) + (Order{} + (1LL << 32))));
    return order < Order{} + kLanes<Value> ? permute<Value>(low, words) : permute<Value>(high, words);
#endif
}

// NaN compares false and stays: max(0, NaN) is NaN here, as everywhere in this library. Denormals compare equal to 0
// (see core/denormals.h).
template <class T>
FASTCONV_INLINE Vec<T> relu(Vec<T> value) {
    return value <= Vec<T>{} ? Vec<T>{} : value;
}

// The larger one; b where they are equal, or one of them is NaN. One instruction.
template <class T>
FASTCONV_INLINE Vec<T> larger(Vec<T> a, Vec<T> b) {
    return a > b ? a : b;
}

template <class T>
FASTCONV_INLINE bool has_nan(Vec<T> value) {
#if defined(__AVX512F__) && FASTCONV_VECTOR_BYTES == 64
    if constexpr (sizeof(T) == 4) return _mm512_cmp_ps_mask((__m512)value, (__m512)value, _CMP_UNORD_Q) != 0;
    return _mm512_cmp_pd_mask((__m512d)value, (__m512d)value, _CMP_UNORD_Q) != 0;
#else
    using Bits = Vec<std::int64_t>;
    const Bits bits = (Bits)(value != value);
    std::int64_t any = 0;
    for (index_t i = 0; i < kLanes<std::int64_t>; ++i) any |= bits[i];
    return any != 0;
#endif
}

FASTCONV_INLINE constexpr index_t smaller(index_t a, index_t b) { return a < b ? a : b; }

}  // namespace
}  // namespace fastconv
