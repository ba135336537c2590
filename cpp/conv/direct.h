// One phase of the gradient of the input (core/row_map.h) as an implicit matrix product, for algorithms that have
// nothing better for some of them.
#pragma once

#include "conv/algorithm.h"
#include "core/row_map.h"

namespace fastconv {

template <class T>
void multiply_phase(const ConvGeometry& g, const BackwardInputArguments<T>& arguments, const RowMap& phase);

template <class T>
std::size_t phase_workspace(const ConvGeometry& g, const RowMap& phase);

}  // namespace fastconv
