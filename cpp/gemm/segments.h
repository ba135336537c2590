// Columns of groups, cut into segments: segment after segment of a group, group after group.
#pragma once

#include <algorithm>

#include "kernels/index.h"

namespace fastconv {

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
