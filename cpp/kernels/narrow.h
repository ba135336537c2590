// The products of gemm.h where the matrix has few columns: the gradient of an image, heads that predict one or two
// values per pixel. A vector of columns would be nearly empty, so vectors run along the rows instead.
//
// Bits: a sum adds its vectors in the order of the reduction, then its lanes in a fixed tree; whatever tile it sits in.
#pragma once

#include "kernels/gemm.h"
#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// Tiles of rows x columns sums with 12 registers at most; a column of weights or a row of values in the others.
constexpr int kNarrowSums = 12;
constexpr int kNarrowRows = 8;

// Of each chunk of 16 bytes, the sums of neighbouring lanes, those of a before those of b.
template <class T>
FASTCONV_INLINE Vec<T> add_neighbours(Vec<T> a, Vec<T> b) {
    if constexpr (sizeof(T) == 8)
        return interleave_low(a, b) + interleave_high(a, b);
    else if constexpr (kLanes<T> == 4)
        return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
    else if constexpr (kLanes<T> == 8)
        return __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14) +
               __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
    else
        return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
               __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
}

// Lane i of each chunk of the result is the sum of that chunk of values[i]; what is missing counts as zero.
template <class T, int Count, int Width = kChunk<T>>
FASTCONV_INLINE Vec<T> add_chunks(const Vec<T>* values) {
    if constexpr (Count <= 0) {
        return Vec<T>{};
    } else if constexpr (Width == 1) {
        return values[0];
    } else {
        constexpr int half = Width / 2;
        return add_neighbours<T>(add_chunks<T, (Count < half ? Count : half), half>(values),
                                 add_chunks<T, Count - half, half>(values + half));
    }
}

// sums[i] = the sum of all lanes of values[i], in a tree.
template <class T, int Count>
FASTCONV_INLINE void sum_lanes(const Vec<T>* values, T* sums) {
    constexpr int chunk = kChunk<T>, count = Count < chunk ? Count : chunk;
    T parts[kLanes<T>];
    store(parts, add_chunks<T, count>(values));
#pragma GCC unroll 4
    for (int width = kLanes<T> / 2; width >= chunk; width /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < width; ++i) parts[i] += parts[i + width];
#pragma GCC unroll 4
    for (int i = 0; i < count; ++i) sums[i] = parts[i];
    if constexpr (Count > chunk) sum_lanes<T, Count - chunk>(values + chunk, sums + chunk);
}

// Loads `count` lanes where they are fewer than a vector.
template <class T, bool Whole>
FASTCONV_INLINE Vec<T> load_lanes(const T* source, index_t count) {
    if constexpr (Whole) return load(source);
    return load_first(source, count);
}

template <class T, int Rows, int Columns>
struct NarrowTile {
    Vec<T> sums[Rows][Columns];

    template <bool Whole>
    FASTCONV_INLINE void add_products(const T* const (&left)[Rows], index_t at, const T* right, index_t pitch,
                                      index_t count) {
        if constexpr (Columns <= Rows) {
            Vec<T> factors[Columns];
#pragma GCC unroll 8
            for (int k = 0; k < Columns; ++k) factors[k] = in_register(load(right + k * pitch + at));
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) {
                const Vec<T> value = in_register(load_lanes<T, Whole>(left[r] + at, count));
#pragma GCC unroll 8
                for (int k = 0; k < Columns; ++k) sums[r][k] += value * factors[k];
            }
        } else {
            Vec<T> values[Rows];
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) values[r] = in_register(load_lanes<T, Whole>(left[r] + at, count));
#pragma GCC unroll 8
            for (int k = 0; k < Columns; ++k) {
                const Vec<T> factor = in_register(load(right + k * pitch + at));
#pragma GCC unroll 8
                for (int r = 0; r < Rows; ++r) sums[r][k] += values[r] * factor;
            }
        }
    }
};

template <class T, int Rows, int Columns>
void multiply_narrow_tile(const RowBlock<T>& block, index_t row) {
    const index_t depth = block.depth, padded = (depth + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    NarrowTile<T, Rows, Columns> tile{};
    const T* panel = block.panels;
    for (index_t tap = 0; tap < block.taps; ++tap, panel += Columns * padded) {
        const T* const* sources = block.sources + tap * block.pitch + row;
        if (all_are<T, Rows>(sources, block.zeros)) continue;
        const T* left[Rows];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) left[r] = sources[r] + block.offset;
        index_t c = 0;
        for (; c + kLanes<T> <= depth; c += kLanes<T>)
            tile.template add_products<true>(left, c, panel, padded, kLanes<T>);
        if (c < depth) tile.template add_products<false>(left, c, panel, padded, depth - c);
    }
    T sums[Rows * Columns];
    sum_lanes<T, Rows * Columns>(&tile.sums[0][0], sums);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
        T* target = block.targets[row + r] + block.target_offset;
#pragma GCC unroll 8
        for (int k = 0; k < Columns; ++k) {
            const T start = block.accumulate ? target[k] : block.bias != nullptr ? block.bias[k] : 0;
            const T sum = start + sums[r * Columns + k];
            target[k] = block.relu && sum <= 0 ? 0 : sum;
        }
    }
}

