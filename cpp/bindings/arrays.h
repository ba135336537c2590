// Between NumPy arrays and the core: checks of dtype and layout, views, and outputs whose memory comes
// from the buffer cache and goes back to it when the array dies.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <vector>

#include "core/geometry.h"
#include "core/memory.h"
#include "core/tensor.h"
#include "elementwise/copy.h"
#include "kernels/activation_kind.h"

namespace fastconv {

namespace py = pybind11;

constexpr int kAligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;

Shape shape_of(const py::array& array);
Shape shape_of(const py::tuple& extents);

// Whether the array is C-contiguous and aligned.
bool is_contiguous(const py::array& array);

// The shape with a batch axis of one in front where the array lacks it; `batched` says which it was.
Shape batched_shape(Shape shape, int rank, bool& batched);

// Whether channels, the last axis, are planes: each with the values of an image's pixels side by side.
bool has_whole_planes(const py::array& array, int rank);

// Throws TypeError unless the array is float32 or float64 in the machine's byte order.
bool is_float64(const std::string& operation, const char* name, const py::array& array);

// Throws TypeError unless the array has the dtype of the reference argument.
template <class T>
void check_same_dtype(const std::string& operation, const char* name, const py::array& array);

// Calls body(T{}) with the type of the array, which decides for the whole call.
template <class Body>
auto dispatch(const std::string& operation, const char* name, const py::array& array, Body body) {
    return is_float64(operation, name, array) ? body(double{}) : body(float{});
}

// The array for `copy_contiguous`, unless it has too many axes, or its elements aren't aligned.
template <class T>
std::optional<StridedArray<T>> strided_array(const py::array& array);

// A C-contiguous copy of an array, made at the speed of memory where its elements are aligned.
template <class T>
class Copy {
  public:
    Copy() = default;  // stands for an absent one
    explicit Copy(const py::array& array);

    const T* data() const { return data_; }

  private:
    Buffer buffer_;
    py::object array_;  // instead of the buffer, where NumPy made the copy
    const T* data_ = nullptr;
};

// A C-contiguous, aligned version of the array: itself, or a copy.
template <class T>
class Contiguous {
  public:
    Contiguous() = default;                       // stands for an absent array
    explicit Contiguous(const py::array& array);  // of T
    Contiguous(const std::string& operation, const char* name, const py::array& array);

    const T* data() const { return data_; }

  private:
    py::object array_;  // not py::array, of which even an empty one is an array that NumPy allocates
    Copy<T> copy_;
    const T* data_ = nullptr;
};

// An activation with contiguous channels: the array itself with its strides, or a copy where the channels are spread or
// the elements aren't aligned. Where `planes` are welcome, channels in planes stay there if pixels are neighbours.
template <class T>
class Activation {
  public:
    Activation(const std::string& operation, const char* name, const py::array& array, int rank, bool batched,
               bool planes = false);

    const TensorView<const T>& view() const { return view_; }

  private:
    py::object array_;
    Copy<T> copy_;
    TensorView<const T> view_;
};

// Its contents are unspecified.
template <class T>
py::array_t<T> new_array(const std::string& operation, const Shape& shape);

// A new array, filled by fill(pointer) without the GIL.
template <class T, class Fill>
py::array_t<T> computed_array(const std::string& operation, const Shape& shape, const Fill& fill) {
    py::array_t<T> array = new_array<T>(operation, shape);
    T* target = array.mutable_data();
    const py::gil_scoped_release nogil;
    fill(target);
    return array;
}

// A gradient to compute: a new array, or None and a null pointer where it isn't asked for.
template <class T>
struct Gradient {
    Gradient(const std::string& operation, bool wanted, const Shape& shape) {
        if (!wanted) return;
        auto filled_later = new_array<T>(operation, shape);
        data = filled_later.mutable_data();
        array = std::move(filled_later);
    }

    py::object array = py::none();
    T* data = nullptr;
};

// The array to fill: a new one, or `out` once it has proved to be C-contiguous, writable, of this shape and
// dtype, and apart from all inputs.
template <class T>
py::array_t<T> output_array(const std::string& operation, const Shape& shape, const py::object& out,
                            std::initializer_list<py::handle> inputs);

// The shape without the batch axis that batched_shape() put in front.
Shape without_batch(Shape shape, bool batched);

// Names of the activations, as users write them.
std::vector<std::string> activation_names();

// The activation of that name, kNone without one; any other name is a ValueError.
ActivationKind parse_activation(const std::string& operation, const std::optional<std::string>& activation);

void check_shape(const std::string& operation, const char* name, const py::array& array, const Shape& expected);

// The same for an array with one axis.
void check_extent(const std::string& operation, const char* name, const py::array& array, index_t expected);

}  // namespace fastconv
