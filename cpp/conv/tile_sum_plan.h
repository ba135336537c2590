// How a sum over tiles is cut: what is transformed and added up together, and who shares it (conv/tile_sum.h).
#pragma once

#include <algorithm>
#include <numeric>

#include "conv/tile_sum.h"
#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/threads.h"
#include "gemm/streaming.h"

namespace fastconv {

// Bytes of tiles, input and gradient, that are summed at a time. Measured, 64 and 128 channels: 1 to 2 MB is 1.05
// to 1.15 times as fast as 4, 16 MB takes 1.2 times as long. That is with
// two threads; more have as much each, as they meet twice a round (16 threads, 64 channels: 1.4 times as fast).
constexpr index_t kRoundBytes = index_t{2} << 20;  // of two threads
// Sums that no cache holds go to memory and back every round: with 10 MB of them and more, rounds of as many bytes are
// 1.2 to 1.55 times as fast (of twice as many 1.05 times that, for another 35 MB with AlexNet). With 9 MB 1.05 to 1.25
// where other programs use the last cache, 0.85 to 0.95 where it is free for them, with 5 MB 1.15 and 0.85.
constexpr index_t kLargestCachedSums = index_t{8} << 20, kMostRoundBytes = index_t{64} << 20;
constexpr index_t kMostLocalBytes = index_t{16} << 20;  // of all tiles, or as many as the sums have
constexpr index_t kChain = 32;                          // tiles that are summed up before their sum is added
constexpr index_t kTogether = 8;                        // tiles, or channels of the weight, that a task transforms
constexpr index_t kColumns = 96;                        // of a segment
constexpr index_t kPartChannels = 48;                   // of a part, where it stays in L2 until it is restored
constexpr index_t kLargeSums = index_t{4} << 20;        // bytes: not to be kept in memory from round to round

// Slices, measured on two cores, with a common last cache and without: 32 to 64 channels 1.05 and 1.8 times as fast as
// rounds that both share, 64 to 64 1.05 and 1.7, 128 to 128, whose sums are larger than L2, 0.9 to 1.4. Twice as many
// slices, with the adding that they cost, take 1.05 times as long. Bands: groups of 32 and 64 channels 1.25 and 1.7,
// groups of 16 0.94 and 1.8, with half the bytes 0.87.
constexpr index_t kFewestSliceTiles = 384;                 // of a slice
constexpr index_t kMostSliceBytes = index_t{3} << 20;      // of the sums of a slice
constexpr index_t kMostSumsBytes = index_t{6} << 20;       // of all slices
constexpr index_t kLonelyRoundBytes = index_t{512} << 10;  // of tiles that one thread transforms and sums up
constexpr index_t kBandBytes = index_t{768} << 10;         // likewise, of a chain of tiles of a band of groups,
constexpr index_t kFewChannels = 16;                       // which is twice as large where they have so few channels

// Round after round, tiles of the input and of the gradient are transformed and their outer products added up, point by
// point. There are three ways to share that among threads, and the first two give the same bits:
// - threads share each round, first its tiles, then its points, and meet twice a round;
// - where the sums are small, tiles come in slices with sums of their own, and a slice is one thread's alone. What a
//   core transforms, no other one reads, which matters where the cores have no cache in common; the same goes for bands
//   of groups, which share nothing;
// - where the sums are large and all tiles fit into one round, each task has all points of a part of the result, which
//   it restores while the sums are in L2.
// A sum takes its tiles in order, and the slices are added in order, whatever the number of threads.
struct TileSumPlan {
    index_t planes, tiles, tiles_per_round;
    index_t slices, tiles_per_slice;
    index_t depth, rows, columns;  // channels of a group, (tap, channel) rows of the sums, columns of a group
    index_t bands, groups_per_band;
    index_t source_pitch, source_plane;
    index_t columns_per_segment, segments_per_group, segments;
    index_t panel_segment, panel_plane;
    index_t parts, channels_per_part;
    index_t taps_per_sum;  // one; all, where a tap's channels fill no tile of sums, of one group
    index_t sums_pitch, sums_plane, sums_size;
    bool local;    // one round, sums per task
    bool alone;    // a slice, or a band of it, is one thread's
    bool streams;  // the gradient is written past the caches
    int threads;

    index_t band_inputs() const { return groups_per_band * depth; }
    index_t band_segments() const { return groups_per_band * segments_per_group; }

    index_t rooms() const { return alone ? threads : 1; }  // for the tiles of a round