template <class T, int Columns>
FASTCONV_INLINE void multiply_narrow_rows(const RowBlock<T>& block) {
    constexpr int rows = kNarrowSums / Columns < kNarrowRows ? kNarrowSums / Columns : kNarrowRows;
    index_t row = 0;
    for (; row + rows <= block.rows; row += rows) {
        fetch_ahead(block, row, rows);
        multiply_narrow_tile<T, rows, Columns>(block, row);
    }
    for (; row < block.rows; ++row) multiply_narrow_tile<T, 1, Columns>(block, row);
}

// Calls visit(columns as a compile-time constant).
template <class Visit>
FASTCONV_INLINE void with_columns(index_t columns, const Visit& visit) {
    static_assert(kNarrowColumns == 6);
    switch (columns) {
        case 1:
            return visit.template operator()<1>();
        case 2:
            return visit.template operator()<2>();
        case 3:
            return visit.template operator()<3>();
        case 4:
            return visit.template operator()<4>();
        case 5:
            return visit.template operator()<5>();
        case 6:
            return visit.template operator()<6>();
        default:
            __builtin_unreachable();
    }
}

template <class T>
struct MultiplyNarrowVisit {
    const RowBlock<T>& block;
    template <int Columns>
    FASTCONV_INLINE void operator()() const {
        multiply_narrow_rows<T, Columns>(block);
    }
};

template <class T>
void multiply_rows_narrow(const RowBlock<T>& block) noexcept {
    with_columns(block.columns, MultiplyNarrowVisit<T>{block});
}

// sums[k][c] of some vectors of channels c; they leave transposed.
template <class T, int Columns, int Vectors, bool Whole>
FASTCONV_INLINE void outer_narrow_tile(const OuterBlock<T>& block, index_t channel, index_t count) {
    Vec<T> sums[Columns][Vectors] = {};
    const T* right = block.panels;
    const index_t at = block.offset + channel;
    for (index_t row = 0; row < block.rows; ++row, right += kLanes<T>) {
        Vec<T> values[Vectors];
        if (Whole) fetch_ahead(block.sources[row] + at, Vectors * static_cast<index_t>(sizeof(Vec<T>)));
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v)
            values[v] = in_register(load_lanes<T, Whole>(block.sources[row] + at + v * kLanes<T>, count));
#pragma GCC unroll 8
        for (int k = 0; k < Columns; ++k) {
            const Vec<T> factor = in_register(splat(right[k]));
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) sums[k][v] += values[v] * factor;
        }
    }
    T lanes[Vectors * kLanes<T>];
    T* target = block.sums + channel * block.pitch;
#pragma GCC unroll 8
    for (int k = 0; k < Columns; ++k) {
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) store(lanes + v * kLanes<T>, sums[k][v]);
        const index_t channels = Whole ? Vectors * kLanes<T> : count;
        for (index_t c = 0; c < channels; ++c) target[c * block.pitch + k] += lanes[c];
    }
}

template <class T>
struct OuterNarrowVisit {
    const OuterBlock<T>& block;
    template <int Columns>
    FASTCONV_INLINE void operator()() const {
        constexpr int most = kNarrowSums / Columns < 4 ? kNarrowSums / Columns : 4;
        index_t channel = 0;
        for (; channel + most * kLanes<T> <= block.depth; channel += most * kLanes<T>)
            outer_narrow_tile<T, Columns, most, true>(block, channel, kLanes<T>);
        for (; channel + kLanes<T> <= block.depth; channel += kLanes<T>)
            outer_narrow_tile<T, Columns, 1, true>(block, channel, kLanes<T>);
        if (channel < block.depth) outer_narrow_tile<T, Columns, 1, false>(block, channel, block.depth - channel);
    }
};

template <class T>
void add_outer_products_narrow(const OuterBlock<T>& block) noexcept {
    with_columns(block.columns, OuterNarrowVisit<T>{block});
}

}  // namespace
}  // namespace fastconv
