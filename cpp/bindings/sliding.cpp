// How a window slides, understood and checked once; Python keeps the object for the next call. And what Python asks
// about arguments before that, in a tenth of the time that it would take itself.
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/register.h"
#include "core/geometry.h"

namespace fastconv {

namespace py = pybind11;

namespace {

// Whether a value is an int as sizes occur, and neither True nor 1.0, which Python's dictionaries take for 1.
bool is_int(py::handle value) {
    constexpr long long kLimit = 1LL << 31;
    if (!PyLong_CheckExact(value.ptr())) return false;
    int overflow;
    const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    return overflow == 0 && number > -kLimit && number < kLimit;
}

template <class Test>
bool is_tuple_of(py::handle value, const Test& test) {
    if (!PyTuple_CheckExact(value.ptr())) return false;
    const auto values = py::reinterpret_borrow<py::tuple>(value);
    return std::all_of(values.begin(), values.end(), test);
}

bool is_shape(py::handle value) { return is_tuple_of(value, is_int); }

// Whether the value may be a key of a cache: an int, a name, None, or a tuple of such.
bool is_plain(py::handle value) {
    return is_int(value) || PyUnicode_CheckExact(value.ptr()) || value.is_none() || is_tuple_of(value, is_plain);
}

}  // namespace

void register_sliding(py::module_& module) {
    py::class_<Sliding>(module, "Sliding")
        .def(py::init<std::string, int, const Shape&, const Shape&, const std::string&, const Shape&, const Shape&,
                      bool>(),
             py::arg("operation"), py::arg("rank"), py::arg("stride"), py::arg("dilation"), py::arg("padding"),
             py::arg("pad_before"), py::arg("pad_after"), py::arg("ceil_mode"))
        .def_readonly("operation", &Sliding::operation)
        .def_readonly("rank", &Sliding::rank);
    module.def("is_shape", &is_shape, py::arg("value"));
    module.def("is_plain", &is_plain, py::arg("value"));
    py::class_<PoolWindow, Sliding>(module, "PoolWindow")
        .def(py::init<Sliding, Shape>(), py::arg("sliding"), py::arg("kernel"));
}

}  // namespace fastconv
