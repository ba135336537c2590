#include "conv/conv.h"

#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "conv/patches.h"
#include "core/kept_weight.h"
#include "elementwise/activation.h"

namespace fastconv {
namespace {

py::array forward(const py::array& input, const py::array& weight, const std::optional<py::array>& bias,
                  const ConvWindow& window, const std::optional<std::string>& activation, const std::string& algorithm,
                  const py::object& out, KeptWeight* kept) {
    const std::string& operation = window.operation;
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        bool batched;
        const ConvGeometry geometry(window, batched_shape(shape_of(input), window.rank, batched), shape_of(weight));
        const bool planes = has_whole_planes(input, window.rank) &&
                            conv_reads_planes<T>({operation, algorithm}, geometry, Pass::kForward, Operand::kInput);
        const Activation<T> source(operation, "input", input, window.rank, batched, planes);
        const Contiguous<T> matrix(operation, "weight", weight);
        Contiguous<T> offset;
        if (bias) {
            check_extent(operation, "bias", *bias, geometry.out_channels);
            offset = Contiguous<T>(operation, "bias", *bias);
        }
        const ActivationKind kind = parse_activation(operation, activation);
        py::array_t<T> output = output_array<T>(operation, without_batch(geometry.output_shape(), batched), out,
                                                {input, weight, bias ? py::handle(*bias) : py::handle(Py_None)});
        T* target = output.mutable_data();
        const py::gil_scoped_release nogil;
        conv_forward<T>({operation, algorithm, kind}, geometry,
                        {source.view(), matrix.data(), offset.data(), false, target, kept});
        return output;
    });
}

// The gradient of an output: C-contiguous, or in whole planes where these may stay.
template <class T>
struct OutputGradient {
    OutputGradient(const ConvGeometry& g, const std::string& operation, const py::array& array, int rank, bool batched,
                   bool may_stay) {
        if (may_stay) {
            view = planes.emplace(operation, "grad_output", array, rank, batched, true).view();
        } else {
            pixels = Contiguous<T>(operation, "grad_output", array);
            view = output_view<T>(g, pixels.data());
        }
    }

    std::optional<Activation<T>> planes;
    Contiguous<T> pixels;
    TensorView<const T> view;
};

py::tuple backward(const py::array& grad_output, const py::array& input, const py::array& weight,
                   const ConvWindow& window, const std::string& algorithm, bool with_input, bool with_weight,
                   bool with_bias) {
    const std::string& operation = window.operation;
    return dispatch(operation, "input", input, [&](auto type) -> py::tuple {
        using T = decltype(type);
        bool batched;
        const ConvGeometry geometry(window, batched_shape(shape_of(input), window.rank, batched), shape_of(weight));
        check_shape(operation, "grad_output", grad_output, without_batch(geometry.output_shape(), batched));
        const Request request{operation, algorithm};
        const auto reads_planes = [&](Pass pass, Operand operand) {
            return conv_reads_planes<T>(request, geometry, pass, operand);
        };
        // Copied once if one of the passes can't read it as it is.
        const bool planes = has_whole_planes(grad_output, window.rank) && !with_bias &&
                            (!with_input || reads_planes(Pass::kBackwardInput, Operand::kGradOutput)) &&
                            (!with_weight || reads_planes(Pass::kBackwardWeight, Operand::kGradOutput));
        const OutputGradient<T> gradient(geometry, operation, grad_output, window.rank, batched, planes);
        std::optional<Activation<T>> source;  // one gradient alone reads its values, and has it copied if need be
        if (with_weight)
            source.emplace(
                operation, "input", input, window.rank, batched,
                has_whole_planes(input, window.rank) && reads_planes(Pass::kBackwardWeight, Operand::kInput));
        const Contiguous<T> matrix(operation, "weight", weight);

        const Gradient<T> grad_input(operation, with_input, shape_of(input));
        const Gradient<T> grad_weight(operation, with_weight, shape_of(weight));
        const Gradient<T> grad_bias(operation, with_bias, {geometry.out_channels});
        {
            const py::gil_scoped_release nogil;
            if (with_input) conv_backward_input<T>(request, geometry, {gradient.view, matrix.data(), grad_input.data});
            if (with_weight)
                conv_backward_weight<T>(request, geometry, {gradient.view, source->view(), grad_weight.data});
            if (with_bias)
                conv_backward_bias<T>(geometry.output_rows(), geometry.out_channels, gradient.view.data,
                                      grad_bias.data);
        }
        return py::make_tuple(grad_input.array, grad_weight.array, grad_bias.array);
    });
}

