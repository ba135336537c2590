// How a product over tiles is cut: what is transformed together, what is multiplied together, and which of its two
// regimes it has (conv/tile_product.h).
#pragma once

#include <algorithm>

#include "conv/tile_product.h"
#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/threads.h"
#include "gemm/segments.h"
#include "gemm/streaming.h"

namespace fastconv {

constexpr index_t kLateTiles = 96;       // at most so many are "few"
constexpr index_t kLateBytes = 1 << 20;  // of a group's transformed weight, where there are several
constexpr index_t kLateChannels = 64;    // whose weights are transformed at a time
constexpr index_t kChannels = 640;       // of the reduction between loads and stores of the sums
constexpr index_t kFewestTiles = 16, kMostTiles = 96;
// Each block meets the whole transformed weight. One that stays in no cache comes from memory every time, while blocks
// of this size come from the last cache: 512 to 512 channels are 1.1 to 1.2 times as fast, with half the weight 0.9
// to 1.1, with a quarter 0.8 to 1.
constexpr index_t kLargestCachedWeight = index_t{24} << 20;
constexpr index_t kFewestTilesUncached = 64, kMostUncachedBytes = index_t{16} << 20;  // of a block
constexpr index_t kBlockBytes = 640 << 10;  // of transformed tiles and products: what L2 holds beside the weight
constexpr index_t kEnoughTiles = 32;        // where taps join the reduction: fewer at a time, so that as many fit

// What so many vectors of columns make of a task: few make little of a value that is loaded, and short runs of the
// weight's rows little of memory (128 bytes in every 2048 come at a fourth of its bandwidth, measured).
constexpr double kLateUse[] = {0.7, 0.85, 0.95, 1};

struct TileProductPlan {
    index_t planes, tiles, tiles_per_block, blocks;
    index_t taps_per_block, channels_per_block;                 // of the reduction,
    index_t channel_blocks, depth_blocks;                       // tap-major
    index_t columns_per_segment, segments_per_group, segments;  // a segment is some columns of one group
    index_t source_channels, source_pitch, source_plane;        // of transformed tiles
    index_t product_pitch, product_plane;                       // of products
    index_t panel_plane;         // of the transformed weight, a segment and block of the reduction at a time
    index_t channels_per_piece;  // of the weight that is transformed at a time
    bool late;     // tasks are columns of all tiles, not tiles, and transform the weight of these themselves
    bool streams;  // the target is written past the caches
    int threads;
};

template <class T>
TileProductPlan make_plan(const TileProduct<T>& c, const Kernels<T>& kernels) {
    TileProductPlan plan{};
    const index_t taps = c.tiles.taps();
    plan.planes = c.tiles.scheme.planes();
    plan.tiles = c.tiles.count();
    const double operations = 2.0 * static_cast<double>(plan.planes * plan.tiles * taps) *
                              static_cast<double>(c.source_channels() * c.target_depth());
    const int threads = worthwhile_threads(operations, plan.tiles * c.g.groups * c.target_depth());

    const index_t weight_bytes =
        plan.planes * static_cast<index_t>(sizeof(T)) * taps * c.source_depth() * c.target_depth();
    plan.late = plan.tiles <= kLateTiles && (c.g.groups == 1 || weight_bytes > kLateBytes);
    const index_t most_channels = plan.late ? kLateChannels : kChannels;
    const auto tile_bytes = [&](index_t tile_taps) {
        return plan.planes * static_cast<index_t>(sizeof(T)) * (tile_taps * c.source_depth() + c.target_depth());
    };
    plan.taps_per_block = taps;
    while (!plan.late && plan.taps_per_block > 1 && kBlockBytes / tile_bytes(plan.taps_per_block) < kEnoughTiles)
        --plan.taps_per_block;
    const index_t tap_blocks = ceil_div(taps, plan.taps_per_block);
    plan.taps_per_block = ceil_div(taps, tap_blocks);
    plan.channel_blocks = ceil_div(c.source_depth(), std::max<index_t>(most_channels / plan.taps_per_block, 1));
    plan.channels_per_block = ceil_div(c.source_depth(), plan.channel_blocks);
    plan.depth_blocks = tap_blocks * plan.channel_blocks;
    plan.channels_per_piece = plan.late ? plan.channels_per_block : std::min(plan.channels_per_block, kLateChannels);

    if (plan.late) {
        plan.tiles_per_block = plan.tiles;
        plan.columns_per_segment =
            best_vectors(ceil_div(c.target_depth(), kernels.vector_width), c.g.groups, threads, kLateUse) *
            kernels.vector_width;
        plan.columns_per_segment = std::min(plan.columns_per_segment, c.target_depth());
    } else {
        const index_t affordable = kMostUncachedBytes / tile_bytes(plan.taps_per_block);
        const index_t fewest = weight_bytes > kLargestCachedWeight
                                   ? std::clamp(affordable, kFewestTiles, kFewestTilesUncached)
                                   : kFewestTiles;
        const index_t fitting = std::clamp(kBlockBytes / tile_bytes(plan.taps_per_block), fewest, kMostTiles);
        plan.tiles_per_block = round_up(fitting, kernels.row_tile);
        if (threads > 1 && plan.tiles * c.g.groups < 4 * threads * plan.tiles_per_block) {
            const Blocks blocks = best_blocks(plan.tiles, kernels.row_tile, fitting, c.g.groups, threads);
            plan.tiles_per_block = round_up(ceil_div(plan.tiles, blocks.count), kernels.row_tile);
        }
        plan.columns_per_segment = c.target_depth();
    }
    plan.blocks = ceil_div(plan.tiles, plan.tiles_per_block);
    plan.tiles_per_block = ceil_div(plan.tiles, plan.blocks);
    plan.segments_per_group = ceil_div(c.target_depth(), plan.columns_per_segment);
    plan.segments = c.g.groups * plan.segments_per_group;

    plan.source_channels = plan.late ? c.source_channels() : c.source_depth();
    plan.source_pitch = odd_lines<T>(plan.taps_per_block * plan.source_channels + kernels.vector_width - 1);
    plan.source_plane = odd_lines<T>(plan.source_pitch * plan.tiles_per_block);
    plan.product_pitch = odd_lines<T>(round_up(plan.columns_per_segment, kernels.vector_width));
    plan.product_plane = odd_lines<T>(plan.product_pitch * plan.tiles_per_block);
    plan.panel_plane = odd_lines<T>(plan.taps_per_block * plan.channels_per_block *
                                    round_up(plan.columns_per_segment, kernels.vector_width));
    // A vector has to be a whole line: the halves of one would be written at different times.
    plan.streams = kernels.vector_width * static_cast<index_t>(sizeof(T)) == 64 &&
                   may_stream(c.target, c.g.batch, c.tiles.targets(), c.g.groups * c.target_depth(), c.target_depth());
    plan.threads = worthwhile_threads(operations, plan.blocks * plan.segments);
    return plan;
}

}  // namespace fastconv
