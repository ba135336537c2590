// Products over tiles: the forward pass in Winograd's domain, and the gradient of the input, which is one with another
// weight.
//
// A block of tiles runs through all three steps (tiles, products, results) while it is in L2, past a weight that has
// been transformed before. Few tiles against many channels (batch 1, small maps) go the other way around: they are
// transformed first, and each task transforms the weights of its own columns, piece by piece, while these are in L2.
// Even where the weight stays the same from call to call that is faster than to read it transformed: it is four times
// as large then (512 channels on 14x14, transformed each time: 2.0 ms, kept: 2.8 ms).
#pragma once

#include "conv/tiles.h"

namespace fastconv {

// Of a tensor, the pixels that are a map's targets.
template <class T>
TensorView<T> targets_of(const RowMap& map, TensorView<T> view) {
    for (int i = 0; i < kAxes; ++i) {
        view.data += map.axes[i].target_start * view.strides[i];
        view.strides[i] *= map.axes[i].target_step;
    }
    return view;
}

template <class T>
struct TileProduct {
    TileProduct(const ConvGeometry& geometry, const TileScheme& scheme, const ForwardArguments<T>& arguments)
        : g(geometry),
          backward(false),
          tiles(forward_map(geometry, geometry.batch), scheme),
          source(arguments.input),
          target(contiguous_view(arguments.output, geometry.output_extents(), geometry.out_channels)),
          weight(arguments.weight),
          bias(arguments.bias),
          relu(arguments.relu),
          kept(arguments.kept) {}

    // One phase of the gradient of the input.
    TileProduct(const ConvGeometry& geometry, const RowMap& phase, const TileScheme& scheme,
                const BackwardInputArguments<T>& arguments)
        : g(geometry),
          backward(true),
          tiles(phase, scheme),
          source(arguments.grad_output),
          target(
              targets_of(phase, contiguous_view(arguments.grad_input, geometry.input_extents(), geometry.in_channels))),
          weight(arguments.weight),
          bias(arguments.bias),
          relu(arguments.relu) {}

    const ConvGeometry& g;
    bool backward;  // the weight is flipped and transposed
    TileGeometry tiles;
    TensorView<const T> source;
    TensorView<T> target;
    const T* weight;
    const T* bias = nullptr;
    bool relu = false;
    KeptWeight* kept = nullptr;

    index_t source_channels() const { return backward ? g.out_channels : g.in_channels; }
    index_t source_depth() const { return source_channels() / g.groups; }
    index_t target_depth() const { return (backward ? g.in_channels : g.out_channels) / g.groups; }
};

template <class T>
std::size_t workspace_bytes(const TileProduct<T>& product);

template <class T>
void multiply(const TileProduct<T>& product);

}  // namespace fastconv
