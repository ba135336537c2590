#include "resample/resample.h"

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

py::array resample_axis(const std::string& operation, const py::array& input, index_t axis, const Indices& start,
                        const Indices& index, const Weights& weight) {
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        Shape shape = shape_of(input);
        if (axis < 0 || axis >= static_cast<index_t>(shape.size()))
            fail(operation, "input " + to_string(shape) + " has no axis " + std::to_string(axis));
        const auto at = static_cast<std::size_t>(axis);
        check_entries(operation, start, index, weight, shape[at]);
        index_t outer = 1, inner = 1;
        for (std::size_t i = 0; i < at; ++i) outer *= shape[i];
        for (std::size_t i = at + 1; i < shape.size(); ++i) inner *= shape[i];
        const std::vector<T> factors(weight.data(), weight.data() + weight.size());
        const Contiguous<T> source(operation, "input", input);
        const AxisWeights<T> weights{shape[at], start.size() - 1, start.data(), index.data(), factors.data()};
        shape[at] = weights.targets;
        return computed_array<T>(operation, shape,
                                 [&](T* target) { apply_along_axis(weights, outer, inner, source.data(), target); });
    });
}

}  // namespace

void register_resample(py::module_& module) {
    module.def("resample_axis", &resample_axis, py::arg("operation"), py::arg("input").noconvert(), py::arg("axis"),
               py::arg("start"), py::arg("index"), py::arg("weight"));
}

}  // namespace fastconv
