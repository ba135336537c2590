// The second table of every instruction set: what goes element by element, and channel by channel. It is apart from
// kernels/table.h so that one can change without the other; the same rules hold.
#pragma once

#include "kernels/activation_kind.h"
#include "kernels/index.h"

namespace fastconv {

// Rows of values, one after the other; a column is a channel.
template <class T>
struct Rows {
    const T* data;
    index_t count, channels;
};

// target[r][c] = act((source[r][c] - centers[c]) * factors[c] + offsets[c] + addend[r][c])
template <class T>
struct ScaledRows {
    Rows<T> source;
    const T *centers, *factors, *offsets;
    const T* addend;  // or null
    bool relu;
    T* target;
};

// Gradients beside the values that they belong to. Where there is an output, gradients count only where it is positive:
// they come through a ReLU. With factors and offsets that output is (source - centers) * factors + offsets.
template <class T>
struct GradientRows {
    Rows<T> gradient;
    const T* source;  // or null: not needed
    const T* output;  // or null
    const T* centers;
    const T *factors, *offsets;  // or null
};

// Rows that are normalized each by itself: target[r][c] = (source[r][c] - mean) * inverse_std * scale[c] + bias[c].
template <class T>
struct NormalizedRows {
    Rows<T> source;
    const T *scale, *bias;  // or null: 1 and 0
    double epsilon;
};

// target[r][c] = source[r][c] * (start + factor * sum over the window of source[r][d]^2)^-exponent, where the window
// is c - before <= d <= c + after.
template <class T>
struct LocalResponse {
    Rows<T> source;
    index_t before, after;
    T start, factor, exponent;
    T* scratch;  // 3 * (channels + before + after + 16) values
};

// target[q] = the sum over j in [start[q], start[q + 1]) of weight[j] * source[index[j]]; rows of `inner` values each.
template <class T>
struct WeightedRows {
    const T* source;
    index_t inner;
    const index_t *start, *index;
    const T* weight;
    index_t targets;
    T* target;
};

// A few rows beside a matrix so large that what counts is to read or write it once, in the order of memory.
constexpr index_t kFewRows = 8;
template <class T>
struct FewRows {
    const T* rows;
    index_t count, pitch;  // at most kFewRows, so many values apart
    const T* matrix;       // depth x columns, matrix_pitch apart
    index_t depth, columns, matrix_pitch;
};

// A step of stochastic gradient descent over `count` values: g = gradient + weight_decay * parameter,
// velocity = momentum * velocity + g, parameter -= learning_rate * (velocity, or with Nesterov g + momentum *
// velocity).
template <class T>
struct SgdStep {
    T* parameter;
    const T* gradient;
    T* velocity;
    index_t count;
    T learning_rate, momentum, weight_decay;
    bool nesterov;
};

// A step of Adam: g = gradient + gradient_decay * parameter, first_moment = beta1 * first_moment + share1 * g,
// second_moment = beta2 * second_moment + share2 * g^2, and
// parameter = kept * parameter - step_size * first_moment / (root_factor * sqrt(second_moment) + epsilon).
template <class T>
struct AdamStep {
    T* parameter;
    const T* gradient;
    T *first_moment, *second_moment;
    index_t count;
    T beta1, share1, beta2, share2, epsilon;
    T gradient_decay, kept, step_size, root_factor;
};

template <class T>
struct ElementKernels {
    // slope: of leaky ReLU below zero. output may be the input.
    void (*activate)(ActivationKind kind, const T* input, index_t count, T slope, T* output) noexcept;
    // grad_input = grad_output times the activation's derivative, from what was saved of it (elementwise/activation.h)
    void (*activation_backward)(ActivationKind kind, const T* grad_output, const T* saved, index_t count, T slope,
                                T* grad_input) noexcept;

    // output = one + other, or the positive part of it
    void (*add_arrays)(const T* one, const T* other, index_t count, bool rectified, T* output) noexcept;

    // The mean of every column, and the sum of squares of the distances from it.
    void (*moments)(const Rows<T>& rows, double* means, double* squares) noexcept;
    void (*scale_rows)(const ScaledRows<T>&) noexcept;
    // sums[c] += sum over r of g[r][c]; products[c] += sum over r of g[r][c] * (source[r][c] - centers[c])
    void (*add_gradients)(const GradientRows<T>&, double* sums, double* products) noexcept;
    // target = g * factors[c] + (source - centers[c]) * slopes[c] + offsets[c]; without slopes the first term alone
    void (*combine_gradients)(const GradientRows<T>&, const T* factors, const T* slopes, const T* offsets,
                              T* target) noexcept;

    void (*normalize_rows)(const NormalizedRows<T>&, T* target) noexcept;
    // The gradient of the source; those of scale and bias are added to two arrays.
    void (*normalize_rows_backward)(const NormalizedRows<T>&, const T* gradient, T* target, T* grad_scale,
                                    T* grad_bias) noexcept;

    void (*local_response)(const LocalResponse<T>&, T* target) noexcept;
    void (*local_response_backward)(const LocalResponse<T>&, const T* gradient, T* target) noexcept;

    void (*weigh_rows)(const WeightedRows<T>&) noexcept;

    // target[r * pitch + k] += sum over c of rows[r][c] * matrix[c][k]
    void (*add_few_products)(const FewRows<T>&, T* target, index_t pitch) noexcept;
    // target[r * pitch + c] = sum over k of rows[r][k] * matrix[c][k]
    void (*multiply_few_transposed)(const FewRows<T>&, T* target, index_t pitch) noexcept;
    // target[c][k] = sum over r of rows[r][c] * matrix[r][k], for c below `depth`, columns apart; the matrix has as
    // many rows as there are. Past the caches, where the target allows it.
    void (*multiply_few_outer)(const FewRows<T>&, T* target, bool stream) noexcept;

    void (*sgd_step)(const SgdStep<T>&) noexcept;
    void (*adam_step)(const AdamStep<T>&) noexcept;
};

struct ElementTable {
    ElementKernels<float> float32;
    ElementKernels<double> float64;
};

extern const ElementTable elements_baseline;
extern const ElementTable elements_avx2;
extern const ElementTable elements_avx512;
extern const ElementTable elements_neon;

}  // namespace fastconv
