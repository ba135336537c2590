#include "resample/resample.h"

#include <pybind11/stl.h>

#include <tuple>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/register.h"

namespace fastconv {
namespace {

using Indices = py::array_t<index_t, py::array::c_style | kAligned>;
using Weights = py::array_t<double, py::array::c_style | kAligned>;

// Fails unless `start` and `index` are a sparse matrix's that the source's axis fits to.
void check_entries(const std::string& operation, const Indices& start, const Indices& index, const Weights& weight,
                   index_t extent) {
    const bool shaped = start.ndim() == 1 && index.ndim() == 1 && start.size() > 0;
    check_shape(operation, "weight", weight, shape_of(index));
    bool valid = shaped && start.at(0) == 0 && start.at(start.size() - 1) == index.size();
    for (index_t q = 0; valid && q + 1 < start.size(); ++q) valid = start.at(q) <= start.at(q + 1);
    for (index_t j = 0; valid && j < index.size(); ++j) valid = index.at(j) >= 0 && index.at(j) < extent;
    if (!valid) fail(operation, "the entries don't belong to an axis of " + std::to_string(extent));
}

// The matrix of one axis as Python has it.
struct AxisMatrix {
    Indices start, index;
    Weights weight;

    index_t targets() const { return start.size() - 1; }
};

// The same with weights as T, over the matrix's own entries.
template <class T>
struct AxisOf {
    AxisOf(const AxisMatrix& matrix, index_t extent)
        : factors(matrix.weight.data(), matrix.weight.data() + matrix.weight.size()),
          weights{extent, matrix.targets(), matrix.start.data(), matrix.index.data(), factors.data()} {}

    std::vector<T> factors;
    AxisWeights<T> weights;
};

// Resamples one axis, or it and the next one.
py::array resample(const std::string& operation, const py::array& input, index_t axis,
                   const std::vector<AxisMatrix>& matrices) {
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        Shape shape = shape_of(input);
        const auto at = static_cast<std::size_t>(axis), count = matrices.size();
        if (axis < 0 || count < 1 || count > 2 || at + count > shape.size())
            fail(operation, "input " + to_string(shape) + " has no axis " + std::to_string(axis));
        std::vector<AxisOf<T>> axes;
        for (std::size_t i = 0; i < count; ++i) {
            check_entries(operation, matrices[i].start, matrices[i].index, matrices[i].weight, shape[at + i]);
            axes.emplace_back(matrices[i], shape[at + i]);
            shape[at + i] = matrices[i].targets();
        }
        index_t outer = 1, inner = 1;
        for (std::size_t i = 0; i < at; ++i) outer *= shape[i];
        for (std::size_t i = at + count; i < shape.size(); ++i) inner *= shape[i];
        const Contiguous<T> source(operation, "input", input);
        return computed_array<T>(operation, shape, [&](T* target) {
            if (count == 1) return apply_along_axis(axes[0].weights, outer, inner, source.data(), target);
            apply_to_plane(axes[0].weights, axes[1].weights, outer, inner, source.data(), target);
        });
    });
}

}  // namespace

void register_resample(py::module_& module) {
    const auto resample_axis = [](const std::string& operation, const py::array& input, index_t axis,
                                  const Indices& start, const Indices& index, const Weights& weight) {
        return resample(operation, input, axis, {{start, index, weight}});
    };
    module.def("resample_axis", resample_axis, py::arg("operation"), py::arg("input").noconvert(), py::arg("axis"),
               py::arg("start"), py::arg("index"), py::arg("weight"));
    const auto resample_plane = [](const std::string& operation, const py::array& input, index_t axis,
                                   const std::tuple<Indices, Indices, Weights>& height,
                                   const std::tuple<Indices, Indices, Weights>& width) {
        const auto matrix = [](const auto& parts) {
            return AxisMatrix{std::get<0>(parts), std::get<1>(parts), std::get<2>(parts)};
        };
        return resample(operation, input, axis, {matrix(height), matrix(width)});
    };
    module.def("resample_plane", resample_plane, py::arg("operation"), py::arg("input").noconvert(), py::arg("axis"),
               py::arg("height"), py::arg("width"));
}

}  // namespace fastconv
