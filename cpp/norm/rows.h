// How the pixels of a sample become rows for the kernels, and tasks. Pixels of few channels are joined until a row
// fills several vectors and no part of one; what the kernels know by column then repeats in it, once for every pixel of
// a row. Tasks are cut by geometry alone, so that the number of threads changes no bit.
#pragma once

#include <algorithm>
#include <numeric>

#include "core/arithmetic.h"
#include "kernels/index.h"

namespace fastconv {

struct JoinedRows {
    index_t joined, columns;  // pixels per row, and values
    index_t rows, rest;       // whole rows of a sample, and the values that remain
    index_t rows_per_task, tasks;

    // At most so many tasks for a sample; 0: as many as pay.
    JoinedRows(index_t pixels, index_t channels, index_t most_tasks) {
        constexpr index_t wide = 64, vector = 16, values_per_task = 32768;
        joined = channels < wide ? round_up(ceil_div(wide, channels), vector / std::gcd(channels, vector)) : 1;
        // Every column of a row costs something in the end; over sixteen rows that is little.
        joined = std::clamp<index_t>(pixels / 16, 1, joined);
        columns = joined * channels;
        rows = pixels / joined;
        rest = pixels % joined * channels;
        rows_per_task = std::max<index_t>(values_per_task / columns, 1);
        if (most_tasks > 0) rows_per_task = std::max(rows_per_task, ceil_div(rows, most_tasks));
        tasks = ceil_div(rows, rows_per_task);
    }

    // Calls visit(first value, rows, columns) for what a task covers: whole rows, and after the last ones a short one.
    template <class Visit>
    void visit(index_t task, const Visit& visit) const {
        const index_t first = task * rows_per_task, count = std::min(rows_per_task, rows - first);
        visit(first * columns, count, columns);
        if (task == tasks - 1 && rest > 0) visit(rows * columns, index_t{1}, rest);
    }
};

}  // namespace fastconv
