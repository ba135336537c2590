// Tiles of a line or a plane of pixels, multiplied with constant matrices along height and width, and the way back:
// what stands before and after the matrix products of Winograd's convolution. Vectors run over channels.
//
// With one matrix for both axes, or none along the height, all values between stay in registers: through memory a
// transform takes three times as long, because a Zen 4 doesn't forward stores of 64 bytes to loads well.
#pragma once

#include "kernels/gemm.h"
#include "kernels/tile_constants.h"

namespace fastconv {
namespace {

// Where masks are dear, the last vector of channels is loaded and stored out of line.
template <class T>
[[gnu::noinline]] Vec<T> load_last(const T* source, index_t lanes) {
    return load_first(source, lanes);
}

template <class T>
[[gnu::noinline]] void store_last(T* target, index_t lanes, Vec<T> value) {
    store_first(target, lanes, value);
}

template <class T>
FASTCONV_INLINE Vec<T> load_some(const T* source, index_t lanes) {
    if constexpr (kMasksLanes) return load_first(source, lanes);
    return lanes == kLanes<T> ? load(source) : load_last(source, lanes);
}

template <class T>
FASTCONV_INLINE void store_some(T* target, index_t lanes, Vec<T> value) {
    if constexpr (kMasksLanes) {
        store_first(target, lanes, value);
    } else if (lanes == kLanes<T>) {
        store(target, value);
    } else {
        store_last(target, lanes, value);
    }
}

constexpr int kMostValues = kMostPoints * kMostPoints;

// Reads a tile's pixels, some channels of them, and multiplies along the height: between[i * columns + j].
template <class T>
struct ReadAlongHeight {
    const PixelTile<const T>& tile;
    index_t row_step, column_step, channel, lanes;
    int tile_columns;
    Vec<T>* between;

    template <class M>
    FASTCONV_INLINE void operator()() const {
        const bool whole = tile.first_row == 0 && tile.last_row == M::columns && lanes == kLanes<T>;
        for (int j = 0; j < tile_columns; ++j) {
            Vec<T> x[M::columns], y[M::rows];
            const T* from = tile.data + j * column_step + channel;
            if (j < tile.first_column || j >= tile.last_column) {
#pragma GCC unroll 8
                for (int i = 0; i < M::rows; ++i) y[i] = Vec<T>{};
            } else {
                if (whole) {
#pragma GCC unroll 8
                    for (int i = 0; i < M::columns; ++i) x[i] = load(from + i * row_step);
                } else {
#pragma GCC unroll 8
                    for (int i = 0; i < M::columns; ++i) {
                        const bool inside = i >= tile.first_row && i < tile.last_row;
                        x[i] = load_first(from + (inside ? i * row_step : 0), inside ? lanes : 0);
                    }
                }
                multiply_constants<M, T>(x, y);
            }
#pragma GCC unroll 8
            for (int i = 0; i < M::rows; ++i) between[i * tile_columns + j] = y[i];
        }
    }
};

// Multiplies along the width, and writes a vector into each plane.
template <class T>
struct WritePlanes {
    const Vec<T>* between;
    int rows;
    T* target;
    index_t plane_pitch;

