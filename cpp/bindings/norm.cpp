#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "norm/channel_norm.h"
#include "norm/layer_norm.h"
#include "norm/local_response.h"

namespace fastconv {
namespace {

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

index_t last_extent(const std::string& operation, const py::array& input, index_t fewest_axes) {
    if (input.ndim() < fewest_axes)
        fail(operation, "input must have at least " + std::to_string(fewest_axes) +
                            (fewest_axes == 1 ? " axis" : " axes") + ", the last of channels, got shape " +
                            to_string(shape_of(input)));
    const index_t channels = input.shape(input.ndim() - 1);
    if (channels < 1) fail(operation, "input must have at least 1 channel, got shape " + to_string(shape_of(input)));
    return channels;
}

// groups: of every sample; 0 where all samples are normalized together, channel by channel.
ChannelGeometry make_geometry(const std::string& operation, const py::array& input, index_t groups) {
    const index_t channels = last_extent(operation, input, 2);
    if (groups == 0) return {1, input.size() / channels, channels, channels};
    if (groups < 0 || channels % groups != 0)
        fail(operation, "num_groups must divide the " + std::to_string(channels) + " channels of input " +
                            to_string(shape_of(input)) + ", got " + std::to_string(groups));
    index_t pixels = 1;
    for (py::ssize_t axis = 1; axis + 1 < input.ndim(); ++axis) pixels *= input.shape(axis);
    return {input.shape(0), pixels, channels, groups};
}

// A parameter of the channels, or null.
template <class T>
Contiguous<T> parameter(const std::string& operation, const char* name, const std::optional<py::array>& array,
                        index_t channels) {
    if (!array) return {};
    check_extent(operation, name, *array, channels);
    return Contiguous<T>(operation, name, *array);
}

Statistics check_statistics(const std::string& operation, const ChannelGeometry& geometry, const Doubles& mean,
                            const Doubles& inverse_std) {
    if (mean.size() != geometry.statistics())
        fail(operation, "mean must have " + std::to_string(geometry.statistics()) + " values, got shape " +
                            to_string(shape_of(mean)));
    if (inverse_std.size() != geometry.statistics())
        fail(operation, "inverse_std must have " + std::to_string(geometry.statistics()) + " values, got shape " +
                            to_string(shape_of(inverse_std)));
    return {mean.data(), inverse_std.data()};
}

// (mean, variance), each (samples, groups); zeros of no values.
py::tuple channel_statistics(const std::string& operation, const py::array& input, index_t groups) {
    return dispatch(operation, "input", input, [&](auto type) {
        using T = decltype(type);
        const ChannelGeometry geometry = make_geometry(operation, input, groups);
        const Contiguous<T> source(operation, "input", input);
        auto mean = new_array<double>(operation, {geometry.samples, geometry.groups});
        auto variance = new_array<double>(operation, {geometry.samples, geometry.groups});
        double *means = mean.mutable_data(), *variances = variance.mutable_data();
        {
            const py::gil_scoped_release nogil;
            channel_moments<T>(geometry, source.data(), means, variances);
        }
        return py::make_tuple(mean, variance);
    });
}

py::array forward(const std::string& operation, const py::array& input, index_t groups, const Doubles& mean,
                  const Doubles& inverse_std, const std::optional<py::array>& scale,
                  const std::optional<py::array>& bias, const std::optional<py::array>& addend,
                  const std::optional<std::string>& activation, const py::object& out) {
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        const ChannelGeometry geometry = make_geometry(operation, input, groups);
        const Contiguous<T> source(operation, "input", input);
        const auto factor = parameter<T>(operation, "scale", scale, geometry.channels);
        const auto offset = parameter<T>(operation, "bias", bias, geometry.channels);
        Contiguous<T> added;
        if (addend) {
            check_shape(operation, "addend", *addend, shape_of(input));
            added = Contiguous<T>(operation, "addend", *addend);
        }
        const ActivationKind kind = parse_activation(operation, activation);
        const Statistics statistics = check_statistics(operation, geometry, mean, inverse_std);
        auto output = output_array<T>(
            operation, shape_of(input), out,
            {input, scale ? py::handle(*scale) : py::handle(Py_None), bias ? py::handle(*bias) : py::handle(Py_None),
             addend ? py::handle(*addend) : py::handle(Py_None)});
        T* target = output.mutable_data();
        const py::gil_scoped_release nogil;
        channel_norm_forward<T>(geometry, source.data(), statistics, {factor.data(), offset.data()}, added.data(), kind,
                                target);
        return output;
    });
}

