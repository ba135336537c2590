#include "core/machine.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <vector>

#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"

namespace fastconv {
namespace {

constexpr int kRuns = 15;

template <class Work>
double best_seconds(const Work& work) {
    using Clock = std::chrono::steady_clock;
    double best = 1e30;
    for (int run = 0; run < kRuns; ++run) {
        const auto start = Clock::now();
        work();
        best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
    }
    return best;
}

}  // namespace

template <class T>
double measure_peak(int threads) {
    constexpr index_t kSteps = 2'000'000;
    std::vector<double> operations(static_cast<std::size_t>(threads));
    std::vector<T> results(static_cast<std::size_t>(threads) * kAlignment);
    const double seconds = best_seconds([&] {
        parallel_for(threads, threads, [&](index_t task, int) {
            const auto at = static_cast<std::size_t>(task);
            operations[at] = kernels<T>().multiply_add_chains(kSteps, &results[at * kAlignment]);
        });
    });
    return operations.front() * threads / seconds;
}

double measure_bandwidth(int threads) {
    constexpr index_t kCount = index_t{1} << 26;  // floats: 256 MB
    const Buffer buffer(take_buffer(kCount * sizeof(float)));
    float* values = static_cast<float*>(buffer.get());
    std::fill_n(values, kCount, 1.0F);
    const index_t share = kCount / threads;
    std::vector<float> sums(static_cast<std::size_t>(threads) * kAlignment);
    const double seconds = best_seconds([&] {
        parallel_for(threads, threads, [&](index_t task, int) {
            sums[static_cast<std::size_t>(task) * kAlignment] = kernels<float>().sum_of(values + task * share, share);
        });
    });
    return static_cast<double>(share * threads) * sizeof(float) / seconds;
}

double measure_copy_bandwidth(int threads) {
    constexpr index_t kBytes = index_t{1} << 27;  // twice: 256 MB
    const Buffer from_buffer(take_buffer(kBytes)), to_buffer(take_buffer(kBytes));
    char *from = static_cast<char*>(from_buffer.get()), *to = static_cast<char*>(to_buffer.get());
    std::memset(from, 1, kBytes);
    const index_t share = kBytes / threads;
    // memcpy knows the machine: for arrays of this size it writes past the caches where that is faster.
    const double seconds = best_seconds([&] {
        parallel_for(threads, threads, [&](index_t task, int) {
            std::memcpy(to + task * share, from + task * share, static_cast<std::size_t>(share));
        });
    });
    return 2.0 * static_cast<double>(share * threads) / seconds;
}

// The C library's sysconf() counts all caches of a package, of which a core may reach but one.
index_t last_cache_bytes() {
    static const index_t bytes = [] {
        index_t kilobytes = 0;
        std::ifstream("/sys/devices/system/cpu/cpu0/cache/index3/size") >> kilobytes;
        return (kilobytes > 0 ? kilobytes : 8192) * 1024;
    }();
    return bytes;
}

template double measure_peak<float>(int);
template double measure_peak<double>(int);

}  // namespace fastconv
