// Results so large that little of them would be left in the caches are written past them. An ordinary store reads a
// line of memory before it changes it: where a pass does little with a value, that is a third of its time.
#pragma once

#include <algorithm>

#include "core/isa.h"
#include "core/machine.h"
#include "core/memory.h"

namespace fastconv {

// Whether a result of so many values should be: see gemm/streaming.h for the measurement.
template <class T>
bool worth_streaming(index_t values) {
    return values * static_cast<index_t>(sizeof(T)) > last_cache_bytes() / 4;
}

// fill(first, count, target) computes values [first, first + count), whole units of them but for the last ones. With
// `stream` it does so in pieces that stay in L1 until they are copied to where they belong.
template <class T, class Fill>
void write_values(bool stream, index_t count, index_t unit, T* target, const Fill& fill) {
    constexpr index_t kScratch = 8192 / sizeof(T);
    if (!stream || unit > kScratch) return fill(index_t{0}, count, target);
    alignas(kAlignment) T scratch[kScratch];
    const index_t step = kScratch / unit * unit;
    for (index_t first = 0; first < count; first += step) {
        const index_t size = std::min(step, count - first);
        fill(first, size, static_cast<T*>(scratch));
        kernels<float>().stream(scratch, size * static_cast<index_t>(sizeof(T)), target + first);
    }
}

}  // namespace fastconv
