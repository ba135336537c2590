// Where source and target are contiguous along different axes, the two axes span a plane, and planes are
// transposed tile by tile; whatever other axes there are become loops around that. Where one axis is the
// fastest in both, tiles are runs along it.
#include "elementwise/copy.h"

#include <algorithm>
#include <cstdlib>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/machine.h"
#include "core/threads.h"

namespace fastconv {
namespace {

// Values of a tile, to keep a thread busy for some microseconds and the memory's prefetchers on one page.
constexpr index_t kTile = 8192;
// What is written side by side at least, where the source's runs are long: one cache line of each of 512 rows in turn
// keeps memory busy with opening pages. 12.8 MB of NCHW to NHWC, float32, 256 channels, before over after 1.25, 128
// channels 1.2.
constexpr index_t kShortestRun = 256, kLongSource = 512;

struct CopyAxis {
    index_t extent = 1, source = 0, target = 0;  // and the strides of both
};

// The axes of a copy, after their parts in it. Axes that aren't needed have extent 1.
struct Plan {
    CopyAxis row;     // along which the target is contiguous
    CopyAxis column;  // along which the source is, or nearly so
    CopyAxis inner, middle, outer;
    index_t source_start = 0, target_start = 0;
    index_t size = 1;

    index_t rows_per_tile, row_tiles;
    index_t columns_per_tile, column_tiles;
    index_t inner_per_tile, inner_tiles;

