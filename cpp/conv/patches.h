// The patch matrix of a sliding window, and its adjoint, also known as im2col and col2im (Chellapilla,
// Puri and Simard, "High performance convolutional neural networks for document processing", 2006).
//
// Row r belongs to output pixel r; its columns are the values under the window, tap by tap, the channels
// of a tap together, with zeros where the window reaches into the padding.
#pragma once

#include "core/row_map.h"

namespace fastconv {

// Some rows of the matrix, and the channels [channel, channel + channels) of every tap.
struct PatchBlock {
    index_t first_row, rows;
    index_t channel, channels;
};

template <class T>
void im2col(const RowMap& map, const TensorView<const T>& input, const PatchBlock& block, T* patches);

// Adds every value of the patches to the input position that it came from.
template <class T>
void col2im(const RowMap& map, const T* patches, const PatchBlock& block, const TensorView<T>& input);

}  // namespace fastconv
