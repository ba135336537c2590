// Sums of a few rows with weights: resampling. Bound by loads and stores, so the sum of a vector stays in a register.
#pragma once

#include "kernels/element_table.h"
#include "kernels/parts.h"

namespace fastconv {
namespace {

template <class T>
FASTCONV_INLINE void weigh_row(const T* source, index_t inner, const index_t* index, const T* weight, index_t count,
                               T* target) {
    if (count == 1 && weight[0] == T(1)) {
        const T* row = source + index[0] * inner;
        for_each_vector<T>(inner, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
            store_part<T>(target + c, lanes, load_part(row + c, lanes));
        });
    } else if (count == 2) {
        const T *first = source + index[0] * inner, *second = source + index[1] * inner;
        const Vec<T> one = splat(weight[0]), other = splat(weight[1]);
        for_each_vector<T>(inner, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
            store_part<T>(target + c, lanes, load_part(first + c, lanes) * one + load_part(second + c, lanes) * other);
        });
    } else {
        for_each_vector<T>(inner, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
            Vec<T> sum{};
            for (index_t j = 0; j < count; ++j)
                sum += load_part(source + index[j] * inner + c, lanes) * splat(weight[j]);
            store_part<T>(target + c, lanes, sum);
        });
    }
}

template <class T>
void weigh_rows(const WeightedRows<T>& rows) noexcept {
    for (index_t q = 0; q < rows.targets; ++q) {
        const index_t start = rows.start[q];
        weigh_row(rows.source, rows.inner, rows.index + start, rows.weight + start, rows.start[q + 1] - start,
                  rows.target + q * rows.inner);
    }
}

}  // namespace
}  // namespace fastconv
