// Element by element: copies past the caches, and sums.
#pragma once

#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// Ordinary stores read a line of memory before they change it; these write it alone, and leave the caches to others.
inline void stream(const void* source, index_t bytes, void* target) noexcept {
    const char* from = static_cast<const char*>(source);
    char* to = static_cast<char*>(target);
    index_t i = 0;
    for (; i < bytes && reinterpret_cast<std::uintptr_t>(to + i) % FASTCONV_VECTOR_BYTES != 0; ++i) to[i] = from[i];
    for (; i + kLanes<char> <= bytes; i += kLanes<char>) store_past_cache(to + i, load(from + i));
    for (; i < bytes; ++i) to[i] = from[i];
}

template <class T>
T sum_of(const T* values, index_t count) noexcept {
    Vec<T> sums[8] = {};
    index_t i = 0;
    for (; i + 8 * kLanes<T> <= count; i += 8 * kLanes<T>)
#pragma GCC unroll 8
        for (int k = 0; k < 8; ++k) sums[k] += load(values + i + k * kLanes<T>);
    T sum = 0;
    for (int k = 0; k < 8; ++k)
        for (index_t lane = 0; lane < kLanes<T>; ++lane) sum += sums[k][lane];
    for (; i < count; ++i) sum += values[i];
    return sum;
}

}  // namespace
}  // namespace fastconv