    template <class M>
    FASTCONV_INLINE void operator()() const {
        for (int i = 0; i < rows; ++i) {
            Vec<T> x[M::columns], y[M::rows];
#pragma GCC unroll 8
            for (int j = 0; j < M::columns; ++j) x[j] = between[i * M::columns + j];
            multiply_constants<M, T>(x, y);
#pragma GCC unroll 8
            for (int j = 0; j < M::rows; ++j) store(target + (i * M::rows + j) * plane_pitch, y[j]);
        }
    }
};

// A vector of channels of a tile, from its pixels to the planes.
template <class T>
void transform_step(const TileBlock<T>& block, const PixelTile<const T>& tile, index_t channel, T* target) noexcept {
    Vec<T> between[kMostValues];
    const index_t lanes = smaller(kLanes<T>, block.channels - channel);
    with_constants(block.height, ReadAlongHeight<T>{tile, block.row_step, block.column_step, channel, lanes,
                                                    block.width.from, between});
    with_constants(block.width, WritePlanes<T>{between, block.height.to, target, block.plane_pitch});
}

// The same in registers: all pixels of a tile are there (whole), or some count as zero.
template <class Height, class Width, bool whole, class T>
FASTCONV_INLINE void transform_pixels(const TileBlock<T>& block, const PixelTile<const T>& tile, index_t channel,
                                      T* target) {
    alignas(64) static constexpr T zeros[kLanes<T>] = {};
    const index_t lanes = smaller(kLanes<T>, block.channels - channel);
    Vec<T> between[Width::columns][Height::rows];
#pragma GCC unroll 8
    for (int j = 0; j < Width::columns; ++j) {
        Vec<T> x[Height::columns];
#pragma GCC unroll 8
        for (int i = 0; i < Height::columns; ++i) {
            const T* pixel = tile.data + i * block.row_step + j * block.column_step + channel;
            if constexpr (whole) {
                x[i] = load(pixel);
            } else {
                const bool inside =
                    i >= tile.first_row && i < tile.last_row && j >= tile.first_column && j < tile.last_column;
                x[i] = load_some(inside ? pixel : zeros, lanes);
            }
        }
        multiply_constants<Height, T>(x, between[j]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < Height::rows; ++i) {
        Vec<T> x[Width::columns], y[Width::rows];
#pragma GCC unroll 8
        for (int j = 0; j < Width::columns; ++j) x[j] = between[j][i];
        multiply_constants<Width, T>(x, y);
#pragma GCC unroll 8
        for (int j = 0; j < Width::rows; ++j) store(target + (i * Width::rows + j) * block.plane_pitch, y[j]);
    }
}

struct TransformInRegisters {
    template <class Height, class Width, class T>
    static void run(const TileBlock<T>& block, const PixelTile<const T>& tile, index_t channel, T* target) noexcept {
        const bool whole = tile.first_row == 0 && tile.last_row == Height::columns && tile.first_column == 0 &&
                           tile.last_column == Width::columns && channel + kLanes<T> <= block.channels;
        if (whole) {
            transform_pixels<Height, Width, true, T>(block, tile, channel, target);
        } else {
            transform_pixels<Height, Width, false, T>(block, tile, channel, target);
        }
    }
};

// Which step serves a block: Steps::run with its constants, or else the one that takes any.
template <class Steps, class Step>
struct Pick {
    Step& step;
    bool square;

    template <class M>
    FASTCONV_INLINE void operator()() const {
        if (square) {
            step = Steps::template run<M, M>;
        } else {
            step = Steps::template run<Constants<TransformKind::kNone, 1, 1>, M>;
        }
    }
};

FASTCONV_INLINE bool is_same(const AxisTransform& a, const AxisTransform& b) {
    return a.kind == b.kind && a.from == b.from && a.to == b.to;
}

template <class Steps, class Block, class Step>
FASTCONV_INLINE Step step_for(const Block& block, Step step) {
    const bool square = is_same(block.height, block.width);
    if (square || block.height.kind == TransformKind::kNone)
        with_constants(block.width, Pick<Steps, Step>{step, square});
    return step;
}

template <class T>
struct TransformPanelVisit {
    const TileBlock<T>& block;
    template <int Vectors>
    FASTCONV_INLINE void operator()(index_t column, index_t offset) const {
        const auto step = step_for<TransformInRegisters>(block, &transform_step<T>);
        T* panel = block.planes + offset + block.first_row * Vectors * kLanes<T>;
        for (index_t tile = 0; tile < block.count; ++tile)
            for (int v = 0; v < Vectors; ++v, panel += kLanes<T>)
                step(block, block.tiles[tile], column + v * kLanes<T>, panel);
    }
};

// The pixels of a tile lie on several lines, and the processor recognizes no pattern in that.
template <class T>
FASTCONV_INLINE void fetch_tile(const TileBlock<T>& block, const PixelTile<const T>& tile, index_t channel) {
    for (int i = tile.first_row; i < tile.last_row; ++i)
        for (int j = tile.first_column; j < tile.last_column; ++j)
            __builtin_prefetch(tile.data + i * block.row_step + j * block.column_step + channel, 0, 3);
}

template <class T>
void transform_tiles(const TileBlock<T>& block) noexcept {
    if (block.pitch == 0) return for_each_panel<T>(block.channels, block.block_rows, TransformPanelVisit<T>{block});
    const auto step = step_for<TransformInRegisters>(block, &transform_step<T>);
    for (index_t tile = 0; tile < block.count; ++tile) {
        for (index_t channel = 0; channel < block.channels; channel += kLanes<T>) {
            if (tile + 1 < block.count) fetch_tile(block, block.tiles[tile + 1], channel);
            step(block, block.tiles[tile], channel, block.planes + tile * block.pitch + channel);
        }
    }
}

// Reads a vector of each plane and multiplies along the height.
template <class T>
struct ReadPlanes {
    const T* source;
    index_t plane_pitch;
    int tile_columns;
    Vec<T>* between;

    template <class M>
    FASTCONV_INLINE void operator()() const {
        for (int j = 0; j < tile_columns; ++j) {
            Vec<T> x[M::columns], y[M::rows];
#pragma GCC unroll 8
            for (int i = 0; i < M::columns; ++i) x[i] = load(source + (i * tile_columns + j) * plane_pitch);
            multiply_constants<M, T>(x, y);
#pragma GCC unroll 8
            for (int i = 0; i < M::rows; ++i) between[i * tile_columns + j] = y[i];
        }
    }
};

// Multiplies along the width and writes those pixels of the tile that exist.
template <class T>
struct WriteAlongWidth {
    const RestoreBlock<T>& block;
    const PixelTile<T>& tile;
    index_t channel, lanes;
    Vec<T> bias;
    const Vec<T>* between;

    template <class M>
    FASTCONV_INLINE void operator()() const {
        const bool whole = tile.first_column == 0 && tile.last_column == M::rows && lanes == kLanes<T>;
        for (int i = tile.first_row; i < tile.last_row; ++i) {
            Vec<T> x[M::columns], y[M::rows];
#pragma GCC unroll 8
            for (int j = 0; j < M::columns; ++j) x[j] = between[i * M::columns + j];
            multiply_constants<M, T>(x, y);
            T* target = tile.data + i * block.row_step + channel;
#pragma GCC unroll 8
            for (int j = 0; j < M::rows; ++j) {
                Vec<T> value = y[j] + bias;
                if (block.relu) value = relu<T>(value);
                if (whole && block.stream) {
                    store_past_cache(target + j * block.column_step, value);
                } else if (whole) {
                    store(target + j * block.column_step, value);
                } else if (j >= tile.first_column && j < tile.last_column) {
                    store_first(target + j * block.column_step, lanes, value);
                }
            }
        }
    }
};

// A vector of channels of a tile, from the planes to its pixels.
template <class T>
void restore_step(const RestoreBlock<T>& block, const PixelTile<T>& tile, index_t channel, const T* source) noexcept {
    Vec<T> between[kMostValues];
    const index_t lanes = smaller(kLanes<T>, block.channels - channel);
    const Vec<T> bias = block.bias != nullptr ? load_first(block.bias + channel, lanes) : Vec<T>{};
    with_constants(block.height, ReadPlanes<T>{source, block.plane_pitch, block.width.from, between});
    with_constants(block.width, WriteAlongWidth<T>{block, tile, channel, lanes, bias, between});
}

// The same in registers.
template <class Height, class Width, class T>
FASTCONV_INLINE void restore_pixels(const RestoreBlock<T>& block, const PixelTile<T>& tile, index_t channel,
                                    const T* source) {
    Vec<T> between[Width::columns][Height::rows];
#pragma GCC unroll 8
    for (int j = 0; j < Width::columns; ++j) {
        Vec<T> x[Height::columns];
#pragma GCC unroll 8
        for (int i = 0; i < Height::columns; ++i) x[i] = load(source + (i * Width::columns + j) * block.plane_pitch);
        multiply_constants<Height, T>(x, between[j]);
    }
    const index_t lanes = smaller(kLanes<T>, block.channels - channel);
    const bool whole = tile.first_column == 0 && tile.last_column == Width::rows && lanes == kLanes<T>;
    const Vec<T> bias = block.bias != nullptr ? load_some(block.bias + channel, lanes) : Vec<T>{};
#pragma GCC unroll 8
    for (int i = 0; i < Height::rows; ++i) {
        Vec<T> x[Width::columns], y[Width::rows];
#pragma GCC unroll 8
        for (int j = 0; j < Width::columns; ++j) x[j] = between[j][i];
        multiply_constants<Width, T>(x, y);
        if (i < tile.first_row || i >= tile.last_row) continue;
        T* target = tile.data + i * block.row_step + channel;
#pragma GCC unroll 8
        for (int j = 0; j < Width::rows; ++j) {
            y[j] += bias;
            if (block.relu) y[j] = relu<T>(y[j]);
        }
        if (whole && block.stream) {
#pragma GCC unroll 8
            for (int j = 0; j < Width::rows; ++j) store_past_cache(target + j * block.column_step, y[j]);
        } else if (whole) {
#pragma GCC unroll 8
            for (int j = 0; j < Width::rows; ++j) store(target + j * block.column_step, y[j]);
        } else {
#pragma GCC unroll 8
            for (int j = 0; j < Width::rows; ++j)
                if (j >= tile.first_column && j < tile.last_column)
                    store_some(target + j * block.column_step, lanes, y[j]);
        }
    }
}

struct RestoreInRegisters {
    template <class Height, class Width, class T>
    static void run(const RestoreBlock<T>& block, const PixelTile<T>& tile, index_t channel, const T* source) noexcept {
        restore_pixels<Height, Width, T>(block, tile, channel, source);
    }
};

template <class T>
void restore_tiles(const RestoreBlock<T>& block) noexcept {
    const auto step = step_for<RestoreInRegisters>(block, &restore_step<T>);
    for (index_t tile = 0; tile < block.count; ++tile)
        for (index_t channel = 0; channel < block.channels; channel += kLanes<T>)
            step(block, block.tiles[tile], channel, block.planes + tile * block.pitch + channel);
}

}  // namespace
}  // namespace fastconv
