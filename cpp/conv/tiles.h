// A convolution cut into tiles for Winograd's algorithm: which axes are transformed and how, and where the tiles lie.
//
// Of height and width, an axis is transformed if its outputs meet two, three or five pixels in a row; the taps of
// the others, depth always among them, join the reduction. A tile of the source has `points` pixels along a transformed
// axis and gives `results` pixels of the target. For the gradient of the weight, the target's pixels are given, and the
// results of the transform are the taps.
//
// At a stride s, pixels that are equal modulo s form a phase (core/row_map.h). An output meets neighbours in each phase
// of the input: forwards, a convolution is one without a stride over the phases, which join the reduction, with a
// kernel of ceil(taps / s) in each. Backwards, each phase of the input is a target of its own, and meets neighbours.
//
// With a dilation d, outputs that are equal modulo d meet neighbours among the pixels d apart: tiles take every d-th.
#pragma once

#include <array>
#include <type_traits>

#include "conv/algorithm.h"
#include "core/arithmetic.h"
#include "core/row_map.h"
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
    index_t taps() const { return height.taps * width.taps; }
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

// Values that lie side by side in memory.
template <class T>
struct Stretch {
    const T* begin = nullptr;
    index_t values = 0;

    // Empty where one of so many equal parts is more than is worth keeping until it is used.
    Stretch worth_fetching(index_t parts = 1) const {
        constexpr index_t most = index_t{1} << 16;
        return values <= parts * most ? *this : Stretch{};
    }
};

// The tiles along one axis.
struct TilesAlong {
    TileAxis way;
    index_t source = 1, target = 1;               // extents
    index_t tiles = 1;                            // cover the target
    index_t residues = 1;                         // tile t is number t / residues of residue t % residues
    index_t start = 0, step = 1;                  // its first point is at position start + residue + number * step,
    index_t point_step = 1;                       // the next one so many positions on
    index_t joined = 1, joined_step = 0;          // taps, or phases, of the reduction; positions from one to the next
    index_t kernel_start = 0, kernel_joined = 0;  // of joined tap j, tap i of the tile of the kernel is the kernel's
    index_t kernel_step = 0;                      // position kernel_start + j * kernel_joined + i * kernel_step,
    index_t taps = 1;                             // if j + i * taps_step < taps
    index_t taps_step = 1;

    TilesAlong(const AxisMap& map, const TileAxis& way);

    index_t kernel_taps(index_t j) const { return way.transformed() ? ceil_div(taps - j, taps_step) : 1; }
    // At the last point, infinity, only a tile's last tap counts: where that doesn't exist, all products are zero.
    bool is_zero(index_t j, index_t point) const { return point == way.points - 1 && kernel_taps(j) < way.taps; }
    index_t products() const;  // of all joined taps, those that aren't
    // Of the first point of a tile in the source, without a tap, and of its first target; these are `residues` apart.
    index_t source_of(index_t tile) const { return start + tile % residues + tile / residues * step; }
    index_t target_of(index_t tile) const { return tile % residues + tile / residues * way.results * residues; }
};

// Where the tiles of a map's source and target lie, and those of the kernel.
struct TileGeometry {
    TileGeometry(const RowMap& map, const TileScheme& scheme);

    TileScheme scheme;
    index_t batch;
    std::array<TilesAlong, kAxes> axes;

    index_t count() const { return batch * axes[0].tiles * axes[1].tiles * axes[2].tiles; }
    index_t taps() const { return axes[0].joined * axes[1].joined * axes[2].joined; }
    // Of a tile, a channel of the source and one of the target, those that aren't zero whatever the values.
    index_t products() const { return axes[0].products() * axes[1].products() * axes[2].products(); }
    bool is_zero(index_t tap, index_t plane) const;
    bool has_phases() const { return axes[1].taps_step > 1 || axes[2].taps_step > 1; }
    index_t targets() const { return batch * axes[0].target * axes[1].target * axes[2].target; }

    // The tiles [first, first + count) of the source under a tap, and of the target, as a view of the map's targets.
    template <class T>
    void source_tiles(const TensorView<const T>& view, index_t tap, index_t first, index_t count,
                      PixelTile<const T>* out) const;
    template <class Value>
    void target_tiles(const TensorView<Value>& view, index_t first, index_t count, PixelTile<Value>* out) const;

    // What tiles [first, first + count) are the first to meet of the source, and of the target, where tiles and pixels
    // follow each other in memory; empty where they don't.
    template <class T>
    Stretch<T> source_stretch(const TensorView<const T>& view, index_t first, index_t count) const;
    template <class Value>
    Stretch<std::remove_const_t<Value>> target_stretch(const TensorView<Value>& view, index_t first,
                                                       index_t count) const;

    // The tile of the kernel that belongs to a tap: as many rows and columns of it exist.
    index_t kernel_rows(index_t tap) const { return axes[1].kernel_taps(joined(tap)[1]); }
    index_t kernel_columns(index_t tap) const { return axes[2].kernel_taps(joined(tap)[2]); }
    // The position in the kernel of its row 0 and column 0; and from there, so many positions to the neighbours.
    index_t kernel_position(index_t tap) const;
    index_t kernel_row_step() const { return axes[1].kernel_step * kernel_[2]; }
    index_t kernel_column_step() const { return axes[2].kernel_step; }

  private:
    using Position = std::array<index_t, kAxes>;

    struct Place {
        index_t n;
        Position at;  // tile positions
    };
    Place place(index_t tile) const;
    Position joined(index_t tap) const;

    Position kernel_;  // extents
};

// The ways to transform an axis within the limit, the largest tile first; only "not at all" where there is no other.
struct TileAxes {
    std::array<TileAxis, 3> ways;
    int count = 0;

    const TileAxis* begin() const { return ways.data(); }
    const TileAxis* end() const { return ways.data() + count; }
};
TileAxes tile_axes(const AxisMap& map, int limit);

// Whether there is one that transforms it.
bool can_transform(const AxisMap& map);

}  // namespace fastconv
