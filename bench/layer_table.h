// Reads the layer tables in bench/layers: one convolution layer a row, by the names of the first line.
#pragma once

#include <string>
#include <vector>

#include "core/geometry.h"

namespace fastconv {

struct Layer {
    std::string name;
    Shape input, weight;  // (batch, depth, height, width, channels), (depth, height, width, channels, out_channels)
    Shape stride, dilation, pad_before, pad_after;
    index_t groups;
};

// The convolutions of a table; throws std::runtime_error where the file or a column is missing.
std::vector<Layer> read_layers(const std::string& path);

ConvGeometry geometry_of(const Layer& layer, index_t batch);

}  // namespace fastconv
