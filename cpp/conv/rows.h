// Rows of an output that no product writes: filled with the bias, or zeros.
#pragma once

#include <algorithm>

#include "core/arithmetic.h"
#include "core/threads.h"

namespace fastconv {

// values: one for each column, or null for zeros.
template <class T>
void fill_rows(T* target, index_t rows, index_t columns, const T* values) {
    const index_t rows_per_task = std::max<index_t>(32768 / std::max<index_t>(columns, 1), 1);
    const index_t tasks = ceil_div(rows, rows_per_task);
    const int threads = worthwhile_threads(2.0 * static_cast<double>(rows) * static_cast<double>(columns), tasks);
    parallel_for(tasks, threads, [&](index_t task, int) {
        const index_t first = task * rows_per_task, last = std::min(first + rows_per_task, rows);
        if (values == nullptr) {
            std::fill(target + first * columns, target + last * columns, T(0));
        } else {
            for (index_t row = first; row < last; ++row) std::copy_n(values, columns, target + row * columns);
        }
    });
}

}  // namespace fastconv
