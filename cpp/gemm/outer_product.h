// Sums over pixels: the gradient of a weight.
//
//   sums[tap][c][g, k] = sum over r of source[map(r, tap)][g, c] * right[r][g, k]
//
// Bits: the rows are cut into slices by geometry alone, each slice sums in order, and the slices are
// added in order; so neither the number of threads nor who runs what changes a bit.
#pragma once

#include "gemm/row_source.h"

namespace fastconv {

template <class T>
struct OuterProduct {
    RowSource<T> source;
    const T* right = nullptr;  // source.map.rows() rows of groups * columns values, right_pitch apart
    index_t right_pitch = 0;
    // Or its columns are planes, so far apart, and so the images of source.map.pixels() values in each.
    index_t right_plane = 1, right_image = 0;

    bool right_in_planes() const { return right_plane != 1; }

    index_t groups = 1, depth = 0, columns = 0;
    // Leaves out products with rows of padding, as if what meets them were finite; where channels are laid out.
    bool skips_padding = false;
    T* sums = nullptr;  // taps x depth rows of groups * columns values, sums_pitch apart
    index_t sums_pitch = 0;
};

// Whether the source is laid out anew for the kernel, which pays where enough columns meet it. A few channels of many
// rows touch a cache line of each row, and rows a power of two apart share a few sets of the cache.
// Groups of few columns go one by one instead, with their lines of the cache fetched ahead. Measured, Zen 4, 3x3, time
// over time with layouts: 32 groups of 32 0.8, with stride 2 0.7, 3 of 32 0.86, 4 of 64 0.98, 32 of 64 1.15.
inline bool lays_out_channels(index_t groups, index_t columns, index_t channels) {
    constexpr index_t kManyColumns = 128, kFewestColumns = 24, kManyChannels = 96, kFewestOfGroup = 64;
    if (groups > 1 && columns < kFewestOfGroup) return false;
    return columns >= kManyColumns || (columns >= kFewestColumns && channels >= kManyChannels);
}

template <class T>
std::size_t workspace_bytes(const OuterProduct<T>& product);

template <class T>
void sum_products(const OuterProduct<T>& product);

}  // namespace fastconv
