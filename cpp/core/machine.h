// The machine's limits: what benchmarks quote their figures as a share of, measured, and the size of its cache.
#pragma once

#include "kernels/index.h"

namespace fastconv {

// Floating-point operations per second on that many threads; the best of several short runs.
template <class T>
double measure_peak(int threads);

// Bytes per second read from an array larger than the caches.
double measure_bandwidth(int threads);

// Bytes per second read and written, both counted, by copying such an array.
double measure_copy_bandwidth(int threads);

// Size of the last-level cache, as the system says it, or a common size where it doesn't say.
index_t last_cache_bytes();

}  // namespace fastconv
