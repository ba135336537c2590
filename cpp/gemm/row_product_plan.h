// How a product of rows and a matrix is cut: what is packed together, what is multiplied together, and by which of its
// ways (gemm/row_product.h).
#pragma once

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/machine.h"
#include "core/threads.h"
#include "gemm/row_product.h"
#include "gemm/segments.h"
#include "gemm/streaming.h"

namespace fastconv {

// Block sizes, after the caches: a panel of 640 x 48 floats streams from L2, beside 144 rows. Measured on a Zen 4 with
// AVX-512 and with AVX2, 3x3, 5x5 and 1x1 layers: a depth of 128, 256, 384, 640 and 1200 took 1.07, 1.04, 1.01, 1 and 1
// of the time, because each block loads and stores the sums; 96 to 288 rows made no difference.
constexpr index_t kDepth = 640;
constexpr index_t kNarrowDepth = 1024;  // of a few columns
constexpr index_t kRows = 144;
constexpr index_t kColumns = 512;
// Rows of at most so many values come as lines, whole sums of at most so many at a time.
constexpr index_t kShortRow = 48, kShortSum = 512;
// Where rows are few: the most of a block, and the numbers of splits of the columns that are weighed.
constexpr index_t kMostRows = 288;
constexpr index_t kSplits[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
// What storing a value costs, in products; it is all that there is where no tap meets a row. Guessed, and measured as a
// whole on two and on 16 cores.
constexpr index_t kStoreCost = 8;
// With late packing the panels are the smaller part of L2 (4 of 256 rows are 64 KB), and a block has more rows.
constexpr index_t kLateRows = 288, kFewRowBlocks = 2;
// What a task makes of so many vectors of columns: panels of one or two aren't as fast as those of three.
constexpr double kLateUse[] = {0.7, 0.9, 0.97, 0.95, 0.96, 0.98, 0.97, 0.98, 1, 0.98, 0.99, 1};

// Of a single tap, a late block of the matrix is long in the direction of memory: where that is along the rows (the
// matrix is stored transposed), deep, and narrow enough for as many values; and where few rows wait for it to come from
// memory, wide and shallow. Measured, time of 640 x 12 vectors over this: gradients of the input, 32 rows, 9216 -> 4096
// 1.08 to 1.17, 64 and 392 rows 1.02 to 1.09; forward, 32 rows, 9216 -> 4096 1.2, 64 rows 1.03 to 1.2;
// with AVX2 1.5 forward, backwards 0.88 and, 4096 -> 4096, 1.15.
constexpr index_t kLateBytes = index_t{480} << 10;  // of a block
constexpr index_t kTransposedDepth = 2560;
constexpr index_t kShallowDepth = 160, kShallowRows = 64, kShallowVectors = 32;

// How a product is cut. Every target value is computed in one task, its sum in the order of the
// reduction; so none of this changes a bit of the result.
struct RowProductPlan {
    index_t rows, taps, reduction;
    index_t taps_per_block, depth_blocks, depth_per_block, blocks;  // the reduction: tap-major, channels inside
    index_t rows_per_block, row_blocks;
    index_t columns_per_segment, segments_per_group, segments;  // a segment is some columns of one group
    index_t padded_columns, padded_reduction;                   // of a segment
    bool narrow;                                                // vectors run along the rows
    bool lines;                                                 // short rows, evenly spaced on lines
    bool streams;                                               // the target is written past the caches
    bool few_rows;                                              // the matrix is the larger part
    bool packs_late;                                            // each task packs its panels itself, block by block
    bool shallow;                                               // of many columns, which come from memory
    index_t segments_per_task, segment_tasks;
    int threads;

    index_t tasks() const { return row_blocks * segment_tasks; }
    index_t panels() const { return segments * padded_reduction * padded_columns; }  // of the whole matrix
    index_t late_panels() const { return taps_per_block * depth_per_block * padded_columns; }
};

template <class T>
index_t padded_depth(const RowProductPlan& plan, const Kernels<T>& kernels) {
    return round_up(plan.depth_per_block, kernels.vector_width);
}

// Columns of groups, cut into segments and these shared by tasks, after a number of splits that is wanted.
struct Columns {
    index_t per_segment, segments_per_group, segments, segments_per_task, segment_tasks;

    Columns(index_t columns, index_t groups, index_t splits, index_t panel_width) {
        const index_t group_splits = std::max(ceil_div(splits, groups), ceil_div(columns, kColumns));
        per_segment = std::min(round_up(ceil_div(columns, group_splits), panel_width), columns);
        segments_per_group = ceil_div(columns, per_segment);
        segments = groups * segments_per_group;
        segments_per_task = ceil_div(segments, std::min(splits, segments));
        segment_tasks = ceil_div(segments, segments_per_task);
    }
};

struct Cut {
    index_t row_blocks, splits;  // splits of the columns of all groups
};

// Where there are too few rows for every thread to have several whole blocks.
template <class T>
Cut best_cut(const RowProduct<T>& product, const RowProductPlan& plan, const Kernels<T>& kernels, int threads) {
    const index_t panels = product.groups * ceil_div(product.columns, kernels.panel_width),
                  most = std::min<index_t>(panels, 2 * threads);
    Cut best{1, 1};
    double least = 0;
    for (const index_t wanted : kSplits) {
        const index_t splits = std::min(wanted, most);
        const Columns columns(product.columns, product.groups, splits, kernels.panel_width);
        const auto width =
            static_cast<double>(columns.segments_per_task * round_up(columns.per_segment, kernels.vector_width));
        // A value of a row is loaded as well, once for all taps, and meets all columns of the task.
        const double row_cost = 1 + kLoadCost / (width * static_cast<double>(std::max<index_t>(plan.taps, 1)));
        const Blocks blocks =
            best_blocks(plan.rows, kernels.row_tile, kMostRows, columns.segment_tasks, threads, kLoadCost / row_cost);
        const double time = blocks.time * row_cost * width;
        if (least == 0 || time < least) {
            best = {blocks.count, splits};
            least = time;
        }
        if (wanted >= most) break;
    }
    return best;
}

// Whether few rows wait for a matrix that comes from memory, row by row.
template <class T>
bool is_shallow(const RowProduct<T>& product, const RowProductPlan& plan) {
    const index_t bytes = plan.reduction * product.columns * static_cast<index_t>(sizeof(T));
    return plan.taps == 1 && plan.rows <= kShallowRows && product.groups == 1 && product.column_stride == 1 &&
           bytes > last_cache_bytes();
}

// Columns of a segment, where rows are few.
template <class T>
index_t few_rows_columns(const RowProduct<T>& product, const RowProductPlan& plan, const Kernels<T>& kernels,
                         int threads) {
    const index_t all = ceil_div(product.columns, kernels.vector_width), tasks = product.groups * plan.row_blocks;
    index_t vectors;
    if (plan.shallow) {
        vectors = ceil_div(all, round_up(ceil_div(all, kShallowVectors), index_t{threads}));
    } else {
        const index_t vector = kernels.vector_width * static_cast<index_t>(sizeof(T));
        const index_t most = std::max<index_t>(kLateBytes / (plan.depth_per_block * vector), 1);
        vectors = best_vectors(all, tasks, threads, kLateUse, most);
    }
    return std::min(vectors * kernels.vector_width, product.columns);
}

template <class T>
RowProductPlan make_plan(const RowProduct<T>& product, const Kernels<T>& kernels) {
    RowProductPlan plan{};
    plan.rows = product.source.map.rows();
    plan.taps = product.source.map.taps();
    plan.reduction = plan.taps * product.depth;

    plan.narrow = is_narrow(product.depth, product.columns, kernels.vector_width);
    plan.lines = !plan.narrow && product.source.has_short_rows(kShortRow) && plan.reduction <= kShortSum;

    // Enough tasks for the threads to share evenly.
    const double operations = 2.0 * static_cast<double>(plan.rows) * static_cast<double>(plan.reduction + kStoreCost) *
                              static_cast<double>(product.columns * product.groups);
    const int threads = worthwhile_threads(operations, plan.rows * product.groups * product.columns);
    const index_t wanted = threads > 1 ? 2 * threads + 4 : 1;
    // With few rows the matrix is the larger part: it is cut by columns, and packed where it is used, if at all.
    const index_t few_blocks = ceil_div(plan.rows, kLateRows);
    const index_t panels = product.groups * ceil_div(product.columns, kernels.panel_width);
    plan.few_rows = !plan.narrow && !plan.lines && few_blocks <= kFewRowBlocks && panels * few_blocks >= wanted;
    plan.packs_late = plan.few_rows && product.kept == nullptr;
    plan.shallow = plan.packs_late && is_shallow(product, plan);

    index_t most_depth = plan.narrow ? kNarrowDepth : plan.lines ? kShortSum : kDepth;
    if (plan.shallow) most_depth = kShallowDepth;
    if (plan.packs_late && plan.taps == 1 && product.column_stride != 1) most_depth = kTransposedDepth;
    plan.depth_blocks = std::max<index_t>(ceil_div(product.depth, most_depth), 1);
    plan.depth_per_block = ceil_div(product.depth, plan.depth_blocks);
    const index_t most_taps = plan.depth_blocks > 1 ? 1 : std::max<index_t>(most_depth / product.depth, 1);
    const index_t tap_blocks = std::max<index_t>(ceil_div(plan.taps, most_taps), 1);
    plan.taps_per_block = ceil_div(plan.taps, tap_blocks);
    plan.blocks = tap_blocks * plan.depth_blocks;

    Cut cut{few_blocks, 1};
    if (!plan.few_rows) {
        const bool many = threads == 1 || plan.rows >= wanted * kRows;  // whole blocks; an odd one is waited for
        cut = many ? Cut{round_up(ceil_div(plan.rows, kRows), threads), 1} : best_cut(product, plan, kernels, threads);
    }
    plan.rows_per_block =
        round_up(std::max<index_t>(ceil_div(plan.rows, std::max<index_t>(cut.row_blocks, 1)), 1), kernels.row_tile);
    plan.row_blocks = ceil_div(plan.rows, plan.rows_per_block);

    Columns columns(product.columns, product.groups, cut.splits, kernels.panel_width);
    if (plan.few_rows) {
        columns.per_segment = few_rows_columns(product, plan, kernels, threads);
        columns.segments_per_group = ceil_div(product.columns, columns.per_segment);
        columns.segments = columns.segment_tasks = product.groups * columns.segments_per_group;
        columns.segments_per_task = 1;
    }
    plan.columns_per_segment = columns.per_segment;
    plan.segments_per_group = columns.segments_per_group;
    plan.segments = columns.segments;
    plan.segments_per_task = columns.segments_per_task;
    plan.segment_tasks = columns.segment_tasks;
    plan.padded_columns =
        plan.narrow ? plan.columns_per_segment : round_up(plan.columns_per_segment, kernels.vector_width);
    plan.padded_reduction = plan.narrow ? plan.taps * plan.depth_blocks * padded_depth(plan, kernels) : plan.reduction;
    plan.threads = worthwhile_threads(operations, plan.tasks());
    plan.streams = plan.blocks == 1 && !plan.narrow &&
                   may_stream(product.target, product.source.map.batch, plan.rows, product.groups * product.columns,
                              product.columns);
    return plan;
}

}  // namespace fastconv
