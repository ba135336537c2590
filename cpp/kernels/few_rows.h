// Products of a few rows with a large matrix, which is read or written once, in the order of memory: dense layers with
// small batches. Packing it would move it three times. Four of its rows are taken at a time, so that what belongs to
// the few rows, which lies in the first-level cache, is touched once for four.
#pragma once

#include "kernels/element_table.h"
#include "kernels/parts.h"

namespace fastconv {
namespace {

constexpr int kMatrixRows = 4;

// Calls function with the number of rows as a constant.
template <class Function>
FASTCONV_INLINE void with_row_count(index_t count, const Function& function) {
    switch (count) {
#define FASTCONV_CASE(n) \
    case n:              \
        return function(Constant<n>{})
        FASTCONV_CASE(1);
        FASTCONV_CASE(2);
        FASTCONV_CASE(3);
        FASTCONV_CASE(4);
        FASTCONV_CASE(5);
        FASTCONV_CASE(6);
        FASTCONV_CASE(7);
        FASTCONV_CASE(8);
#undef FASTCONV_CASE
    }
}

// target[r][k] += sum over i < kTaken of rows[r][c + i] * matrix[c + i][k]
template <int kCount, int kTaken, class T>
FASTCONV_INLINE void add_matrix_rows(const FewRows<T>& block, index_t c, T* target, index_t pitch) {
    const T* matrix = block.matrix + c * block.matrix_pitch;
    Vec<T> factors[kCount][kTaken];
#pragma GCC unroll 8
    for (int r = 0; r < kCount; ++r)
#pragma GCC unroll 4
        for (int i = 0; i < kTaken; ++i) factors[r][i] = splat(block.rows[r * block.pitch + c + i]);
    for_each_vector<T>(block.columns, [&](index_t k, index_t lanes) __attribute__((always_inline)) {
        Vec<T> values[kTaken];
#pragma GCC unroll 4
        for (int i = 0; i < kTaken; ++i) values[i] = load_part(matrix + i * block.matrix_pitch + k, lanes);
#pragma GCC unroll 8
        for (int r = 0; r < kCount; ++r) {
            Vec<T> sum = load_part(target + r * pitch + k, lanes);
#pragma GCC unroll 4
            for (int i = 0; i < kTaken; ++i) sum += factors[r][i] * values[i];
            store_part<T>(target + r * pitch + k, lanes, sum);
        }
    });
}

template <class T>
void add_few_products(const FewRows<T>& block, T* target, index_t pitch) noexcept {
    with_row_count(block.count, [&](auto count) __attribute__((always_inline)) {
        index_t c = 0;
        for (; c + kMatrixRows <= block.depth; c += kMatrixRows)
            add_matrix_rows<count.value, kMatrixRows>(block, c, target, pitch);
        for (; c < block.depth; ++c) add_matrix_rows<count.value, 1>(block, c, target, pitch);
    });
}

// target[r][c + i] = sum over k of rows[r][k] * matrix[c + i][k], for i < kTaken
template <int kCount, int kTaken, class T>
FASTCONV_INLINE void multiply_matrix_rows(const FewRows<T>& block, index_t c, T* target, index_t pitch) {
    const T* matrix = block.matrix + c * block.matrix_pitch;
    Vec<T> sums[kCount][kTaken] = {};
    for_each_vector<T>(block.columns, [&](index_t k, index_t lanes) __attribute__((always_inline)) {
        Vec<T> values[kTaken];
#pragma GCC unroll 4
        for (int i = 0; i < kTaken; ++i) values[i] = load_part(matrix + i * block.matrix_pitch + k, lanes);
#pragma GCC unroll 8
        for (int r = 0; r < kCount; ++r) {
            const Vec<T> row = load_part(block.rows + r * block.pitch + k, lanes);
#pragma GCC unroll 4
            for (int i = 0; i < kTaken; ++i) sums[r][i] += row * values[i];
        }
    });
    for (int r = 0; r < kCount; ++r)
        for (int i = 0; i < kTaken; ++i) target[r * pitch + c + i] = sum_of_lanes<T>(sums[r][i]);
}

// At most four rows at a time: their sums fill the registers.
template <class T>
void multiply_few_transposed(const FewRows<T>& block, T* target, index_t pitch) noexcept {
    constexpr index_t kMost = 4;
    index_t c = 0;
    for (; c < block.depth; c += kMatrixRows) {
        const bool whole = c + kMatrixRows <= block.depth;
        for (index_t first = 0; first < block.count; first += kMost) {
            FewRows<T> part = block;
            part.rows += first * block.pitch;
            part.count = smaller(kMost, block.count - first);
            T* sums = target + first * pitch;
            with_row_count(part.count, [&](auto count) __attribute__((always_inline)) {
                if constexpr (count.value <= kMost) {
                    if (whole) return multiply_matrix_rows<count.value, kMatrixRows>(part, c, sums, pitch);
                    for (index_t last = c; last < block.depth; ++last)
                        multiply_matrix_rows<count.value, 1>(part, last, sums, pitch);
                }
            });
        }
    }
}

template <int kCount, int kTaken, class T>
FASTCONV_INLINE void write_outer_rows(const FewRows<T>& block, index_t c, T* target, bool stream) {
    Vec<T> factors[kCount][kTaken];
#pragma GCC unroll 8
    for (int r = 0; r < kCount; ++r)
#pragma GCC unroll 4
        for (int i = 0; i < kTaken; ++i) factors[r][i] = splat(block.rows[r * block.pitch + c + i]);
    for_each_vector<T>(block.columns, [&](index_t k, index_t lanes) __attribute__((always_inline)) {
        Vec<T> sums[kTaken] = {};
#pragma GCC unroll 8
        for (int r = 0; r < kCount; ++r) {
            const Vec<T> row = load_part(block.matrix + r * block.matrix_pitch + k, lanes);
#pragma GCC unroll 4
            for (int i = 0; i < kTaken; ++i) sums[i] += factors[r][i] * row;
        }
#pragma GCC unroll 4
        for (int i = 0; i < kTaken; ++i) {
            T* to = target + (c + i) * block.columns + k;
            if (stream) {
                store_past_cache(to, sums[i]);
            } else {
                store_part<T>(to, lanes, sums[i]);
            }
        }
    });
}

template <class T>
void multiply_few_outer(const FewRows<T>& block, T* target, bool stream) noexcept {
    const bool aligned = reinterpret_cast<std::uintptr_t>(target) % FASTCONV_VECTOR_BYTES == 0;
    const bool past = stream && aligned && block.columns % kLanes<T> == 0;
    with_row_count(block.count, [&](auto count) __attribute__((always_inline)) {
        index_t c = 0;
        for (; c + kMatrixRows <= block.depth; c += kMatrixRows)
            write_outer_rows<count.value, kMatrixRows>(block, c, target, past);
        for (; c < block.depth; ++c) write_outer_rows<count.value, 1>(block, c, target, past);
    });
}

}  // namespace
}  // namespace fastconv
