// How work is cut for the threads: rows into blocks; and columns of groups into segments, segment after segment of a
// group, group after group.
#pragma once

#include <algorithm>
#include <cstddef>

#include "core/arithmetic.h"

namespace fastconv {

// How wide segments should be, in vectors, at most `most` and as many as there are `use`s: what a kernel makes of so
// many. Tasks that don't share evenly are waited for.
template <std::size_t Most>
index_t best_vectors(index_t group_vectors, index_t groups, int threads, const double (&use)[Most],
                     index_t most = Most) {
    index_t best = 1;
    double least = 0;
    for (index_t vectors = 1; vectors <= std::min(most, static_cast<index_t>(Most)); ++vectors) {
        const index_t tasks = groups * ceil_div(group_vectors, vectors);
        const index_t share =
            groups % threads == 0 ? groups / threads * group_vectors : ceil_div(tasks, threads) * vectors;
        const double time = static_cast<double>(share) / use[vectors - 1];
        if (vectors > 1 && time > least) continue;
        best = vectors;
        least = time;
    }
    return best;
}

struct Blocks {
    index_t count;
    double time;  // in rows
};

// What a value of the matrix costs that comes from another cache than the core's own, in rows that it meets (10 GB/s
// for a core of 170 GFLOP/s are 34, 20 GB/s for one of 100 are 10); and how much of a task is waited for at the end.
constexpr double kLoadCost = 24, kUneven = 0.25;

// Blocks of at most `most` rows, in whole `granules`, for some tasks each, where rows are few: with many blocks each
// reads its matrix for little, with few the threads don't share evenly.
inline Blocks best_blocks(index_t rows, index_t granule, index_t most, index_t tasks_per_block, int threads,
                          double load_cost = kLoadCost) {
    constexpr index_t kMostRounds = 4;
    Blocks best{std::max<index_t>(ceil_div(rows, most), 1), 0};
    for (index_t round = 1; round <= kMostRounds; ++round) {
        const index_t count = std::max<index_t>(round * threads / tasks_per_block, best.count);
        const index_t height = round_up(std::max<index_t>(ceil_div(rows, count), 1), granule);
        const index_t waits = ceil_div(ceil_div(rows, height) * tasks_per_block, threads);
        const double time = (static_cast<double>(waits) + kUneven) * (static_cast<double>(height) + load_cost);
        if (best.time > 0 && time >= best.time) continue;
        best = {count, time};
    }
    return best;
}

struct Segment {
    index_t group, column, columns;  // column counts within the group
};

// `plan` has segments_per_group and columns_per_segment.
template <class Plan>
Segment segment_of(const Plan& plan, index_t group_columns, index_t segment) {
    const index_t column = segment % plan.segments_per_group * plan.columns_per_segment;
    return {segment / plan.segments_per_group, column, std::min(plan.columns_per_segment, group_columns - column)};
}

// The same, where the columns of all groups lie side by side: column counts from the first group on.
template <class Plan>
Segment segment_across(const Plan& plan, index_t group_columns, index_t segment) {
    Segment found = segment_of(plan, group_columns, segment);
    found.column += found.group * group_columns;
    return found;
}

}  // namespace fastconv