    index_t padded_rows() const { return local ? channels_per_part : rows; }
};

template <class T>
TileSumPlan make_plan(const TileSum<T>& s, const Kernels<T>& kernels) {
    constexpr index_t value = sizeof(T);
    TileSumPlan plan{};
    plan.planes = s.tiles.scheme.planes();
    plan.tiles = s.tiles.count();
    plan.depth = s.g.group_inputs();
    plan.columns = s.g.group_outputs();
    plan.rows = s.tiles.taps() * plan.depth;
    const double operations =
        2.0 * static_cast<double>(plan.planes * plan.rows * s.g.out_channels) * static_cast<double>(plan.tiles);
    const int threads = worthwhile_threads(operations, plan.planes * plan.rows);

    const index_t tile_bytes = plan.planes * value * (s.tiles.taps() * s.g.in_channels + s.g.out_channels);
    const index_t sums_bytes = plan.planes * value * plan.rows * s.g.out_channels;
    plan.local = sums_bytes >= kLargeSums && tile_bytes * plan.tiles <= std::max(sums_bytes, kMostLocalBytes);
    plan.slices = 1;
    if (sums_bytes <= kMostSliceBytes) {
        while (2 * plan.slices * kFewestSliceTiles <= plan.tiles && 2 * plan.slices * sums_bytes <= kMostSumsBytes)
            plan.slices *= 2;
    }
    plan.tiles_per_slice = ceil_div(plan.tiles, plan.slices);
    const auto shares_evenly = [&](index_t n) { return n > 1 && (n % threads == 0 || n >= 3 * threads); };
    plan.bands = 1;
    if (!plan.local && !shares_evenly(plan.slices)) {
        const index_t fitting = ceil_div(kChain * tile_bytes, kBandBytes * (plan.depth > kFewChannels ? 1 : 2));
        // Whole vectors: without masks, a tail's transforms may be contracted differently, and round differently.
        const index_t whole = kernels.vector_width / std::gcd(plan.depth, kernels.vector_width);
        plan.groups_per_band = std::min(round_up(ceil_div(s.g.groups, round_up(fitting, threads)), whole), s.g.groups);
        plan.bands = ceil_div(s.g.groups, plan.groups_per_band);
        if (2 * (plan.bands * plan.groups_per_band - s.g.groups) > plan.groups_per_band)
            plan.bands = 1;  // a small rest
    }
    plan.alone = shares_evenly(plan.slices * plan.bands);
    if (!plan.alone || plan.bands == 1) {
        plan.bands = 1;
        plan.groups_per_band = s.g.groups;
    }
    const index_t band_bytes = tile_bytes / s.g.groups * plan.groups_per_band;
    const index_t large_bytes = sums_bytes > kLargestCachedSums ? std::min(sums_bytes, kMostRoundBytes) : 0;
    const index_t shared_bytes = std::max(kRoundBytes * std::max(threads / 2, 1), large_bytes);
    const index_t round_tiles = (plan.alone ? kLonelyRoundBytes : shared_bytes) / band_bytes;
    plan.tiles_per_round =
        plan.local ? plan.tiles : std::min(plan.tiles_per_slice, round_up(std::max(round_tiles, kChain), kChain));
    plan.source_pitch = odd_lines<T>(s.tiles.taps() * plan.band_inputs() + kernels.vector_width - 1);
    plan.source_plane = odd_lines<T>(plan.source_pitch * plan.tiles_per_round);

    plan.columns_per_segment = std::min(round_up(kColumns, kernels.panel_width), plan.columns);
    plan.segments_per_group = ceil_div(plan.columns, plan.columns_per_segment);
    plan.segments = plan.segments_per_group * s.g.groups;
    plan.panel_segment = plan.tiles_per_round * round_up(plan.columns_per_segment, kernels.vector_width);
    plan.panel_plane = odd_lines<T>(plan.panel_segment * plan.band_segments());

    // A vector has to be a whole line: the halves of one would be written at different times.
    plan.streams = kernels.vector_width * value == 64 &&
                   may_stream(s.grad_weight, s.g.weight_size(), {plan.columns, plan.columns_per_segment});

    // Enough tasks for the threads to share evenly.
    const index_t wanted = 8 * threads, splits = plan.local ? plan.segments * s.tiles.taps() : plan.planes;
    const index_t most_parts = std::max<index_t>(plan.depth / (4 * kernels.row_tile), 1);
    plan.parts = std::clamp<index_t>(ceil_div(wanted, splits), 1, most_parts);
    if (plan.local) plan.parts = std::max(plan.parts, ceil_div(plan.depth, kPartChannels));
    plan.channels_per_part = round_up(ceil_div(plan.depth, plan.parts), kernels.row_tile);
    plan.parts = ceil_div(plan.depth, plan.channels_per_part);
    plan.taps_per_sum = plan.depth < kernels.row_tile && s.g.groups == 1 && !plan.local ? s.tiles.taps() : 1;

    const index_t width = plan.local ? plan.columns_per_segment : s.g.out_channels;
    plan.sums_pitch = odd_lines<T>(round_up(width, kernels.vector_width));
    plan.sums_plane = odd_lines<T>(plan.sums_pitch * plan.padded_rows());
    plan.sums_size = plan.planes * plan.sums_plane;
    plan.threads = worthwhile_threads(operations, plan.alone ? plan.slices * plan.bands : plan.parts * splits);
    return plan;
}

}  // namespace fastconv
