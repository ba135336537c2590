#include "conv/conv.h"

#include <algorithm>

#include "conv/rows.h"
#include "conv/wrapped.h"
#include "elementwise/activation.h"
#include "gemm/slices.h"

namespace fastconv {
namespace {

// Without channels on one side there is no product: sums over nothing are zero.
bool is_empty(const ConvGeometry& g) { return g.weight_size() == 0; }

template <class T>
const Algorithm<T>& chosen(const Request& request, const ConvGeometry& g, Pass pass) {
    return *select<T>(request.operation, request.algorithm, g, pass).algorithm;
}

// What is left of the activation once an algorithm has run that knew, or didn't, of ReLU.
template <class T>
void finish(ActivationKind kind, bool relu_is_done, index_t count, T* values) {
    if (kind == ActivationKind::kNone || (kind == ActivationKind::kRelu && relu_is_done)) return;
    activate<T>(kind, values, count, values);
}

}  // namespace

template <class T>
PassPlan plan_pass(const Request& request, const ConvGeometry& g, Pass pass) {
    if (is_empty(g)) return {"none", "there is nothing to multiply", 0};
    const Choice<T> choice = select<T>(request.operation, request.algorithm, g, pass);
    // The two work one after the other.
    const std::size_t wrapped = wraps(g) ? wrapped_workspace<T>(g) : 0;
    return {choice.algorithm->name, choice.reason, std::max(choice.algorithm->workspace(g, pass), wrapped)};
}

template <class T>
bool conv_reads_planes(const Request& request, const ConvGeometry& g, Pass pass, Operand operand) {
    if (is_empty(g) || wraps(g)) return false;
    const Algorithm<T>& algorithm = chosen<T>(request, g, pass);
    return algorithm.reads_planes != nullptr && algorithm.reads_planes(g, pass, operand);
}

template <class T>
void conv_forward(const Request& request, const ConvGeometry& g, ForwardArguments<T> arguments) {
    const bool added_to = wraps(g), empty = is_empty(g);
    arguments.relu = request.activation == ActivationKind::kRelu && !added_to && !empty;
    if (empty) {
        fill_rows(arguments.output, g.output_rows(), g.out_channels, arguments.bias);
    } else {
        chosen<T>(request, g, Pass::kForward).forward(g, arguments);
        if (added_to) add_wrapped(g, arguments);
    }
    finish(request.activation, arguments.relu, g.output_rows() * g.out_channels, arguments.output);
}

template <class T>
void conv_backward_input(const Request& request, const ConvGeometry& g, BackwardInputArguments<T> arguments) {
    const bool added_to = wraps(g), empty = is_empty(g);
    arguments.relu = request.activation == ActivationKind::kRelu && !added_to && !empty;
    if (empty) {
        fill_rows(arguments.grad_input, g.input_rows(), g.in_channels, arguments.bias);
    } else {
        chosen<T>(request, g, Pass::kBackwardInput).backward_input(g, arguments);
        if (added_to) add_wrapped(g, arguments);
    }
    finish(request.activation, arguments.relu, g.input_rows() * g.in_channels, arguments.grad_input);
}

template <class T>
void conv_backward_weight(const Request& request, const ConvGeometry& g, const BackwardWeightArguments<T>& arguments) {
    if (is_empty(g)) {
        std::fill_n(arguments.grad_weight, g.weight_size(), T(0));
        return;
    }
    chosen<T>(request, g, Pass::kBackwardWeight).backward_weight(g, arguments);
    if (wraps(g)) add_wrapped(g, arguments);
}

template <class T>
void conv_backward_bias(index_t pixels, index_t channels, const T* grad_output, T* grad_bias) {
    if (channels > 0) sum_rows(grad_output, pixels, channels, grad_bias);
}

#define FASTCONV_INSTANTIATE(T)                                                                                 \
    template PassPlan plan_pass<T>(const Request&, const ConvGeometry&, Pass);                                  \
    template bool conv_reads_planes<T>(const Request&, const ConvGeometry&, Pass, Operand);                     \
    template void conv_forward(const Request&, const ConvGeometry&, ForwardArguments<T>);                       \
    template void conv_backward_input(const Request&, const ConvGeometry&, BackwardInputArguments<T>);          \
    template void conv_backward_weight(const Request&, const ConvGeometry&, const BackwardWeightArguments<T>&); \
    template void conv_backward_bias(index_t, index_t, const T*, T*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
