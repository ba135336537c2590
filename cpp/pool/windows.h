// How both poolings walk over their windows: forward by blocks of output rows, each with the addresses of
// its windows gathered first; backward by images and channels, because windows may overlap and each task
// has to own what it adds to.
#pragma once

#include <algorithm>

#include "core/isa.h"
#include "core/memory.h"
#include "core/row_map.h"
#include "core/threads.h"

namespace fastconv {

// Rows whose addresses are gathered at a time: few when windows are large (global pooling).
inline index_t window_rows(const RowMap& map) { return std::clamp<index_t>(4096 / map.taps(), 1, 64); }

// Calls visit(first row, rows, worker) for blocks of output rows, in parallel.
template <class Visit>
void for_each_window_block(const RowMap& map, int threads, const Visit& visit) {
    const index_t block = window_rows(map);
    parallel_for(ceil_div(map.rows(), block), threads, [&](index_t task, int worker) {
        visit(task * block, std::min(block, map.rows() - task * block), worker);
    });
}

inline int window_threads(const RowMap& map, index_t channels) {
    const double work = 2.0 * static_cast<double>(map.rows() * channels) * static_cast<double>(map.taps());
    return worthwhile_threads(work, map.rows());
}

// Calls visit(image, first channel, channels, worker), in parallel.
template <class Visit>
void for_each_image_part(index_t batch, index_t channels, int threads, const Visit& visit) {
    constexpr index_t kChannels = 64;
    const index_t chunks = ceil_div(channels, kChannels);
    parallel_for(batch * chunks, threads, [&](index_t task, int worker) {
        const index_t channel = task % chunks * kChannels;
        visit(task / chunks, channel, std::min(kChannels, channels - channel), worker);
    });
}

}  // namespace fastconv
