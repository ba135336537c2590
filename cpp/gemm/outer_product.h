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
    T* sums = nullptr;  // taps x depth rows of groups * columns values, sums_pitch apart
    index_t sums_pitch = 0;
};

template <class T>
std::size_t workspace_bytes(const OuterProduct<T>& product);

template <class T>
void sum_products(const OuterProduct<T>& product);

}  // namespace fastconv
