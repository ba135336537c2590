// Convolution in one call: each pass takes the algorithm by name ("auto" lets select() choose) and runs it.
// Shapes have been checked by the geometry. A transposed convolution is the gradient of the input here, with a bias.
#pragma once

#include "conv/algorithm.h"
#include "kernels/activation_kind.h"

namespace fastconv {

// What a call is: its name in error messages, the algorithm asked for, and the activation of its output. Of these the
// algorithms know ReLU alone, which they store with; the others run over the finished output.
struct Request {
    const std::string& operation;
    const std::string& algorithm;
    ActivationKind activation = ActivationKind::kNone;
};

// What a pass will do.
struct PassPlan {
    std::string algorithm, reason;
    std::size_t workspace;  // bytes
};

template <class T>
PassPlan plan_pass(const Request& request, const ConvGeometry& geometry, Pass pass);

// Whether the pass reads an operand as it is if its channels are whole planes, each with all of an image's pixels side
// by side; else the pass copies it first, as the caller may do better, for several passes.
template <class T>
bool conv_reads_planes(const Request& request, const ConvGeometry& geometry, Pass pass, Operand operand);

template <class T>
void conv_forward(const Request& request, const ConvGeometry& geometry, ForwardArguments<T> arguments);

template <class T>
void conv_backward_input(const Request& request, const ConvGeometry& geometry, BackwardInputArguments<T> arguments);

template <class T>
void conv_backward_weight(const Request& request, const ConvGeometry& geometry, BackwardWeightArguments<T> arguments);

// The bias is added to every output pixel, so its gradient is the sum over them, whatever the algorithm.
template <class T>
void conv_backward_bias(index_t pixels, index_t channels, const T* grad_output, T* grad_bias);

}  // namespace fastconv
