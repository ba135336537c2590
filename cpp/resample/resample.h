// Resampling along one axis: every target is a weighted sum of a few sources, whichever those are. Interpolation,
// nearest neighbours, averages of windows and the gradients of all of them are such sums with weights of their own.
#pragma once

#include "kernels/index.h"

namespace fastconv {

// A sparse matrix, row after row: target q meets the entries [start[q], start[q + 1]), each an index of the source's
// axis and its weight.
template <class T>
struct AxisWeights {
    index_t extent, targets;  // of the source, and of the target
    const index_t* start;     // targets + 1 of them
    const index_t* index;
    const T* weight;
};

// source is (outer, extent, inner), target (outer, targets, inner), both C-contiguous. A target without entries is
// zero.
template <class T>
void apply_along_axis(const AxisWeights<T>& weights, index_t outer, index_t inner, const T* source, T* target);

// Two neighbouring axes: source is (outer, height.extent, width.extent, inner). A line of the first axis' targets stays
// in the caches until the second one's are made of it, so that nothing between the two goes through memory.
template <class T>
void apply_to_plane(const AxisWeights<T>& height, const AxisWeights<T>& width, index_t outer, index_t inner,
                    const T* source, T* target);

}  // namespace fastconv
