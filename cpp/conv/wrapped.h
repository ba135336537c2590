// Padding modes: what the taps that lie in the padding add to a convolution whose padding is zeros.
//
// A convolution with reflected, replicated or circular borders differs from the one with zeros by those products alone
// whose input position lies outside. For one tap these are few outputs, and a pixel of the input stands in for each:
// a convolution of one tap, over a list of pixels. So every algorithm, which knows zeros alone, serves all modes, and
// there is no padded copy of the input. The gradients are the same products read the other ways.
#pragma once

#include "conv/algorithm.h"

namespace fastconv {

// Whether there is padding, and it isn't zeros.
bool wraps(const ConvGeometry& geometry);

// Bytes, but for those of the products of one tap.
template <class T>
std::size_t wrapped_workspace(const ConvGeometry& geometry);

// output += what stands in the padding, times the weight.
template <class T>
void add_wrapped(const ConvGeometry& geometry, const ForwardArguments<T>& arguments);

// grad_input += what reaches its pixels by way of the padding.
template <class T>
void add_wrapped(const ConvGeometry& geometry, const BackwardInputArguments<T>& arguments);

// grad_weight += what the padding's values meet.
template <class T>
void add_wrapped(const ConvGeometry& geometry, const BackwardWeightArguments<T>& arguments);

}  // namespace fastconv
