// A convolution cut into tiles for Winograd's algorithm: which axes are transformed and how, and where the tiles lie.
//
// Of height and width, an axis is transformed if its kernel has three or five taps, without dilation; the taps of the
// others, depth always among them, join the reduction. A tile of the source has `points` pixels along a transformed
// axis and gives `results` pixels of the target. For the gradient of the weight, the target's pixels are given, and the
// results of the transform are the taps.
#pragma once

#include <array>

#include "conv/algorithm.h"
#include "core/arithmetic.h"
#include "kernels/table.h"

namespace fastconv {

// How an axis is transformed: F(results, taps) on points = results + taps - 1; or not at all: one of each.
struct TileAxis {
    index_t results = 1, taps = 1, points = 1;

    bool transformed() const { return points > 1; }
};

struct TileScheme {
    TileAxis height, width;

    index_t planes() const { return height.points * width.points; }
};

// What a tile of the source, a "kernel" of so many values and the sums of products are multiplied with along an axis.
AxisTransform data_of(const TileAxis& axis);
AxisTransform kernel_of(const TileAxis& axis, index_t values);
AxisTransform result_of(const TileAxis& axis, index_t values);

// Rows and planes a power of two apart would share a few sets of the cache: an odd number of cache lines.
template <class T>
index_t odd_lines(index_t values) {
    constexpr index_t line = 64 / sizeof(T);
    return (ceil_div(values, line) | 1) * line;
}

// The largest tile that may be taken: results of F(2, 3), F(4, 3) or F(6, 3); 0 where none should be.
int winograd_limit();
// Throws std::invalid_argument unless it is one of 0, 2, 4, 6.
void set_winograd_limit(index_t limit);

// The source and target of a pass as it slides: those of the forward pass, or, for the gradient of the input, of the
// convolution of the output's gradient with the flipped weight.
struct TileGeometry {
    TileGeometry(const ConvGeometry& g, Pass pass, const TileScheme& scheme);

    TileScheme scheme;
    index_t batch;
    std::array<index_t, kAxes> source, target;  // extents
    std::array<index_t, kAxes> start;           // of target pixel 0's window in the source, negative in the padding
    std::array<index_t, kAxes> dilation;
    std::array<index_t, kAxes> kernel;  // taps that join the reduction; 1 along transformed axes
    std::array<index_t, kAxes> tiles;   // along each axis

    index_t count() const { return batch * tiles[0] * tiles[1] * tiles[2]; }
    index_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }

    // The tiles [first, first + count) of the source under a tap, and of the target.
    template <class T>
    void source_tiles(const TensorView<const T>& view, index_t tap, index_t first, index_t count,
                      PixelTile<const T>* out) const;
    template <class Value>
    void target_tiles(const TensorView<Value>& view, index_t first, index_t count, PixelTile<Value>* out) const;

  private:
    struct Place {
        index_t n;
        std::array<index_t, kAxes> at;  // tile positions
    };
    Place place(index_t tile) const;
};

// The ways to transform an axis within the limit, the largest tile first; only "not at all" where there is no other.
struct TileAxes {
    std::array<TileAxis, 3> ways;
    int count = 0;

    const TileAxis* begin() const { return ways.data(); }
    const TileAxis* end() const { return ways.data() + count; }
};
TileAxes tile_axes(const Axis& axis, int limit);

// Whether there is a scheme that transforms an axis.
bool has_tiles(const ConvGeometry& g);

// The weight's side: how its taps lie in tiles of the scheme, (tap of the reduction) by tap.
struct WeightTiles {
    WeightTiles(const ConvGeometry& g, const TileScheme& scheme, bool flipped);

    // The element at row 0 and column 0 of a tap's tile, counted in kernel positions, and the steps along it.
    index_t first(index_t tap) const;

    index_t row_step, column_step;  // kernel positions

  private:
    std::array<index_t, kAxes> kernel_, joined_, strides_;
    bool flipped_;
};

}  // namespace fastconv
