// Tiles of a line or a plane of pixels, multiplied with constant matrices along height and width (toom_cook.h), and the
// way back: what stands before and after the matrix products of Winograd's convolution. Vectors run over channels.
//
// Coefficients are compile-time constants: those that are zero cost nothing, those that are one no multiplication, and
// rows of points +-a share their even and their odd part.
#pragma once

#include "kernels/gemm.h"
#include "kernels/toom_cook.h"

namespace fastconv {
namespace {

// The matrix of a transform that is made one of sums and differences: `value` is applied to inputs in which the pairs
// (j, j + 1) marked by pairs_columns have been replaced by their sum and their difference.
template <TransformKind kind, int from, int to>
struct Constants {
    static constexpr int rows = to, columns = from;

    static constexpr Matrix make() {
        if (kind == TransformKind::kData) return data_matrix(from);
        if (kind == TransformKind::kKernel) return kernel_matrix(to, from);
        if (kind == TransformKind::kResult) return result_matrix(from, to);
        Matrix one{1, 1};
        one.at[0][0] = {1, 1};
        return one;
    }
    static constexpr Matrix matrix = make();

    // 1 where row i + 1 is row i with its odd coefficients negated, -1 where it is that with the even ones, else 0.
    static constexpr int pairs_rows(int i) {
        if (kind == TransformKind::kResult || i + 1 >= to || to == 1) return 0;
        for (int sign = 1; sign >= -1; sign -= 2) {
            bool pairs = true;
            for (int j = 0; j < from; ++j)
                pairs &= matrix.at[i + 1][j] == matrix.at[i][j] * Rational{j % 2 == 0 ? sign : -sign, 1};
            if (pairs) return sign;
        }
        return 0;
    }

    // Column j + 1 is column j with every second coefficient negated.
    static constexpr bool pairs_columns(int j) {
        if (kind != TransformKind::kResult || j + 1 >= from) return false;
        for (int i = 0; i < to; ++i)
            if (!(matrix.at[i][j + 1] == matrix.at[i][j] * Rational{i % 2 == 0 ? 1 : -1, 1})) return false;
        return true;
    }

    static constexpr double coefficient(int i, int j) {
        Rational value = matrix.at[i][j];
        if (pairs_columns(j) && i % 2 == 1) value = {};
        if (j > 0 && pairs_columns(j - 1)) value = i % 2 == 1 ? matrix.at[i][j - 1] : Rational{};
        return static_cast<double>(value.numerator) / static_cast<double>(value.denominator);
    }

