// Sums of outer products: the matrix kernel under the gradient of a weight. A tile of sums stays in registers while
// the rows (pixels) go by; its rows are channels, and its columns those of a packed panel.
//
// Bits: each sum adds its products in the order of the rows, whatever tile it sits in.
#pragma once

#include "kernels/fetcher.h"
#include "kernels/gemm.h"

namespace fastconv {
namespace {

// Here the rows of the tile are neighbouring channels of one source row: one pointer per step. Where the panel
// isn't packed yet, the first tile that meets it packs it for the others.
template <class T, int Rows, int Vectors, bool Packed, bool Packs = false>
void outer_tile(const OuterBlock<T>& block, index_t channel, index_t column, T* panel, Fetcher<T>& ahead) {
    constexpr index_t width = Vectors * kLanes<T>;
    constexpr bool fetches = Rows >= kRows;
    typename Fetcher<T>::Run fetched = fetches ? ahead.take(block.rows) : typename Fetcher<T>::Run{};
    const index_t columns = smaller(block.columns - column, width);
    T* sums = block.sums + channel * block.pitch + column;
    const index_t pitch = block.pitch;
    const auto target = [=](int r) { return sums + r * pitch; };

    Tile<T, Rows, Vectors> tile;
    if (block.fresh || block.apart) {
        tile.clear();
    } else {
        tile.load_from(target, columns);
    }
    const index_t at = block.offset + channel;
    const T* packed = Packed ? block.packed + channel * block.rows : nullptr;
    // (A pointer that moves on, where it can: rows times the width took GCC 1.25 times as long, with groups of 8.)
    for (index_t row = 0; row < block.rows; ++row, panel += Packed ? 0 : width) {
        const T* left[Rows];
        T* const place = Packed ? panel + block.places[row] * width : panel;
        const T* source = one_base(Packed ? packed + row * Rows : block.sources[row] + at);
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) left[r] = source + r;
        if constexpr (fetches) fetched.step();
        if constexpr (Packs) {
            constexpr index_t rows_ahead = 16;
            const T* from = block.right + row * block.right_pitch + column;
            Vec<T> right[Vectors];
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) {
                __builtin_prefetch(from + rows_ahead * block.right_pitch + v * kLanes<T>, 0, 3);
                right[v] = in_register(load(from + v * kLanes<T>));
                store(place + v * kLanes<T>, right[v]);
            }
            tile.add_products(left, 0, right);
        } else {
            tile.add_products(left, 0, place);
        }
    }
    if (block.stream && columns == width) return tile.stream_to(target);
    if (block.apart && !block.fresh) tile.add_from(target, columns);
    tile.store_to(target, columns);
}

// Calls visit(rows of the tile as a compile-time constant, first channel) for tile after tile of channels.
template <class Visit, int Rows = kRows>
FASTCONV_INLINE void for_each_channel_tile(index_t depth, index_t channel, const Visit& visit) {
    for (; channel + Rows <= depth; channel += Rows) visit.template operator()<Rows>(channel);
    if constexpr (Rows > 1) for_each_channel_tile<Visit, Rows - 1>(depth, channel, visit);
}

// Rows of the tile that are values of lines: a pointer for each, which steps from pixel to pixel.
template <class T, int Rows, int Vectors, bool Whole>
void outer_lines_tile(const OuterBlock<T>& block, index_t value, index_t column, const T* panel, index_t panel_step) {
    const index_t columns = Whole ? Vectors * kLanes<T> : block.columns - column;
    T* sums = block.sums + value * block.pitch + column;
    const index_t pitch = block.pitch;
    const auto target = [=](int r) { return sums + r * pitch; };

    Tile<T, Rows, Vectors> tile;
    tile.load_from(target, columns);
    const T* left[Rows];
    index_t tap = value / block.depth, channel = value % block.depth;
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {  // one division for all of them: each takes as long as many products
        left[r] = block.sources[tap] + channel;
        const bool last = ++channel == block.depth;
        tap += last ? 1 : 0;
        channel = last ? 0 : channel;
    }
    for (index_t row = 0, at = 0; row < block.rows; ++row, at += block.row_step, panel += panel_step)
        tile.add_products(left, at, panel);
    tile.store_to(target, columns);
}

template <class T, int Rows, int Vectors>
FASTCONV_INLINE void outer_lines_tile(int rows, const OuterBlock<T>& block, index_t value, index_t column,
                                      const T* panel, index_t panel_step) {
    if constexpr (Rows > 0) {
        if (rows != Rows) return outer_lines_tile<T, Rows - 1, Vectors>(rows, block, value, column, panel, panel_step);
        if (block.columns - column >= Vectors * kLanes<T>) {
            outer_lines_tile<T, Rows, Vectors, true>(block, value, column, panel, panel_step);
        } else {
            outer_lines_tile<T, Rows, Vectors, false>(block, value, column, panel, panel_step);
        }
    }
}

