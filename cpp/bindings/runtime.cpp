#include <pybind11/stl.h>

#include "bindings/register.h"
#include "conv/algorithm.h"
#include "conv/tiles.h"
#include "core/isa.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/threads.h"

namespace fastconv {

namespace py = pybind11;

void register_runtime(py::module_& module) {
    module.attr("__version__") = FASTCONV_VERSION;
    module.attr("compiler") = FASTCONV_COMPILER;
    module.def("num_threads", &num_threads);
    module.def("set_num_threads", &set_num_threads, py::arg("count"));
    module.def("cpu_quota", &cpu_quota);
    module.def("openmp_version", &openmp_version);
    module.def("available_isas", &available_isas);
    module.def("current_isa", [] { return std::string(current_kernels().name); });
    module.def("set_isa", &set_isa, py::arg("name"));
    module.def("algorithm_names", &algorithm_names);
    module.def("winograd_limit", &winograd_limit);
    module.def("set_winograd_limit", &set_winograd_limit, py::arg("limit"));
    module.def("algorithm_is_exact", &algorithm_is_exact, py::arg("name"));
    module.def("measure_peak", [](bool float64, int threads) {
        const py::gil_scoped_release nogil;
        return float64 ? measure_peak<double>(threads) : measure_peak<float>(threads);
    }, py::arg("float64"), py::arg("threads"));
    module.def("measure_bandwidth", &measure_bandwidth, py::arg("threads"), py::call_guard<py::gil_scoped_release>());
    module.def("measure_copy_bandwidth", &measure_copy_bandwidth, py::arg("threads"),
               py::call_guard<py::gil_scoped_release>());
    module.def("empty_buffer_cache", &empty_buffer_cache);
    module.def("cached_bytes", &cached_bytes);
}

}  // namespace fastconv
