#include "conv/conv.h"

#include <algorithm>

#include "conv/rows.h"
#include "conv/wrapped.h"
#include "elementwise/activation.h"
#include "elementwise/copy.h"
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

template <class T>
bool reads(const Algorithm<T>& algorithm, const ConvGeometry& g, Pass pass, Operand operand) {
    return !wraps(g) && algorithm.reads_planes != nullptr && algorithm.reads_planes(g, pass, operand);
}

// An operand as the algorithm reads it. Callers have asked conv_reads_planes() before; but options are those of the
// process, and another thread may have changed them since.
template <class T>
TensorView<const T> readable(const Algorithm<T>& algorithm, const ConvGeometry& g, Pass pass, Operand operand,
                             const TensorView<const T>& view, Buffer& buffer) {
    if (!in_planes(view) || reads(algorithm, g, pass, operand)) return view;
    const auto extents = operand == Operand::kInput ? g.input_extents() : g.output_extents();
    return laid_out(view, g.batch, extents, buffer);
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
    if (is_empty(g)) return false;
    return reads(chosen<T>(request, g, pass), g, pass, operand);
}

template <class T>
void conv_forward(const Request& request, const ConvGeometry& g, ForwardArguments<T> arguments) {
    const bool added_to = wraps(g), empty = is_empty(g);
    Buffer copy;
    arguments.relu = request.activation == ActivationKind::kRelu && !added_to && !empty;
    if (empty) {
        fill_rows(arguments.output, g.output_rows(), g.out_channels, arguments.bias);
    } else {
        const Algorithm<T>& algorithm = chosen<T>(request, g, Pass::kForward);
        arguments.input = readable(algorithm, g, Pass::kForward, Operand::kInput, arguments.input, copy);
        algorithm.forward(g, arguments);
        if (added_to) add_wrapped(g, arguments);
    }
    finish(request.activation, arguments.relu, g.output_rows() * g.out_channels, arguments.output);
}

template <class T>
void conv_backward_input(const Request& request, const ConvGeometry& g, BackwardInputArguments<T> arguments) {
    const bool added_to = wraps(g), empty = is_empty(g);
    Buffer copy;
    arguments.relu = request.activation == ActivationKind::kRelu && !added_to && !empty;
    if (empty) {
        fill_rows(arguments.grad_input, g.input_rows(), g.in_channels, arguments.bias);
    } else {
        const Algorithm<T>& algorithm = chosen<T>(request, g, Pass::kBackwardInput);
        arguments.grad_output =
            readable(algorithm, g, Pass::kBackwardInput, Operand::kGradOutput, arguments.grad_output, copy);
        algorithm.backward_input(g, arguments);
        if (added_to) add_wrapped(g, arguments);
    }
    finish(request.activation, arguments.relu, g.input_rows() * g.in_channels, arguments.grad_input);
}

template <class T>
void conv_backward_weight(const Request& request, const ConvGeometry& g, BackwardWeightArguments<T> arguments) {
    if (is_empty(g)) {
        std::fill_n(arguments.grad_weight, g.weight_size(), T(0));
        return;
    }
    const Algorithm<T>& algorithm = chosen<T>(request, g, Pass::kBackwardWeight);
    Buffer input, gradient;
    arguments.input = readable(algorithm, g, Pass::kBackwardWeight, Operand::kInput, arguments.input, input);
    arguments.grad_output =
        readable(algorithm, g, Pass::kBackwardWeight, Operand::kGradOutput, arguments.grad_output, gradient);
    algorithm.backward_weight(g, arguments);
    if (wraps(g)) add_wrapped(g, arguments);
}

template <class T>
void conv_backward_bias(index_t pixels, index_t channels, const T* grad_output, T* grad_bias) {
    if (channels > 0) sum_rows(grad_output, pixels, channels, grad_bias);
}

#define FASTCONV_INSTANTIATE(T)                                                                          \
    template PassPlan plan_pass<T>(const Request&, const ConvGeometry&, Pass);                           \
    template bool conv_reads_planes<T>(const Request&, const ConvGeometry&, Pass, Operand);              \
    template void conv_forward(const Request&, const ConvGeometry&, ForwardArguments<T>);                \
    template void conv_backward_input(const Request&, const ConvGeometry&, BackwardInputArguments<T>);   \
    template void conv_backward_weight(const Request&, const ConvGeometry&, BackwardWeightArguments<T>); \
    template void conv_backward_bias(index_t, index_t, const T*, T*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv
