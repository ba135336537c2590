#include "layer_table.h"

#include <fstream>
#include <map>
#include <stdexcept>

namespace fastconv {
namespace {

// Fields of a line; a field in quotes may hold commas.
std::vector<std::string> split(const std::string& line) {
    std::vector<std::string> fields(1);
    bool quoted = false;
    for (const char c : line) {
        if (c == '"') {
            quoted = !quoted;
        } else if (c == ',' && !quoted) {
            fields.emplace_back();
        } else if (c != '\r') {
            fields.back() += c;
        }
    }
    return fields;
}

}  // namespace

std::vector<Layer> read_layers(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    if (!std::getline(file, line)) throw std::runtime_error("cannot read the layer table " + path);
    const std::vector<std::string> names = split(line);
    std::vector<Layer> layers;
    while (std::getline(file, line)) {
        const std::vector<std::string> fields = split(line);
        std::map<std::string, std::string> row;
        for (std::size_t i = 0; i < std::min(names.size(), fields.size()); ++i) row[names[i]] = fields[i];
        // bench_conv runs convolutions of contiguous float32 arrays.
        if (row["op"] != "conv" || row["dtype"] == "float64" || row["layout"] == "channels_first") continue;
        const auto number = [&](const std::string& name) -> index_t {
            if (row[name].empty()) throw std::runtime_error(path + ": '" + row["name"] + "' has no " + name);
            return std::stoll(row[name]);
        };
        const index_t groups = number("groups"), channels = number("cin");
        layers.push_back({row["name"],
                          {number("n"), number("d"), number("h"), number("w"), channels},
                          {number("kd"), number("kh"), number("kw"), channels / groups, number("cout")},
                          {number("stride_d"), number("stride_h"), number("stride_w")},
                          {number("dil_d"), number("dil_h"), number("dil_w")},
                          {number("pad_d"), number("pad_h"), number("pad_w")},
                          {number("pad_d_end"), number("pad_h_end"), number("pad_w_end")},
                          groups});
    }
    return layers;
}

ConvGeometry geometry_of(const Layer& layer, index_t batch) {
    const Sliding sliding(layer.name, kAxes, layer.stride, layer.dilation, "", layer.pad_before, layer.pad_after);
    Shape input = layer.input;
    if (batch > 0) input.front() = batch;
    return ConvGeometry(sliding, input, layer.weight, layer.groups);
}

}  // namespace fastconv
