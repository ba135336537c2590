// An algorithm of convolution: its name, what it can do, where it should be taken, and its three passes.
//
// The passes are one contraction read three ways; j stands for (tap, input channel), m for pixels:
//   forward          [m, j] [j, k] -> [m, k]
//   backward_input   [m, k] [k, j] -> [m, j]
//   backward_weight  [j, m] [m, k] -> [j, k]
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/geometry.h"
#include "core/tensor.h"

namespace fastconv {

class KeptWeight;

enum class Pass { kForward, kBackwardInput, kBackwardWeight };
enum class Operand { kInput, kGradOutput };

template <class T>
struct ForwardArguments {
    TensorView<const T> input;
    const T* weight;  // C-contiguous, as are all that follow
    const T* bias;    // or null
    bool relu;
    T* output;
    KeptWeight* kept = nullptr;  // or what may stay of the weight for the next call
};

template <class T>
struct BackwardInputArguments {
    TensorView<const T> grad_output;  // C-contiguous, but where the algorithm reads planes
    const T* weight;
    T* grad_input;
    const T* bias = nullptr;  // in_channels values, or null: a transposed convolution has one
    bool relu = false;        // and an activation
};

template <class T>
struct BackwardWeightArguments {
    TensorView<const T> grad_output;
    TensorView<const T> input;
    T* grad_weight;
};

// What lies like an output, its channels side by side.
template <class T>
TensorView<const T> output_view(const ConvGeometry& g, const T* values) {
    return contiguous_view(values, g.output_extents(), g.out_channels);
}

template <class T>
struct Algorithm {
    const char* name;
    bool (*supports)(const ConvGeometry&, Pass);
    // The reason why it should be taken, or null where the next one in the list is better.
    const char* (*prefers)(const ConvGeometry&, Pass);
    std::size_t (*workspace)(const ConvGeometry&, Pass);  // bytes
    void (*forward)(const ConvGeometry&, const ForwardArguments<T>&);
    void (*backward_input)(const ConvGeometry&, const BackwardInputArguments<T>&);
    void (*backward_weight)(const ConvGeometry&, const BackwardWeightArguments<T>&);
    // Results are sums of the very products: exact on small integers, and what isn't finite reaches those alone that
    // hold it. Not so where the numbers are transformed first.
    bool exact = true;
    // Whether a pass reads an operand as it is if its channels are whole planes; never, if null.
    bool (*reads_planes)(const ConvGeometry&, Pass, Operand) = nullptr;
};

template <class T>
const Algorithm<T>& direct_algorithm();
template <class T>
const Algorithm<T>& im2col_algorithm();
template <class T>
const Algorithm<T>& grouped_algorithm();
template <class T>
const Algorithm<T>& fourier_algorithm();
template <class T>
const Algorithm<T>& winograd_algorithm();
template <class T>
const Algorithm<T>& planar_algorithm();

// All algorithms, the one to try first at the front.
std::vector<std::string> algorithm_names();

// Of an algorithm by its name; false where there is none of that name.
bool algorithm_is_exact(const std::string& name);
bool algorithm_supports(const std::string& name, const ConvGeometry& geometry, Pass pass);

template <class T>
struct Choice {
    const Algorithm<T>* algorithm;
    const char* reason;
};

// The one place where an algorithm is chosen. "auto" takes the first that supports and prefers the case;
// a name takes that one, and fails where it doesn't support the case or doesn't exist.
template <class T>
Choice<T> select(const std::string& operation, const std::string& name, const ConvGeometry& geometry, Pass pass);

}  // namespace fastconv