// The values of all taps together, in tiles as even as possible.
template <class T>
struct OuterLinesVisit {
    const OuterBlock<T>& block;
    Fetcher<T>& ahead;
    template <int Vectors>
    FASTCONV_INLINE void operator()(index_t column, index_t offset) const {
        constexpr int most = smaller(kRows * kVectors / Vectors, kMostRows);
        const index_t values = block.taps * block.depth, tiles = (values + most - 1) / most;
        const bool packed = block.panels != nullptr;
        const T* panel = packed ? block.panels + offset : block.right + column;
        const index_t step = packed ? Vectors * kLanes<T> : block.right_pitch;
        index_t value = 0;
        for (index_t tile = 0; tile < tiles; ++tile) {
            const int rows = static_cast<int>(values / tiles + (tile < values % tiles ? 1 : 0));
            ahead.step_between();
            outer_lines_tile<T, most, Vectors>(rows, block, value, column, panel, step);
            value += rows;
        }
    }
};

template <class T>
void add_outer_lines(const OuterBlock<T>& block) noexcept {
    Fetcher<T> ahead(block.ahead[0], block.columns / (kVectors * kLanes<T>));  // steps: tiles, at least
    for_each_panel<T>(block.columns, block.rows, OuterLinesVisit<T>{block, ahead});
}

template <class T, int Vectors, bool Packed>
struct OuterTileVisit {
    const OuterBlock<T>& block;
    index_t column;
    T* panel;
    Fetcher<T>& ahead;
    template <int Rows>
    FASTCONV_INLINE void operator()(index_t channel) const {
        outer_tile<T, Rows, Vectors, Packed>(block, channel, column, panel, ahead);
    }
};

template <class T>
struct OuterVisit {
    const OuterBlock<T>& block;
    Fetcher<T>& ahead;
    template <int Vectors>
    FASTCONV_INLINE void operator()(index_t column, index_t offset) const {
        T* panel = block.panels + offset;
        index_t channel = 0;
        if (block.right != nullptr) {
            if (block.packed != nullptr && block.rows == block.panel_rows && block.depth >= kRows &&
                block.columns - column >= Vectors * kLanes<T>) {
                outer_tile<T, kRows, Vectors, true, true>(block, 0, column, panel, ahead);
                channel = kRows;
            } else {
                pack_panel<T, Vectors>({block.right, block.right_pitch, 1, block.panel_rows, block.columns,
                                        block.panels, 0, block.panel_rows},
                                       column, panel);
            }
        }
        if (block.packed == nullptr) {
            // With a single vector of columns a tile of twice the height keeps as many sums in flight.
            constexpr int rows = Vectors == 1 ? 2 * kRows : kRows;
            using Visit = OuterTileVisit<T, Vectors, false>;
            for_each_channel_tile<Visit, rows>(block.depth, 0, Visit{block, column, panel, ahead});
        } else {
            for_each_channel_tile(block.depth, channel, OuterTileVisit<T, Vectors, true>{block, column, panel, ahead});
        }
    }
};

template <class T>
void add_outer_products(const OuterBlock<T>& block) noexcept {
    // Tiles of at least kRows rows.
    const Panels panels = cut_into_panels<T>(block.columns);
    const index_t tall = block.packed == nullptr && panels.narrow_width == 1 ? panels.narrow : 0;
    const index_t tiles =
        (panels.wide + panels.narrow - tall) * (block.depth / kRows) + tall * ((block.depth + kRows) / (2 * kRows));
    Fetcher<T> ahead(block.ahead, tiles);
    for_each_panel<T>(block.columns, block.panel_rows, OuterVisit<T>{block, ahead});
}

template <class T>
struct PackChannelsVisit {
    const OuterBlock<T>& block;
    T* target;
    template <int Rows>
    FASTCONV_INLINE void operator()(index_t channel) const {
        T* to = target + channel * block.rows;
        for (index_t row = 0; row < block.rows; ++row, to += Rows) {
            const T* from = block.sources[row] + block.offset + channel;
            __builtin_memcpy(to, from, Rows * sizeof(T));  // of a constant size: a few moves
        }
    }
};

// Whole tiles row by row, because a cache line holds several and may not stay until the next one comes.
template <class T>
void pack_channels(const OuterBlock<T>& block, T* target) noexcept {
    const index_t whole = block.depth / kRows * kRows;
    for (index_t row = 0; row < block.rows; ++row) {
        const T* from = block.sources[row] + block.offset;
        T* to = target + row * kRows;
        for (index_t channel = 0; channel < whole; channel += kRows, from += kRows, to += kRows * block.rows)
            __builtin_memcpy(to, from, kRows * sizeof(T));
    }
    if constexpr (kRows > 1)
        for_each_channel_tile<PackChannelsVisit<T>, kRows - 1>(block.depth, whole, PackChannelsVisit<T>{block, target});
}

template <class T>
void add_rows(const T* source, index_t pitch, index_t rows, index_t columns, T* sums) noexcept {
    index_t k = 0;
    for (; k + kLanes<T> <= columns; k += kLanes<T>) {
        Vec<T> sum = load(sums + k);
        for (index_t row = 0; row < rows; ++row) sum += load(source + row * pitch + k);
        store(sums + k, sum);
    }
    for (; k < columns; ++k) {
        T sum = sums[k];
        for (index_t row = 0; row < rows; ++row) sum += source[row * pitch + k];
        sums[k] = sum;
    }
}

}  // namespace
}  // namespace fastconv
