// How a sum of outer products is cut: into slices of rows, blocks of these, and parts of the result
// (gemm/outer_product.h).
#pragma once

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/threads.h"
#include "gemm/outer_product.h"
#include "gemm/segments.h"
#include "gemm/streaming.h"

namespace fastconv {

// The rows whose right-hand side is packed at a time (a panel of 256 x 16 floats is half of L1), the
// taps whose pointers are gathered at a time, and the most slices that a product is cut into.
constexpr index_t kRows = 256;
constexpr index_t kTaps = 16;
constexpr index_t kMostSlices = 32;
// The most tasks that a thread should have, and what each of a slice costs it, which packs what others pack as well:
// so little that two threads have four each, which shares evenly what another program takes.
constexpr index_t kMostRounds = 4;
constexpr double kCutCost = 0.015;
constexpr index_t kFewestRowsPerSlice = 512;
constexpr index_t kMostPartialSums = index_t{1} << 22;  // values: 16 MB of float32
constexpr index_t kColumns = 512;
// Channels that are laid out at a time: 96 of 256 rows are 96 KB of L2.
constexpr index_t kPackedChannels = 96;
// Rows of at most so many values come as pieces of lines, for all taps at once: at most so many sums. Measured, Zen 4,
// time without over time with: 3x3 1->32 (3 values) 2.4, 3x3 3->64 (9) 1.4, 4x4 3->96 (12) 1.05, 5x20 1->32 (20) 1.1,
// 7x7 3->64 (21) 1.02 and, float64, 0.94, 11x11 3->64 (33) 0.87.
constexpr index_t kShortRow = 20, kFewSums = 512;
// Tiles of sums walk down the columns of long rows on the right, which no prefetcher follows: fewer rows at a time, and
// the next ones fetched. From memory, 1-D 10 taps 1->512: 2.4 times as fast, float64 2.1; with 64 columns 0.95, from
// the last cache 0.88.
constexpr index_t kLongRightRow = 1024, kFarRightBytes = index_t{16} << 20, kFetchedBytes = index_t{64} << 10,
                  kFewestRows = 32;
// Of a single tap, both sides are met once, and fetched while other rows are multiplied: few at a time, so that they
// stay in L2 until then. Measured, Zen 3, 1x1, time over time with 256 rows: with 64 KB 0.88 (64 -> 256), 0.91 (116 ->
// 116, 256 -> 64), with 96 KB 0.9, 0.87, 0.87, with 160 KB 0.87, 1.06, 0.94. Each block loads and stores the sums:
// 128 -> 512, of which there are 256 KB, 1.0, 1.04, 1.0.
constexpr index_t kNearBytes = index_t{96} << 10, kNearSums = index_t{128} << 10, kFewestNearRows = 64;
// Where a segment's rows meet more than so many times as many pixels, counting those between, none are fetched.
constexpr index_t kMostPixels = 8;

// Slices of rows with sums of their own while these are small; else, and beyond that, parts of the
// (tap, channel) rows of the result, and its columns, with nothing to add up afterwards.
struct OuterProductPlan {
    index_t rows, taps, result_rows, result_size;
    index_t slices, rows_per_slice, rows_per_block;
    index_t parts, result_rows_per_part;
    index_t columns_per_segment, segments_per_group, segments, segments_per_task, segment_tasks;
    index_t padded_columns;
    bool narrow;   // vectors run along the channels of the source
    bool packs;    // the channels of the source are laid out anew for the kernel
    bool lines;    // short rows, evenly spaced on lines
    bool direct;   // whose right-hand side needn't be packed
    bool fetches;  // the right-hand side, ahead
    bool streams;  // sums go past the caches
    bool apart;    // segments one by one, each with many taps
    int threads;

