// Arrays of any length, cut for threads to share.
#pragma once

#include <algorithm>

#include "core/arithmetic.h"
#include "core/threads.h"

namespace fastconv {

// Calls visit(first, count) over chunks that keep a thread busy for some microseconds. `work` is how many operations a
// value costs, for the choice of threads.
template <class Visit>
void for_each_chunk(double work, index_t count, const Visit& visit) {
    constexpr index_t kChunk = 32768;
    const index_t chunks = ceil_div(count, kChunk);
    const int threads = worthwhile_threads(work * static_cast<double>(count), chunks);
    parallel_for(chunks, threads,
                 [&](index_t chunk, int) { visit(chunk * kChunk, std::min(kChunk, count - chunk * kChunk)); });
}

}  // namespace fastconv