py::tuple backward(const std::string& operation, const py::array& grad_output, const py::array& input,
                   const std::optional<py::array>& output, index_t groups, const Doubles& mean,
                   const Doubles& inverse_std, const std::optional<py::array>& scale,
                   const std::optional<py::array>& bias, bool relu, bool constant_statistics, bool with_input) {
    return dispatch(operation, "input", input, [&](auto type) {
        using T = decltype(type);
        const ChannelGeometry geometry = make_geometry(operation, input, groups);
        check_shape(operation, "grad_output", grad_output, shape_of(input));
        const Contiguous<T> gradient(operation, "grad_output", grad_output);
        const Contiguous<T> source(operation, "input", input);
        Contiguous<T> mask;
        if (output) {
            check_shape(operation, "output", *output, shape_of(input));
            mask = Contiguous<T>(operation, "output", *output);
        }
        const auto factor = parameter<T>(operation, "scale", scale, geometry.channels);
        const auto offset = parameter<T>(operation, "bias", bias, geometry.channels);
        const Statistics statistics = check_statistics(operation, geometry, mean, inverse_std);
        const Gradient<T> grad_input(operation, with_input, shape_of(input));
        const Gradient<T> grad_scale(operation, true, {geometry.channels});
        const Gradient<T> grad_bias(operation, true, {geometry.channels});
        {
            const py::gil_scoped_release nogil;
            channel_norm_backward<T>(geometry, {gradient.data(),
                                                source.data(),
                                                mask.data(),
                                                statistics,
                                                {factor.data(), offset.data()},
                                                relu,
                                                constant_statistics,
                                                grad_input.data,
                                                grad_scale.data,
                                                grad_bias.data});
        }
        return py::make_tuple(grad_input.array, grad_scale.array, grad_bias.array);
    });
}

py::array layer_forward(const py::array& input, const std::optional<py::array>& scale,
                        const std::optional<py::array>& bias, double epsilon, const py::object& out) {
    static const std::string operation = "layer_norm";
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        const index_t channels = last_extent(operation, input, 1);
        const Contiguous<T> source(operation, "input", input);
        const auto factor = parameter<T>(operation, "scale", scale, channels);
        const auto offset = parameter<T>(operation, "bias", bias, channels);
        auto output = output_array<T>(
            operation, shape_of(input), out,
            {input, scale ? py::handle(*scale) : py::handle(Py_None), bias ? py::handle(*bias) : py::handle(Py_None)});
        T* target = output.mutable_data();
        const py::gil_scoped_release nogil;
        layer_norm_forward<T>(
            {{source.data(), output.size() / channels, channels}, factor.data(), offset.data(), epsilon}, target);
        return output;
    });
}

py::tuple layer_backward(const py::array& grad_output, const py::array& input, const std::optional<py::array>& scale,
                         double epsilon) {
    static const std::string operation = "layer_norm_backward";
    return dispatch(operation, "input", input, [&](auto type) {
        using T = decltype(type);
        const index_t channels = last_extent(operation, input, 1);
        check_shape(operation, "grad_output", grad_output, shape_of(input));
        const Contiguous<T> gradient(operation, "grad_output", grad_output);
        const Contiguous<T> source(operation, "input", input);
        const auto factor = parameter<T>(operation, "scale", scale, channels);
        const Gradient<T> grad_input(operation, true, shape_of(input));
        const Gradient<T> grad_scale(operation, true, {channels});
        const Gradient<T> grad_bias(operation, true, {channels});
        {
            const py::gil_scoped_release nogil;
            layer_norm_backward<T>(
                {{source.data(), input.size() / channels, channels}, factor.data(), nullptr, epsilon}, gradient.data(),
                grad_input.data, grad_scale.data, grad_bias.data);
        }
        return py::make_tuple(grad_input.array, grad_scale.array, grad_bias.array);
    });
}

