#include "pool/pool.h"

#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/register.h"

namespace fastconv {
namespace {

constexpr bool kPlanes = true;  // channels may lie in planes

// The maxima under a geometry's windows, and where they are if that is asked for; `compute` is the driver.
template <class T, class Geometry, class Compute>
py::object maxima(const std::string& operation, const py::array& input, const Geometry& geometry, bool batched,
                  bool return_indices, const py::object& out, const Compute& compute) {
    const Activation<T> source(operation, "input", input, geometry.rank, batched, kPlanes);
    const Shape shape = without_batch(geometry.output_shape(), batched);
    py::array_t<T> output = output_array<T>(operation, shape, out, {input});
    py::object indices;
    index_t* positions = nullptr;
    if (return_indices) {
        auto array = new_array<index_t>(operation, shape);
        positions = array.mutable_data();
        indices = std::move(array);
    }
    T* values = output.mutable_data();
    {
        const py::gil_scoped_release nogil;
        compute(geometry, source.view(), values, positions);
    }
    if (!return_indices) return output;
    return py::make_tuple(output, indices);
}

py::object max_forward(const py::array& input, const PoolWindow& window, bool return_indices, const py::object& out) {
    const std::string& operation = window.operation;
    return dispatch(operation, "input", input, [&](auto type) -> py::object {
        using T = decltype(type);
        bool batched;
        const PoolGeometry geometry(window, batched_shape(shape_of(input), window.rank, batched));
        return maxima<T>(operation, input, geometry, batched, return_indices, out, max_pool_forward<T>);
    });
}

py::object adaptive_forward(const std::string& operation, const py::array& input, const py::tuple& output_size,
                            bool return_indices) {
    return dispatch(operation, "input", input, [&](auto type) -> py::object {
        using T = decltype(type);
        bool batched;
        const int rank = static_cast<int>(output_size.size());
        const AdaptiveGeometry geometry(operation, shape_of(output_size),
                                        batched_shape(shape_of(input), rank, batched));
        return maxima<T>(operation, input, geometry, batched, return_indices, py::none(), adaptive_max_forward<T>);
    });
}

Contiguous<index_t> contiguous_indices(const std::string& operation, const py::array& indices) {
    if (!py::isinstance<py::array_t<index_t>>(indices)) {
        throw py::type_error(operation + ": indices must be int64, got " +
                             std::string(py::str(static_cast<py::handle>(indices.dtype()))));
    }
    return Contiguous<index_t>(indices);
}

// The gradient of maxima, sent to where they were; `compute` is the driver.
template <class T, class Geometry, class Compute>
py::array sent_to_maxima(const std::string& operation, const py::array& grad_output, const py::array& indices,
                         const Geometry& geometry, const Shape& input_shape, bool batched, const Compute& compute) {
    const Shape shape = without_batch(geometry.output_shape(), batched);
    check_shape(operation, "grad_output", grad_output, shape);
    check_shape(operation, "indices", indices, shape);
    const auto positions = contiguous_indices(operation, indices);
    const Contiguous<T> gradient(operation, "grad_output", grad_output);
    auto grad_input = new_array<T>(operation, input_shape);
    T* target = grad_input.mutable_data();
    index_t invalid;
    {
        const py::gil_scoped_release nogil;
        invalid = compute(geometry, gradient.data(), positions.data(), target);
    }
    if (invalid != -1) {
        fail(operation, "indices must be between 0 and " + std::to_string(geometry.input_pixels() - 1) +
                            ", or -1 for a window of padding alone, got " + std::to_string(invalid));
    }
    return grad_input;
}

py::array max_backward(const py::array& grad_output, const py::array& indices, const py::tuple& input_extents,
                       const PoolWindow& window) {
    const std::string& operation = window.operation;
    return dispatch(operation, "grad_output", grad_output, [&](auto type) -> py::array {
        using T = decltype(type);
        const Shape input_shape = shape_of(input_extents);
        bool batched;
        const PoolGeometry geometry(window, batched_shape(input_shape, window.rank, batched));
        return sent_to_maxima<T>(operation, grad_output, indices, geometry, input_shape, batched, max_pool_backward<T>);
    });
}

py::array adaptive_backward(const std::string& operation, const py::array& grad_output, const py::array& indices,
                            const py::tuple& input_extents, const py::tuple& output_size) {
    return dispatch(operation, "grad_output", grad_output, [&](auto type) -> py::array {
        using T = decltype(type);
        const Shape input_shape = shape_of(input_extents);
        bool batched;
        const int rank = static_cast<int>(output_size.size());
        const AdaptiveGeometry geometry(operation, shape_of(output_size), batched_shape(input_shape, rank, batched));
        return sent_to_maxima<T>(operation, grad_output, indices, geometry, input_shape, batched,
                                 adaptive_max_backward<T>);
    });
}

Divisor make_divisor(const std::string& operation, bool count_include_pad, std::optional<index_t> override_with) {
    if (override_with && *override_with < 1)
        fail(operation, "divisor_override must be at least 1, got " + std::to_string(*override_with));
    return {count_include_pad, override_with.value_or(0)};
}

py::array avg_forward(const py::array& input, const PoolWindow& window, bool count_include_pad,
                      std::optional<index_t> divisor_override, const py::object& out) {
    const std::string& operation = window.operation;
    return dispatch(operation, "input", input, [&](auto type) -> py::array {
        using T = decltype(type);
        bool batched;
        const PoolGeometry geometry(window, batched_shape(shape_of(input), window.rank, batched));
        const Divisor divisor = make_divisor(operation, count_include_pad, divisor_override);
        const Activation<T> source(operation, "input", input, window.rank, batched, kPlanes);
        auto output = output_array<T>(operation, without_batch(geometry.output_shape(), batched), out, {input});
        T* target = output.mutable_data();
        const py::gil_scoped_release nogil;
        avg_pool_forward<T>(geometry, divisor, source.view(), target);
        return output;
    });
}

py::array avg_backward(const py::array& grad_output, const py::tuple& input_extents, const PoolWindow& window,
                       bool count_include_pad, std::optional<index_t> divisor_override) {
    const std::string& operation = window.operation;
    return dispatch(operation, "grad_output", grad_output, [&](auto type) -> py::array {
        using T = decltype(type);
        const Shape input_shape = shape_of(input_extents);
        bool batched;
        const PoolGeometry geometry(window, batched_shape(input_shape, window.rank, batched));
        const Divisor divisor = make_divisor(operation, count_include_pad, divisor_override);
        check_shape(operation, "grad_output", grad_output, without_batch(geometry.output_shape(), batched));
        const Contiguous<T> gradient(operation, "grad_output", grad_output);
        return computed_array<T>(operation, input_shape,
                                 [&](T* target) { avg_pool_backward<T>(geometry, divisor, gradient.data(), target); });
    });
}

py::array average_of_rows(const py::array& matrix) {
    const std::string operation = "global_avg_pool";
    return dispatch(operation, "input", matrix, [&](auto type) -> py::array {
        using T = decltype(type);
        const Shape shape = shape_of(matrix);
        const Contiguous<T> source(operation, "input", matrix);
        return computed_array<T>(operation, {shape[0]},
                                 [&](T* target) { average_rows<T>(source.data(), shape[0], shape[1], target); });
    });
}

}  // namespace

void register_pool(py::module_& module) {
    module.def("max_pool_forward", &max_forward, py::arg("input").noconvert(), py::arg("window"),
               py::arg("return_indices"), py::arg("out"));
    module.def("max_pool_backward", &max_backward, py::arg("grad_output").noconvert(), py::arg("indices").noconvert(),
               py::arg("input_shape"), py::arg("window"));
    module.def("adaptive_max_forward", &adaptive_forward, py::arg("operation"), py::arg("input").noconvert(),
               py::arg("output_size"), py::arg("return_indices"));
    module.def("adaptive_max_backward", &adaptive_backward, py::arg("operation"), py::arg("grad_output").noconvert(),
               py::arg("indices").noconvert(), py::arg("input_shape"), py::arg("output_size"));
    module.def("avg_pool_forward", &avg_forward, py::arg("input").noconvert(), py::arg("window"),
               py::arg("count_include_pad"), py::arg("divisor_override"), py::arg("out"));
    module.def("avg_pool_backward", &avg_backward, py::arg("grad_output").noconvert(), py::arg("input_shape"),
               py::arg("window"), py::arg("count_include_pad"), py::arg("divisor_override"));
    module.def("average_rows", &average_of_rows, py::arg("matrix").noconvert());
}

}  // namespace fastconv
