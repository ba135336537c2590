#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "elementwise/activation.h"

namespace fastconv {
namespace {

// Unlike the other operations, this one may work in place: out may be the input itself.
py::array forward(const std::string& operation, const py::array& input, const py::object& out, double slope) {
    const ActivationKind kind = parse_activation(operation, operation);
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        const Contiguous<T> source(operation, "input", input);
        const bool in_place = out.is(input);
        auto output = in_place ? output_array<T>(operation, shape_of(input), out, {})
                               : output_array<T>(operation, shape_of(input), out, {input});
        T* target = output.mutable_data();
        const py::gil_scoped_release nogil;
        activate<T>(kind, source.data(), output.size(), target, static_cast<T>(slope));
        return output;
    });
}

py::array backward(const std::string& name, const py::array& grad_output, const py::array& saved, double slope) {
    const std::string operation = name + "_backward";
    const ActivationKind kind = parse_activation(operation, name);
    const char* saved_name = gradient_needs_input(kind) ? "input" : "output";
    return dispatch(operation, "grad_output", grad_output, [&](auto type) -> py::array {
        using T = decltype(type);
        check_shape(operation, saved_name, saved, shape_of(grad_output));
        const Contiguous<T> gradient(operation, "grad_output", grad_output);
        const Contiguous<T> kept(operation, saved_name, saved);
        return computed_array<T>(operation, shape_of(grad_output), [&](T* target) {
            activation_backward<T>(kind, gradient.data(), kept.data(), grad_output.size(), target,
                                   static_cast<T>(slope));
        });
    });
}

py::array add(const std::string& operation, const std::optional<std::string>& activation, const py::array& one,
              const py::array& other) {
    const ActivationKind kind = parse_activation(operation, activation);
    return dispatch(operation, "input", one, [&](auto type) -> py::array {
        using T = decltype(type);
        check_shape(operation, "other", other, shape_of(one));
        const Contiguous<T> first(operation, "input", one), second(operation, "other", other);
        return computed_array<T>(operation, shape_of(one), [&](T* target) {
            add_and_activate<T>(kind, first.data(), second.data(), one.size(), target);
        });
    });
}

bool needs_input(const std::string& name) { return gradient_needs_input(parse_activation("activation", name)); }

// A C-contiguous copy of an array of any strides and at most five axes, made by all threads.
py::array copied(const std::string& operation, const py::array& input) {
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        const std::optional<StridedArray<T>> source = strided_array<T>(input);
        if (!source) fail(operation, "input isn't aligned, or has too many axes");
        return computed_array<T>(operation, shape_of(input), [&](T* target) { copy_contiguous(*source, target); });
    });
}

}  // namespace

void register_elementwise(py::module_& module) {
    module.def("copied", &copied, py::arg("operation"), py::arg("input").noconvert());
    module.def("add", &add, py::arg("operation"), py::arg("activation"), py::arg("input").noconvert(),
               py::arg("other").noconvert());
    module.def("activation_names", &activation_names);
    module.def("gradient_needs_input", &needs_input, py::arg("name"));
    module.def("activation_forward", &forward, py::arg("name"), py::arg("input").noconvert(), py::arg("out"),
               py::arg("slope") = kLeakySlope);
    module.def("activation_backward", &backward, py::arg("name"), py::arg("grad_output").noconvert(),
               py::arg("saved").noconvert(), py::arg("slope") = kLeakySlope);
}

}  // namespace fastconv
