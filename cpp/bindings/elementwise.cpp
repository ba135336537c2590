#include "bindings/arrays.h"
#include "bindings/register.h"
#include "elementwise/relu.h"

namespace fastconv {
namespace {

// Unlike the other operations, this one may work in place: out may be the input itself.
py::array forward(const py::array& input, const py::object& out) {
    static const std::string operation = "relu";
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        const Contiguous<T> source(operation, "input", input);
        const bool in_place = out.is(input);
        auto output = in_place ? output_array<T>(operation, shape_of(input), out, {})
                               : output_array<T>(operation, shape_of(input), out, {input});
        T* target = output.mutable_data();
        const py::gil_scoped_release nogil;
        relu_forward<T>(source.data(), output.size(), target);
        return output;
    });
}

py::array backward(const py::array& grad_output, const py::array& output) {
    static const std::string operation = "relu_backward";
    return dispatch(operation, "grad_output", grad_output, [&](auto type) -> py::array {
        using T = decltype(type);
        check_shape(operation, "output", output, shape_of(grad_output));
        const Contiguous<T> gradient(operation, "grad_output", grad_output);
        const Contiguous<T> mask(operation, "output", output);
        return computed_array<T>(operation, shape_of(grad_output), [&](T* target) {
            relu_backward<T>(gradient.data(), mask.data(), grad_output.size(), target);
        });
    });
}

}  // namespace

void register_elementwise(py::module_& module) {
    module.def("relu_forward", &forward, py::arg("input").noconvert(), py::arg("out"));
    module.def("relu_backward", &backward, py::arg("grad_output").noconvert(), py::arg("output").noconvert());
}

}  // namespace fastconv
