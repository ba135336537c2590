// Whether a product should write its target past the caches: where it is so large that little of it would be left
// there, and every cache line of it belongs to one row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "core/machine.h"
#include "core/memory.h"
#include "core/tensor.h"

namespace fastconv {

// The last cache is shared, with the source and with other cores: a target of more than this part of it is streamed.
// Measured on a Zen 4 with 32 MiB, time with the whole over time with a quarter: depthwise 3x3 with targets of 13
// MB 1.3, 1x1 64 -> 256 with 13 MB 1.2, others 0.98 to 1.1; with a third, targets of 9 MB: depthwise 0.8, 3x3 64 ->
// 256 1.08.
constexpr index_t kStreamedShare = 4, kStreamedLaneShare = 3;

// A target of so many values, of which rows begin at multiples of all these strides.
template <class T>
bool may_stream(const T* target, index_t values, std::initializer_list<index_t> strides,
                index_t share = kStreamedShare) {
    constexpr index_t line = 64 / sizeof(T);
    index_t common = 0;  // its lowest bits are zero where all of theirs are
    for (const index_t stride : strides) common |= stride;
    return values * static_cast<index_t>(sizeof(T)) > last_cache_bytes() / share && common % line == 0 &&
           reinterpret_cast<std::uintptr_t>(target) % kAlignment == 0;
}

// A target of so many rows and columns, which may be a part of a larger one (a phase of a gradient). Rows are written
// in pieces of so many columns, those of a group or of a task.
template <class T>
bool may_stream(const TensorView<T>& target, index_t batch, index_t rows, index_t columns, index_t piece,
                index_t share = kStreamedShare) {
    const index_t values = std::max(rows * columns, batch * target.batch_stride), inside = piece < columns ? piece : 0;
    return may_stream(target.data, values,
                      {target.batch_stride, columns, inside, target.strides[0], target.strides[1], target.strides[2]},
                      share);
}

}  // namespace fastconv
