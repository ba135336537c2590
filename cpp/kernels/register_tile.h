// A tile of sums in registers, which the matrix kernels (gemm.h, outer.h) add products to: its loads and stores, of
// parts of vectors too.
#pragma once

#include "kernels/vec.h"

namespace fastconv {
namespace {

// The tile that fills the register file and spills nothing, chosen per instruction set in CMakeLists.txt.
constexpr int kRows = FASTCONV_TILE_ROWS, kVectors = FASTCONV_TILE_VECTORS;

// A narrower panel leaves room for more rows, but each needs a pointer in a register, too.
constexpr int kMostRows = 12;

// A tile of sums in registers. All loops over it have constant bounds and are unrolled, so that
// `lanes` never lives in memory.
template <class T, int Rows, int Vectors>
struct Tile {
    Vec<T> sums[Rows][Vectors];

    FASTCONV_INLINE void add_products(const T* const (&left)[Rows], index_t at, const T* panel) {
        Vec<T> right[Vectors];
        load_row(panel, right);
        add_products(left, at, right);
    }

    FASTCONV_INLINE void add_products(const T* const (&left)[Rows], index_t at, const Vec<T> (&right)[Vectors]) {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) {
            const Vec<T> value = splat(left[r][at]);
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sums[r][v] += value * right[v];
        }
    }

    FASTCONV_INLINE void clear() {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sums[r][v] = Vec<T>{};
    }

    // A row in the padding adds zeros, or is skipped, whichever tile it falls into: then both must leave the same bits.
    FASTCONV_INLINE void turn_minus_zeros_into_zeros() {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sums[r][v] += Vec<T>{};
    }

    FASTCONV_INLINE void clamp_below_zero() {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sums[r][v] = relu<T>(sums[r][v]);
    }

    // row(r): where row r of the tile lies in memory. Of columns that don't fill the tile only the last vector is in
    // parts: no lane is read or written behind the end of a row. Without masks these vectors go through a copy on the
    // stack, row after row, because the pieces of each take a dozen instructions.
    template <class Row>
    FASTCONV_INLINE void load_from(Row row, index_t columns) {
        if (columns == kWidth) return load_all(row);
        if constexpr (kMasksLanes) {
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r) load_first_columns(row(r), columns, sums[r]);
        } else {
            T copy[Rows][kWidth];
            for (int r = 0; r < Rows; ++r) {
                Vec<T> values[Vectors];
                load_first_columns(row(r), columns, values);
                store_row(copy[r], values);
            }
            load_all([&](int r) { return copy[r]; });
        }
    }

    template <class Row>
    FASTCONV_INLINE void store_to(Row row, index_t columns) const {
        if (columns == kWidth) return store_all(row);
        if constexpr (kMasksLanes) {
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r) store_first_columns(row(r), columns, sums[r]);
        } else {
            T copy[Rows][kWidth];
            store_all([&](int r) { return copy[r]; });
            for (int r = 0; r < Rows; ++r) {
                Vec<T> values[Vectors];
                load_row(copy[r], values);
                store_first_columns(row(r), columns, values);
            }
        }
    }

    template <class Row>
    FASTCONV_INLINE void add_from(Row row, index_t columns) {
        if (columns == kWidth) {
            add_all(row);
        } else {
            T copy[Rows][kWidth];
            for (int r = 0; r < Rows; ++r) {
                Vec<T> values[Vectors];
                load_first_columns(row(r), columns, values);
                store_row(copy[r], values);
            }
            add_all([&](int r) { return copy[r]; });
        }
    }

    template <class Row>
    FASTCONV_INLINE void stream_to(Row row) const {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) store_past_cache(row(r) + v * kLanes<T>, sums[r][v]);
    }

  private:
    static constexpr index_t kWidth = Vectors * kLanes<T>;

    static FASTCONV_INLINE void load_first_columns(const T* source, index_t columns, Vec<T>* values) {
#pragma GCC unroll 4
        for (int v = 0; v + 1 < Vectors; ++v) values[v] = load(source + v * kLanes<T>);
        values[Vectors - 1] = load_first(source + kWidth - kLanes<T>, columns - (kWidth - kLanes<T>));
    }

    static FASTCONV_INLINE void store_first_columns(T* target, index_t columns, const Vec<T>* values) {
#pragma GCC unroll 4
        for (int v = 0; v + 1 < Vectors; ++v) store(target + v * kLanes<T>, values[v]);
        store_first(target + kWidth - kLanes<T>, columns - (kWidth - kLanes<T>), values[Vectors - 1]);
    }

    static FASTCONV_INLINE void load_row(const T* source, Vec<T>* values) {
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) values[v] = load(source + v * kLanes<T>);
    }

    static FASTCONV_INLINE void store_row(T* target, const Vec<T>* values) {
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) store(target + v * kLanes<T>, values[v]);
    }

    template <class Row>
    FASTCONV_INLINE void load_all(Row row) {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sums[r][v] = load(row(r) + v * kLanes<T>);
    }

    template <class Row>
    FASTCONV_INLINE void add_all(Row row) {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) sums[r][v] += load(row(r) + v * kLanes<T>);
    }

    template <class Row>
    FASTCONV_INLINE void store_all(Row row) const {
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) store(row(r) + v * kLanes<T>, sums[r][v]);
    }
};

}  // namespace
}  // namespace fastconv
