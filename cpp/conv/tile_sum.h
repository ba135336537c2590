// Sums over tiles: the gradient of the weight in Winograd's domain.
#pragma once

#include "conv/tiles.h"

namespace fastconv {

template <class T>
struct TileSum {
    TileSum(const ConvGeometry& geometry, const TileScheme& scheme, const BackwardWeightArguments<T>& arguments)
        : g(geometry),
          tiles(forward_map(geometry, geometry.batch), scheme),
          source(arguments.input),
          grad_output(arguments.grad_output),
          grad_weight(arguments.grad_weight) {}

    const ConvGeometry& g;
    TileGeometry tiles;
    TensorView<const T> source, grad_output;
    T* grad_weight;
};

template <class T>
std::size_t workspace_bytes(const TileSum<T>& sum);

template <class T>
void add_up(const TileSum<T>& sum);

}  // namespace fastconv
