// How a window slides, understood and checked once; Python keeps the object for the next call.
#include <pybind11/stl.h>

#include "bindings/register.h"
#include "core/geometry.h"

namespace fastconv {

namespace py = pybind11;

void register_sliding(py::module_& module) {
    py::class_<Sliding>(module, "Sliding")
        .def(py::init<std::string, int, const Shape&, const Shape&, const std::string&, const Shape&, const Shape&,
                      bool>(),
             py::arg("operation"), py::arg("rank"), py::arg("stride"), py::arg("dilation"), py::arg("padding"),
             py::arg("pad_before"), py::arg("pad_after"), py::arg("ceil_mode"))
        .def_readonly("operation", &Sliding::operation)
        .def_readonly("rank", &Sliding::rank);
}

}  // namespace fastconv
