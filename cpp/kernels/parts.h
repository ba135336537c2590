// Rows of any length, a vector at a time, the last one in part.
#pragma once

#include "kernels/vec.h"

namespace fastconv {
namespace {

template <int number>
struct Constant {
    static constexpr int value = number;
};

template <class T>
FASTCONV_INLINE Vec<T> load_part(const T* source, index_t lanes) {
    return lanes == kLanes<T> ? load(source) : load_first(source, lanes);
}

template <class T>
FASTCONV_INLINE void store_part(T* target, index_t lanes, Vec<T> value) {
    if (lanes == kLanes<T>) return store(target, value);
    store_first<T>(target, lanes, value);
}

// Calls visit(c, lanes) for every vector of columns, the last one in part.
template <class T, class Visit>
FASTCONV_INLINE void for_each_vector(index_t columns, const Visit& visit) {
    index_t c = 0;
    for (; c + kLanes<T> <= columns; c += kLanes<T>) visit(c, kLanes<T>);
    if (c < columns) visit(c, columns - c);
}

template <class T>
FASTCONV_INLINE T sum_of_lanes(Vec<T> value) {
    alignas(64) T lanes[kLanes<T>];
    store(lanes, value);
#pragma GCC unroll 8
    for (index_t half = kLanes<T> / 2; half > 0; half /= 2)
        for (index_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    return lanes[0];
}

}  // namespace
}  // namespace fastconv