    index_t tiles() const { return outer.extent * middle.extent * row_tiles * inner_tiles * column_tiles; }
};

// The axes that remain, innermost first, once those of extent 1 are left out and neighbours are merged that
// are one axis in the source as well. Returns how many.
template <class T>
int merge_axes(const StridedArray<T>& array, std::array<CopyAxis, kMostCopyAxes>& merged) {
    int count = 0;
    index_t target = 1;
    for (int i = array.axes - 1; i >= 0; --i) {
        const index_t extent = array.extents[i], source = array.strides[i];
        if (extent == 1) continue;
        if (count > 0 && source == merged[count - 1].source * merged[count - 1].extent) {
            merged[count - 1].extent *= extent;
        } else {
            merged[count++] = {extent, source, target};
        }
        target *= extent;
    }
    return count;
}

// Axes with small steps in the source come first; those that stand still (broadcast) last.
bool steps_less(const CopyAxis& a, const CopyAxis& b) {
    return a.source != 0 && (b.source == 0 || std::abs(a.source) < std::abs(b.source));
}

// Walks along an axis from its other end.
void turn(CopyAxis& axis, Plan& plan) {
    plan.source_start += (axis.extent - 1) * axis.source;
    plan.target_start += (axis.extent - 1) * axis.target;
    axis.source = -axis.source;
    axis.target = -axis.target;
}

template <class T>
Plan make_plan(const StridedArray<T>& array) {
    Plan plan;
    std::array<CopyAxis, kMostCopyAxes> axes;
    const int count = merge_axes(array, axes);
    for (int i = 0; i < count; ++i) plan.size *= axes[i].extent;
    if (count > 0) plan.row = axes[0];
    const auto first = axes.begin(), last = first + count;
    const bool runs = plan.row.source == 1 || std::min_element(first, last, steps_less) == first;
    // Runs are written in the target's order; otherwise the source's order decides.
    if (!runs)
        for (auto axis = first + 1; axis != last; ++axis)
            std::iter_swap(axis, std::min_element(axis, last, steps_less));
    if (count > 1) plan.column = axes[1];
    if (plan.column.source == -1) turn(plan.column, plan);
    if (count > 2) plan.inner = axes[2];
    if (count > 3) plan.middle = axes[3];
    if (count > 4) plan.outer = axes[4];

    // Two threads must not write parts of one line of the target in turns: tiles consist of whole lines of
    // rows, or of all rows.
    constexpr index_t line = 64 / sizeof(T);
    const bool inner_within_rows = plan.inner.extent > 1 && steps_less(plan.inner, plan.row);
    if (runs) {
        plan.rows_per_tile = kTile;
    } else if (plan.row.extent % line != 0) {
        plan.rows_per_tile = plan.row.extent;
    } else if (inner_within_rows) {
        plan.rows_per_tile = line;
    } else {
        const index_t shortest = plan.column.extent > kLongSource ? kShortestRun : line;
        plan.rows_per_tile = std::max(kTile / plan.column.extent / line * line, shortest);
    }
    plan.rows_per_tile = std::min(plan.rows_per_tile, plan.row.extent);
    plan.row_tiles = ceil_div(plan.row.extent, plan.rows_per_tile);
    plan.columns_per_tile = std::min(round_up(ceil_div(kTile, plan.rows_per_tile), line), plan.column.extent);
    plan.column_tiles = ceil_div(plan.column.extent, plan.columns_per_tile);
    plan.inner_per_tile =
        std::clamp<index_t>(kTile / (plan.rows_per_tile * plan.columns_per_tile), 1, plan.inner.extent);
    plan.inner_tiles = ceil_div(plan.inner.extent, plan.inner_per_tile);
    return plan;
}

}  // namespace

template <class T>
void copy_contiguous(const StridedArray<T>& array, T* target) {
    for (int i = 0; i < array.axes; ++i)
        if (array.extents[i] == 0) return;
    const Plan plan = make_plan(array);
    const Kernels<T>& table = kernels<T>();

    // Source and target together outgrow the last cache: writing past it saves reading what is overwritten.
    // Measured, one core with 8 MB, NCHW to NHWC, plain and streaming: 1.6 MB 24 and 11 GB/s, 6.4 MB 8.3 and 12.5 GB/s,
    // counting what is read and written.
    const bool stream = 2 * plan.size * static_cast<index_t>(sizeof(T)) > last_cache_bytes() / 4 * 3;
    CopyBlock<T> whole{array.data + plan.source_start,
                       plan.row.source,
                       plan.column.source,
                       0,
                       0,
                       target + plan.target_start,
                       plan.column.target,
                       stream};
    const int threads = worthwhile_threads(4.0 * static_cast<double>(plan.size), plan.tiles());
    parallel_for(plan.tiles(), threads, [&](index_t tile, int) {
        const index_t row = tile % plan.row_tiles * plan.rows_per_tile;
        tile /= plan.row_tiles;
        const index_t column = tile % plan.column_tiles * plan.columns_per_tile;
        tile /= plan.column_tiles;
        const index_t inner = tile % plan.inner_tiles * plan.inner_per_tile;
        tile /= plan.inner_tiles;
        const index_t middle = tile % plan.middle.extent, outer = tile / plan.middle.extent;

        CopyBlock<T> block = whole;
        block.rows = std::min(plan.rows_per_tile, plan.row.extent - row);
        block.columns = std::min(plan.columns_per_tile, plan.column.extent - column);
        block.source += outer * plan.outer.source + middle * plan.middle.source + inner * plan.inner.source +
                        row * plan.row.source + column * plan.column.source;
        block.target += outer * plan.outer.target + middle * plan.middle.target + inner * plan.inner.target + row +
                        column * plan.column.target;
        const index_t end = std::min(inner + plan.inner_per_tile, plan.inner.extent);
        for (index_t i = inner; i < end; ++i) {
            table.copy_block(block);
            block.source += plan.inner.source;
            block.target += plan.inner.target;
        }
    });
}

template <>
void copy_contiguous(const StridedArray<index_t>& array, index_t* target) {  // nothing but bits are moved
    copy_contiguous<double>({reinterpret_cast<const double*>(array.data), array.axes, array.extents, array.strides},
                            reinterpret_cast<double*>(target));
}

template void copy_contiguous(const StridedArray<float>&, float*);
template void copy_contiguous(const StridedArray<double>&, double*);

}  // namespace fastconv
