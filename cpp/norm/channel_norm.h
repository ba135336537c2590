// Batch, instance and group normalization, which differ only in whose moments are put together: output = (input - mean)
// * inverse_std * scale + bias, with a mean and a variance of every group of channels, of one sample or of all of them.
#pragma once

#include "kernels/activation_kind.h"
#include "kernels/index.h"

namespace fastconv {

// Of the batch, `samples` is 1 and the pixels are those of all images. Statistics are (samples, groups) arrays.
struct ChannelGeometry {
    index_t samples, pixels, channels, groups;

    index_t channels_per_group() const { return channels / groups; }
    index_t statistics() const { return samples * groups; }
    index_t values_per_statistic() const { return pixels * channels_per_group(); }
    index_t sample_size() const { return pixels * channels; }
};

struct Statistics {
    const double *mean, *inverse_std;
};

// scale and bias: `channels` values, or null for 1 and 0.
template <class T>
struct Affine {
    const T *scale, *bias;
};

// The mean and the (biased) variance of every group; 0 of no values.
template <class T>
void channel_moments(const ChannelGeometry& geometry, const T* input, double* mean, double* variance);

// output = activation(normalized input + addend), where there is one.
template <class T>
void channel_norm_forward(const ChannelGeometry& geometry, const T* input, const Statistics& statistics,
                          const Affine<T>& affine, const T* addend, ActivationKind activation, T* output);

// Gradients that aren't wanted are null. Where the statistics are constants, nothing flows through them. With an
// output, the gradient comes through a ReLU, of which that is the output; without one but with `relu`, where it was
// positive is worked out again, which is faster than to read it.
template <class T>
struct ChannelNormBackward {
    const T *grad_output, *input, *output;
    Statistics statistics;
    Affine<T> affine;
    bool relu, constant_statistics;
    T *grad_input, *grad_scale, *grad_bias;
};

template <class T>
void channel_norm_backward(const ChannelGeometry& geometry, const ChannelNormBackward<T>& pass);

}  // namespace fastconv
