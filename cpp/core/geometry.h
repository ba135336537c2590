// The shape of a sliding-window operation. One struct serves 1-D, 2-D and 3-D: there are always three
// spatial axes (depth, height, width), and those that an operation lacks have extent 1.
//
// This is the one place where shapes are checked and output sizes derived. Everything below takes a
// geometry as it is. Errors are std::invalid_argument, which Python sees as ValueError.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "kernels/index.h"

namespace fastconv {

constexpr int kAxes = 3;
using Shape = std::vector<index_t>;

std::string to_string(const Shape& shape);

// Throws std::invalid_argument with "operation: message".
[[noreturn]] void fail(const std::string& operation, const std::string& message);

// The product of extents; fails where it would exceed what memory can be addressed with.
index_t checked_size(const std::string& operation, const Shape& shape);

enum class PaddingRule { kExplicit, kValid, kSame, kSameLower, kFull, kCausal };

// What stands in the padding of a convolution: zeros, or values of the input (reflected about its edge, the edge's own,
// or those of the other end).
enum class PaddingMode { kZeros, kReflect, kReplicate, kCircular };

// How a window slides, as the caller said it: the arguments that don't depend on an array. The named
// paddings are resolved once the extents are known. No stride at all means the kernel's size.
struct Sliding {
    Sliding(std::string operation, int rank, const Shape& stride, const Shape& dilation, const std::string& padding,
            const Shape& pad_before, const Shape& pad_after, bool ceil_mode = false);

    std::string operation;  // the name that error messages begin with
    int rank;
    std::array<index_t, kAxes> stride, dilation, pad_before, pad_after;
    PaddingRule padding;
    bool ceil_mode;  // a last window that starts inside the input, but reaches past the padding, counts
};

// The window of a convolution: how it slides, over how many groups of channels, and what stands in the padding. Its
// size is the weight's.
struct ConvWindow : Sliding {
    ConvWindow(Sliding sliding, index_t group_count, const std::string& mode = "zeros");

    index_t groups;
    PaddingMode padding_mode;
};

// The window of a transposed convolution: that of the convolution which it is the gradient of, and how many positions
// more its output has along each axis than the windows reach.
struct TransposedWindow : ConvWindow {
    TransposedWindow(ConvWindow window, Shape padding);

    Shape output_padding;
};

// The window of a pooling: how it slides, and its size, which a convolution takes from its weight.
struct PoolWindow : Sliding {
    PoolWindow(Sliding sliding, Shape kernel_size) : Sliding(std::move(sliding)), kernel(std::move(kernel_size)) {}

    Shape kernel;
};

struct Axis {
    index_t input = 1, kernel = 1, stride = 1, dilation = 1, pad_before = 0, pad_after = 0, output = 1;

    index_t window() const { return dilation * (kernel - 1) + 1; }
    // Whether every window meets the input somewhere.
    bool windows_meet_input() const {
        const index_t reach = window() - 1;
        return pad_before <= reach && pad_after <= reach && (reach == 0 || input >= dilation);
    }
    // Of the pairs of an output and a tap, the share that meets the input.
    double share_inside() const;
};

struct Window3d {
    int rank = 0;
    std::array<Axis, kAxes> axes;

    index_t taps() const;
    double share_inside() const;
    index_t input_pixels() const;
    index_t output_pixels() const;
    std::array<index_t, kAxes> input_extents() const { return {axes[0].input, axes[1].input, axes[2].input}; }
    std::array<index_t, kAxes> output_extents() const { return {axes[0].output, axes[1].output, axes[2].output}; }
};

struct ConvGeometry : Window3d {
    // Shapes are (batch, *spatial, channels) and (*kernel, in_channels / groups, out_channels).
    ConvGeometry(const Sliding& sliding, const Shape& input, const Shape& weight, index_t groups);
    ConvGeometry(const ConvWindow& window, const Shape& input, const Shape& weight);

    // The convolution whose gradient a transposed convolution is: its output is what the transposed one takes in, and
    // its input what that one makes. Shapes are (batch, *spatial, in_channels) and (*kernel, out_channels / groups,
    // in_channels), of the transposed one.
    static ConvGeometry transposed(const TransposedWindow& window, const Shape& input, const Shape& weight);

    index_t batch, in_channels, out_channels, groups = 1;
    PaddingMode padding_mode = PaddingMode::kZeros;

    index_t group_inputs() const { return in_channels / groups; }
    index_t group_outputs() const { return out_channels / groups; }
    index_t input_rows() const { return batch * input_pixels(); }
    index_t output_rows() const { return batch * output_pixels(); }
    index_t weight_size() const { return taps() * group_inputs() * out_channels; }
    // Multiplications and additions of one pass, by the direct algorithm.
    double operations() const;
    Shape input_shape() const;
    Shape output_shape() const;
};

// A pooling, whatever its windows are: which pixels there are, and how many values of each.
struct PooledShape : Window3d {
    index_t batch, channels;

    Shape output_shape() const;
};

struct PoolGeometry : PooledShape {
    PoolGeometry(const PoolWindow& window, const Shape& input);
};

// Windows that follow from the number of outputs: along an axis, output q meets the positions from
// floor(q * input / output) up to ceil((q + 1) * input / output). Kernel, stride and padding have no meaning.
struct AdaptiveGeometry : PooledShape {
    AdaptiveGeometry(const std::string& operation, const Shape& output_size, const Shape& input);
};

}  // namespace fastconv
