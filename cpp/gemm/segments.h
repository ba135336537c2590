// Columns of groups, cut into segments: segment after segment of a group, group after group.
#pragma once

#include <algorithm>
#include <cstddef>

#include "core/arithmetic.h"

namespace fastconv {

// How wide segments should be, in vectors, at most as many as there are `use`s: what a kernel makes of so many. Tasks
// that don't share evenly are waited for.
template <std::size_t Most>
index_t best_vectors(index_t group_vectors, index_t groups, int threads, const double (&use)[Most]) {
    index_t best = 1;
    double least = 0;
    for (index_t vectors = 1; vectors <= static_cast<index_t>(Most); ++vectors) {
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
