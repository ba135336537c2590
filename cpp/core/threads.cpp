#include "core/threads.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "core/denormals.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace fastconv {
namespace {

// A quota file holds "quota period" in microseconds, or "max period".
double quota_from(const std::string& quota_path, const std::string& period_path) {
    std::ifstream quota_file(quota_path);
    double quota = 0, period = 0;
    if (!(quota_file >> quota)) return 0;  // no file, or "max"
    if (period_path.empty()) {
        quota_file >> period;
    } else {
        std::ifstream(period_path) >> period;
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

// The tightest quota on the way from this process's group to the root, for both versions of cgroups.
double read_cpu_quota() {
    double tightest = 0;
    const auto consider = [&](double quota) {
        if (quota > 0) tightest = tightest > 0 ? std::min(tightest, quota) : quota;
    };
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        std::string path = line.substr(second + 1);
        for (;;) {
            if (path == "/") path.clear();
            if (controllers.empty()) consider(quota_from("/sys/fs/cgroup" + path + "/cpu.max", ""));
            if (controllers.find("cpu") != std::string::npos) {
                const std::string folder = "/sys/fs/cgroup/" + controllers + path;
                consider(quota_from(folder + "/cpu.cfs_quota_us", folder + "/cpu.cfs_period_us"));
            }
            if (path.empty()) break;
            path.resize(path.find_last_of('/'));
        }
    }
    return tightest;
}

int usable_processors() {
    int processors = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) == 0) processors = CPU_COUNT(&mask);
#endif
    const double quota = cpu_quota();
    if (quota > 0) processors = std::min(processors, static_cast<int>(std::ceil(quota)));
    return std::max(processors, 1);
}

int threads_from(const char* variable) {
    const char* text = std::getenv(variable);
    if (text == nullptr || *text == '\0') return 0;
    char* end = nullptr;
    const long count = std::strtol(text, &end, 10);
    // OMP_NUM_THREADS may be a list, one number per nesting level; the first one is ours.
    if (end == text || (*end != '\0' && *end != ',') || count < 1 || count > 4096) {
        throw std::invalid_argument(std::string(variable) + " must be a number of threads from 1 to 4096, got '" +
                                    text + "'");
    }
    return static_cast<int>(count);
}

int initial_threads() {
    for (const char* variable : {"FASTCONV_NUM_THREADS", "OMP_NUM_THREADS"})
        if (const int count = threads_from(variable)) return count;
    return usable_processors();
}

std::atomic<int> chosen_threads{0};  // 0: not asked for yet

#if defined(_OPENMP)
// After a fork the child has only the forking thread, but OpenMP's runtime believes in its old pool and
// would wait for it forever.
std::atomic<bool> pool_exists{false};
std::atomic<bool> pool_lost{false};

void after_fork_in_child() {
    if (pool_exists) pool_lost = true;
}
#endif

// Neighbouring tasks, which mostly one thread takes; the others help when theirs are done. So a thread meets the same
// part of an array from call to call, and from layer to layer: it finds it in its own cache, where processors have
// several.
struct alignas(64) Share {
    std::atomic<index_t> next{0};
    index_t end = 0;
};

constexpr int kMostShares = 64;

// Runs the tasks of all shares, the worker's own first.
void take_from(Share* shares, int count, int worker, void (*run)(const void*, index_t, int), const void* body) {
    for (int s = 0; s < count; ++s) {
        Share& share = shares[(worker + s) % count];
        if (share.next.load(std::memory_order_relaxed) >= share.end) continue;
        for (;;) {
            const index_t task = share.next.fetch_add(1, std::memory_order_relaxed);
            if (task >= share.end) break;
            run(body, task, worker);
        }
    }
}

// Kernels store past the caches, and such stores wait for no others: they have to be done before a result is shown to
// other threads. Once is enough, and waiting for them line by line took a fourth of a pooling's time.
void order_stores() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

}  // namespace

double cpu_quota() {
    static const double quota = read_cpu_quota();
    return quota;
}

int num_threads() {
    int count = chosen_threads.load(std::memory_order_relaxed);
    if (count == 0) {
        count = initial_threads();
        chosen_threads = count;
    }
    return count;
}

void set_num_threads(index_t count) {
    if (count < 1 || count > 4096)
        throw std::invalid_argument("set_num_threads: num_threads must be between 1 and 4096, got " +
                                    std::to_string(count));
    chosen_threads = static_cast<int>(count);
}

const char* openmp_version() {
#if defined(_OPENMP)
    static const std::string version = std::to_string(_OPENMP);
    return version.c_str();
#else
    return "none";
#endif
}

int worthwhile_threads(double work, index_t tasks) {
    // Measured, 3x3 16 -> 16, one thread and two: 0.29 million operations take 5.6 and 6.3 us, 0.46 million 7.1
    // and 7.2 us, 0.90 million 11.4 and 9.3 us.
    constexpr double kOperationsPerThread = 250e3;
    const double most = std::min(
        {static_cast<double>(num_threads()), static_cast<double>(tasks), std::floor(work / kOperationsPerThread)});
    return std::max(static_cast<int>(most), 1);
}

void detail::run_tasks(index_t tasks, int threads, void (*run)(const void*, index_t, int), const void* body) {
#if defined(_OPENMP)
    if (threads > 1 && tasks > 1 && !pool_lost) {
#if defined(__unix__) || defined(__APPLE__)
        if (!pool_exists.exchange(true)) pthread_atfork(nullptr, nullptr, after_fork_in_child);
#endif
        Share shares[kMostShares];
        const int count = std::min(threads, kMostShares);
        for (int s = 0; s < count; ++s) {
            shares[s].next = tasks * s / count;
            shares[s].end = tasks * (s + 1) / count;
        }
#pragma omp parallel num_threads(threads)
        {
            const FlushDenormals flush;
            take_from(shares, count, omp_get_thread_num(), run, body);
            order_stores();
        }
        return;
    }
#endif
    static_cast<void>(threads);
    const FlushDenormals flush;
    for (index_t task = 0; task < tasks; ++task) run(body, task, 0);
    order_stores();
}

}  // namespace fastconv