    index_t tasks() const { return slices * parts * segment_tasks; }
};

// Into how many tasks a slice is cut, so that threads share evenly.
inline index_t best_cuts(index_t slices, index_t most, int threads) {
    if (threads == 1) return 1;
    most = std::min(most, kMostRounds * threads / slices);
    index_t best = 1;
    double least = 0;
    for (index_t cuts = 1; cuts <= most; ++cuts) {
        const auto waits = static_cast<double>(ceil_div(slices * cuts, threads));
        const double time = (waits + kUneven) * (1 + kCutCost * static_cast<double>(cuts)) / static_cast<double>(cuts);
        if (cuts > 1 && time >= least) continue;
        best = cuts;
        least = time;
    }
    return best;
}

template <class T>
OuterProductPlan make_plan(const OuterProduct<T>& product, const Kernels<T>& kernels) {
    constexpr index_t value = sizeof(T);
    OuterProductPlan plan{};
    plan.rows = product.source.map.rows();
    plan.taps = product.source.map.taps();
    plan.result_rows = plan.taps * product.depth;
    plan.result_size = plan.result_rows * product.groups * product.columns;

    plan.narrow = is_narrow(product.depth, product.columns, kernels.vector_width);
    plan.packs = lays_out_channels(product.groups, product.columns, product.source.tensor.channels);
    plan.apart = product.groups > 1 && plan.taps > 1 && !plan.packs;

    plan.lines = !plan.narrow && product.source.has_short_rows(kShortRow) && plan.result_rows <= kFewSums;
    plan.direct = plan.lines && product.columns % kernels.vector_width == 0 && !product.right_in_planes();
    if (plan.lines) plan.packs = false;

    const index_t affordable = kMostPartialSums / std::max<index_t>(plan.result_size, 1);
    plan.slices = std::clamp<index_t>(std::min(plan.rows / kFewestRowsPerSlice, affordable), 1, kMostSlices);
    plan.rows_per_slice = ceil_div(plan.rows, plan.slices);
    plan.fetches = plan.lines && !product.right_in_planes() && product.columns * value >= kLongRightRow &&
                   plan.rows * product.columns * value >= kFarRightBytes;
    index_t most_rows = kRows;
    if (plan.fetches) {
        most_rows = std::clamp(kFetchedBytes / (product.columns * value), kFewestRows, kRows);
    } else if (plan.taps == 1 && !plan.lines && !plan.narrow && plan.result_size * value <= kNearSums) {
        const index_t row = product.groups * (product.depth + product.columns);
        most_rows = std::clamp(kNearBytes / std::max<index_t>(row * value, 1), kFewestNearRows, kRows);
    }
    plan.rows_per_block = ceil_div(plan.rows_per_slice, std::max<index_t>(ceil_div(plan.rows_per_slice, most_rows), 1));

    // Parts change no bit, so there are only as many as the threads need: each packs the right-hand side for itself.
    const double operations = 2.0 * static_cast<double>(plan.rows) * static_cast<double>(plan.result_size);
    const index_t most_parts = plan.lines ? 1 : ceil_div(plan.result_rows, 8 * kernels.row_tile);
    const index_t most_cuts = most_parts * product.groups * ceil_div(product.columns, kernels.panel_width);
    const index_t cuts = best_cuts(plan.slices, most_cuts, worthwhile_threads(operations, plan.slices * most_cuts));
    // Segments are narrower only where there can't be as many parts.
    const index_t column_cuts = ceil_div(cuts, most_parts * product.groups);
    plan.columns_per_segment =
        std::min({kColumns, product.columns, round_up(ceil_div(product.columns, column_cuts), kernels.panel_width)});
    plan.segments_per_group = ceil_div(product.columns, plan.columns_per_segment);
    plan.segments = product.groups * plan.segments_per_group;
    // Segments first: they share no work at all.
    plan.segments_per_task = ceil_div(plan.segments, std::min(cuts, plan.segments));
    plan.segment_tasks = ceil_div(plan.segments, plan.segments_per_task);

    plan.parts = std::min(ceil_div(cuts, plan.segment_tasks), most_parts);
    plan.result_rows_per_part = ceil_div(plan.result_rows, plan.parts);
    plan.parts = ceil_div(plan.result_rows, plan.result_rows_per_part);

    plan.padded_columns = round_up(plan.columns_per_segment, kernels.vector_width);

    plan.streams = !plan.narrow && !plan.lines && plan.slices == 1 && plan.rows_per_block >= plan.rows &&
                   may_stream(product.sums, plan.result_rows * product.sums_pitch,
                              {product.sums_pitch, product.columns, kernels.panel_width});
    plan.threads = worthwhile_threads(operations, plan.tasks());
    return plan;
}

}  // namespace fastconv
