#include "bindings/arrays.h"

#include <algorithm>
#include <iterator>

#include "elementwise/copy.h"

namespace fastconv {
namespace {

std::string dtype_name(const py::dtype& dtype) { return py::str(static_cast<py::handle>(dtype)); }

bool is_native(const py::dtype& dtype, int number) {
    return dtype.num() == number && (dtype.byteorder() == '=' || dtype.byteorder() == '|');
}

template <class T>
constexpr int kTypeNumber =
    std::is_same_v<T, double> ? py::detail::npy_api::NPY_DOUBLE_ : py::detail::npy_api::NPY_FLOAT_;
template <class T>
constexpr const char* kTypeName = std::is_same_v<T, double> ? "float64" : "float32";

bool is_aligned(const py::array& array) { return (array.flags() & kAligned) != 0; }

// Whether axis i advances by whole elements, or not at all.
template <class T>
bool steps_whole_elements(const py::array& array, py::ssize_t i) {
    return array.shape(i) <= 1 || array.strides(i) % static_cast<py::ssize_t>(sizeof(T)) == 0;
}

// Whether the core can read the array where it lies, given its strides.
template <class T>
bool is_addressable(const py::array& array) {
    if (!is_aligned(array)) return false;
    for (py::ssize_t i = 0; i < array.ndim(); ++i)
        if (!steps_whole_elements<T>(array, i)) return false;
    return true;
}

// The memory from the first to the last byte that an array reaches.
struct Extent {
    const char *first, *last;
};

Extent extent_of(const py::array& array) {
    const char* data = static_cast<const char*>(array.data());
    Extent extent{data, data + array.itemsize()};
    for (py::ssize_t i = 0; i < array.ndim(); ++i) {
        if (array.shape(i) == 0) return {data, data};
        const py::ssize_t reach = (array.shape(i) - 1) * array.strides(i);
        (reach < 0 ? extent.first : extent.last) += reach;
    }
    return extent;
}

struct NamedActivation {
    const char* name;
    ActivationKind kind;
};

constexpr NamedActivation kActivations[] = {
    {"relu", ActivationKind::kRelu},
    {"relu6", ActivationKind::kRelu6},
    {"leaky_relu", ActivationKind::kLeakyRelu},
    {"sigmoid", ActivationKind::kSigmoid},
    {"tanh", ActivationKind::kTanh},
    {"silu", ActivationKind::kSilu},
    {"hardswish", ActivationKind::kHardswish},
    {"gelu", ActivationKind::kGelu},
};

}  // namespace

Shape shape_of(const py::array& array) {
    Shape shape;
    shape.reserve(static_cast<std::size_t>(array.ndim()) + 1);  // room for a batch axis
    shape.assign(array.shape(), array.shape() + array.ndim());
    return shape;
}

Shape shape_of(const py::tuple& extents) {
    Shape shape;
    shape.reserve(extents.size() + 1);  // room for a batch axis
    for (const py::handle extent : extents) shape.push_back(extent.cast<index_t>());
    return shape;
}

bool is_contiguous(const py::array& array) { return is_aligned(array) && (array.flags() & py::array::c_style) != 0; }

Shape batched_shape(Shape shape, int rank, bool& batched) {
    batched = static_cast<int>(shape.size()) != rank + 1;
    if (!batched) shape.insert(shape.begin(), 1);
    return shape;
}

Shape without_batch(Shape shape, bool batched) {
    if (!batched) shape.erase(shape.begin());
    return shape;
}

bool is_float64(const std::string& operation, const char* name, const py::array& array) {
    const py::dtype dtype = array.dtype();
    if (is_native(dtype, kTypeNumber<float>)) return false;
    if (is_native(dtype, kTypeNumber<double>)) return true;
    throw py::type_error(operation + ": " + name + " must be float32 or float64 in native byte order, got " +
                         dtype_name(dtype) + "; convert it with " + name + ".astype(np.float32)");
}

template <class T>
void check_same_dtype(const std::string& operation, const char* name, const py::array& array) {
    if (is_native(array.dtype(), kTypeNumber<T>)) return;
    throw py::type_error(operation + ": " + name + " must be " + kTypeName<T> + " like the first argument, got " +
                         dtype_name(array.dtype()) + "; convert it with " + name + ".astype(np." + kTypeName<T> + ")");
}

std::vector<std::string> activation_names() {
    std::vector<std::string> names;
    for (const NamedActivation& one : kActivations) names.emplace_back(one.name);
    return names;
}

ActivationKind parse_activation(const std::string& operation, const std::optional<std::string>& activation) {
    if (!activation) return ActivationKind::kNone;
    std::string expected = "None";
    for (const NamedActivation& one : kActivations) {
        if (*activation == one.name) return one.kind;
        expected += std::string(&one == std::end(kActivations) - 1 ? " or '" : ", '") + one.name + "'";
    }
    fail(operation, "activation must be " + expected + ", got '" + *activation + "'");
}

void check_shape(const std::string& operation, const char* name, const py::array& array, const Shape& expected) {
    if (static_cast<std::size_t>(array.ndim()) == expected.size() &&
        std::equal(expected.begin(), expected.end(), array.shape()))
        return;
    fail(operation,
         std::string(name) + " must have shape " + to_string(expected) + ", got " + to_string(shape_of(array)));
}

void check_extent(const std::string& operation, const char* name, const py::array& array, index_t expected) {
    if (array.ndim() != 1 || array.shape(0) != expected) check_shape(operation, name, array, {expected});
}

template <class T>
std::optional<StridedArray<T>> strided_array(const py::array& array) {
    if (array.ndim() > kMostCopyAxes || !is_addressable<T>(array)) return std::nullopt;
    StridedArray<T> source{static_cast<const T*>(array.data()), static_cast<int>(array.ndim()), {}, {}};
    for (int i = 0; i < source.axes; ++i) {
        source.extents[i] = array.shape(i);
        source.strides[i] = array.strides(i) / static_cast<py::ssize_t>(sizeof(T));
    }
    return source;
}

template <class T>
Copy<T>::Copy(const py::array& array) {
    const std::optional<StridedArray<T>> source = strided_array<T>(array);
    if (!source) {
        const py::array_t<T, py::array::c_style | kAligned> copy(array);  // throws Python's own error
        data_ = copy.data();
        array_ = copy;
        return;
    }
    buffer_.reset(take_buffer(static_cast<std::size_t>(array.size()) * sizeof(T)));
    T* target = static_cast<T*>(buffer_.get());
    data_ = target;
    const py::gil_scoped_release nogil;
    copy_contiguous(*source, target);
}

template <class T>
Contiguous<T>::Contiguous(const py::array& array) {
    if (is_contiguous(array)) {
        array_ = array;
        data_ = static_cast<const T*>(array.data());
    } else {
        copy_ = Copy<T>(array);
        data_ = copy_.data();
    }
}

template <class T>
Contiguous<T>::Contiguous(const std::string& operation, const char* name, const py::array& array) {
    check_same_dtype<T>(operation, name, array);
    *this = Contiguous(array);
}

bool has_whole_planes(const py::array& array, int rank) {
    const py::ssize_t channel = array.ndim() - 1;
    py::ssize_t stride = array.itemsize();
    if (array.size() == 0 || array.shape(channel) == 1 || array.strides(channel) == stride) return false;
    for (py::ssize_t axis = channel - 1; axis >= channel - rank; --axis) {
        if (array.shape(axis) > 1 && array.strides(axis) != stride) return false;
        stride *= array.shape(axis);
    }
    return true;
}

template <class T>
Activation<T>::Activation(const std::string& operation, const char* name, const py::array& array, int rank,
                          bool batched, bool planes) {
    check_same_dtype<T>(operation, name, array);
    constexpr py::ssize_t size = sizeof(T);
    const py::ssize_t axes = array.ndim();
    view_.channels = array.shape(axes - 1);
    const bool dense = view_.channels <= 1 || array.strides(axes - 1) == size;
    if (is_addressable<T>(array) && (dense || (planes && array.strides(axes - 2) == size))) {
        array_ = array;
        if (!dense) view_.channel_stride = array.strides(axes - 1) / size;
        view_.data = static_cast<const T*>(array.data());
        if (batched) view_.batch_stride = array.strides(0) / size;
        for (int i = 0; i < rank; ++i) view_.strides[kAxes - rank + i] = array.strides(axes - 1 - rank + i) / size;
    } else {
        copy_ = Copy<T>(array);
        std::array<index_t, kAxes> extents{1, 1, 1};
        for (int i = 0; i < rank; ++i) extents[kAxes - rank + i] = array.shape(axes - 1 - rank + i);
        view_ = contiguous_view(copy_.data(), extents, view_.channels);
    }
}

template <class T>
py::array_t<T> new_array(const std::string& operation, const Shape& shape) {
    const index_t size = checked_size(operation, shape);
    void* buffer = take_buffer(static_cast<std::size_t>(size) * sizeof(T));
    py::capsule owner(buffer, nullptr,
                      [](PyObject* capsule) { give_back_buffer(PyCapsule_GetPointer(capsule, nullptr)); });
    // By NumPy's own function: pybind11's constructor copies the shape and spells out the strides.
    const py::detail::npy_api& api = py::detail::npy_api::get();
    constexpr int kFlags = py::array::c_style | kAligned | py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    PyObject* array =
        api.PyArray_NewFromDescr_(api.PyArray_Type_, py::dtype::of<T>().release().ptr(), static_cast<int>(shape.size()),
                                  shape.data(), nullptr, buffer, kFlags, nullptr);
    if (array == nullptr) throw py::error_already_set();
    auto result = py::reinterpret_steal<py::array_t<T>>(array);
    if (api.PyArray_SetBaseObject_(array, owner.release().ptr()) != 0) throw py::error_already_set();
    return result;
}

template <class T>
py::array_t<T> output_array(const std::string& operation, const Shape& shape, const py::object& out,
                            std::initializer_list<py::handle> inputs) {
    if (out.is_none()) return new_array<T>(operation, shape);
    const auto array = py::reinterpret_borrow<py::array>(out);
    check_same_dtype<T>(operation, "out", array);
    check_shape(operation, "out", array, shape);
    if (!is_contiguous(array)) fail(operation, "out must be C-contiguous and aligned");
    if (!array.writeable()) fail(operation, "out must be writable");
    const Extent target = extent_of(array);
    for (const py::handle input : inputs) {
        if (input.is_none()) continue;
        const Extent source = extent_of(py::reinterpret_borrow<py::array>(input));
        if (source.first < target.last && target.first < source.last)
            fail(operation, "out must not share memory with an input");
    }
    return py::reinterpret_borrow<py::array_t<T>>(array);
}

template void check_same_dtype<float>(const std::string&, const char*, const py::array&);
template void check_same_dtype<double>(const std::string&, const char*, const py::array&);
template class Copy<float>;
template class Copy<double>;
template class Copy<index_t>;
template std::optional<StridedArray<float>> strided_array(const py::array&);
template std::optional<StridedArray<double>> strided_array(const py::array&);
template class Contiguous<float>;
template class Contiguous<double>;
template Contiguous<index_t>::Contiguous(const py::array&);
template class Activation<float>;
template class Activation<double>;
template py::array_t<index_t> new_array(const std::string&, const Shape&);
template py::array_t<float> new_array(const std::string&, const Shape&);
template py::array_t<double> new_array(const std::string&, const Shape&);
template py::array_t<float> output_array(const std::string&, const Shape&, const py::object&,
                                         std::initializer_list<py::handle>);
template py::array_t<double> output_array(const std::string&, const Shape&, const py::object&,
                                          std::initializer_list<py::handle>);

}  // namespace fastconv
