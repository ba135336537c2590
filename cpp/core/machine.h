// The machine's limits, measured: what benchmarks quote their figures as a share of.
#pragma once

namespace fastconv {

// Floating-point operations per second on that many threads; the best of several short runs.
template <class T>
double measure_peak(int threads);

// Bytes per second read from an array larger than the caches.
double measure_bandwidth(int threads);

// Bytes per second read and written, both counted, by copying such an array.
double measure_copy_bandwidth(int threads);

}  // namespace fastconv
