#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "dense/linear.h"
#include "elementwise/activation.h"

namespace fastconv {
namespace {

const std::string kForward = "linear", kBackward = "linear_backward";

LinearGeometry make_geometry(const std::string& operation, const py::array& input, const py::array& weight) {
    if (weight.ndim() != 2)
        fail(operation,
             "weight must have 2 axes (in_features, out_features), got shape " + to_string(shape_of(weight)));
    if (weight.shape(0) < 1 || weight.shape(1) < 1)
        fail(operation,
             "weight must have at least 1 in_feature and 1 out_feature, got shape " + to_string(shape_of(weight)));
    if (input.ndim() < 1 || input.shape(input.ndim() - 1) != weight.shape(0))
        fail(operation, "input " + to_string(shape_of(input)) + " must have " + std::to_string(weight.shape(0)) +
                            " features on its last axis, as weight " + to_string(shape_of(weight)) + " expects");
    const index_t features = weight.shape(0);
    return {input.size() / features, features, weight.shape(1), features};
}

Shape output_shape(const py::array& input, const LinearGeometry& geometry) {
    Shape shape = shape_of(input);
    shape.back() = geometry.out_features;
    return shape;
}

py::array forward(const py::array& input, const py::array& weight, const std::optional<py::array>& bias,
                  const std::optional<std::string>& activation, const py::object& out) {
    return dispatch(kForward, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        const LinearGeometry geometry = make_geometry(kForward, input, weight);
        const Contiguous<T> source(kForward, "input", input);
        const Contiguous<T> matrix(kForward, "weight", weight);
        Contiguous<T> offset;
        if (bias) {
            check_extent(kForward, "bias", *bias, geometry.out_features);
            offset = Contiguous<T>(kForward, "bias", *bias);
        }
        const ActivationKind kind = parse_activation(kForward, activation);
        auto output = output_array<T>(kForward, output_shape(input, geometry), out,
                                      {input, weight, bias ? py::handle(*bias) : py::handle(Py_None)});
        T* target = output.mutable_data();
        const py::gil_scoped_release nogil;
        const bool relu = kind == ActivationKind::kRelu;
        linear_forward<T>(geometry, source.data(), matrix.data(), offset.data(), relu, target);
        if (!relu && kind != ActivationKind::kNone) activate<T>(kind, target, output.size(), target);
        return output;
    });
}

py::tuple backward(const py::array& grad_output, const py::array& input, const py::array& weight, bool with_input,
                   bool with_weight, bool with_bias) {
    return dispatch(kBackward, "input", input, [&](auto type) -> py::tuple {
        using T = decltype(type);
        const LinearGeometry geometry = make_geometry(kBackward, input, weight);
        check_shape(kBackward, "grad_output", grad_output, output_shape(input, geometry));
        const Contiguous<T> gradient(kBackward, "grad_output", grad_output);
        const Contiguous<T> source(kBackward, "input", input);
        const Contiguous<T> matrix(kBackward, "weight", weight);
        const Gradient<T> grad_input(kBackward, with_input, shape_of(input));
        const Gradient<T> grad_weight(kBackward, with_weight, shape_of(weight));
        const Gradient<T> grad_bias(kBackward, with_bias, {geometry.out_features});
        {
            const py::gil_scoped_release nogil;
            if (with_input) linear_backward_input<T>(geometry, gradient.data(), matrix.data(), grad_input.data);
            if (with_weight) linear_backward_weight<T>(geometry, gradient.data(), source.data(), grad_weight.data);
            if (with_bias) linear_backward_bias<T>(geometry, gradient.data(), grad_bias.data);
        }
        return py::make_tuple(grad_input.array, grad_weight.array, grad_bias.array);
    });
}

}  // namespace

void register_dense(py::module_& module) {
    module.def("linear_forward", &forward, py::arg("input").noconvert(), py::arg("weight").noconvert(),
               py::arg("bias").noconvert(), py::arg("activation"), py::arg("out"));
    module.def("linear_backward", &backward, py::arg("grad_output").noconvert(), py::arg("input").noconvert(),
               py::arg("weight").noconvert(), py::arg("with_input"), py::arg("with_weight"), py::arg("with_bias"));
}

}  // namespace fastconv