// (name, reason, workspace bytes) of the pass; pass is 0, 1 or 2: forward, backward_input, backward_weight.
py::tuple explain(const py::array& input, const py::array& weight, const ConvWindow& window,
                  const std::string& algorithm, int pass) {
    return dispatch(window.operation, "input", input, [&](auto type) {
        using T = decltype(type);
        bool batched;
        check_same_dtype<T>(window.operation, "weight", weight);
        const ConvGeometry geometry(window, batched_shape(shape_of(input), window.rank, batched), shape_of(weight));
        const PassPlan plan = plan_pass<T>({window.operation, algorithm}, geometry, static_cast<Pass>(pass));
        return py::make_tuple(plan.algorithm, plan.reason, plan.workspace);
    });
}

// The geometry of the windows alone, as a convolution into one channel has it.
ConvGeometry patch_geometry(const Sliding& sliding, const Shape& input, const Shape& kernel) {
    Shape weight = kernel;
    weight.push_back(input.empty() ? 1 : input.back());
    weight.push_back(1);
    return ConvGeometry(sliding, input, weight, 1);
}

Shape patches_shape(const ConvGeometry& geometry) {
    Shape shape = geometry.output_shape();
    shape.back() = geometry.taps() * geometry.in_channels;
    return shape;
}

py::array patches_of(const py::array& input, const Sliding& sliding, const Shape& kernel) {
    const std::string& operation = sliding.operation;
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        const ConvGeometry geometry = patch_geometry(sliding, shape_of(input), kernel);
        const Activation<T> source(operation, "input", input, sliding.rank, true);
        return computed_array<T>(operation, patches_shape(geometry), [&](T* target) {
            im2col<T>(forward_map(geometry, geometry.batch), source.view(),
                      {0, geometry.output_rows(), 0, geometry.in_channels}, target);
        });
    });
}

py::array image_of(const py::array& patches, const Sliding& sliding, const Shape& input_shape, const Shape& kernel) {
    const std::string& operation = sliding.operation;
    return dispatch(operation, "patches", patches, [&](auto type) -> py::array {
        using T = decltype(type);
        const ConvGeometry geometry = patch_geometry(sliding, input_shape, kernel);
        check_shape(operation, "patches", patches, patches_shape(geometry));
        const Contiguous<T> source(operation, "patches", patches);
        return computed_array<T>(operation, input_shape, [&](T* target) {
            std::fill_n(target, geometry.input_rows() * geometry.in_channels, T(0));
            col2im<T>(forward_map(geometry, geometry.batch), source.data(),
                      {0, geometry.output_rows(), 0, geometry.in_channels},
                      contiguous_view(target, {geometry.axes[0].input, geometry.axes[1].input, geometry.axes[2].input},
                                      geometry.in_channels));
        });
    });
}

}  // namespace

void register_conv(py::module_& module) {
    // A copy, or what comes out of a file, has to make its own.
    py::class_<KeptWeight, std::shared_ptr<KeptWeight>>(module, "KeptWeight")
        .def(py::init<bool>(), py::arg("constant") = false)
        .def_property_readonly("bytes", &KeptWeight::bytes)
        .def(py::pickle([](const KeptWeight&) { return py::tuple(); },
                        [](const py::tuple&) { return std::make_shared<KeptWeight>(false); }));
    module.def("conv_forward", &forward, py::arg("input").noconvert(), py::arg("weight").noconvert(),
               py::arg("bias").noconvert(), py::arg("window"), py::arg("activation"), py::arg("algorithm"),
               py::arg("out"), py::arg("kept").none(true) = nullptr);
    module.def("conv_backward", &backward, py::arg("grad_output").noconvert(), py::arg("input").noconvert(),
               py::arg("weight").noconvert(), py::arg("window"), py::arg("algorithm"), py::arg("with_input"),
               py::arg("with_weight"), py::arg("with_bias"));
    module.def("conv_explain", &explain, py::arg("input").noconvert(), py::arg("weight").noconvert(), py::arg("window"),
               py::arg("algorithm"), py::arg("which_pass"));
    module.def("im2col", &patches_of, py::arg("input").noconvert(), py::arg("sliding"), py::arg("kernel"));
    module.def("col2im", &image_of, py::arg("patches").noconvert(), py::arg("sliding"), py::arg("input_shape"),
               py::arg("kernel"));
}

}  // namespace fastconv
