// What other algorithms ask of the direct one: one phase of the gradient of the input (core/row_map.h) as an implicit
// matrix product, where they have nothing better for it, and what it leaves out.
#pragma once

#include "conv/algorithm.h"
#include "core/row_map.h"

namespace fastconv {

template <class T>
void multiply_phase(const ConvGeometry& g, const BackwardInputArguments<T>& arguments, const RowMap& phase);

template <class T>
std::size_t phase_workspace(const ConvGeometry& g, const RowMap& phase);

// Whether the gradient of the weight leaves out products with the padding.
bool leaves_out_padding(const ConvGeometry& g);

}  // namespace fastconv
