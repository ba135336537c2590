#include "elementwise/optimizer.h"

#include "bindings/arrays.h"
#include "bindings/register.h"

namespace fastconv {
namespace {

// The values of an array that a step overwrites.
template <class T>
T* values_of(const std::string& operation, const char* name, py::array& array, const Shape& shape) {
    check_same_dtype<T>(operation, name, array);
    check_shape(operation, name, array, shape);
    if (!is_contiguous(array)) fail(operation, std::string(name) + " must be C-contiguous and aligned");
    if (!array.writeable()) fail(operation, std::string(name) + " must be writable");
    return static_cast<T*>(array.mutable_data());
}

void sgd_step(const std::string& operation, py::array& parameter, const py::array& gradient, py::array& velocity,
              double learning_rate, double momentum, double weight_decay, bool nesterov) {
    dispatch(operation, "parameter", parameter, [&](auto type) {
        using T = decltype(type);
        const Shape shape = shape_of(parameter);
        check_shape(operation, "gradient", gradient, shape);
        const Contiguous<T> source(operation, "gradient", gradient);
        const SgdStep<T> step{values_of<T>(operation, "parameter", parameter, shape),
                              source.data(),
                              values_of<T>(operation, "velocity", velocity, shape),
                              parameter.size(),
                              static_cast<T>(learning_rate),
                              static_cast<T>(momentum),
                              static_cast<T>(weight_decay),
                              nesterov};
        const py::gil_scoped_release nogil;
        take_step(step);
    });
}

void adam_step(const std::string& operation, py::array& parameter, const py::array& gradient, py::array& first_moment,
               py::array& second_moment, double learning_rate, double beta1, double beta2, double epsilon,
               double weight_decay, bool decoupled, index_t number) {
    dispatch(operation, "parameter", parameter, [&](auto type) {
        using T = decltype(type);
        const Shape shape = shape_of(parameter);
        check_shape(operation, "gradient", gradient, shape);
        const Contiguous<T> source(operation, "gradient", gradient);
        AdamStep<T> step{};
        step.parameter = values_of<T>(operation, "parameter", parameter, shape);
        step.gradient = source.data();
        step.first_moment = values_of<T>(operation, "first_moment", first_moment, shape);
        step.second_moment = values_of<T>(operation, "second_moment", second_moment, shape);
        step.count = parameter.size();
        const py::gil_scoped_release nogil;
        take_step(step, {learning_rate, beta1, beta2, epsilon, weight_decay, decoupled, number});
    });
}

}  // namespace

void register_optimizer(py::module_& module) {
    module.def("sgd_step", &sgd_step, py::arg("operation"), py::arg("parameter").noconvert(),
               py::arg("gradient").noconvert(), py::arg("velocity").noconvert(), py::arg("learning_rate"),
               py::arg("momentum"), py::arg("weight_decay"), py::arg("nesterov"));
    module.def("adam_step", &adam_step, py::arg("operation"), py::arg("parameter").noconvert(),
               py::arg("gradient").noconvert(), py::arg("first_moment").noconvert(),
               py::arg("second_moment").noconvert(), py::arg("learning_rate"), py::arg("beta1"), py::arg("beta2"),
               py::arg("epsilon"), py::arg("weight_decay"), py::arg("decoupled"), py::arg("number"));
}

}  // namespace fastconv
