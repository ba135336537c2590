// How a window slides, understood and checked once; Python keeps the object for the next call, and this is how.
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/register.h"
#include "core/geometry.h"

namespace fastconv {

namespace py = pybind11;

namespace {

// Whether the value is an int as sizes occur; neither True nor 1.0, which Python's dictionaries take for 1.
bool is_int(py::handle value) {
    constexpr long long kLimit = 1LL << 31;
    if (!PyLong_CheckExact(value.ptr())) return false;
    int overflow;
    const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    return overflow == 0 && number > -kLimit && number < kLimit;
}

// Whether the value may be a key: an int, a name, None, or a tuple of such. Deeper than tuples occur, none is.
bool is_plain(py::handle value, int most_depth) {
    if (is_int(value) || PyUnicode_CheckExact(value.ptr()) || value.is_none()) return true;
    if (!PyTuple_CheckExact(value.ptr()) || most_depth == 0) return false;
    const auto values = py::reinterpret_borrow<py::tuple>(value);
    return std::all_of(values.begin(), values.end(), [=](py::handle each) { return is_plain(each, most_depth - 1); });
}

// The function with a memory of its results, for arguments that are plain: like functools.lru_cache, which takes True
// and 1.0 for 1 or, if told to look at types, does so neither quickly nor inside tuples.
py::cpp_function remembered(const py::function& make) {
    return py::cpp_function([make, known = py::dict()](const py::args& arguments) -> py::object {
        constexpr std::size_t kMost = 256;
        constexpr int kDepth = 3;  // arguments, of which one may be the padding: a tuple of pairs
        if (!is_plain(arguments, kDepth)) return make(*arguments);
        if (PyObject* result = PyDict_GetItemWithError(known.ptr(), arguments.ptr()))
            return py::reinterpret_borrow<py::object>(result);
        const py::object result = make(*arguments);
        if (known.size() >= kMost) PyDict_Clear(known.ptr());
        known[arguments] = result;
        return result;
    });
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
    module.def("remembered", &remembered, py::arg("make"));
    py::class_<ConvWindow, Sliding>(module, "ConvWindow")
        .def(py::init<Sliding, index_t, const std::string&>(), py::arg("sliding"), py::arg("groups"),
             py::arg("padding_mode"));
    py::class_<TransposedWindow, ConvWindow>(module, "TransposedWindow")
        .def(py::init<ConvWindow, Shape>(), py::arg("window"), py::arg("output_padding"));
    py::class_<PoolWindow, Sliding>(module, "PoolWindow")
        .def(py::init<Sliding, Shape>(), py::arg("sliding"), py::arg("kernel"));
}

}  // namespace fastconv
