// Lane by lane: the products under depthwise and grouped convolution. An output channel (a lane) sees only the few
// input channels of its group, so no matrix product is in it; vectors run over the lanes.
//
//   target[r][k]       = act(bias[k] + sum over tap, i of source[map(r, tap)][group(k), i] * weight[tap][i][k])
//   sums[tap][i][k]    =               sum over r      of source[map(r, tap)][group(k), i] * right[r][k]
#pragma once

#include "gemm/lane_source.h"

namespace fastconv {

template <class T>
struct LaneProduct {
    LaneSource<T> source;
    TensorView<T> target;
    const T* weight = nullptr;  // (kernel position, group_inputs, lanes), C-contiguous
    const T* bias = nullptr;    // lanes values, or null
    bool relu = false;
};

template <class T>
std::size_t workspace_bytes(const LaneProduct<T>& product);

template <class T>
void multiply(const LaneProduct<T>& product);

template <class T>
struct LaneOuterProduct {
    LaneSource<T> source;
    TensorView<const T> right;  // a row of lanes for each row of the map, C-contiguous or in whole planes
    T* sums = nullptr;          // (kernel position, group_inputs, lanes), C-contiguous
};

template <class T>
std::size_t workspace_bytes(const LaneOuterProduct<T>& product);

template <class T>
void sum_products(const LaneOuterProduct<T>& product);

}  // namespace fastconv