// The window as ONNX defines it: of an even number of channels, the one more is behind.
template <class T>
LocalResponse<T> local_block(const Contiguous<T>& source, index_t values, index_t channels, index_t size, double alpha,
                             double beta, double k) {
    return {{source.data(), values / channels, channels},      (size - 1) / 2,       size / 2, static_cast<T>(k),
            static_cast<T>(alpha / static_cast<double>(size)), static_cast<T>(beta), nullptr};
}

py::array local_forward(const py::array& input, index_t size, double alpha, double beta, double k,
                        const py::object& out) {
    static const std::string operation = "local_response_norm";
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        const index_t channels = last_extent(operation, input, 1);
        const Contiguous<T> source(operation, "input", input);
        auto output = output_array<T>(operation, shape_of(input), out, {input});
        T* target = output.mutable_data();
        const py::gil_scoped_release nogil;
        local_response_forward<T>(local_block(source, output.size(), channels, size, alpha, beta, k), target);
        return output;
    });
}

py::array local_backward(const py::array& grad_output, const py::array& input, index_t size, double alpha, double beta,
                         double k) {
    static const std::string operation = "local_response_norm_backward";
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        const index_t channels = last_extent(operation, input, 1);
        check_shape(operation, "grad_output", grad_output, shape_of(input));
        const Contiguous<T> gradient(operation, "grad_output", grad_output);
        const Contiguous<T> source(operation, "input", input);
        return computed_array<T>(operation, shape_of(input), [&](T* target) {
            local_response_backward<T>(local_block(source, input.size(), channels, size, alpha, beta, k),
                                       gradient.data(), target);
        });
    });
}

}  // namespace

void register_norm(py::module_& module) {
    module.def("channel_statistics", &channel_statistics, py::arg("operation"), py::arg("input").noconvert(),
               py::arg("groups"));
    module.def("channel_norm_forward", &forward, py::arg("operation"), py::arg("input").noconvert(), py::arg("groups"),
               py::arg("mean"), py::arg("inverse_std"), py::arg("scale").noconvert(), py::arg("bias").noconvert(),
               py::arg("addend").noconvert(), py::arg("activation"), py::arg("out"));
    module.def("channel_norm_backward", &backward, py::arg("operation"), py::arg("grad_output").noconvert(),
               py::arg("input").noconvert(), py::arg("output").noconvert(), py::arg("groups"), py::arg("mean"),
               py::arg("inverse_std"), py::arg("scale").noconvert(), py::arg("bias").noconvert(), py::arg("relu"),
               py::arg("constant_statistics"), py::arg("with_input"));
    module.def("layer_norm_forward", &layer_forward, py::arg("input").noconvert(), py::arg("scale").noconvert(),
               py::arg("bias").noconvert(), py::arg("epsilon"), py::arg("out"));
    module.def("layer_norm_backward", &layer_backward, py::arg("grad_output").noconvert(), py::arg("input").noconvert(),
               py::arg("scale").noconvert(), py::arg("epsilon"));
    module.def("local_response_forward", &local_forward, py::arg("input").noconvert(), py::arg("size"),
               py::arg("alpha"), py::arg("beta"), py::arg("k"), py::arg("out"));
    module.def("local_response_backward", &local_backward, py::arg("grad_output").noconvert(),
               py::arg("input").noconvert(), py::arg("size"), py::arg("alpha"), py::arg("beta"), py::arg("k"));
}

}  // namespace fastconv
