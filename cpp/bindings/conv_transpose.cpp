// Transposed convolution: the passes of the convolution whose gradient it is, with the roles of their arrays exchanged.
#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "conv/conv.h"

namespace fastconv {
namespace {

py::array forward(const py::array& input, const py::array& weight, const std::optional<py::array>& bias,
                  const TransposedWindow& window, const std::optional<std::string>& activation,
                  const std::string& algorithm, const py::object& out) {
    const std::string& operation = window.operation;
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        bool batched;
        const auto geometry =
            ConvGeometry::transposed(window, batched_shape(shape_of(input), window.rank, batched), shape_of(weight));
        const Contiguous<T> source(operation, "input", input);
        const Contiguous<T> matrix(operation, "weight", weight);
        Contiguous<T> offset;
        if (bias) {
            check_extent(operation, "bias", *bias, geometry.in_channels);
            offset = Contiguous<T>(operation, "bias", *bias);
        }
        const ActivationKind kind = parse_activation(operation, activation);
        py::array_t<T> output = output_array<T>(operation, without_batch(geometry.input_shape(), batched), out,
                                                {input, weight, bias ? py::handle(*bias) : py::handle(Py_None)});
        T* target = output.mutable_data();
        const py::gil_scoped_release nogil;
        conv_backward_input<T>({operation, algorithm, kind}, geometry,
                               {output_view<T>(geometry, source.data()), matrix.data(), target, offset.data()});
        return output;
    });
}

py::tuple backward(const py::array& grad_output, const py::array& input, const py::array& weight,
                   const TransposedWindow& window, const std::string& algorithm, bool with_input, bool with_weight,
                   bool with_bias) {
    const std::string& operation = window.operation;
    return dispatch(operation, "input", input, [&](auto type) -> py::tuple {
        using T = decltype(type);
        bool batched;
        const auto geometry =
            ConvGeometry::transposed(window, batched_shape(shape_of(input), window.rank, batched), shape_of(weight));
        check_shape(operation, "grad_output", grad_output, without_batch(geometry.input_shape(), batched));
        const Activation<T> gradient(operation, "grad_output", grad_output, window.rank, batched);
        Contiguous<T> source, whole_gradient;  // each is read, and copied if need be, for one result alone
        if (with_weight) source = Contiguous<T>(operation, "input", input);
        if (with_bias) whole_gradient = Contiguous<T>(operation, "grad_output", grad_output);
        const Contiguous<T> matrix(operation, "weight", weight);
        const Request request{operation, algorithm};

        const Gradient<T> grad_input(operation, with_input, shape_of(input));
        const Gradient<T> grad_weight(operation, with_weight, shape_of(weight));
        const Gradient<T> grad_bias(operation, with_bias, {geometry.in_channels});
        {
            const py::gil_scoped_release nogil;
            if (with_input)
                conv_forward<T>(request, geometry, {gradient.view(), matrix.data(), nullptr, false, grad_input.data});
            if (with_weight)
                conv_backward_weight<T>(request, geometry,
                                        {output_view<T>(geometry, source.data()), gradient.view(), grad_weight.data});
            if (with_bias)
                conv_backward_bias<T>(geometry.input_rows(), geometry.in_channels, whole_gradient.data(),
                                      grad_bias.data);
        }
        return py::make_tuple(grad_input.array, grad_weight.array, grad_bias.array);
    });
}

// (name, reason, workspace bytes) of a pass, as conv_explain's.
py::tuple explain(const py::array& input, const py::array& weight, const TransposedWindow& window,
                  const std::string& algorithm, int pass) {
    return dispatch(window.operation, "input", input, [&](auto type) {
        using T = decltype(type);
        bool batched;
        check_same_dtype<T>(window.operation, "weight", weight);
        const auto geometry =
            ConvGeometry::transposed(window, batched_shape(shape_of(input), window.rank, batched), shape_of(weight));
        constexpr Pass passes[] = {Pass::kBackwardInput, Pass::kForward, Pass::kBackwardWeight};
        const PassPlan plan = plan_pass<T>({window.operation, algorithm}, geometry, passes[pass]);
        return py::make_tuple(plan.algorithm, plan.reason, plan.workspace);
    });
}

}  // namespace

void register_conv_transpose(py::module_& module) {
    module.def("conv_transpose_forward", &forward, py::arg("input").noconvert(), py::arg("weight").noconvert(),
               py::arg("bias").noconvert(), py::arg("window"), py::arg("activation"), py::arg("algorithm"),
               py::arg("out"));
    module.def("conv_transpose_backward", &backward, py::arg("grad_output").noconvert(), py::arg("input").noconvert(),
               py::arg("weight").noconvert(), py::arg("window"), py::arg("algorithm"), py::arg("with_input"),
               py::arg("with_weight"), py::arg("with_bias"));
    module.def("conv_transpose_explain", &explain, py::arg("input").noconvert(), py::arg("weight").noconvert(),
               py::arg("window"), py::arg("algorithm"), py::arg("which_pass"));
}

}  // namespace fastconv
