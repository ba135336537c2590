// Activations and their gradients, element by element. ReLU and its like are bound by memory; the others by the one
// exponential that each of them needs (kernels/transcendental.h).
#pragma once

#include "kernels/activation_kind.h"
#include "kernels/transcendental.h"

namespace fastconv {
namespace {

// output[i] = function(inputs[i]...), a vector at a time; the last one in part. output may be one of the inputs.
template <class T, class Function, class... Inputs>
FASTCONV_INLINE void map(const Function& function, index_t count, T* output, const Inputs*... inputs) noexcept {
    index_t i = 0;
    for (; i + kLanes<T> <= count; i += kLanes<T>) store(output + i, function(load(inputs + i)...));
    if (i < count) store_first<T>(output + i, count - i, function(load_first(inputs + i, count - i)...));
}

template <class T>
FASTCONV_INLINE Vec<T> relu6(Vec<T> x) {
    return at_most<T>(relu<T>(x), 6);
}

// x times a share of it that vanishes as x goes to minus infinity, where the product is to be a zero and no NaN.
template <class T>
FASTCONV_INLINE Vec<T> gated(Vec<T> x, Vec<T> gate, T least) {
    return at_least<T>(x, least) * gate;
}

// s (1 + x (1 - s)) with s = sigmoid(x), where 1 - s is exp(-x) s: large x would cancel the digits of s.
template <class T>
FASTCONV_INLINE Vec<T> silu_slope(Vec<T> x) {
    constexpr T end = Constants<T>::kHighest - 1;  // whose exponential is finite
    const Vec<T> inside = at_most<T>(at_least<T>(x, -end), end);
    const Vec<T> power = exponential<T>(-inside), gate = 1 / (1 + power);
    return gate * (1 + inside * (power * gate));
}

// 0 and 1 at the bends, as ReLU's gradient is 0 at its own.
template <class T>
FASTCONV_INLINE Vec<T> hardswish_slope(Vec<T> x) {
    const Vec<T> between = (2 * x + 3) / 6;
    return x <= -3 ? Vec<T>{} : (x >= 3 ? splat(T(1)) : between);
}

template <class T>
FASTCONV_INLINE Vec<T> gelu_slope(Vec<T> x) {
    constexpr T end = Constants<T>::kTailEnd;
    const Vec<T> inside = at_most<T>(at_least<T>(x, -end), end);
    const Normal<T> normal = normal_distribution<T>(inside);
    return normal.below + inside * normal.density;
}

template <class T>
void activate(ActivationKind kind, const T* input, index_t count, T slope, T* output) noexcept {
    using V = Vec<T>;
    switch (kind) {
        case ActivationKind::kNone:
            return map([](V x) { return x; }, count, output, input);
        case ActivationKind::kRelu:
            return map([](V x) { return relu<T>(x); }, count, output, input);
        case ActivationKind::kRelu6:
            return map([](V x) { return relu6<T>(x); }, count, output, input);
        case ActivationKind::kLeakyRelu:
            return map([slope](V x) { return x > 0 ? x : x * slope; }, count, output, input);
        case ActivationKind::kSigmoid:
            return map([](V x) { return logistic<T>(x); }, count, output, input);
        case ActivationKind::kTanh:
            return map([](V x) { return hyperbolic_tangent<T>(x); }, count, output, input);
        case ActivationKind::kSilu:
            return map([](V x) { return gated<T>(x, logistic<T>(x), Constants<T>::kLowest); }, count, output, input);
        case ActivationKind::kHardswish:
            return map([](V x) { return gated<T>(x, relu6<T>(x + 3) / 6, -3); }, count, output, input);
        case ActivationKind::kGelu:
            return map([](V x) { return gated<T>(x, normal_distribution<T>(x).below, -Constants<T>::kTailEnd); }, count,
                       output, input);
    }
}

template <class T>
void add_arrays(const T* one, const T* other, index_t count, bool rectified, T* output) noexcept {
    using V = Vec<T>;
    if (rectified) return map([](V x, V y) { return relu<T>(x + y); }, count, output, one, other);
    map([](V x, V y) { return x + y; }, count, output, one, other);
}

// grad_input = grad_output times the slope, which follows from the output or from the input (elementwise/activation.h).
template <class T>
void activation_backward(ActivationKind kind, const T* grad_output, const T* saved, index_t count, T slope,
                         T* grad_input) noexcept {
    using V = Vec<T>;
    switch (kind) {
        case ActivationKind::kNone:
            return map([](V g) { return g; }, count, grad_input, grad_output);
        case ActivationKind::kRelu:
            return map([](V g, V y) { return y > 0 ? g : V{}; }, count, grad_input, grad_output, saved);
        case ActivationKind::kRelu6:
            return map([](V g, V y) { return y > 0 ? (y < 6 ? g : V{}) : V{}; }, count, grad_input, grad_output, saved);
        case ActivationKind::kLeakyRelu:
            return map([slope](V g, V y) { return y > 0 ? g : g * slope; }, count, grad_input, grad_output, saved);
        case ActivationKind::kSigmoid:
            return map([](V g, V y) { return g * (y * (1 - y)); }, count, grad_input, grad_output, saved);
        case ActivationKind::kTanh:
            return map([](V g, V y) { return g * ((1 - y) * (1 + y)); }, count, grad_input, grad_output, saved);
        case ActivationKind::kSilu:
            return map([](V g, V x) { return g * silu_slope<T>(x); }, count, grad_input, grad_output, saved);
        case ActivationKind::kHardswish:
            return map([](V g, V x) { return g * hardswish_slope<T>(x); }, count, grad_input, grad_output, saved);
        case ActivationKind::kGelu:
            return map([](V g, V x) { return g * gelu_slope<T>(x); }, count, grad_input, grad_output, saved);
    }
}

}  // namespace
}  // namespace fastconv