    // The first coefficient of row i that is one, or else the first that isn't zero, among columns start, start +
    // step...
    static constexpr int first_term(int i, int start, int step) {
        for (int j = start; j < from; j += step)
            if (coefficient(i, j) == 1) return j;
        for (int j = start; j < from; j += step)
            if (coefficient(i, j) != 0) return j;
        return -1;
    }
};

template <class M, int i, int j, int step, int without, class T>
FASTCONV_INLINE Vec<T> add_terms(Vec<T> sum, const Vec<T>* x) {
    if constexpr (j >= M::columns) {
        return sum;
    } else {
        constexpr double c = M::coefficient(i, j);
        if constexpr (j == without || c == 0)
            return add_terms<M, i, j + step, step, without, T>(sum, x);
        else if constexpr (c == 1)
            return add_terms<M, i, j + step, step, without, T>(sum + x[j], x);
        else if constexpr (c == -1)
            return add_terms<M, i, j + step, step, without, T>(sum - x[j], x);
        else
            return add_terms<M, i, j + step, step, without, T>(sum + static_cast<T>(c) * x[j], x);
    }
}

// Row i of the matrix times x, of which columns start, start + step, ... take part.
template <class M, int i, int start, int step, class T>
FASTCONV_INLINE Vec<T> row_times(const Vec<T>* x) {
    constexpr int first = M::first_term(i, start, step);
    if constexpr (first < 0) {
        return Vec<T>{};
    } else {
        constexpr double c = M::coefficient(i, first);
        return add_terms<M, i, start, step, first, T>(c == 1 ? x[first] : static_cast<T>(c) * x[first], x);
    }
}

template <class M, int i, class T>
FASTCONV_INLINE void multiply_from_row(const Vec<T>* x, Vec<T>* y) {
    if constexpr (i < M::rows) {
        if constexpr (M::pairs_rows(i) != 0) {
            const Vec<T> even = row_times<M, i, 0, 2, T>(x), odd = row_times<M, i, 1, 2, T>(x);
            y[i] = even + odd;
            y[i + 1] = M::pairs_rows(i) > 0 ? even - odd : odd - even;
            multiply_from_row<M, i + 2, T>(x, y);
        } else {
            y[i] = row_times<M, i, 0, 1, T>(x);
            multiply_from_row<M, i + 1, T>(x, y);
        }
    }
}

template <class M, int j, class T>
FASTCONV_INLINE void add_and_subtract(Vec<T>* x) {
    if constexpr (j < M::columns) {
        if constexpr (M::pairs_columns(j)) {
            const Vec<T> sum = x[j] + x[j + 1];
            x[j + 1] = x[j] - x[j + 1];
            x[j] = sum;
            add_and_subtract<M, j + 2, T>(x);
        } else {
            add_and_subtract<M, j + 1, T>(x);
        }
    }
}

// y = matrix times x, which is overwritten.
template <class M, class T>
FASTCONV_INLINE void multiply_constants(Vec<T>* x, Vec<T>* y) {
    add_and_subtract<M, 0, T>(x);
    multiply_from_row<M, 0, T>(x, y);
}

// Calls visit.operator()<Constants<...>>() with the matrix of a transform.
template <class Visit>
FASTCONV_INLINE void with_constants(const AxisTransform& transform, const Visit& visit) {
    using Kind = TransformKind;
    const auto key = [](Kind kind, int from, int to) { return (static_cast<int>(kind) * 16 + from) * 16 + to; };
    const int wanted = key(transform.kind, transform.from, transform.to);
    if (wanted == key(Kind::kData, 6, 6)) return visit.template operator()<Constants<Kind::kData, 6, 6>>();
    if (wanted == key(Kind::kResult, 6, 4)) return visit.template operator()<Constants<Kind::kResult, 6, 4>>();
    if (wanted == key(Kind::kKernel, 3, 6)) return visit.template operator()<Constants<Kind::kKernel, 3, 6>>();
    if (wanted == key(Kind::kKernel, 4, 6)) return visit.template operator()<Constants<Kind::kKernel, 4, 6>>();
    if (wanted == key(Kind::kNone, 1, 1)) return visit.template operator()<Constants<Kind::kNone, 1, 1>>();
    if (wanted == key(Kind::kData, 4, 4)) return visit.template operator()<Constants<Kind::kData, 4, 4>>();
    if (wanted == key(Kind::kKernel, 3, 4)) return visit.template operator()<Constants<Kind::kKernel, 3, 4>>();
    if (wanted == key(Kind::kKernel, 2, 4)) return visit.template operator()<Constants<Kind::kKernel, 2, 4>>();
    if (wanted == key(Kind::kResult, 4, 2)) return visit.template operator()<Constants<Kind::kResult, 4, 2>>();
    if (wanted == key(Kind::kResult, 4, 3)) return visit.template operator()<Constants<Kind::kResult, 4, 3>>();
    if (wanted == key(Kind::kResult, 6, 3)) return visit.template operator()<Constants<Kind::kResult, 6, 3>>();
    if (wanted == key(Kind::kKernel, 5, 6)) return visit.template operator()<Constants<Kind::kKernel, 5, 6>>();
    if (wanted == key(Kind::kKernel, 2, 6)) return visit.template operator()<Constants<Kind::kKernel, 2, 6>>();
    if (wanted == key(Kind::kResult, 6, 2)) return visit.template operator()<Constants<Kind::kResult, 6, 2>>();
    if (wanted == key(Kind::kResult, 6, 5)) return visit.template operator()<Constants<Kind::kResult, 6, 5>>();
    if (wanted == key(Kind::kData, 5, 5)) return visit.template operator()<Constants<Kind::kData, 5, 5>>();
    if (wanted == key(Kind::kKernel, 2, 5)) return visit.template operator()<Constants<Kind::kKernel, 2, 5>>();
    if (wanted == key(Kind::kResult, 5, 4)) return visit.template operator()<Constants<Kind::kResult, 5, 4>>();
    if (wanted == key(Kind::kKernel, 4, 5)) return visit.template operator()<Constants<Kind::kKernel, 4, 5>>();
    if (wanted == key(Kind::kResult, 5, 2)) return visit.template operator()<Constants<Kind::kResult, 5, 2>>();
    if (wanted == key(Kind::kData, 8, 8)) return visit.template operator()<Constants<Kind::kData, 8, 8>>();
    if (wanted == key(Kind::kKernel, 3, 8)) return visit.template operator()<Constants<Kind::kKernel, 3, 8>>();
    if (wanted == key(Kind::kResult, 8, 6)) return visit.template operator()<Constants<Kind::kResult, 8, 6>>();
    __builtin_trap();  // a tile that has no constants here
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

template <class T>
FASTCONV_INLINE void transform_channels(const TileBlock<T>& block, index_t tile, index_t channel, T* target) {
    Vec<T> between[kMostValues];
    const index_t lanes = smaller(kLanes<T>, block.channels - channel);
    with_constants(block.height, ReadAlongHeight<T>{block.tiles[tile], block.row_step, block.column_step, channel,
                                                    lanes, block.width.from, between});
    with_constants(block.width, WritePlanes<T>{between, block.height.to, target, block.plane_pitch});
}

template <class T>
struct TransformPanelVisit {
    const TileBlock<T>& block;
    template <int Vectors>
    FASTCONV_INLINE void operator()(index_t column, index_t offset) const {
        T* panel = block.planes + offset + block.first_row * Vectors * kLanes<T>;
        for (index_t tile = 0; tile < block.count; ++tile)
            for (int v = 0; v < Vectors; ++v, panel += kLanes<T>)
                transform_channels(block, tile, column + v * kLanes<T>, panel);
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
    for (index_t tile = 0; tile < block.count; ++tile) {
        for (index_t channel = 0; channel < block.channels; channel += kLanes<T>) {
            if (tile + 1 < block.count) fetch_tile(block, block.tiles[tile + 1], channel);
            transform_channels(block, tile, channel, block.planes + tile * block.pitch + channel);
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

template <class T>
void restore_tiles(const RestoreBlock<T>& block) noexcept {
    Vec<T> between[kMostValues];
    for (index_t tile = 0; tile < block.count; ++tile) {
        for (index_t channel = 0; channel < block.channels; channel += kLanes<T>) {
            const index_t lanes = smaller(kLanes<T>, block.channels - channel);
            const Vec<T> bias = block.bias != nullptr ? load_first(block.bias + channel, lanes) : Vec<T>{};
            const T* source = block.planes + tile * block.pitch + channel;
            with_constants(block.height, ReadPlanes<T>{source, block.plane_pitch, block.width.from, between});
            with_constants(block.width, WriteAlongWidth<T>{block, block.tiles[tile], channel, lanes, bias, between});
        }
    }
    if (block.stream) order_stores();
}

}  // namespace
}  // namespace fastconv
